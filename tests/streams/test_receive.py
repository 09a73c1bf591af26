"""Reading: each method to its end, on every chunking, under cancellation, and against its deadline."""

import array
import asyncio
import contextlib
import ctypes
import itertools
import math
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnet.errors import (
    ClosedError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    UsageError,
)
from asyncnet.streams.connection import Connection
from asyncnet.streams.protocol import StreamProtocol
from tests.clock import MS
from tests.loops import on_both_loops
from tests.streams.ends import PATIENCE, Hand, arrived, in_hand, joined, until

Read = Callable[[Connection], Awaitable[object]]

READS: dict[str, Read] = {
    "read": lambda connection: connection.read(),
    "read_exactly": lambda connection: connection.read_exactly(1000),
    "read_exactly, large": lambda connection: connection.read_exactly(100_000),
    "read_until": lambda connection: connection.read_until(b"\r\n"),
    "read_into": lambda connection: connection.read_into(bytearray(1000), min_bytes=500),
    "lines": lambda connection: anext(connection.lines()),
    "chunks": lambda connection: anext(aiter(connection)),
}
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)
both_ways = pytest.mark.parametrize("as_buffer", [True, False], ids=["buffered", "plain"])


# What a read gives.


@on_both_loops
async def test_read_gives_what_is_there() -> None:
    async with joined() as (connection, end):
        await end.send(b"hello")
        assert await connection.read() == b"hello"
        await end.send(b"world")
        assert await connection.read(2) == b"wo"
        assert await connection.read(2) == b"rl"
        assert await connection.read() == b"d"


@on_both_loops
async def test_read_gives_the_end_again_and_again() -> None:
    async with joined() as (connection, end):
        await end.send(b"last")
        end.finish()
        await arrived(connection, 4)
        assert [await connection.read() for _ in range(3)] == [b"last", b"", b""]
        assert await connection.read_into(bytearray(4)) == 0
        assert [chunk async for chunk in connection] == []
        assert [line async for line in connection.lines()] == []


@pytest.mark.parametrize("count", [0, -1])
async def test_read_of_nothing_would_look_like_the_end(count: int) -> None:
    async with joined() as (connection, end):
        await end.send(b"data")
        await arrived(connection, 4)
        with pytest.raises(UsageError, match="cannot read"):
            await connection.read(count)
        assert await connection.read() == b"data"


@pytest.mark.parametrize("count", [1, 999, 16_383, 16_384, 65_536, 300_000])
@on_both_loops
async def test_read_exactly_gives_so_many_bytes(count: int) -> None:
    data = random.Random(count).randbytes(count + 100)
    async with joined() as (connection, end):
        sending = asyncio.create_task(end.send(data))
        assert await connection.read_exactly(count) == data[:count]
        assert await connection.read_exactly(0) == b""
        assert await connection.read_exactly(100) == data[count:]
        await sending
        with pytest.raises(UsageError, match="cannot read -1"):
            await connection.read_exactly(-1)


@pytest.mark.parametrize("count", [1000, 100_000])
@on_both_loops
async def test_read_exactly_tells_what_came_before_the_end(count: int) -> None:
    async with joined() as (connection, end):
        await end.send(b"x" * 700)
        end.finish()
        with pytest.raises(IncompleteRead) as raised:
            await connection.read_exactly(count)
        assert (raised.value.partial, raised.value.expected) == (b"x" * 700, count)
        assert await connection.read() == b""
        with pytest.raises(IncompleteRead) as raised:
            await connection.read_exactly(count)
        assert (raised.value.partial, raised.value.expected) == (b"", count)


@on_both_loops
async def test_read_until_tells_what_came_before_the_end() -> None:
    async with joined() as (connection, end):
        await end.send(b"one\ntwo")
        end.finish()
        assert await connection.read_until() == b"one\n"
        with pytest.raises(IncompleteRead) as raised:
            await connection.read_until()
        assert (raised.value.partial, raised.value.expected) == (b"two", None)
        assert await connection.read() == b""


