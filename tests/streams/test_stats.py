"""What a server tells of itself: counters, a record for each client, and a certificate that is renewed meanwhile."""

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import asyncnet
from asyncnet.errors import DeadlineError, DisconnectedError, UsageError
from asyncnet.streams.connection import Connection
from asyncnet.streams.stats import ClientRecord, ServerStats
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import PATIENCE, End, until

ANYWHERE = "tcp://127.0.0.1:0"


async def dialled(server: asyncnet.Server) -> End:
    sock = socket.socket()
    sock.setblocking(False)
    try:
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
            ends.append(await dialled(server))
        yield ends
    finally:
        for end in ends:
            end.sock.close()


async def moody(connection: Connection) -> None:
    """Do as the client says."""
    match await connection.read():
        case b"crash":
            raise ZeroDivisionError("on purpose")
        case b"wait":
            await connection.read(timeout=10 * MS)
        case b"cancel":
            raise asyncio.CancelledError
        case word:
            await connection.write(word * 2)
            await connection.read()


# Counters and records.


@on_both_loops
async def test_every_end_is_counted_and_told_once() -> None:
    records: list[ClientRecord] = []
    async with asyncnet.serve(moody, ANYWHERE, on_end=records.append) as server:
        assert server.stats == ServerStats()
        async with clients(server, 6) as ends:
            names = {end.sock.getsockname(): end for end in ends}
            for end, word in zip(ends, (b"hello", b"crash", b"wait", b"cancel", b"reset", b"silent"), strict=True):
                if word != b"silent":
                    await end.send(word)
            assert await ends[0].receive(10) == b"hellohello"
            assert await ends[4].receive(10) == b"resetreset"
            ends[4].reset()
            for number in (1, 2, 3):
                assert await ends[number].rest() == b""
            await until(lambda: server.clients == 2)
            stats = server.stats
            assert (stats.accepted, stats.refused, stats.active, stats.failed) == (6, 0, 2, 3)
            assert stats.errors == {"ZeroDivisionError": 1, "DeadlineError": 1, "DisconnectedError": 1}
            ends[0].finish()
            ends[5].finish()
            await until(lambda: server.clients == 0)
            assert (stats.active, stats.failed) == (2, 3), "a snapshot stays as it is"
            by_word = {names[(record.peer.host, record.peer.port)]: record for record in records}
        stats = server.stats
    assert len(records) == len(by_word) == 6
    assert (stats.accepted, stats.active, stats.failed) == (6, 0, 3)
    assert stats.received_bytes == sum(record.received_bytes for record in records) == 5 + 5 + 4 + 6 + 5
    assert stats.sent_bytes == sum(record.sent_bytes for record in records) == 20
    assert math.isclose(stats.seconds, sum(record.seconds for record in records))
    told = [by_word[end] for end in ends]
    assert [(one.received_bytes, one.sent_bytes) for one in told] == [(5, 10), (5, 0), (4, 0), (6, 0), (5, 10), (0, 0)]
    kinds = [type(one.error) for one in told]
    nothing = type(None)
    assert kinds == [nothing, ZeroDivisionError, DeadlineError, nothing, DisconnectedError, nothing]
    assert all(0 <= one.seconds < PATIENCE for one in told)
    assert told[2].seconds >= 9 * MS


@on_both_loops
async def test_who_is_refused_is_counted_but_is_no_client() -> None:
    records: list[ClientRecord] = []
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, max_per_address=1, on_end=records.append) as server:
        async with clients(server, 3) as ends:
            await ends[0].send(b"x")
            assert await ends[0].receive(1) == b"x"
            assert await ends[1].rest() == await ends[2].rest() == b""
            stats = server.stats
            assert (stats.accepted, stats.refused, stats.active, stats.failed) == (3, 2, 1, 0)
            assert records == []
        await until(lambda: server.clients == 0)
        assert len(records) == 1


@on_both_loops
async def test_handshakes_that_fail_are_told_too(authority: Authority) -> None:
    records: list[ClientRecord] = []
    options: dict[str, Any] = {"handshake_timeout": 50 * MS, "on_end": records.append}
    async with asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server, **options) as server:
        async with clients(server, 3) as ends:
            await ends[0].send(b"GET / HTTP/1.1\r\n\r\n")
            ends[1].finish()
            for end in ends:  # the third stalls
                await end.rest()
            await until(lambda: server.clients == 0)
    assert len(records) == 3
    assert server.stats.failed == 3
    assert server.stats.errors == {"TLSError": 1, "ConnectError": 1, "DeadlineError": 1}
    assert {record.sent_bytes for record in records} == {0}


@on_both_loops
async def test_who_is_cut_at_the_end_is_told_too() -> None:
    async def stubborn(connection: Connection) -> None:
        await connection.read()
        await asyncio.sleep(1000)

    records: list[ClientRecord] = []
    async with asyncnet.serve(stubborn, ANYWHERE, on_end=records.append, grace=0) as server:
        async with clients(server, 3) as ends:
            await ends[0].send(b"x")
            await until(lambda: server.clients == 3)
            await server.aclose()
            assert len(records) == 3
            assert server.stats.active == 0


@on_both_loops
async def test_bytes_under_tls_are_those_of_the_talk(authority: Authority) -> None:
    records: list[ClientRecord] = []
    serving = asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server, on_end=records.append)
    async with serving as server:
        async with asyncnet.connect(server.endpoint, tls=authority.client()) as connection:
            await connection.write(b"x" * 100_000)
            assert len(await connection.read_exactly(100_000)) == 100_000
        await until(lambda: records)
    assert (records[0].received_bytes, records[0].sent_bytes) == (100_000, 100_000)


