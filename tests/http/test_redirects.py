"""Redirects over the wire: what is followed, what goes along, and what is never sent anywhere."""

import io
from collections.abc import AsyncIterator

import pytest

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.errors import LimitError, ProtocolError, RefusedError
from tests.http.site import BIG, Site
from tests.peers import Authority, Script

ASK = r"until \r\n\r\n"
DONE = f"{ASK}\nS: HTTP/1.1 200 OK\nS: Content-Length: 0\nS:"


def moved(location: str, status: int = 302) -> str:
    return f"{ASK}\nS: HTTP/1.1 {status} Moved\nS: Location: {location}\nS: Content-Length: 0\nS:"


async def test_redirects_are_followed_and_remembered(site: Site) -> None:
    response = await http.get(f"{site.url}/hops/3")
    assert (response.text(), response.url) == ("there", f"{site.url}/hops/0")
    assert [hop.url for hop in response.history] == [f"{site.url}/hops/{n}" for n in (3, 2, 1)]
    assert [hop.headers["Location"] for hop in response.history] == ["2", "1", "0"]
    async with http.stream("GET", f"{site.url}/hops/1") as stream:
        assert (stream.url, len(stream.history), await stream.read()) == (f"{site.url}/hops/0", 1, b"there")


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_redirects_in_a_circle_end_at_the_limit(limit: int) -> None:
    async with Script("\n".join([moved("/x"), moved("/")] * 6), check=False) as peer:
        with pytest.raises(LimitError, match=f"more than {limit} redirects") as caught:
            await http.get(f"http://{peer.address}/", max_redirects=limit)
        assert caught.value.limit == limit
    assert peer.received.count(b"GET ") == limit + 1


async def test_as_many_redirects_as_the_limit_are_followed(site: Site) -> None:
    assert (await http.get(f"{site.url}/hops/10")).text() == "there"
    with pytest.raises(LimitError):
        await http.get(f"{site.url}/hops/11")


async def test_no_redirects_gives_the_redirect_itself(site: Site) -> None:
    response = await http.get(f"{site.url}/to/302?url=/hello", max_redirects=0)
    assert (response.status, response.headers["Location"], response.body) == (302, "/hello", b"moved")


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
async def test_other_statuses_are_not_followed(site: Site, status: int) -> None:
    assert (await http.get(f"{site.url}/to/{status}?url=/hello")).status == status


async def test_a_redirect_without_a_place_is_an_answer() -> None:
    async with Script(f"{ASK}\nS: HTTP/1.1 302 Found\nS: Content-Length: 5\nS:\nsend where") as peer:
        assert (await http.get(f"http://{peer.address}/")).body == b"where"


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
async def test_a_post_is_followed_by_what_its_status_says(site: Site, status: int, method: str) -> None:
    target = "/echo" if method == "POST" else "/hello"
    response = await http.post(f"{site.url}/to/{status}?url={target}", json={"a": 1})
    assert response.body == (b'{"a": 1}' if method == "POST" else b"GET /hello")
    assert site.requests[-1] == (method, target)
    last = site.heads[-1]
    assert ("Content-Type" in last, last.get("Content-Length")) == (method == "POST", "8" if method == "POST" else None)


async def test_a_file_is_sent_again_and_a_stream_is_not(site: Site) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"once"

    url = f"{site.url}/to/307?url=/echo"
    for body in (BIG, io.BytesIO(BIG)):
        assert (await http.put(url, body=body)).body == BIG
    assert (await http.post(url, parts={"file": ("f", io.BytesIO(b"x"))})).ok
    before = len(site.requests)
    with pytest.raises(RefusedError) as caught:
        await http.post(url, body=stream())
    assert caught.value.code == 307
    assert len(site.requests) == before + 1
    assert (await http.post(f"{site.url}/to/303?url=/hello", body=stream())).text() == "GET /hello"


