"""dial.py: names and literals, dead addresses, Unix sockets, TLS on top; and no socket left, whatever happens."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncnet import dial as dialling
from asyncnet.deadline import deadline
from asyncnet.dial import attach, dial, resolve, server_name
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, DeadlineError, NetError, TLSError, UsageError
from asyncnet.tls import client_context
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority, ConnectProxy, Script, SocksProxy

SOON = 30 * MS


def place(peer: Script, scheme: str = "tcp") -> Endpoint:
    return Endpoint.parse(f"{scheme}://{peer.address}")


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens, and where nobody else will while the block lasts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def black_hole(family: int = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[int]:
    """A port that answers nothing: a listener whose queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]] | Exception | Callable[[], None]]:
    """What the resolver says about made-up names; about all others it is asked itself."""
    known: dict[str, list[tuple[str, int]] | Exception | Callable[[], None]] = {}
    system = socket.getaddrinfo

    def look_up(host: bytes, port: int, **options: int) -> object:
        answer = known.get(host.decode())
        if answer is None:
            return system(host, port, **options)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer()
            return []
        return [info for address, number in answer for info in system(address, number, **options)]

    monkeypatch.setattr("asyncnet.dial.socket.getaddrinfo", look_up)
    return known


# Where it leads.


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_literal_is_dialled_without_a_lookup(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "in_daemon", None)
    async with Script("S: hi", host=host) as peer:
        with await dial(place(peer)) as sock:
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"hi\r\n"


@on_both_loops
async def test_a_name_is_looked_up_and_dialled() -> None:
    async with Script("S: hi") as peer:
        with await dial(Endpoint.parse(f"tcp://localhost:{peer.port}")) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"hi\r\n"


async def test_no_lookup_goes_through_the_loops_default_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the default executor was asked")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", never)
    async with Script("S: hi", repeat=True) as peer, ConnectProxy() as proxy:
        (await dial(Endpoint.parse(f"tcp://localhost:{peer.port}"))).close()
        (await dial(place(peer), proxy=f"http://localhost:{proxy.port}")).close()
    for zone in ("lo", "1"):  # with the zone in the address asyncio would look it up itself
        for *_, where in await resolve(f"fe80::1%{zone}", 1):
            assert where == ("fe80::1", 1, 0, 1)
        with contextlib.suppress(ConnectError):
            async with deadline(SOON):
                (await dial(Endpoint("tcp", f"fe80::1%{zone}", 1))).close()


@on_both_loops
async def test_a_refused_address_gives_way_to_the_next(names: dict[str, object]) -> None:
    async with Script("S: hi") as peer:
        with closed_port() as closed:
            names["mail.example"] = [("127.0.0.1", closed), ("127.0.0.1", peer.port)]
            with await dial(Endpoint.parse("tcp://mail.example:25")) as sock:
                assert sock.getpeername() == (peer.host, peer.port)
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@on_both_loops
async def test_an_address_that_does_not_answer_is_overtaken(
    names: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "_ATTEMPT_DELAY", SOON)
    async with Script("S: hi") as peer:
        with black_hole() as hole:
            names["mail.example"] = [("127.0.0.1", hole), ("127.0.0.1", peer.port)]
            async with deadline(10_000 * MS):
                with await dial(Endpoint.parse("tcp://mail.example:25")) as sock:
                    assert sock.getpeername() == (peer.host, peer.port)


