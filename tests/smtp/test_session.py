"""A session greets, speaks one command at a time, and says goodbye."""

import asyncio
import math

import pytest

from asyncnet import (
    ClosedError,
    Credentials,
    DeadlineError,
    DisconnectedError,
    ProtocolError,
    RefusedError,
    UsageError,
    smtp,
)
from tests.peers import MS, Script
from tests.smtp.talks import ENVELOPE, GREETED, LEFT, NOTE, TAKEN, greeted, session, url


async def test_it_greets_and_takes_its_leave() -> None:
    async with Script(GREETED + LEFT) as peer:
        async with session(peer) as outgoing:
            assert outgoing.is_open
            assert outgoing.extensions == {"SIZE": "10000", "8BITMIME": ""}
        assert not outgoing.is_open
        assert outgoing.extensions == {}


async def test_it_greets_with_its_address_in_either_family() -> None:
    async with Script("S: 220 hi\nC: EHLO [IPv6:::1]\nS: 250 hello\n" + LEFT, host="::1") as peer, session(peer):
        pass


async def test_the_name_of_the_server_and_the_case_of_its_extensions_do_not_matter() -> None:
    offered = greeted("size 5", "AUTH=LOGIN", "X-odd a  b", "STARTTLS")
    async with Script(offered + LEFT) as peer, session(peer) as outgoing:
        assert outgoing.extensions == {"SIZE": "5", "AUTH": "LOGIN", "X-ODD": "a  b", "STARTTLS": ""}


async def test_a_server_of_old_is_greeted_with_helo() -> None:
    talk = """
        S: 220-a long
        S: 220 greeting
        C: EHLO *
        S: 502 5.5.1 what is that?
        C: HELO [127.0.0.1]
        S: 250 hello
        C: MAIL FROM:<alice@example.org>
        S: 250 ok
        C: RCPT TO:<bob@example.net>
        S: 250 ok
        C: DATA
        S: 354 go on
        until \\r\\n.\\r\\n
        S: 250 ok
    """
    async with Script(talk + LEFT) as peer, session(peer) as outgoing:
        assert outgoing.extensions == {}
        assert (await outgoing.send(NOTE, **ENVELOPE)).accepted == ("bob@example.net",)


@pytest.mark.parametrize(
    ("talk", "error", "transient"),
    [
        ("S: 554 5.3.2 no service here", RefusedError, False),
        ("S: 450 4.3.2 not now", RefusedError, True),
        ("S: 421 4.7.0 too many", DisconnectedError, True),
        ("S: 250 ok", ProtocolError, False),
        ("S: 220 hi\nC: EHLO *\nS: 450 not now", RefusedError, True),
        ("S: 220 hi\nC: EHLO *\nS: 421 not now", DisconnectedError, True),
        ("S: 220 hi\nC: EHLO *\nS: 354 go on", ProtocolError, False),
        ("S: 220 hi\nC: EHLO *\nS: 500 no\nC: HELO *\nS: 550 no", RefusedError, False),
        ("S: 220 hi\nC: EHLO *\nS: 500 no\nC: HELO *\nS: 421 no", DisconnectedError, True),
    ],
)
async def test_a_server_that_does_not_want_us_is_left(talk: str, error: type[Exception], transient: bool) -> None:
    async with Script(talk) as peer:
        outgoing = session(peer)
        with pytest.raises(error) as caught:
            await outgoing.open()
        assert caught.value.transient is transient  # type: ignore[attr-defined]
        assert url(peer) in str(caught.value)
        assert not outgoing.is_open


async def test_noop_and_reset_are_what_they_say() -> None:
    talk = GREETED + "C: NOOP\nS: 250 2.0.0 Ok\nC: RSET\nS: 250 2.0.0 Ok\n" + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        await outgoing.noop()
        await outgoing.reset()


@pytest.mark.parametrize("command", ["NOOP", "RSET"])
async def test_a_refusal_leaves_the_session_usable(command: str) -> None:
    talk = GREETED + f"C: {command}\nS: 502 5.5.1 no\nC: {command}\nS: 454 4.0.0 not now\n" + TAKEN + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        call = outgoing.noop if command == "NOOP" else outgoing.reset
        for code, transient in [(502, False), (454, True)]:
            with pytest.raises(RefusedError) as caught:
                await call()
            assert (caught.value.code, caught.value.transient) == (code, transient)
        await outgoing.send(NOTE, **ENVELOPE)


