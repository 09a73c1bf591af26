"""send_file(): all of a file, whatever carries it, within bounds, and never half of it unnoticed."""

import asyncio
import contextlib
import gzip
import io
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import asyncnet
from asyncnet.errors import ClosedError, DeadlineError, DisconnectedError, UsageError
from asyncnet.streams import send_file as module
from asyncnet.streams.connection import Connection
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.memory import peak_memory
from tests.peers import Authority
from tests.streams.ends import PATIENCE, End, joined, keep_little, until

DATA = random.Random(7).randbytes(1_500_000)
READ_ONLY_OBJECTS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text path": str,
    "open file": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "read and write": lambda path: path.open("r+b"),
    "bytes in memory": lambda path: io.BytesIO(path.read_bytes()),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data"
    found.write_bytes(DATA)
    return found


@contextlib.contextmanager
def opened(kind: str, path: Path) -> Any:
    file = READ_ONLY_OBJECTS[kind](path)
    try:
        yield file
    finally:
        if hasattr(file, "close"):
            file.close()


@contextlib.asynccontextmanager
async def tcp(authority: Authority) -> AsyncIterator[tuple[Connection, Connection]]:
    async with served("tcp://127.0.0.1:0", authority) as pair:
        yield pair


@contextlib.asynccontextmanager
async def tls(authority: Authority) -> AsyncIterator[tuple[Connection, Connection]]:
    async with served("tls://127.0.0.1:0", authority) as pair:
        yield pair


@contextlib.asynccontextmanager
async def unix(authority: Authority) -> AsyncIterator[tuple[Connection, Connection]]:
    with tempfile.TemporaryDirectory() as folder:
        async with served(f"unix://{folder}/socket", authority) as pair:
            yield pair


@contextlib.asynccontextmanager
async def memory(authority: Authority) -> AsyncIterator[tuple[Connection, Connection]]:
    client, server = asyncnet.memory_pair()
    yield client, server
    client.abort()
    server.abort()


@contextlib.asynccontextmanager
async def served(url: str, authority: Authority, **options: Any) -> AsyncIterator[tuple[Connection, Connection]]:
    """A client's connection and the server's."""
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    done = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await accepted.put(connection)
        await done.wait()

    over_tls = url.startswith("tls")
    server_tls, client_tls = (authority.server, authority.client()) if over_tls else (None, None)
    async with asyncnet.serve(handler, url, tls=server_tls, grace=0.0, **options) as server:
        async with asyncnet.connect(server.endpoint, tls=client_tls) as client:
            try:
                yield client, await accepted.get()
            finally:
                done.set()
                client.abort()


carriers = pytest.mark.parametrize("carrier", [tcp, tls, unix, memory], ids=["tcp", "tls", "unix", "memory"])


# What is sent.


@pytest.mark.parametrize("kind", READ_ONLY_OBJECTS)
@carriers
@on_both_loops
async def test_all_of_a_file_arrives(carrier: Any, kind: str, path: Path, authority: Authority) -> None:
    async with carrier(authority) as (client, server):
        with opened(kind, path) as file:
            reading = asyncio.create_task(server.read_exactly(len(DATA) + 12))
            await client.write(b"before")
            assert await client.send_file(file) == len(DATA)
            await client.write(b"behind")
            assert await reading == b"before" + DATA + b"behind"
            assert client.sent_bytes == server.received_bytes == len(DATA) + 12


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, 0, 0),
        (0, 1, 1),
        (10, 300_000, 300_000),
        (300_000, None, 1_200_000),
        (0, 2_000_000, 1_500_000),
        (1_400_000, 200_000, 100_000),
        (1_500_000, None, 0),
        (5_000_000, 10, 0),
    ],
)
@pytest.mark.parametrize("kind", ["path", "open file", "bytes in memory"])
@pytest.mark.parametrize("carrier", [tcp, tls], ids=["tcp", "tls"])
@on_both_loops
async def test_a_part_of_a_file(
    carrier: Any, kind: str, offset: int, count: int | None, expected: int, path: Path, authority: Authority
) -> None:
    async with carrier(authority) as (client, server):
        with opened(kind, path) as file:
            reading = asyncio.create_task(server.read_exactly(expected + 3))
            assert await client.send_file(file, offset=offset, count=count) == expected
            await client.write(b"end")
            assert await reading == DATA[offset : offset + expected] + b"end"


