"""What a good server gives, by one-shots and by sessions; and the laws every session keeps."""

import asyncio
import io
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asyncnet
from asyncnet import http
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DeadlineError, InvalidEndpoint, LimitError, StatusError, UsageError
from asyncnet.http.coding import ACCEPTED
from tests.clock import MS
from tests.http.site import BIG, Site, until
from tests.peers import Script


async def test_a_page_comes_with_status_reason_and_headers(site: Site) -> None:
    response = await http.get(f"{site.url}/hello?a=1")
    assert (response.status, response.reason, response.ok, response.complete) == (200, "OK", True, True)
    assert (response.body, response.text()) == (b"GET /hello?a=1", "GET /hello?a=1")
    assert response.headers["CONTENT-type"] == "text/plain; charset=utf-8"
    assert (response.url, response.method, response.history) == (f"{site.url}/hello?a=1", "GET", ())


async def test_an_endpoint_may_stand_for_a_url(site: Site) -> None:
    assert (await http.get(Endpoint.parse(f"{site.url}/hello"))).text() == "GET /hello"


@pytest.mark.parametrize("verb", ["get", "options", "delete"])
async def test_each_reading_verb_is_sent_by_its_name(site: Site, verb: str) -> None:
    assert (
        await getattr(http, verb)(f"{site.url}/hello", params={"q": "a b"})
    ).text() == f"{verb.upper()} /hello?q=a+b"
    async with http.session(site.url) as session:
        assert (await getattr(session, verb)("/hello")).text() == f"{verb.upper()} /hello"
        assert (await session.request(verb, "/hello")).method == verb.upper()


async def test_head_gives_the_head_alone(site: Site) -> None:
    response = await http.head(f"{site.url}/big")
    assert (response.status, response.body, response.headers["Content-Length"]) == (200, b"", str(len(BIG)))


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
@pytest.mark.parametrize(
    ("body", "sent", "media_type"),
    [
        ({"body": b"bytes"}, b"bytes", "application/octet-stream"),
        ({"body": "é"}, "é".encode(), "text/plain; charset=utf-8"),
        ({"body": b""}, b"", "application/octet-stream"),
        ({"body": BIG}, BIG, "application/octet-stream"),
        ({"json": {"a": 1}}, b'{"a": 1}', "application/json"),
        ({"form": {"a": "1 é", "b": ["x", "y"]}}, b"a=1+%C3%A9&b=x&b=y", "application/x-www-form-urlencoded"),
        ({"body": b"x", "headers": {"Content-Type": "text/x"}}, b"x", "text/x"),
    ],
)
async def test_each_writing_verb_sends_each_body(
    site: Site, verb: str, body: dict[str, Any], sent: bytes, media_type: str
) -> None:
    response = await getattr(http, verb)(f"{site.url}/echo", **body)
    assert (response.body, response.headers["X-Type"]) == (sent, media_type)
    assert site.heads[0]["Content-Length"] == str(len(sent))
    async with http.session(site.url) as session:
        assert (await getattr(session, verb)("echo", **body)).body == sent


@pytest.mark.parametrize("verb", ["post", "put", "patch"])
async def test_a_writing_verb_wants_exactly_one_body(site: Site, verb: str) -> None:
    for bodies in ({}, {"body": b"", "json": 1}, {"form": {}, "parts": {}}):
        with pytest.raises(UsageError):
            await getattr(http, verb)(f"{site.url}/echo", **bodies)
    assert site.requests == []


async def test_a_form_goes_by_get_and_by_post(site: Site) -> None:
    fields = {"name": "Ä & Ö", "age": 7, "tag": ["a", "b"]}
    expected = [["name", "Ä & Ö"], ["age", "7"], ["tag", "a"], ["tag", "b"]]
    by_get = await http.get(f"{site.url}/form", params=fields)
    assert by_get.json() == {"query": expected, "fields": []}
    by_post = await http.post(f"{site.url}/form", form=fields)
    assert by_post.json()["fields"] == expected


async def test_a_form_of_parts_carries_files(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        response = await http.post(
            f"{site.url}/form", parts={"text": "é", "file": file, "named": ("n.txt", "text"), "raw": b"bytes"}
        )
    assert response.json()["fields"] == [
        ["text", "é"],
        ["file", "big.bin", "application/octet-stream", len(BIG)],
        ["named", "n.txt", "text/plain", 4],
        ["raw", "bytes"],
    ]


async def test_a_stream_is_sent_in_chunks_and_a_file_with_its_length(site: Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BIG), 100_000):
            yield BIG[start : start + 100_000]

    assert (await http.post(f"{site.url}/echo", body=pieces())).body == BIG
    assert (await http.post(f"{site.url}/echo", body=io.BytesIO(BIG))).body == BIG
    assert [head.get("Transfer-Encoding") for head in site.heads] == ["chunked", None]
    assert [head.get("Content-Length") for head in site.heads] == [None, str(len(BIG))]


