"""A server that is silent, leaves or speaks nonsense gives one error of the right kind, at once, and leaves nothing."""

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
    RefusedError,
    pop3,
)
from tests.memory import peak_memory
from tests.peers import MS, Authority, Script
from tests.pop3.talks import ALICE, CAPABLE, GREETED, LEFT, stuffed, unlocked, url

LONG = 10_000 * MS
"""More seconds than any of these may take: what is at once must not wait for it."""

CALLS: dict[str, tuple[str, Callable[[pop3.Session], Awaitable[object]]]] = {
    "STAT": ("C: STAT", lambda maildrop: maildrop.stat()),
    "LIST": ("C: LIST", lambda maildrop: maildrop.list()),
    "LIST 1": ("C: LIST 1", lambda maildrop: maildrop.list(1)),
    "UIDL": ("C: UIDL", lambda maildrop: maildrop.uidl()),
    "UIDL 1": ("C: UIDL 1", lambda maildrop: maildrop.uidl(1)),
    "RETR": ("C: RETR 1", lambda maildrop: maildrop.retrieve(1)),
    "TOP": ("C: TOP 1 5", lambda maildrop: maildrop.top(1, 5)),
    "DELE": ("C: DELE 1", lambda maildrop: maildrop.delete(1)),
    "RSET": ("C: RSET", lambda maildrop: maildrop.reset()),
    "NOOP": ("C: NOOP", lambda maildrop: maildrop.noop()),
    "CAPA": ("C: CAPA", lambda maildrop: maildrop.capabilities()),
}
LONG_REPLIES = ["LIST", "UIDL", "RETR", "TOP", "CAPA"]


async def _broken(peer: Script, name: str, kind: type[NetError], **options: object) -> NetError:
    """The error that ends the call of this name, and with it the session."""
    start = time.monotonic()
    async with peer, unlocked(peer, **options) as maildrop:
        with pytest.raises(kind) as caught:
            await CALLS[name][1](maildrop)
        assert caught.value.operation == name.partition(" ")[0]
        assert caught.value.endpoint == url(peer)
        with pytest.raises(ClosedError, match=r"ended by \w+|was cut short"):
            await maildrop.stat()
    assert time.monotonic() - start < LONG
    return caught.value


@pytest.mark.parametrize("name", CALLS)
async def test_silence_ends_with_the_deadline(name: str) -> None:
    error = await _broken(Script(f"{GREETED}{CALLS[name][0]}\nsilence"), name, DeadlineError, timeout=30 * MS)
    assert isinstance(error, TimeoutError)
    assert "not done within" in str(error)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("end", ["cut", "close", "reset", "send +OK hal\ncut", "S: -ERR\nS: +OK\nsend x\ncut"])
async def test_a_server_that_leaves_is_noticed_at_once(name: str, end: str) -> None:
    kind: type[NetError] = RefusedError if end.startswith("S: -ERR") else DisconnectedError
    peer = Script(f"{GREETED}{CALLS[name][0]}\n{end}")
    if kind is DisconnectedError:
        error = await _broken(peer, name, kind, timeout=LONG)
        assert error.transient
        return
    async with peer, unlocked(peer) as maildrop:  # the second reply breaks the next call
        with pytest.raises(RefusedError):
            await CALLS[name][1](maildrop)
        with pytest.raises((ProtocolError, DisconnectedError)):
            await CALLS[name][1](maildrop)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "reply",
    ["S: ", "S: OK", "S: * OK", r"send \xff\xfe\x00\r\n", r"send +OK fine\n", "S: +OKAY", "S: HTTP/1.1 400 Bad"],
)
async def test_nonsense_instead_of_a_status_breaks_the_session(name: str, reply: str) -> None:
    error = await _broken(Script(f"{GREETED}{CALLS[name][0]}\n{reply}"), name, ProtocolError, timeout=LONG)
    assert str(error).isprintable()
    assert not error.transient


