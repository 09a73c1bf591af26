"""serve(): many clients within bounds, faults contained, and an end that keeps its promises."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asyncnet
from asyncnet.errors import ConnectError, DeadlineError, InvalidEndpoint, UsageError
from asyncnet.streams.connection import Connection
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import PATIENCE, End, until

ROOT = Path(__file__).parent.parent.parent
ANYWHERE = "tcp://127.0.0.1:0"


async def client(server: asyncnet.Server, *, small: bool = False) -> End:
    """A plain socket as a client; the caller closes it, or `gone` does."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.endpoint.port))
    except BaseException:
        sock.close()
        raise
    return End(sock)


@contextlib.asynccontextmanager
async def clients(server: asyncnet.Server, count: int) -> AsyncIterator[list[End]]:
    ends: list[End] = []
    try:
        for _ in range(count):
            ends.append(await client(server))
        yield ends
    finally:
        for end in ends:
            end.sock.close()


async def echoed(end: End, data: bytes = b"ping") -> bool:
    await end.send(data)
    return await end.receive(len(data)) == data


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "asyncnet.server"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "asyncnet.server")
    return caplog


# Serving.


@on_both_loops
async def test_many_clients_are_served_at_once() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        async with clients(server, 100) as ends:
            for _ in range(3):
                assert all(await asyncio.gather(*(echoed(end, os.urandom(1000)) for end in ends)))
            assert server.clients == 100
        await until(lambda: server.clients == 0)
        stats = server.stats
        assert (stats.accepted, stats.active, stats.failed) == (100, 0, 0)
        assert stats.received_bytes == stats.sent_bytes == 100 * 3 * 1000


@on_both_loops
async def test_a_client_that_ends_its_half_gets_all_of_its_answer() -> None:
    async def handler(connection: Connection) -> None:
        question = b"".join([chunk async for chunk in connection])
        await connection.write(question * 100_000)

    async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 1) as [end]:
        await end.send(b"question")
        end.finish()
        assert await end.rest() == b"question" * 100_000


@on_both_loops
async def test_what_the_handler_leaves_open_is_closed_and_what_it_wrote_is_sent() -> None:
    held: list[Connection] = []

    async def handler(connection: Connection) -> None:
        held.append(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MS):
                await connection.write(b"x" * 3_000_000)

    async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 1) as [end]:
        got = await end.rest()
        # All that was handed over: the write was cancelled in the middle.
        assert len(got) == held[0].sent_bytes
        await until(lambda: held[0].is_closed)


@on_both_loops
async def test_under_tls_too(authority: Authority) -> None:
    async def handler(connection: Connection) -> None:
        await connection.write(b"x" * 500_000)

    async with asyncnet.serve(handler, "tls://127.0.0.1:0", tls=authority.server) as server:
        async with asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection:
            assert b"".join([chunk async for chunk in connection]) == b"x" * 500_000


@on_both_loops
async def test_what_the_handler_left_unread_takes_nothing_of_what_it_wrote() -> None:
    """The kernel would answer such a close with a reset."""
    held: list[Connection] = []
    go_on = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.read(1)
        held.append(connection)
        await go_on.wait()
        await connection.write(b"answer")

    async with asyncnet.serve(handler, ANYWHERE, max_buffer_bytes=2) as server, clients(server, 1) as [end]:
        await end.send(b"first")
        await until(lambda: held)
        await end.send(b"it stops reading")
        await until(lambda: held[0]._protocol.reading_paused)
        await end.send(b"left in the kernel")
        go_on.set()
        assert await end.receive(100) == b"answer"  # and then the end, not a reset
        assert server.clients == 1
        end.sock.close()
        await until(lambda: server.clients == 0)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_where_tasks_begin_at_once_the_handler_can_write_at_once() -> None:
    async def handler(connection: Connection) -> None:
        await connection.write(b"welcome")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    try:
        async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 1) as [end]:
            assert await end.receive(100) == b"welcome"
            await until(lambda: server.clients == 0)
            assert (server.stats.accepted, server.stats.failed) == (1, 0)
    finally:
        loop.set_task_factory(None)


@on_both_loops
async def test_closing_in_the_handler_is_fine() -> None:
    async def handler(connection: Connection) -> None:
        await connection.write(b"goodbye")
        await connection.aclose()

    async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 1) as [end]:
        assert await end.rest() == b"goodbye"


