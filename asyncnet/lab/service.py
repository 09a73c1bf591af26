"""Service: one protocol of a lab, at one port in plaintext (TLS by STARTTLS) and at another in TLS from the first byte.

What a lab starts and stops has `name`, `start(lab)` and `aclose()`; a `LineService` is that for a protocol of lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from asyncnet.errors import NetError, UsageError, printable
from asyncnet.lab.authority import choosing_context
from asyncnet.lab.conversation import Conversation
from asyncnet.lab.faults import TLS, Certificate
from asyncnet.lab.manner import Manner
from asyncnet.lab.wire import Ended
from asyncnet.streams.connection import Connection
from asyncnet.streams.server import Server, serve

if TYPE_CHECKING:
    from asyncnet.lab.lab import Lab

Talk = Callable[[Conversation], Awaitable[None]]
"""what a protocol does with one client"""

_MAX_CLIENTS = 1_000
_IDLE_SECONDS = 1_800.0
"""RFC 9051 §5.4: an IMAP server waits 30 minutes at least; the others ask for less."""


class Service(Protocol):
    """What a lab starts and stops."""

    @property
    def name(self) -> str:
        """Its protocol, as in `Faults.on`."""

    async def start(self, lab: Lab) -> None:
        """Begin to listen; on failure nothing is left."""

    async def aclose(self) -> None:
        """Stop at once, clients too. Idempotent, safe if it was never started."""


class LineService:
    """A protocol of lines.

    Args:
        manner: how the protocol says no.
        talk: what it does with one client (see conversation.py).
        port: where it listens in plaintext; 0 is any free port, and the same again after `down`.
        tls_port: where it listens in TLS.
        scheme: of its URLs: `smtp` makes `smtp`, `smtps` and `smtp+starttls`; `tcp` makes `tcp` and `tls`.

    Attributes:
        name: the protocol.
        host: where it listens.
    """

    def __init__(self, manner: Manner, talk: Talk, *, port: int = 0, tls_port: int = 0, scheme: str = "") -> None:
        self.name = manner.protocol
        self.host = "127.0.0.1"
        self._manner = manner
        self._talk = talk
        self._scheme = scheme or manner.protocol
        self._ports = [port, tls_port]
        self._servers: list[Server] = []
        self._lab: Lab | None = None
        self._number = 0

    # Where it is.

    @property
    def port(self) -> int:
        """The port in plaintext, where STARTTLS (STLS) is offered."""
        return self._port(0)

    @property
    def tls_port(self) -> int:
        """The port of TLS from the first byte."""
        return self._port(1)

    def _port(self, which: int) -> int:
        if not self._ports[which]:
            raise UsageError(f"the lab's {self.name} has not been started")
        return self._ports[which]

    @property
    def url(self) -> str:
        """The URL in plaintext: `smtp://127.0.0.1:49152`."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def starttls_url(self) -> str:
        """The URL that requires STARTTLS: `smtp+starttls://...`."""
        if not self._manner.starttls:
            raise UsageError(f"{self.name} has no STARTTLS")
        return f"{self._scheme}+starttls://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The URL of TLS from the first byte: `smtps://...`."""
        scheme = "tls" if self._scheme == "tcp" else f"{self._scheme}s"
        return f"{scheme}://{self.host}:{self.tls_port}"

    # Its life.

    async def start(self, lab: Lab) -> None:
        """Listen, at the ports it had before if there were any.

        Raises:
            ConnectError: a port is taken. Nothing is left open.
        """
        self._lab, self.host = lab, lab.host
        self._context = context = choosing_context(self._certificate)  # the first client may come at once
        try:
            for which, scheme, tls in ((0, "tcp", None), (1, "tls", context)):
                where = f"{scheme}://{self.host}:{self._ports[which]}"
                server = await serve(
                    self._serve,
                    where,
                    tls=tls,
                    max_clients=_MAX_CLIENTS,
                    idle_timeout=_IDLE_SECONDS,
                    min_rate=0.0,  # who tests a slow client means it
                    grace=0.0,
                )
                self._servers.append(server)
                self._ports[which] = server.endpoint.port
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop at once, clients too; whoever connects is refused by the kernel. Idempotent."""
        servers, self._servers = self._servers, []
        async with contextlib.AsyncExitStack() as stack:
            for server in servers:
                stack.push_async_callback(server.aclose, grace=0.0)

    async def restart(self) -> None:
        """Stop and start again at the same ports; what the store holds stays.

        Raises:
            ConnectError: somebody else has taken the port in between.
        """
        async with self.down():
            pass

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Be away inside the block: clients are cut off, and whoever connects is refused (ECONNREFUSED).

        A lab that ends meanwhile stays away as a whole.

        Raises:
            UsageError: the lab does not run.
            ConnectError: at the end; somebody else has taken the port in between.
        """
        if self._lab is None or not self._lab.is_running:
            raise UsageError(f"the lab's {self.name} has not been started")
        await self.aclose()
        try:
            yield
        finally:
            if self._lab.is_running:  # else nobody would close what starts here
                await self.start(self._lab)

    @property
    def clients(self) -> int:
        """How many clients there are now."""
        return sum(server.clients for server in self._servers)

    # Its clients.

    def _certificate(self) -> Certificate | None:
        assert self._lab is not None
        fault = self._lab.faults.meet(self.name, TLS)
        return None if fault is None else fault.certificate

    async def _serve(self, connection: Connection) -> None:
        lab = self._lab
        assert lab is not None
        self._number += 1
        conversation = Conversation(lab, self._manner, connection, self._number, self._context)
        lab.remember(conversation.dialogue)
        if (tls := connection.tls) is not None:
            conversation.dialogue.say("!", f"TLS: {printable(tls.version)}".encode())
        try:
            await self._talk(conversation)
            await conversation.aclose(wait=True)
        except (Ended, NetError):
            # The peer has left, or broke the rules so that there is nothing to say, or a fault has done its work.
            with contextlib.suppress(Ended, NetError):
                await conversation.aclose(wait=True)
        except BaseException:
            await conversation.aclose(wait=False)
            raise
        finally:
            lab.wake()
