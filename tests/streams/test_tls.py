"""TLS: from the first byte and in mid-stream; goodbyes told from cuts; impostors, injections and stalls refused."""

import asyncio
import contextlib
import itertools
import logging
import random
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

import asyncnet
from asyncnet.errors import (
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    ProtocolError,
    TLSError,
    UsageError,
)
from asyncnet.streams import connection as connection_module
from asyncnet.streams.connection import Connection
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority, Script, Talk
from tests.streams.ends import PATIENCE, End, joined, until

LARGE = 250_000
"""More than one buffer of ours, less than what asyncio's TLS layer takes from the kernel at once."""


def saying(data: bytes, then: Callable[[Talk], object]) -> Callable[[Talk], None]:
    """A conversation of one sentence and its end."""

    def conversation(talk: Talk) -> None:
        talk.send_bytes(data)
        then(talk)

    return conversation


# The end: a goodbye or a cut.


@pytest.mark.parametrize("size", [0, 1, 65_536, LARGE, 2_000_000])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@on_both_loops
async def test_all_that_came_before_a_goodbye_is_given(size: int, late: bool, authority: Authority) -> None:
    data = random.Random(size).randbytes(size)
    async with (
        Script(saying(data, Talk.close), tls=authority.server) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
    ):
        if late:  # reading is paused meanwhile, and the end comes on top
            await asyncio.sleep(10 * MS)
        assert b"".join([chunk async for chunk in connection]) == data
        assert await connection.read() == b""


@pytest.mark.parametrize("how", [Talk.cut, Talk.shut], ids=["cut", "half-closed"])
@pytest.mark.parametrize("size", [0, 1, 65_536, LARGE, 2_000_000])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@on_both_loops
async def test_a_cut_is_an_error_after_all_that_came(
    size: int, late: bool, how: Callable[[Talk], object], authority: Authority
) -> None:
    data = random.Random(size).randbytes(size)
    async with (
        Script(saying(data, how), tls=authority.server, check=False) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
    ):
        if late:
            await asyncio.sleep(10 * MS)
        got = b""
        with pytest.raises(IncompleteRead, match="cut: no close_notify"):
            while chunk := await connection.read():
                got += chunk
        assert got == data
        with pytest.raises(IncompleteRead):
            await connection.read()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@on_both_loops
async def test_what_came_before_a_reset_is_given_before_the_error(late: bool, authority: Authority) -> None:
    data = random.Random(5).randbytes(LARGE)

    def conversation(talk: Talk) -> None:
        talk.send_bytes(data)
        talk.wait("read")
        talk.reset()

    async with (
        Script(conversation, tls=authority.server, check=False) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client(), max_buffer_bytes=1000) as connection,
    ):
        got = await connection.read(1)
        transport = connection._protocol.transport
        assert transport is not None
        if late:  # all has left the kernel, which would drop it, for the TLS layer (which counts no half-read record)
            await until(lambda: transport.get_read_buffer_size() + connection.received_bytes > LARGE - 20_000)  # type: ignore[attr-defined]
        peer.release("read")
        with pytest.raises(DisconnectedError):
            while chunk := await connection.read():
                got += chunk
        assert got == data[: len(got)]
        assert len(got) == LARGE or not late


UNITS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "read_exactly": lambda connection: connection.read_exactly(100),
    "read_exactly, large": lambda connection: connection.read_exactly(100_000),
    "read_until": lambda connection: connection.read_until(),
    "read_into": lambda connection: connection.read_into(bytearray(100), min_bytes=50),
    "lines": lambda connection: anext(connection.lines()),
}


@pytest.mark.parametrize("read", UNITS.values(), ids=UNITS)
@on_both_loops
async def test_a_unit_that_is_cut_tells_what_came(
    read: Callable[[Connection], Awaitable[object]], authority: Authority
) -> None:
    async with (
        Script(saying(b"partial", Talk.cut), tls=authority.server, check=False) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
    ):
        with pytest.raises(IncompleteRead) as raised:
            await read(connection)
        assert raised.value.partial == b"partial"
        assert isinstance(raised.value.__cause__, IncompleteRead)
        with pytest.raises(IncompleteRead, match="cut"):
            await connection.read()