@on_both_loops
async def test_an_open_file_keeps_its_position_and_may_be_sent_by_many_at_once(path: Path) -> None:
    with open(path, "rb") as file:
        file.seek(123)

        async def one(authority: Any = None) -> bytes:
            async with joined() as (connection, end):
                reading = asyncio.create_task(end.receive(len(DATA)))
                assert await connection.send_file(file) == len(DATA)
                return await reading

        assert await asyncio.gather(*(one() for _ in range(5))) == [DATA] * 5
        assert file.tell() == 123


@on_both_loops
async def test_what_unpacks_while_it_is_read_is_sent_unpacked(tmp_path: Path) -> None:
    packed = tmp_path / "data.gz"
    packed.write_bytes(gzip.compress(DATA[:300_000]))
    async with joined() as (connection, end):
        with gzip.open(packed) as file:
            reading = asyncio.create_task(end.receive(300_000))
            assert await connection.send_file(file) == 300_000  # type: ignore[arg-type]
            assert await reading == DATA[:300_000]


@on_both_loops
async def test_what_a_writer_still_holds_back_is_sent_too(tmp_path: Path) -> None:
    with open(tmp_path / "data", "w+b") as file:
        file.write(b"not flushed")
        async with joined() as (connection, end):
            assert await connection.send_file(file) == 11
            assert await end.receive(11) == b"not flushed"


@on_both_loops
async def test_a_pipe_is_sent_from_where_it_is() -> None:
    async with joined() as (connection, end):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin
            child.stdin.write(b"piped")
            child.stdin.close()
            assert child.stdout
            assert await connection.send_file(child.stdout) == 5  # type: ignore[arg-type]
            assert await end.receive(5) == b"piped"
            with pytest.raises(UsageError, match="cannot read"):
                await connection.send_file(child.stdout, offset=5)  # type: ignore[arg-type]


@on_both_loops
async def test_it_comes_behind_what_the_transport_still_holds(path: Path) -> None:
    async with joined(small=True) as (connection, end):
        transport = connection._protocol.transport
        assert transport
        limits = transport.get_write_buffer_limits()
        for held in (b"a", b"b" * 50_000):
            await connection.write(held)
            sending = asyncio.create_task(connection.send_file(path, count=100_000))
            assert await end.receive(len(held) + 100_000) == held + DATA[:100_000]
            assert await sending == 100_000
            # It takes its 64 KiB again before a write waits.
            assert transport.get_write_buffer_limits() == limits


@on_both_loops
async def test_files_and_writes_of_several_tasks_go_out_as_a_whole(path: Path) -> None:
    async with joined() as (connection, end):
        whole = end.receive(3 * len(DATA) + 2 * 300_000)
        reading = asyncio.create_task(whole)
        await asyncio.gather(
            connection.send_file(path),
            connection.write(b"x" * 300_000),
            connection.send_file(path),
            connection.write(b"y" * 300_000),
            connection.send_file(path),
        )
        assert await reading == DATA + b"x" * 300_000 + DATA + b"y" * 300_000 + DATA


# How it is sent.


@pytest.fixture
def sendfile_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    real = os.sendfile

    def counted(target: int, source: int, offset: int, count: int) -> int:
        sent = real(target, source, offset, count)
        calls.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", counted)
    return calls


@pytest.mark.parametrize("kind", ["path", "open file", "unbuffered"])
@pytest.mark.parametrize("carrier", [tcp, unix], ids=["tcp", "unix"])
@on_both_loops
async def test_without_tls_the_kernel_sends_it(
    carrier: Any, kind: str, path: Path, authority: Authority, sendfile_calls: list[int]
) -> None:
    async with carrier(authority) as (client, server):
        with opened(kind, path) as file:
            reading = asyncio.create_task(server.read_exactly(len(DATA)))
            await client.send_file(file)
            assert await reading == DATA
            assert sum(sendfile_calls) == len(DATA)
            assert max(sendfile_calls) <= module.CHUNK_BYTES


