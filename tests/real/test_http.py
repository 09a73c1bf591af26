"""HTTP on a real server: files byte for byte, every body, redirects, logins, cookies."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncnet import Credentials, http
from asyncnet.errors import (
    AuthenticationError,
    DeadlineError,
    LimitError,
    ProtocolError,
    StatusError,
    TLSError,
    UsageError,
)
from tests.clock import MS
from tests.peers import Authority
from tests.real.nginx import KIB, MIB, Nginx

ALICE = Credentials("alice", "secret of alice")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    return authority.client()


def seen(response: http.Response) -> dict[str, str]:
    """What the server saw."""
    return dict(line.split("=", 1) for line in response.text().splitlines())


@pytest.mark.parametrize("size", [0, 1, 1 * KIB, 64 * KIB, 64 * KIB + 1, 10 * MIB])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_file_comes_byte_for_byte(nginx: Nginx, tls: ssl.SSLContext, size: int, scheme: str) -> None:
    path = nginx.file(size)
    async with http.session(getattr(nginx, scheme), tls=tls) as session:
        response = await session.get(path)
        assert (response.status, len(response.body)) == (200, size)
        assert hashlib.sha256(response.body).hexdigest() == nginx.sha256(path)
        first = await session.get(path, first_bytes=100)
        assert (first.body, first.complete) == (response.body[:100], size <= 100)
        assert (await session.head(path)).headers["Content-Length"] == str(size)


async def test_a_large_file_is_streamed(nginx: Nginx, tls: ssl.SSLContext) -> None:
    path = nginx.file(200 * MIB)
    digest = hashlib.sha256()
    async with http.stream("GET", nginx.https + path, tls=tls, timeout=60_000 * MS) as response:
        assert response.length == 200 * MIB
        async for piece in response:
            digest.update(piece)
    assert digest.hexdigest() == nginx.sha256(path)
    with pytest.raises(LimitError, match="209715200 bytes is announced"):
        await http.get(nginx.https + path, tls=tls)


async def test_a_text_is_taken_in_gzip(nginx: Nginx) -> None:
    path = nginx.text(1 * MIB)
    response = await http.get(nginx.http + path)
    assert response.headers["Content-Encoding"] == "gzip"
    assert hashlib.sha256(response.body).hexdigest() == nginx.sha256(path)
    plain = await http.get(nginx.http + path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.body == response.body
    assert (await http.get(nginx.http + path, first_bytes=1000)).body == response.body[:1000]


async def test_a_range_is_asked_for_by_hand(nginx: Nginx) -> None:
    path = nginx.file(100 * KIB)
    whole = await http.get(nginx.http + path)
    part = await http.get(nginx.http + path, headers={"Range": "bytes=10-19", "Accept-Encoding": "identity"})
    assert (part.status, part.body) == (206, whole.body[10:20])
    again = await http.get(nginx.http + path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_many_files_come_at_once_over_few_connections(nginx: Nginx, tls: ssl.SSLContext) -> None:
    path = nginx.file(100 * KIB)
    async with http.session(nginx.https, tls=tls, max_connections=8) as session:
        responses = await asyncio.gather(*(session.get(path) for _ in range(200)))
    assert {hashlib.sha256(response.body).hexdigest() for response in responses} == {nginx.sha256(path)}


async def test_a_form_goes_by_get_and_by_post(nginx: Nginx) -> None:
    fields = {"name": "Jürgen & Co", "n": 1}
    response = await http.get(f"{nginx.http}/seen", params=fields)
    assert seen(response)["query"] == "name=J%C3%BCrgen+%26+Co&n=1"
    response = await http.post(f"{nginx.http}/seen", form=fields)
    assert (response.status, response.reason) == (200, "OK")
    assert (seen(response)["method"], seen(response)["content-type"], seen(response)["content-length"]) == (
        "POST",
        "application/x-www-form-urlencoded",
        str(len("name=J%C3%BCrgen+%26+Co&n=1")),
    )


async def test_each_body_arrives(nginx: Nginx) -> None:
    if not nginx.echoes:
        pytest.skip("this nginx has no echo module")
    path = nginx.on_disk(nginx.file(1 * MIB))

    async def pieces() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(100_000):
                yield piece

    async with http.session(nginx.http) as session:
        with path.open("rb") as file:
            assert (await session.post("/echo", body=file)).body == path.read_bytes()
            assert (await session.put("/echo", body=pieces())).body == path.read_bytes()
            file.seek(0)  # it is sent from where it stands
            response = await session.post("/echo", parts={"a": "1", "file": file})
            assert response.headers["X-Content-Type"].startswith("multipart/form-data; boundary=")
            assert path.read_bytes() in response.body
        response = await session.patch("/echo", json={"a": [1]})
        assert (response.json(), response.headers["X-Method"]) == ({"a": [1]}, "PATCH")


async def test_a_file_is_put_and_deleted(nginx: Nginx) -> None:
    path = nginx.on_disk(nginx.file(10 * MIB))
    async with http.session(nginx.http) as session:
        with path.open("rb") as file:
            assert (await session.put("/upload/there", body=file)).status == 201
        assert nginx.on_disk("/upload/there").read_bytes() == path.read_bytes()
        assert (await session.delete("/upload/there")).status == 204
        assert not nginx.on_disk("/upload/there").exists()


async def test_redirects_are_followed(nginx: Nginx, tls: ssl.SSLContext) -> None:
    async with http.session(nginx.http, tls=tls) as session:
        for status in (301, 302, 303):
            response = await session.post(f"/redirect/{status}", form={"a": 1})
            assert (response.status, seen(response)["method"], response.history[0].status) == (200, "GET", status)
        for status in (307, 308):
            response = await session.post(f"/redirect/{status}", form={"a": 1})
            assert (response.method, response.history[0].status) == ("POST", status)
        with pytest.raises(LimitError):
            await session.get("/redirect/loop")
        with pytest.raises(ProtocolError):
            await session.get("/redirect/ftp")
        response = await session.get("/redirect/https", headers={"Authorization": "x", "Cookie": "a=b", "X-Test": "t"})
        saw = seen(response)
        assert (saw["scheme"], saw["authorization"], saw["cookie"], saw["x-test"]) == ("https", "", "", "t")
        response = await session.get("/redirect/host", headers={"Authorization": "x"})
        assert (seen(response)["host"], seen(response)["authorization"]) == (f"localhost:{nginx.ports['http']}", "")
        with pytest.raises(ProtocolError, match="from https to"):
            await session.post(f"{nginx.https}/redirect/http", body=b"secret")


async def test_a_login_is_let_in_and_a_wrong_one_is_one_error(nginx: Nginx, tls: ssl.SSLContext) -> None:
    path = nginx.file(1 * KIB).replace("/files/", "/private/")
    response = await http.get(nginx.https + path, ALICE, tls=tls)
    assert hashlib.sha256(response.body).hexdigest() == nginx.sha256(nginx.file(1 * KIB))
    with pytest.raises(AuthenticationError):
        await http.get(nginx.https + path, Credentials("alice", "wrong"), tls=tls)
    assert (await http.get(nginx.https + path, tls=tls)).status == 401
    with pytest.raises(UsageError):
        await http.get("http://example.org/", ALICE)


async def test_cookies_are_kept(nginx: Nginx) -> None:
    async with http.session(nginx.http) as session:
        assert seen(await session.get("/cookie"))["cookie"] == "first=1; second=2"
        assert seen(await session.get("/seen"))["cookie"] == "first=1; second=2"


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410, 429, 500, 502, 503, 504])
async def test_no_status_raises_by_itself(nginx: Nginx, status: int) -> None:
    response = await http.get(f"{nginx.http}/status/{status}")
    assert response.status == status
    if status >= 400:
        with pytest.raises(StatusError) as caught:
            response.raise_for_status()
        assert caught.value.transient is (status in (429, 502, 503, 504))
        assert caught.value.retry_after == (1.0 if status in (429, 503) else None)


async def test_an_unknown_authority_is_refused(nginx: Nginx) -> None:
    with pytest.raises(TLSError, match="not trusted"):
        await http.get(f"{nginx.https}/seen", headers={"Authorization": "secret"})


async def test_a_slow_file_is_given_up_at_the_deadline(nginx: Nginx) -> None:
    path = nginx.file(1 * MIB).replace("/files/", "/slow/")
    with pytest.raises(DeadlineError, match="in reading the body"):
        await http.get(nginx.http + path, timeout=150 * MS)


def leave(folder: Path, url: str, content: bytes, etag: str | None, total: int) -> None:
    """Leave in `folder` what a download that was cut leaves."""
    note = {"etag": etag, "total": total, "source": hashlib.sha256(url.encode()).hexdigest()}
    (folder / "file.part").write_bytes(content)
    (folder / "file.part.etag").write_text(json.dumps(note))


async def test_a_download_goes_on_where_it_was_cut_up_to_the_very_end(nginx: Nginx, tmp_path: Path) -> None:
    size = 3 * MIB
    path = nginx.file(size)
    url, content = nginx.http + path, nginx.on_disk(path).read_bytes()
    whole = await http.download(url, tmp_path / "file", sha256=nginx.sha256(path))
    assert (whole.size, whole.resumed) == (size, 0)
    for first in (1, 1 * MIB, size - 1, size):
        leave(tmp_path, url, content[:first], whole.etag, size)
        done = await http.download(url, tmp_path / "file", sha256=nginx.sha256(path))
        assert (done.size, done.resumed, done.etag) == (size, first, whole.etag)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
    statuses = [line.split('" ')[1].split()[0] for line in nginx.requests if path in line]
    assert statuses[-4:] == ["206", "206", "206", "416"]


async def test_a_download_of_a_file_that_changed_begins_anew(nginx: Nginx, tmp_path: Path) -> None:
    path = nginx.file(1 * MIB)
    url = nginx.http + path
    leave(tmp_path, url, b"x" * 1000, '"another-version"', 1 * MIB)
    done = await http.download(url, tmp_path / "file", sha256=nginx.sha256(path))
    assert (done.size, done.resumed) == (1 * MIB, 0)


async def test_a_download_that_is_cancelled_in_the_middle_goes_on(nginx: Nginx, tmp_path: Path) -> None:
    path = nginx.file(1 * MIB).replace("/files/", "/slow/")
    with pytest.raises(DeadlineError):
        await http.download(nginx.http + path, tmp_path / "file", timeout=300 * MS)
    fast = nginx.http + path
    kept = (tmp_path / "file.part").stat().st_size
    assert 0 < kept < 1 * MIB
    with pytest.raises(DeadlineError):
        await http.download(fast, tmp_path / "file", timeout=300 * MS)
    assert (tmp_path / "file.part").stat().st_size > kept
    got = (tmp_path / "file.part").read_bytes()
    assert nginx.on_disk(nginx.file(1 * MIB)).read_bytes().startswith(got)
