"""Each known trap of asyncio's streams and servers, by its number in the notes on the core: none of them is ours."""

import asyncio
import contextlib
import gc
import logging
import random
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import asyncnet
from asyncnet.errors import (
    ClosedError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    ProtocolError,
    UsageError,
)
from asyncnet.streams import connection as connection_module
from asyncnet.streams import listener as listener_module
from asyncnet.streams.connection import Connection
from asyncnet.streams.reading import READ_BYTES
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority, Script, Talk
from tests.streams.ends import PATIENCE, arrived, joined, until

ANYWHERE = "tcp://127.0.0.1:0"


@on_both_loops
async def test_trap_01_closing_a_server_waits_for_its_handlers_and_no_longer_than_the_grace() -> None:
    """gh-79033, gh-104344: wait_closed() returns at once with live handlers, or never."""
    ended: list[str] = []

    async def handler(connection: Connection) -> None:
        try:
            await asyncio.sleep(10 * MS if await connection.read() == b"quick" else 1000)
        finally:
            ended.append("handler")

    for request, grace in ((b"quick", PATIENCE), (b"never", 20 * MS)):
        server = await asyncnet.serve(handler, ANYWHERE)
        async with asyncnet.connect(str(server.endpoint)) as connection:
            await connection.write(request)
            await until(lambda server=server: server.stats.active == 1)
            await asyncio.sleep(2 * MS)
            began = time.monotonic()
            await server.aclose(grace=grace)
            assert time.monotonic() - began < 2000 * MS
            assert ended.pop() == "handler"
            assert server.clients == 0


@on_both_loops
async def test_trap_02_closing_does_not_hang_and_does_not_raise_the_connections_own_error(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gh-83939: wait_closed() hangs, raises ConnectionResetError, or waits 30 s for a TLS peer's goodbye."""
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 30 * MS)
    async with joined() as (connection, end):
        end.reset()
        await until(lambda: connection._protocol.lost)
        await connection.aclose()
    async with Script("wait for ever", tls=authority.server, check=False) as peer:
        connection = await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())
        began = time.monotonic()
        await connection.aclose()
        assert time.monotonic() - began < 1000 * MS
        peer.release("for ever")


@on_both_loops
async def test_trap_03_an_upgrade_loses_no_bytes_and_pauses_the_right_transport(authority: Authority) -> None:
    """gh-142352: bytes in the reader are lost; gh-152431: the reader pauses the old transport."""

    async def handler(connection: Connection) -> None:
        await connection.read_until()
        await connection.start_tls(authority.server, after=b"go\r\n")
        await asyncnet.echo(connection)

    data = random.Random(3).randbytes(1_000_000)
    async with asyncnet.serve(handler, ANYWHERE, max_buffer_bytes=2000) as server:
        async with asyncnet.connect(str(server.endpoint), max_buffer_bytes=2000) as connection:
            await connection.write(b"STARTTLS\r\n")
            assert await connection.read_until() == b"go\r\n"
            await connection.start_tls(authority.client())
            writing = asyncio.create_task(connection.write(data))
            await asyncio.sleep(5 * MS)  # nobody reads meanwhile: both sides pause
            assert await connection.read_exactly(len(data), timeout=PATIENCE) == data
            await writing


@on_both_loops
async def test_trap_04_plaintext_behind_starttls_is_not_taken_for_tls(authority: Authority) -> None:
    """CVE-2011-0411 and its kin: commands slipped in before the handshake are read after it."""
    refused: list[str] = []

    async def handler(connection: Connection) -> None:
        await connection.read_until()
        with pytest.raises(ProtocolError):
            await connection.start_tls(authority.server, after=b"go\r\n")
        refused.append("by the server")

    async with asyncnet.serve(handler, ANYWHERE) as server, asyncnet.connect(str(server.endpoint)) as connection:
        await connection.write(b"STARTTLS\r\nINJECTED\r\n")
        with contextlib.suppress(DisconnectedError):
            assert await connection.read() == b""
    async with (
        Script("C: STARTTLS\nsend go\\r\\nINJECTED\\r\\n\nsilence", check=False) as peer,
        asyncnet.connect(f"tcp://{peer.address}") as connection,
    ):
        await connection.write(b"STARTTLS\r\n")
        await connection.read_until()
        with pytest.raises(ProtocolError):
            await connection.start_tls(authority.client())
        refused.append("by the client")
    assert refused == ["by the server", "by the client"]