@pytest.mark.parametrize("name", CALLS)
async def test_a_line_without_end_is_a_limit_error(name: str) -> None:
    peer = Script(f"{GREETED}{CALLS[name][0]}\nendless line +OK")
    error = await _broken(peer, name, LimitError, timeout=LONG, max_line_bytes=100_000)
    assert peer.sent < 8_000_000  # what was read, and what the sockets hold
    assert "a line of more than 100000 bytes" in str(error)


@pytest.mark.parametrize("name", LONG_REPLIES)
@pytest.mark.parametrize("flood", ["endless line x", "endless reply 1 1", "endless reply ."])
async def test_a_reply_without_end_is_a_limit_error(name: str, flood: str) -> None:
    flood = flood if not flood.endswith(" .") else r"endless line \r\n.."
    peer = Script(f"{GREETED}{CALLS[name][0]}\nS: +OK\n{flood}")
    await _broken(peer, name, LimitError, timeout=LONG, max_reply_bytes=200_000, max_message_bytes=200_000)
    assert peer.sent < 8_000_000


@pytest.mark.parametrize("name", LONG_REPLIES)
@pytest.mark.parametrize("end", ["cut", "close", "reset"])
async def test_half_a_long_reply_is_an_incomplete_read(name: str, end: str) -> None:
    talk = f"{GREETED}{CALLS[name][0]}\nS: +OK\nS: 1 1\nS: 2 2\nsend 3\npause 5\n{end}"
    error = await _broken(Script(talk), name, DisconnectedError, timeout=LONG)
    if end != "reset":
        assert isinstance(error, IncompleteRead)
        assert error.partial.startswith(b"1 1\r\n2 2")


async def test_a_flood_does_not_keep_the_deadline_from_firing() -> None:
    peer = Script(f"{GREETED}C: RETR 1\nS: +OK\nendless line x")
    await _broken(peer, "RETR", DeadlineError, timeout=100 * MS, max_message_bytes=1 << 40)


async def test_a_trickle_does_not_extend_the_deadline() -> None:
    peer = Script(f"{GREETED}C: RETR 1\nS: +OK\ndrip 1 5\nendless reply x", check=False)
    start = time.monotonic()
    await _broken(peer, "RETR", DeadlineError, timeout=60 * MS)
    assert time.monotonic() - start < 2000 * MS


@pytest.mark.parametrize("early", ["S: +OK", "S: -ERR", "garbage 10", "send +", "send x"])
async def test_a_reply_before_its_command_breaks_the_session_and_the_command_is_not_sent(early: str) -> None:
    async with Script(f"{GREETED}C: NOOP\nS: +OK\nwait early\n{early}\nwait stay", check=False) as peer:
        async with unlocked(peer) as maildrop:
            await maildrop.noop()
            peer.release("early")
            await peer.until("stay")
            with pytest.raises(ProtocolError, match="a reply before its command"):
                await maildrop.delete(1)
            assert not maildrop.is_open
        peer.release("stay")
    assert b"DELE" not in peer.received


async def test_a_server_that_says_goodbye_between_calls_is_quoted() -> None:
    talk = f"{GREETED}wait idle\nS: -ERR Disconnected for inactivity.\nshut\nwait gone"
    async with Script(talk, check=False) as peer, unlocked(peer) as maildrop:
        peer.release("idle")
        await peer.until("gone")
        with pytest.raises(DisconnectedError, match="Disconnected for inactivity"):
            await maildrop.stat()
        peer.release("gone")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("STAT", "S: +OK"),
        ("STAT", "S: +OK two 320"),
        ("STAT", "S: +OK 99999999999999999999 1"),
        ("LIST", "S: +OK\nS: 1 1\nS: x y\nS: ."),
        ("LIST", "S: +OK\nS: 1 1\nS: 1 1\nS: ."),
        ("LIST 1", "S: +OK 2 1"),
        ("UIDL", "S: +OK\nS: 1\nS: ."),
        ("UIDL", "S: +OK\nS: 1 a\nS: 1 b\nS: ."),
        ("UIDL 1", "S: +OK 2 a"),
    ],
)
async def test_an_answer_that_makes_no_sense_breaks_the_session(name: str, reply: str) -> None:
    await _broken(Script(f"{GREETED}{CALLS[name][0]}\n{reply}"), name, ProtocolError, timeout=LONG)