@on_both_loops
async def test_read_until_leaves_what_is_beyond_its_limit() -> None:
    async with joined() as (connection, end):
        await end.send(b"x" * 30 + b"\r\n")
        await arrived(connection, 32)
        for limit in (2, 10, 31):
            with pytest.raises(LimitError, match=f"within {limit} bytes") as raised:
                await connection.read_until(b"\r\n", max_bytes=limit)
            assert raised.value.limit == limit
        assert await connection.read_until(b"\r\n", max_bytes=32) == b"x" * 30 + b"\r\n"


@pytest.mark.parametrize(("separator", "limit"), [(b"", 10), (b"\r\n", 1)])
async def test_read_until_refuses_what_it_could_never_find(separator: bytes, limit: int) -> None:
    async with joined() as (connection, _):
        with pytest.raises(UsageError, match="separator"):
            await connection.read_until(separator, max_bytes=limit)


@on_both_loops
async def test_read_into_fills_the_callers_memory() -> None:
    async with joined() as (connection, end):
        memory = bytearray(b"." * 10)
        await end.send(b"abc")
        assert await connection.read_into(memory) == 3
        assert memory == b"abc......."
        await end.send(b"0123456789ABC")
        await arrived(connection, 16)
        assert await connection.read_into(memory, min_bytes=10) == 10
        assert memory == b"0123456789"
        assert await connection.read() == b"ABC"


@on_both_loops
async def test_read_into_waits_for_its_least() -> None:
    async with joined() as (connection, end):
        memory = bytearray(100)
        reading = asyncio.create_task(connection.read_into(memory, min_bytes=6))
        for count, piece in enumerate((b"ab", b"cd", b"efg"), 1):
            assert not reading.done()
            await end.send(piece)
            await arrived(connection, 2 * count)
        assert await reading == 7
        assert memory[:7] == b"abcdefg"


@on_both_loops
async def test_read_into_tells_what_came_before_its_least() -> None:
    async with joined() as (connection, end):
        await end.send(b"abc")
        end.finish()
        with pytest.raises(IncompleteRead) as raised:
            await connection.read_into(bytearray(10), min_bytes=5)
        assert (raised.value.partial, raised.value.expected) == (b"abc", 5)


@on_both_loops
async def test_read_into_takes_memory_of_any_shape() -> None:
    async with joined() as (connection, end):
        numbers = array.array("I", [0] * 4)
        await end.send(b"\1\0\0\0" * 4)
        assert await connection.read_into(numbers, min_bytes=16) == 16
        assert list(numbers) == [1, 1, 1, 1]
        square = memoryview(bytearray(16)).cast("B", (4, 4))
        await end.send(bytes(range(16)))
        assert await connection.read_into(square, min_bytes=16) == 16
        assert square[3, 3] == 15
        record = (ctypes.c_ubyte * 4)()
        await end.send(b"wxyz")
        assert await connection.read_into(record, min_bytes=4) == 4
        assert bytes(record) == b"wxyz"


@pytest.mark.parametrize(
    ("memory", "least"),
    [(b"read-only", 1), (bytearray(3), 4), (bytearray(3), 0), (bytearray(), 1), (memoryview(bytearray(9))[::2], 1)],
)
async def test_read_into_refuses_what_it_cannot_fill(memory: bytearray, least: int) -> None:
    async with joined() as (connection, end):
        with pytest.raises(UsageError):
            await connection.read_into(memory, min_bytes=least)
        with pytest.raises(UsageError, match="contiguous"):
            await connection.read_into("text")  # type: ignore[arg-type]
        await end.send(b"x")
        assert await connection.read() == b"x"


@on_both_loops
async def test_lines_come_one_by_one_and_the_last_may_lack_its_end() -> None:
    async with joined() as (connection, end):
        await end.send(b"one\r\n\ntwo\nthree")
        end.finish()
        assert [line async for line in connection.lines()] == [b"one\r\n", b"\n", b"two\n", b"three"]


@on_both_loops
async def test_a_line_beyond_the_limit_stays_buffered() -> None:
    async with joined() as (connection, end):
        await end.send(b"short\n" + b"x" * 20)
        lines = connection.lines(max_bytes=10)
        assert await anext(lines) == b"short\n"
        with pytest.raises(LimitError):
            await anext(lines)
        assert await connection.read_exactly(20) == b"x" * 20