@on_both_loops
async def test_trap_05_a_reset_does_not_hide_what_came_before_it() -> None:
    """gh-75044: read() raises first."""
    async with joined() as (connection, end):
        await end.send(b"220 welcome\r\n421 and goodbye\r\n")
        await arrived(connection, 30)
        end.reset()
        await until(lambda: connection._protocol.lost)
        assert await connection.read_until() == b"220 welcome\r\n"
        assert await connection.read() == b"421 and goodbye\r\n"
        with pytest.raises(DisconnectedError, match="reset"):
            await connection.read()


@on_both_loops
async def test_trap_06_a_handler_that_is_cancelled_or_fails_leaves_no_connection_open() -> None:
    """PR 113690, gh-155941."""

    async def handler(connection: Connection) -> None:
        match await connection.read():
            case b"fail":
                raise ValueError("on purpose")
            case b"cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
        await asyncio.sleep(1000)

    async with asyncnet.serve(handler, ANYWHERE, grace=0.0) as server:
        connections = [await asyncnet.connect(str(server.endpoint)) for _ in range(3)]
        for connection, request in zip(connections, (b"fail", b"cancel", b"stay"), strict=True):
            await connection.write(request)
        for connection in connections[:2]:
            assert await connection.read() == b""
        await server.aclose()
        for connection in connections:
            with contextlib.suppress(DisconnectedError):
                assert await connection.read() == b""
            await connection.aclose()


@on_both_loops
async def test_trap_07_the_server_closes_what_the_handler_forgets_and_a_dropped_writer_closes_nothing() -> None:
    """gh-114914, gh-109538."""
    kept: list[Connection] = []

    async def handler(connection: Connection) -> None:
        kept.append(connection)
        connection.writer.write(b"once ")
        gc.collect()
        connection.writer.write(b"twice")

    async with asyncnet.serve(handler, ANYWHERE) as server, asyncnet.connect(str(server.endpoint)) as connection:
        assert await connection.read_exactly(10) == b"once twice"
        assert await connection.read() == b""
    assert kept[0].is_closed


