"""A call may be cancelled at any await: it ends at once, and leaves no socket, no task and no thread."""

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from asyncnet import http
from asyncnet.errors import DeadlineError, DisconnectedError
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.http.site import BIG, Site, until
from tests.leaks import open_sockets
from tests.loops import on_both_loops
from tests.peers import Authority, Script

ASK = r"until \r\n\r\n"


async def streamed(session: http.Session) -> None:
    async with session.stream("GET", "/coded/gzip") as response:
        async for _ in response:
            pass


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BIG), 300_000):
        await asyncio.sleep(0)
        yield BIG[start : start + 300_000]


OF_THE_SERVER = ("web_protocol", "_accept_connection2")
"""Its tasks run on the same loop, and end when they see the client gone."""

CALLS: dict[str, Callable[[http.Session], Awaitable[Any]]] = {
    "get": lambda session: session.get("/hello"),
    "big": lambda session: session.get("/big?chunked"),
    "redirects": lambda session: session.get("/hops/3"),
    "first bytes": lambda session: session.get("/big", first_bytes=5),
    "post": lambda session: session.post("/echo", body=b"x" * 1000),
    "file": lambda session: session.put("/echo", body=io.BytesIO(BIG)),
    "stream up": lambda session: session.post("/echo", body=pieces()),
    "parts": lambda session: session.post("/echo", parts={"file": ("f", io.BytesIO(BIG)), "more": pieces()}),
    "stream down": streamed,
}


async def _run(call: Callable[[http.Session], Awaitable[Any]], session: http.Session) -> None:
    await call(session)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@on_both_loops
async def test_a_call_can_be_cancelled_at_each_await(authority: Authority, call: str, secure: bool) -> None:
    async with Site(authority.server if secure else None) as site:
        tls = authority.client()

        async def once() -> None:
            before = asyncio.all_tasks()
            try:
                async with http.session(site.url, tls=tls) as session:
                    await CALLS[call](session)
            finally:
                left = [repr(task) for task in asyncio.all_tasks() - before]
                assert [task for task in left if not any(name in task for name in OF_THE_SERVER)] == []

        assert await cancelled_at_each_await(once) > 3


@pytest.mark.parametrize("call", CALLS)
async def test_a_session_survives_the_cancellation_of_its_calls(site: Site, call: str) -> None:
    async with http.session(site.url) as session:
        assert await cancelled_at_each_await(lambda: _run(CALLS[call], session)) > 1
        assert not session._connector.closing  # type: ignore[union-attr]
        assert (await session.get("/hello")).text() == "GET /hello"
        assert len(session._connector._acquired) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("conversation", ["silence", f"{ASK}\nS: HTTP/1.1 200 OK\nS: Content-Length: 9\nS:\nsilence"])
@pytest.mark.parametrize("end", ["cancel", "deadline"])
async def test_when_a_call_has_ended_its_socket_is_gone(conversation: str, end: str) -> None:
    async with Script(conversation, check=False) as peer, http.session(f"http://{peer.address}/") as session:
        call = asyncio.create_task(session.get("/", timeout=30 * MS if end == "deadline" else None))
        await peer.until(1)
        await until(lambda: session._connector and session._connector._up)
        during = open_sockets()
        if end == "cancel":
            await asyncio.sleep(5 * MS)
            call.cancel()
        with pytest.raises(asyncio.CancelledError if end == "cancel" else DeadlineError):
            await call
        assert len(during - open_sockets()) >= 1
        assert not session._connector._up  # type: ignore[union-attr]


async def test_an_upload_that_nobody_takes_is_given_up_with_its_connection() -> None:
    ended = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ended.append(True)

    async with Script("wait never", check=False) as peer, http.session(f"http://{peer.address}/") as session:
        with pytest.raises(DeadlineError):
            await session.post("/", body=endless(), timeout=50 * MS)
        assert ended == [True]
        assert not session._connector._up  # type: ignore[union-attr]
        before = asyncio.all_tasks()
        assert before == {asyncio.current_task()}


async def test_a_source_that_waits_is_woken_and_ended() -> None:
    ended = []

    async def stuck() -> AsyncIterator[bytes]:
        try:
            yield b"begin"
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async with Script("silence", check=False) as peer, http.session() as session:
        call = asyncio.create_task(session.post(f"http://{peer.address}/", body=stuck()))
        await peer.until(b"begin")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert ended == [True]


async def test_what_the_callers_source_raises_comes_out_as_it_is() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"begin"
        raise OSError("the caller's own")

    async with Script("silence", check=False) as peer:
        with pytest.raises(OSError, match="the caller's own") as caught:
            await http.post(f"http://{peer.address}/", body=failing())
        assert not isinstance(caught.value, DisconnectedError)


async def test_an_early_refusal_of_an_upload_is_an_answer() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)

    refusal = f"{ASK}\nS: HTTP/1.1 413 Too Large\nS: Content-Length: 2\nS: Connection: close\nS:\nsend no\nsilence"
    async with Script(refusal, check=False) as peer, http.session(f"http://{peer.address}/") as session:
        response = await session.post("/", body=endless())
        assert (response.status, response.body) == (413, b"no")
        assert not session._connector._up  # type: ignore[union-attr]


async def test_a_thousand_cancelled_calls_leave_nothing(site: Site) -> None:
    async with http.session(site.url, max_connections=20) as session:
        for _ in range(20):
            calls = [asyncio.create_task(session.get("/slow")) for _ in range(50)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert not session._connector._up  # type: ignore[union-attr]
        assert (await session.get("/hello")).ok


async def test_a_connection_lost_at_the_very_end_of_an_upload_is_one_error() -> None:
    async with Script("until x\nreset", check=False) as peer, http.session() as session:

        async def lasting() -> AsyncIterator[bytes]:
            # It ends when the transport knows of the loss and the caller does not yet: the writing fails unseen.
            yield b"x"
            (wire,) = session._connector._up  # type: ignore[union-attr]
            await until(lambda: wire.transport is None or wire.transport.is_closing())

        with pytest.raises(DisconnectedError):
            await session.post(f"http://{peer.address}/", body=lasting())
    gc.collect()  # an exception that nobody retrieved is logged now, and fails this test
