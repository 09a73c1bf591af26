"""Strangers at the lab's web server: curl, urllib and http.client do their work there."""

import asyncio
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from asyncnet.lab import Lab, ThreadedLab
from asyncnet.lab.web_ranges import some_bytes
from tests.real.running import absent

CURL = shutil.which("curl")


async def curl(*arguments: object) -> bytes:
    if CURL is None:
        absent("there is no curl")
    process = await asyncio.create_subprocess_exec(
        CURL,
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out + f"[{process.returncode}]".encode()


async def test_curl_does_its_full_work(lab: Lab, tmp_path: Path) -> None:
    ca, file, url = tmp_path / "ca.pem", tmp_path / "file", lab.http.url
    ca.write_bytes(lab.ca_pem)
    file.write_bytes(b"x" * 5_000_000)  # curl sends Expect: 100-continue
    assert await curl(f"{url}/page/one") == b"page one\n[0]"
    assert await curl("--cacert", ca, f"{lab.http.tls_url}/page/tls") == b"page tls\n[0]"
    assert (await curl(f"{lab.http.tls_url}/page/tls")).endswith(b"[60]")  # not trusted
    digest = hashlib.sha256(file.read_bytes()).hexdigest().encode()
    assert digest in await curl("--form", f"f=@{file}", "--form", "a=b", f"{url}/form")
    assert await curl("--range", "10-19", f"{url}/bytes/100") == some_bytes(0, 10, 20) + b"[0]"
    assert await curl("--location", f"{url}/redirect/3?across=1") == b"arrived by GET\n[0]"
    assert await curl("--digest", "--user", "me:secret", f"{url}/digest") == b"hello me\n[0]"
    assert await curl("--user", "me:secret", f"{url}/basic") == b"hello me\n[0]"
    assert (await curl("--user", "me:wrong", "--fail", f"{url}/basic")).endswith(b"[22]")
    assert await curl("--compressed", f"{url}/encoded/gzip") == b"page " * 1000 + b"[0]"
    assert await curl("--head", f"{url}/status/404") != b"[0]"
    lab.faults.on("http", "GET /bytes/100000", cut_after=50_000)
    assert (await curl("--output", tmp_path / "part", f"{url}/bytes/100000")) == b"[18]"  # partial file


def test_the_standard_library_does_too() -> None:
    with ThreadedLab() as lab:
        with urllib.request.urlopen(f"{lab.http.url}/redirect/2") as answer:
            assert answer.read() == b"arrived by GET\n"
        with pytest.raises(urllib.error.HTTPError, match="418") as refused:
            urllib.request.urlopen(f"{lab.http.url}/status/418")
        refused.value.close()
        client = http.client.HTTPConnection(lab.http.host, lab.http.port)
        for number in range(3):  # on one connection
            client.request("POST", "/webhook/a", body=iter([b"in ", b"chunks"]), headers={"X-N": str(number)})
            with client.getresponse() as answer:
                assert answer.read() == b'{"received": 9}'
        client.close()
        assert [request.body for request in lab.requests[-3:]] == [b"in chunks"] * 3
    assert lab.left == []