@on_both_loops
async def test_a_cut_reaches_the_asyncio_reader_too(authority: Authority) -> None:
    async with (
        Script(saying(b"partial", Talk.cut), tls=authority.server, check=False) as peer,
        asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection,
    ):
        with pytest.raises(IncompleteRead):
            await connection.reader.read()


@on_both_loops
async def test_our_own_goodbye_reaches_the_peer(authority: Authority) -> None:
    async with Script("C: hello\nS: world\neof", tls=authority.server) as peer:
        async with asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection:
            await connection.write(b"hello\r\n")
            assert await connection.read_until() == b"world\r\n"
            with pytest.raises(UsageError, match="no half-close"):
                await connection.write_eof()
        assert connection.peer.port in (peer.port, 0)  # and asking does not fail
        await connection.aclose()


@on_both_loops
async def test_a_peer_that_does_not_answer_our_goodbye_is_not_waited_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 50 * MS)

    def deaf(talk: Talk) -> None:
        talk.read(1)
        talk.wait("the end")

    async with Script(deaf, tls=authority.server, check=False) as peer:
        connection = await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())
        await connection.write(b"x")
        began = asyncio.get_running_loop().time()
        await asyncio.gather(connection.aclose(), connection.aclose())
        assert asyncio.get_running_loop().time() - began < 1000 * MS
        assert connection._protocol.lost
        peer.release("the end")


@on_both_loops
async def test_a_peer_that_floods_us_while_we_close_is_not_waited_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 50 * MS)
    async with Script("endless line", tls=authority.server, check=False) as peer:
        connection = await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())
        assert await connection.read(10) == b"x" * 10
        began = asyncio.get_running_loop().time()
        await connection.aclose()
        assert asyncio.get_running_loop().time() - began < 1000 * MS


# Random reads, as in test_receive.py.


@pytest.mark.parametrize("seed", range(2))
@on_both_loops
async def test_random_reads_under_random_cancellations(seed: int, authority: Authority) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(200_000)
    ends = [0]
    while ends[-1] < len(data):
        ends.append(min(len(data), ends[-1] + rng.choice((1, 50, 500, 2000, 20_000))))

    def in_pieces(talk: Talk) -> None:
        for start, end in itertools.pairwise(ends):
            talk.read(1)  # a piece for each byte of the client's
            talk.send_bytes(data[start:end])
            talk.flush()

    async with (
        Script(in_pieces, tls=authority.server) as peer,
        asyncnet.connect(
            f"tls://{peer.address}", tls=authority.client(), max_buffer_bytes=rng.choice((1000, 262_144))
        ) as connection,
    ):
        got, asked = bytearray(), 0
        while len(got) < len(data):
            if len(got) == ends[asked]:  # all that was asked for has come: this read waits in vain
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(rng.choice((0, 0.2 * MS))):
                        await _random_read(connection, rng, len(data) - len(got))
                more = min(rng.randint(1, 4), len(ends) - 1 - asked)
                await connection.write(b"." * more)
                asked += more
            with contextlib.suppress(TimeoutError, LimitError):
                async with asyncio.timeout(rng.choice((0, 0.2 * MS, PATIENCE))):
                    got += await _random_read(connection, rng, ends[asked] - len(got))
        assert got == data
        assert await connection.read() == b""


async def _random_read(connection: Connection, rng: random.Random, left: int) -> bytes:
    size = min(left, rng.choice((1, 50, 500, 4000, 40_000)))
    match rng.randrange(4):
        case 0:
            return await connection.read(size)
        case 1:
            return await connection.read_exactly(size)
        case 2:
            return await connection.read_until(b"e", max_bytes=size)
        case _:
            memory = bytearray(size)
            return bytes(memory[: await connection.read_into(memory, min_bytes=rng.randint(1, size))])


@on_both_loops
async def test_writes_arrive_whole_under_tls(authority: Authority) -> None:
    data = random.Random(9).randbytes(3_000_000)
    async with (
        asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server) as server,
        asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection,
    ):
        memory = bytearray(data)
        writing = asyncio.create_task(_write_and_spoil(connection, memory))
        assert await connection.read_exactly(len(data)) == data
        await writing
        assert connection.tls is not None
        assert connection.tls.version in ("TLSv1.2", "TLSv1.3")
        assert (connection.received_bytes, connection.sent_bytes) == (len(data), len(data))