SECRETS = {
    "Authorization": "Bearer s3cret",
    "Cookie": "a=s3cret",
    "Proxy-Authorization": "s3cret",
    "X-Api-Key": "s3cret",
}


async def test_secrets_stay_with_their_origin(site: Site) -> None:
    async with Site() as other:
        headers = SECRETS | {"X-Plain": "p"}
        url = f"{site.url}/to/302?url={other.url}/hello"
        response = await http.get(url, headers=headers, secret_headers=["x-api-key"])
        assert response.url == f"{other.url}/hello"
        assert SECRETS.items() <= site.heads[0].items()
        assert "s3cret" not in str(other.heads[0])
        assert other.heads[0]["X-Plain"] == "p"
        # nor do they come back with a redirect that leads home again
        back = f"{site.url}/to/307?url={other.url}/to/307?url={site.url}/hello"
        await http.get(back, headers=headers, secret_headers=["X-API-KEY"])
        assert "s3cret" not in str(site.heads[-1])


async def test_within_the_origin_they_go_along(site: Site) -> None:
    await http.get(f"{site.url}/to/302?url=/hello", headers=SECRETS, secret_headers=["X-Api-Key"])
    assert SECRETS.items() <= site.heads[-1].items()


async def test_credentials_go_to_the_first_origin_alone(site: Site) -> None:
    alice = Credentials("alice", "secret")
    assert (await http.get(f"{site.url}/to/302?url=/private", alice)).text() == "welcome"
    async with Site() as other:
        response = await http.get(f"{site.url}/to/302?url={other.url}/private", alice)
        assert response.status == 401  # an answer like any other: nobody signed in there
        assert "Authorization" not in other.heads[-1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_https_never_leads_to_http(authority: Authority, status: int) -> None:
    async with (
        Script() as plain,
        Script(moved(f"http://{plain.address}/", status) + "\n", tls=authority.server) as peer,
    ):
        # the body was asked for by `until`; the connection ends with the call
        with pytest.raises(ProtocolError, match="from https to"):
            await http.get(f"https://{peer.address}/", tls=authority.client())
    assert plain.connections == 0


async def test_http_may_lead_to_https_body_included(authority: Authority) -> None:
    async with Site(authority.server) as safe, Site() as site:
        session = http.session(site.url, tls=authority.client())
        async with session:
            response = await session.post(f"/to/307?url={safe.url}/echo", body=b"body", headers={"Cookie": "a=b"})
        assert response.body == b"body"
        assert "Cookie" not in safe.heads[-1]


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://a:b@127.0.0.1/",
        "http://[",
        "gopher://x",
    ],
)
async def test_only_http_is_followed(location: str) -> None:
    async with Script(moved(location)) as peer:
        with pytest.raises(ProtocolError, match="redirect"):
            await http.get(f"http://{peer.address}/")


async def test_a_big_body_of_a_redirect_is_not_read() -> None:
    endless = f"{ASK}\nS: HTTP/1.1 302 Found\nS: Location: /next\nS:\nendless line"
    async with Script(endless, DONE) as peer:
        assert (await http.get(f"http://{peer.address}/")).status == 200
    assert peer.sent < 20_000_000


async def test_a_cut_body_of_a_redirect_matters_to_nobody() -> None:
    cut = f"{ASK}\nS: HTTP/1.1 302 Found\nS: Location: /next\nS: Content-Length: 50\nS:\nsend moved\ncut"
    async with Script(cut, DONE) as peer:
        assert (await http.get(f"http://{peer.address}/")).status == 200


async def test_a_fragment_and_a_user_in_a_location_are_not_sent(site: Site) -> None:
    host = site.url.removeprefix("http://")
    async with Script(moved(f"http://mallory@{host}/hello#part")) as peer:
        response = await http.get(f"http://{peer.address}/")
    assert response.url == f"{site.url}/hello"
    assert "Authorization" not in site.heads[0]
