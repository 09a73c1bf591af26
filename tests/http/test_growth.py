"""Room for a body is made ahead of it, but never for more than what came vouches for; and files are written whole."""

import os
from pathlib import Path
from typing import Any

import pytest

from asyncnet import http
from asyncnet.errors import IncompleteRead
from asyncnet.http.partial import Partial
from tests.memory import peak_memory
from tests.peers import Script

MIB = 1024 * 1024


def answer(length: int, body: bytes) -> Any:
    def talk(talk: Any) -> None:
        talk.until(r"\r\n\r\n")
        talk.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)

    return talk


@pytest.mark.parametrize("size", [65_537, MIB, 5 * MIB + 1])
async def test_a_body_comes_byte_for_byte(size: int) -> None:
    body = os.urandom(size)
    async with Script(answer(size, body), check=False) as peer:
        assert (await http.get(f"http://{peer.address}/")).body == body


async def test_of_a_body_that_is_cut_no_more_is_given_than_came() -> None:
    body = os.urandom(3 * MIB)
    async with Script(answer(60 * MIB, body), check=False) as peer:
        with pytest.raises(IncompleteRead) as caught:
            await http.get(f"http://{peer.address}/")
    assert caught.value.partial == body
    assert caught.value.expected == 60 * MIB


_LIED_TO = """
import asyncio, sys
from asyncnet import http
from asyncnet.errors import IncompleteRead

async def main():
    async with http.session() as session:
        try:
            await session.get(sys.argv[1])
        except IncompleteRead:
            pass

asyncio.run(main())
"""


def test_a_length_that_is_a_lie_costs_little_memory() -> None:
    with (
        Script(answer(60 * MIB, b"x" * MIB), check=False) as liar,
        Script(answer(MIB, b"x" * MIB), check=False) as honest,
    ):
        more = peak_memory(_LIED_TO, f"http://{liar.address}/") - peak_memory(_LIED_TO, f"http://{honest.address}/")
    assert more < 16 * MIB


async def test_what_the_disk_takes_in_pieces_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def three_bytes(descriptor: int, pieces: list[memoryview]) -> int:
        calls.append(len(pieces))
        return os.write(descriptor, b"".join(pieces)[:3])

    monkeypatch.setattr("asyncnet.http.partial._written", three_bytes)
    partial = Partial(tmp_path / "file", "http://example.org/", is_hashed=False)
    await partial.open()
    await partial.restart(None, None)
    await partial.append([b"a", b"", b"bcdef", b"gh"])
    assert partial.size == 8
    await partial.finish()
    partial.close()
    assert (tmp_path / "file").read_bytes() == b"abcdefgh"
    assert len(calls) == 3


async def test_very_many_pieces_are_written_in_order(tmp_path: Path) -> None:
    pieces = [b"%d," % number for number in range(3000)]
    partial = Partial(tmp_path / "file", "http://example.org/", is_hashed=False)
    await partial.open()
    await partial.restart(None, None)
    await partial.append(pieces)
    await partial.finish()
    partial.close()
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)
