"""What a broken, hostile or vanished server does to a session: a typed error at once, and nothing left behind."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import pytest

from asyncnet import (
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    NetError,
    ProtocolError,
    imap,
)
from tests.cancelling import cancelled_at_each_await
from tests.imap.talks import ALICE, GREETED, LEFT, OPEN, SELECTED, SIGNED_IN, known, url
from tests.peers import MS, Authority, ChunkProxy, CutProxy, Script

Call = Callable[[imap.Session], Awaitable[object]]

SOON = 2_000 * MS
"""Seconds for what is to be noticed at once; the deadline of these sessions is far beyond."""

NOOP = "C: {tag} NOOP\n"
FETCH = "C: {tag} UID FETCH 7 *\n"


async def failing(call: Call, talk: str, *, check: bool = False, **options: object) -> NetError:
    """The error that a call ends with at once, and the session with it."""
    async with Script(talk, check=check) as peer, known(peer, **options) as session:
        await session.select()
        start = time.monotonic()
        with pytest.raises(NetError) as raised:
            await call(session)
        assert time.monotonic() - start < SOON
        assert not session.is_open
        with pytest.raises(ClosedError):
            await session.noop()
    return raised.value


async def until(true: Callable[[], bool]) -> None:
    stop = time.monotonic() + 5 * SOON
    while not true():
        assert time.monotonic() < stop
        await asyncio.sleep(MS)


async def lost(session: imap.Session) -> None:
    await until(lambda: not session.is_open)


def noop(session: imap.Session) -> Awaitable[object]:
    return session.noop()


def fetch(session: imap.Session) -> Awaitable[object]:
    return session.fetch(7)


# The server leaves


ENDS = {
    "cut": "cut",
    "reset": "reset",
    "end of its half": "shut\nsilence",
    "close": "close",
    "half a line": "send * 1 EXI\ncut",
    "after a line": "S: * 4 EXISTS\ncut",
    "half a literal": "send * 1 FETCH (UID 7 BODY[] {100}\\r\\nabc\ncut",
    "before the tag": 'S: * 1 FETCH (UID 7 BODY[] "x")\ncut',
    "reset in a literal": "send * 1 FETCH (UID 7 BODY[] {100}\\r\\nabc\nreset",
    "bye": "S: * BYE \\x1b[0m autologout\nsilence",
    "bye and close": "S: * BYE [UNAVAILABLE] autologout\ncut",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_server_that_leaves_is_noticed_at_once(end: str) -> None:
    error = await failing(fetch, OPEN + FETCH + end)
    assert isinstance(error, DisconnectedError)
    assert error.transient
    assert error.operation in ("UID FETCH", "FETCH")
    assert error.endpoint
    if end.startswith("send"):
        assert isinstance(error, IncompleteRead) or "reset" in end
    assert "\x1b" not in str(error)


async def test_a_lost_literal_says_how_much_is_missing() -> None:
    error = await failing(fetch, OPEN + FETCH + ENDS["half a literal"])
    assert isinstance(error, IncompleteRead)
    assert error.expected == 97


@pytest.mark.parametrize("end", ["cut", "reset", "S: * BYE autologout\ncut", "S: * BYE autologout\nsilence"])
async def test_a_server_that_leaves_between_calls_is_told_by_the_next_one(end: str) -> None:
    async with Script(OPEN + "wait now\n" + end, check=False) as peer, known(peer) as session:
        await session.select()
        peer.release("now")
        await lost(session)
        with pytest.raises(DisconnectedError):
            await session.noop()
        with pytest.raises(ClosedError):
            await session.noop()


async def test_every_pending_call_ends_when_the_server_leaves() -> None:
    async with Script(OPEN + FETCH + "wait now\ncut", check=False) as peer, known(peer) as session:
        await session.select()
        calls = [asyncio.create_task(call(session)) for call in (fetch, noop, noop)]  # type: ignore[arg-type]
        await peer.until(b"FETCH")
        peer.release("now")
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(errors[0], DisconnectedError)
    assert all(isinstance(error, ClosedError) for error in errors[1:])


async def test_a_cut_at_every_byte_of_an_answer_is_a_disconnection() -> None:
    answer = b"* 1 FETCH (UID 7 FLAGS () BODY[] {3}\r\nabc)\r\n"
    for place in range(len(answer) + 1):
        sent = repr(answer[:place])[2:-1]
        error = await failing(fetch, OPEN + FETCH + f"send {sent}\ncut" if sent else OPEN + FETCH + "cut")
        assert isinstance(error, DisconnectedError)


# The server is silent or slow


@pytest.mark.parametrize("trickle", ["silence", "endless reply * 1 EXISTS", "drip 1 20\nendless reply * OK still here"])
async def test_the_deadline_ends_a_call_whatever_the_server_says_meanwhile(trickle: str) -> None:
    limits = imap.Limits(max_responses=10**9, max_response_bytes=10**12)
    async with Script(OPEN + NOOP + trickle, check=False) as peer, known(peer, limits=limits) as session:
        await session.select()
        start = time.monotonic()
        with pytest.raises(DeadlineError) as raised:
            await session.noop(timeout=100 * MS)
        assert 90 * MS < time.monotonic() - start < SOON
        assert raised.value.seconds == 100 * MS
        assert raised.value.operation == "NOOP"
        with pytest.raises(ClosedError):
            await session.noop()


@pytest.mark.parametrize(
    ("scheme", "talk", "phase"),
    [
        ("imap", "silence", "greeting"),
        ("imaps", "silence", "TLS handshake"),
        ("imap", "S: * OK\nsilence", "CAPABILITY"),
        ("imap", GREETED + "silence", "login"),
        ("imap+starttls", "S: * OK [CAPABILITY STARTTLS]\nC: {tag} STARTTLS\nsilence", "STARTTLS"),
        ("imap+starttls", "S: * OK [CAPABILITY STARTTLS]\nC: {tag} STARTTLS\nS: {tag} OK\nsilence", "TLS handshake"),
    ],
)
async def test_the_deadline_of_opening_names_its_phase(scheme: str, talk: str, phase: str) -> None:
    async with Script(talk, check=False) as peer:
        with pytest.raises(DeadlineError, match=rf"\(in {phase}\)"):
            await imap.session(url(peer, scheme), ALICE, timeout=50 * MS).open()


async def test_a_late_answer_harms_nobody() -> None:
    async with Script(OPEN + NOOP + "wait now\nS: {tag} OK", check=False) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(DeadlineError):
            await session.noop(timeout=20 * MS)
        peer.release("now")
        with pytest.raises(ClosedError):
            await session.noop()


async def test_a_second_call_waits_its_turn_within_its_own_deadline() -> None:
    talk = OPEN + NOOP + "wait now\nS: {tag} OK\n" + NOOP + "S: {tag} OK\n" + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        first = asyncio.create_task(session.noop(timeout=math.inf))
        await peer.until(b"NOOP")
        with pytest.raises(DeadlineError):
            await session.noop(timeout=20 * MS)
        third = asyncio.create_task(session.noop())
        await asyncio.sleep(0)
        peer.release("now")
        await asyncio.gather(first, third)
        assert session.is_open


# The server talks nonsense


NONSENSE = {
    "garbage": "garbage 3000\nsilence",
    "a bare LF": "send * 1 EXISTS\\n\nsilence",
    "an unknown tag": "S: XYZ1 OK done\nsilence",
    "no tag": "S: OK done\nsilence",
    "an HTTP reply": "S: HTTP/1.1 400 Bad Request\nsilence",
    "an unasked +": "S: + go ahead\nsilence",
    "a literal too short": "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abcdef)\nsilence",
    "a literal too long": "S: * 1 FETCH (UID 7 BODY[] {30}\nS: abc)\nS: {tag} OK done and more\nS: {tag} OK\nsilence",
    "parentheses": "S: * 1 FETCH ((UID 7)\nsilence",
    "a strange status": "S: {tag} MAYBE\nsilence",
    "a literal that counts backwards": "S: * 1 FETCH (UID 7 BODY[] {-3}\nsilence",
}


@pytest.mark.parametrize("talk", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_breaks_the_session(talk: str) -> None:
    error = await failing(fetch, OPEN + FETCH + talk)
    assert type(error) is ProtocolError
    assert not error.transient


async def test_a_second_answer_breaks_the_session() -> None:
    async with Script(OPEN + NOOP + "S: {tag} OK\nS: {tag} OK\nsilence", check=False) as peer, known(peer) as session:
        await session.select()
        await session.noop()  # this one was answered
        await lost(session)
        with pytest.raises(ProtocolError):
            await session.noop()


BEYOND = {
    "an endless line": ("endless line", imap.Limits(max_line_bytes=100_000)),
    "a line in a literal's place": ("endless line x{5}", imap.Limits(max_line_bytes=100_000)),
    "a big literal": ("S: * 1 FETCH (BODY[] {268435457}\nsilence", imap.Limits()),
    "a huge literal": ("S: * 1 FETCH (BODY[] {99999999999999999999}\nsilence", imap.Limits()),
    "many responses": ("endless reply * 1 EXISTS", imap.Limits(max_responses=10_000)),
    "many bytes": ("endless reply * OK and more", imap.Limits(max_response_bytes=1_000_000)),
    "deep": ("S: * 1 FETCH (((((((((\nsilence", imap.Limits(max_nesting=4)),
}


@pytest.mark.parametrize(("talk", "limits"), BEYOND.values(), ids=BEYOND)
async def test_what_is_too_much_breaks_the_session(talk: str, limits: imap.Limits) -> None:
    error = await failing(fetch, OPEN + FETCH + talk, limits=limits)
    assert isinstance(error, LimitError)
    assert error.limit


async def test_an_answer_before_its_command_breaks_the_session() -> None:
    talk = OPEN + "wait now\nS: A1 OK early\nsilence"
    async with Script(talk, check=False) as peer, known(peer) as session:
        await session.select()
        peer.release("now")
        await lost(session)
        with pytest.raises(ProtocolError):
            await session.noop()


@pytest.mark.parametrize("answer", ["OK done", "NO no", "BAD no"])
async def test_an_answer_before_all_of_a_command_was_written_breaks_the_session(answer: str) -> None:
    talk = OPEN + 'C: {tag} APPEND "INBOX" *\nread 100\nS: {tag} ' + answer + "\nsilence"
    error = await failing(lambda session: session.append(b"x" * 50_000_000), talk)
    assert isinstance(error, ProtocolError)


async def test_a_positive_answer_in_the_place_of_a_go_ahead_breaks_the_session() -> None:
    talk = OPEN.replace(" LITERAL+", "") + 'C: {tag} APPEND "INBOX" {5}\nS: {tag} OK done\nsilence'
    error = await failing(lambda session: session.append(b"12345"), talk)
    assert type(error) is ProtocolError


async def test_a_server_that_does_not_read_is_left_at_the_deadline() -> None:
    talk = OPEN + 'C: {tag} APPEND "INBOX" *\nwait never'
    async with Script(talk, check=False) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(DeadlineError):
            await session.append(b"x" * 50_000_000, timeout=100 * MS)


async def test_whatever_comes_between_calls_is_taken_calmly() -> None:
    talk = OPEN + "S: * 4 EXISTS\nS: * 1 FETCH (FLAGS (\\Seen))\nS: * OK still here\n" + NOOP + "S: {tag} OK\n" + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        await session.noop()
        assert session.selected
        assert session.selected.exists == 4


async def test_every_split_of_a_conversation_gives_the_same() -> None:
    talk = OPEN + FETCH + "S: * 1 FETCH (UID 7 BODY[] {5}\nsend a\\r\\nb\\n)\\r\\n\nS: {tag} OK done\n" + LEFT
    async with Script(talk, repeat=True) as peer:
        for size in (1, 2, 3, 7, 50):
            async with (
                ChunkProxy((peer.host, peer.port), size=size, rest=0) as proxy,
                imap.session(f"imap://{proxy.address}") as session,
            ):
                await session.select()
                assert (await session.fetch(7)).raw == b"a\r\nb\n"


# How a session ends


async def test_closing_says_goodbye_once() -> None:
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        await session.aclose()
        await session.aclose()
        assert not session.is_open
        with pytest.raises(ClosedError):
            await session.noop()
        with pytest.raises(ClosedError):
            await session.open()


@pytest.mark.parametrize(
    "farewell",
    ["silence", "cut", "reset", "S: * BYE\ncut", "S: {tag} NO never", "S: {tag} BAD\nsilence", "garbage 99\nsilence"],
)
async def test_a_goodbye_that_fails_is_no_error(farewell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.session.CLOSE_SECONDS", 50 * MS)
    async with Script(OPEN + "C: {tag} LOGOUT\n" + farewell, check=False) as peer:
        async with known(peer) as session:
            await session.select()


async def test_leaving_by_an_exception_says_nothing() -> None:
    async with Script(OPEN + "eof") as peer:
        with pytest.raises(ZeroDivisionError):
            async with known(peer) as session:
                await session.select()
                raise ZeroDivisionError
    assert b"LOGOUT" not in peer.received


# Cancellation

CALLS: dict[str, tuple[str, Call]] = {
    "LIST": ("C: {tag} LIST *\nS: * LIST () NIL x", lambda session: session.list()),
    "SELECT": (SELECTED.split("S:")[0], lambda session: session.select()),
    "SEARCH": ("C: {tag} UID SEARCH ALL\nsend * SEARCH 1", lambda session: session.search()),
    "SEARCH with a literal": ("C: {tag} UID SEARCH *", lambda session: session.search("BODY ü")),
    "FETCH": (FETCH + "S: * 1 FETCH (UID 7 BODY[] {9}\nsend abc", fetch),
    "APPEND": ("C: {tag} APPEND *\nread 100", lambda session: session.append(b"x" * 50_000_000)),
    "messages": ("C: {early} FETCH 1:3 *\nC: {tag} UID SEARCH ALL", lambda session: anext(session.messages())),
    "sizes": (
        "C: {early} FETCH 1:3 *\nC: {tag} UID SEARCH ALL\nS: {early} OK\nS: * SEARCH 1 2\nS: {tag} OK\n"
        "C: {tag} UID FETCH *",
        lambda session: anext(session.messages()),
    ),
    "leaving": ("C: {tag} LOGOUT", lambda session: session.aclose()),
}


@pytest.mark.parametrize(("talk", "call"), CALLS.values(), ids=CALLS)
async def test_a_cancelled_call_ends_at_once_and_closes_the_session(talk: str, call: Call) -> None:
    async with Script(OPEN + talk + "\nsilence", check=False) as peer, known(peer) as session:
        await session.select()
        sent = peer.received.count(b"\r\n")
        task = asyncio.ensure_future(call(session))
        await until(lambda: peer.received.count(b"\r\n") > sent)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - start < SOON
        with pytest.raises(ClosedError):
            await session.noop()


async def test_a_session_cancelled_at_each_of_its_awaits_leaves_nothing(authority: Authority) -> None:
    talk = (
        "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: {tag} STARTTLS\nS: {tag} OK\nstarttls\n"
        "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\nS: {tag} OK\n"
        + SIGNED_IN.replace(" LITERAL+", "")
        + SELECTED
        + 'C: {tag} APPEND "INBOX" {3}\nS: +\nexpect abc\\r\\n\nS: {tag} OK\n'
        + "C: {early} FETCH 1:3 *\nC: {tag} UID SEARCH ALL\nS: {early} OK\nS: * SEARCH 7\nS: {tag} OK\n"
        + "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 RFC822.SIZE 1)\nS: {tag} OK\n"
        + "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 BODY[] {1}\nS: x)\nS: {tag} OK\n"
        + LEFT
    )

    async def whole() -> None:
        async with imap.session(url(peer, "imap+starttls"), ALICE, tls=authority.client()) as session:
            await session.select()
            await session.append(b"abc")
            assert [message.raw async for message in session.messages()] == [b"x"]

    async with Script(talk, starttls=authority.server, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(whole) > 10
    for talk in peer.talks:  # a farewell is said where all was done before, and only there
        assert b"LOGOUT" not in talk.wire.received or b"BODY.PEEK" in talk.wire.received


async def test_closing_from_another_task_ends_the_call_that_waits() -> None:
    async with Script(OPEN + NOOP + "silence", check=False) as peer, known(peer) as session:
        await session.select()
        task = asyncio.create_task(session.noop())
        await peer.until(b"NOOP")
        session._abort()
        with pytest.raises(DisconnectedError):
            await task


async def test_a_connection_cut_anywhere_is_an_error_of_ours() -> None:
    talk = (
        GREETED + SIGNED_IN + SELECTED + FETCH + "S: * 1 FETCH (UID 7 BODY[] {5}\nS: a\\r\\nbc)\nS: {tag} OK\n" + LEFT
    )

    async def whole(address: str) -> bytes:
        async with imap.session(f"imap://{address}", ALICE) as session:
            await session.select()
            return (await session.fetch(7)).raw

    async with Script(talk) as peer:
        assert await whole(peer.address) == b"a\r\nbc"
    needed = peer.sent - len(b"* BYE logging out\r\nABCD3 OK done\r\n")
    async with Script(talk, repeat=True, check=False) as peer:
        for place in (*range(0, needed, 60), needed - 1):
            async with CutProxy((peer.host, peer.port), after=place) as proxy:
                with pytest.raises((ConnectError, DisconnectedError)):
                    await whole(proxy.address)
        async with CutProxy((peer.host, peer.port), after=needed) as proxy:
            assert await whole(proxy.address) == b"a\r\nbc"  # what was lost is the goodbye