@pytest.mark.parametrize("command", ["NOOP", "RSET"])
async def test_a_reply_without_meaning_closes_the_session(command: str) -> None:
    async with Script(GREETED + f"C: {command}\nS: 354 go on\n") as peer, session(peer) as outgoing:
        with pytest.raises(ProtocolError, match="354 go on"):
            await (outgoing.noop if command == "NOOP" else outgoing.reset)()
        assert not outgoing.is_open
        with pytest.raises(ClosedError):
            await outgoing.noop()


async def test_quit_says_goodbye_and_closes() -> None:
    async with Script(GREETED + LEFT) as peer:
        outgoing = await session(peer).open()
        await outgoing.quit()
        assert not outgoing.is_open
        await outgoing.aclose()
        with pytest.raises(ClosedError, match="quit"):
            await outgoing.noop()
        with pytest.raises(ClosedError):
            await outgoing.quit()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("S: 500 no", RefusedError),
        ("S: 250 ok", ProtocolError),
        ("S: 421 bye", DisconnectedError),
        ("cut", DisconnectedError),
    ],
)
async def test_a_goodbye_that_fails_closes_too_and_only_quit_says_so(answer: str, error: type[Exception]) -> None:
    async with Script(GREETED + "C: QUIT\n" + answer, GREETED + "C: QUIT\n" + answer) as peer:
        outgoing = await session(peer).open()
        with pytest.raises(error):
            await outgoing.quit()
        assert not outgoing.is_open
        async with session(peer) as outgoing:
            pass


async def test_a_session_that_was_not_opened_is_used_by_nobody() -> None:
    async with Script(GREETED + LEFT) as peer:
        outgoing = session(peer)
        for call in (outgoing.noop, outgoing.quit):
            with pytest.raises(ClosedError, match="not open"):
                await call()
        with pytest.raises(ClosedError, match="not open"):
            await outgoing.send(NOTE, **ENVELOPE)
        async with outgoing:
            pass


async def test_a_server_that_hangs_up_in_between_is_noticed_without_a_call() -> None:
    async with Script(GREETED + "wait go\ncut") as peer, session(peer) as outgoing:
        peer.release("go")
        while outgoing.is_open:
            await _turn()
        with pytest.raises(DisconnectedError, match=r"NOOP .*the server hung up"):
            await outgoing.noop()
        with pytest.raises(ClosedError):
            await outgoing.noop()


async def test_a_goodbye_in_between_is_repeated_to_whoever_calls_next() -> None:
    async with Script(GREETED + "wait go\nS: 421 4.4.2 idle for too long\n") as peer, session(peer) as outgoing:
        peer.release("go")
        while outgoing.is_open:
            await _turn()
        with pytest.raises(DisconnectedError, match=r"421 4.4.2 idle for too long") as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert caught.value.transient


async def test_calls_take_turns() -> None:
    talk = GREETED + "C: NOOP\npause 20\nS: 250 first\n" + TAKEN + "C: NOOP\nS: 250 third\n" + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        await asyncio.gather(outgoing.noop(), outgoing.send(NOTE, **ENVELOPE), outgoing.noop())


async def test_a_call_has_a_timeout_of_its_own() -> None:
    talk = GREETED + "C: NOOP\npause 30\nS: 250 ok\nC: NOOP\nsilence"
    async with Script(talk) as peer, session(peer, timeout=10_000 * MS) as outgoing:
        await outgoing.noop(timeout=math.inf)
        with pytest.raises(DeadlineError, match="NOOP") as caught:
            await outgoing.noop(timeout=20 * MS)
        assert caught.value.seconds == 20 * MS
        assert not outgoing.is_open


async def test_the_timeout_of_the_session_bounds_its_opening() -> None:
    async with Script("silence") as peer:
        with pytest.raises(DeadlineError, match="in greeting"):
            await session(peer, timeout=20 * MS).open()


def test_another_protocol_and_a_contradiction_are_faults_of_the_call() -> None:
    with pytest.raises(UsageError, match="not an endpoint of smtp"):
        smtp.session("imap://example.org")
    with pytest.raises(UsageError, match="no credentials"):
        smtp.session("smtps://alice@example.org")
    with pytest.raises(UsageError, match=r"plaintext; use smtps://, smtp\+starttls://"):
        smtp.session("smtp://example.org", Credentials("alice", "secret"))


async def _turn() -> None:
    await asyncio.sleep(MS)
