"""writelines(): many chunks in order and as one, within the transport's bounds, whatever their sizes."""

import asyncio
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncnet
from asyncnet.errors import DeadlineError, DisconnectedError
from asyncnet.streams import send
from asyncnet.streams.connection import Connection
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import joined, keep_little, until


@given(st.lists(st.integers(0, 700_000), max_size=6))
def test_batches_are_bounded_and_lose_nothing(sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    batches = list(send._batches(pieces))
    assert b"".join(part for batch in batches for part in batch) == b"".join(pieces)
    counts = [sum(map(len, batch)) for batch in batches]
    assert all(count == send.PIECE_BYTES for count in counts[:-1])
    assert all(0 < count <= send.PIECE_BYTES for count in counts[-1:])
    assert all(len(part) for batch in batches for part in batch)


@pytest.mark.parametrize("vectored", [False, True], ids=["joined", "vectored"])
@pytest.mark.parametrize("seed", range(3))
@on_both_loops
async def test_chunks_of_any_size_arrive_in_order(
    seed: int, vectored: bool, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    if vectored and not hasattr(asyncio.selector_events._SelectorSocketTransport, "_write_sendmsg"):
        pytest.skip("a vectored send came with Python 3.12")
    monkeypatch.setattr(send, "_VECTORED", vectored)
    draw = random.Random(seed)
    chunks = [draw.randbytes(draw.choice([0, 1, 100, 10_000, 400_000])) for _ in range(30)]
    whole = b"".join(chunks)
    kinds = [bytes, bytearray, memoryview]
    async with joined() as (connection, end):
        reading = asyncio.create_task(end.receive(len(whole)))
        await connection.writelines([draw.choice(kinds)(chunk) for chunk in chunks])
        assert await reading == whole
        assert connection.sent_bytes == len(whole)


@on_both_loops
async def test_under_tls_too(authority: Authority) -> None:
    chunks = [os.urandom(size) for size in (1, 300_000, 0, 70_000)]

    async def handler(connection: Connection) -> None:
        await connection.writelines(chunks)

    async with asyncnet.serve(handler, "tls://127.0.0.1:0", tls=authority.server) as server:
        async with asyncnet.connect(server.endpoint, tls=authority.client()) as connection:
            assert b"".join([chunk async for chunk in connection]) == b"".join(chunks)


@on_both_loops
async def test_what_the_transport_holds_is_bounded() -> None:
    async with joined(small=True) as (connection, end):
        transport = connection._protocol.transport
        assert transport
        writing = asyncio.create_task(connection.writelines([b"x" * 100_000] * 100))
        got = 0
        while got < 10_000_000:
            assert transport.get_write_buffer_size() <= send.PIECE_BYTES + 65_536
            got += len(await end.receive(500_000))
        await writing


@on_both_loops
async def test_on_a_server_a_slow_client_may_take_much() -> None:
    """The limit is for each wait there, as in `write`."""
    done: list[bool] = []

    async def handler(connection: Connection) -> None:
        keep_little(connection)
        await connection.writelines([b"x" * 250_000] * 48)
        done.append(True)
        await connection.writelines([b"x" * 250_000] * 48)

    async with asyncnet.serve(handler, "tcp://127.0.0.1:0", write_timeout=400 * MS) as server:
        async with asyncnet.connect(server.endpoint) as client:
            got, began = 0, time.monotonic()
            while got < 12_000_000:
                got += await client.read_into(bytearray(500_000))
                if time.monotonic() - began < 500 * MS:
                    await asyncio.sleep(10 * MS)
            assert time.monotonic() - began > 400 * MS
            await until(lambda: server.clients == 0)
            assert done
            assert server.stats.errors == {"DeadlineError": 1}


@on_both_loops
async def test_a_deadline_of_the_callers_is_for_all() -> None:
    async with joined(small=True) as (connection, _):
        with pytest.raises(DeadlineError):
            await connection.writelines([b"x" * 100_000] * 30, timeout=20 * MS)
        with pytest.raises(DeadlineError):
            await connection.write(b"x")


@on_both_loops
async def test_a_peer_that_leaves_in_the_middle_is_told() -> None:
    async with joined(small=True) as (connection, end):
        writing = asyncio.create_task(connection.writelines([b"x" * 100_000] * 100))
        await until(lambda: connection._protocol._paused)
        end.reset()
        with pytest.raises(DisconnectedError):
            await writing