@on_both_loops
async def test_under_tls_the_kernel_does_not(path: Path, authority: Authority, sendfile_calls: list[int]) -> None:
    async with tls(authority) as (client, server):
        reading = asyncio.create_task(server.read_exactly(len(DATA)))
        await client.send_file(path)
        assert await reading == DATA
        assert sendfile_calls == []


@pytest.mark.parametrize("error", [OSError(22, "EINVAL"), OSError(95, "EOPNOTSUPP"), OSError(38, "ENOSYS")])
@on_both_loops
async def test_where_the_kernel_cannot_it_goes_in_chunks(
    error: OSError, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: int) -> int:
        raise error

    monkeypatch.setattr(os, "sendfile", refuses)
    async with joined() as (connection, end):
        reading = asyncio.create_task(end.receive(len(DATA)))
        assert await connection.send_file(path) == len(DATA)
        assert await reading == DATA


@on_both_loops
async def test_reading_goes_on_meanwhile(path: Path) -> None:
    """Two ends that send files to each other, and read only when theirs is sent, would wait for ever."""
    async with joined(small=True) as (connection, end):
        question = os.urandom(8_000_000)
        asking = asyncio.create_task(end.send(question))
        sending = asyncio.create_task(connection.send_file(path))
        assert await connection.read_exactly(len(question)) == question
        await asking
        assert not sending.done()
        assert await end.receive(len(DATA)) == DATA
        await sending


@on_both_loops
async def test_a_paused_reader_stays_paused(path: Path) -> None:
    async with joined(max_buffer_bytes=20_000) as (connection, end):
        filling = asyncio.create_task(end.send(b"x" * 8_000_000))
        await until(lambda: connection._protocol.reading_paused)
        received = connection.received_bytes
        reading = asyncio.create_task(end.receive(len(DATA)))
        await connection.send_file(path)
        assert await reading == DATA
        assert connection.received_bytes == received
        filling.cancel()
        await asyncio.wait([filling])


@on_both_loops
async def test_what_has_gone_is_counted_as_it_goes(path: Path) -> None:
    """So a long file is no silence to a server's idle timeout."""
    async with joined(small=True) as (connection, end):
        sending = asyncio.create_task(connection.send_file(path))
        got = b""
        while len(got) < len(DATA):
            before = connection.sent_bytes
            got += await end.receive(100_000)
            await until(lambda before=before: connection.sent_bytes > before or connection.sent_bytes == len(DATA))
        assert got == DATA
        assert await sending == len(DATA)


@on_both_loops
async def test_others_have_their_turn_while_a_fast_reader_takes_all(path: Path) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with joined() as (connection, end):
        counting = asyncio.create_task(count())
        reading = threading.Thread(target=_drink, args=(end,))  # it keeps the socket empty, whatever the loop does
        reading.start()
        await connection.send_file(path)
        await connection.aclose()
        reading.join()
        counting.cancel()
        await asyncio.wait([counting])
        assert turns > 3


def _drink(end: End) -> None:
    sock = end.sock.dup()
    with sock, contextlib.suppress(ConnectionError):
        sock.setblocking(True)
        while sock.recv(1_000_000):
            pass


# Limits.


def _big(path: Path) -> Path:
    """More than the kernel's buffers hold, without taking room."""
    big = path.parent / "big"
    with open(big, "wb") as file:
        file.truncate(64_000_000)
    return big