# Faults.


@on_both_loops
async def test_a_handlers_crash_ends_its_client_alone(log: pytest.LogCaptureFixture) -> None:
    async def handler(connection: Connection) -> None:
        if await connection.read() == b"crash":
            raise ZeroDivisionError("on purpose")
        await connection.write(b"well")

    async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 12) as ends:
        for end in ends[:10]:
            await end.send(b"crash")
            assert await end.rest() == b""
        await ends[10].send(b"hello")
        assert await ends[10].receive(4) == b"well"
        assert server.stats.errors == {"ZeroDivisionError": 10}
    [message] = messages(log)
    assert "on purpose" in message
    assert log.records[0].exc_info is not None


@on_both_loops
async def test_a_flood_of_resets_costs_one_line_a_second(log: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        honest = await client(server)
        for _ in range(100):
            end = await client(server)
            await end.send(b"x")
            end.reset()
        assert await echoed(honest)
        await until(lambda: server.clients == 1)
        honest.sock.close()
    assert len(messages(log)) <= 1 + (time.monotonic() - began)
    assert not any(record.exc_info for record in log.records)


@on_both_loops
async def test_an_exit_of_the_handler_is_not_swallowed_and_a_cancellation_of_its_own_is() -> None:
    async def handler(connection: Connection) -> None:
        raise asyncio.CancelledError

    async with asyncnet.serve(handler, ANYWHERE) as server, clients(server, 2) as ends:
        for end in ends:
            assert await end.rest() == b""
        await until(lambda: server.clients == 0)


@on_both_loops
async def test_the_hook_hears_of_each_client_and_may_fail(log: pytest.LogCaptureFixture) -> None:
    records: list[asyncnet.streams.ClientRecord] = []

    def on_end(record: asyncnet.streams.ClientRecord) -> None:
        records.append(record)
        raise ValueError("the hook's own fault")

    async with asyncnet.serve(asyncnet.echo, ANYWHERE, on_end=on_end) as server:
        end = await client(server)
        assert await echoed(end, b"12345")
        port = end.sock.getsockname()[1]
        end.sock.close()
        await until(lambda: records)
        assert server.clients == 0
    [record] = records
    assert (record.peer.port, record.received_bytes, record.sent_bytes, record.error) == (port, 5, 5, None)
    assert 0 <= record.seconds < PATIENCE
    assert "the hook's own fault" in messages(log)[0]


# Limits on clients.


@on_both_loops
async def test_beyond_the_cap_clients_wait_and_are_served_later() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, max_clients=2) as server:
        async with clients(server, 5) as ends:
            assert await echoed(ends[0])
            assert await echoed(ends[1])
            await ends[2].send(b"ping")
            await asyncio.sleep(5 * MS)
            assert server.clients == 2
            with pytest.raises(BlockingIOError):
                ends[2].sock.recv(1)
            ends[0].sock.close()
            assert await ends[2].receive(4) == b"ping"
            for number in (1, 2):
                ends[number].sock.close()
            assert await echoed(ends[3])
            assert await echoed(ends[4])


@on_both_loops
async def test_one_address_may_not_take_all(log: pytest.LogCaptureFixture) -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, max_per_address=2) as server:
        async with clients(server, 5) as ends:
            assert await echoed(ends[0])
            assert await echoed(ends[1])
            for end in ends[2:]:
                assert await end.rest() == b""
            ends[0].sock.close()
            await until(lambda: server.clients == 1)
            end = await client(server)
            assert await echoed(end)
            end.sock.close()
        assert server.stats.refused == 3
        await until(lambda: server.clients == 0)
        assert server._per_address == {}
    assert messages(log) == ["refused 127.0.0.1: it has 2 connections already"]


# Limits on time.


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"idle_timeout": 20 * MS, "min_rate": 0.0}, "silence took more than"),
        ({"total_timeout": 20 * MS, "idle_timeout": None, "min_rate": 0.0}, "connection took more than"),
    ],
    ids=["idle", "total"],
)
@on_both_loops
async def test_limits_on_time_end_a_client(options: dict[str, Any], what: str, log: pytest.LogCaptureFixture) -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, **options) as server, clients(server, 1) as [end]:
        assert await echoed(end)
        assert await end.rest() == b""
        await until(lambda: server.clients == 0)
        assert server.stats.errors == {"DeadlineError": 1}
    assert what in messages(log)[0]