@on_both_loops
async def test_chunks_come_to_the_end() -> None:
    data = random.Random(1).randbytes(500_000)
    async with joined() as (connection, end):
        sending = asyncio.create_task(end.send(data))
        sending.add_done_callback(lambda _: end.finish())
        assert b"".join([chunk async for chunk in connection]) == data
        await sending


# Every chunking.


@both_ways
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\r\n.\r\n", b"aab"])
async def test_a_separator_is_found_wherever_it_is_cut(separator: bytes, as_buffer: bool) -> None:
    first, second = b"aaa\r\r\n.a" + separator, b"\r\naa" + separator
    data = first + second + b"rest"
    expected = []
    left = data
    while separator in left:
        piece, _, left = left.partition(separator)
        expected.append(piece + separator)
    for cuts in itertools.combinations(range(1, len(data)), 2):
        connection, hand = in_hand()
        reading = asyncio.create_task(_all_until(connection, separator, len(expected)))
        for begin, stop in itertools.pairwise((0, *cuts, len(data))):
            hand.feed(data[begin:stop], as_buffer=as_buffer)
            await asyncio.sleep(0)
        assert await reading == expected
        assert await connection.read_exactly(len(left)) == left


async def _all_until(connection: Connection, separator: bytes, count: int) -> list[bytes]:
    return [await connection.read_until(separator, max_bytes=100) for _ in range(count)]


