"""proxy.py: the way through HTTP CONNECT and SOCKS5, every way it can fail, and not one byte of the target's lost."""

import asyncio
import contextlib
import pickle
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncnet
from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.dial import dial
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    InvalidEndpoint,
    LimitError,
    NetError,
    ProtocolError,
    RefusedError,
    UsageError,
)
from asyncnet.proxy import Proxy, tunnel
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import ConnectProxy, Script, SocksProxy

ALICE = Credentials("alice", "hunter2")
MAIL = Endpoint.parse("imap://mail.example.org")


@contextlib.asynccontextmanager
async def proxy_of(scheme: str, **options: object) -> AsyncIterator[ConnectProxy | SocksProxy]:
    peer = ConnectProxy(**options) if scheme == "http" else SocksProxy(**options)  # type: ignore[arg-type]
    async with peer:
        yield peer


async def received(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await asyncio.get_running_loop().sock_recv(sock, count - len(data))
        assert piece, f"the end came after {data!r}"
        data += piece
    return data


# The way through.


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("glue", [False, True], ids=["apart", "in one piece"])
async def test_a_target_that_greets_at_once_loses_no_byte(scheme: str, glue: bool) -> None:
    greeting = "* OK " + "ready " * 5000
    async with Script(f"S: {greeting}\nC: a LOGOUT") as target:
        hosts = {"mail.example.org": (target.host, target.port)}
        async with proxy_of(scheme, hosts=hosts, glue=glue) as proxy:
            with await dial(MAIL, proxy=f"{scheme}://{proxy.address}") as sock:
                assert sock.gettimeout() == 0
                assert await received(sock, len(greeting) + 2) == greeting.encode() + b"\r\n"
                await asyncio.get_running_loop().sock_sendall(sock, b"a LOGOUT\r\n")
                assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    assert proxy.requests == [("mail.example.org", 143)]  # a name is resolved there


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_asked_for_as_an_address(scheme: str, host: str) -> None:
    async with Script("S: hi", host=host) as target, proxy_of(scheme) as proxy:
        where = Endpoint.parse(f"tcp://{target.address}")
        with await dial(where, proxy=f"{scheme}://{proxy.address}") as sock:
            assert await received(sock, 4) == b"hi\r\n"
    assert proxy.requests == [(host, target.port)]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_the_zone_of_an_address_is_not_told_to_the_proxy(scheme: str) -> None:
    async with Script("S: hi") as target:
        hosts = {"fe80::1": (target.host, target.port)}
        async with proxy_of(scheme, hosts=hosts) as proxy:
            with await dial(Endpoint.parse("tcp://[fe80::1%25eth0]:7"), proxy=f"{scheme}://{proxy.address}") as sock:
                assert await received(sock, 4) == b"hi\r\n"
    assert proxy.requests == [("fe80::1", 7)]


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_wants_a_password_gets_it(scheme: str) -> None:
    async with Script("S: hi") as target:
        hosts = {"mail.example.org": (target.host, target.port)}
        async with proxy_of(scheme, hosts=hosts, username="alice", password="hunter2") as proxy:
            with await dial(MAIL, proxy=Proxy.parse(f"{scheme}://alice@{proxy.address}", ALICE)) as sock:
                assert await received(sock, 4) == b"hi\r\n"


async def test_a_token_is_shown_to_an_http_proxy_as_a_bearer() -> None:
    conversation = r"until \r\n\r\n" + "\nsend HTTP/1.1 200 OK\\r\\n\\r\\n"
    async with Script(conversation, check=False) as proxy:
        way = Proxy.parse(f"http://{proxy.address}", Credentials("alice", lambda: "t0ken"))
        (await dial(MAIL, proxy=way)).close()
        assert proxy.lines == [
            b"CONNECT mail.example.org:143 HTTP/1.1",
            b"Host: mail.example.org:143",
            b"Proxy-Authorization: Bearer t0ken",
            b"",
        ]


# What an HTTP proxy may answer.


async def dialled_by(*steps: str) -> bytes:
    """Dial through an HTTP proxy that answers so, and give what arrives behind its header."""
    conversation = "\n".join([r"until \r\n\r\n", *steps])
    async with Script(conversation, check=False) as proxy:
        with await dial(MAIL, proxy=f"http://{proxy.address}") as sock:
            return await received(sock, 5)


@pytest.mark.parametrize(
    "head",
    [
        r"HTTP/1.1 200 Connection established\r\n\r\n",
        r"HTTP/1.0 200\r\n\r\n",
        r"HTTP/1.1 200 \r\n\r\n",
        r"HTTP/1.1 204 No Content\r\nVia: x\r\n\r\n",
        r"HTTP/1.1 200 \xff\xfe\r\nX: \x80\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [0, 1, 2, 3])
async def test_any_2xx_opens_the_way_however_it_is_cut(head: str, size: int) -> None:
    drip = [f"drip {size} 0"] if size else []
    assert await dialled_by(*drip, f"send {head}hello") == b"hello"


async def test_the_head_may_come_in_two_pieces_cut_anywhere() -> None:
    head = r"HTTP/1.1 200 OK\r\nVia: 1.1 peer\r\n\r\n"
    whole = head.replace(r"\r", "\r").replace(r"\n", "\n")
    for cut in range(1, len(whole)):
        first, rest = (piece.encode("unicode_escape").decode() for piece in (whole[:cut], whole[cut:]))
        assert await dialled_by(f"send {first}", "pause 0", f"send {rest}hello") == b"hello"


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        ("403 Forbidden", RefusedError, False),
        ("404 Not Found", RefusedError, False),
        ("407 Proxy Authentication Required", AuthenticationError, False),
        ("429 Too Many Requests", RefusedError, True),
        ("502 Bad Gateway", RefusedError, True),
        ("503 Service Unavailable", RefusedError, True),
        ("302 Found", RefusedError, False),
        ("100 Continue", RefusedError, False),
    ],
)
async def test_any_other_status_is_a_refusal_with_its_code(
    status: str, kind: type[RefusedError], transient: bool
) -> None:
    with pytest.raises(RefusedError, match=f"CONNECT http://127.0.0.1:\\d+: refused \\({status}\\)") as caught:
        await dialled_by(rf"send HTTP/1.1 {status}\r\nContent-Length: 9999\r\n\r\nhello")
    assert type(caught.value) is kind
    assert caught.value.code == int(status[:3])
    assert caught.value.transient is transient


async def test_a_407_that_repeats_what_it_was_shown_is_not_quoted() -> None:
    with pytest.raises(AuthenticationError) as caught:
        await dialled_by(r"send HTTP/1.1 407 not YWxpY2U6c2VjcmV0, alice:secret\r\n\r\n")
    assert "refused (407 Proxy Authentication Required)" in str(caught.value)
    assert "secret" not in repr(caught.value.__dict__)


async def test_a_refusal_shows_no_control_character_of_the_proxys() -> None:
    with pytest.raises(RefusedError) as caught:
        await dialled_by(r"send HTTP/1.1 403 \x1b[31mNo\x00" + "x" * 2000 + r"\r\n\r\n")
    assert caught.value.text.startswith(r"\x1b[31mNo\x00xxx")
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "answer",
    [
        r"SSH-2.0-OpenSSH\r\n",
        r"220 mail.example.org ESMTP\r\n",
        r"\x05\x00",
        r"\r\n\r\n",
        r"H\r\n\r\n",
        r"HTTP/2 200\r\n\r\n",
        r"HTTP/1.1 2000 OK\r\n\r\n",
        r"HTTP/1.1 20 OK\r\n\r\n",
        r"HTTP/1.1  200 OK\r\n\r\n",
        r"HTTP/1.1 \xef\xbc\x92\xef\xbc\x90\xef\xbc\x90 OK\r\n\r\n",  # full-width digits
        r"HTTP/1.1\r\n\r\n",
        r"HTTP/1.1 200\nOK\r\n\r\n",
        r"HTTP/1.x 200 OK\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_said_at_once(answer: str) -> None:
    with pytest.raises(ProtocolError, match="not an answer of an HTTP proxy") as caught:
        await dialled_by(f"send {answer}", "silence")
    assert caught.value.endpoint is not None
    assert caught.value.endpoint.startswith("http://127.0.0.1:")
    assert not caught.value.transient


@given(
    st.sampled_from(
        [("http", b"HTTP/1.1 200 OK\r\n\r\n"), ("socks5", b"\5\0\5\0\0\3\1h\0\1"), ("socks5", b"\5\0\5\1\0\1")]
    ),
    st.integers(0, 20),
    st.binary(max_size=60),
)
def test_whatever_a_proxy_answers_it_is_a_way_or_an_error_of_ours(
    good: tuple[str, bytes], length: int, rest: bytes
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.sendall(good[1][:length] + rest)
            theirs.shutdown(socket.SHUT_WR)
            with contextlib.suppress(NetError):
                await tunnel(ours, Proxy(good[0], "localhost", 1), "h", 1)

    asyncio.run(main())


# What goes wrong with either.


@on_both_loops
@pytest.mark.parametrize(
    ("scheme", "fault", "kind", "text"),
    [
        ("http", "garbage", ProtocolError, "not an answer of an HTTP proxy"),
        ("http", "cut", ConnectError, "the proxy hung up"),
        ("http", "endless header", LimitError, "the proxy's header does not end"),
        ("http", "refuse", RefusedError, "403 No"),
        ("socks5", "garbage", ProtocolError, "not an answer of a SOCKS5 proxy"),
        ("socks5", "cut", ConnectError, "the proxy hung up"),
        ("socks5", "refuse", RefusedError, "Connection refused by destination host"),
        ("socks5", "no methods", AuthenticationError, "No acceptable auth"),
    ],
)
async def test_a_fault_of_the_proxy_is_an_error_that_names_the_proxy(
    scheme: str, fault: str, kind: type[NetError], text: str
) -> None:
    async with proxy_of(scheme, fault=fault) as proxy:
        with pytest.raises(NetError, match=text) as caught:
            await dial(MAIL, proxy=f"{scheme}://{proxy.address}")
        assert type(caught.value) is kind
        assert caught.value.endpoint == f"{scheme}://{proxy.address}"


@on_both_loops
@pytest.mark.parametrize(
    ("scheme", "fault"), [("http", "silence"), ("socks5", "silence"), ("socks5", "silence after greeting")]
)
async def test_a_silent_proxy_ends_with_the_deadline_which_names_it(scheme: str, fault: str) -> None:
    async with proxy_of(scheme, fault=fault) as proxy:
        with pytest.raises(DeadlineError, match=r"open imap://mail\.example\.org: .* \(in proxy\)"):
            async with deadline(30 * MS, MAIL, "open"):
                await dial(MAIL, proxy=f"{scheme}://{proxy.address}")


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("credentials", [None, Credentials("alice", "wrong"), Credentials("bob", "hunter2")])
async def test_a_wrong_or_missing_password_is_an_authentication_error(
    scheme: str, credentials: Credentials | None
) -> None:
    async with proxy_of(scheme, username="alice", password="hunter2") as proxy:
        with pytest.raises(AuthenticationError) as caught:
            await dial(MAIL, proxy=Proxy.parse(f"{scheme}://{proxy.address}", credentials))
        assert "wrong" not in str(caught.value)
        assert not caught.value.transient


@on_both_loops
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_nobody_runs_is_named_by_the_error(scheme: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(ConnectError, match=f"connect {scheme}://127.0.0.1:{port}: Connection refused"):
            await dial(MAIL, proxy=f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_resets_is_a_connect_error(scheme: str) -> None:
    async with Script("read 3\nreset", check=False) as proxy:
        with pytest.raises(ConnectError, match="reset by peer"):
            await dial(MAIL, proxy=f"{scheme}://{proxy.address}")


@pytest.mark.parametrize(("reply", "transient"), [(1, True), (2, False), (4, True), (8, True)])
async def test_a_refusal_of_a_socks_proxy_bears_its_code(reply: int, transient: bool) -> None:
    async with SocksProxy(fault="refuse", reply=reply) as proxy:
        with pytest.raises(RefusedError) as caught:
            await dial(MAIL, proxy=f"socks5://{proxy.address}")
        assert (caught.value.code, caught.value.transient) == (reply, transient)
        assert type(pickle.loads(pickle.dumps(caught.value)).code) is int


@pytest.mark.parametrize(
    "answer",
    [
        r"\x04\x00",
        r"\x05\x01",
        r"\x05\x63",
        r"\x05\x02",
        r"\x05\x00\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        r"\x05\x00\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00",
        r"\x05\x00\x05\x00\x01\x01\x00\x00\x00\x00\x00\x00",
        r"\x05\x00\x05\x00\x00\x07\x00\x00\x00\x00\x00\x00",
        r"\x05\x00\x05\x00\x00\x03\x02\xff\xfe\x00\x00",
    ],
)
async def test_nonsense_of_a_socks_proxy_is_a_protocol_error(answer: str) -> None:
    async with Script(f"read 3\nsend {answer}\nsilence", check=False) as proxy:
        with pytest.raises(ProtocolError, match="not an answer of a SOCKS5 proxy") as caught:
            await dial(MAIL, proxy=f"socks5://{proxy.address}")
        assert caught.value.endpoint == f"socks5://{proxy.address}"


@pytest.mark.parametrize(
    ("scheme", "credentials"),
    [
        ("socks5", Credentials("alice", "hünter2")),
        ("socks5", Credentials("älice", "hunter2")),
        ("socks5", Credentials("alice", "x" * 256)),
        ("socks5", Credentials("alice", "")),
        ("http", Credentials("al:ice", "hunter2")),
    ],
)
async def test_credentials_that_the_protocol_cannot_say_are_not_sent(scheme: str, credentials: Credentials) -> None:
    async with Script("silence", check=False) as proxy:
        with pytest.raises(UsageError) as caught:
            await dial(MAIL, proxy=Proxy.parse(f"{scheme}://{proxy.address}", credentials))
        assert "xxx" not in str(caught.value)
        assert "nter2" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert proxy.received == b""


# Proxy, the value.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example:8080", ("http", "proxy.example", 8080)),
        ("HTTP://proxy.example:8080/", ("http", "proxy.example", 8080)),
        ("http://proxy.example", ("http", "proxy.example", 3128)),
        ("socks5://proxy.example", ("socks5", "proxy.example", 1080)),
        ("socks5h://[::1]", ("socks5h", "::1", 1080)),
        ("socks5://[::1]:9050", ("socks5", "::1", 9050)),
        ("http://bücher.example", ("http", "xn--bcher-kva.example", 3128)),
    ],
)
def test_a_proxy_is_parsed_from_its_url(url: str, expected: tuple[str, str, int]) -> None:
    proxy = Proxy.parse(url)
    assert (proxy.scheme, proxy.host, proxy.port) == expected
    assert Proxy.parse(str(proxy)) == proxy
    assert Proxy.parse(proxy) is proxy


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example:8080",
        "https://proxy.example",
        "ftp://proxy.example",
        "http://",
        "http:///",
        "http://:8080",
        "http://proxy.example:0",
        "http://proxy.example:",
        "http://proxy.example:99999",
        "http://proxy.example/path",
        "http://proxy.example:1/path",
        "http://proxy.example:1?query",
        "http://proxy.example?query",
        "http://a b",
        "socks5://[::g]",
    ],
)
def test_what_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(InvalidEndpoint):
        Proxy.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@proxy.example:8080",
        "socks5://me:hunter2@proxy.example",
        "http://:hunter2@proxy.example",
        "http://me:hun/ter2@proxy.example:8080",
        "http://me:hunter2",
        "ftp://me:hunter2@proxy.example",
        "me:hunter2@http://proxy.example",
        "me:hunter2@proxy.example:8080",
    ],
)
def test_a_password_in_the_url_of_a_proxy_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        Proxy.parse(url)
    assert "ter2" not in str(caught.value)


