"""At every command the server may fall silent, leave, or talk nonsense: one typed error at once, and nothing stays."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncnet import ClosedError, DeadlineError, DisconnectedError, LimitError, NetError, ProtocolError, smtp
from tests.peers import MS, ChunkProxy, Script
from tests.smtp.talks import (
    ALICE,
    AUTH_ALICE,
    ENVELOPE,
    LEFT,
    NOTE,
    RECIPIENT,
    SENDER,
    TAKEN,
    greeted,
    hello,
    session,
    stuffed,
    url,
)

MAIL = "C: MAIL *\nS: 250 ok\n"
RCPT = MAIL + "C: RCPT *\nS: 250 ok\n"
DATA = RCPT + "C: DATA\nS: 354 go on\n"

Call = Callable[[smtp.Session], Awaitable[object]]


async def _send(outgoing: smtp.Session) -> object:
    return await outgoing.send(NOTE, sender=SENDER, recipients=RECIPIENT)


CALLS: dict[str, tuple[str, Call]] = {
    "NOOP": ("C: NOOP\n", lambda outgoing: outgoing.noop()),
    "RSET": ("C: RSET\n", lambda outgoing: outgoing.reset()),
    "QUIT": ("C: QUIT\n", lambda outgoing: outgoing.quit()),
    "MAIL": ("C: MAIL *\n", _send),
    "RCPT": (MAIL + "C: RCPT *\n", _send),
    "DATA": (RCPT + "C: DATA\n", _send),
    "message": (DATA + "until \\r\\n.\\r\\n\n", _send),
}

FAULTS: dict[str, tuple[str, type[NetError]]] = {
    "silence": ("silence", DeadlineError),
    "cut": ("cut", DisconnectedError),
    "reset": ("reset", DisconnectedError),
    "shut": ("shut\nsilence", DisconnectedError),
    "cut in a reply": ("send 250-ha\ncut", DisconnectedError),
    "garbage": ("garbage 5000\nsilence", ProtocolError),
    "nonsense": ("S: +OK\nsilence", ProtocolError),
    "endless line": ("endless line", LimitError),
    "endless reply": ("endless reply 250-more", LimitError),
    "two codes": ("S: 250-one\nS: 550 other\nsilence", ProtocolError),
    "goodbye": ("S: 421 4.3.2 bye\nsilence", DisconnectedError),
    "drip": ("drip 1 2\nsend 250-" + "x" * 5000 + "\nsilence", DeadlineError),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
async def test_each_fault_at_each_command_is_one_error_and_closes_the_session(call: str, fault: str) -> None:
    (heard, make), (said, kind) = CALLS[call], FAULTS[fault]
    timeout = 200 * MS if kind is DeadlineError else 10_000 * MS
    async with Script(greeted() + heard + said) as peer:
        outgoing = session(peer)
        await outgoing.open()
        outgoing.timeout = timeout
        with pytest.raises(kind) as caught:
            await make(outgoing)
        assert type(caught.value) is kind
        assert url(peer) in str(caught.value)
        assert str(caught.value).isprintable()
        assert not outgoing.is_open
        assert outgoing._sock is not None
        assert outgoing._sock.fileno() < 0  # gone by now, and not a little later
        with pytest.raises(ClosedError):
            await outgoing.noop()
        await outgoing.aclose()


OPENINGS = {
    "greeting": "",
    "EHLO": "S: 220 hi\nC: EHLO *\n",
    "AUTH": greeted("AUTH PLAIN") + f"C: {AUTH_ALICE}\n",
    "STARTTLS": greeted("STARTTLS") + "C: STARTTLS\n",
    "handshake": greeted("STARTTLS") + "C: STARTTLS\nS: 220 go\nuntil \\x03\n",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", OPENINGS)
async def test_each_fault_at_each_step_of_opening_is_one_error(step: str, fault: str) -> None:
    said, kind = FAULTS[fault]
    scheme = "smtp+starttls" if "STARTTLS" in OPENINGS[step] else "smtp"
    timeout = 200 * MS if kind is DeadlineError else 10_000 * MS
    async with Script(OPENINGS[step] + said) as peer:
        outgoing = smtp.session(url(peer, scheme), ALICE, timeout=timeout)
        with pytest.raises(NetError) as caught:
            await outgoing.open()
        if step == "handshake" or (step, fault) == ("greeting", "reset"):
            # The words are none of SMTP's there; the reset may come before we have looked at the connection.
            assert isinstance(caught.value, (ConnectionError, DeadlineError))
        else:
            assert type(caught.value) is kind
        assert not outgoing.is_open


@pytest.mark.parametrize("early", ["250 ok\\r\\n", "2", "250-ok\\r\\n", "\\r\\n", "garbage\\r\\n"])
async def test_what_comes_before_its_command_breaks_the_protocol(early: str) -> None:
    async with Script(greeted() + f"C: NOOP\nsend 250 ok\\r\\n{early}\nsilence") as peer, session(peer) as outgoing:
        await outgoing.noop()
        with pytest.raises(ProtocolError, match=r"nothing had asked for|not a reply"):
            await outgoing.send(NOTE, **ENVELOPE)
        assert not outgoing.is_open
    assert b"MAIL" not in peer.received


async def test_what_comes_with_the_answer_to_ehlo_breaks_the_protocol() -> None:
    async with Script(greeted("AUTH PLAIN") + "S: 235 welcome\nsilence") as peer:
        with pytest.raises(ProtocolError, match="nothing had asked for: 235 welcome"):
            await smtp.session(url(peer), ALICE).open()
    assert b"AUTH" not in peer.received


async def test_what_comes_with_the_greeting_breaks_the_protocol() -> None:
    async with Script("S: 220 hi\nS: 250 hi\nsilence") as peer:
        with pytest.raises(ProtocolError, match="nothing had asked for: 250 hi"):
            await session(peer).open()


async def test_a_flood_is_not_taken() -> None:
    async with Script(greeted() + "C: NOOP\nendless line") as peer, session(peer) as outgoing:
        with pytest.raises(LimitError):
            await outgoing.noop()
        await asyncio.sleep(20 * MS)
        sent = peer.sent
        await asyncio.sleep(20 * MS)
        assert peer.sent == sent < 20_000_000


async def test_noise_does_not_extend_the_deadline() -> None:
    talk = greeted() + "C: NOOP\ndrip 4 1\nsend " + "250-\\r\\n" * 400 + "\nsilence"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(DeadlineError):
            await outgoing.noop(timeout=100 * MS)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_however_the_stream_is_cut_all_is_the_same(size: int) -> None:
    talk = greeted("SIZE 1000", "8BITMIME", "AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: 235-2.7.0\nS: 235 welcome\n"
    async with Script(talk + TAKEN + LEFT) as peer, ChunkProxy(("127.0.0.1", peer.port), size=size) as proxy:
        async with smtp.session(f"smtp://{proxy.address}", ALICE) as outgoing:
            assert outgoing.extensions == {"SIZE": "1000", "8BITMIME": "", "AUTH": "PLAIN"}
            receipt = await outgoing.send(b"a\n.b\n.\r", **ENVELOPE)
        assert receipt.text == "2.0.0 Ok: queued as 4711"
    assert stuffed(b"a\n.b\n.\r") in peer.received


async def test_a_bye_during_ehlo_after_tls_is_heard_under_tls(authority: object) -> None:
    talk = greeted("STARTTLS") + "C: STARTTLS\nS: 220 go\nstarttls\n" + hello("X").replace("250", "421")
    async with Script(talk, starttls=authority.server) as peer:  # type: ignore[attr-defined]
        with pytest.raises(DisconnectedError, match="421"):
            await smtp.session(url(peer, "smtp+starttls"), tls=authority.client()).open()  # type: ignore[attr-defined]
