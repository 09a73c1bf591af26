"""No server makes us take more memory than the caller's limit and 16 MiB, and a big body is held once."""

import functools

import pytest

from tests.memory import peak_memory

MIB = 1024 * 1024

PROGRAM = """
import asyncio, gzip, sys
from asyncnet import http
from asyncnet.errors import LimitError
from tests.peers import Script
MIB = 1024 * 1024
HEAD = "until \\\\r\\\\n\\\\r\\\\n\\nS: HTTP/1.1 200 OK\\n"
what = sys.argv[1]

def zeros(count):
    packed = []
    import zlib
    packer = zlib.compressobj(1, wbits=31)
    for _ in range(count):
        packed.append(packer.compress(bytes(MIB)))
    return b"".join([*packed, packer.flush()])

def big(talk):
    talk.until(r"\\r\\n\\r\\n")
    talk.send(f"HTTP/1.1 200 OK\\r\\nContent-Length: {64 * MIB}\\r\\n\\r\\n")
    for _ in range(64):
        talk.send_bytes(bytes(MIB))
        talk.flush()
        talk.transcript.clear()

TALKS = {
    "nothing": "until \\\\r\\\\n\\\\r\\\\n\\nS: HTTP/1.1 200 OK\\nS: Content-Length: 0\\nS:",
    "endless": HEAD + "S:\\nendless line",
    "endless chunks": HEAD + "S: Transfer-Encoding: chunked\\nS:\\nendless reply 5\\\\r\\\\nhello",
    "endless fields": HEAD + "endless reply X: y",
    "endless field": HEAD + "send X: \\nendless line",
    "endless 1xx": "until \\\\r\\\\n\\\\r\\\\n\\nendless reply HTTP/1.1 102 Processing\\\\r\\\\n",
    "bomb": HEAD + "S: Content-Encoding: gzip\\nS:\\ndump bomb\\ncut",
    "bombs": HEAD + "S: Content-Encoding: gzip, gzip\\nS:\\ndump bombs\\ncut",
    "big": big,
}

async def main():
    bodies = {}
    if "bomb" in what:
        bodies = {"bomb": zeros(30), "bombs": gzip.compress(zeros(30))}
    async with Script(TALKS[what], bodies=bodies, check=False) as peer:
        try:
            response = await http.get(f"http://{peer.address}/", max_bytes=64 * MIB if what == "big" else MIB)
        except LimitError:
            assert what not in ("nothing", "big")
        else:
            assert what in ("nothing", "big")
            assert len(response.body) == (64 * MIB if what == "big" else 0)
asyncio.run(main())
"""


@functools.cache
def baseline() -> int:
    return peak_memory(PROGRAM, "nothing")


@pytest.mark.parametrize(
    "what", ["endless", "endless chunks", "endless fields", "endless field", "endless 1xx", "bomb", "bombs"]
)
def test_a_flood_and_a_bomb_take_no_more_than_the_limit(what: str) -> None:
    assert peak_memory(PROGRAM, what) - baseline() < 1 * MIB + 16 * MIB


def test_a_big_body_is_held_once() -> None:
    assert peak_memory(PROGRAM, "big") - baseline() < 64 * MIB + 16 * MIB