def test_a_name_in_the_url_of_a_proxy_must_be_that_of_the_credentials() -> None:
    assert Proxy.parse("http://alice@localhost:1", ALICE).credentials is ALICE
    for credentials in (None, Credentials("bob", "hunter2")):
        with pytest.raises(UsageError, match="'alice'"):
            Proxy.parse("http://alice@localhost:1", credentials)


def test_the_password_of_a_proxy_does_not_travel_in_plaintext_unasked() -> None:
    for make in (Proxy.parse, lambda url, credentials: Proxy("http", "proxy.example", 3128, credentials)):
        with pytest.raises(UsageError, match="plaintext") as caught:
            make("socks5://proxy.example", ALICE)
        assert "hunter2" not in str(caught.value)
    allowed = Proxy.parse("http://proxy.example", ALICE, allow_plaintext_login=True)
    assert allowed.credentials is ALICE
    assert Proxy.parse("http://127.0.0.1", ALICE).credentials is ALICE


def test_a_proxy_made_by_hand_is_checked_like_a_url() -> None:
    for scheme, host, port in [
        ("ftp", "h", 1),
        ("http", "", 1),
        ("http", "a b", 1),
        ("http", "h\r\n", 1),
        ("http", "h", 0),
        ("socks5", "h", 65536),
    ]:
        with pytest.raises(InvalidEndpoint):
            Proxy(scheme, host, port)
    assert Proxy("http", "B\u00dcCHER.example", 1).host == "xn--bcher-kva.example"