@on_both_loops
async def test_noise_keeps_no_client_beyond_the_total() -> None:
    options: dict[str, Any] = {"total_timeout": 40 * MS, "idle_timeout": 30 * MS}
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, **options) as server, clients(server, 1) as [end]:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while await echoed(end, b"."):  # noqa: ASYNC110 (it is the noise that is meant)
                await asyncio.sleep(2 * MS)
        assert 30 * MS < time.monotonic() - began < 1000 * MS


@on_both_loops
async def test_a_client_that_does_not_read_is_ended() -> None:
    faults: list[BaseException] = []

    async def handler(connection: Connection) -> None:
        try:
            await connection.write(b"x" * 8_000_000)
        except DeadlineError as error:
            faults.append(error)
            raise

    async with asyncnet.serve(handler, ANYWHERE, write_timeout=30 * MS) as server:
        end = await client(server, small=True)
        await until(lambda: faults)
        assert len(await end.rest()) < 8_000_000
        end.sock.close()
        await until(lambda: server.clients == 0)


async def test_a_kernel_that_knows_no_bound_for_the_unsent_is_served_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "TCP_NOTSENT_LOWAT", 255, raising=False)  # which none knows
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server, asyncnet.connect(server.endpoint) as connection:
        await connection.write(b"hello")
        assert await connection.read_exactly(5) == b"hello"


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this kernel has no such bound")
@on_both_loops
async def test_what_a_client_does_not_read_does_not_pile_up_in_the_kernel() -> None:
    held: list[Connection] = []

    async def handler(connection: Connection) -> None:
        held.append(connection)
        while True:
            await connection.write(bytes(65_536))

    async with asyncnet.serve(handler, ANYWHERE, grace=0.0) as server, clients(server, 1):
        await until(lambda: held and held[0]._protocol._paused)
        await asyncio.sleep(20 * MS)
        assert held[0].sent_bytes < 1_500_000  # it would take 4 MB by default


@on_both_loops
async def test_what_a_handler_leaves_unsent_is_not_waited_for_without_end() -> None:
    async def handler(connection: Connection) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MS):
                await connection.write(b"x" * 8_000_000)

    async with asyncnet.serve(handler, ANYWHERE, write_timeout=30 * MS) as server:
        end = await client(server, small=True)
        await until(lambda: server.stats.accepted == 1)
        await until(lambda: server.clients == 0)
        end.sock.close()


@on_both_loops
async def test_a_slow_sender_in_the_middle_of_a_line_is_ended_and_a_silent_one_between_lines_is_not(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    from asyncnet.streams.sweep import Sweep

    grace = 40 * MS
    defaults = Sweep.__init__.__kwdefaults__
    monkeypatch.setattr(Sweep.__init__, "__kwdefaults__", defaults | {"rate_grace": grace})

    async def handler(connection: Connection) -> None:
        async for line in connection.lines():
            await connection.write(line)

    async with asyncnet.serve(handler, ANYWHERE, min_rate=1000.0) as server, clients(server, 2) as [slow, silent]:
        assert await echoed(silent, b"a line\n")
        with contextlib.suppress(ConnectionError):
            while server.clients == 2:
                await slow.send(b".")
                await asyncio.sleep(2 * MS)
        await asyncio.sleep(2 * grace)
        assert await echoed(silent, b"another\n")
    assert "a sender below the minimum rate" in messages(log)[0]


@on_both_loops
async def test_a_slow_handshake_keeps_nobody_waiting(authority: Authority) -> None:
    serving = asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server, handshake_timeout=1000 * MS)
    async with serving as server, clients(server, 20) as stalled:
        async with asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection:
            await connection.write(b"hello")
            assert await connection.read() == b"hello"
            assert server.clients == 21
            for end in stalled:
                assert await end.rest() == b""
            await until(lambda: server.clients == 1)


# Bounded memory.


@on_both_loops
async def test_what_a_handler_does_not_read_is_left_to_the_kernel() -> None:
    held: list[Connection] = []
    release = asyncio.Event()

    async def handler(connection: Connection) -> None:
        held.append(connection)
        await release.wait()
        await asyncnet.echo(connection)

    async with asyncnet.serve(handler, ANYWHERE, max_buffer_bytes=20_000) as server, clients(server, 1) as [end]:
        data = os.urandom(16_000_000)  # the kernel holds up to 10 MB of it
        sending = asyncio.create_task(end.send(data))
        await until(lambda: held and held[0].received_bytes)
        for _ in range(30):
            await asyncio.sleep(0.2 * MS)
        assert held[0].received_bytes <= 10_000 + 262_144
        assert not sending.done()
        release.set()
        assert await end.receive(len(data)) == data
        await sending


