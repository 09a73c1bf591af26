"""One request and its answer: what goes over the wire, and what becomes of the connection."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from asyncnet import http
from asyncnet.errors import DisconnectedError, UsageError
from tests.http.site import BIG, Site
from tests.loops import on_both_loops
from tests.peers import Script

ASK = r"until \r\n\r\n"
HELLO = "S: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend hello"


async def words() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(0)
    yield b""
    yield b"twenty and more"


async def test_a_body_of_unknown_length_is_sent_in_chunks_word_for_word() -> None:
    end = r"until 0\r\n\r\n"
    async with Script(f"{end}\n{HELLO}") as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.put("/", body=words())).text() == "hello"
    head, _, body = peer.received.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"3\r\none\r\nf\r\ntwenty and more\r\n0\r\n\r\n"


async def test_a_file_is_sent_with_its_length() -> None:
    async with Script(f"until last\n{HELLO}") as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.put("/", body=io.BytesIO(b"x" * 600_000 + b"last"))).text() == "hello"
    head, _, body = peer.received.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 600004" in head
    assert b"Transfer-Encoding" not in head
    assert body == b"x" * 600_000 + b"last"


@on_both_loops
async def test_after_a_whole_exchange_the_connection_is_used_again() -> None:
    async with Site() as site, http.session(site.url) as session:
        for body in (b"", b"abc", BIG, io.BytesIO(BIG), words()):
            assert (await session.post("/echo", body=body)).status == 200
        assert (await session.get("/hello")).text() == "GET /hello"
        assert len(site.connections) == 1


async def test_an_answer_before_the_end_of_the_request_costs_the_connection() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)

    # It keeps the connection, and reads on; but who knows what it would take for the next request?
    async with (
        Script(f"{ASK}\n{HELLO}\nsilence", check=False) as peer,
        http.session(f"http://{peer.address}/") as session,
    ):
        assert (await session.post("/", body=endless())).text() == "hello"
        assert not session._connector._up  # type: ignore[union-attr]


async def test_an_answer_while_much_of_the_request_is_unsent_costs_the_connection() -> None:
    over = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")  # and no more than fits into its buffer
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await over.wait()
        writer.transport.abort()

    async with await asyncio.start_server(early, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with http.session(f"http://{host}:{port}/") as session:
            parts = [("a", bytes(200_000)) for _ in range(100)]
            assert (await session.post("/", parts=parts)).text() == "hello"
            assert not session._connector._up  # type: ignore[union-attr]
        over.set()


async def test_cookies_go_along_with_the_callers_own() -> None:
    answer = f'{ASK}\nS: HTTP/1.1 200 OK\nS: Set-Cookie: a=1\nS: Set-Cookie: b="2 3"\nS: Content-Length: 0\nS:'
    conversation = f"{answer}\n{ASK}\n{HELLO}"
    async with Script(conversation) as peer, http.session(f"http://{peer.address}/") as session:
        await session.get("/")
        await session.get("/", headers={"Cookie": "c=x; a=0"})
    first, second, _ = peer.received.split(b"\r\n\r\n")
    assert b"Cookie" not in first
    assert second.endswith(b'\r\nCookie: c=x; a=1; b="2 3"')


async def test_what_comes_before_an_answer_is_passed_over() -> None:
    conversation = f"until abc\nS: HTTP/1.1 100 Continue\nS:\nS: HTTP/1.1 103 Early Hints\nS: Link: </x>\nS:\n{HELLO}"
    async with Script(conversation) as peer, http.session(f"http://{peer.address}/") as session:
        response = await session.post("/", body=b"abc")
        assert (response.status, response.text(), "Link" in response.headers) == (200, "hello", False)


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_server_that_goes_in_the_middle_of_an_upload_is_an_error_at_once(end: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    async with Script(f"{ASK}\n{end}", check=False) as peer, http.session(f"http://{peer.address}/") as session:
        with pytest.raises(DisconnectedError):
            await session.post("/", body=endless(), timeout=30.0)
        assert not session._connector._up  # type: ignore[union-attr]


async def test_a_stream_that_is_left_early_is_aborted(site: Site) -> None:
    async with http.session(site.url) as session:
        async with session.stream("GET", "/big") as response:
            assert await anext(response)
        assert not session._connector._acquired  # type: ignore[union-attr]
        assert (await session.get("/hello")).status == 200
    assert len(site.connections) == 2


async def test_a_source_that_is_cancelled_by_itself_ends_the_call_at_once() -> None:
    async def gives_up() -> AsyncIterator[bytes]:
        yield b"x"
        raise asyncio.CancelledError

    async with Script(f"{ASK}\nsilence", check=False) as peer, http.session(f"http://{peer.address}/") as session:
        with pytest.raises(UsageError, match="cancelled") as caught:
            await session.post("/", body=gives_up(), timeout=3.0)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert not session._connector._up  # type: ignore[union-attr]


async def test_a_source_that_never_waits_leaves_others_their_turns() -> None:
    turns, seen = 0, []

    async def in_one_go() -> AsyncIterator[bytes]:
        for _ in range(1000):
            seen.append(turns)
            yield b"x"

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with (
        Script(r"until 0\r\n\r\n" + f"\n{HELLO}") as peer,
        http.session(f"http://{peer.address}/") as session,
    ):
        counting = asyncio.create_task(others())
        assert (await session.post("/", body=in_one_go())).text() == "hello"
        counting.cancel()
    assert seen[-1] - seen[0] >= 20


async def test_a_file_that_gives_more_than_its_length_is_not_sent_on() -> None:
    class Generous(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) + b"GET /evil HTTP/1.1\r\n\r\n"

    async with Script(f"{ASK}\nsilence", check=False) as peer, http.session(f"http://{peer.address}/") as session:
        with pytest.raises(UsageError, match="the file gave 25 bytes where 3 were asked for"):
            await session.post("/", body=Generous(b"abc"), timeout=3.0)
    assert b"evil" not in peer.received


@pytest.mark.parametrize("value", ["close", "X-Hop, Close"])
async def test_who_says_that_he_closes_sends_nothing_more_on_that_connection(value: str) -> None:
    # The server has not heard it, and keeps its end open.
    async with (
        Script(f"{ASK}\n{HELLO}\nsilence", check=False) as peer,
        http.session(f"http://{peer.address}/") as session,
    ):
        assert (await session.get("/", headers={"Connection": value})).text() == "hello"
        assert not session._connector._up  # type: ignore[union-attr]
