"""Writing: all of it or an error, whole and in order, within bounds of memory and time."""

import array
import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable

import pytest

from asyncnet.errors import ClosedError, DeadlineError, DisconnectedError, UsageError
from asyncnet.streams.connection import Connection
from asyncnet.streams.send import PIECE_BYTES
from tests.clock import MS
from tests.loops import on_both_loops
from tests.streams.ends import SOMEWHERE, End, joined, until

BIG = 8 * 1024 * 1024

WRITES: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "bytes": lambda connection: connection.write(b"x"),
    "large bytes": lambda connection: connection.write(b"x" * (PIECE_BYTES + 1)),
    "bytearray": lambda connection: connection.write(bytearray(b"x")),
    "large bytearray": lambda connection: connection.write(bytearray(PIECE_BYTES + 1)),
    "writelines": lambda connection: connection.writelines([b"x", b"y"]),
    "large writelines": lambda connection: connection.writelines([b"x" * 100_000, b"y" * 200_000]),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


# What arrives.


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (bytearray(), b""),
        (b"bytes", b"bytes"),
        (bytearray(b"bytearray"), b"bytearray"),
        (memoryview(b"memoryview")[2:], b"moryview"),
        (memoryview(bytes(range(16))).cast("B", (4, 4)), bytes(range(16))),
        (memoryview(b"abcdef")[::2], b"ace"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
        (memoryview(array.array("d", [1.5])), array.array("d", [1.5]).tobytes()),
    ],
    ids=lambda one: type(one).__name__,
)
@on_both_loops
async def test_any_buffer_arrives_as_its_bytes(data: bytes, expected: bytes) -> None:
    async with joined() as (connection, end):
        await connection.write(data)
        await connection.writelines([data, b"|", data])
        await connection.write(b"!")
        await connection.write_eof()
        assert await end.rest() == expected + expected + b"|" + expected + b"!"
        assert connection.sent_bytes == 3 * len(expected) + 2


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
@on_both_loops
async def test_a_large_write_arrives_whole(size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with joined() as (connection, end):
        receiving = asyncio.create_task(end.rest())
        await connection.write(data)
        await connection.write(memoryview(data))
        await connection.writelines([data[:10], data[10:]])
        await connection.write_eof()
        assert await receiving == data * 3
        assert connection.sent_bytes == 3 * size


@pytest.mark.parametrize(
    "make", [bytearray, lambda data: memoryview(bytearray(data)), lambda data: array.array("B", data)], ids="bma"
)
@pytest.mark.parametrize("size", [1, 60_000, 300_000, 2_000_000])
@on_both_loops
async def test_memory_may_be_changed_once_write_has_returned(size: int, make: Callable[[bytes], bytearray]) -> None:
    async with joined(small=True) as (connection, end):
        first, second = make(b"A" * size), make(b"B" * size)
        receiving = asyncio.create_task(_receive_late(end, 2 * size))
        for data in (first, second):
            await connection.write(data)
            for at in range(0, size, 97):
                data[at] = 0
        assert await receiving == b"A" * size + b"B" * size


async def _receive_late(end: End, count: int) -> bytes:
    await asyncio.sleep(2 * MS)  # meanwhile the transport holds what the kernel does not take
    return await end.receive(count)


# How much may wait.


@on_both_loops
async def test_write_waits_while_the_peer_does_not_read() -> None:
    async with joined(small=True) as (connection, end):
        data = random.Random(2).randbytes(BIG)
        writing = asyncio.create_task(connection.write(data))
        for _ in range(50):
            await asyncio.sleep(0.2 * MS)
        transport = connection._protocol.transport
        assert transport is not None
        assert not writing.done()
        assert transport.get_write_buffer_size() <= PIECE_BYTES + 65_536
        assert await end.receive(BIG) == data
        await writing


@on_both_loops
async def test_many_small_writes_wait_too() -> None:
    async with joined(small=True, timeout=20 * MS) as (connection, _):
        transport = connection._protocol.transport
        assert transport is not None
        with pytest.raises(DeadlineError, match=r"write took more than 0\.02 seconds"):
            for _ in range(BIG // 1000):
                await connection.write(b"x" * 1000)
                assert transport.get_write_buffer_size() < 66_000


@on_both_loops
async def test_several_writers_wait_for_the_same_room() -> None:
    async with joined(small=True) as (connection, end):
        writers = [asyncio.create_task(connection.write(bytes([65 + n]) * 100_000)) for n in range(4)]
        await asyncio.sleep(2 * MS)
        writers[1].cancel()
        got = await end.receive(400_000)
        await asyncio.wait(writers)
        assert [writer.cancelled() for writer in writers] == [False, True, False, False]
        assert got == b"".join(bytes([65 + n]) * 100_000 for n in range(4))


@on_both_loops
async def test_writes_of_two_tasks_are_not_torn() -> None:
    async with joined(small=True) as (connection, end):
        large = [b"A" * (4 * PIECE_BYTES), bytearray(b"B" * (3 * PIECE_BYTES))]
        writers = [asyncio.create_task(connection.write(data)) for data in large]
        await asyncio.sleep(2 * MS)
        writers.append(asyncio.create_task(connection.write(b"small")))
        writers.append(asyncio.create_task(connection.writelines([b"C" * 100_000, b"D" * 100_000])))
        expected = b"".join((*large, b"small", b"C" * 100_000, b"D" * 100_000))
        assert await end.receive(len(expected)) == expected
        await asyncio.gather(*writers)
        await connection.write(b"after")
        assert await end.receive(5) == b"after"


@on_both_loops
async def test_who_waits_for_his_turn_may_be_cancelled() -> None:
    async with joined(small=True) as (connection, end):
        first = asyncio.create_task(connection.write(b"A" * BIG))
        await asyncio.sleep(MS)
        second = asyncio.create_task(connection.write(b"B"))
        third = asyncio.create_task(connection.write(b"C"))
        await asyncio.sleep(MS)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await end.receive(BIG + 1) == b"A" * BIG + b"C"
        await asyncio.gather(first, third)


# Deadlines.


@pytest.mark.parametrize(
    "data", [b"x" * BIG, bytearray(BIG), b"x" * 200_000], ids=["pieces", "copied pieces", "one piece"]
)
@on_both_loops
async def test_a_deadline_ends_the_write_and_the_connection(data: bytes) -> None:
    async with joined(small=True, timeout=20 * MS) as (connection, end):
        with pytest.raises(DeadlineError) as raised:
            await connection.write(data)
        assert raised.value.seconds == 20 * MS
        assert len(await end.rest()) < len(data)
        for operation in (connection.write(b"x"), connection.read()):
            with pytest.raises(DeadlineError):
                await operation


@on_both_loops
async def test_a_reader_that_takes_little_does_not_put_the_deadline_off() -> None:
    async with joined(small=True, timeout=60 * MS) as (connection, end):
        began = asyncio.get_running_loop().time()
        writing = asyncio.create_task(connection.write(b"x" * (4 * BIG)))
        with contextlib.suppress(ConnectionError):
            while not writing.done():
                await end.receive(100_000)
                await asyncio.sleep(2 * MS)
        with pytest.raises(DeadlineError):
            await writing
        assert asyncio.get_running_loop().time() - began < 1000 * MS


@on_both_loops
async def test_a_servers_limit_is_for_each_wait_and_lets_a_slow_client_take_all() -> None:
    limit = 1000 * MS  # far above what a busy machine takes between two rounds of the client, far below all of them
    async with joined(small=True, write_timeout=limit, server_side=True) as (connection, end):
        began = asyncio.get_running_loop().time()
        writing = asyncio.create_task(connection.write(bytes(BIG)))
        got = 0
        while got < BIG:
            chunk = await end.receive(min(400_000, BIG - got))
            assert chunk, "the limit was taken for one of the whole write"
            got += len(chunk)
            await asyncio.sleep(50 * MS)
        await writing
        assert asyncio.get_running_loop().time() - began > limit
        with pytest.raises(DeadlineError):
            await connection.write(bytes(BIG))


@on_both_loops
async def test_a_cancelled_write_leaves_no_deadline_behind_and_the_connection_open() -> None:
    async with joined(small=True, timeout=40 * MS) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * MS):
                await connection.write(b"x" * 200_000)
        await asyncio.sleep(80 * MS)
        assert await end.receive(200_000) == b"x" * 200_000
        await connection.write(b"alive")
        assert await end.receive(5) == b"alive"


@on_both_loops
async def test_each_writer_has_its_own_deadline() -> None:
    """One gives up early by itself: the other's time is still its own."""
    async with joined(small=True) as (connection, end):
        patient = asyncio.create_task(connection.write(b"A" * 200_000, timeout=10.0))
        await asyncio.sleep(MS)
        hasty = asyncio.create_task(connection.write(b"B" * 1000, timeout=30 * MS))
        await asyncio.sleep(MS)
        hasty.cancel()
        await asyncio.wait({hasty})
        await asyncio.sleep(60 * MS)
        assert not patient.done()
        assert await end.receive(201_000) == b"A" * 200_000 + b"B" * 1000
        await patient


@on_both_loops
async def test_waiting_for_ones_turn_counts() -> None:
    async with joined(small=True) as (connection, _):
        first = asyncio.create_task(connection.write(b"A" * BIG, timeout=math.inf))
        await asyncio.sleep(MS)
        with pytest.raises(DeadlineError):
            await connection.write(b"B", timeout=20 * MS)
        with pytest.raises(DeadlineError):
            await first


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
async def test_a_timeout_that_is_none_is_refused(seconds: float) -> None:
    async with joined(small=True) as (connection, _):
        with pytest.raises(UsageError, match="a timeout is a number"):
            await connection.write(b"x" * 500_000, timeout=seconds)


# The end of it.


@every_write
@on_both_loops
async def test_writes_to_a_lost_connection_raise(write: Callable[[Connection], Awaitable[object]]) -> None:
    async with joined() as (connection, end):
        end.reset()
        with pytest.raises(DisconnectedError):
            for _ in range(3):
                await write(connection)
                await asyncio.sleep(MS)
        for _ in range(20):
            with pytest.raises(DisconnectedError):
                await write(connection)


@on_both_loops
async def test_a_reset_wakes_the_writer() -> None:
    async with joined(small=True) as (connection, end):
        writing = asyncio.create_task(connection.write(b"x" * BIG))
        await asyncio.sleep(2 * MS)
        end.reset()
        with pytest.raises(DisconnectedError):
            await writing


@every_write
@on_both_loops
async def test_no_write_after_closing(write: Callable[[Connection], Awaitable[object]]) -> None:
    async with joined() as (connection, end):
        await connection.aclose()
        with pytest.raises(ClosedError):
            await write(connection)
        assert await end.rest() == b""


@on_both_loops
async def test_closing_wakes_the_writer() -> None:
    async with joined(small=True) as (connection, end):
        writing = asyncio.create_task(connection.write(b"x" * BIG))
        await asyncio.sleep(2 * MS)
        closing = asyncio.create_task(connection.aclose())
        await end.rest()
        await closing
        with pytest.raises(ClosedError):
            await writing


@on_both_loops
async def test_write_eof_ends_one_half() -> None:
    async with joined() as (connection, end):
        await connection.write(b"question")
        await connection.write_eof()
        await connection.write_eof()
        assert await end.rest() == b"question"
        await end.send(b"answer")
        end.finish()
        assert await connection.read_exactly(6) == b"answer"
        assert await connection.read() == b""


@on_both_loops
async def test_write_eof_comes_after_what_still_waits() -> None:
    async with joined(small=True) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * 200_000)
        await connection.write_eof()
        assert await end.rest() == b"x" * 200_000


@every_write
@on_both_loops
async def test_no_write_after_write_eof(write: Callable[[Connection], Awaitable[object]]) -> None:
    async with joined() as (connection, end):
        await connection.write_eof()
        with pytest.raises(ClosedError):
            await write(connection)
        assert await end.rest() == b""
        await end.send(b"still open")
        assert await connection.read() == b"still open"


@on_both_loops
async def test_the_peers_half_may_end_first() -> None:
    async with joined() as (connection, end):
        await end.send(b"question")
        end.finish()
        assert await connection.read() + await connection.read() == b"question"
        for _ in range(3):
            await connection.write(b"answer")
            await asyncio.sleep(MS)
        await connection.aclose()
        assert await end.rest() == b"answer" * 3


async def test_the_endpoint_is_named() -> None:
    async with joined() as (connection, _):
        await connection.aclose()
        with pytest.raises(ClosedError, match=r"write tcp://127\.0\.0\.1:7: the connection is closed"):
            await connection.write(b"x")
        await until(lambda: connection.is_closed)
        assert repr(connection) == f"<asyncnet.Connection {SOMEWHERE} closed>"
