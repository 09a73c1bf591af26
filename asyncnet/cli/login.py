"""Login: who signs in where. Secrets come from commands, the environment, netrc or a prompt, and never from argv.

Names: the user of the URL, else --username, else ASYNCNET_USERNAME, else netrc's login for the host, else who runs the
program. Secrets, in this order: --password-command, --token-command, ASYNCNET_PASSWORD or ASYNCNET_PASSWORD_FILE,
ASYNCNET_TOKEN or ASYNCNET_TOKEN_FILE, netrc (NETRC names the file, else ~/.netrc; its `default` entry counts for no
host, for it would hand a secret to any), a prompt on the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import netrc
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from asyncnet import Credentials, Endpoint, Security, UsageError

_MAX_SECRET_BYTES = 65_536
_ALWAYS = ("imap", "pop3")
"""protocols where nothing can be done without signing in"""


class Login:
    """Finds the credentials for a URL.

    Args:
        username: of `--username`.
        password_command: of `--password-command`; run once.
        token_command: of `--token-command`; run for each login, for tokens expire.
        environ: the environment.
        asking: entered while somebody is asked on the terminal.
    """

    def __init__(
        self,
        username: str | None = None,
        password_command: str | None = None,
        token_command: str | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        asking: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self._username = username or environ.get("ASYNCNET_USERNAME")
        self._password_command = password_command
        self._token_command = token_command
        self._environ = environ
        self._asking = asking
        self._known: dict[tuple[str, str], Credentials] = {}
        self._password: str | None = None
        self._netrc: netrc.netrc | None = None

    async def credentials(self, endpoint: Endpoint, *, by_default: bool = True) -> Credentials | None:
        """Give the credentials for `endpoint`, or None if nobody need sign in there.

        Args:
            endpoint: where.
            by_default: whether --username and ASYNCNET_USERNAME count here. In a list of URLs they do not for http: the
                secret would go to every site in it.

        Raises:
            UsageError: somebody must sign in, and there is no secret to be had.
        """
        user = endpoint.username or (self._username if by_default else None)
        entry = self._entry(endpoint.host, user)
        if user is None and entry is not None and _is_private(endpoint):
            user = entry[0]
        if user is None:
            if endpoint.protocol not in _ALWAYS:
                return None
            user = getpass.getuser()
        key = (endpoint.host, user)
        if key not in self._known:
            self._known[key] = await self._found(endpoint, user, entry)
        return self._known[key]

    async def _found(self, endpoint: Endpoint, user: str, entry: tuple[str, str] | None) -> Credentials:
        if self._username in (None, user):  # else they are somebody else's
            credentials = await self._told(user)
            if credentials is not None:
                return credentials
        if entry is not None:
            return Credentials(user, entry[1])
        with self._asking():
            return await _asked(endpoint, user)

    async def _told(self, user: str) -> Credentials | None:
        if self._password_command is not None:
            if self._password is None:
                self._password = await _printed_by(self._password_command, "--password-command")
            return Credentials(user, self._password)
        if self._token_command is not None:
            command = self._token_command
            return Credentials(user, lambda: _printed_by(command, "--token-command"))
        if password := self._variable("ASYNCNET_PASSWORD"):
            return Credentials(user, password)
        if path := self._environ.get("ASYNCNET_PASSWORD_FILE"):
            return Credentials(user, _first_line_of(path))
        if token := self._variable("ASYNCNET_TOKEN"):
            return Credentials(user, lambda: token)
        if path := self._environ.get("ASYNCNET_TOKEN_FILE"):
            return Credentials(user, lambda: _first_line_of(path))
        return None

    def _variable(self, name: str) -> str | None:
        return self._environ.get(name) or None

    def _entry(self, host: str, user: str | None) -> tuple[str, str] | None:
        """Give login and password that netrc has for a host; None if it has none, or only for another user."""
        if self._netrc is None:
            self._netrc = _read_netrc(self._environ)
        login, _, password = self._netrc.hosts.get(host, ("", "", "")) if host != "default" else ("", "", "")
        if not password or not login or user not in (None, login):
            return None
        return login, password


def _is_private(endpoint: Endpoint) -> bool:
    """Whether a secret may be offered there unasked; where nobody asked for it, plaintext is no error but a reason."""
    return endpoint.security is not Security.PLAINTEXT or endpoint.is_loopback or endpoint.protocol in _ALWAYS


def _read_netrc(environ: Mapping[str, str]) -> netrc.netrc:
    path = environ.get("NETRC")
    file = path or str(Path(environ.get("HOME") or "~").expanduser() / ".netrc")
    try:
        return netrc.netrc(file) if path else _own(file)
    except FileNotFoundError:
        if path:
            raise UsageError(f"there is no {path}, which NETRC names") from None
        return netrc.netrc(os.devnull)
    except netrc.NetrcParseError as error:
        line = error.lineno
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    raise UsageError(f"cannot read {file}: what is in line {line}?")  # out here without a context that may be a secret


def _own(file: str) -> netrc.netrc:
    """Read a netrc that nobody else may read; `netrc` checks that for one path only."""
    status = os.stat(file)
    if status.st_mode & 0o077 or status.st_uid not in (os.getuid(), 0):
        raise UsageError(f"others may read {file}, or it is theirs: chmod 600 it")
    return netrc.netrc(file)


def _first_line_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return _first_line(file.read(_MAX_SECRET_BYTES), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from None


def _first_line(text: str, source: str) -> str:
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise UsageError(f"no secret comes from {source}")
    return line


async def _printed_by(command: str, option: str) -> str:
    """Run a shell command, which may ask on the terminal, and give the first line that it prints."""
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, limit=_MAX_SECRET_BYTES)
    try:
        assert process.stdout is not None
        printed = await process.stdout.read(_MAX_SECRET_BYTES)
        while await process.stdout.read(_MAX_SECRET_BYTES):
            pass  # or it would wait for ever to be rid of it
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status:
        raise UsageError(f"the command of {option} ended with status {status}")
    return _first_line(printed.decode("utf-8", "replace"), f"the command of {option}")


async def _asked(endpoint: Endpoint, user: str) -> Credentials:
    if not _has_terminal():  # else standard input would be read, which is not for that
        raise UsageError(
            f"no password for {user!r}, and no terminal to ask on; set ASYNCNET_PASSWORD or use --password-command",
            endpoint=endpoint,
            operation="login",
        )
    return await Credentials.prompt(user, prompt=f"Password of {user} at {endpoint.origin}: ")


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
