"""connect(): from a URL to a connection, or to one error that says how far it came."""

import asyncio
import math
import socket
import tempfile
import threading

import pytest

import asyncnet
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    InvalidEndpoint,
    RefusedError,
    TLSError,
    UsageError,
)
from asyncnet.proxy import Proxy
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority, ConnectProxy, Script, SocksProxy

GREETING = "S: hello"


@on_both_loops
async def test_it_connects_and_talks() -> None:
    async with Script("S: hello\nC: goodbye\neof") as peer:
        async with asyncnet.connect(f"tcp://{peer.address}") as connection:
            assert await connection.read_until() == b"hello\r\n"
            await connection.write(b"goodbye\r\n")
    assert connection.is_closed


@on_both_loops
async def test_it_may_be_awaited_and_closed_by_hand() -> None:
    async with Script(GREETING) as peer:
        connection = await asyncnet.connect(Endpoint.parse(f"tcp://{peer.address}"))
        assert str(connection.endpoint) == f"tcp://{peer.address}"
        assert await connection.read() == b"hello\r\n"
        await connection.aclose()


async def test_names_and_both_families_are_dialled() -> None:
    async with Script(GREETING) as peer, asyncnet.connect(f"tcp://localhost:{peer.port}") as connection:
        assert await connection.read() == b"hello\r\n"
    async with Script(GREETING, host="::1") as peer, asyncnet.connect(f"tcp://{peer.address}") as connection:
        assert await connection.read() == b"hello\r\n"


@on_both_loops
async def test_a_unix_socket_is_dialled() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        async with asyncnet.connect(f"unix://{folder}/socket") as connection:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"hello")
                assert await connection.read_exactly(5) == b"hello"
                await connection.write(b"world")
                assert sock.recv(5) == b"world"
    with pytest.raises(ConnectError, match="No such file"):
        await asyncnet.connect(f"unix://{folder}/socket")


@on_both_loops
async def test_tls_begins_with_the_first_byte(authority: Authority) -> None:
    async with Script(GREETING, tls=authority.server) as peer:
        async with asyncnet.connect(f"tls://{peer.address}", tls=authority.client()) as connection:
            assert connection.is_tls
            assert await connection.read() == b"hello\r\n"
    async with Script(GREETING, tls=authority.demanding) as peer:
        context = authority.client_with_certificate()
        async with asyncnet.connect(f"tls://{peer.address}", tls=context) as connection:
            assert await connection.read() == b"hello\r\n"


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_it_goes_through_proxies(tls: bool, authority: Authority) -> None:
    options = {"tls": authority.server} if tls else {}
    context = authority.client() if tls else None
    async with Script(GREETING, repeat=True, **options) as peer:  # type: ignore[arg-type]
        here = {"localhost": (peer.host, peer.port)}
        url = f"{'tls' if tls else 'tcp'}://localhost:{peer.port}"
        async with ConnectProxy(hosts=here, glue=not tls) as proxy:
            async with asyncnet.connect(url, tls=context, proxy=f"http://{proxy.address}") as connection:
                assert await connection.read() == b"hello\r\n"
            assert proxy.requests == [("localhost", peer.port)]
        async with SocksProxy(hosts=here, glue=not tls) as proxy:
            way = Proxy.parse(f"socks5://{proxy.address}")
            async with asyncnet.connect(url, tls=context, proxy=way) as connection:
                assert await connection.read() == b"hello\r\n"


@on_both_loops
async def test_a_proxys_refusal_is_told() -> None:
    async with ConnectProxy(fault="refuse", status=403) as proxy:
        with pytest.raises(RefusedError) as raised:
            await asyncnet.connect("tcp://example.org:7", proxy=f"http://{proxy.address}")
        assert raised.value.code == 403
    async with ConnectProxy(username="alice", password="secret") as proxy:
        with pytest.raises(AuthenticationError):
            await asyncnet.connect("tcp://example.org:7", proxy=f"http://{proxy.address}")


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "imaps://example.org", "tcp://example.org", "nonsense", "tcp://alice:secret@example.org:7"],
)
def test_what_is_no_place_for_a_stream_is_refused_at_once(url: str) -> None:
    with pytest.raises((InvalidEndpoint, UsageError)):
        asyncnet.connect(url)


