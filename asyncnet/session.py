"""Session: open, one call at a time, close. What the mail sessions share.

A call that ends by a deadline, a cancellation or a lost peer closes the session, for the replies that follow would
answer other questions. A refusal leaves it as it was.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import ClassVar, TypeVar

from asyncnet.credentials import Credentials, check_login
from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ClosedError, DeadlineError, NetError, RefusedError, UsageError
from asyncnet.proxy import Proxy
from asyncnet.tls import default_client_context
from asyncnet.trace import asked
from asyncnet.translation import CONNECTING, HANDSHAKING, Translations, translated

S = TypeVar("S", bound="Session")


class Session(ABC):
    """A signed-in conversation with one server; opened by `async with` (or `open()`), closed by `aclose()`.

    Args:
        endpoint: where, as a URL or an Endpoint of the protocol.
        credentials: who signs in; None signs in nowhere.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for the opening (lookup, connect, TLS, greeting, login), and then for each call afresh; None
            is no limit.
        proxy: the way there, as in `Proxy.parse`; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, or a secret that would
            travel in plaintext.
    """

    protocol: ClassVar[str]
    translations: ClassVar[Translations]

    def __init__(
        self,
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
    ) -> None:
        self.endpoint = Endpoint.parse(endpoint)
        if self.endpoint.protocol != self.protocol:
            raise UsageError(f"not an endpoint of {self.protocol}", endpoint=self.endpoint)
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        check_login(
            self.endpoint, credentials, allow_plaintext_login=allow_plaintext_login, proxied=self._proxy is not None
        )
        self.credentials = credentials
        self.timeout = timeout
        self._tls = tls
        self._turn = asyncio.Lock()
        self._opened = False
        self._closed = False
        self._why = ""

    # What a protocol fills in.

    @abstractmethod
    async def _open(self) -> None:
        """Connect, greet, upgrade and sign in; the caller bounds it and aborts on failure."""

    @abstractmethod
    async def _goodbye(self) -> None:
        """Say the protocol's goodbye; the caller bounds it and ignores its failure."""

    @abstractmethod
    def _abort(self) -> None:
        """Drop the connection at once; idempotent, never blocks, never raises, safe before `_open`."""

    async def _settle(self) -> None:  # noqa: B027 (most protocols have nothing to wait for)
        """Wait until what `_abort` ended is gone (threads, tasks); bounded."""

    @abstractmethod
    async def noop(self, *, timeout: float | None = None) -> None:
        """Ask the server to do nothing: it is there if it answers."""

    async def _tidy(self) -> bool:
        """Make it as it was after the opening, for another user; False if that cannot be."""
        return False

    # What the protocols use.

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context of this session, or None where its scheme is plaintext."""
        if self.endpoint.security is Security.PLAINTEXT:
            return None
        return self._tls if self._tls is not None else default_client_context()

    @asynccontextmanager
    async def _call(self, operation: str, timeout: float | None = None) -> AsyncIterator[None]:
        """Take the turn, bound the block, translate what it raises, and close the session if it was spoilt.

        Args:
            operation: the name that errors bear.
            timeout: seconds for waiting and working; None takes the session's, `math.inf` is no limit.
        """
        self._check_open(operation)
        async with deadline(self.timeout if timeout is None else timeout, self.endpoint, operation), self._turn:
            self._check_open(operation)
            asked(operation)
            try:
                with translated(self.translations, self.endpoint, operation):
                    yield
            except (RefusedError, UsageError):
                raise  # the conversation is intact
            except BaseException as error:
                await self._spoil(_how(operation, error))
                raise

    def _check_open(self, operation: str) -> None:
        if self._closed:
            raise ClosedError(
                f"the session is closed{self._why}", endpoint=self.endpoint, operation=operation, transient=False
            )
        if not self._opened:
            raise ClosedError("the session is not open; use async with", endpoint=self.endpoint, operation=operation)

    async def _spoil(self, why: str) -> None:
        self._closed = True
        self._why = self._why or f": {why}"
        self._abort()
        await self._settle()

    # What users see.

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._opened and not self._closed

    async def open(self: S, *, timeout: float | None = None) -> S:
        """Connect and sign in; what `async with` does on entry.

        Args:
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Raises:
            ConnectError: never got there (TLSError: the certificate or handshake).
            AuthenticationError: the login was refused.
            DeadlineError: the seconds passed.
            ProtocolError, RefusedError, DisconnectedError: the server broke the protocol, refused, or left.
            ClosedError: it was opened before.

        On failure or cancellation nothing stays open.
        """
        if self._opened or self._closed:
            raise ClosedError("a session is opened once", endpoint=self.endpoint, operation="open")
        self._opened = True
        try:
            async with deadline(self.timeout if timeout is None else timeout, self.endpoint, "open"), self._turn:
                with translated((*HANDSHAKING, *self.translations, *CONNECTING), self.endpoint, "open"):
                    await self._open()
                self._check_open("open")  # aclose() may have come meanwhile
        except BaseException as error:
            await self._spoil(_how("opening it", error))
            raise
        return self

    async def aclose(self) -> None:
        """Say goodbye and close, within 2 seconds; idempotent, and safe after a failure.

        Cancelled, the connection is dropped at once.
        """
        if not self.is_open:
            self._closed = True
            return
        try:
            async with deadline(CLOSE_SECONDS, self.endpoint, "close"), self._turn:
                if not self._closed:
                    with translated((*self.translations, *CONNECTING), self.endpoint, "close"):
                        await self._goodbye()
        except NetError:
            pass  # all that was asked for has been received: a failed goodbye takes nothing back
        finally:
            await self._spoil("aclose() was called")

    async def __aenter__(self: S) -> S:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            await self._spoil(_how("its block", error))

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self._closed else "new"
        return f"<{type(self).__module__}.{type(self).__name__} {self.endpoint.redacted} {state}>"


def _how(what: str, error: BaseException) -> str:
    # A deadline is a cancellation until it leaves its block.
    cut_short = isinstance(error, (asyncio.CancelledError, DeadlineError))
    return f"{what} was cut short" if cut_short else f"{what} ended by {type(error).__name__}"