def test_without_the_extra_a_socks_proxy_is_a_usage_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"asyncnet\[socks\]"):
        Proxy.parse("socks5://127.0.0.1")
    Proxy.parse("http://127.0.0.1")


def test_no_form_of_a_proxy_shows_the_password() -> None:
    proxy = Proxy.parse("http://localhost", ALICE)
    assert "hunter2" not in repr(proxy) + str(proxy)
    assert str(proxy) == "http://localhost:3128"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(proxy)


@pytest.mark.parametrize("protocol", ["http", "imap", "pop3", "smtp"])
def test_no_session_sends_a_secret_in_plaintext_to_a_proxy_even_for_loopback(protocol: str) -> None:
    make = getattr(asyncnet, protocol).session
    for url in (f"{protocol}://localhost", f"{protocol}://127.0.0.1"):
        with pytest.raises(UsageError, match="plaintext"):
            make(url, ALICE, proxy="http://proxy.example")
        make(url, ALICE)


def test_no_job_sends_a_secret_in_plaintext_to_a_proxy_even_for_loopback() -> None:
    with pytest.raises(UsageError, match="plaintext"):
        asyncnet.jobs.fetch("imap://localhost", ALICE, proxy="http://proxy.example")
    asyncnet.jobs.fetch("imap://localhost", ALICE)
