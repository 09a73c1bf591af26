"""The connection as a whole: its ends, its addresses, and its kinship with asyncio's streams."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import asyncnet
from asyncnet.errors import ClosedError, DeadlineError, DisconnectedError, UsageError
from asyncnet.streams import connection as connection_module
from asyncnet.streams import reading
from asyncnet.streams.address import Address
from asyncnet.streams.connection import Connection
from asyncnet.streams.reading import is_acknowledged
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority, Script
from tests.streams.ends import PATIENCE, arrived, joined, until

BIG = 8 * 1024 * 1024


@contextlib.contextmanager
def short_goodbye(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(connection_module, "CLOSE_SECONDS", 50 * MS)
        yield


# Closing.


@pytest.mark.parametrize("unread", ["taken", "paused", "in the kernel"])
@on_both_loops
async def test_a_close_over_unread_bytes_takes_nothing_from_the_peer(unread: str) -> None:
    """The kernel answers such a close with a reset, and drops what of ours is on its way."""
    most = 2 if unread == "paused" else 262_144
    async with joined(max_buffer_bytes=most, small=True, write_timeout=PATIENCE) as (connection, end):
        writing = asyncio.create_task(connection.write(b"y" * 60_000))
        if unread != "in the kernel":
            await end.send(b"x" * 10_000)
            await arrived(connection, 1)
        await writing
        if unread == "in the kernel":
            end.sock.send(b"x" * 1_000)
        closing = asyncio.create_task(connection.aclose())
        assert len(await end.receive(30_000)) == 30_000
        await end.send(b"never heard" * 1_000)
        assert len(await end.receive(100_000)) == 30_000  # and then the end, not a reset
        assert not closing.done()
        end.sock.close()
        await closing


@on_both_loops
async def test_a_peer_that_does_not_close_is_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 20 * MS)
    async with joined(server_side=True) as (connection, end):
        await end.send(b"unread")
        await arrived(connection, 6)
        await connection.write(b"answer")
        async with asyncio.timeout(PATIENCE):
            await connection.aclose()
        assert connection._protocol.lost
        assert await end.receive(6) == b"answer"


@on_both_loops
async def test_a_client_that_leaves_in_mid_answer_does_not_wait_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it wrote has arrived, and stays readable."""
    monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 10 * PATIENCE)
    async with joined() as (connection, end):
        await connection.write(b"request")
        await end.send(b"the answer's beginning")
        await arrived(connection, 1)
        transport = connection._protocol.transport
        assert transport is not None
        await until(lambda: is_acknowledged(transport))
        end.sock.send(b"more of it")  # unread in the kernel, so that the close is a reset
        async with asyncio.timeout(PATIENCE):
            await connection.aclose()
        assert await end.rest() == b"request"


@on_both_loops
async def test_last_words_that_are_not_acknowledged_are_lingered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "termios", None)
    monkeypatch.setattr(reading, "fcntl", None)  # nobody tells: so nothing is taken for arrived
    async with joined() as (connection, end):
        await connection.write(b"request")
        await end.send(b"the answer's beginning")
        await arrived(connection, 1)
        closing = asyncio.create_task(connection.aclose())
        assert await end.rest() == b"request"  # and then the end, not a reset
        assert not closing.done()
        end.sock.close()
        await closing


@on_both_loops
async def test_a_close_reads_no_more_for_nobody_than_it_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 10 * PATIENCE)
    monkeypatch.setattr(reading.Discarding, "_room", 200_000)
    async with joined(server_side=True) as (connection, end):
        await end.send(b"unread")
        await arrived(connection, 6)
        await connection.write(b"answer")
        closing = asyncio.create_task(connection.aclose())
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await end.send(b"more" * 10_000)
        await closing


@on_both_loops
async def test_a_lingering_close_that_is_cancelled_aborts() -> None:
    async with joined(server_side=True) as (connection, end):
        await end.send(b"unread")
        await arrived(connection, 6)
        await connection.write(b"answer")
        closing = asyncio.create_task(connection.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(lambda: connection._protocol.lost)


@on_both_loops
async def test_closing_sends_what_is_left_and_may_be_repeated() -> None:
    async with joined(small=True) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * 200_000)
        closing = [asyncio.create_task(connection.aclose()) for _ in range(3)]
        assert await end.rest() == b"x" * 200_000
        await asyncio.gather(*closing)
        await connection.aclose()
        assert connection.is_closed