@on_both_loops
async def test_the_families_take_turns(names: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_ATTEMPT_DELAY", SOON)
    async with Script("S: hi") as peer:
        with black_hole(socket.AF_INET6, "::1") as hole:
            names["mail.example"] = [("::1", hole)] * 400 + [("127.0.0.1", peer.port)]
            async with deadline(10_000 * MS):
                with await dial(Endpoint.parse("tcp://mail.example:25")) as sock:
                    assert sock.family == socket.AF_INET


# What fails.


@on_both_loops
async def test_a_refused_connection_says_where_and_why_in_one_line() -> None:
    with closed_port() as port:
        with pytest.raises(ConnectError) as caught:
            await dial(Endpoint.parse(f"imap://127.0.0.1:{port}/INBOX?x=secret"))
        assert str(caught.value) == f"connect imap://127.0.0.1:{port}/INBOX?...: Connection refused"
        assert caught.value.transient
        assert isinstance(caught.value.__cause__, OSError)


@on_both_loops
async def test_when_every_address_refuses_that_is_the_reason(names: dict[str, object]) -> None:
    with closed_port() as one, closed_port() as two:
        names["mail.example"] = [("127.0.0.1", one), ("::1", two)]
        with pytest.raises(ConnectError, match=r"^connect tcp://mail\.example:25: Connection refused$"):
            await dial(Endpoint.parse("tcp://mail.example:25"))


async def test_an_unknown_name_is_told_from_a_resolver_in_trouble(names: dict[str, object]) -> None:
    names["gone.example"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    names["later.example"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    with pytest.raises(ConnectError, match="no address: Name or service not known") as caught:
        await dial(Endpoint.parse("tcp://gone.example:25"))
    assert not caught.value.transient
    with pytest.raises(ConnectError, match="no address: Temporary failure") as caught:
        await dial(Endpoint.parse("tcp://later.example:25"))
    assert caught.value.transient


async def test_without_a_free_descriptor_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("asyncnet.dial.socket.socket", full)
    with pytest.raises(ConnectError, match="Too many open files") as caught:
        await dial(Endpoint.parse("tcp://127.0.0.1:1"))
    assert caught.value.transient


@pytest.mark.parametrize("url", ["tcp://:4242", "tcp://h:0"])
async def test_a_place_to_listen_is_no_place_to_dial(url: str) -> None:
    with pytest.raises(UsageError, match="no host or port"):
        await dial(Endpoint.parse(url))


# Deadlines and cancellation.


@on_both_loops
async def test_a_deadline_names_the_lookup_that_it_waited_for(names: dict[str, object]) -> None:
    release = threading.Event()
    names["slow.example"] = lambda: release.wait(30)
    try:
        with pytest.raises(DeadlineError, match=r"open tcp://slow\.example:1: not done .*\(in resolve\)"):
            async with deadline(SOON, Endpoint.parse("tcp://slow.example:1"), "open"):
                await dial(Endpoint.parse("tcp://slow.example:1"))
    finally:
        release.set()


@on_both_loops
async def test_a_deadline_names_the_connect_that_it_waited_for(names: dict[str, object]) -> None:
    with black_hole() as hole:
        names["hole.example"] = [("127.0.0.1", hole), ("127.0.0.1", hole)]
        for url in (f"tcp://127.0.0.1:{hole}", "tcp://hole.example:1"):
            with pytest.raises(DeadlineError, match=r"\(in connect\)"):
                async with deadline(SOON, None, "open"):
                    await dial(Endpoint.parse(url))


@on_both_loops
async def test_dialling_a_name_can_be_cancelled_at_each_await(
    names: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "_ATTEMPT_DELAY", 5 * MS)
    with black_hole() as hole:
        async with Script("silence", repeat=True) as peer:
            names["mail.example"] = [("127.0.0.1", hole), ("127.0.0.1", hole), ("127.0.0.1", peer.port)]

            async def operation() -> None:
                (await dial(Endpoint.parse("tcp://mail.example:25"))).close()

            assert await cancelled_at_each_await(operation) >= 2


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_dialling_through_a_proxy_can_be_cancelled_at_each_await(scheme: str) -> None:
    async with (
        Script("silence", repeat=True, check=False) as peer,
        ConnectProxy() if scheme == "http" else SocksProxy() as proxy,
    ):

        async def operation() -> None:
            (await dial(place(peer), proxy=f"{scheme}://localhost:{proxy.port}")).close()

        assert await cancelled_at_each_await(operation) >= 2


@on_both_loops
async def test_a_cancellation_that_the_race_swallows_is_not_lost(
    names: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Script("silence", repeat=True, check=False) as peer:
        names["mail.example"] = [("127.0.0.1", peer.port)] * 2

        async def swallowing(addresses: object, **_: object) -> socket.socket:
            sock = socket.socket()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return sock

        monkeypatch.setattr("aiohappyeyeballs.start_connection", swallowing)
        with pytest.raises(DeadlineError, match=r"\(in connect\)"):
            async with deadline(SOON):
                await dial(Endpoint.parse("tcp://mail.example:25"))


# Unix sockets.


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="net") as folder:  # short: 107 bytes are all there is
        yield Path(folder) / "a b?#%.sock"


@on_both_loops
async def test_a_unix_socket_is_dialled_whatever_its_name(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen()
        with await dial(Endpoint("unix", "", 0, None, str(socket_path))) as sock:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"hi")
                assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"hi"


@on_both_loops
async def test_a_unix_socket_whose_queue_is_full_is_waited_for(socket_path: Path) -> None:
    where = Endpoint("unix", "", 0, None, str(socket_path))
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(socket_path))
        listener.listen(0)
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.setblocking(False)
        filler.connect(str(socket_path))
        with pytest.raises(DeadlineError, match=r"\(in connect\)"):
            async with deadline(SOON):
                await dial(where)
        dialling_it = asyncio.create_task(dial(where))
        await asyncio.sleep(SOON)
        assert not dialling_it.done()
        stack.enter_context(listener.accept()[0])
        sock = stack.enter_context(await dialling_it)
        stack.enter_context(listener.accept()[0])
        assert sock.getpeername() == str(socket_path)


@on_both_loops
async def test_a_unix_socket_that_is_not_there_or_that_nobody_serves_is_a_connect_error(socket_path: Path) -> None:
    where = Endpoint("unix", "", 0, None, str(socket_path))
    with pytest.raises(ConnectError, match="No such file or directory"):
        await dial(where)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
    with pytest.raises(ConnectError, match="Connection refused"):
        await dial(where)


async def test_a_unix_socket_is_not_reached_through_a_proxy(socket_path: Path) -> None:
    with pytest.raises(UsageError, match="proxy"):
        await dial(Endpoint("unix", "", 0, None, str(socket_path)), proxy="http://127.0.0.1:1")


# The transport on top.


class Collector(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = bytearray()
        self.news = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.news.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set()


async def attached(where: Endpoint, context: ssl.SSLContext | None) -> None:
    """Attach to a peer that greets, and leave again."""
    transport, protocol = await attach(await dial(where), Collector, context, where)
    try:
        await protocol.news.wait()
        assert protocol.received == b"hi\r\n"
    finally:
        transport.abort()
    await protocol.lost.wait()


@on_both_loops
async def test_a_transport_is_put_on_the_socket() -> None:
    async with Script("S: hi\nsilence") as peer:
        await attached(place(peer), None)


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_transport_with_tls_is_put_on_the_socket(host: str, authority: Authority) -> None:
    context = client_context(ca=authority.pem)
    async with Script("S: hi\nsilence", tls=authority.server, host=host) as peer:
        await attached(place(peer, "tls"), context)


@on_both_loops
@pytest.mark.parametrize("fault", ["expired", "wrong host", "untrusted"])
async def test_a_certificate_that_is_not_to_be_trusted_is_a_tls_error_and_leaves_no_socket(
    fault: str, authority: Authority
) -> None:
    context = client_context(ca=authority.pem)
    async with Script("S: hi", tls=authority.bad_servers[fault], check=False) as peer:
        with pytest.raises(TLSError, match="certificate not trusted") as caught:
            await attached(place(peer, "tls"), context)
        assert not caught.value.transient


@on_both_loops
async def test_a_name_in_the_certificate_is_checked_against_the_url(authority: Authority) -> None:
    context = client_context(ca=authority.pem)
    async with Script("S: hi\nsilence", "S: hi", tls=authority.server, check=False) as peer:
        await attached(Endpoint.parse(f"tls://LOCALHOST:{peer.port}"), context)
        with pytest.raises(TLSError, match="certificate not trusted"):
            where = Endpoint.parse(f"tls://127.0.0.9:{peer.port}")
            await attach(await dial(place(peer)), Collector, context, where)


@on_both_loops
@pytest.mark.parametrize(
    ("conversation", "kind"),
    [
        ("S: 220 mail.example ESMTP\nsilence", TLSError),
        ("garbage 4000\nsilence", TLSError),
        ("cut", ConnectError),
        ("reset", ConnectError),
        ("read 5\nreset", ConnectError),
    ],
)
async def test_a_peer_that_does_not_shake_hands_is_an_error_and_leaves_no_socket(
    conversation: str, kind: type[NetError], authority: Authority
) -> None:
    async with Script(conversation, check=False) as peer:
        with pytest.raises(kind) as caught:
            await attached(place(peer, "tls"), client_context(ca=authority.pem))
        assert caught.value.transient is (kind is ConnectError)
        assert str(caught.value).startswith(f"connect tls://{peer.address}: ")


@on_both_loops
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_descriptor_that_a_reset_has_closed_is_not_closed_again(scheme: str, authority: Authority) -> None:
    # uvloop may close it before it takes the socket object over; whoever got the number meanwhile would lose his file.
    context = client_context(ca=authority.pem) if scheme == "tls" else None
    async with Script("reset", repeat=True, check=False) as peer:
        where = place(peer, scheme)
        for _ in range(50):
            with contextlib.suppress(NetError):
                sock = await dial(where)
                await asyncio.sleep(MS)  # until the reset is there
                transport, protocol = await attach(sock, Collector, context, where)
                transport.abort()
                await protocol.lost.wait()


@on_both_loops
async def test_plaintext_where_tls_is_expected_is_named(authority: Authority) -> None:
    async with Script("S: 220 mail.example ESMTP\nsilence", check=False) as peer:
        with pytest.raises(TLSError, match="the peer does not speak TLS here"):
            await attached(place(peer, "tls"), client_context(ca=authority.pem))


@on_both_loops
async def test_a_deadline_names_the_handshake_that_it_waited_for(authority: Authority) -> None:
    context = client_context(ca=authority.pem)
    async with Script("silence", check=False) as peer:
        with pytest.raises(DeadlineError, match=r"\(in TLS handshake\)"):
            async with deadline(SOON, place(peer, "tls"), "open"):
                await attached(place(peer, "tls"), context)


@on_both_loops
async def test_attaching_can_be_cancelled_at_each_await(authority: Authority) -> None:
    context = client_context(ca=authority.pem)
    async with Script("S: hi\nsilence", tls=authority.server, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(lambda: attached(place(peer, "tls"), context)) >= 3


@on_both_loops
@pytest.mark.parametrize("turns", range(1, 6))
async def test_cancelled_handshakes_do_not_disturb_who_gets_their_descriptors_next(
    turns: int, authority: Authority
) -> None:
    context = client_context(ca=authority.pem)
    async with Script("silence", repeat=True, check=False) as mute, Script("S: hi\nsilence", repeat=True) as peer:
        socks = [await dial(place(mute, "tls")) for _ in range(10)]
        attaching = [asyncio.create_task(attach(sock, Collector, context, place(mute, "tls"))) for sock in socks]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in attaching:
            task.cancel()
        await asyncio.wait(attaching, return_when=asyncio.FIRST_COMPLETED)
        async with deadline(10_000 * MS):
            await asyncio.gather(*(attached(place(peer), None) for _ in range(10)))
        assert await asyncio.gather(*attaching, return_exceptions=True)
        assert all(task.cancelled() for task in attaching)
        assert all(sock.fileno() == -1 for sock in socks)


@on_both_loops
async def test_a_protocol_that_cannot_be_made_leaves_no_socket(authority: Authority) -> None:
    def broken() -> asyncio.Protocol:
        raise RuntimeError("a bug")

    async with Script("silence", "silence", check=False) as peer:
        for context in (None, client_context(ca=authority.pem)):
            with pytest.raises(RuntimeError, match="a bug"):
                await attach(await dial(place(peer)), broken, context, place(peer, "tls"))


def test_a_descriptor_that_is_anothers_by_now_is_let_go() -> None:
    mine = socket.socket()
    number, inode = mine.fileno(), os.fstat(mine.fileno()).st_ino
    dialling._let_go(mine, inode)
    assert mine.fileno() == number
    os.close(number)
    with socket.socket() as another:
        assert another.fileno() == number  # the lowest that is free
        dialling._let_go(mine, inode)
        assert mine.fileno() == -1
        assert another.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    dialling._let_go(mine, inode)


async def test_a_socket_that_dies_as_soon_as_it_is_connected_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")  # what macOS says of a connection that was reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("asyncnet.dial.socket.socket", Dead)
        with pytest.raises(ConnectError, match="Invalid argument"):
            await dial(Endpoint("tcp", *listener.getsockname()))


def test_the_certificate_must_bear_the_name_without_zone_and_trailing_dot() -> None:
    assert server_name(Endpoint("tls", "fe80::1%eth0", 1)) == "fe80::1"
    assert server_name(Endpoint("tls", "example.org.", 1)) == "example.org"
    assert server_name(Endpoint("tls", "bücher.example", 1)) == "xn--bcher-kva.example"