# Closing.


async def _ends(end: End) -> bool:
    return await end.rest() == b""


@on_both_loops
async def test_an_active_client_gets_its_grace() -> None:
    async def handler(connection: Connection) -> None:
        assert await connection.read_exactly(4) == b"slow"
        await asyncio.sleep(30 * MS)
        await connection.write(b"done")

    async with asyncnet.serve(handler, ANYWHERE, grace=PATIENCE) as server, clients(server, 1) as [end]:
        await end.send(b"slow")
        await until(lambda: server.clients == 1)
        await asyncio.sleep(5 * MS)
        closing = asyncio.create_task(server.aclose())
        assert await end.rest() == b"done"
        await closing


@on_both_loops
async def test_a_silent_client_is_told_that_this_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from asyncnet.streams import draining

    monkeypatch.setattr(draining, "_SILENT_SECONDS", 20 * MS)
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, grace=PATIENCE) as server, clients(server, 3) as ends:
        assert await echoed(ends[0])
        await until(lambda: server.clients == 3)
        began = time.monotonic()
        closing = asyncio.create_task(server.aclose())
        assert all([await _ends(end) for end in ends])
        await closing
        assert time.monotonic() - began < 1000 * MS


@on_both_loops
async def test_a_stubborn_handler_is_aborted_after_the_grace() -> None:
    cancelled: list[bool] = []

    async def handler(connection: Connection) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with asyncnet.serve(handler, ANYWHERE, grace=30 * MS) as server, clients(server, 2) as ends:
        await until(lambda: server.clients == 2)
        began = time.monotonic()
        await server.aclose()
        assert time.monotonic() - began < 1000 * MS
        assert cancelled == [True, True]
        assert [await end.rest() for end in ends] == [b"", b""]


@on_both_loops
async def test_no_grace_is_none() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, grace=1000) as server, clients(server, 2) as ends:
        assert await echoed(ends[0])
        await server.aclose(grace=0)
        await server.aclose(grace=0)
        assert server.clients == 0
        assert [await end.rest() for end in ends] == [b"", b""]


@on_both_loops
async def test_a_client_that_has_just_come_is_let_go_of_too() -> None:
    """Its task has not run yet: what never began cannot clean up after itself."""
    server = await asyncnet.serve(asyncnet.echo, ANYWHERE)
    server._listeners.pause()
    async with clients(server, 3) as ends:
        for listener in server._listeners.sockets:
            server._listeners._accept(listener)
        assert server.clients == 3
        await server.aclose(grace=0)
        assert server.clients == 0
        assert [await end.rest() for end in ends] == [b""] * 3


@on_both_loops
async def test_a_cancelled_service_drains_and_a_second_cancellation_aborts() -> None:
    async def service() -> None:
        async with asyncnet.serve(_never_done, ANYWHERE, grace=1000) as server:
            servers.append(server)
            await server.serve_forever()

    servers: list[asyncnet.Server] = []
    task = asyncio.create_task(service())
    await until(lambda: servers)
    async with clients(servers[0], 1) as [end]:
        await end.send(b"x")
        await until(lambda: servers[0].clients == 1)
        task.cancel()
        await asyncio.sleep(20 * MS)
        assert not task.done()
        with pytest.raises(ConnectionRefusedError):
            await client(servers[0])
        task.cancel()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await end.rest() == b""
    assert servers[0].clients == 0


async def _never_done(connection: Connection) -> None:
    await connection.read()
    await asyncio.sleep(1000)


@on_both_loops
async def test_an_error_in_the_block_aborts_the_clients_at_once() -> None:
    async with contextlib.AsyncExitStack() as stack:
        ends: list[End] = []
        began = time.monotonic()
        with pytest.raises(ValueError, match="on purpose"):
            async with asyncnet.serve(_never_done, ANYWHERE, grace=1000) as server:
                ends = await stack.enter_async_context(clients(server, 2))
                await until(lambda: server.clients == 2)
                raise ValueError("on purpose")
        assert time.monotonic() - began < 1000 * MS
        assert [await end.rest() for end in ends] == [b"", b""]


