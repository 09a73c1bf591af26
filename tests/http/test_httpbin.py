"""httpbin, really run: every method, login, redirect, cookie, coding, stream and drip gives what it should."""

import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, DeadlineError, IncompleteRead, LimitError, StatusError
from asyncnet.http.brotli_zstd import INSTALLED
from asyncnet.retry import Retry
from tests.clock import MS

_WANTED = ("httpbin", "gunicorn")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _WANTED), reason="needs httpbin and gunicorn"
)

START = 20_000 * MS
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    """httpbin's root, without the last slash."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = ["-m", "gunicorn", "--threads", "8", "--log-level", "error", "-b", f"fd://{listener.fileno()}"]
        process = subprocess.Popen(
            [sys.executable, *words, "httpbin:app"],
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/get", timeout=START) as answer:
                answer.read()
                break
            assert process.poll() is None, "httpbin does not start"
            assert time.monotonic() < end
            time.sleep(20 * MS)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_is_what_arrives(httpbin: str, method: str) -> None:
    seen = (await http.request(method, f"{httpbin}/anything/a%20b?x=1", params={"y": "ü"})).json()
    assert (seen["method"], seen["args"]) == (method, {"x": "1", "y": "ü"})
    assert seen["url"].endswith("/anything/a b?x=1&y=ü") or "/anything/a%20b" in seen["url"]
    if method != "GET":
        path = method.lower()
        seen = (await http.request(method, f"{httpbin}/{path}", json={"a": [1, None]})).json()
        assert seen["json"] == {"a": [1, None]}


async def test_head_and_options_have_no_body_to_speak_of(httpbin: str) -> None:
    response = await http.head(f"{httpbin}/bytes/1000")
    assert (response.status, response.body, response.headers["Content-Length"]) == (200, b"", "1000")
    response = await http.options(f"{httpbin}/get")
    assert {"GET", "HEAD", "OPTIONS"} <= {method.strip() for method in response.headers["Allow"].split(",")}
    assert (await http.request("TRACE", f"{httpbin}/anything")).status == 200
    assert (await http.post(f"{httpbin}/get", body=b"")).status == 405


async def test_bodies_arrive_in_each_form(httpbin: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"hello\n" * 50_000)
    async with http.session(httpbin) as session:
        seen = (await session.post("/post", form={"a": "1", "b": ["2", "ü&="]})).json()
        assert seen["form"] == {"a": "1", "b": ["2", "ü&="]}
        seen = (await session.post("/post", body="text")).json()
        assert (seen["data"], seen["headers"]["Content-Type"]) == ("text", "text/plain; charset=utf-8")
        with path.open("rb") as file:
            seen = (await session.post("/post", parts={"a": "1", "file": file})).json()
        assert (seen["form"], seen["files"]) == ({"a": "1"}, {"file": path.read_text()})

        async def pieces():
            yield b"one "
            yield b"two"

        seen = (await session.put("/put", body=pieces())).json()
        assert seen["headers"].get("Transfer-Encoding") == "chunked"


@pytest.mark.parametrize("mechanism", [None, "BASIC"])
async def test_basic_lets_in_and_keeps_out(httpbin: str, mechanism: str | None) -> None:
    alice = Credentials("alice", "secret", mechanism=mechanism)
    for place in ("basic-auth", "hidden-basic-auth"):
        response = await http.get(f"{httpbin}/{place}/alice/secret", alice)
        assert response.json()["user"] == "alice"
    with pytest.raises(AuthenticationError):
        await http.get(f"{httpbin}/basic-auth/alice/other", alice)
    assert (await http.get(f"{httpbin}/basic-auth/alice/secret")).status == 401
    assert (await http.get(f"{httpbin}/hidden-basic-auth/alice/secret")).status == 404


async def test_bearer_lets_in(httpbin: str) -> None:
    response = await http.get(f"{httpbin}/bearer", Credentials("alice", lambda: "token"))
    assert response.json() == {"authenticated": True, "token": "token"}
    assert (await http.get(f"{httpbin}/bearer")).status == 401


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("mechanism", [None, "DIGEST"])
async def test_digest_lets_in_and_keeps_out(httpbin: str, algorithm: str, mechanism: str | None) -> None:
    alice = Credentials("alice", "secret", mechanism=mechanism)
    place = f"/digest-auth/auth/alice/secret/{algorithm}"
    async with http.session(httpbin, alice) as session:
        for _ in range(3):
            assert (await session.get(place)).json() == {"authenticated": True, "user": "alice"}
        assert (await session.get(f"/digest-auth/any/alice/secret/{algorithm}")).status == 200
        with pytest.raises(AuthenticationError):
            await session.get(f"/digest-auth/auth/alice/other/{algorithm}")
    async with http.session(httpbin, alice) as session:  # (with a query it would answer 500: a bug of its own)
        for _ in range(5):  # each third time the nonce is too old
            assert (await session.get(f"{place}/2")).json()["user"] == "alice"


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
async def test_redirects_are_followed_to_their_end(httpbin: str, kind: str) -> None:
    response = await http.get(f"{httpbin}/{kind}/5")
    assert (response.url, [hop.status for hop in response.history]) == (f"{httpbin}/get", [302] * 5)
    with pytest.raises(LimitError):
        await http.get(f"{httpbin}/{kind}/5", max_redirects=4)
    response = await http.get(f"{httpbin}/{kind}/2", max_redirects=0)
    assert (response.status, response.history) == (302, ())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_keeps_or_changes_the_method(httpbin: str, status: int) -> None:
    params = {"url": f"{httpbin}/anything", "status_code": status}
    seen = (await http.post(f"{httpbin}/redirect-to", params=params, form={"a": "1"})).json()
    kept = status in (307, 308)
    assert (seen["method"], seen["form"]) == (("POST", {"a": "1"}) if kept else ("GET", {}))


async def test_cookies_are_set_sent_and_forgotten(httpbin: str) -> None:
    async with http.session(httpbin) as session:
        assert (await session.get("/cookies/set?a=1&b=2")).json()["cookies"] == {"a": "1", "b": "2"}
        assert (await session.get("/cookies/set/c/3")).json()["cookies"] == {"a": "1", "b": "2", "c": "3"}
        assert (await session.get("/cookies/delete?b")).json()["cookies"] == {"a": "1", "c": "3"}
    assert (await http.get(f"{httpbin}/cookies")).json()["cookies"] == {}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "brotli"])
async def test_codings_are_undone(httpbin: str, coding: str) -> None:
    if coding == "brotli" and "br" not in INSTALLED:
        pytest.skip("no library for br")
    response = await http.get(f"{httpbin}/{coding}")
    seen = response.json()
    assert seen.get("gzipped") or seen.get("deflated") or seen.get("brotli")
    assert seen["headers"]["Accept-Encoding"] == ", ".join(("gzip", "deflate", *INSTALLED))


async def test_text_comes_as_text(httpbin: str) -> None:
    assert "STARGΛ̊TE" in (await http.get(f"{httpbin}/encoding/utf8")).text()
    assert (await http.get(f"{httpbin}/json")).json()["slideshow"]["title"] == "Sample Slide Show"
    assert (await http.get(f"{httpbin}/xml")).text().startswith("<?xml")
    assert "<h1>" in (await http.get(f"{httpbin}/html")).text()
    assert (await http.get(f"{httpbin}/robots.txt")).text().startswith("User-agent")
    value = base64.urlsafe_b64encode(b"hello").decode()
    assert (await http.get(f"{httpbin}/base64/{value}")).text() == "hello"
    for kind, magic in (("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF"), ("svg", b"<svg")):
        assert (await http.get(f"{httpbin}/image/{kind}")).body.startswith(magic)
    assert (await http.get(f"{httpbin}/image", headers={"Accept": "image/png"})).body.startswith(b"\x89PNG")


async def test_what_we_say_of_ourselves(httpbin: str) -> None:
    assert (await http.get(f"{httpbin}/user-agent")).json() == {"user-agent": "asyncnet"}
    seen = (await http.get(f"{httpbin}/headers", headers={"X-Test": "a, b", "User-Agent": "x"})).json()["headers"]
    assert (seen["X-Test"], seen["User-Agent"]) == ("a, b", "x")
    assert (await http.get(f"{httpbin}/ip")).json()["origin"] == "127.0.0.1"
    response = await http.get(f"{httpbin}/response-headers", params={"X-A": ["1", "2"], "X-B": "ü"})
    assert response.headers.getall("X-A") == ["1", "2"]


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 403, 404, 418, 429, 500, 502, 503])
@pytest.mark.parametrize("method", METHODS)
async def test_each_status_is_an_answer(httpbin: str, method: str, status: int) -> None:
    response = await http.request(method, f"{httpbin}/status/{status}")
    assert response.status == status
    if status >= 400:
        with pytest.raises(StatusError):
            response.raise_for_status()


async def test_conditions_are_kept(httpbin: str) -> None:
    assert (await http.get(f"{httpbin}/cache")).status == 200
    assert (await http.get(f"{httpbin}/cache", headers={"If-None-Match": "x"})).status == 304
    assert (await http.get(f"{httpbin}/etag/one", headers={"If-None-Match": '"one"'})).status == 304
    assert (await http.get(f"{httpbin}/etag/one", headers={"If-Match": '"two"'})).status == 412
    assert (await http.get(f"{httpbin}/cache/60")).headers["Cache-Control"] == "public, max-age=60"


async def test_streams_come_whole_and_line_by_line(httpbin: str) -> None:
    async with http.ndjson(f"{httpbin}/stream/20") as values:
        assert [value["id"] async for value in values] == list(range(20))
    body = (await http.get(f"{httpbin}/stream-bytes/100000?seed=1&chunk_size=777")).body
    assert len(body) == 100_000
    assert (await http.get(f"{httpbin}/bytes/5000?seed=1")).body == (
        await http.get(f"{httpbin}/bytes/5000?seed=1")
    ).body
    assert len((await http.get(f"{httpbin}/bytes/5000", first_bytes=10)).body) == 10


async def test_a_drip_is_waited_for_up_to_the_deadline(httpbin: str) -> None:
    response = await http.get(f"{httpbin}/drip?duration=0.2&numbytes=10&delay=0&code=201")
    assert (response.status, response.body) == (201, b"*" * 10)
    with pytest.raises(DeadlineError):
        await http.get(f"{httpbin}/drip?duration=2&numbytes=10&delay=0", timeout=200 * MS)
    with pytest.raises(DeadlineError):
        await http.get(f"{httpbin}/delay/1", timeout=100 * MS)


async def test_ranges_are_joined_to_the_whole(httpbin: str, tmp_path: Path) -> None:
    whole = await http.get(f"{httpbin}/range/26000")
    response = await http.get(f"{httpbin}/range/26000", headers={"Range": "bytes=10-19"})
    assert (response.status, response.body) == (206, whole.body[10:20])
    assert (await http.get(f"{httpbin}/range/26000", headers={"Range": "bytes=30000-"})).status == 416
    path, digest = tmp_path / "file", hashlib.sha256(whole.body).hexdigest()
    etag = whole.headers["ETag"]
    done = await http.download(f"{httpbin}/range/26000", path, sha256=digest, retry=Retry(first_delay=0))
    assert (done.size, path.read_bytes()) == (26_000, whole.body)
    if not etag.startswith('"'):  # httpbin writes it without quotes, which is no ETag: nothing may be joined by it
        assert done.etag is None
    with contextlib.suppress(IncompleteRead):
        await http.download(f"{httpbin}/range/26000?duration=1&chunk_size=1000", path, timeout=5.0)


async def test_links_and_answers_that_no_cache_may_keep(httpbin: str) -> None:
    response = await http.get(f"{httpbin}/links/3")
    assert response.url == f"{httpbin}/links/3/0"
    assert len(json.loads((await http.get(f"{httpbin}/uuid")).body)["uuid"]) == 36
    assert (await http.get(f"{httpbin}/deny")).status == 200
    assert (await http.get(f"{httpbin}/forms/post")).status == 200