# Opening


@pytest.mark.parametrize(
    ("talk", "phase"),
    [
        ("silence", "greeting"),
        ("send +OK hal\nsilence", "greeting"),
        (GREETED + "C: CAPA\nsilence", "login"),
        (GREETED + CAPABLE + "C: AUTH *\nsilence", "login"),
        (GREETED + CAPABLE + "C: AUTH *\nS: + \nsilence", None),
    ],
)
async def test_silence_while_opening_names_the_phase(talk: str, phase: str | None) -> None:
    async with Script(talk) as peer:
        with pytest.raises(ProtocolError if phase is None else DeadlineError) as caught:
            await pop3.session(url(peer), ALICE, timeout=40 * MS).open()
        if phase:
            assert f"(in {phase})" in str(caught.value)
            assert caught.value.operation == "open"


@pytest.mark.parametrize(
    ("scheme", "talk", "phase"),
    [
        ("pop3s", "silence", "TLS handshake"),
        ("pop3+starttls", GREETED + "C: CAPA\nsilence", "STLS"),
        ("pop3+starttls", GREETED + "C: CAPA\nS: -ERR\nC: STLS\nsilence", "STLS"),
        ("pop3+starttls", GREETED + "C: CAPA\nS: -ERR\nC: STLS\nS: +OK\nsilence", "TLS handshake"),
    ],
)
async def test_silence_on_the_way_to_tls_names_the_phase(
    scheme: str, talk: str, phase: str, authority: Authority
) -> None:
    async with Script(talk) as peer:
        with pytest.raises(DeadlineError) as caught:
            await pop3.session(url(peer, scheme), ALICE, tls=authority.client(), timeout=40 * MS).open()
        assert f"(in {phase})" in str(caught.value)


@pytest.mark.parametrize(
    ("talk", "kind"),
    [
        ("cut", DisconnectedError),
        ("close", DisconnectedError),
        ("reset", ConnectionError),  # the connect may see it already
        ("send +OK hal\ncut", DisconnectedError),
        ("S: -ERR too many of you", RefusedError),
        ("S: -ERR [SYS/TEMP] later", RefusedError),
        ("S: 220 mail.example.org ESMTP", ProtocolError),
        ("S: * OK IMAP4rev1 ready", ProtocolError),
        ("garbage 5000\nS: ", ProtocolError),
        ("endless line x", LimitError),
        (GREETED + "C: CAPA\ncut", DisconnectedError),
        (GREETED + "C: CAPA\nS: +OK\nS: SASL PLAIN\ncut", IncompleteRead),
        (GREETED + "C: CAPA\nS: +OK\nendless reply SASL PLAIN", LimitError),
        (GREETED + "S: +OK again\nwait", ProtocolError),
    ],
)
async def test_what_goes_wrong_while_opening_is_one_error_and_leaves_nothing(talk: str, kind: type[NetError]) -> None:
    async with Script(talk, check=False) as peer:
        maildrop = pop3.session(url(peer), ALICE, timeout=LONG)
        with pytest.raises(kind) as caught:
            await maildrop.open()
        assert caught.value.endpoint == url(peer)
        assert caught.value.operation in ("open", "connect")
        assert not maildrop.is_open
        await maildrop.aclose()
    assert b"AUTH" not in peer.received


async def test_nobody_there_is_a_connect_error() -> None:
    async with Script() as peer:
        pass
    with pytest.raises(ConnectError) as caught:
        await pop3.session(url(peer)).open()
    assert caught.value.transient


