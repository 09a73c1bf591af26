"""Clients that receive much: `python -m benchmarks.core.receivers KIND WAY PORT BYTES [check]`.

Prints the bytes received, the seconds and the CPU seconds that it took, and, with `check`, their CRC-32.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

READ, EXACT, INTO = 65_536, 1_048_576, 262_144

PERIOD = 65_521

Take = Callable[[Any], None]


def pattern(size: int) -> bytes:
    """Make what `limit pour` sends (see common.h)."""
    x, period = 1, bytearray()
    for _ in range(PERIOD):
        x = (x * 1_103_515_245 + 12_345) & 0xFFFF_FFFF
        period.append(x >> 16 & 0xFF)
    return (bytes(period) * (size // PERIOD + 1))[:size]


class Tally:
    """Counts bytes, and takes the time from the first to the last; with `check`, their CRC-32 as well.

    The first chunk starts the clocks, so that no library pays here for its import and its loop.
    """

    def __init__(self, size: int, *, check: bool) -> None:
        self._size = size
        self._check = check
        self.bytes = self.crc = 0
        self.seconds = self.cpu = 0.0

    def take(self, data: Any) -> None:
        """Take a chunk."""
        if not self.bytes:
            self._began, self._spent = time.perf_counter(), time.process_time()
        self.bytes += len(data)
        if self._check:
            self.crc = zlib.crc32(data, self.crc)
        if self.bytes == self._size:
            self.seconds, self.cpu = time.perf_counter() - self._began, time.process_time() - self._spent


def blocking(port: int, size: int, take: Take) -> None:
    """Receive on a blocking socket: the limit of Python."""
    memory = memoryview(bytearray(INTO))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        while count := sock.recv_into(memory):
            take(memory[:count])


async def asyncnet_read(port: int, size: int, take: Take) -> None:
    """Receive what is there."""
    import asyncnet

    async with asyncnet.connect(f"tcp://127.0.0.1:{port}") as connection:
        while data := await connection.read(READ):
            take(data)


async def asyncnet_exactly(port: int, size: int, take: Take) -> None:
    """Receive in blocks."""
    import asyncnet

    async with asyncnet.connect(f"tcp://127.0.0.1:{port}") as connection:
        for _ in range(size // EXACT):
            take(await connection.read_exactly(EXACT))


async def asyncnet_into(port: int, size: int, take: Take) -> None:
    """Receive into memory of our own."""
    import asyncnet

    memory = memoryview(bytearray(INTO))
    async with asyncnet.connect(f"tcp://127.0.0.1:{port}") as connection:
        while count := await connection.read_into(memory):
            take(memory[:count])


async def streams_read(port: int, size: int, take: Take) -> None:
    """Receive by StreamReader.read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while data := await reader.read(READ):
        take(data)
    writer.close()


async def streams_exactly(port: int, size: int, take: Take) -> None:
    """Receive by StreamReader.readexactly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(size // EXACT):
        take(await reader.readexactly(EXACT))
    writer.close()


class Sink(asyncio.Protocol):
    """asyncio.Protocol."""

    def __init__(self, take: Take) -> None:
        self.data_received = take
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


class BufferedSink(asyncio.BufferedProtocol):
    """asyncio.BufferedProtocol."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._memory = memoryview(bytearray(INTO))
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        self._take(self._memory[:nbytes])

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


def callbacks(kind: type[Sink] | type[BufferedSink]) -> Callable[[int, int, Take], Coroutine[Any, Any, None]]:
    """Receive by callbacks of this kind."""

    async def receive(port: int, size: int, take: Take) -> None:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(lambda: kind(take), "127.0.0.1", port)
        await protocol.lost

    return receive


async def anyio_receive(port: int, size: int, take: Take) -> None:
    """Receive by anyio."""
    import anyio

    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        async for data in stream:
            take(data)


async def tornado_bytes(port: int, size: int, take: Take) -> None:
    """Receive by Tornado."""
    from tornado.iostream import StreamClosedError
    from tornado.tcpclient import TCPClient

    stream = await TCPClient().connect("127.0.0.1", port)
    try:
        while True:
            take(await stream.read_bytes(READ, partial=True))
    except StreamClosedError:
        pass


async def tornado_into(port: int, size: int, take: Take) -> None:
    """Receive by Tornado into memory of our own."""
    from tornado.iostream import StreamClosedError
    from tornado.tcpclient import TCPClient

    stream = await TCPClient().connect("127.0.0.1", port)
    memory = memoryview(bytearray(INTO))
    try:
        while True:
            take(memory[: await stream.read_into(memory, partial=True)])
    except StreamClosedError:
        pass


def trio_receive(port: int, size: int, take: Take) -> None:
    """Receive by trio."""
    import trio

    async def main() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while data := await stream.receive_some(READ):
                take(data)

    trio.run(main)


def twisted_receive(port: int, size: int, take: Take) -> None:
    """Receive by Twisted."""
    from twisted.internet import epollreactor

    epollreactor.install()
    from twisted.internet import protocol, reactor

    class TwistedSink(protocol.Protocol):
        dataReceived = staticmethod(take)

        def connectionLost(self, reason: object = None) -> None:
            reactor.stop()

    factory = protocol.ClientFactory.forProtocol(TwistedSink)
    factory.noisy = False
    reactor.connectTCP("127.0.0.1", port, factory)
    reactor.run()


WAYS: dict[tuple[str, str], Callable[[int, int, Take], Coroutine[Any, Any, None] | None]] = {
    ("socket", "recv_into"): blocking,
    ("protocol", "data_received"): callbacks(Sink),
    ("protocol", "buffered"): callbacks(BufferedSink),
    ("asyncnet", "read"): asyncnet_read,
    ("asyncnet", "read_exactly"): asyncnet_exactly,
    ("asyncnet", "read_into"): asyncnet_into,
    ("streams", "read"): streams_read,
    ("streams", "readexactly"): streams_exactly,
    ("anyio", "receive"): anyio_receive,
    ("trio", "receive_some"): trio_receive,
    ("twisted", "dataReceived"): twisted_receive,
    ("tornado", "read_bytes"): tornado_bytes,
    ("tornado", "read_into"): tornado_into,
}


def main() -> None:
    """Receive."""
    name, way, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    kind, _, loop = name.partition("+")
    tally = Tally(size, check="check" in sys.argv[5:])
    receiving = WAYS[kind, way](port, size, tally.take)
    if receiving is not None and loop == "uvloop":
        import uvloop

        uvloop.run(receiving)
    elif receiving is not None:
        asyncio.run(receiving)
    print(tally.bytes, tally.seconds, tally.cpu, tally.crc)


if __name__ == "__main__":
    main()
