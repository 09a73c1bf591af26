"""Cancelled anywhere, a session says no farewell, leaves nothing, and answers nothing more.

The leak check of every test (tests/leaks.py) is half of what these assert.
"""

import asyncio
import time
from email.message import EmailMessage

import pytest

from asyncnet import ClosedError, Credentials, smtp
from tests.cancelling import cancelled_at_each_await
from tests.loops import on_both_loops
from tests.peers import MS, Authority, Script
from tests.smtp.talks import ALICE, ENVELOPE, GREETED, LEFT, NOTE, TAKEN, greeted, session, url
from tests.smtp.test_faults import CALLS, OPENINGS

AT_ONCE = 200 * MS

SIGNED_IN = greeted("AUTH PLAIN", "SIZE 1000000") + "C: AUTH *\nS: 235 ok\n"
UPGRADED = greeted("STARTTLS") + "C: STARTTLS\nS: 220 go\nstarttls\n"


async def _cancelled(task: "asyncio.Task[object]") -> None:
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < AT_ONCE


@pytest.mark.parametrize("step", OPENINGS)
async def test_opening_is_cancelled_at_once_at_each_step(step: str) -> None:
    scheme = "smtp+starttls" if "STARTTLS" in OPENINGS[step] else "smtp"
    async with Script(OPENINGS[step] + "wait never", check=False) as peer:
        outgoing = smtp.session(url(peer, scheme), ALICE)
        task = asyncio.create_task(outgoing.open())
        await peer.until("never")
        heard = peer.received
        await _cancelled(task)  # type: ignore[arg-type]
        assert not outgoing.is_open
        with pytest.raises(ClosedError):
            await outgoing.noop()
    assert peer.received == heard


@pytest.mark.parametrize("call", CALLS)
async def test_each_call_is_cancelled_at_once_and_closes_the_session(call: str) -> None:
    heard, make = CALLS[call]
    async with Script(greeted() + heard + "wait never") as peer:
        outgoing = await session(peer).open()
        task = asyncio.create_task(make(outgoing))  # type: ignore[arg-type,var-annotated]
        await peer.until("never")
        before = peer.received
        await _cancelled(task)
        assert not outgoing.is_open
        with pytest.raises(ClosedError):
            await outgoing.send(NOTE, **ENVELOPE)
    assert peer.received == before


async def test_a_message_that_is_cancelled_half_way_has_no_end() -> None:
    talk = greeted() + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go on\nread 1000\nwait never"
    async with Script(talk) as peer:
        outgoing = await session(peer).open()
        task = asyncio.create_task(outgoing.send(b"x" * 30_000_000, **ENVELOPE))
        await peer.until("never")
        await _cancelled(task)  # type: ignore[arg-type]
    assert b"\r\n.\r\n" not in peer.received
    assert b"QUIT" not in peer.received


async def test_a_call_that_waits_for_its_turn_is_cancelled_without_harm() -> None:
    async with Script(GREETED + "C: NOOP\nwait go\nS: 250 ok\n" + TAKEN + LEFT) as peer, session(peer) as outgoing:
        first = asyncio.create_task(outgoing.noop())
        await peer.until("go")
        second = asyncio.create_task(outgoing.noop())
        await asyncio.sleep(0)
        await _cancelled(second)  # type: ignore[arg-type]
        peer.release("go")
        await first
        await outgoing.send(NOTE, **ENVELOPE)


async def test_leaving_by_an_exception_says_no_farewell() -> None:
    async with Script(GREETED + "eof") as peer:
        with pytest.raises(ZeroDivisionError):
            async with session(peer):
                raise ZeroDivisionError


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "alice@example.org", "bob@example.net"
    message.set_content("Grüße")
    message.add_attachment(b"x" * 300_000, maintype="application", subtype="octet-stream")
    return message


async def test_cancelled_at_each_await_nothing_stays() -> None:
    async def whole() -> None:
        async with smtp.session(url(peer), ALICE) as outgoing:
            await outgoing.send(_mail(), recipients=["bob@example.net"])
            await outgoing.noop()

    talk = SIGNED_IN + TAKEN + "C: NOOP\nS: 250 ok\n" + LEFT
    async with Script(talk, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(whole) > 15


@on_both_loops
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_cancelled_at_each_await_under_tls_nothing_stays(authority: Authority, scheme: str) -> None:
    tls = authority.client()

    async def whole() -> None:
        await smtp.send(NOTE, url(peer, scheme), ALICE, tls=tls, **ENVELOPE)  # type: ignore[arg-type]

    opening = SIGNED_IN if scheme == "smtps" else UPGRADED + SIGNED_IN.partition("\n")[2]
    context = {"tls": authority.server} if scheme == "smtps" else {"starttls": authority.server}
    async with Script(opening + TAKEN + LEFT, repeat=True, check=False, **context) as peer:
        assert await cancelled_at_each_await(whole) > 8


async def test_a_token_that_is_not_coming_is_not_waited_for() -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    async with Script(greeted("AUTH XOAUTH2") + "eof") as peer:
        task = asyncio.create_task(smtp.session(url(peer), Credentials("alice", never)).open())
        await peer.until(b"EHLO")
        await asyncio.sleep(20 * MS)
        await _cancelled(task)  # type: ignore[arg-type]
