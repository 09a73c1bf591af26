"""Conversation: a session's opening, its end, and how it asks; the commands stand on top of it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import _AsyncGeneratorContextManager
from typing import TYPE_CHECKING, TypeVar

from asyncnet.credentials import Credentials
from asyncnet.deadline import phase
from asyncnet.dial import attach, dial
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ProtocolError, UsageError
from asyncnet.imap.command import Request, Segment, quoted_name, request
from asyncnet.imap.incoming import Collector
from asyncnet.imap.limits import Limits
from asyncnet.imap.login import sign_in
from asyncnet.imap.mailbox import Selected
from asyncnet.imap.refusal import refusal
from asyncnet.imap.response import Status
from asyncnet.imap.state import State
from asyncnet.proxy import Proxy
from asyncnet.session import Session as BaseSession
from asyncnet.trace import answered, noted
from asyncnet.translation import TALKING

if TYPE_CHECKING:
    from asyncnet.imap.wire import Wire

R = TypeVar("R")


class Conversation(BaseSession):
    """What every command of an IMAP session needs; see `Session`."""

    protocol = "imap"
    translations = TALKING

    def __init__(
        self,
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
        )
        self.limits = limits if limits is not None else Limits()
        self._connected: Wire | None = None
        self._state = State(self._note_capabilities)
        self._idling: asyncio.Event | None = None

    # What users see

    @property
    def is_open(self) -> bool:
        """Whether calls can be made: it was opened, not closed, and the server is still there as far as is known."""
        return super().is_open and self._connected is not None and not self._connected.is_lost

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server can do, in upper case, as it said last; empty before the session is open."""
        return self._state.capabilities or frozenset()

    @property
    def selected(self) -> Selected | None:
        """The mailbox that is open, as the server described it last: `exists` follows what it tells unasked."""
        return self._state.selected

    @property
    def alerts(self) -> tuple[str, ...]:
        """What the server wanted a human to read (`[ALERT]`): the last 16, printable."""
        return tuple(self._state.alerts)

    @property
    def enabled(self) -> frozenset[str]:
        """The extensions that are on, in upper case (RFC 5161); see `enable`."""
        return self._state.enabled

    # What the commands use

    def _call(self, operation: str, timeout: float | None = None) -> _AsyncGeneratorContextManager[None]:
        """As in the base; a call that is made while the session idles ends the idling."""
        if self._idling is not None:
            self._idling.set()
        return super()._call(operation, timeout)

    def _named(self, mailbox: str) -> Segment:
        return quoted_name(mailbox, utf8=self._is_utf8)

    @property
    def _is_utf8(self) -> bool:
        return "UTF8=ACCEPT" in self._state.enabled

    @property
    def _wire(self) -> Wire:
        assert self._connected is not None
        return self._connected

    async def _run(self, asked: Request) -> Status:
        """Send a command and give its OK.

        Raises:
            RefusedError: NO or BAD.
        """
        status = await self._wire.run(asked)
        answered(status.kind)
        return self._granted(status, asked.full_name)

    async def _ask(self, asked: Request, kind: type[R]) -> list[R]:
        """Send a command, and give the responses of one kind that came until its OK.

        Raises:
            RefusedError: NO or BAD.
        """
        collector = Collector(kind, self.limits.max_responses)
        with self._wire.incoming.heard_by(collector):
            await self._run(asked)
        return collector.replies

    def _granted(self, status: Status, operation: str) -> Status:
        if status.kind != "OK":
            raise refusal(status, self.endpoint, operation)
        return status

    def _can(self, *names: str) -> bool:
        return any(name in self.capabilities for name in names)

    # What the base asks for

    async def _open(self) -> None:
        wire = self._connected = _new_wire(self.endpoint, self.limits)
        wire.incoming.add(self._state)
        sock = await dial(self.endpoint, proxy=self._proxy)
        at_once = self.context if self.endpoint.security is Security.TLS else None
        try:
            await attach(sock, lambda: wire, at_once, self.endpoint)
        except BaseException:
            self._connected = None  # the socket is closed, and uvloop tells the protocol nothing of its end
            raise
        greeting = await wire.greeting()
        noted(greeting.text)
        if self.endpoint.security is Security.STARTTLS:
            await self._upgrade(greeting)
        await self._learn_capabilities()
        # RFC 9051 §7.1.4: PREAUTH says that something else, a client's certificate say, has signed us in; the server
        # would refuse a LOGIN now, so no secret is shown.
        if self.credentials is not None and greeting.kind != "PREAUTH":
            self._state.capabilities = None
            await sign_in(wire, self.credentials, self.endpoint)
            await self._learn_capabilities()

    async def _upgrade(self, greeting: Status) -> None:
        if greeting.kind == "PREAUTH":
            raise ProtocolError(
                "the server says that it knows us before TLS: STARTTLS is no longer possible, and anyone may have "
                "said so",
                endpoint=self.endpoint,
                operation="STARTTLS",
            )
        await self._learn_capabilities()
        if not self._can("STARTTLS"):
            raise ProtocolError("the server does not offer STARTTLS", endpoint=self.endpoint, operation="STARTTLS")
        phase("STARTTLS")
        await self._run(request("STARTTLS"))
        context = self.context
        assert context is not None
        await self._wire.start_tls(context)
        self._state.capabilities = None  # nothing learned before TLS counts (RFC 9051 §6.2.1)

    async def _learn_capabilities(self) -> None:
        if self._state.capabilities is None:
            phase("CAPABILITY")
            await self._run(request("CAPABILITY"))
        if self._state.capabilities is None:
            raise ProtocolError("no answer to CAPABILITY", endpoint=self.endpoint, operation="CAPABILITY")

    async def _goodbye(self) -> None:
        await self._wire.run(request("LOGOUT"))
        self._wire.end()
        await self._wire.gone()

    async def aclose(self) -> None:
        """Say LOGOUT and close, within 2 seconds; what is flagged as deleted stays (`close()` expunges).

        Idempotent, and safe after a failure. Cancelled, the connection is dropped at once.
        """
        if self._idling is not None:
            self._idling.set()
        await super().aclose()
        await self._settle()  # the server may have ended it before, a turn of the loop ago

    def _abort(self) -> None:
        if self._connected is not None:
            self._connected.abort()

    async def _settle(self) -> None:
        if self._connected is not None:
            await self._connected.gone()

    def _note_capabilities(self, names: frozenset[str]) -> None:
        if self._connected is not None:
            self._connected.capabilities = set(names)


def _new_wire(endpoint: Endpoint, limits: Limits) -> Wire:
    try:
        from asyncnet.imap.wire import Wire
    except ModuleNotFoundError as error:
        if error.name != "aioimaplib":
            raise
        raise UsageError(
            "IMAP needs aioimaplib (GPL-3.0-only), which is not installed: pip install 'asyncnet[imap]'",
            endpoint=endpoint,
        ) from error
    return Wire(endpoint, limits)
