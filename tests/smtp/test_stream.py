"""A stream is sent while it is read: its size costs no memory, and its failure is the caller's."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncnet import RefusedError, UsageError
from tests.memory import peak_memory
from tests.peers import Script
from tests.smtp.office import Office
from tests.smtp.talks import ENVELOPE, NOTE, session

OFFERS = {
    "by chunks": ("PIPELINING", "CHUNKING", "SIZE 1000000"),
    "by data": ("SIZE 1000000",),
    "slow": ("CHUNKING", "SIZE 1000000"),
}
ODD = b"one\n.\n..two\r\rthree\r\n.\r\n" * 20_000 + b"last\r"
WIRE = ODD.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def served(office: Office) -> Script:
    return Script(office, repeat=True, check=False)


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("offers", OFFERS)
@pytest.mark.parametrize("size", [1000, 999_983])
async def test_what_comes_in_pieces_arrives_as_one(offers: str, size: int) -> None:
    office = Office(extensions=OFFERS[offers])
    async with served(office) as peer, session(peer) as outgoing:
        await outgoing.send(_pieces(ODD, size), **ENVELOPE)
        await outgoing.send(io.BytesIO(ODD), **ENVELOPE)
        await outgoing.send(ODD, **ENVELOPE)
    assert [one.data for one in office.taken] == [WIRE] * 3


async def test_a_file_is_read_from_where_it_stands_and_its_size_is_told(tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(b"not this\nMessage-ID: <7@x>\r\n\r\nthis\r\n")
    office = Office()
    with (tmp_path / "mail").open("rb") as file:
        file.seek(9)
        async with served(office) as peer, session(peer) as outgoing:
            receipt = await outgoing.send(file, **ENVELOPE)
    assert receipt.message_id == "<7@x>"
    assert office.taken[0].data == b"Message-ID: <7@x>\r\n\r\nthis\r\n"
    assert any(line.endswith(b"SIZE=27 BODY=8BITMIME") for line in office.lines)


async def test_an_empty_stream_is_an_empty_message() -> None:
    office = Office()
    async with served(office) as peer, session(peer) as outgoing:
        await outgoing.send(io.BytesIO(), **ENVELOPE)
        await outgoing.send(b"", **ENVELOPE)
    assert [one.data for one in office.taken] == [b"", b""]


@pytest.mark.parametrize("stream", [io.BytesIO(bytes(1_000_001)), _pieces(b"x", 1)])
async def test_a_size_beyond_the_limit_is_refused_before_a_byte_is_read(stream: object) -> None:
    office = Office(extensions=OFFERS["by chunks"])
    size = None if isinstance(stream, io.BytesIO) else 1_000_001
    async with served(office) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="the server takes 1000000") as caught:
            await outgoing.send(stream, **ENVELOPE, size=size)  # type: ignore[arg-type]
        assert caught.value.code == 552
        await outgoing.noop()
    assert office.commands[b"MAIL"] == 0
    if isinstance(stream, io.BytesIO):
        assert stream.tell() == 0


@pytest.mark.parametrize("offers", OFFERS)
async def test_a_stream_that_grows_beyond_the_limit_is_never_ended(offers: str) -> None:
    office = Office(extensions=OFFERS[offers])
    async with served(office) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="the server takes 1000000"):
            await outgoing.send(_pieces(bytes(2_000_000), 50_000), **ENVELOPE)
        assert outgoing.is_open is (offers != "by data")  # of half a message after DATA there is no way back
    assert office.taken == []


async def _failing(error: Exception) -> AsyncIterator[bytes]:
    yield b"x" * 300_000
    raise error


@pytest.mark.parametrize("offers", OFFERS)
@pytest.mark.parametrize("error", [OSError(5, "disk"), EOFError(), ZeroDivisionError(), UsageError("mine")], ids=repr)
async def test_a_source_that_fails_is_the_callers_error_and_nothing_is_taken(offers: str, error: Exception) -> None:
    office = Office(extensions=OFFERS[offers])
    async with served(office) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError) as caught:
            await outgoing.send(_failing(error), **ENVELOPE)
        assert caught.value is error or caught.value.__cause__ is error
        if offers != "by data":
            await outgoing.send(NOTE, **ENVELOPE)
    assert [one.data for one in office.taken] == ([] if offers == "by data" else [NOTE])


@pytest.mark.parametrize("piece", ["text", None, 7])
async def test_a_stream_gives_bytes(piece: object) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield piece  # type: ignore[misc]

    async with served(Office()) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError, match="not bytes"):
            await outgoing.send(stream(), **ENVELOPE)


async def test_a_stream_names_no_recipients() -> None:
    async with served(Office()) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError, match="name the"):
            await outgoing.send(io.BytesIO(NOTE))


async def test_cancelled_while_the_source_is_silent_it_is_closed_at_once() -> None:
    closed = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"x" * 1000
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    office = Office()
    async with served(office) as peer, session(peer) as outgoing:
        source = stream()
        task = asyncio.create_task(outgoing.send(source, **ENVELOPE))
        await peer.until(b"RCPT")
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await source.aclose()  # type: ignore[attr-defined]
        assert closed == [True]
    assert office.taken == []


_SENDING = """
import asyncio, sys
from asyncnet import smtp
from tests.peers import Script
from tests.smtp.office import Office

class Zeros:
    def __init__(self, size):
        self.left = size
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return b"line\\r\\n" * (size // 6)

async def main(port, size):
    async with smtp.session(f"smtp://127.0.0.1:{port}") as outgoing:
        await outgoing.send(Zeros(size), sender="a@x.org", recipients="b@x.org")

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


def _swallow(talk: object) -> None:
    office = Office()
    office(talk)  # type: ignore[arg-type]


def test_a_long_stream_costs_no_memory() -> None:
    with Script(_swallow, repeat=True, check=False) as peer:
        short = peak_memory(_SENDING, str(peer.port), "100000")
        long = peak_memory(_SENDING, str(peer.port), "40000000")
    assert long - short < 6_000_000