@pytest.mark.parametrize("path", ["/big", "/big?chunked", "/coded/gzip", "/coded/deflate"])
async def test_a_big_body_comes_whole_in_part_and_in_pieces(site: Site, path: str) -> None:
    async with http.session(site.url) as session:
        assert (await session.get(path)).body == BIG
        for count in (0, 1, 100, 70_000, len(BIG) - 1):
            response = await session.get(path, first_bytes=count, max_bytes=len(BIG))
            assert (response.body, response.complete) == (BIG[:count], False)
        response = await session.get(path, first_bytes=len(BIG) + 5)
        assert (response.body, response.complete) == (BIG, True)
        async with session.stream("GET", path) as stream:
            first = await anext(stream)
            assert first
            assert first + b"".join([piece async for piece in stream]) == BIG
        async with session.stream("GET", path) as stream:
            assert await stream.read() == BIG
            assert await stream.read() == b""
        async with session.stream("GET", path) as stream:
            first = await anext(stream)
            assert first + await stream.read() == BIG


async def test_first_bytes_is_no_error_and_no_limit_is_passed_by_it(site: Site) -> None:
    response = await http.get(f"{site.url}/big", first_bytes=100, max_bytes=100)
    assert response.body == BIG[:100]
    with pytest.raises(LimitError):
        await http.get(f"{site.url}/big", max_bytes=100)
    for wrong in (-1, 101):
        with pytest.raises(UsageError):
            await http.get(f"{site.url}/big", first_bytes=wrong, max_bytes=100)


async def test_a_stream_has_a_head_and_a_limit_of_its_own(site: Site) -> None:
    async with http.stream("GET", f"{site.url}/big", max_bytes=len(BIG)) as stream:
        assert (stream.status, stream.ok, stream.length, stream.url) == (200, True, len(BIG), f"{site.url}/big")
        assert stream.raise_for_status() is stream
        assert stream.retry_after is None
    with pytest.raises(LimitError):
        async with http.stream("GET", f"{site.url}/big?chunked", max_bytes=1_000_000) as stream:
            async for _ in stream:
                pass
    with pytest.raises(StatusError):
        async with http.stream("GET", f"{site.url}/status/429") as stream:
            assert stream.retry_after == 3.0
            stream.raise_for_status()
    async with http.stream("POST", f"{site.url}/echo", json=[1]) as stream:
        assert await stream.read() == b"[1]"


async def test_what_the_block_of_a_stream_raises_is_not_translated(site: Site) -> None:
    with pytest.raises(FileNotFoundError):
        async with http.stream("GET", f"{site.url}/big") as stream:
            async for _ in stream:
                raise FileNotFoundError


@pytest.mark.parametrize("code", [200, 404, 418, 500, 503, 599])
async def test_no_status_raises_by_itself(site: Site, code: int) -> None:
    response = await http.get(f"{site.url}/status/{code}")
    assert (response.status, response.reason, response.body) == (code, "As Asked", b"body")
    if code >= 400:
        with pytest.raises(StatusError):
            response.raise_for_status()


async def test_the_headers_of_a_call_replace_those_of_the_session(site: Site) -> None:
    async with http.session(site.url, headers={"X-A": "session", "X-B": "session", "User-Agent": "mine"}) as session:
        await session.get("/hello", headers={"x-a": "call", "Accept": "text/x"})
    assert {name: site.heads[0][name] for name in ("x-a", "X-B", "User-Agent", "Accept", "Accept-Encoding")} == {
        "x-a": "call",
        "X-B": "session",
        "User-Agent": "mine",
        "Accept": "text/x",
        "Accept-Encoding": ACCEPTED,
    }
    assert "X-A" not in site.heads[0]


async def test_secret_headers_of_the_session_go_to_its_base_alone(site: Site) -> None:
    headers = {"X-Api-Key": "k", "Cookie": "c=1", "X-Plain": "p"}
    async with Site() as other, http.session(site.url, headers=headers, secret_headers=["X-API-key"]) as session:
        await session.get("/hello")
        await session.get(f"{other.url}/hello")
        assert headers.items() <= site.heads[0].items()
        assert set(headers) & set(other.heads[0]) == {"X-Plain"}


