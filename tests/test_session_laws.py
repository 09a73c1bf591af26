"""One law book for the sessions of the mail protocols; each law is kept by all three.

HTTP's session lends many connections at once, so it has laws of its own beside these: see the end of the file.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import asyncnet
from asyncnet import http, imap, pop3, smtp
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.peers import Script


@dataclass(frozen=True)
class Protocol:
    """How one protocol opens, is asked for nothing, and ends."""

    name: str
    session: Callable[..., Any]
    opened: str
    asked: str
    answered: str
    left: str

    def noop(self, times: int = 1) -> str:
        """So many commands, each answered."""
        return (self.asked + self.answered) * times

    def talk(self, middle: str = "", *, left: bool = True) -> str:
        """A whole conversation."""
        return self.opened + middle + (self.left if left else "")


PROTOCOLS = [
    Protocol("pop3", pop3.session, "S: +OK ready\n", "C: NOOP\n", "S: +OK\n", "C: QUIT\nS: +OK bye\n"),
    Protocol(
        "smtp",
        smtp.session,
        "S: 220 ready\nC: EHLO *\nS: 250 mail.example.org\n",
        "C: NOOP\n",
        "S: 250 Ok\n",
        "C: QUIT\nS: 221 bye\n",
    ),
    Protocol(
        "imap",
        imap.session,
        "S: * OK [CAPABILITY IMAP4rev1] ready\n",
        "C: {tag} NOOP\n",
        "S: {tag} OK done\n",
        "C: {tag} LOGOUT\nS: * BYE\nS: {tag} OK bye\n",
    ),
]


@pytest.fixture(params=PROTOCOLS, ids=lambda one: one.name)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


def session(protocol: Protocol, peer: Script, **options: Any) -> Any:
    return protocol.session(f"{protocol.name}://{peer.address}", **options)


async def test_it_is_opened_once_and_closed_twice(protocol: Protocol) -> None:
    async with Script(protocol.talk(protocol.noop())) as peer:
        one = session(protocol, peer)
        assert not one.is_open
        async with one:
            assert one.is_open
            await one.noop()
            with pytest.raises(asyncnet.ClosedError):
                await one.open()
        assert not one.is_open
        await one.aclose()
        await one.aclose()


async def test_used_before_it_is_open_or_after_it_was_closed_it_says_so(protocol: Protocol) -> None:
    async with Script(protocol.talk()) as peer:
        one = session(protocol, peer)
        with pytest.raises(asyncnet.ClosedError, match="not open"):
            await one.noop()
        async with one:
            pass
        with pytest.raises(asyncnet.ClosedError, match="closed"):
            await one.noop()


async def test_closed_before_it_was_opened_it_cannot_be_opened(protocol: Protocol) -> None:
    one = protocol.session(f"{protocol.name}://127.0.0.1:1")
    await one.aclose()
    with pytest.raises(asyncnet.ClosedError):
        await one.open()


async def test_a_deadline_closes_it_and_names_the_call(protocol: Protocol) -> None:
    async with Script(protocol.talk(protocol.asked + "silence", left=False)) as peer:
        async with session(protocol, peer) as one:
            with pytest.raises(asyncnet.DeadlineError) as caught:
                await one.noop(timeout=50 * MS)
            assert caught.value.operation == "NOOP"
            assert caught.value.seconds == pytest.approx(50 * MS)
            assert not one.is_open
            with pytest.raises(asyncnet.ClosedError, match="NOOP"):
                await one.noop()


async def test_opening_has_a_deadline_of_its_own(protocol: Protocol) -> None:
    async with Script("silence") as peer:
        one = session(protocol, peer, timeout=50 * MS)
        with pytest.raises(asyncnet.DeadlineError):
            await one.open()
        assert not one.is_open


async def test_calls_at_once_take_turns(protocol: Protocol) -> None:
    async with Script(protocol.talk(protocol.noop(5))) as peer, session(protocol, peer) as one:
        await asyncio.gather(*(one.noop() for _ in range(5)))


async def test_a_call_that_waits_for_its_turn_does_so_within_its_own_deadline(protocol: Protocol) -> None:
    held = protocol.asked + "wait answer\n" + protocol.answered
    async with Script(protocol.talk(held + protocol.noop())) as peer, session(protocol, peer) as one:
        first = asyncio.create_task(one.noop())
        await peer.until("answer")
        with pytest.raises(asyncnet.DeadlineError):
            await one.noop(timeout=20 * MS)
        assert one.is_open, "the one that waited spoilt what was not its own"
        peer.release("answer")
        await first
        await one.noop()


async def test_a_cancelled_call_closes_it_without_a_farewell(protocol: Protocol) -> None:
    async with Script(protocol.talk(protocol.asked + "wait never\n", left=False)) as peer:
        async with session(protocol, peer) as one:
            call = asyncio.create_task(one.noop())
            await peer.until("never")
            said = len(peer.received)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert not one.is_open
            peer.release("never")
        assert len(peer.received) == said


async def test_a_peer_that_leaves_is_an_error_at_once(protocol: Protocol) -> None:
    async with Script(protocol.talk(protocol.asked + "cut", left=False)) as peer:
        async with session(protocol, peer, timeout=30.0) as one:
            with pytest.raises(asyncnet.DisconnectedError) as caught:
                await one.noop()
            assert caught.value.transient
            assert not one.is_open


async def test_an_error_in_the_block_leaves_without_a_farewell(protocol: Protocol) -> None:
    async with Script(protocol.talk(left=False)) as peer:
        with pytest.raises(ZeroDivisionError):
            async with session(protocol, peer):
                raise ZeroDivisionError
        await asyncio.to_thread(lambda: None)
    assert b"QUIT" not in peer.received
    assert b"LOGOUT" not in peer.received


async def test_a_goodbye_that_is_not_answered_is_waited_for_briefly(protocol: Protocol) -> None:
    goodbye = protocol.left.partition("\n")[0] + "\nsilence"
    async with Script(protocol.opened + goodbye) as peer:
        loop = asyncio.get_running_loop()
        async with session(protocol, peer) as one:
            began = loop.time()
        assert not one.is_open
        assert loop.time() - began < 10.0


async def test_cancelled_at_each_await_it_leaves_nothing_behind(protocol: Protocol) -> None:
    async def once(peer: Script) -> None:
        async with session(protocol, peer) as one:
            await one.noop()

    async with Script(protocol.talk(protocol.noop()), repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(lambda: once(peer)) > 3


async def test_an_endpoint_of_another_protocol_is_refused(protocol: Protocol) -> None:
    with pytest.raises(asyncnet.UsageError):
        protocol.session("https://example.org/")


async def test_an_http_session_keeps_the_laws_that_fit_it() -> None:
    answer = "until \\r\\n\\r\\n\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok\n"
    async with Script(answer + "until \\r\\n\\r\\n\nsilence") as peer:
        async with http.session() as one:
            assert (await one.get(f"http://{peer.address}/")).body == b"ok"
            with pytest.raises(asyncnet.DeadlineError):
                await one.get(f"http://{peer.address}/", timeout=50 * MS)
            assert one.is_open, "one exchange spoilt the others"
        await one.aclose()
        with pytest.raises(asyncnet.ClosedError):
            await one.get(f"http://{peer.address}/")