async def _write_and_spoil(connection: Connection, memory: bytearray) -> None:
    await connection.write(memory)
    memory[:] = bytes(len(memory))


# Whom we do not trust.


@pytest.mark.parametrize("fault", ["expired", "wrong host", "untrusted"])
@on_both_loops
async def test_impostors_are_refused(fault: str, authority: Authority) -> None:
    bad = authority.bad_servers[fault]
    async with Script("silence", tls=bad, check=False) as peer:
        with pytest.raises(TLSError, match="not trusted"):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())
        assert peer.received == b""
    async with Script("C: STARTTLS\nS: go\nstarttls", starttls=bad, check=False) as peer:
        async with asyncnet.connect(f"tcp://{peer.address}") as connection:
            await connection.write(b"STARTTLS\r\n")
            await connection.read_until()
            with pytest.raises(TLSError, match="not trusted"):
                await connection.start_tls(authority.client())
            assert connection.is_closed
        assert peer.received == b"STARTTLS\r\n"


@on_both_loops
async def test_the_systems_authorities_are_the_default(authority: Authority) -> None:
    async with Script("silence", tls=authority.server, check=False) as peer:
        with pytest.raises(TLSError, match="not trusted"):
            await asyncnet.connect(f"tls://{peer.address}")


@on_both_loops
async def test_a_server_that_does_not_speak_tls_is_told(authority: Authority) -> None:
    async with Script("S: 220 plaintext here\nsilence", check=False) as peer:
        with pytest.raises(TLSError, match="does not speak TLS"):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())
    async with Script("garbage 2000\nsilence", check=False) as peer:
        with pytest.raises(TLSError):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client())


@on_both_loops
async def test_a_handshake_that_stalls_ends_at_the_deadline(authority: Authority) -> None:
    async with Script("silence", check=False) as peer:
        with pytest.raises(DeadlineError, match="TLS handshake"):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client(), timeout=30 * MS)


# STARTTLS.

UPGRADE = "C: STARTTLS\nS: go\nstarttls\nC: hello\nS: world"


async def ask_for_tls(connection: Connection) -> None:
    await connection.write(b"STARTTLS\r\n")
    assert await connection.read_until() == b"go\r\n"


@on_both_loops
async def test_a_client_upgrades(authority: Authority) -> None:
    async with (
        Script(UPGRADE, starttls=authority.server) as peer,
        asyncnet.connect(f"tcp://{peer.address}") as connection,
    ):
        await ask_for_tls(connection)
        await connection.start_tls(authority.client())
        assert connection.is_tls
        await connection.write(b"hello\r\n")
        assert await connection.read_until() == b"world\r\n"
        assert await connection.read() == b""
        assert peer.cleartext == b"STARTTLS\r\n"
        with pytest.raises(UsageError, match="plain connection"):
            await connection.start_tls(authority.client())


def serve_upgrade(authority: Authority, **options: object) -> Callable[[Connection], Awaitable[None]]:
    async def handler(connection: Connection) -> None:
        assert await connection.read_until() == b"STARTTLS\r\n"
        await connection.start_tls(authority.server, after=b"go\r\n")
        await asyncnet.echo(connection)

    return handler


@on_both_loops
async def test_a_server_upgrades_however_early_the_honest_client_comes(authority: Authority) -> None:
    """The client's first TLS bytes come as soon as it sees the go-ahead, while the server still prepares."""
    async with asyncnet.serve(serve_upgrade(authority), "tcp://127.0.0.1:0") as server:
        for _ in range(10):
            async with asyncnet.connect(str(server.endpoint)) as connection:
                await ask_for_tls(connection)
                await connection.start_tls(authority.client(), server_hostname="localhost")
                await connection.write(b"hello")
                assert await connection.read() == b"hello"


@pytest.mark.parametrize("max_buffer_bytes", [1000, 262_144])
@on_both_loops
async def test_data_right_behind_the_handshake_is_taken(max_buffer_bytes: int, authority: Authority) -> None:
    """It may come before the upgrade has returned, and fill the buffer: reading pauses and goes on."""
    data = random.Random(1).randbytes(400_000)
    async with (
        asyncnet.serve(serve_upgrade(authority), "tcp://127.0.0.1:0", max_buffer_bytes=max_buffer_bytes) as server,
        asyncnet.connect(str(server.endpoint), max_buffer_bytes=max_buffer_bytes) as connection,
    ):
        await ask_for_tls(connection)
        await connection.start_tls(authority.client())
        writing = asyncio.create_task(connection.write(data))
        async with asyncio.timeout(PATIENCE):
            assert await connection.read_exactly(len(data)) == data
        await writing