async def test_connections_are_kept_and_used_again(site: Site) -> None:
    async with http.session(site.url) as session:
        for _ in range(5):
            await session.get("/hello")
            await session.post("/echo", body=b"x")
            await session.get("/hops/2")
        assert len(site.connections) == 1
        await session.get("/goodbye")
        await session.get("/hello")
        assert len(site.connections) == 2


async def test_many_calls_at_once_keep_within_the_limit_of_connections(site: Site) -> None:
    async with http.session(site.url, max_connections=4) as session:
        answers = await asyncio.gather(*(session.get("/echo", params={"n": n}) for n in range(40)))
        assert all(answer.ok for answer in answers)
        assert len(site.connections) <= 4
    async with http.session(site.url, max_connections_per_host=2) as session:
        site.connections.clear()
        await asyncio.gather(*(session.get("/hello") for _ in range(20)))
        assert len(site.connections) <= 2


async def test_a_part_is_asked_for_without_packing(site: Site) -> None:
    await http.get(f"{site.url}/hello", headers={"Range": "bytes=0-9"})
    await http.get(f"{site.url}/hello", headers={"Range": "bytes=0-9", "Accept-Encoding": "gzip"})
    assert [head["Accept-Encoding"] for head in site.heads] == ["identity", "gzip"]


async def test_cookies_are_kept_by_a_session_and_by_nothing_else(site: Site) -> None:
    async with http.session(site.url) as session:
        assert (await session.get("/cookies?a=1&b=x%20y")).json() == {}
        assert (await session.get("/cookies")).json() == {"a": "1", "b": "x y"}
        assert (await session.get("/cookies", headers={"Cookie": "c=3"})).json() == {"a": "1", "b": "x y", "c": "3"}
    assert (await http.get(f"{site.url}/cookies")).json() == {}


async def test_cookies_do_not_go_to_another_port(site: Site) -> None:
    async with Site() as other, http.session(site.url) as session:
        await session.get("/cookies?a=1")
        assert (await session.get(f"{other.url}/cookies")).json() == {}
        assert (await session.get("/to/302", params={"url": f"{other.url}/cookies"})).json() == {}