@on_both_loops
async def test_a_hook_that_fails_harms_nobody_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def on_end(record: ClientRecord) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("the hook's own fault")

    async with asyncnet.serve(asyncnet.echo, ANYWHERE, max_clients=1, max_per_address=1, on_end=on_end) as server:
        for number in range(20):
            async with clients(server, 1) as [end]:
                await end.send(b"x")
                assert await end.receive(1) == b"x", number
            await until(lambda: server.clients == 0)
        await until(lambda: calls == 20)
        assert server._per_address == {}
        assert server.stats.accepted == 20
    faults = [record for record in caplog.records if "the hook's own fault" in record.getMessage()]
    assert 1 <= len(faults) <= 3
    assert faults[0].levelno == logging.ERROR
    assert faults[0].exc_info


async def test_a_hook_that_nobody_would_await_is_refused() -> None:
    async def on_end(record: ClientRecord) -> None: ...

    with pytest.raises(UsageError, match="plain function"):
        asyncnet.serve(asyncnet.echo, ANYWHERE, on_end=on_end)


@pytest.mark.parametrize(
    "option",
    [
        {"idle_timeout": 0},
        {"idle_timeout": -1.0},
        {"handshake_timeout": 0.0},
        {"handshake_timeout": math.nan},
        {"write_timeout": math.nan},
        {"total_timeout": -0.1},
        {"min_rate": -1.0},
        {"min_rate": math.nan},
        {"grace": -1.0},
    ],
    ids=str,
)
async def test_limits_that_mean_nothing_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        asyncnet.serve(asyncnet.echo, ANYWHERE, **option)


# Who waits in the backlog when the end comes.


@on_both_loops
async def test_who_has_connected_before_the_end_is_served_within_the_grace() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, grace=PATIENCE) as server:
        early = [socket.create_connection(("127.0.0.1", server.endpoint.port), timeout=PATIENCE) for _ in range(200)]
        for sock in early:  # the kernel has taken them, the server's loop has not run since
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
        await server.aclose()
        for sock in early:
            with sock:
                assert sock.recv(100, socket.MSG_WAITALL) == b"question"
        assert server.stats.accepted == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.endpoint.port), timeout=PATIENCE)


@on_both_loops
async def test_without_a_grace_or_without_room_they_are_not() -> None:
    for options, grace, taken in (({}, 0.0, 0), ({"max_clients": 2}, PATIENCE, 2)):
        async with asyncnet.serve(asyncnet.echo, ANYWHERE, **options) as server:  # type: ignore[arg-type]
            early = [socket.create_connection(("127.0.0.1", server.endpoint.port), timeout=PATIENCE) for _ in range(5)]
            for sock in early:
                sock.shutdown(socket.SHUT_WR)
            await server.aclose(grace=grace)
            assert server.stats.accepted == taken
            for sock in early:
                with sock, contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""


@on_both_loops
async def test_a_port_that_is_taken_over_ipv6_alone_is_taken() -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", 0))
        other.listen()
        with pytest.raises(asyncnet.ConnectError, match="in use"):
            await asyncnet.serve(asyncnet.echo, f"tcp://:{other.getsockname()[1]}")


# A renewed certificate.


def serial(connection: Connection) -> str:
    assert connection.tls
    assert connection.tls.certificate
    return str(connection.tls.certificate["serialNumber"])


def contexts(folder: Path) -> tuple[list[ssl.SSLContext], ssl.SSLContext]:
    """Two servers' contexts, of two certificates, and a client's that trusts both."""
    authority = trustme.CA()
    made = []
    for number in range(2):
        path = folder / f"{number}.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
        made.append(asyncnet.server_context(path))
    return made, asyncnet.client_context(ca=authority.cert_pem.bytes())


@on_both_loops
async def test_new_clients_see_the_renewed_certificate_and_old_ones_stay(tmp_path: Path) -> None:
    (first, second), trusting = contexts(tmp_path)
    async with asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=first) as server:
        async with asyncnet.connect(server.endpoint, tls=trusting) as old:
            server.use_tls(second)
            async with asyncnet.connect(server.endpoint, tls=trusting) as new:
                assert serial(new) != serial(old)
                for connection in (old, new, old):
                    await connection.write(b"hello")
                    assert await connection.read_exactly(5) == b"hello"
                server.use_tls(first)
                async with asyncnet.connect(server.endpoint, tls=trusting) as newest:
                    assert serial(newest) == serial(old)


@on_both_loops
async def test_who_is_in_the_handshake_meanwhile_ends_it_with_the_certificate_it_began_with(tmp_path: Path) -> None:
    (first, second), trusting = contexts(tmp_path)
    async with asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=first) as server:
        async with clients(server, 1) as [end]:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = outgoing.read()
            await end.send(hello[:100])
            await until(lambda: server.clients == 1)
            for _ in range(5):
                await asyncio.sleep(0)
            server.use_tls(second)
            await end.send(hello[100:])
            while True:
                incoming.write(await end._chunk(65_536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    break
            certificate = tls.getpeercert()
            assert certificate
            async with asyncnet.connect(server.endpoint, tls=trusting) as new:
                assert serial(new) != certificate["serialNumber"]


@on_both_loops
async def test_files_that_cannot_be_used_leave_the_old_certificate_in_use(tmp_path: Path) -> None:
    (first, _), trusting = contexts(tmp_path)
    async with asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=first) as server:
        (tmp_path / "half.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        with pytest.raises(UsageError):
            server.use_tls(asyncnet.server_context(tmp_path / "half.pem"))
        async with asyncnet.connect(server.endpoint, tls=trusting) as connection:
            await connection.write(b"hello")
            assert await connection.read_exactly(5) == b"hello"


async def test_plaintext_has_no_certificate_to_renew(authority: Authority) -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        with pytest.raises(UsageError):
            server.use_tls(authority.server)
