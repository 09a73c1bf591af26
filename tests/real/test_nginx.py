"""nginx as a fixture, judged by urllib and http.client alone."""

import base64
import gzip
import hashlib
import http.client
import time
import urllib.error
import urllib.request

import pytest

from tests.clock import MS
from tests.peers import Authority
from tests.real.nginx import KIB, MIB, Nginx


def get(
    nginx: Nginx, path: str, *, method: str = "GET", body: bytes | None = None, **fields: str
) -> tuple[int, dict[str, str], bytes]:
    """One request, nothing followed: status, fields in lower case, body."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.ports["http"], timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("size", [0, 1 * KIB, 100 * KIB, 10 * MIB, 200 * MIB])
def test_a_file_has_its_size_and_its_hash(nginx: Nginx, authority: Authority, size: int) -> None:
    path = nginx.file(size)
    assert nginx.on_disk(path).stat().st_size == size
    with urllib.request.urlopen(nginx.https + path, context=authority.client(), timeout=30) as answer:
        assert answer.headers["Content-Length"] == str(size)
        assert hashlib.file_digest(answer, "sha256").hexdigest() == nginx.sha256(path)


def test_a_file_is_the_same_each_time_and_without_pattern(nginx: Nginx) -> None:
    begin = nginx.on_disk(nginx.file(MIB + 5)).read_bytes()
    assert nginx.on_disk(nginx.file(2 * MIB)).read_bytes()[: MIB + 5] == begin
    assert len(gzip.compress(begin[:KIB])) > KIB


def test_a_range_is_served(nginx: Nginx) -> None:
    path = nginx.file(100 * KIB)
    status, fields, body = get(nginx, path, Range="bytes=10-19")
    assert (status, fields["content-range"]) == (206, f"bytes 10-19/{100 * KIB}")
    assert body == nginx.on_disk(path).read_bytes()[10:20]


def test_text_is_sent_in_gzip_to_those_who_take_it(nginx: Nginx) -> None:
    path = nginx.text(100 * KIB)
    _, fields, body = get(nginx, path, Accept_Encoding="gzip")
    assert fields["content-encoding"] == "gzip"
    assert gzip.decompress(body) == nginx.on_disk(path).read_bytes() == get(nginx, path)[2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(nginx: Nginx, status: int) -> None:
    found, fields, _ = get(nginx, f"/redirect/{status}")
    assert (found, fields["location"]) == (status, "/echo" if status > 303 and nginx.echoes else "/seen")


@pytest.mark.parametrize(
    ("to", "prefix"),
    [
        ("http", "http://127.0.0.1:"),
        ("https", "https://127.0.0.1:"),
        ("host", "http://localhost:"),
        ("ftp", "ftp:"),
        ("loop", "/redirect/loop"),
    ],
)
def test_redirects_elsewhere(nginx: Nginx, to: str, prefix: str) -> None:
    status, fields, _ = get(nginx, f"/redirect/{to}")
    assert status in (302, 307)
    assert fields["location"].startswith(prefix)


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410, 429, 500, 502, 503, 504])
def test_every_status_is_sent_as_asked(nginx: Nginx, status: int) -> None:
    found, fields, _ = get(nginx, f"/status/{status}")
    assert found == status
    assert fields.get("retry-after") == ("1" if status in (429, 503) else None)


def test_what_the_server_saw_can_be_asked_for(nginx: Nginx) -> None:
    seen = get(nginx, "/seen?a=%20b", Cookie="c=d", Authorization="Bearer e", X_Test="f")[2].decode().splitlines()
    assert {"method=GET", "query=a=%20b", "cookie=c=d", "authorization=Bearer e", "x-test=f"} <= set(seen)


def test_cookies_are_set_on_the_way(nginx: Nginx) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(nginx.http + "/cookie", timeout=10) as answer:
        assert b"cookie=first=1; second=2\n" in answer.read()


def test_the_echo_sends_the_body_back(nginx: Nginx) -> None:
    if not nginx.echoes:
        pytest.skip("this nginx has no echo module: apt-get install libnginx-mod-http-echo")
    body = nginx.on_disk(nginx.file(3 * MIB)).read_bytes()
    status, fields, found = get(nginx, "/echo", method="POST", body=body, Content_Type="x/y")
    assert (status, fields["x-content-type"], fields["x-method"]) == (200, "x/y", "POST")
    assert found == body


def test_an_upload_lies_on_disk(nginx: Nginx) -> None:
    body = nginx.on_disk(nginx.file(3 * MIB)).read_bytes()
    assert get(nginx, "/upload/a/b.bin", method="PUT", body=body)[0] in (201, 204)
    assert nginx.on_disk("/upload/a/b.bin").read_bytes() == body
    assert get(nginx, "/upload/a/b.bin", method="DELETE")[0] == 204


def test_the_private_place_wants_basic_credentials(nginx: Nginx) -> None:
    path = nginx.file(KIB).replace("files", "private")
    assert get(nginx, path)[0] == 401
    token = base64.b64encode(b"alice:secret of alice").decode()
    status, _, body = get(nginx, path, Authorization=f"Basic {token}")
    assert (status, len(body)) == (200, KIB)


def test_requests_are_logged(nginx: Nginx) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(nginx.http + "/nowhere-to-be-found", timeout=10)
    refused.value.close()
    stop = time.monotonic() + 5000 * MS
    while not any('"GET /nowhere-to-be-found HTTP/1.1" 404' in line for line in nginx.requests):
        assert time.monotonic() < stop, nginx.requests
        time.sleep(MS)