@carriers
@on_both_loops
async def test_a_deadline_aborts(carrier: Any, path: Path, authority: Authority) -> None:
    async with carrier(authority) as (client, _):
        began = time.monotonic()
        with pytest.raises(DeadlineError, match="send_file"):
            await client.send_file(_big(path), timeout=30 * MS)
        assert time.monotonic() - began < 2000 * MS
        with pytest.raises(DeadlineError):
            await client.write(b"x")
        with pytest.raises(DeadlineError):
            await client.read()
        await until(lambda: client._protocol.lost)


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "tls://127.0.0.1:0"], ids=["tcp", "tls"])
@on_both_loops
async def test_on_a_server_the_limit_is_for_each_step(url: str, path: Path, authority: Authority) -> None:
    async with served(url, authority, write_timeout=400 * MS) as (client, server):
        keep_little(server)
        size = 16_000_000
        big = _big(path)
        sending = asyncio.create_task(server.send_file(big, count=size))
        got, began = 0, time.monotonic()
        while got < size:
            got += await client.read_into(bytearray(1_000_000))
            assert not client._protocol.ended
            if time.monotonic() - began < 500 * MS:
                await asyncio.sleep(10 * MS)
        assert await sending == size
        assert time.monotonic() - began > 400 * MS
        with pytest.raises(DeadlineError):
            await server.send_file(big)
        await until(lambda: server._protocol.lost)


@on_both_loops
async def test_a_path_that_cannot_be_opened_in_time_is_given_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with joined() as (connection, _):
        with pytest.raises(DeadlineError):
            await connection.send_file(pipe, timeout=20 * MS)
    with open(pipe, "wb"):  # the thread that waits there is let go, and closes what it opened
        pass


@carriers
@on_both_loops
async def test_cancelled_it_aborts(carrier: Any, path: Path, authority: Authority) -> None:
    async with carrier(authority) as (client, server):
        sending = asyncio.create_task(client.send_file(_big(path)))
        await until(lambda: client.sent_bytes)
        await asyncio.sleep(5 * MS)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        with pytest.raises(ClosedError):
            await client.write(b"x")
        with contextlib.suppress(DisconnectedError):
            while await server.read(timeout=PATIENCE):
                pass


@on_both_loops
async def test_cancelled_before_it_began_it_does_not(path: Path) -> None:
    async with joined(small=True) as (connection, end):
        writing = asyncio.create_task(connection.write(b"x" * 600_000))
        await until(lambda: connection._protocol._paused)
        sending = asyncio.create_task(connection.send_file(path))
        await asyncio.sleep(5 * MS)
        sending.cancel()
        await asyncio.wait([sending])
        assert await end.receive(600_000) == b"x" * 600_000
        await writing
        await connection.write(b"fine")
        assert await end.receive(4) == b"fine"


@pytest.mark.parametrize("carrier", [tcp, tls], ids=["tcp", "tls"])
@on_both_loops
async def test_every_await_may_be_cancelled_and_no_descriptor_is_left(
    carrier: Any, path: Path, authority: Authority
) -> None:
    async def send() -> None:
        async with carrier(authority) as (client, server):
            reading = asyncio.create_task(server.read_exactly(400_000))
            try:
                await client.send_file(path, count=400_000)
                await reading
            finally:
                reading.cancel()
                await asyncio.wait([reading])

    assert await cancelled_at_each_await(send) > 3
    await until(lambda: str(path) not in _open_files())


def _open_files() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(descriptor))
    return found


# The peer leaves.


@carriers
@on_both_loops
async def test_a_peer_that_leaves_ends_it(carrier: Any, path: Path, authority: Authority) -> None:
    async with carrier(authority) as (client, server):
        sending = asyncio.create_task(client.send_file(_big(path)))
        await until(lambda: server.received_bytes)
        server.abort()
        with pytest.raises(DisconnectedError):
            await sending
        with pytest.raises(DisconnectedError):
            await client.write(b"x")


@on_both_loops
async def test_our_own_abort_and_close_end_it(path: Path) -> None:
    for end_it in (
        lambda connection: connection.abort(),
        lambda connection: asyncio.ensure_future(connection.aclose()),
    ):
        async with joined(small=True) as (connection, end):
            sending = asyncio.create_task(connection.send_file(path))
            await until(lambda: connection.sent_bytes)
            closing = end_it(connection)
            with pytest.raises(ClosedError):
                await sending
            if closing is not None:
                await closing
            assert len(await end.rest()) < len(DATA)