async def test_without_a_thread_to_have_it_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    async with Script("eof") as peer:
        start = threading.Thread.start

        def none_left(thread: threading.Thread) -> None:
            if thread.name.startswith("asyncnet-pop3"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(ConnectError, match="can't start new thread"):
            await unlocked(peer).open()


# Deadlines of calls


async def test_a_call_may_have_its_own_deadline() -> None:
    talk = f"{GREETED}C: NOOP\npause 60\nS: +OK\nC: STAT\nsilence"
    async with Script(talk) as peer, unlocked(peer, timeout=30 * MS) as maildrop:
        await maildrop.noop(timeout=math.inf)
        with pytest.raises(DeadlineError) as caught:
            await maildrop.stat(timeout=5 * MS)
        assert caught.value.seconds == 5 * MS


async def test_waiting_for_ones_turn_counts_and_spoils_nothing() -> None:
    talk = f"{GREETED}C: NOOP\nwait answer\nS: +OK\nC: STAT\nS: +OK 0 0\nC: QUIT\nS: +OK"
    async with Script(talk) as peer, unlocked(peer) as maildrop:
        first = asyncio.create_task(maildrop.noop())
        await peer.until(b"NOOP")
        with pytest.raises(DeadlineError):
            await maildrop.stat(timeout=5 * MS)
        peer.release("answer")
        await first
        await maildrop.stat()


async def test_a_goodbye_that_is_not_answered_takes_two_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.session.CLOSE_SECONDS", 30 * MS)
    start = time.monotonic()
    async with Script(f"{GREETED}C: QUIT\nsilence") as peer, unlocked(peer):
        pass
    assert time.monotonic() - start < LONG / 5


async def test_a_quit_that_is_not_answered_with_deletions_is_a_deadline_error() -> None:
    async with Script(f"{GREETED}C: DELE 1\nS: +OK\nC: QUIT\nsilence") as peer:
        with pytest.raises(DeadlineError) as caught:
            async with unlocked(peer, timeout=40 * MS) as maildrop:
                await maildrop.delete(1)
        assert caught.value.operation == "QUIT"


# Memory, from outside

_FLOODED = """
import asyncio, sys
from asyncnet import NetError, pop3

async def main():
    async with pop3.session(sys.argv[1], timeout=20.0, max_message_bytes=4 * 1024 * 1024) as maildrop:
        try:
            await getattr(maildrop, sys.argv[2])(*map(int, sys.argv[3:]))
        except NetError as error:
            print(type(error).__name__)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("call", "method", "flood", "mebibytes"),
    [
        ("RETR 1", ["retrieve", "1"], "S: +OK\nendless line x", 10),  # the limit, and room to breathe
        ("RETR 1", ["retrieve", "1"], "endless line +OK", 5),
        ("RETR 1", ["retrieve", "1"], "S: +OK 99999999999999 octets\nendless line x", 2),
        ("LIST", ["list"], "S: +OK\nendless reply 1 1", 40),  # 16 MiB in pieces, and as one
    ],
)
def test_memory_stays_bounded_under_a_flood(call: str, method: list[str], flood: str, mebibytes: int) -> None:
    with Script(f"{GREETED}C: {call}\nS: -ERR no" + LEFT) as peer:
        without = peak_memory(_FLOODED, url(peer), *method)
    with Script(f"{GREETED}C: {call}\n{flood}", check=False) as peer:
        assert peak_memory(_FLOODED, url(peer), *method) - without < mebibytes * 1024 * 1024


def test_a_message_costs_no_more_than_twice_its_size() -> None:
    for body in (b"x" * 76 + b"\r\n", b"." * 76 + b"\r\n"):
        mail = stuffed(body * 50_000)
        with Script(f"{GREETED}C: RETR 1\nS: -ERR no" + LEFT) as peer:
            without = peak_memory(_FLOODED, url(peer), "retrieve", "1")
        with Script(f"{GREETED}C: RETR 1\nS: +OK\ndump mail" + LEFT, bodies={"mail": mail}) as peer:
            assert peak_memory(_FLOODED, url(peer), "retrieve", "1") - without < 2.2 * len(mail)