@on_both_loops
async def test_closing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(small=True) as (connection, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * BIG)
        began = asyncio.get_running_loop().time()
        with short_goodbye(monkeypatch):
            await connection.aclose()
        assert 40 * MS < asyncio.get_running_loop().time() - began < 1000 * MS
        assert connection._protocol.lost


@on_both_loops
async def test_closing_that_is_cancelled_aborts() -> None:
    async with joined(small=True) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * BIG)
        closing = asyncio.create_task(connection.aclose())
        await asyncio.sleep(MS)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.sleep(0)
        assert connection._protocol.lost
        assert len(await end.rest()) < BIG
        await connection.aclose()


@on_both_loops
async def test_abort_drops_what_is_left_and_may_be_repeated() -> None:
    async with joined(small=True) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * BIG)
        connection.abort()
        connection.abort()
        assert connection.is_closed
        assert len(await end.rest()) < BIG
        await connection.aclose()


@on_both_loops
async def test_a_block_that_ends_well_says_goodbye_and_one_that_fails_does_not() -> None:
    async with joined(small=True) as (connection, end):
        async with connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2 * MS):
                    await connection.write(b"x" * 100_000)
            receiving = asyncio.create_task(end.rest())
        assert await receiving == b"x" * 100_000
    async with joined(small=True) as (connection, end):
        with pytest.raises(ValueError, match="on purpose"):
            async with connection:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2 * MS):
                        await connection.write(b"x" * BIG)
                raise ValueError("on purpose")
        assert len(await end.rest()) < BIG


@on_both_loops
async def test_the_socket_is_closed_once_aclose_returns() -> None:
    async with joined() as (connection, _):
        transport = connection._protocol.transport
        assert transport is not None
        descriptor = transport.get_extra_info("socket").fileno()
        await connection.aclose()
        await until(lambda: not Path(f"/proc/self/fd/{descriptor}").exists())


AFTERWARDS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "read": lambda connection: connection.read(),
    "read_exactly": lambda connection: connection.read_exactly(1),
    "read_until": lambda connection: connection.read_until(),
    "read_into": lambda connection: connection.read_into(bytearray(1)),
    "write": lambda connection: connection.write(b"x"),
    "writelines": lambda connection: connection.writelines([b"x"]),
    "write_eof": lambda connection: connection.write_eof(),
    "start_tls": lambda connection: connection.start_tls(),
}


@pytest.mark.parametrize("operation", AFTERWARDS.values(), ids=AFTERWARDS)
@pytest.mark.parametrize("abort", [False, True])
@on_both_loops
async def test_use_after_closing_is_told(operation: Callable[[Connection], Awaitable[object]], abort: bool) -> None:
    async with joined() as (connection, end):
        await end.send(b"unread\n")
        await arrived(connection, 7)
        if abort:
            connection.abort()
        else:
            await connection.aclose()
        with pytest.raises(ClosedError, match="closed"):
            await operation(connection)
        for make in (lambda: connection.reader, lambda: connection.writer):
            with pytest.raises(ClosedError):
                make()