@on_both_loops
async def test_trap_08_a_cancellation_that_lands_with_the_result_is_not_swallowed() -> None:
    """gh-86296, gh-81839: wait_for() swallows it, and leaks a fresh connection."""
    async with joined(timeout=PATIENCE) as (connection, _):

        async def reading() -> str:
            await connection.read()
            return "the cancellation was swallowed"

        task = asyncio.create_task(reading())
        await asyncio.sleep(0)
        connection._protocol.data_received(b"the result")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.read() == b"the result"
    async with Script("S: hello", repeat=True, check=False) as peer:
        for turns in range(8):
            task = asyncio.ensure_future(_connected(f"tcp://{peer.address}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                await task.result().aclose()


async def _connected(url: str) -> Connection:
    return await asyncnet.connect(url)


@on_both_loops
async def test_trap_09_writes_into_a_lost_connection_raise() -> None:
    """Without drain() they succeed silently, 20 of 20."""
    async with joined() as (connection, end):
        end.reset()
        await until(lambda: connection._protocol.lost)
        for _ in range(20):
            with pytest.raises(DisconnectedError):
                await connection.write(b"x")


@on_both_loops
async def test_trap_10_memory_that_is_used_again_goes_out_as_it_was() -> None:
    """PR 31871: from 3.12 on the transport keeps a view; gh-135862: a matrix is cut short."""
    size = 8 * 1024 * 1024
    async with joined() as (connection, end):
        data = bytearray(b"A" * size)
        receiving = asyncio.create_task(end.receive(size + 16))
        await connection.write(data)
        data[:] = bytes(size)
        matrix = memoryview(bytearray(b"B" * 16)).cast("B", (4, 4))
        await connection.write(matrix)
        matrix[0, 0] = 0
        assert await receiving == b"A" * size + b"B" * 16


@on_both_loops
async def test_trap_11_a_limit_has_one_behaviour_and_the_bytes_stay() -> None:
    """readline() drops them, readuntil() keeps them, readexactly() knows no limit."""
    async with joined(max_buffer_bytes=1000) as (connection, end):
        await end.send(b"x" * 5000 + b"\n")
        for read in (
            lambda: connection.read_until(b"\n", max_bytes=100),
            lambda: anext(connection.lines(max_bytes=100)),
        ):
            with pytest.raises(LimitError) as raised:
                await read()
            assert raised.value.limit == 100
        assert await connection.read_exactly(5001) == b"x" * 5000 + b"\n"


@on_both_loops
async def test_trap_12_a_cut_under_tls_is_no_clean_end_and_half_close_is_refused(authority: Authority) -> None:
    for conversation, clean in (("S: all\nclose", True), ("S: all\ncut", False)):
        async with (
            Script(conversation, tls=authority.server, check=False) as peer,
            asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
        ):
            with pytest.raises(UsageError):
                await connection.write_eof()
            assert await connection.read_until() == b"all\r\n"
            if clean:
                assert await connection.read() == b""
            else:
                with pytest.raises(IncompleteRead):
                    await connection.read()


@on_both_loops
async def test_trap_13_two_tls_records_in_one_read_are_both_whole(authority: Authority) -> None:
    """gh-156275: with a bytearray from get_buffer() the second comes as NULs, count right."""

    def two_records(talk: Talk) -> None:
        talk.read(1)
        talk.wire.send(b"A" * 1000)
        talk.wire.send(b"B" * 1000)

    async with (
        Script(two_records, tls=authority.server) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
    ):
        await connection.write(b"x")
        await asyncio.sleep(0)
        time.sleep(20 * MS)  # noqa: ASYNC251 (the loop must not look in between)
        assert await connection.read_exactly(2000) == b"A" * 1000 + b"B" * 1000


@on_both_loops
async def test_trap_14_out_of_descriptors_the_accept_loop_does_not_spin(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """gh-151615: it retries all of the backlog, again and again, with a report each time."""
    caplog.set_level(logging.INFO, "asyncnet.server")
    monkeypatch.setattr(listener_module, "_RETRY_SECONDS", 20 * MS)
    tries: list[None] = []
    accept = listener_module.Listeners._accept

    def counted(self: listener_module.Listeners, listener: socket.socket) -> None:
        tries.append(None)
        accept(self, listener)

    monkeypatch.setattr(listener_module.Listeners, "_accept", counted)
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        async with asyncnet.connect(str(server.endpoint)) as early:
            await early.write(b"x")
            await early.read()
            crowd = [socket.socket() for _ in range(5)]
            with contextlib.ExitStack() as stack:
                for sock in crowd:
                    stack.enter_context(sock)
                tries.clear()
                with _no_more_descriptors():
                    for sock in crowd:
                        sock.connect(("127.0.0.1", server.endpoint.port))
                    await asyncio.sleep(70 * MS)
                    await early.write(b"still served")
                    assert await early.read() == b"still served"
                assert 1 <= len(tries) <= 8
                await until(lambda: server.clients == 6)
    assert ["no more clients for now" in record.getMessage() for record in caplog.records] == [True]


@contextlib.contextmanager
def _no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_trap_15_reads_are_of_64_kib_over_tls_of_a_record(authority: Authority) -> None:
    """gh-85451: recv() of 256 KiB maps and unmaps memory for every small message."""
    async with joined() as (connection, _):
        assert connection._protocol.transport.max_size == READ_BYTES == 65_536  # type: ignore[union-attr]
    async with (
        asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server) as server,
        asyncnet.connect(str(server.endpoint), tls=authority.client()) as first,
        asyncnet.connect(str(server.endpoint), tls=authority.client()) as second,
    ):
        layers = [one._protocol.transport._ssl_protocol for one in (first, second)]  # type: ignore[union-attr]
        assert layers[0].max_size == 16_384
        assert layers[0].get_buffer(-1) is layers[1].get_buffer(-1)


@on_both_loops
async def test_trap_16_many_chunks_at_once_wait_for_room_too(authority: Authority) -> None:
    """gh-127655: writelines() did not pause; gh-102792: drain() over TLS locked."""
    chunks = [b"x" * 100_000] * 80
    async with joined(small=True, timeout=30 * MS) as (connection, _):
        with pytest.raises(DeadlineError):
            await connection.writelines(chunks)
    async with (
        asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server) as server,
        asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection,
    ):
        writing = asyncio.create_task(connection.writelines(chunks))
        assert len(await connection.read_exactly(8_000_000)) == 8_000_000
        await writing


@pytest.mark.parametrize("eager", [False, True])
def test_trap_17_a_dead_first_address_costs_little_and_eager_tasks_crash_nothing(
    eager: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gh-124309, gh-135836, gh-131728: asyncio's own race of addresses."""
    if eager and sys.version_info < (3, 12):
        pytest.skip("eager tasks came with Python 3.12")
    known = socket.getaddrinfo

    def two_addresses(host: str | bytes, port: int, *rest: object, **options: object) -> list[object]:
        if host not in ("two.example.org", b"two.example.org"):
            return known(host, port, *rest, **options)  # type: ignore[arg-type, return-value]
        dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0))
        alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        return [dead, alive]

    async def main() -> None:
        if eager:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
            async with asyncnet.connect(f"tcp://two.example.org:{server.endpoint.port}") as connection:
                await connection.write(b"hello")
                assert await connection.read() == b"hello"

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    asyncio.run(main())


