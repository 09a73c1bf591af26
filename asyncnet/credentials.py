"""Credentials: who we are. The secret is never printed, pickled or put into an error.

A secret goes only over verified TLS, over loopback, or where the caller said `allow_plaintext_login=True`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import NetError, UsageError

# Control characters end lines and fields in all four protocols; half of a surrogate pair (an environment variable that
# is not UTF-8) cannot be sent at all.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

Secret = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Credentials:
    """A username and a password, or a username and a callable that returns an OAuth 2 token.

    Args:
        username: who signs in.
        secret: the password; or a callable without arguments, sync or async, that returns a fresh token. A sync one
            runs in a daemon thread, so it may block; it is called for every login, and once more after a refusal.
        mechanism: the SASL mechanism to use and no other (`"CRAM-MD5"`, `"PLAIN"`, `"APOP"`...); None takes the best
            that the server offers. CRAM-MD5 is used only if named here.

    Raises:
        UsageError: a control character or an undecoded byte in the username or the password, or an empty username.
    """

    __slots__ = ("_secret", "mechanism", "username")

    def __init__(self, username: str, secret: Secret, *, mechanism: str | None = None) -> None:
        _check("username", username)
        if not username:
            raise UsageError("the username is empty")
        if isinstance(secret, str):
            _check("password", secret)
        elif not callable(secret):
            raise UsageError("the secret is a str (a password) or a callable that returns a token")
        self.username = username
        self.mechanism = mechanism.upper() if mechanism else None
        self._secret = secret

    @classmethod
    async def prompt(cls, username: str | None = None, *, prompt: str | None = None) -> Credentials:
        """Ask for the password on the terminal, without echo and without blocking the loop.

        Args:
            username: who signs in; None takes the name of the user who runs the program (`getpass.getuser`).
            prompt: what to show; None shows "Password for <username>: ".

        Raises:
            UsageError: there is nobody to ask (end of input, no terminal), the system has no name for the user, or a
                control character was typed.

        Cancelled, it puts the terminal's echo back; the next line that is typed there is still taken, and dropped.
        """
        import getpass

        try:
            name = username if username is not None else await in_daemon(getpass.getuser)
        except (OSError, KeyError, ImportError) as error:
            raise UsageError("the system has no name for the user who runs this; give a username") from error
        text = prompt if prompt is not None else f"Password for {name}: "
        try:
            with _echo_kept():
                password = await in_daemon(lambda: getpass.getpass(text))
        except (EOFError, OSError) as error:
            raise UsageError("no password: the input ended at the prompt") from error
        return cls(name, password)

    @property
    def is_token(self) -> bool:
        """Whether the secret is a token from a callable, not a password."""
        return not isinstance(self._secret, str)

    async def secret(self) -> str:
        """Give the password, or ask the callable for a token.

        Raises:
            UsageError: the callable raised (what, is the cause), or returned no usable text.
            NetError: the callable raised this itself.
        """
        if isinstance(self._secret, str):
            return self._secret
        try:
            token = await _result(self._secret)
        except NetError:
            raise
        except Exception as error:  # else an OSError of the callable would pass for one of the connection
            raise UsageError(f"the callable of the credentials raised {type(error).__name__}") from error
        if not isinstance(token, str) or not token:
            raise UsageError(f"the callable of the credentials returned {type(token).__name__}, not a token")
        _check("token", token)
        return token

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"

    def __eq__(self, other: object) -> bool:
        """Same username, mechanism and secret (the same callable); compared in constant time."""
        if not isinstance(other, Credentials):
            return NotImplemented
        if (self.username, self.mechanism) != (other.username, other.mechanism):
            return False
        if isinstance(self._secret, str) and isinstance(other._secret, str):
            import hmac  # loads OpenSSL's hashes, which `import asyncnet` shall not pay for

            return hmac.compare_digest(self._secret.encode(), other._secret.encode())
        return self._secret is other._secret

    def __hash__(self) -> int:
        return hash((self.username, self.mechanism))

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials are not pickled: a secret does not travel; name them and resolve them there")


async def _result(secret: Callable[[], str] | Callable[[], Awaitable[str]]) -> object:
    import inspect

    if inspect.iscoroutinefunction(secret):
        return await secret()
    token = await in_daemon(secret)
    return await token if inspect.isawaitable(token) else token  # a lambda or partial around an async function


def _check(what: str, text: str) -> None:
    if _UNFIT.search(text):  # the text itself is not repeated: it is a secret
        raise UsageError(f"a control character or an undecoded byte in the {what}")


@contextlib.contextmanager
def _echo_kept() -> Iterator[None]:
    # getpass puts the echo back itself, but in its thread, which outlives a cancelled prompt.
    try:
        import termios

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (ImportError, OSError):  # no such thing here: getpass falls back to the standard input
        yield
        return
    try:
        before = termios.tcgetattr(terminal)
        try:
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSANOW, before)
    finally:
        os.close(terminal)


def check_login(
    endpoint: Endpoint,
    credentials: Credentials | None,
    *,
    allow_plaintext_login: bool = False,
    proxied: bool = False,
) -> None:
    """Refuse, before a byte is sent, a login that would disclose the secret or contradict the URL.

    Args:
        endpoint: where the login goes.
        credentials: who signs in, or None.
        allow_plaintext_login: the caller's word that a listener may read the secret.
        proxied: whether a proxy stands between; then not even a loopback address stays on this machine.

    Raises:
        UsageError: the URL names another user than the credentials; it names a user and there are no credentials; or
            the secret would travel in plaintext to another machine.
    """
    if credentials is None:
        if endpoint.username is not None:
            raise UsageError(f"the URL names {endpoint.username!r} but no credentials were given", endpoint=endpoint)
        return
    if endpoint.username not in (None, credentials.username):
        raise UsageError(
            f"the URL names {endpoint.username!r}, the credentials {credentials.username!r}", endpoint=endpoint
        )
    stays_here = endpoint.is_loopback and not proxied
    if endpoint.security is Security.PLAINTEXT and not (stays_here or allow_plaintext_login):
        upgrade = "" if endpoint.protocol == "http" else f", {endpoint.protocol}+starttls://"
        raise UsageError(
            f"the secret would travel in plaintext; use {endpoint.protocol}s://{upgrade} or allow_plaintext_login=True",
            endpoint=endpoint,
            operation="login",
        )
