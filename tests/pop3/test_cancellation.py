"""Cancelled anywhere, a session says no farewell, leaves no thread and no socket, and answers nothing more.

The leak check of every test (tests/leaks.py) is half of what these assert.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from asyncnet import ClosedError, Credentials, DisconnectedError, pop3
from asyncnet.pop3 import link
from tests.cancelling import cancelled_at_each_await
from tests.peers import MS, Authority, Script
from tests.pop3.talks import ALICE, CAPABLE, GREETED, LEFT, SIGNED_IN, unlocked, url

AT_ONCE = 1000 * MS

OPENINGS = {
    "greeting": ("pop3", "silence", 1),
    "half a greeting": ("pop3", "send +OK hal\nsilence", 1),
    "CAPA": ("pop3", GREETED + "C: CAPA\nsilence", b"CAPA"),
    "half of CAPA": ("pop3", GREETED + "C: CAPA\nS: +OK\nsend SAS\nsilence", b"CAPA"),
    "AUTH": ("pop3", GREETED + CAPABLE + "C: AUTH *\nsilence", b"AUTH"),
    "PASS": ("pop3", GREETED + "C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS *\nsilence", b"PASS"),
    "handshake": ("pop3s", "until \\x03\nsilence", b"\x03"),
    "STLS": ("pop3+starttls", GREETED + "C: CAPA\nS: -ERR\nC: STLS\nsilence", b"STLS"),
    "handshake after STLS": (
        "pop3+starttls",
        GREETED + "C: CAPA\nS: -ERR\nC: STLS\nS: +OK\nuntil \\x03\nsilence",
        b"\x03",
    ),
}

CALLS: dict[str, tuple[str, Callable[[pop3.Session], Awaitable[object]]]] = {
    "STAT": ("C: STAT", lambda maildrop: maildrop.stat()),
    "LIST": ("C: LIST\nS: +OK\nS: 1 1", lambda maildrop: maildrop.list()),
    "UIDL": ("C: UIDL", lambda maildrop: maildrop.uidl()),
    "RETR": ("C: RETR 1\nS: +OK\nS: half a message", lambda maildrop: maildrop.retrieve(1)),
    "DELE": ("C: DELE 1", lambda maildrop: maildrop.delete(1)),
    "QUIT": ("C: QUIT", lambda maildrop: maildrop.quit()),
    "leaving": ("C: QUIT", lambda maildrop: maildrop.aclose()),
}


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("asyncnet-pop3-")]


async def _cancelled(task: "asyncio.Task[object]") -> None:
    """Cancel, and see that it is over at once, the thread too."""
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < AT_ONCE
    assert _threads() == []


@pytest.mark.parametrize("where", OPENINGS)
async def test_opening_is_cancelled_without_a_farewell(where: str, authority: Authority) -> None:
    scheme, talk, reached = OPENINGS[where]
    async with Script(talk) as peer:
        maildrop = pop3.session(url(peer, scheme), ALICE, tls=authority.client())
        task = asyncio.create_task(maildrop.open())
        await peer.until(reached)
        await _cancelled(task)
        assert not maildrop.is_open
    assert b"QUIT" not in peer.received


async def test_waiting_for_a_token_is_cancelled() -> None:
    asked = asyncio.Event()

    async def never() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with Script(GREETED + "C: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\neof") as peer:
        task = asyncio.create_task(pop3.session(url(peer), Credentials("alice", never)).open())
        await asked.wait()
        await _cancelled(task)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_cancelled_without_a_farewell_and_closes_the_session(name: str) -> None:
    talk, call = CALLS[name]
    async with Script(GREETED + talk + "\nsilence") as peer:
        maildrop = await unlocked(peer).open()
        task = asyncio.create_task(call(maildrop))
        await peer.until(talk.partition("\n")[0][3:].encode() + b"\r\n")
        await _cancelled(task)
        assert not maildrop.is_open
        with pytest.raises(ClosedError):
            await maildrop.stat()
        await maildrop.aclose()
    assert peer.received.count(b"QUIT") == (1 if talk == "C: QUIT" else 0)


@pytest.mark.parametrize("scheme", ["pop3", "pop3s", "pop3+starttls"])
async def test_a_whole_session_is_cancelled_at_each_await(scheme: str, authority: Authority) -> None:
    async def work() -> None:
        assert _threads() == []  # of the run before
        async with pop3.session(url(peer, scheme), ALICE, tls=authority.client()) as maildrop:
            await maildrop.stat()
            await maildrop.delete(1)

    talk = SIGNED_IN + "C: STAT\nS: +OK 1 2\nC: DELE 1\nS: +OK" + LEFT
    if scheme == "pop3+starttls":
        talk = "C: CAPA\nS: -ERR\nC: STLS\nS: +OK\nstarttls" + talk
    server = {"tls": authority.server} if scheme == "pop3s" else {"starttls": authority.server}
    async with Script(GREETED + talk, repeat=True, check=False, **server) as peer:
        assert await cancelled_at_each_await(work) >= 8  # four of opening, two calls, two of leaving
        assert _threads() == []
    assert peer.lines[-1] == b"QUIT"


async def test_a_cancelled_retrieve_never_answers_a_later_command() -> None:
    talk = GREETED + "C: RETR 1\nS: +OK\nS: +OK 7 7\nwait more\nS: +OK 7 7\nS: .\nS: +OK 7 7"
    for _ in range(20):
        async with Script(talk, check=False) as peer, unlocked(peer) as maildrop:
            task = asyncio.create_task(maildrop.retrieve(1))
            await peer.until("more")
            task.cancel()
            waiting = asyncio.create_task(maildrop.stat())
            peer.release("more")
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(ClosedError):
                await waiting


async def test_a_caller_that_waits_its_turn_is_cancelled_alone() -> None:
    async with Script(GREETED + "C: NOOP\nwait answer\nS: +OK" + LEFT) as peer, unlocked(peer) as maildrop:
        first = asyncio.create_task(maildrop.noop())
        second = asyncio.create_task(maildrop.stat())
        await peer.until("answer")
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        peer.release("answer")
        await first
        assert maildrop.is_open


async def test_cancelled_again_while_it_settles_it_still_leaves_nothing() -> None:
    async with Script(GREETED + "C: NOOP\nsilence") as peer:
        maildrop = await unlocked(peer).open()
        task = asyncio.create_task(maildrop.noop())
        await peer.until(b"NOOP")
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_while_another_task_opens_ends_that_one() -> None:
    async with Script("silence") as peer:
        maildrop = unlocked(peer)
        task = asyncio.create_task(maildrop.open())
        await peer.until(1)
        await maildrop._spoil("the test")
        with pytest.raises((DisconnectedError, ClosedError)):  # in a call of its thread, or between two
            await task


async def test_a_call_that_had_not_begun_when_the_session_was_closed_says_so() -> None:
    async with Script(GREETED + "eof") as peer:
        maildrop = await unlocked(peer).open()
        worker, go_on = maildrop._link._worker, threading.Event()
        assert worker is not None
        worker.submit(go_on.wait)
        task = asyncio.create_task(maildrop.noop())
        await asyncio.sleep(0)
        maildrop._abort()
        go_on.set()
        with pytest.raises(ClosedError, match="closed meanwhile"):
            await task
        with pytest.raises(ClosedError, match="closed meanwhile"):
            await maildrop.noop()
        await maildrop._spoil("the test")


async def test_a_thread_that_does_not_end_does_not_hold_up_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_SETTLE_SECONDS", 10 * MS)
    go_on = threading.Event()
    async with Script(GREETED + "eof") as peer:
        maildrop = await unlocked(peer).open()
        task = asyncio.create_task(maildrop._run(go_on.wait))
        await asyncio.sleep(5 * MS)
        start = time.monotonic()
        await maildrop._spoil("the test")
        assert time.monotonic() - start < AT_ONCE
        go_on.set()
        await task


def test_a_loop_that_ends_in_the_middle_of_a_call_leaves_nothing() -> None:
    async def main() -> "asyncio.Task[object]":
        maildrop = await unlocked(peer).open()
        task: asyncio.Task[object] = asyncio.create_task(maildrop.retrieve(1))
        await peer.until(b"RETR")
        return task

    with Script(GREETED + "C: RETR 1\nS: +OK\nsilence") as peer:
        assert asyncio.run(main()).cancelled()
        assert _threads() == []
