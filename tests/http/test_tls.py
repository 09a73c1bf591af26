"""TLS: a bad certificate ends it before a secret is sent, and a cut is no end."""

import asyncio
import ssl
from pathlib import Path

import pytest

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, ConnectError, IncompleteRead, RefusedError, TLSError, UsageError
from asyncnet.tls import client_context, server_context
from tests.clock import MS
from tests.http.site import BIG, Site
from tests.loops import on_both_loops
from tests.peers import Authority, ConnectProxy, Script, SocksProxy

ASK = r"until \r\n\r\n"
ALICE = Credentials("alice", "s3cret")


@pytest.mark.parametrize("fault", ["expired", "wrong host", "untrusted"])
@on_both_loops
async def test_a_bad_certificate_is_refused_before_a_secret_is_sent(authority: Authority, fault: str) -> None:
    async with Script("silence", tls=authority.bad_servers[fault], check=False) as peer:
        with pytest.raises(TLSError, match="not trusted") as caught:
            await http.post(
                f"https://{peer.address}/?token=s3cret",
                ALICE,
                headers={"Cookie": "s3cret"},
                body=b"s3cret",
                tls=authority.client(),
            )
        assert not caught.value.transient
    assert b"s3cret" not in peer.received
    assert b"POST" not in peer.received


@on_both_loops
async def test_the_system_trusts_no_authority_of_ours(authority: Authority) -> None:
    async with Site(authority.server) as site:
        with pytest.raises(TLSError, match="not trusted"):
            await http.get(f"{site.url}/hello")
        assert site.requests == []


@on_both_loops
async def test_a_good_certificate_is_accepted(authority: Authority) -> None:
    async with Site(authority.server) as site:
        for host in ("127.0.0.1", "localhost"):
            response = await http.get(f"https://{host}:{site.port}/hello", tls=authority.client())
            assert response.text() == "GET /hello"
        async with http.session(site.url, tls=client_context(ca=authority.pem)) as session:
            assert (await session.get("/big")).body == BIG
            assert (await session.get("/big", first_bytes=10)).body == BIG[:10]
            assert (await session.post("/echo", body=BIG)).body == BIG
            await asyncio.gather(*(session.get("/hello") for _ in range(20)))


@on_both_loops
async def test_a_server_without_tls_is_a_tls_error() -> None:
    async with Script("S: HTTP/1.1 400 Bad Request\nsilence", check=False) as peer:
        with pytest.raises(TLSError):
            await http.get(f"https://{peer.address}/")


@on_both_loops
async def test_a_server_that_hangs_up_in_the_handshake_is_a_connect_error() -> None:
    async with Script("read 100\ncut", check=False) as peer:
        with pytest.raises(ConnectError):
            await http.get(f"https://{peer.address}/")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_both_loops
async def test_a_client_certificate_is_shown_where_it_is_asked_for(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    with_it, without = authority.client_with_certificate(), authority.client()
    for context in (with_it, without):
        context.maximum_version = version
    async with Site(authority.demanding) as site:
        assert (await http.get(f"{site.url}/hello", tls=with_it)).ok
    async with Script(f"{ASK}\ncut", tls=authority.demanding, check=False) as peer:
        with pytest.raises(TLSError, match="TLS failed"):
            await http.get(f"https://{peer.address}/", tls=without)


@pytest.mark.parametrize("head", ["Content-Length: 500", "Transfer-Encoding: chunked", "X: no length"])
@on_both_loops
async def test_a_cut_without_a_goodbye_is_no_end(authority: Authority, head: str) -> None:
    talk = f"{ASK}\nS: HTTP/1.1 200 OK\nS: {head}\nS:\nsend 5\\r\\nhello\\r\\n\ncut"
    async with Script(talk, tls=authority.server) as peer:
        with pytest.raises(IncompleteRead):
            await http.get(f"https://{peer.address}/", tls=authority.client())


@on_both_loops
async def test_a_goodbye_is_the_end_of_a_body_without_a_length(authority: Authority) -> None:
    async with Script(f"{ASK}\nS: HTTP/1.1 200 OK\nS:\nsend hello\nclose", tls=authority.server) as peer:
        assert (await http.get(f"https://{peer.address}/", tls=authority.client())).body == b"hello"


@on_both_loops
async def test_a_whole_body_stays_whole_whatever_the_goodbye(authority: Authority) -> None:
    for end in ("cut", "reset"):
        talk = f"{ASK}\nS: HTTP/1.1 200 OK\nS: Content-Length: 5\nS: Connection: close\nS:\nsend hello\npause 10\n{end}"
        async with Script(talk, tls=authority.server, check=False) as peer:
            assert (await http.get(f"https://{peer.address}/", tls=authority.client())).body == b"hello"


@on_both_loops
async def test_a_server_that_never_says_goodbye_delays_nothing(authority: Authority) -> None:
    talk = f"{ASK}\nS: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend hello\nsilence"
    async with Script(talk, tls=authority.server) as peer:
        loop = asyncio.get_running_loop()
        session = http.session(f"https://{peer.address}/", tls=authority.client())
        await session.get("/")
        begin = loop.time()
        await session.aclose()
        assert loop.time() - begin < 500 * MS


@pytest.mark.parametrize("kind", ["socks", "connect"])
@on_both_loops
async def test_https_goes_through_a_proxy_to_the_server_it_names(authority: Authority, kind: str) -> None:
    proxy = SocksProxy() if kind == "socks" else ConnectProxy()
    async with Site(authority.server) as site, proxy:
        way = f"{'socks5' if kind == 'socks' else 'http'}://{proxy.address}"
        response = await http.get(f"https://localhost:{site.port}/hello", tls=authority.client(), proxy=way)
        assert response.text() == "GET /hello"
    assert [tuple(request)[:2] for request in proxy.requests] == [("localhost", site.port)]


@on_both_loops
async def test_a_proxy_that_refuses_is_told_apart_from_the_server() -> None:
    for proxy, kind in (
        (ConnectProxy(fault="refuse", status=502), RefusedError),
        (ConnectProxy(username="a", password="b"), AuthenticationError),
    ):
        async with proxy:
            with pytest.raises(kind) as caught:
                await http.get("https://example.org/", proxy=f"http://{proxy.address}")
            assert caught.value.code in (502, 407)


@on_both_loops
async def test_a_context_that_offers_another_protocol_is_refused(authority: Authority, tmp_path: Path) -> None:
    server = server_context(*authority.write_server_files(tmp_path), alpn=["h2", "http/1.1"])
    async with Site(server) as site:
        context = authority.client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with http.session(site.url, tls=context) as session:
            with pytest.raises(UsageError, match="offers h2"):
                await session.get("/hello")
            assert not session._connector._up  # type: ignore[union-attr]
        context.set_alpn_protocols(["http/1.1"])
        assert (await http.get(f"{site.url}/hello", tls=context)).ok