@on_both_loops
async def test_serve_forever_ends_when_the_server_is_closed() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        waiting = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert not waiting.done()
        await server.aclose()
        await waiting
        await server.serve_forever()
        assert repr(server) == f"<asyncnet.Server {server.endpoint} closed>"


@on_both_loops
async def test_a_cap_that_is_full_does_not_hinder_the_end() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, max_clients=1, grace=1000) as server:
        async with clients(server, 3) as ends:
            assert await echoed(ends[0])
            closing = asyncio.create_task(server.aclose())
            ends[0].sock.close()
            async with asyncio.timeout(PATIENCE):
                await closing
            assert await ends[1].rest() == b""  # the kernel resets those who were never accepted


@on_both_loops
async def test_the_address_can_be_bound_again_at_once() -> None:
    server = await asyncnet.serve(asyncnet.echo, ANYWHERE)
    for _ in range(3):
        async with clients(server, 1) as [end]:
            assert await echoed(end)
            await server.aclose(grace=0)  # we end first, so that our side keeps the TIME_WAIT
        server = await asyncnet.serve(asyncnet.echo, str(server.endpoint))
    await server.aclose()


@on_both_loops
async def test_an_address_in_use_is_told() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        with pytest.raises(ConnectError, match="in use"):
            await asyncnet.serve(asyncnet.echo, str(server.endpoint))
        async with asyncnet.serve(asyncnet.echo, ANYWHERE, reuse_port=True) as first:
            async with asyncnet.serve(asyncnet.echo, str(first.endpoint), reuse_port=True) as second:
                assert first.endpoint == second.endpoint


# Places.


@on_both_loops
async def test_all_interfaces_are_served_over_both_families() -> None:
    async with asyncnet.serve(asyncnet.echo, "tcp://:0") as server:
        assert server.endpoint.host == ""
        assert server.endpoint.port != 0
        for host in ("127.0.0.1", "[::1]", "127.0.0.2"):
            async with asyncnet.connect(f"tcp://{host}:{server.endpoint.port}") as connection:
                await connection.write(b"hello")
                assert await connection.read() == b"hello"
                assert connection.peer.host == host.strip("[]")


@on_both_loops
async def test_an_ipv4_client_of_all_interfaces_is_told_as_such() -> None:
    peers: list[asyncnet.streams.Address] = []

    async def handler(connection: Connection) -> None:
        peers.append(connection.peer)

    async with asyncnet.serve(handler, "tcp://:0") as server, clients(server, 1) as [end]:
        assert await end.rest() == b""
        assert peers[0] == ("127.0.0.1", end.sock.getsockname()[1])


async def test_a_name_with_two_addresses_gets_one_port() -> None:
    async with asyncnet.serve(asyncnet.echo, "tcp://localhost:0") as server:
        for info in socket.getaddrinfo("localhost", server.endpoint.port, type=socket.SOCK_STREAM):
            with socket.create_connection(info[4][:2]):
                pass


async def test_without_ipv6_all_interfaces_are_those_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    async with asyncnet.serve(asyncnet.echo, "tcp://:0") as server, clients(server, 1) as [end]:
        assert await echoed(end)


@on_both_loops
async def test_a_unix_socket_comes_and_goes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        for _ in range(2):
            async with asyncnet.serve(asyncnet.echo, f"unix://{path}") as server:
                assert path.is_socket()
                assert str(server.endpoint) == f"unix://{path}"
                async with asyncnet.connect(f"unix://{path}") as connection:
                    await connection.write(b"hello")
                    assert await connection.read() == b"hello"
                with pytest.raises(ConnectError, match="a server is listening there"):
                    await asyncnet.serve(asyncnet.echo, f"unix://{path}")
            assert not path.exists()


async def test_a_stale_unix_socket_is_replaced_and_anything_else_is_not() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        assert path.is_socket()
        async with asyncnet.serve(asyncnet.echo, f"unix://{path}"), asyncnet.connect(f"unix://{path}"):
            pass
        path.write_text("precious")
        with pytest.raises(UsageError, match="a file of that name"):
            await asyncnet.serve(asyncnet.echo, f"unix://{path}")
        assert path.read_text() == "precious"
        path.unlink()
        path.symlink_to(Path(folder, "elsewhere"))
        with pytest.raises(UsageError):
            await asyncnet.serve(asyncnet.echo, f"unix://{path}")
        with pytest.raises(ConnectError):
            await asyncnet.serve(asyncnet.echo, f"unix://{folder}/none/socket")


