"""IDLE ends when there is news, when the time is over, and when another call comes."""

import asyncio

import pytest

from asyncnet import DeadlineError, DisconnectedError, ProtocolError, RefusedError, imap
from tests.imap.talks import LEFT, OPEN, known
from tests.peers import MS, Script

IDLE_OPEN = OPEN.replace("IMAP4rev1", "IMAP4rev1 IDLE", 1)
BEGUN = "C: {tag} IDLE\nS: + idling\n"
DONE = "C: DONE\nS: {tag} OK done\n"


async def test_news_end_it_and_are_told() -> None:
    talk = IDLE_OPEN + BEGUN + "S: * OK still here\nS: * 4 EXISTS\nS: * 2 FETCH (FLAGS (\\Seen))\n" + DONE + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        news = await session.idle(60.0)
        assert session.selected
        assert session.selected.exists == 4
    assert news == [imap.Exists(4), imap.Fetched(2, flags=frozenset({r"\Seen"}))]


async def test_it_ends_with_its_time() -> None:
    async with Script(IDLE_OPEN + BEGUN + DONE + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.idle(5 * MS) == []


async def test_a_call_that_comes_meanwhile_sends_done_first() -> None:
    talk = IDLE_OPEN + BEGUN + DONE + "C: {tag} NOOP\nS: * 1 EXPUNGE\nS: {tag} OK\n" + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        async with asyncio.TaskGroup() as group:
            idling = group.create_task(session.idle(60.0))
            await peer.until(b"IDLE\r\n")
            await session.noop()
            assert session.selected
            assert session.selected.exists == 2
        assert idling.result() == []


async def test_closing_the_session_ends_it() -> None:
    async with Script(IDLE_OPEN + BEGUN + DONE + LEFT) as peer, known(peer) as session:
        await session.select()
        async with asyncio.TaskGroup() as group:
            group.create_task(session.idle(60.0))
            await peer.until(b"IDLE\r\n")
            await session.aclose()
    assert not session.is_open


async def test_a_server_without_idle_is_told_of() -> None:
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="IDLE"):
            await session.idle()
        assert session.is_open


async def test_a_refused_idle_leaves_the_session_open() -> None:
    async with Script(IDLE_OPEN + "C: {tag} IDLE\nS: {tag} NO not now\n" + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="not now"):
            await session.idle()
        assert session.is_open


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ("S: * BYE idle for too long", DisconnectedError),
        ("cut", DisconnectedError),
        ("reset", DisconnectedError),
        ("S: {tag} OK before DONE", ProtocolError),
        ("S: + again", ProtocolError),
        ("garbage 100\nS: x", ProtocolError),
    ],
)
async def test_a_lost_connection_ends_it_at_once(ends: str, kind: type[Exception]) -> None:
    async with Script(IDLE_OPEN + BEGUN + ends, check=False) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(kind):
            await session.idle(60.0)
        assert not session.is_open


@pytest.mark.parametrize("says", ["C: {tag} IDLE\nsilence", BEGUN + "C: DONE\nsilence"])
async def test_silence_ends_by_the_deadline(says: str) -> None:
    async with Script(IDLE_OPEN + says) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(DeadlineError):
            await session.idle(20 * MS, timeout=50 * MS)
        assert not session.is_open


async def test_cancelled_it_says_nothing_more() -> None:
    async with Script(IDLE_OPEN + BEGUN + "eof") as peer, known(peer) as session:
        await session.select()
        idling = asyncio.create_task(session.idle(60.0))
        await peer.until(b"IDLE\r\n")
        idling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await idling
        assert not session.is_open