@pytest.mark.parametrize("cut", [False, True])
@on_both_loops
async def test_data_and_end_in_one_piece_with_the_handshake_are_taken(cut: bool, authority: Authority) -> None:
    """All of it is there before our upgrade has returned: it fills the buffer, and the end is told from a cut."""
    data = random.Random(1).randbytes(20_000)
    async with joined(server_side=True, max_buffer_bytes=1000) as (connection, end):
        upgrading = asyncio.create_task(connection.start_tls(authority.server, after=b"go\r\n"))
        assert await end.receive(4) == b"go\r\n"
        await _hurry(end, authority, data, cut=cut)
        await upgrading
        got = b""
        with pytest.raises(IncompleteRead, match="cut") if cut else contextlib.nullcontext():
            while chunk := await connection.read(timeout=PATIENCE):
                got += chunk
        assert got == data


async def _hurry(end: End, authority: Authority, data: bytes, *, cut: bool) -> None:
    """As a client, send the last of the handshake, `data` and the end in one piece."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    await end.send(outgoing.read())
    while True:
        incoming.write(await end._chunk(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            break
    tls.write(data)
    if not cut:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
    await end.send(outgoing.read())
    end.finish()


@on_both_loops
async def test_a_client_refuses_plaintext_slipped_in_before_tls(authority: Authority) -> None:
    async with Script(
        "C: STARTTLS\nsend go\\r\\nINJECTED\\r\\n\nsilence", starttls=authority.server, check=False
    ) as peer:
        async with asyncnet.connect(f"tcp://{peer.address}") as connection:
            await ask_for_tls(connection)
            with pytest.raises(ProtocolError, match="10 bytes of plaintext came before the upgrade"):
                await connection.start_tls(authority.client())
            assert connection.is_closed


@on_both_loops
async def test_plaintext_that_comes_while_we_shake_hands_breaks_them(authority: Authority) -> None:
    async with (
        Script("C: STARTTLS\nS: go\nread 1\nsend INJECTED\\r\\n\nsilence", check=False) as peer,
        asyncnet.connect(f"tcp://{peer.address}") as connection,
    ):
        await ask_for_tls(connection)
        with pytest.raises(TLSError):
            await connection.start_tls(authority.client())


@on_both_loops
async def test_a_server_refuses_plaintext_pipelined_behind_the_request(authority: Authority) -> None:
    failures: list[Exception] = []

    async def handler(connection: Connection) -> None:
        await connection.read_until()
        try:
            await connection.start_tls(authority.server, after=b"go\r\n")
        except ProtocolError as error:
            failures.append(error)
            raise

    async with asyncnet.serve(handler, "tcp://127.0.0.1:0") as server:
        async with asyncnet.connect(str(server.endpoint)) as connection:
            await connection.write(b"STARTTLS\r\nMAIL FROM:<injected@example.org>\r\n")
            with pytest.raises(DisconnectedError):
                assert not await connection.read()  # not even the go-ahead
                raise DisconnectedError
    assert "of plaintext came before the upgrade" in str(failures[0])


@on_both_loops
async def test_what_waits_to_be_sent_goes_out_before_the_handshake(authority: Authority) -> None:
    """A transport that is full tells whoever listens then when it has room again: that must not be the TLS layer."""
    after = b"x" * 500_000 + b"go\r\n"
    async with joined(server_side=True, small=True) as (connection, end):
        upgrading = asyncio.create_task(connection.start_tls(authority.server, after=after))
        await until(lambda: connection._protocol._paused)
        assert await end.receive(len(after)) == after
        await _hurry(end, authority, b"hello", cut=False)
        await upgrading
        assert await connection.read_exactly(5) == b"hello"
        assert not connection._protocol._paused


FAILING: dict[str, tuple[str, type[Exception]]] = {
    "not TLS": ("read 10\ngarbage 500\nsilence", TLSError),
    "left": ("cut", DisconnectedError),
    "half left": ("shut\nsilence", DisconnectedError),
    "reset": ("read 10\nreset", DisconnectedError),
    "stalled": ("silence", DeadlineError),
}


@pytest.mark.parametrize(("conversation", "kind"), FAILING.values(), ids=FAILING)
@on_both_loops
async def test_a_handshake_that_fails_leaves_nothing(
    conversation: str, kind: type[Exception], authority: Authority
) -> None:
    async with (
        Script(f"C: STARTTLS\nS: go\n{conversation}", check=False) as peer,
        asyncnet.connect(f"tcp://{peer.address}", timeout=50 * MS) as connection,
    ):
        await ask_for_tls(connection)
        with pytest.raises(kind):
            await connection.start_tls(authority.client())
        assert connection.is_closed
        began = asyncio.get_running_loop().time()
        await connection.aclose()
        assert asyncio.get_running_loop().time() - began < 500 * MS


@on_both_loops
async def test_every_await_of_an_upgrade_may_be_cancelled(authority: Authority) -> None:
    async def talk() -> None:
        async with asyncnet.connect(f"tcp://{peer.address}") as connection:
            await ask_for_tls(connection)
            await connection.start_tls(authority.client())
            await connection.write(b"hello\r\n")
            await connection.read_until()

    async with Script(UPGRADE, starttls=authority.server, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(talk) >= 4


@on_both_loops
async def test_meanwhile_reads_are_refused_and_writes_wait_to_go_out_encrypted(authority: Authority) -> None:
    async with (
        Script("C: STARTTLS\nS: go\nwait later\nstarttls\nC: hello", starttls=authority.server) as peer,
        asyncnet.connect(f"tcp://{peer.address}") as connection,
    ):
        await ask_for_tls(connection)
        upgrading = asyncio.create_task(connection.start_tls(authority.client()))
        await asyncio.sleep(MS)
        writing = asyncio.create_task(connection.write(b"hello\r\n"))
        for operation in (connection.read(), connection.read_exactly(1), connection.start_tls(authority.client())):
            with pytest.raises(UsageError):
                await operation
        assert not writing.done()
        peer.release("later")
        await asyncio.gather(upgrading, writing)
        assert await connection.read() == b""
        assert peer.cleartext == b"STARTTLS\r\n"


@on_both_loops
async def test_a_server_needs_a_context_and_bounds_the_handshake_by_itself(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyncnet.streams import upgrade

    monkeypatch.setattr(upgrade, "_SERVER_SECONDS", 20 * MS)
    async with joined(server_side=True) as (connection, end):
        with pytest.raises(UsageError, match="on a server a context"):
            await connection.start_tls()
        with pytest.raises(DeadlineError):
            await connection.start_tls(authority.server, after=b"go\r\n")
        assert await end.rest() == b"go\r\n"


@on_both_loops
async def test_who_has_left_is_not_upgraded(authority: Authority) -> None:
    async with joined() as (connection, end):
        end.finish()
        await until(lambda: connection._protocol.ended)
        with pytest.raises(DisconnectedError, match="before the upgrade"):
            await connection.start_tls(authority.client())


# A TLS port shrugs its enemies off.


async def enemy(port: int, data: bytes) -> End:
    sock = socket.create_connection(("127.0.0.1", port))
    end = End(sock)
    await end.send(data)
    return end


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@on_both_loops
async def test_garbage_stalls_and_cuts_on_the_tls_port_harm_nobody_else(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncnet.server")
    serving = asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=authority.server, handshake_timeout=100 * MS)
    async with serving as server:
        port = server.endpoint.port
        hello = client_hello()
        enemies = [await enemy(port, data) for data in [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"", hello[:50]] * 5]
        left = [await enemy(port, data) for data in (b"", hello, hello[:10])]
        left[0].sock.close()
        left[1].reset()
        left[2].sock.close()
        async with asyncnet.connect(str(server.endpoint), tls=authority.client()) as connection:
            for _ in range(3):
                await connection.write(b"hello")
                assert await connection.read() == b"hello"
            for one in enemies:
                await one.rest()
                one.sock.close()
            await until(lambda: server.clients == 1)
            await connection.write(b"still here")
            assert await connection.read() == b"still here"
    assert 1 <= len(caplog.records) <= 5  # at most one line a second for each kind of fault
    assert not any("Traceback" in record.getMessage() or record.exc_info for record in caplog.records)