async def test_a_successors_unix_socket_is_left_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        async with asyncnet.serve(asyncnet.echo, f"unix://{path}"):
            path.unlink()
            with socket.socket(socket.AF_UNIX) as successor:
                successor.bind(str(path))
        assert path.is_socket()


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://127.0.0.1:0", {}),
        ("tls://127.0.0.1:0", {}),
        (ANYWHERE, {"tls": True}),
        (ANYWHERE, {"max_clients": 0}),
        (ANYWHERE, {"max_per_address": 0}),
        (ANYWHERE, {"max_buffer_bytes": 0}),
        (ANYWHERE, {"backlog": 0}),
    ],
)
def test_wrong_options_are_refused_at_once(url: str, options: dict[str, Any], authority: Authority) -> None:
    if "tls" in options:
        options = {"tls": authority.server}
    with pytest.raises((UsageError, InvalidEndpoint)):
        asyncnet.serve(asyncnet.echo, url, **options)


async def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(ConnectError):
        await asyncnet.serve(asyncnet.echo, "tcp://192.0.2.1:0")
    with pytest.raises(ConnectError):
        await asyncnet.serve(asyncnet.echo, "tcp://nowhere.invalid:0")


@on_both_loops
async def test_a_renewed_certificate_serves_those_who_come_from_now_on(authority: Authority) -> None:
    serving = asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.wrong_host)
    async with serving as server:
        with pytest.raises(asyncnet.TLSError):
            await asyncnet.connect(str(server.endpoint), tls=authority.client())
        server.use_tls(authority.server)
        async with asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection:
            await connection.write(b"hello")
            assert await connection.read() == b"hello"
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as plain:
        with pytest.raises(UsageError):
            plain.use_tls(authority.server)


# Out of descriptors, in a process that has few.

_STARVED = """
import asyncio, logging, resource, sys, asyncnet
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="LOG %(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
async def main():
    async with asyncnet.serve(asyncnet.echo, "tcp://127.0.0.1:0") as server:
        print(server.endpoint.port, flush=True)
        await server.serve_forever()
asyncnet.run(main(), signals=True, uvloop=sys.argv[1] == "uvloop")
"""


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def _echo(sock: socket.socket) -> bool:
    sock.sendall(b"ping")
    return sock.recv(4, socket.MSG_WAITALL) == b"ping"


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_out_of_descriptors_it_serves_on_waits_and_recovers(loop_name: str) -> None:
    if loop_name == "uvloop":
        pytest.importorskip("uvloop")
    command = [sys.executable, "-c", _STARVED, loop_name]
    with (
        contextlib.ExitStack() as stack,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            early = stack.enter_context(_dial(port))
            assert _echo(early)
            crowd = [stack.enter_context(_dial(port)) for _ in range(80)]
            assert "LOG" in process.stdout.readline()
            before = _cpu_seconds(process.pid)
            time.sleep(0.5)
            assert _cpu_seconds(process.pid) - before <= 0.03
            assert _echo(early)
            for sock in crowd[:60]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            late = stack.enter_context(_dial(port))
            late.settimeout(PATIENCE)
            assert _echo(late)
            assert _echo(crowd[-1])
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert rest.count("no more clients for now") == 0


# Handshakes that come to nothing.


@on_both_loops
async def test_clients_that_leave_in_their_handshake_are_no_error_of_the_loop(authority: Authority) -> None:
    async with asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server) as server:
        async with clients(server, 9) as ends:
            for end, leave in zip(ends, (End.reset, End.finish, lambda end: end.sock.close()) * 3, strict=True):
                await end.send(b"\x16\x03\x01")
                leave(end)
            await until(lambda: server.stats.accepted == 9)
            await until(lambda: server.clients == 0)


@on_both_loops
async def test_a_client_in_its_handshake_does_not_put_the_end_off(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyncnet.streams import draining

    monkeypatch.setattr(draining, "_SILENT_SECONDS", 20 * MS)
    serving = asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server, grace=1000)
    async with serving as server, clients(server, 2) as ends:
        await until(lambda: server.clients == 2)
        async with asyncio.timeout(PATIENCE):
            await server.aclose()
        assert [await end.rest() for end in ends] == [b"", b""]