def test_wrong_options_are_refused_at_once(authority: Authority) -> None:
    with pytest.raises(UsageError, match="use tls://"):
        asyncnet.connect("tcp://example.org:7", tls=authority.client())
    with pytest.raises(InvalidEndpoint):
        asyncnet.connect("tcp://example.org:7", proxy="ftp://example.org")
    with pytest.raises(UsageError, match="buffer"):
        asyncnet.connect("tcp://example.org:7", max_buffer_bytes=0)


@pytest.mark.parametrize("url", ["tcp://:7", "tcp://127.0.0.1:0"])
async def test_no_host_or_port_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no host or port"):
        await asyncnet.connect(url)


@on_both_loops
async def test_a_refused_connection_is_told() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match="refused") as raised:
            await asyncnet.connect(f"tcp://127.0.0.1:{sock.getsockname()[1]}")
    assert raised.value.transient
    assert raised.value.operation == "connect"


# Deadlines name the phase.


async def test_the_deadline_names_the_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()

    def stuck(*_: object, **__: object) -> list[object]:
        going_on.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    try:
        with pytest.raises(DeadlineError, match="in resolve"):
            await asyncnet.connect("tcp://mail.example.org:25", timeout=20 * MS)
    finally:
        going_on.set()


@on_both_loops
async def test_the_deadline_names_the_connecting() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for sock in (first, second):  # fill the queue: who comes now is answered nothing
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with pytest.raises(DeadlineError, match=r"not done within 0\.\d+ seconds$") as raised:
            await asyncnet.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}", timeout=30 * MS)
        assert raised.value.operation == "connect"


@on_both_loops
async def test_the_deadline_names_the_proxy() -> None:
    async with ConnectProxy(fault="silence") as proxy:
        with pytest.raises(DeadlineError, match="in proxy"):
            await asyncnet.connect("tcp://example.org:7", proxy=f"http://{proxy.address}", timeout=30 * MS)


@on_both_loops
async def test_the_deadline_names_the_handshake(authority: Authority) -> None:
    async with Script("drip 1 5\ngarbage 1000\nsilence", check=False) as peer:
        with pytest.raises((DeadlineError, TLSError)):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client(), timeout=30 * MS)
    async with Script("silence", check=False) as peer:
        with pytest.raises(DeadlineError, match="in TLS handshake"):
            await asyncnet.connect(f"tls://{peer.address}", tls=authority.client(), timeout=30 * MS)


@on_both_loops
async def test_the_timeout_bounds_the_opening_and_then_each_call() -> None:
    async with Script("silence", check=False) as peer:
        async with asyncnet.connect(f"tcp://{peer.address}", timeout=30 * MS) as connection:
            with pytest.raises(DeadlineError):
                await connection.read()


@pytest.mark.parametrize("timeout", [None, math.inf])
@on_both_loops
async def test_no_timeout_is_no_limit(timeout: float | None) -> None:
    async with Script("pause 50\nS: hello") as peer:
        async with asyncnet.connect(f"tcp://{peer.address}", timeout=timeout) as connection:
            assert await connection.read() == b"hello\r\n"


@pytest.mark.parametrize("timeout", [-1.0, math.nan])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(UsageError, match="a timeout is"):
        await asyncnet.connect("tcp://127.0.0.1:7", timeout=timeout)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@on_both_loops
async def test_every_await_may_be_cancelled(scheme: str, authority: Authority) -> None:
    context = authority.client() if scheme == "tls" else None

    async def opening() -> None:
        async with asyncnet.connect(f"{scheme}://localhost:{peer.port}", tls=context) as connection:
            await connection.read()

    tls = authority.server if scheme == "tls" else None
    async with Script(GREETING, tls=tls, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(opening) >= 3


@on_both_loops
async def test_a_cancellation_that_lands_with_the_success_leaves_nothing() -> None:
    async with Script(GREETING, repeat=True, check=False) as peer:
        for turns in range(12):
            task = asyncio.ensure_future(_connected(f"tcp://{peer.address}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.sleep(0.1 * MS * turns)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                await task.result().aclose()


async def _connected(url: str) -> asyncnet.Connection:
    return await asyncnet.connect(url)
