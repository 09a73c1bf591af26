"""Connection: one duplex byte stream, whatever carries it.

Reads give what is there without a turn of the loop; they wait only where nothing is. A cancelled read loses no byte. A
read or write whose deadline passes aborts the connection, for what the peer sends later would answer another question.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import TYPE_CHECKING

from asyncnet.dial import CLOSE_SECONDS
from asyncnet.streams.address import Address, UnixCredentials, address, unix_credentials
from asyncnet.streams.send import SendStream

if TYPE_CHECKING:
    from asyncnet.streams.tls_info import TLSInfo

_ABORTED_SECONDS = 0.5
"""How long the loop may take to say that an aborted connection is gone; it does so in its next turn."""

_LINGER_SECONDS = 1.0
"""For a peer that was not read to the end, to take what we wrote and close: some round trips, whatever it sends."""


class Connection(SendStream):
    """A connected stream; made by `connect` and handed to the handlers of `serve`.

    Every method takes one task at a time: a second concurrent read is a UsageError that names the first; writes may
    run beside a read. `timeout` is seconds for the whole call; None takes the connection's own, `math.inf` is no limit.
    """

    __slots__ = ()

    # TLS in mid-stream.

    async def start_tls(
        self,
        context: ssl.SSLContext | None = None,
        *,
        after: bytes = b"",
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Upgrade to TLS, as client or server as the connection was made.

        Reading is stopped, `after` is sent (the server's go-ahead: an honest client answers it with its first TLS
        bytes at once), and the handshake runs. On a client call it once the server's go-ahead has been read.

        Args:
            context: None verifies against the system's authorities; a server must give its own.
            after: plaintext to send before the handshake.
            server_hostname: the name that the certificate must bear; None takes the endpoint's.
            timeout: seconds for all of it; a server without any takes 10.

        Raises:
            ProtocolError: plaintext was already buffered: somebody slipped it in before the upgrade (RFC 3207 §4.2).
            TLSError: the handshake failed or the certificate is not trusted.
            UsageError: no context on a server, TLS is on already, `reader`/`writer` own the bytes, or it is one of a
                `memory_pair`.
            DisconnectedError, DeadlineError, ClosedError: as in `write`.

        On failure or cancellation the connection is aborted.
        """
        from asyncnet.streams.upgrade import upgrade

        await upgrade(self, context, after, server_hostname, self._timeout if timeout is None else timeout)

    # Where and what.

    @property
    def is_tls(self) -> bool:
        """Whether TLS is on."""
        return self._protocol._over_ssl

    @property
    def peer(self) -> Address:
        """The other end's address; behind a PROXY header (`serve(..., proxy_protocol=True)`) the one it tells."""
        told = self._protocol.told_peer
        return address(told) if told else self._address("peername")

    @property
    def local(self) -> Address:
        """Our own address."""
        return self._address("sockname")

    def _address(self, which: str) -> Address:
        transport = self._protocol.transport
        return address(transport.get_extra_info(which) if transport is not None else None)

    @property
    def tls(self) -> TLSInfo | None:
        """What TLS agreed on: version, cipher, certificate, ALPN, SNI; None where there is no TLS."""
        from asyncnet.streams.tls_info import tls_info  # what few connections ask for is not paid for at import

        transport = self._protocol.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        return None if tls is None else tls_info(tls)

    @property
    def unix_credentials(self) -> UnixCredentials | None:
        """Who is at the other end of a Unix socket, as the kernel knows it (Linux); None elsewhere."""
        transport = self._protocol.transport
        sock = transport.get_extra_info("socket") if transport is not None else None
        return None if sock is None else unix_credentials(sock)

    @property
    def received_bytes(self) -> int:
        """How many bytes have come in so far (under TLS: of the plaintext)."""
        return self._protocol.received_bytes

    @property
    def sent_bytes(self) -> int:
        """How many bytes have been handed over for sending so far (under TLS: of the plaintext)."""
        return self._protocol.sent_bytes

    @property
    def opened_at(self) -> float:
        """When it was opened, in seconds of the loop's clock (`loop.time()`)."""
        return self._protocol.opened_at

    @property
    def reader(self) -> asyncio.StreamReader:
        """A real asyncio.StreamReader; from its first use on it owns the bytes, and the reads here raise UsageError."""
        if self._protocol.readable.is_busy:
            self._end("reader")
        if self._protocol.reader is None and self._closing:
            self._end("reader")
        return self._protocol.reader or self._protocol.adopt(server_side=self._server_side)

    @property
    def writer(self) -> asyncio.StreamWriter:
        """A real asyncio.StreamWriter, beside `reader`; what it sends is not in `sent_bytes`."""
        if self._protocol.writer is None:
            self._writable("writer")
            assert self.reader is not None
        return self._protocol.make_writer()

    # The end.

    @property
    def is_closed(self) -> bool:
        """Whether it was closed here or lost."""
        return self._closing or self._protocol.lost

    async def aclose(self) -> None:
        """Send what is left, say goodbye (TLS), and close, within 2 seconds; then abort. Idempotent.

        Where the peer has sent what was not read, the kernel would answer a close with a reset, which may take what we
        wrote from the peer as well (RFC 9293 §3.10.4, RFC 2525 §2.17). Then our half is closed first, and what still
        comes is dropped until the peer closes too, for a second at most. A client that leaves in the middle of an
        answer does not wait for the rest of it: once the peer's kernel has all that was written, it resets (Linux).

        Cancelled, it aborts at once.
        """
        await self._close(CLOSE_SECONDS)

    async def _close(self, seconds: float) -> None:
        protocol = self._protocol
        self._closing = True
        lingers = protocol.must_linger(in_haste=not self._server_side)
        protocol.drop()
        if protocol.transport is None or protocol.lost:
            return
        if lingers:
            protocol.linger()
            if not protocol.transport.get_write_buffer_size():
                seconds = min(seconds, _LINGER_SECONDS)
        elif not protocol.transport.is_closing():  # asyncio's TLS transport forgets all it knows at a second close()
            protocol.transport.close()
        if protocol.closed is None:
            protocol.closed = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({protocol.closed}, timeout=seconds)
            if not protocol.lost:
                protocol.abort()
                await asyncio.wait({protocol.closed}, timeout=_ABORTED_SECONDS)
        except asyncio.CancelledError:
            protocol.abort()
            raise

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
        await self.aclose()

    def __repr__(self) -> str:
        return f"<asyncnet.Connection {self.endpoint.redacted} {'closed' if self.is_closed else 'open'}>"