@both_ways
@pytest.mark.parametrize("count", [8, 20_000])
async def test_a_block_is_whole_wherever_it_is_cut(count: int, as_buffer: bool) -> None:
    data = random.Random(count).randbytes(2 * count + 5)
    step = max(1, len(data) // 20)
    for cuts in itertools.combinations(range(1, len(data), step), 2):
        connection, hand = in_hand()
        reading = asyncio.create_task(_blocks(connection, count))
        for begin, stop in itertools.pairwise((0, *cuts, len(data))):
            hand.feed(data[begin:stop], as_buffer=as_buffer)
            await asyncio.sleep(0)
        assert await reading == data[: 2 * count]
        assert await connection.read_exactly(5) == data[2 * count :]


async def _blocks(connection: Connection, count: int) -> bytes:
    block = await connection.read_exactly(count)
    memory = bytearray(count)
    assert await connection.read_into(memory, min_bytes=count) == count
    return block + memory


class Step:
    """One move of the game below, as hypothesis writes it."""

    feed = st.tuples(st.just("feed"), st.integers(1, 400))
    read = st.tuples(st.just("read"), st.integers(1, 300))
    exactly = st.tuples(st.just("exactly"), st.integers(0, 600))
    until = st.tuples(st.just("until"), st.integers(1, 200))
    into = st.tuples(st.just("into"), st.integers(1, 300))
    cancel = st.tuples(st.just("cancel"), st.just(0))
    turn = st.tuples(st.just("turn"), st.just(0))
    any = st.one_of(feed, feed, read, exactly, until, into, cancel, turn, turn)


@settings(max_examples=300)
@given(steps=st.lists(Step.any, max_size=60), as_buffer=st.booleans(), seed=st.integers(0, 1000), limit=st.booleans())
def test_no_byte_is_lost_or_moved_by_any_order_of_events(
    steps: list[tuple[str, int]], as_buffer: bool, seed: int, limit: bool
) -> None:
    asyncio.run(_game(steps, as_buffer, random.Random(seed), 256 if limit else 65_536))


async def _game(steps: list[tuple[str, int]], as_buffer: bool, rng: random.Random, max_buffer_bytes: int) -> None:
    connection, hand = in_hand(max_buffer_bytes=max_buffer_bytes)
    sent, got = bytearray(), bytearray()
    reading: asyncio.Task[bytes] | None = None
    for move, number in steps:
        if move == "feed":
            if not hand.paused:
                data = bytes(rng.choices(b"ab\n", k=number))
                sent += data
                _feed_paused(hand, data, as_buffer)
        elif move == "turn":
            await asyncio.sleep(0)
        elif move == "cancel":
            if reading is not None:
                reading.cancel()
        elif reading is None:
            reading = asyncio.create_task(_reading(connection, move, number))
        if reading is not None and reading.done():
            got += _outcome(reading)
            reading = None
    if reading is not None:
        reading.cancel()
        await asyncio.wait({reading})
        got += _outcome(reading)
    got += await _what_is_left(connection, hand, len(sent) - len(got))
    assert got == sent


def _feed_paused(hand: Hand, data: bytes, as_buffer: bool) -> None:
    # One read of the kernel at a time: a transport that was paused in between would have kept the rest.
    for begin in range(0, len(data), 100):
        hand.feed(data[begin : begin + 100], as_buffer=as_buffer)


def _outcome(reading: "asyncio.Task[bytes]") -> bytes:
    if reading.cancelled():
        return b""
    error = reading.exception()
    assert error is None or isinstance(error, LimitError)
    return b"" if error is not None else reading.result()


async def _reading(connection: Connection, move: str, number: int) -> bytes:
    if move == "read":
        return await connection.read(number)
    if move == "exactly":
        return await connection.read_exactly(number)
    if move == "until":
        return await connection.read_until(b"\n", max_bytes=number)
    memory = bytearray(number)
    return bytes(memory[: await connection.read_into(memory, min_bytes=(number + 1) // 2)])


async def _what_is_left(connection: Connection, hand: Hand, count: int) -> bytes:
    hand.protocol.eof_received()
    return b"".join([chunk async for chunk in connection]) if count else b""


class Counting(StreamProtocol):
    """Counts the bytes that are copied or moved on the way to the reader."""

    copied = 0

    def gather(self) -> bytearray:
        waiting = len(self.head) - self.offset
        if self.tail is None or waiting:
            self.copied += self.buffered
        return super().gather()

    def settle(self) -> None:
        if not self.head and self.tail is not None:
            self.copied += len(self.tail)
        super().settle()

    def take_exactly(self, count: int) -> bytes:
        if count > len(self.head) - self.offset:
            self.copied += self.buffered
        return super().take_exactly(count)


class Searching(Connection):
    """Counts the bytes that are looked at."""

    __slots__ = ("searched",)

    def _find(self, separator: bytes, searched: int, max_bytes: int) -> int:
        self.searched += self._protocol.buffered - searched
        return super()._find(separator, searched, max_bytes)


@both_ways
async def test_read_until_is_linear_on_bytes_that_come_one_by_one(as_buffer: bool) -> None:
    size = 20_000
    plain, hand = in_hand(protocol_class=Counting)
    connection = Searching(plain._protocol, plain.endpoint)
    connection.searched = 0
    reading = asyncio.create_task(connection.read_until(b"\r\n\r\n", max_bytes=2 * size))
    await asyncio.sleep(0)
    for byte in b"\r" * size + b"\r\n\r\n":
        hand.feed(bytes((byte,)), as_buffer=as_buffer)
        await asyncio.sleep(0)
    assert len(await reading) == size + 4
    assert hand.protocol.copied < 4 * size  # type: ignore[attr-defined]
    assert connection.searched < 6 * size


async def test_many_lines_in_one_buffer_are_cut_without_moving_the_rest() -> None:
    connection, hand = in_hand(protocol_class=Counting)
    for _ in range(50):
        hand.feed(b"line\n" * 200)
    lines = 0
    while hand.protocol.buffered:
        assert await connection.read_until() == b"line\n"
        lines += 1
    assert lines == 50 * 200
    assert hand.protocol.copied <= 2 * 50 * 1000  # type: ignore[attr-defined]


# Cancellation.


@every_read
@on_both_loops
async def test_a_cancelled_read_leaves_every_byte(read: Read) -> None:
    async with joined() as (connection, end):
        came = b""
        for piece in (b"", b"ab", b"cd", b"ef"):
            await end.send(piece)
            came += piece
            await arrived(connection, len(came))
            reading = asyncio.ensure_future(_run(read(connection)))
            await asyncio.sleep(0)
            if reading.done():  # those that take whatever there is
                assert await reading == came
                came = b""
                break
            reading.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await reading
        await end.send(b"more")
        assert await connection.read_exactly(len(came) + 4) == came + b"more"


async def _run(awaitable: Awaitable[object]) -> object:
    return await awaitable


@both_ways
@every_read
async def test_a_cancellation_between_the_bytes_and_the_task_loses_neither(read: Read, as_buffer: bool) -> None:
    connection, hand = in_hand()
    data = random.Random(7).randbytes(120_000).replace(b"\n", b" ")
    for data_first in (True, False):
        reading = asyncio.ensure_future(_run(read(connection)))
        await asyncio.sleep(0)
        moves = [lambda: hand.feed(data, as_buffer=as_buffer), reading.cancel]
        for move in moves if data_first else reversed(moves):
            move()  # in a task, so that the reader cannot be resumed in between
        with pytest.raises(asyncio.CancelledError):
            await reading
        hand.feed(b"more", as_buffer=as_buffer)
        assert await connection.read_exactly(len(data) + 4) == data + b"more"


@on_both_loops
async def test_a_cancelled_reader_and_the_next_do_not_mix() -> None:
    """The next read begins before the cancelled one has ended: it is refused, and the cancellation stands."""
    async with joined() as (connection, end):
        first = asyncio.create_task(connection.read_exactly(10), name="first")
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(UsageError, match="first"):
            await connection.read()
        with pytest.raises(asyncio.CancelledError):
            await first
        await end.send(b"data")
        assert await connection.read() == b"data"


async def test_a_cancelled_read_does_not_leave_its_deadline_behind() -> None:
    async with joined(timeout=30 * MS) as (connection, end):
        for read in READS.values():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2 * MS):
                    await read(connection)
        await asyncio.sleep(60 * MS)
        await end.send(b"alive")
        assert await connection.read() == b"alive"


@pytest.mark.parametrize("seed", range(3))
@on_both_loops
async def test_random_reads_under_random_cancellations_and_deadlines(seed: int) -> None:
    """200,000 bytes: none lost, none moved."""
    rng = random.Random(seed)
    data = rng.randbytes(200_000)
    async with joined(max_buffer_bytes=rng.choice((1000, 20_000, 262_144))) as (connection, end):
        sending = asyncio.create_task(_send_in_pieces(end, data, random.Random(-seed)))
        got = bytearray()
        cancelled = 0
        while len(got) < len(data):
            reading = asyncio.create_task(_random_read(connection, rng, len(data) - len(got)))
            if rng.random() < 0.7:
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                reading.cancel()
            await asyncio.wait({reading})
            if reading.cancelled():
                cancelled += 1
            elif (error := reading.exception()) is None:
                got += reading.result()
            else:
                assert isinstance(error, TimeoutError | LimitError)
                cancelled += isinstance(error, TimeoutError)
        await sending
        assert got == data
        assert cancelled > 30


async def _send_in_pieces(end: object, data: bytes, rng: random.Random) -> None:
    at = 0
    while at < len(data):
        size = rng.choice((1, 10, 100, 1000, 2500))
        await end.send(data[at : at + size])  # type: ignore[attr-defined]
        at += size
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)


async def _random_read(connection: Connection, rng: random.Random, left: int) -> bytes:
    size = min(left, rng.choice((1, 50, 500, 4000, 20_000)))
    kind = rng.randrange(4)
    async with asyncio.timeout(rng.choice((0, 0.2 * MS, None))):
        if kind == 0:
            return await connection.read(size)
        if kind == 1:
            return await connection.read_exactly(size)
        if kind == 2:
            return await connection.read_until(b"e", max_bytes=max(size, 1))
        memory = bytearray(size)
        return bytes(memory[: await connection.read_into(memory, min_bytes=rng.randint(1, size))])


# Two readers.


@every_read
@on_both_loops
async def test_a_second_reader_is_told_who_reads(read: Read) -> None:
    async with joined() as (connection, end):
        first = asyncio.create_task(connection.read_exactly(4), name="the reader in charge")
        await end.send(b"ab")
        await arrived(connection, 2)
        with pytest.raises(UsageError, match="the reader in charge is in a read"):
            await read(connection)
        await end.send(b"cd")
        assert await first == b"abcd"


# Deadlines.


@every_read
@on_both_loops
async def test_a_deadline_ends_the_read_and_the_connection(read: Read) -> None:
    async with joined(timeout=20 * MS) as (connection, end):
        with pytest.raises(DeadlineError, match=r"read took more than 0\.02 seconds") as raised:
            await read(connection)
        assert raised.value.seconds == 20 * MS
        assert connection.is_closed or connection._protocol.transport.is_closing()  # type: ignore[union-attr]
        assert await end.rest() == b""
        with pytest.raises(DeadlineError):
            await connection.read()
        with pytest.raises(DeadlineError):
            await connection.write(b"x")


TRICKLED = {name: read for name, read in READS.items() if name not in ("read", "chunks")}


@pytest.mark.parametrize("read", TRICKLED.values(), ids=TRICKLED)
@on_both_loops
async def test_a_trickle_does_not_put_a_deadline_off(read: Read) -> None:
    async with joined(timeout=60 * MS) as (connection, end):
        began = asyncio.get_running_loop().time()
        reading = asyncio.ensure_future(_run(read(connection)))
        with contextlib.suppress(ConnectionError):
            while not reading.done():
                await end.send(b".")
                await asyncio.sleep(5 * MS)
        with pytest.raises(DeadlineError):
            await reading
        assert asyncio.get_running_loop().time() - began < 600 * MS


@on_both_loops
async def test_a_timeout_of_one_call_comes_before_the_connections_own() -> None:
    async with joined(timeout=10 * MS) as (connection, end):
        reading = asyncio.create_task(connection.read(timeout=math.inf))
        await asyncio.sleep(40 * MS)
        await end.send(b"late")
        assert await reading == b"late"
        reading = asyncio.create_task(connection.read(timeout=10.0))
        await asyncio.sleep(40 * MS)
        await end.send(b"late")
        assert await reading == b"late"
    async with joined(timeout=10.0) as (connection, end):
        with pytest.raises(DeadlineError):
            await connection.read(timeout=10 * MS)


@on_both_loops
async def test_what_is_there_needs_no_time() -> None:
    async with joined(timeout=0.0) as (connection, end):
        await end.send(b"one\ntwo\nthree" + b"x" * 20_000)
        await arrived(connection, 20_013)
        assert await connection.read_until() == b"one\n"
        assert await connection.read_exactly(4) == b"two\n"
        assert await connection.read_into(bytearray(5)) == 5
        assert await connection.read_exactly(20_000) == b"x" * 20_000
        with pytest.raises(DeadlineError):
            await connection.read()


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
@every_read
async def test_a_timeout_that_is_none_is_refused(read: Read, seconds: float) -> None:
    async with joined(timeout=seconds) as (connection, end):
        with pytest.raises(UsageError, match="a timeout is a number of seconds"):
            await read(connection)
        await end.send(b"alive")
        assert await connection.read(timeout=10.0) == b"alive"


# The end of it.


@every_read
@on_both_loops
async def test_what_came_before_a_reset_is_given_before_the_error(read: Read) -> None:
    async with joined() as (connection, end):
        await end.send(b"precious")
        await arrived(connection, 8)
        end.reset()
        await asyncio.sleep(5 * MS)
        got = b""
        with pytest.raises(DisconnectedError) as raised:
            while True:
                result = await read(connection)
                assert isinstance(result, bytes)
                got += result
        got += getattr(raised.value, "partial", b"")
        with contextlib.suppress(DisconnectedError):
            while True:
                got += await connection.read()
        assert got == b"precious"
        with pytest.raises(DisconnectedError, match="reset"):
            await connection.read()


@every_read
@on_both_loops
async def test_a_reset_wakes_the_reader(read: Read) -> None:
    async with joined() as (connection, end):
        reading = asyncio.ensure_future(_run(read(connection)))
        await asyncio.sleep(0)
        end.reset()
        with pytest.raises(DisconnectedError, match="reset"):
            await reading


@every_read
@on_both_loops
async def test_no_read_after_closing_even_of_what_had_come(read: Read) -> None:
    async with joined() as (connection, end):
        await end.send(b"a line\r\n" * 20_000)
        await arrived(connection, 100_000)
        await connection.aclose()
        with pytest.raises(ClosedError):
            await read(connection)


@every_read
@on_both_loops
async def test_closing_wakes_the_reader(read: Read) -> None:
    async with joined() as (connection, _):
        reading = asyncio.ensure_future(_run(read(connection)))
        await asyncio.sleep(0)
        await connection.aclose()
        with pytest.raises(ClosedError):
            await reading


# Bounded memory.


@on_both_loops
async def test_reading_pauses_while_nobody_reads() -> None:
    async with joined(max_buffer_bytes=65_536) as (connection, end):
        data = random.Random(3).randbytes(16_000_000)  # the kernel holds up to 10 MB of it
        sending = asyncio.create_task(end.send(data))
        await arrived(connection, 32_768)
        for _ in range(50):
            await asyncio.sleep(0.2 * MS)
        # Half of it, and one read of the kernel on top: 64 KiB on asyncio's loop, up to 256 KB on uvloop.
        assert connection.received_bytes <= 32_768 + 262_144
        assert not sending.done()
        assert await connection.read_exactly(len(data)) == data
        await sending


@pytest.mark.parametrize("limit", [1, 2, 1000])
@on_both_loops
async def test_a_unit_larger_than_the_buffer_still_comes(limit: int) -> None:
    async with joined(max_buffer_bytes=limit) as (connection, end):
        data = b"x" * 5000 + b"\n"
        await end.send(data + data + data)
        assert await connection.read_until(b"\n", max_bytes=10_000) == data
        assert await connection.read_exactly(5001) == data
        memory = bytearray(5001)
        assert await connection.read_into(memory, min_bytes=5001) == 5001
        assert memory == data


@on_both_loops
async def test_memory_of_a_reader_is_filled_by_whichever_way_and_then_no_more() -> None:
    """A transport that can is given another protocol while a read waits with much memory; ours again afterwards."""
    async with joined() as (connection, end):
        transport = connection._protocol.transport
        assert transport
        direct = hasattr(transport, "max_size")
        memory = bytearray(100_000)
        reading = asyncio.create_task(connection.read_into(memory, min_bytes=50_000))
        await asyncio.sleep(0)
        assert (transport.get_protocol() is connection._protocol) is not direct
        await end.send(b"a" * 20_000)
        await arrived(connection, 20_000)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert transport.get_protocol() is connection._protocol
        memory[:] = bytes(len(memory))
        await end.send(b"b" * 20_000)
        assert await connection.read_exactly(40_000) == b"a" * 20_000 + b"b" * 20_000
        assert not any(memory)
        assert transport.get_protocol() is connection._protocol


@on_both_loops
async def test_the_end_while_memory_is_filled_gives_back_what_came() -> None:
    async with joined() as (connection, end):
        reading = asyncio.create_task(connection.read_exactly(50_000))
        await end.send(b"a" * 20_000)
        await arrived(connection, 20_000)
        end.finish()
        with pytest.raises(IncompleteRead) as caught:
            await reading
        assert caught.value.partial == b"a" * 20_000
        await connection.write(b"still open")
        assert await end.receive(10) == b"still open"


@on_both_loops
async def test_a_writer_gets_room_while_memory_is_filled() -> None:
    """What the transport says of its buffer reaches us through the protocol of the moment."""
    async with joined(small=True, write_timeout=PATIENCE) as (connection, end):
        reading = asyncio.create_task(connection.read_exactly(50_000))
        await asyncio.sleep(0)
        writing = asyncio.create_task(connection.write(b"x" * 1_000_000))
        await until(lambda: connection._protocol._paused)
        assert len(await end.receive(1_000_000)) == 1_000_000
        await writing
        await end.send(b"y" * 50_000)
        assert await reading == b"y" * 50_000