@on_both_loops
async def test_after_an_end_of_ours_it_is_refused(path: Path) -> None:
    for source in (path, io.BytesIO(DATA)):
        async with joined() as (connection, end):
            await connection.write_eof()
            with pytest.raises(ClosedError, match="ended our half"):
                await connection.send_file(source)
            await end.send(b"but reading goes on")
            assert await connection.read() == b"but reading goes on"
            await connection.aclose()
            with pytest.raises(ClosedError):
                await connection.send_file(source)


# Files that cannot be read.


@on_both_loops
async def test_what_cannot_be_read_is_told_and_the_connection_is_fine(tmp_path: Path) -> None:
    closed = open(tmp_path / "closed", "w+b")  # noqa: SIM115
    closed.close()
    gone = io.BytesIO()
    gone.close()
    with open(tmp_path / "for writing", "wb") as writer, open(tmp_path / "closed") as text:
        faults: list[Any] = [tmp_path / "none", tmp_path, closed, gone, writer, text, io.StringIO("text"), "a\0b"]
        for file in faults:
            async with joined() as (connection, end):
                with pytest.raises(UsageError, match=r"cannot read|binary mode"):
                    await connection.send_file(file)
                await connection.write(b"fine")
                assert await end.receive(4) == b"fine"


@on_both_loops
async def test_the_path_is_named(tmp_path: Path) -> None:
    async with joined() as (connection, _):
        with pytest.raises(UsageError, match=r"cannot read .*/none: No such file or directory"):
            await connection.send_file(tmp_path / "none")


@pytest.mark.parametrize("options", [{"offset": -1}, {"count": -1}])
async def test_negative_numbers_are_refused(options: dict[str, int], path: Path) -> None:
    async with joined() as (connection, _):
        with pytest.raises(UsageError):
            await connection.send_file(path, **options)


class Torn(io.RawIOBase):
    """A file that cannot be read to its end."""

    def __init__(self) -> None:
        self._left = 3

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if not self._left:
            raise OSError(5, "Input/output error")
        return b"x" * size


@on_both_loops
async def test_a_file_that_breaks_in_the_middle_aborts_for_the_peer_waits_for_the_rest() -> None:
    file: BinaryIO = Torn()  # type: ignore[assignment]
    async with joined() as (connection, end):
        reading = asyncio.create_task(end.rest())
        with pytest.raises(UsageError, match="Input/output error"):
            await connection.send_file(file)
        with pytest.raises(ClosedError):
            await connection.write(b"x")
        assert len(await reading) <= 2 * module.CHUNK_BYTES


@on_both_loops
async def test_a_file_that_breaks_in_the_kernel_aborts_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.sendfile, 0

    def breaks(*arguments: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(5, "Input/output error")
        return real(*arguments)

    monkeypatch.setattr(os, "sendfile", breaks)
    async with joined() as (connection, end):
        reading = asyncio.create_task(end.rest())
        with pytest.raises(UsageError, match="Input/output error"):
            await connection.send_file(path)
        assert len(await reading) < len(DATA)
        assert connection.is_closed


# Memory.


_SENDING = """
import asyncio, sys, asyncnet, tempfile

async def handler(connection):
    await connection.send_file(sys.argv[1])

async def main():
    context = asyncnet.server_context(sys.argv[3], sys.argv[4]) if sys.argv[2] == "tls" else None
    async with asyncnet.serve(handler, f"{sys.argv[2]}://127.0.0.1:0", tls=context) as server:
        client = asyncnet.client_context(ca=sys.argv[5]) if context else None
        async with asyncnet.connect(server.endpoint, tls=client) as connection:
            memory, got = bytearray(65_536), 0
            while count := await connection.read_into(memory):
                got += count
            assert got == int(sys.argv[6]), got
asyncnet.run(main())
"""


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_a_big_file_takes_little_memory(scheme: str, tmp_path: Path, authority: Authority, authority_pem: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    for file, size in ((big, 100_000_000), (small, 1000)):
        with open(file, "wb") as opened_file:
            opened_file.truncate(size)
    certificate, key = map(str, authority.write_server_files(tmp_path))
    common = (scheme, certificate, key, str(authority_pem))
    base = peak_memory(_SENDING, str(small), *common, "1000")
    assert peak_memory(_SENDING, str(big), *common, "100000000") - base < 8_000_000