@on_both_loops
async def test_trap_18_no_socket_is_lost_on_the_way_and_two_readers_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gh-153133: a protocol that cannot be made; gh-153761: a cancelled accept."""

    async def talk() -> None:
        async with asyncnet.connect(str(server.endpoint)) as connection:
            await connection.read()

    async def greet(connection: Connection) -> None:
        await connection.write(b"hello")

    async with asyncnet.serve(greet, ANYWHERE) as server:
        assert await cancelled_at_each_await(talk) >= 2

        def unmakeable(*_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["asyncnet.streams.connect"], "StreamProtocol", unmakeable)
            with pytest.raises(MemoryError):
                await asyncnet.connect(str(server.endpoint))
    async with joined() as (connection, end):
        first = asyncio.create_task(connection.read(), name="the first reader")
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="the first reader"):
            await connection.read()
        await end.send(b"x")
        assert await first == b"x"


@on_both_loops
async def test_trap_19_the_file_of_a_unix_socket_goes_with_its_server() -> None:
    """start_unix_server() leaves it behind before Python 3.13."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        async with asyncnet.serve(asyncnet.echo, f"unix://{path}"):
            assert path.exists()
        assert not path.exists()


@on_both_loops
async def test_trap_20_a_handler_that_nobody_else_knows_is_not_collected() -> None:
    """gh-90467: the loop itself keeps weak references alone."""
    ended: list[str] = []

    async def handler(connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("cancelled by the server")
            raise
        finally:
            ended.append("ended")

    async with asyncnet.serve(handler, ANYWHERE, grace=0.0) as server:
        async with asyncnet.connect(str(server.endpoint)):
            await until(lambda: server.clients == 1)
            await asyncio.sleep(MS)
            for _ in range(3):
                gc.collect()
            assert ended == []
            await server.aclose()
    assert ended == ["cancelled by the server", "ended"]


@on_both_loops
async def test_trap_21_small_messages_are_not_held_back_and_dead_clients_are_noticed() -> None:
    """NODELAY is on by chance, keepalive off: we dial with both, and a server ends silent clients by itself."""
    options: list[int] = []

    async def handler(connection: Connection) -> None:
        options.append(_no_delay(connection))
        await connection.read()

    async with asyncnet.serve(handler, ANYWHERE) as server:
        assert server._limits.idle_timeout is not None
        async with asyncnet.connect(str(server.endpoint)) as connection:
            options.append(_no_delay(connection))
            await until(lambda: len(options) == 2)
    assert all(options)
    with pytest.raises(ClosedError):
        await connection.read()


def _no_delay(connection: Connection) -> int:
    transport = connection._protocol.transport
    assert transport is not None
    option: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    return option


def test_every_trap_has_its_test() -> None:
    traps: dict[str, Callable[..., object]] = {
        name: value for name, value in globals().items() if name.startswith("test_trap_")
    }
    assert sorted(int(name.split("_")[2]) for name in traps) == list(range(1, 22))
