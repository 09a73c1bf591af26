"""A plain http request through an HTTP proxy: the proxy reads it, and it alone sees the proxy's secret."""

import pytest

from asyncnet import Credentials, http
from asyncnet.errors import AuthenticationError, ConnectError
from asyncnet.proxy import Proxy
from tests.http.site import Site
from tests.peers import Authority, ConnectProxy

CAROL = Credentials("carol", "the proxy's")
SHOWN = b"Proxy-Authorization: Basic Y2Fyb2w6dGhlIHByb3h5J3M="


async def test_the_proxy_is_asked_for_the_whole_url() -> None:
    async with Site() as site, ConnectProxy() as proxy, http.session(proxy=f"http://{proxy.address}") as session:
        for number in range(3):
            assert (await session.get(f"{site.url}/hello?{number}")).text() == f"GET /hello?{number}"
        assert (await session.post(f"{site.url}/echo", body=b"abc")).body == b"abc"
    (head,) = proxy.heads  # of the first request; the others follow on its connection
    assert head.startswith(f"GET {site.url}/hello?0 HTTP/1.1\r\n".encode())
    assert f"\r\nHost: 127.0.0.1:{site.port}\r\n".encode() in head
    assert "CONNECT" not in str(proxy.heads)
    assert len(site.connections) == 1


async def test_https_goes_by_connect(authority: Authority) -> None:
    async with (
        Site(authority.server) as site,
        ConnectProxy() as proxy,
        http.session(proxy=f"http://{proxy.address}", tls=authority.client()) as session,
    ):
        assert (await session.get(f"{site.url}/hello")).status == 200
    assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:")


async def test_the_secret_is_for_the_proxy_alone(authority: Authority) -> None:
    async with (
        Site() as site,
        Site(authority.server) as secure,
        ConnectProxy(username="carol", password="the proxy's") as proxy,
        http.session(proxy=Proxy("http", proxy.host, proxy.port, CAROL), tls=authority.client()) as session,
    ):
        await session.get(f"{site.url}/hello")
        response = await session.get(f"{site.url}/to/302?url={secure.url}/hello")
        assert response.url == f"{secure.url}/hello"
    assert all(SHOWN in head for head in proxy.heads)
    assert all("Proxy-Authorization" not in head for head in secure.heads)


@pytest.mark.parametrize("credentials", [None, Credentials("carol", "wrong")])
async def test_who_may_not_pass_hears_of_the_proxy(credentials: Credentials | None) -> None:
    async with Site() as site, ConnectProxy(username="carol", password="the proxy's") as proxy:
        way = Proxy("http", proxy.host, proxy.port, credentials)
        with pytest.raises(AuthenticationError, match="407") as caught:
            await http.get(f"{site.url}/hello", proxy=way)
    assert caught.value.endpoint == str(way)
    assert site.requests == []


async def test_a_proxy_that_is_not_there_is_named() -> None:
    with pytest.raises(ConnectError, match="refused") as caught:
        await http.get("http://example.org/", proxy="http://127.0.0.1:1")
    assert caught.value.endpoint == "http://127.0.0.1:1"


async def test_what_the_proxy_says_is_an_answer() -> None:
    async with ConnectProxy() as proxy:
        response = await http.get("http://no-such-name.invalid/", proxy=f"http://{proxy.address}")
    assert response.status == 502