async def test_every_await_of_a_talk_may_be_cancelled() -> None:
    async def talk() -> None:
        async with asyncnet.connect(f"tcp://{peer.address}") as connection:
            await connection.write(b"question\r\n")
            assert await connection.read_until(b"\r\n") == b"answer\r\n"
            memory = bytearray(4)
            assert await connection.read_into(memory, min_bytes=4) == 4
            await connection.write_eof()
            assert await connection.read() == b""

    async with Script("C: question\nS: answer\nsend more\neof", repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(talk) >= 3


# Where and what.


@on_both_loops
async def test_addresses_are_told() -> None:
    async with joined() as (connection, end):
        assert connection.peer == Address("127.0.0.1", end.sock.getsockname()[1])
        assert connection.local == Address("127.0.0.1", end.sock.getpeername()[1])
        assert str(connection.local) == f"127.0.0.1:{connection.local.port}"
        assert connection.tls is None
        assert connection.unix_credentials is None
        assert not connection.is_tls


async def test_an_ipv6_address_is_told_in_brackets() -> None:
    async with Script("silence", host="::1") as peer, asyncnet.connect(f"tcp://{peer.address}") as connection:
        assert connection.peer == Address("::1", peer.port)
        assert str(connection.peer) == peer.address


@on_both_loops
async def test_who_is_at_the_other_end_of_a_unix_socket_is_told() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        async with asyncnet.serve(asyncnet.echo, f"unix://{path}"), asyncnet.connect(f"unix://{path}") as connection:
            await connection.write(b"hello")
            assert await connection.read() == b"hello"
            assert connection.peer == Address(path, 0)
            assert str(connection.peer) == f"unix:{path}"
            assert connection.unix_credentials == (os.getpid(), os.getuid(), os.getgid())


@on_both_loops
async def test_bytes_are_counted() -> None:
    async with joined() as (connection, end):
        opened = connection.opened_at
        assert opened <= asyncio.get_running_loop().time()
        await end.send(b"12345")
        await connection.write(b"1234567")
        await arrived(connection, 5)
        assert (connection.received_bytes, connection.sent_bytes) == (5, 7)
        await connection.read(2)
        assert (connection.received_bytes, connection.opened_at) == (5, opened)


# The kinship with asyncio's streams.


@on_both_loops
async def test_reader_and_writer_are_asyncios_own() -> None:
    async with joined() as (connection, end):
        reader, writer = connection.reader, connection.writer
        assert type(reader) is asyncio.StreamReader
        assert type(writer) is asyncio.StreamWriter
        assert isinstance(connection._protocol, asyncio.StreamReaderProtocol)
        assert connection.reader is reader
        assert connection.writer is writer
        writer.write(b"a")
        writer.writelines([b"b", b"c"])
        await writer.drain()
        assert await end.receive(3) == b"abc"
        await end.send(b"line\nblock|end")
        assert await reader.readline() == b"line\n"
        assert await reader.readuntil(b"|") == b"block|"
        assert await reader.readexactly(3) == b"end"
        assert writer.get_extra_info("peername") == end.sock.getsockname()
        writer.write_eof()
        assert await end.rest() == b""
        end.finish()
        assert await reader.read() == b""
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()


@on_both_loops
async def test_a_writer_that_is_not_kept_does_not_close_the_connection() -> None:
    async with joined() as (connection, end):
        connection.writer.write(b"once")
        connection.writer.write(b"twice")
        assert await end.receive(9) == b"oncetwice"
        await end.send(b"alive")
        assert await connection.reader.read(5) == b"alive"


@on_both_loops
async def test_the_reader_gets_what_had_come_before_it() -> None:
    async with joined(max_buffer_bytes=65_536) as (connection, end):
        sending = asyncio.create_task(end.send(b"first\n" + b"x" * 1_000_000))
        assert await connection.read_until() == b"first\n"
        await until(lambda: connection._protocol.reading_paused)
        reader = connection.reader
        assert await reader.readexactly(1_000_000) == b"x" * 1_000_000
        await sending


@on_both_loops
async def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    async with joined() as (connection, end):
        reader = connection.reader
        sending = asyncio.create_task(end.send(b"x" * BIG))
        for _ in range(100):
            await asyncio.sleep(0.2 * MS)
        assert connection.received_bytes < 600_000
        assert len(await reader.readexactly(BIG)) == BIG
        await sending


@on_both_loops
async def test_once_the_reader_is_taken_the_reads_here_are_refused() -> None:
    async with joined() as (connection, end):
        await end.send(b"bytes\n")
        await arrived(connection, 6)
        reader = connection.reader
        for operation in AFTERWARDS.values():
            if operation is AFTERWARDS["write"]:
                break
            with pytest.raises(UsageError, match="`reader` owns the bytes"):
                await operation(connection)
        with pytest.raises(UsageError):
            await connection.start_tls()
        assert await reader.readline() == b"bytes\n"
        await connection.write(b"writes go on")
        assert await end.receive(12) == b"writes go on"


@on_both_loops
async def test_no_reader_while_a_read_waits() -> None:
    async with joined() as (connection, end):
        reading = asyncio.create_task(connection.read(), name="the first")
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="the first"):
            assert connection.reader
        await end.send(b"x")
        assert await reading == b"x"
        assert connection.reader


