"""Connections whose other end is in the test's hand: a plain socket, or the test itself in the transport's place."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

from asyncnet.dial import attach
from asyncnet.endpoint import Endpoint
from asyncnet.streams.connection import Connection
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.streams.reading import READ_BYTES

MAX_BUFFER = 262_144
SOMEWHERE = Endpoint.parse("tcp://127.0.0.1:7")
PATIENCE = 10.0
"""Seconds for what happens at once unless it never does."""


class End:
    """The other end: a plain TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, count: int) -> bytes:
        """Exactly so many bytes; fewer only at the end."""
        data = bytearray()
        while len(data) < count and (chunk := await self._chunk(min(65536, count - len(data)))):
            data += chunk
        return bytes(data)

    async def rest(self) -> bytes:
        """All up to the end; a reset is an end too."""
        data = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := await self._chunk(65536):
                data += chunk
        return bytes(data)

    async def _chunk(self, most: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.sock, most)

    def finish(self) -> None:
        """Send the end of this half."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection by an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def _two_sockets(small: bool) -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listener:
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ours = socket.socket()
        try:
            if small:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return ours, theirs


@contextlib.asynccontextmanager
async def joined(
    *,
    max_buffer_bytes: int = MAX_BUFFER,
    small: bool = False,
    protocol_class: type[StreamProtocol] = StreamProtocol,
    **options: Any,
) -> AsyncIterator[tuple[Connection, End]]:
    """A Connection over real TCP, with these options of its own, and its other end.

    With `small` the kernel holds a few kilobytes in our sending direction, so that a peer which does not read is felt
    at once.
    """
    ours, theirs = await _two_sockets(small)
    end = End(theirs)
    try:
        loop = asyncio.get_running_loop()
        _, protocol = await attach(ours, lambda: protocol_class(loop, SOMEWHERE, max_buffer_bytes), None, SOMEWHERE)
        connection = Connection(protocol, SOMEWHERE, **options)
        try:
            yield connection, end
        finally:
            connection.abort()
            await connection.aclose()
    finally:
        theirs.close()


def keep_little(connection: Connection) -> None:
    """Let the kernel hold little of what we send: a step is a small one then."""
    assert connection._protocol.transport
    descriptor = connection._protocol.transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)


async def until(condition: Any) -> None:
    """Give way to the loop until `condition()` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (a state, of which nobody tells)
            await asyncio.sleep(0)


async def arrived(connection: Connection, count: int) -> None:
    """Wait until so many bytes in all have come in."""
    await until(lambda: connection.received_bytes >= count)


class Hand(asyncio.Transport):
    """A transport whose bytes come when the test says so, in the pieces and the way that it says."""

    def __init__(self, protocol: StreamProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.current: asyncio.BaseProtocol = protocol
        self.max_size = 0  # as asyncio's own has it: such a transport can fill the memory of a reader
        self.paused = False
        self.closing = False
        self.written: list[Any] = []
        protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.current = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.current

    def feed(self, data: bytes, *, as_buffer: bool = True) -> None:
        """Hand over bytes as asyncio's loop does (`as_buffer`: into memory where there is some), or as uvloop does."""
        while data:
            if as_buffer and isinstance(self.current, asyncio.BufferedProtocol):
                room = memoryview(self.current.get_buffer(-1))
                count = min(len(room), len(data))
                assert count
                room[:count] = data[:count]
                self.current.buffer_updated(count)
            else:
                count = len(data) if not as_buffer else min(READ_BYTES, len(data))
                self.protocol.data_received(data[:count])
            data = data[count:]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


def in_hand(
    *, max_buffer_bytes: int = MAX_BUFFER, protocol_class: type[StreamProtocol] = StreamProtocol, **options: Any
) -> tuple[Connection, Hand]:
    """A Connection without a socket, and the transport under it."""
    protocol = protocol_class(asyncio.get_running_loop(), SOMEWHERE, max_buffer_bytes)
    hand = Hand(protocol)
    return Connection(protocol, SOMEWHERE, **options), hand