async def test_a_unix_socket_stands_for_every_host(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    async with Site(path=path) as site, http.session("http://docker/v1/", unix_socket=path) as session:
        assert (await session.get("/hello")).text() == "GET /hello"
        assert site.heads[0]["Host"] == "docker"
    with pytest.raises(UsageError):
        http.session("http://docker/", unix_socket=path, proxy="http://127.0.0.1:3128")


# The laws


async def test_closing_twice_is_fine_and_using_it_afterwards_is_not(site: Site) -> None:
    session = http.session(site.url)
    await session.get("/hello")
    for _ in range(2):
        await session.aclose()
        assert not session.is_open
    with pytest.raises(ClosedError):
        await session.get("/hello")
    with pytest.raises(ClosedError):
        async with session.stream("GET", "/hello"):
            pass
    assert len(site.requests) == 1


async def test_a_session_that_was_never_used_closes_too() -> None:
    async with http.session() as session:
        assert session.is_open
    assert "closed" in repr(session)


async def test_the_representation_shows_no_secret(site: Site) -> None:
    async with http.session(f"{site.url}/?token=secret", headers={"Authorization": "secret"}) as session:
        assert "secret" not in repr(session)


async def test_a_deadline_ends_the_call_and_not_the_session(site: Site) -> None:
    async with http.session(site.url, timeout=30 * MS) as session:
        with pytest.raises(DeadlineError) as caught:
            await session.get("/slow")
        assert (caught.value.operation, caught.value.seconds) == ("GET", 30 * MS)
        assert (await session.get("/hello", timeout=math.inf)).ok
        with pytest.raises(DeadlineError):
            await session.get("/hello", timeout=0)
        assert (await session.get("/hello", timeout=5000 * MS)).ok


async def test_a_call_waits_for_a_free_connection_within_its_deadline(site: Site) -> None:
    async with http.session(site.url, max_connections=1) as session:
        held = asyncio.create_task(session.get("/slow"))
        await until(lambda: site.requests)
        with pytest.raises(DeadlineError, match="in waiting for a connection"):
            await session.get("/hello", timeout=30 * MS)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert (await session.get("/hello")).ok


async def test_the_deadline_of_a_stream_bounds_its_block(site: Site) -> None:
    with pytest.raises(DeadlineError):
        async with http.stream("GET", f"{site.url}/big", timeout=30 * MS) as stream:
            await anext(stream)
            await asyncio.sleep(10)


async def test_closing_ends_what_is_under_way_elsewhere() -> None:
    silent = r"until \r\n\r\n" + "\nsilence"
    async with Script(silent, check=False) as peer:
        session = http.session(f"http://{peer.address}/", max_connections=1)
        asking = asyncio.create_task(session.get("/"))
        await peer.until(b"\r\n\r\n")
        waiting = asyncio.create_task(session.get("/"))  # for the one connection
        await asyncio.sleep(0)
        await session.aclose()
        for task in (asking, waiting):
            with pytest.raises(ClosedError):
                await task


async def test_closing_ends_a_body_that_is_being_read() -> None:
    half = r"until \r\n\r\n" + "\nS: HTTP/1.1 200 OK\nS: Content-Length: 500000\nS:\nsend hello\nsilence"
    async with Script(half, half, check=False) as peer:
        session = http.session(f"http://{peer.address}/")
        whole = asyncio.create_task(session.get("/"))
        async with session.stream("GET", "/") as stream:
            assert await anext(stream) == b"hello"
            await peer.until(2)
            await asyncio.sleep(5 * MS)
            await session.aclose()
            with pytest.raises(ClosedError):
                await anext(stream)
        with pytest.raises(ClosedError):
            await whole


async def test_closing_between_two_redirects_ends_the_call() -> None:
    first = (
        r"until \r\n\r\n"
        + "\nS: HTTP/1.1 302 Found\nS: Location: /next\nS: Content-Length: 5\nS:\nwait more\nsend moved"
    )
    async with Script(first, check=False) as peer:
        session = http.session(f"http://{peer.address}/")
        call = asyncio.create_task(session.get("/"))
        await peer.until("more")
        await asyncio.sleep(5 * MS)
        await session.aclose()
        with pytest.raises(ClosedError):
            await call


async def test_closing_ends_the_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(*_: object, **__: object) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr("asyncnet.http.connector.dial", stuck)  # nobody on loopback lets a SYN wait
    session = http.session("http://127.0.0.1:9/")
    call = asyncio.create_task(session.get("/"))
    await until(lambda: session._connector and session._connector._dialling)
    await session.aclose()
    with pytest.raises(ClosedError):
        await call


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("get", {"headers": {"X": "a\r\nb"}}),
        ("get", {"params": {"x": "a\nb"}}),
        ("get", {"max_redirects": -1}),
        ("get", {"max_bytes": -1}),
        ("post", {"form": {"a": None}}),
        ("post", {"json": {1j: 1}}),
        ("post", {"body": 7}),
        ("post", {"parts": {"a\r\n": "b"}}),
    ],
)
async def test_a_wrong_call_is_refused_before_a_byte_is_sent(call: str, arguments: dict[str, Any]) -> None:
    async with Script() as peer, http.session() as session:  # a Script without conversations: nobody may come
        with pytest.raises(UsageError):
            await getattr(session, call)(f"http://{peer.address}/", **arguments)


@pytest.mark.parametrize("url", ["/relative", "ftp://h/", "http://a:b@h/", "http://127.0.0.1:1\\@evil.example/", 7])
async def test_a_wrong_url_is_refused(url: Any) -> None:
    with pytest.raises(UsageError):
        await http.get(url)


@pytest.mark.parametrize(
    "arguments",
    [
        {"base": "ftp://h/"},
        {"base": "nonsense"},
        {"max_connections": 0},
        {"max_connections_per_host": -1},
        {"keep_alive": -1},
        {"headers": {"X": "\n"}},
        {"proxy": "ftp://h"},
    ],
)
def test_a_wrong_session_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        http.session(**arguments)


@pytest.mark.parametrize("limit", [{"max_bytes": -1}, {"max_ratio": 0}, {"max_redirects": -1}, {"max_headers": 0}])
def test_a_wrong_limit_is_refused(limit: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        http.Limits(**limit)


async def test_the_limits_of_a_session_hold_for_its_calls(site: Site) -> None:
    limits = http.Limits(max_bytes=1000, max_redirects=1)
    async with http.session(site.url, limits=limits) as session:
        with pytest.raises(LimitError):
            await session.get("/big")
        with pytest.raises(LimitError):
            await session.get("/hops/2")
        assert (await session.get("/hops/2", max_redirects=2)).text() == "there"
        assert len((await session.get("/big", max_bytes=len(BIG))).body) == len(BIG)


def test_the_wing_has_a_face() -> None:
    for name in http.__all__:
        assert getattr(http, name).__doc__
    assert asyncnet.http is http
    with pytest.raises(InvalidEndpoint):
        http.session("http://")
