"""lending.py: what is lent comes back tidied or not at all, seen from the other side of the wire."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asyncnet import Credentials
from asyncnet.deadline import deadline
from asyncnet.errors import (
    AuthenticationError,
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    NetError,
    RefusedError,
)
from asyncnet.imap.session import Session as Imap
from asyncnet.lending import Lender
from asyncnet.places import Places
from asyncnet.smtp.session import Session as Smtp
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.mailroom import Mailroom
from tests.peers import Script
from tests.smtp.office import Office

ALICE = Credentials("alice", "correct horse")
NOTE = b"Subject: hello\r\n\r\nGood morning.\r\n"
ENVELOPE = {"sender": "alice@example.org", "recipients": "bob@example.net"}
KEY = "alike"
SIGNED_IN = """
    S: * OK [CAPABILITY IMAP4rev1] ready
    C: {tag} LOGIN *
    S: {tag} OK [CAPABILITY IMAP4rev1] in
"""


@contextlib.asynccontextmanager
async def lending(*, most: int = 10, per_origin: int = 10, keep_alive: float = 30.0) -> AsyncIterator[Lender]:
    lender = Lender(Places(most, per_origin), keep_alive)
    try:
        yield lender
    finally:
        await lender.aclose()


def served(peer: Any) -> Script:
    return Script(peer, repeat=True, check=False)


def imap(peer: Script) -> Callable[[], Imap]:
    return lambda: Imap(f"imap://{peer.address}", ALICE)


def smtp(peer: Script) -> Callable[[], Smtp]:
    return lambda: Smtp(f"smtp://{peer.address}")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(5 * MS)
    raise AssertionError("it did not come to that")


def lend(lender: Lender, make: Callable[[], Any], key: str = KEY, origin: str = "here", *, fresh: bool = False) -> Any:
    return lender.lend(origin, key, make, fresh=fresh)


# Out and back.


async def test_the_same_one_is_lent_again_and_says_that_it_was_warm() -> None:
    room = Mailroom()
    async with served(room) as peer, lending() as lender:
        async with lend(lender, imap(peer)) as first:
            assert not first.was_warm
        async with lend(lender, imap(peer)) as second:
            assert second.was_warm
            assert second.session is first.session
        async with lend(lender, imap(peer), fresh=True) as third:
            assert third.session is not first.session
        async with lend(lender, imap(peer), "another user") as fourth:
            assert not fourth.was_warm
    assert room.connections == 3


async def test_the_last_to_come_back_is_the_first_to_go() -> None:
    async with served(Mailroom()) as peer, lending() as lender:
        async with lend(lender, imap(peer)) as one, lend(lender, imap(peer)) as two:
            assert one.session is not two.session
        async with lend(lender, imap(peer)) as again:
            assert again.session is one.session  # the outer block ended last


@pytest.mark.parametrize("refuse", [False, True])
async def test_what_a_user_left_is_cleared_away_on_the_wire(refuse: bool) -> None:
    room, office = Mailroom(), Office()
    async with served(room) as peer, served(office) as post, lending() as lender:
        with contextlib.suppress(RefusedError):
            async with lend(lender, imap(peer)) as lent:
                await lent.session.select("INBOX")
                if refuse:
                    raise RefusedError(code="NO", text="not now")
        with contextlib.suppress(RefusedError):
            async with lend(lender, smtp(post), "post") as sent:
                await sent.session.send(NOTE, **ENVELOPE)
                if refuse:
                    raise RefusedError(code=450, text="not now")
        assert room.commands == [["LOGIN", "SELECT", "UNSELECT"]]
        assert office.commands[b"RSET"] == 1
        assert lender.count == 2


async def test_what_is_said_to_be_clean_is_not_asked_to_be_reset() -> None:
    office = Office()
    async with served(office) as peer, lending() as lender:
        for _ in range(3):
            async with lend(lender, smtp(peer)) as lent:
                await lent.session.send(NOTE, **ENVELOPE)
                lent.is_clean = True
    assert (office.connections, office.commands[b"RSET"]) == (1, 0)


async def test_a_server_that_does_not_reset_costs_its_session_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lending.CLOSE_SECONDS", 30 * MS)
    room = Mailroom(on=lambda number, command: "cut" if (number, command) == (0, "UNSELECT") else None)
    silent = SIGNED_IN.replace("rev1]", "rev1 UNSELECT]") + "C: {tag} SELECT *\nS: * 0 EXISTS\nS: {tag} OK\n"
    silent += "C: {tag} UNSELECT\nsilence"
    async with served(room) as peer, served(silent) as mute, lending() as lender:
        for script in (peer, mute):
            async with lend(lender, imap(script)) as lent:
                await lent.session.select("INBOX")
            assert not lent.session.is_open
        assert lender.count == 0


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError, DeadlineError, DisconnectedError])
async def test_after_any_other_end_it_is_dropped_without_a_word(error: type[BaseException]) -> None:
    room = Mailroom()
    async with served(room) as peer, lending() as lender:
        with pytest.raises(error):
            async with lend(lender, imap(peer)) as lent:
                raise DeadlineError("late", seconds=1.0) if error is DeadlineError else error()
        assert not lent.session.is_open
        assert lender.count == 0
        async with lend(lender, imap(peer)) as again:
            assert not again.was_warm
    assert room.commands[0] == ["LOGIN"]


async def test_one_that_was_closed_by_its_user_is_not_kept() -> None:
    async with served(Mailroom()) as peer, lending() as lender:
        async with lend(lender, imap(peer)) as lent:
            await lent.session.aclose()
        assert lender.count == 0


# Checked.


async def test_one_that_was_idle_for_long_is_asked_and_a_dead_one_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lending._CHECK_AFTER", -1.0)
    monkeypatch.setattr("asyncnet.lending._CHECK_SECONDS", 50 * MS)
    office = Office()
    mute = "S: 220 hi\nC: EHLO *\nS: 250 x\nC: NOOP\nsilence"
    async with served(office) as peer, served(mute) as silent, lending() as lender:
        for _ in range(2):
            async with lend(lender, smtp(peer)) as lent:
                lent.is_clean = True
        assert (office.connections, office.commands[b"NOOP"]) == (1, 1)
        for _ in range(2):
            async with lend(lender, smtp(silent), "mute") as lent:
                assert not lent.was_warm
                lent.is_clean = True
        assert silent.connections == 2


async def test_several_that_are_gone_cost_one_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lending._CHECK_AFTER", -1.0)
    room = Mailroom(on=lambda number, command: "cut" if number < 3 and command == "NOOP" else None)
    async with served(room) as peer, lending() as lender:
        async with lend(lender, imap(peer)), lend(lender, imap(peer)), lend(lender, imap(peer)):
            pass
        async with lend(lender, imap(peer)) as lent:
            assert not lent.was_warm
        assert (room.connections, lender.count) == (4, 1)


# Idle.


async def test_each_is_said_goodbye_to_when_its_own_time_is_over() -> None:
    office = Office()
    async with served(office) as peer, lending(keep_alive=100 * MS) as lender:
        async with lend(lender, smtp(peer), "a") as first:
            first.is_clean = True
        await asyncio.sleep(50 * MS)
        async with lend(lender, smtp(peer), "b") as second:
            second.is_clean = True
        await peer.until(b"QUIT")
        await until(lambda: not first.session.is_open)
        await until(lambda: lender.count == 0)
    assert office.commands[b"QUIT"] == 2


async def test_a_goodbye_that_is_stuck_keeps_nobody_waiting() -> None:
    stuck = "S: 220 hi\nC: EHLO *\nS: 250 x\nC: QUIT\nsilence"
    office = Office()
    async with served(stuck) as bad, served(office) as good, lending(keep_alive=5 * MS) as lender:
        async with lend(lender, smtp(bad), "bad", "bad") as lent:
            lent.is_clean = True
        await bad.until(b"QUIT")
        began = time.monotonic()
        async with lend(lender, smtp(good), "good", "good") as lent:
            await lent.session.send(NOTE, **ENVELOPE)
        assert time.monotonic() - began < 1500 * MS
        assert len(office.taken) == 1


async def test_the_longest_idle_gives_way_where_there_would_be_too_many() -> None:
    room = Mailroom()
    async with served(room) as peer, lending(most=2) as lender:
        for key in ("a", "b", "c"):
            async with lend(lender, imap(peer), key):
                pass
        async with lend(lender, imap(peer), "b") as lent:
            assert lent.was_warm
    assert room.most_open == 2
    assert room.commands[0][-1] == "LOGOUT"


# Limits.


async def test_a_stuck_session_takes_one_place_and_starves_nobody_else() -> None:
    stuck = f"{SIGNED_IN}C: {{tag}} NOOP\nsilence"
    async with served(stuck) as bad, served(Mailroom()) as good, lending(most=2, per_origin=1) as lender:

        async def hang() -> None:
            async with lend(lender, imap(bad), "bad", "bad") as lent:
                await lent.session.noop()

        task = asyncio.create_task(hang())
        await bad.until(b"NOOP")
        for _ in range(5):
            async with deadline(5000 * MS), lend(lender, imap(good)) as lent:
                await lent.session.noop()
        with pytest.raises(DeadlineError, match="waiting for a place at the host"):
            async with deadline(20 * MS), lend(lender, imap(bad), "bad", "bad"):
                pass
        task.cancel()
        await asyncio.wait({task})
        async with deadline(5000 * MS), lend(lender, imap(bad), "bad", "bad"):
            pass


async def test_a_place_is_given_back_whatever_the_opening_came_to() -> None:
    refusing = "S: * OK [CAPABILITY IMAP4rev1] ready\nC: {tag} LOGIN *\nS: {tag} NO [AUTHENTICATIONFAILED] no"
    async with served(refusing) as peer, lending(most=1, per_origin=1) as lender:
        makes: list[tuple[Callable[[], Imap], type[NetError]]] = [
            (imap(peer), AuthenticationError),
            (lambda: Imap("imap://127.0.0.1:1", ALICE), ConnectError),
        ]
        for make, error in makes * 3:
            with pytest.raises(error):
                async with deadline(5000 * MS), lend(lender, make):
                    pass
        assert not lender._busy
        assert not lender._places._origins


# The end.


async def test_closing_ends_what_is_lent_and_opening_and_waiting() -> None:
    deaf = "silence"
    room = Mailroom()
    async with served(room) as peer, served(deaf) as silent, lending(most=2) as lender:
        lent_now = asyncio.Event()

        async def use(make: Callable[[], Any], key: str) -> None:
            async with lend(lender, make, key) as lent:
                lent_now.set()
                await asyncio.Event().wait() if key == "never" else await asyncio.sleep(20 * MS)
                await lent.session.noop()

        lent, opening, waiting = (
            asyncio.create_task(use(make, key))
            for make, key in ((imap(peer), "a"), (imap(silent), "b"), (imap(peer), "c"))
        )
        await lent_now.wait()
        await silent.until(1) if silent.connections else await asyncio.sleep(5 * MS)
        began = time.monotonic()
        await lender.aclose()
        await lender.aclose()
        results = await asyncio.gather(lent, opening, waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ClosedError] * 3
        assert time.monotonic() - began < 2000 * MS
        with pytest.raises(ClosedError):
            async with lend(lender, imap(peer)):
                pass


async def test_closing_again_while_an_opening_unwinds_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    unwinding, unwound = asyncio.Event(), asyncio.Event()

    async def slow(session: Imap) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            unwinding.set()
            await unwound.wait()

    monkeypatch.setattr(Imap, "open", slow)
    async with served("silence") as peer, lending() as lender:

        async def use() -> None:
            async with lend(lender, imap(peer)):
                pass

        task = asyncio.create_task(use())
        await until(lambda: bool(lender._openings))
        closing = asyncio.create_task(lender.aclose())
        await unwinding.wait()
        try:
            await lender.aclose()
        finally:
            unwound.set()
        await closing
        with pytest.raises(ClosedError):
            await task


async def test_closing_while_it_comes_back_keeps_nothing() -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def on(number: int, command: str) -> None:
        if command == "UNSELECT":
            loop.call_soon_threadsafe(begun.set)
            time.sleep(20 * MS)

    async with served(Mailroom(on=on)) as peer, lending() as lender:

        async def use() -> None:
            async with lend(lender, imap(peer)) as lent:
                await lent.session.select("INBOX")

        task = asyncio.create_task(use())
        await begun.wait()
        await lender.aclose()
        await asyncio.gather(task, return_exceptions=True)
        assert lender.count == 0
        assert not lender._busy


async def test_cancelled_at_each_await_nothing_is_kept_that_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lending._CHECK_AFTER", -1.0)
    room = Mailroom(messages=1)
    async with served(room) as peer, lending(most=1) as lender:

        async def whole() -> None:
            for _ in range(2):
                async with lend(lender, imap(peer)) as lent:
                    await lent.session.select("INBOX")
            async with lend(lender, imap(peer), "another"):
                pass

        async def is_right() -> None:
            async with lend(lender, imap(peer)) as lent:
                assert lent.session.selected is None
                await lent.session.select("INBOX")
                assert await lent.session.search("ALL") == [1]

        async def both() -> None:
            try:
                await whole()
            except asyncio.CancelledError:
                if not checking:
                    checking.append(None)
                    await asyncio.shield(asyncio.create_task(is_right()))
                    checking.clear()
                raise

        checking: list[None] = []
        assert await cancelled_at_each_await(both) > 8
        await is_right()
        assert lender.count == 1
        assert not lender._busy
        assert not lender._places._origins


async def test_however_many_are_at_work_the_end_waits_for_them_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(self: Imap) -> None:
        began.append(self)
        await asyncio.sleep(100 * MS)
        ended.append(self)

    began: list[Imap] = []
    ended: list[Imap] = []
    with served(SIGNED_IN + "silence\n") as peer:
        async with contextlib.AsyncExitStack() as stack, lending() as lender:
            for _ in range(8):
                await stack.enter_async_context(lender.lend(peer.address, KEY, imap(peer)))
            monkeypatch.setattr(Imap, "_settle", slow)
            before = time.perf_counter()
            await lender.aclose()
            assert len(began) == len(ended) == 8
            assert time.perf_counter() - before < 4 * 100 * MS
            monkeypatch.undo()


async def test_one_that_does_not_go_away_holds_up_the_end_for_two_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncnet.lending.CLOSE_SECONDS", 20 * MS)
    with served(SIGNED_IN + "silence\n") as peer:
        async with contextlib.AsyncExitStack() as stack, lending() as lender:
            lent = await stack.enter_async_context(lender.lend(peer.address, KEY, imap(peer)))
            monkeypatch.setattr(lent.session, "_settle", asyncio.Event().wait)
            async with asyncio.timeout(5.0):
                await lender.aclose()
            assert not lent.session.is_open
            monkeypatch.undo()