@on_both_loops
async def test_drain_waits_for_room() -> None:
    async with joined(small=True) as (connection, end):
        writer = connection.writer
        writer.write(b"x" * 500_000)
        draining = asyncio.create_task(writer.drain())
        await asyncio.sleep(2 * MS)
        assert not draining.done()
        assert await end.receive(500_000) == b"x" * 500_000
        await draining


@on_both_loops
async def test_a_reader_made_while_the_transport_is_full_hears_of_room() -> None:
    async with joined(small=True) as (connection, end):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * MS):
                await connection.write(b"x" * 200_000)
        draining = asyncio.create_task(connection.writer.drain())
        await asyncio.sleep(MS)
        assert not draining.done()
        await end.receive(200_000)
        await draining
        await connection.write(b"x")


@on_both_loops
async def test_a_reader_made_after_the_end_knows_of_it() -> None:
    async with joined() as (connection, end):
        await end.send(b"last")
        end.finish()
        await until(lambda: connection._protocol.ended)
        assert await connection.reader.read() == b"last"


@on_both_loops
async def test_a_reset_reaches_reader_and_writer() -> None:
    async with joined() as (connection, end):
        reader, writer = connection.reader, connection.writer
        end.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()


@on_both_loops
async def test_a_reader_made_after_a_reset_knows_of_it() -> None:
    async with joined() as (connection, end):
        end.reset()
        await until(lambda: connection._protocol.lost)
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
        with pytest.raises(DisconnectedError):
            assert connection.writer


@on_both_loops
async def test_aclose_ends_reader_and_writer() -> None:
    async with joined() as (connection, end):
        reader, writer = connection.reader, connection.writer
        await connection.aclose()
        assert await reader.read() == b""
        assert writer.is_closing()
        await writer.wait_closed()
        assert connection.reader is reader
        assert await end.rest() == b""


@on_both_loops
async def test_a_writer_upgrades_to_tls_on_both_sides(authority: Authority) -> None:
    """The server's writer must know that it is one, and pausing must reach the new transport."""
    served: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(connection: Connection) -> None:
        reader, writer = connection.reader, connection.writer
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"go\r\n")
        await writer.start_tls(authority.server)
        assert connection.is_tls
        writer.write(await reader.readexactly(1_000_000))
        await writer.drain()
        served.set_result("whole")

    async with asyncnet.serve(handler, "tcp://127.0.0.1:0") as server:
        async with asyncnet.connect(str(server.endpoint)) as connection:
            reader, writer = connection.reader, connection.writer
            writer.write(b"STARTTLS\r\n")
            assert await reader.readline() == b"go\r\n"
            await writer.start_tls(authority.client(), server_hostname="127.0.0.1")
            assert connection.is_tls
            assert reader._transport is writer.transport  # type: ignore[attr-defined]  # what the reader pauses
            assert connection._protocol.transport is writer.transport
            assert connection.tls is not None
            writer.write(b"x" * 1_000_000)
            await writer.drain()
            async with asyncio.timeout(PATIENCE):
                assert await reader.readexactly(1_000_000) == b"x" * 1_000_000
        assert await served == "whole"


async def test_a_deadline_reaches_the_reader() -> None:
    async with joined() as (connection, _):
        reader = connection.reader
        connection._protocol.fail(DeadlineError(seconds=1.0))
        with pytest.raises(DeadlineError):
            await reader.read()


async def test_a_peer_that_speaks_first_and_leaves_is_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opening = asyncnet.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        async with opening as connection:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"hello and goodbye")
            assert [chunk async for chunk in connection] == [b"hello and goodbye"]
