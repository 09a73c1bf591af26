"""memory_pair(): one law book for two Connections, joined in memory or over TCP on loopback."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import asyncnet
from asyncnet.errors import ClosedError, DeadlineError, DisconnectedError, IncompleteRead, LimitError, UsageError
from asyncnet.streams.connection import Connection
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import PATIENCE, until

Pair = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Connection, Connection]]]


@contextlib.asynccontextmanager
async def in_memory(**options: Any) -> AsyncIterator[tuple[Connection, Connection]]:
    client, server = asyncnet.memory_pair(**options)
    try:
        yield client, server
    finally:
        client.abort()
        server.abort()
        await client.aclose()
        await server.aclose()


@contextlib.asynccontextmanager
async def over_loopback(*, timeout: float | None = 30.0, max_buffer_bytes: int = 262_144) -> Any:
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    done = asyncio.Event()

    async def handler(connection: Connection) -> None:
        connection._timeout = connection._write_timeout = timeout
        await accepted.put(connection)
        await done.wait()

    options: dict[str, Any] = {"max_buffer_bytes": max_buffer_bytes}
    async with asyncnet.serve(handler, "tcp://127.0.0.1:0", grace=0.0, **options) as server:
        async with asyncnet.connect(server.endpoint, **options) as client:
            client._timeout = client._write_timeout = timeout  # of what follows, and not of this
            try:
                yield client, await accepted.get()
            finally:
                done.set()
                client.abort()


anywhere = pytest.mark.parametrize("pair", [in_memory, over_loopback], ids=["memory", "loopback"])


# Reading and writing.


@anywhere
@on_both_loops
async def test_what_one_writes_the_other_reads(pair: Pair) -> None:
    async with pair() as (client, server):
        for one, other in ((client, server), (server, client)):
            await one.write(b"hello")
            assert await other.read_exactly(5) == b"hello"
        await client.write(bytearray(b"a line\nand "))
        assert await server.read_until(b"\n") == b"a line\n"
        await client.writelines([b"an", bytearray(b"oth"), memoryview(b"er\n")])
        assert await server.read_until(b"\n") == b"and another\n"
        assert client.sent_bytes == server.received_bytes == 5 + 11 + 8
        assert server.sent_bytes == client.received_bytes == 5


@anywhere
@on_both_loops
async def test_every_way_to_read(pair: Pair) -> None:
    async with pair() as (client, server):
        await client.write(b"0123456789one\ntwo\nthree")
        await client.write_eof()
        assert await server.read(4) == b"0123"
        buffer = bytearray(3)
        assert await server.read_into(buffer, min_bytes=3) == 3
        assert buffer == b"456"
        assert await server.read_exactly(3) == b"789"
        assert [line async for line in server.lines()] == [b"one\n", b"two\n", b"three"]
        assert await server.read() == b""
        with pytest.raises(IncompleteRead):
            await server.read_exactly(1)


@anywhere
@on_both_loops
async def test_a_read_waits_for_a_write_and_takes_it_straight_into_memory(pair: Pair) -> None:
    async with pair() as (client, server):
        reading = asyncio.create_task(server.read_exactly(100_000))
        await asyncio.sleep(0)
        data = os.urandom(100_000)
        for at in range(0, len(data), 30_000):
            await client.write(data[at : at + 30_000])
            await asyncio.sleep(0)
        assert await reading == data


@anywhere
@on_both_loops
async def test_a_line_beyond_the_limit_stays_buffered(pair: Pair) -> None:
    async with pair() as (client, server):
        await client.write(b"x" * 100)
        with pytest.raises(LimitError):
            await server.read_until(b"\n", max_bytes=50)
        assert await server.read_exactly(100) == b"x" * 100


@anywhere
@on_both_loops
async def test_a_mutable_buffer_may_be_changed_after_the_write(pair: Pair) -> None:
    async with pair() as (client, server):
        data = bytearray(os.urandom(500_000))
        whole = bytes(data)
        reading = asyncio.create_task(server.read_exactly(len(whole)))
        await client.write(data)
        data[:] = bytes(len(data))
        assert await reading == whole


@anywhere
@on_both_loops
async def test_both_may_talk_at_once(pair: Pair) -> None:
    async def talk(one: Connection, data: bytes) -> bytes:
        async with asyncio.TaskGroup() as group:
            group.create_task(one.write(data))
            got = group.create_task(one.read_exactly(len(data)))
        return got.result()

    async with pair() as (client, server):
        ours, theirs = os.urandom(3_000_000), os.urandom(3_000_000)
        assert await asyncio.gather(talk(client, ours), talk(server, theirs)) == [theirs, ours]


@pytest.mark.parametrize("seed", range(3))
@anywhere
@on_both_loops
async def test_random_reads_and_writes(pair: Pair, seed: int) -> None:
    draw = random.Random(seed)
    data = draw.randbytes(1_000_000)

    async def write(connection: Connection) -> None:
        at = 0
        while at < len(data):
            size = draw.choice([1, 100, 5_000, 300_000])
            await connection.write(data[at : at + size])
            at += size
        await connection.write_eof()

    async def read(connection: Connection) -> bytes:
        got = bytearray()
        while chunk := await connection.read(draw.choice([1, 1_000, 65_536, 200_000])):
            got += chunk
            if draw.random() < 0.1:
                await asyncio.sleep(0)
        return bytes(got)

    async with pair(max_buffer_bytes=50_000) as (client, server):
        _, got = await asyncio.gather(write(client), read(server))
        assert got == data


# The end.


@anywhere
@on_both_loops
async def test_half_an_end_leaves_the_other_half(pair: Pair) -> None:
    async with pair() as (client, server):
        await client.write(b"question")
        await client.write_eof()
        assert b"".join([chunk async for chunk in server]) == b"question"
        with pytest.raises(ClosedError, match="ended our half"):
            await client.write(b"more")
        reading = asyncio.create_task(_everything(client))
        await server.write(b"answer" * 50_000)
        await server.aclose()
        assert await reading == b"answer" * 50_000


@anywhere
@on_both_loops
async def test_a_close_sends_what_is_left_and_ends_the_peers_reads(pair: Pair) -> None:
    async with pair() as (client, server):
        reading = asyncio.create_task(_everything(server))
        await client.write(b"x" * 200_000)
        await client.aclose()
        await client.aclose()
        assert await reading == b"x" * 200_000
        with pytest.raises(ClosedError):
            await client.read()
        with pytest.raises(ClosedError):
            await client.write(b"x")


async def _everything(connection: Connection) -> bytes:
    return b"".join([chunk async for chunk in connection])


@anywhere
@on_both_loops
async def test_who_writes_to_one_that_has_closed_is_told(pair: Pair) -> None:
    async with pair() as (client, server):
        await server.aclose()
        assert await client.read() == b""
        with pytest.raises(DisconnectedError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await client.write(b"x")
                    await asyncio.sleep(MS)


@anywhere
@on_both_loops
async def test_a_close_over_unread_bytes_is_a_reset(pair: Pair) -> None:
    """They never leave the kernel, or the transport that pauses, of the one; so the other must hear of it."""
    async with pair(max_buffer_bytes=2) as (client, server):
        await client.write(b"x" * 40_000)
        await until(lambda: server.received_bytes)
        await client.write(b"x" * 40_000)
        await server.aclose()
        with pytest.raises(DisconnectedError):
            await client.read()


@anywhere
@on_both_loops
async def test_an_abort_is_a_reset_after_what_had_come(pair: Pair) -> None:
    async with pair() as (client, server):
        await client.write(b"last words")
        await until(lambda: server.received_bytes == 10)
        # A reset, also over TCP: there are bytes that the client has not read.
        await server.write(b"unread" * 10_000)
        client.abort()
        client.abort()
        assert await server.read() == b"last words"
        with pytest.raises(DisconnectedError):
            await server.read()
        with pytest.raises(DisconnectedError):
            await server.write(b"x")
        with pytest.raises(ClosedError):
            await client.read()


@anywhere
@on_both_loops
async def test_an_abort_wakes_who_reads_and_who_writes(pair: Pair) -> None:
    async with pair() as (client, server):
        writing = asyncio.create_task(client.write(b"x" * 20_000_000))
        reading = asyncio.create_task(client.read())
        await until(lambda: server._protocol.reading_paused)
        server.abort()
        for task in (writing, reading):
            with pytest.raises(DisconnectedError):
                await task


@anywhere
@on_both_loops
async def test_an_abort_after_a_close_is_no_reset(pair: Pair) -> None:
    async with pair() as (client, server):
        await client.write(b"x")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        client.abort()
        await closing
        assert await _everything(server) == b"x"


@anywhere
@on_both_loops
async def test_both_may_close_at_once(pair: Pair) -> None:
    async with pair() as (client, server):
        await asyncio.gather(client.aclose(), server.aclose())
        assert client.is_closed
        assert server.is_closed


# Backpressure.


@anywhere
@on_both_loops
async def test_a_writer_waits_for_a_reader_within_bounds(pair: Pair) -> None:
    async with pair(max_buffer_bytes=100_000) as (client, server):
        data = os.urandom(20_000_000)
        writing = asyncio.create_task(client.write(data))
        await until(lambda: server._protocol.reading_paused)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not writing.done()
        assert server.received_bytes <= 50_000 + 262_144  # half the buffer, and one read of uvloop's
        assert await server.read_exactly(len(data)) == data
        await writing


@anywhere
@on_both_loops
async def test_a_cancelled_read_loses_nothing(pair: Pair) -> None:
    async with pair() as (client, server):
        got = b""
        for read in (server.read, lambda: server.read_exactly(50), lambda: server.read_until(b"!"), server.read):
            task = asyncio.create_task(read())
            await asyncio.sleep(0)
            await client.write(b"a")
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got += await task
        got += await server.read_exactly(4 - len(got))
        assert got == b"aaaa"


# Deadlines.


OPERATIONS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "read": lambda connection: connection.read(),
    "read_exactly": lambda connection: connection.read_exactly(100_000),
    "read_until": lambda connection: connection.read_until(b"\n"),
    "write": lambda connection: connection.write(b"x" * 20_000_000),
}


@pytest.mark.parametrize("name", OPERATIONS)
@anywhere
@on_both_loops
async def test_a_deadline_aborts(pair: Pair, name: str) -> None:
    async with pair(timeout=20 * MS) as (client, server):
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            await OPERATIONS[name](client)
        assert time.monotonic() - began < 2000 * MS
        with pytest.raises(DeadlineError):
            await client.read()
        with contextlib.suppress(DisconnectedError):
            while await server.read(timeout=PATIENCE):
                pass
        await until(lambda: client._protocol.lost)


@anywhere
@on_both_loops
async def test_every_await_of_a_talk_may_be_cancelled(pair: Pair) -> None:
    async def talk() -> None:
        async with pair() as (client, server):
            async with asyncio.TaskGroup() as group:
                group.create_task(client.write(b"x" * 300_000))
                await server.read_exactly(300_000)
            await server.write(b"y")
            await client.read()
            await client.aclose()
            await server.read()

    assert await cancelled_at_each_await(talk) > 2


# Its own.


@on_both_loops
async def test_asyncios_reader_and_writer_work_on_it() -> None:
    async with in_memory() as (client, server):
        reader, writer = client.reader, client.writer
        writer.write(b"ping\n")
        await writer.drain()
        assert await server.read_until(b"\n") == b"ping\n"
        await server.write(b"pong\n")
        assert await reader.readline() == b"pong\n"
        writer.write_eof()
        assert await server.read() == b""
        await server.aclose()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@on_both_loops
async def test_there_is_neither_address_nor_tls() -> None:
    async with in_memory() as (client, server):
        assert client.peer == server.local == ("", 0)
        assert client.tls is None
        assert client.unix_credentials is None
        assert not client.is_tls
        assert client._protocol.transport.get_protocol() is client._protocol  # type: ignore[union-attr]


@on_both_loops
async def test_one_task_may_hold_both_ends() -> None:
    async with in_memory() as (client, server):
        data = os.urandom(60_000)
        for _ in range(50):
            await client.write(data)
            assert await server.read_exactly(len(data)) == data
            await server.write(data)
            assert await client.read_exactly(len(data)) == data


@on_both_loops
async def test_who_answers_from_within_the_wake_up_keeps_the_order() -> None:
    async def answer(connection: Connection) -> None:
        async for chunk in connection:
            await connection.write(chunk)

    async with in_memory(max_buffer_bytes=1_000) as (client, server):
        answering = asyncio.create_task(answer(server))
        data = os.urandom(1_000_000)
        writing = asyncio.create_task(client.write(data))
        assert await client.read_exactly(len(data)) == data
        await writing
        await client.write_eof()
        await answering


async def test_a_limit_below_1_is_refused() -> None:
    with pytest.raises(UsageError):
        asyncnet.memory_pair(max_buffer_bytes=0)


async def test_a_pair_in_memory_has_no_tls(authority: Authority) -> None:
    client, server = asyncnet.memory_pair()
    async with client, server:
        for one, context in ((client, authority.client()), (server, authority.server)):
            with pytest.raises(UsageError, match="in memory"):
                await one.start_tls(context)
        await client.write(b"as before")
        assert await server.read() == b"as before"
