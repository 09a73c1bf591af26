"""A pool lends what stands, tries again what was surely not taken, and forgets what was spoilt."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import pytest

from asyncnet import (
    AuthenticationError,
    ClosedError,
    ConnectError,
    Credentials,
    DeadlineError,
    DisconnectedError,
    RecipientsRefused,
    RefusedError,
    Retry,
    UsageError,
    smtp,
)
from asyncnet.smtp import Mail
from tests.cancelling import cancelled_at_each_await
from tests.peers import MS, Script
from tests.smtp.office import Office
from tests.smtp.talks import ENVELOPE, NOTE, RECIPIENT, SENDER, url

_MODULE = sys.modules["asyncnet.smtp.pool"]  # the name smtp.pool is the class
AT_ONCE = Retry(attempts=3, first_delay=0.0)


def served(office: Office) -> Script:
    return Script(office, repeat=True, check=False)


async def test_one_connection_serves_one_after_the_other() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer)) as pool:
        for _ in range(5):
            assert (await pool.send(NOTE, **ENVELOPE)).accepted == (RECIPIENT,)
    assert (office.connections, len(office.taken), office.commands[b"QUIT"]) == (1, 5, 1)


async def test_many_senders_share_as_many_connections_as_the_pool_has() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer), size=3) as pool:
        await asyncio.gather(*(pool.send(f"Subject: {n}\n\n", **ENVELOPE) for n in range(30)))
    assert office.connections <= 3
    assert sorted(one.data for one in office.taken) == sorted(f"Subject: {n}\r\n\r\n".encode() for n in range(30))


async def test_a_connection_takes_so_many_messages_and_no_more() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer), size=1, max_messages_per_connection=3) as pool:
        for _ in range(7):
            await pool.send(NOTE, **ENVELOPE)
    assert (office.connections, len(office.taken), office.commands[b"QUIT"]) == (3, 7, 3)


async def test_a_goodbye_or_a_lost_link_is_tried_again_where_nothing_was_taken() -> None:
    goodbyes = iter(["421 4.3.2 bye", "421 4.3.2 bye"])
    office = Office(rcpt=lambda address: next(goodbyes, "250 ok"))
    async with served(office) as peer, smtp.pool(url(peer), retry=AT_ONCE) as pool:
        await pool.send(NOTE, **ENVELOPE)
    assert (office.connections, len(office.taken)) == (3, 1)


async def test_it_gives_up_when_its_tries_are_used_up() -> None:
    office = Office(rcpt=lambda address: "421 4.3.2 bye")
    async with served(office) as peer, smtp.pool(url(peer), retry=AT_ONCE) as pool:
        with pytest.raises(DisconnectedError, match="421"):
            await pool.send(NOTE, **ENVELOPE)
    assert office.connections == 3


async def test_what_may_have_been_taken_is_not_sent_again() -> None:
    office = Office(verdict=lambda number: "cut taken" if number == 0 else "250 ok")
    async with served(office) as peer, smtp.pool(url(peer), retry=AT_ONCE) as pool:
        with pytest.raises(DisconnectedError) as caught:
            await pool.send(NOTE, **ENVELOPE)
        assert caught.value.outcome_unknown
        known = smtp.receipt_of(caught.value)
        assert known is not None
        assert known.unknown == (RECIPIENT,)
        await pool.send(NOTE, **ENVELOPE)
    assert len(office.taken) == 2


async def test_a_deadline_after_the_last_byte_says_that_the_outcome_is_unknown() -> None:
    async with served(Office(verdict=lambda number: "silence")) as peer, smtp.pool(url(peer)) as pool:
        with pytest.raises(DeadlineError) as caught:
            await pool.send(NOTE, **ENVELOPE, timeout=200 * MS)
        assert caught.value.outcome_unknown


@pytest.mark.parametrize(("reply", "transient"), [("450 4.2.0 later", True), ("550 5.1.1 no", False)])
async def test_a_refusal_is_the_callers_and_never_tried_again(reply: str, transient: bool) -> None:
    office = Office(rcpt=lambda address: reply)
    async with served(office) as peer, smtp.pool(url(peer), retry=AT_ONCE) as pool:
        with pytest.raises(RecipientsRefused) as caught:
            await pool.send(NOTE, **ENVELOPE)
        assert (caught.value.code, caught.value.transient) == (int(reply[:3]), transient)
    assert office.commands[b"RCPT"] == 1


async def test_a_connection_that_was_hung_up_meanwhile_is_not_lent() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer)) as pool:
        await pool.send(NOTE, **ENVELOPE)
        [(session, _)] = pool._idle
        session._abort()
        await pool.send(NOTE, **ENVELOPE)
    assert office.connections == 2


async def test_one_that_was_idle_for_long_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_MODULE, "_IDLE_SECONDS", -1.0)
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer)) as pool:
        await pool.send(NOTE, **ENVELOPE)
        await pool.send(NOTE, **ENVELOPE)
    assert (office.connections, office.commands[b"NOOP"]) == (1, 1)


async def test_one_that_was_idle_for_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_MODULE, "_STALE_SECONDS", -1.0)
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer)) as pool:
        await pool.send(NOTE, **ENVELOPE)
        await pool.send(NOTE, **ENVELOPE)
    assert office.connections == 2


async def test_the_rate_bounds_all_connections_together() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer), size=4, rate=1 / (20 * MS)) as pool:
        start = time.monotonic()
        await asyncio.gather(*(pool.send(NOTE, **ENVELOPE) for _ in range(6)))
        assert time.monotonic() - start >= 5 * 20 * MS


async def _cancelled_once(pool: smtp.Pool, turns: int) -> None:
    task = asyncio.create_task(pool.send(b"Subject: cancelled\n\n", **ENVELOPE))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})


async def _next_is_right(office: Office, times: int) -> None:
    async with served(office) as peer, smtp.pool(url(peer), size=2, max_messages_per_connection=10**6) as pool:
        for number in range(times):
            await _cancelled_once(pool, number % 23)
            receipt = await pool.send(f"Subject: {number}\n\n", **ENVELOPE)
            assert receipt.text == "2.0.0 Ok: queued"
        rights = [one.data for one in office.taken if b"cancelled" not in one.data]
        assert rights == [f"Subject: {number}\r\n\r\n".encode() for number in range(times)]
        assert all(one.recipients == [RECIPIENT] for one in office.taken)


async def test_after_a_cancelled_send_the_next_mail_is_right() -> None:
    await _next_is_right(Office(), 50)


@pytest.mark.slow
async def test_after_a_cancelled_send_the_next_mail_is_right_1000_times() -> None:
    await _next_is_right(Office(), 1000)


@pytest.mark.slow
async def test_after_a_cancelled_send_the_next_mail_is_right_without_pipelining_1000_times() -> None:
    await _next_is_right(Office(extensions=("8BITMIME",)), 1000)


async def test_cancelled_at_each_await_nothing_stays() -> None:
    async def whole() -> None:
        async with smtp.pool(url(peer), size=2) as pool:
            await pool.send(NOTE, **ENVELOPE)
            async for sent in pool.send_many([Mail(NOTE, SENDER, RECIPIENT)] * 3):
                assert sent.ok

    async with served(Office()) as peer:
        assert await cancelled_at_each_await(whole) >= 6


async def test_a_closed_pool_sends_nothing_and_closes_twice() -> None:
    async with served(Office()) as peer:
        pool = smtp.pool(url(peer))
        await pool.send(NOTE, **ENVELOPE)
        await pool.aclose()
        await pool.aclose()
        with pytest.raises(ClosedError):
            await pool.send(NOTE, **ENVELOPE)
        with pytest.raises(ClosedError):
            await anext(pool.send_many([]))


async def test_closing_cuts_off_who_is_stuck_and_who_waits() -> None:
    async with served(Office(verdict=lambda number: "silence")) as peer:
        pool = smtp.pool(url(peer), size=1)
        tasks = [asyncio.create_task(pool.send(NOTE, **ENVELOPE)) for _ in range(3)]
        await peer.until(b"LAST")
        start = time.monotonic()
        await pool.aclose(grace=20 * MS)
        assert time.monotonic() - start < 1_000 * MS
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, (ClosedError, DisconnectedError)) for one in found] == [True] * 3
    assert sum(bool(getattr(one, "outcome_unknown", False)) for one in found) == 1


async def test_nobody_there_is_told_after_the_tries() -> None:
    pool = smtp.pool("smtp://127.0.0.1:1", retry=AT_ONCE)
    with pytest.raises(ConnectError):
        await pool.send(NOTE, **ENVELOPE)
    await pool.aclose()


@pytest.mark.parametrize("wrong", [{"size": 0}, {"max_messages_per_connection": 0}, {"rate": 0}, {"rate": -1.0}])
def test_numbers_that_are_none_are_faults_of_the_call(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        smtp.pool("smtp://localhost", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        smtp.pool("imap://localhost")


# Many.


def mails(count: int) -> list[Mail]:
    return [Mail(f"Subject: {number}\n\n", SENDER, RECIPIENT) for number in range(count)]


async def test_many_go_over_all_connections_each_once() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer), size=4, max_messages_per_connection=7) as pool:
        found = [one async for one in pool.send_many(mails(60), window=3)]
    assert sorted(one.number for one in found) == list(range(60))
    assert all(one.ok for one in found)
    assert sorted(one.data for one in office.taken) == sorted(f"Subject: {n}\r\n\r\n".encode() for n in range(60))
    assert office.connections >= 60 / 7


async def test_of_many_those_that_were_surely_not_taken_are_sent_again() -> None:
    office = Office(verdict=lambda number: "421 4.3.2 bye" if number in (3, 10) else "250 ok")
    async with served(office) as peer, smtp.pool(url(peer), size=2, retry=AT_ONCE) as pool:
        found = [one async for one in pool.send_many(mails(30), window=4)]
    assert all(one.ok for one in found)
    assert sorted(one.data for one in office.taken) == sorted(f"Subject: {n}\r\n\r\n".encode() for n in range(30))


async def test_of_many_those_that_may_have_been_taken_say_so_and_nothing_is_twice() -> None:
    office = Office(verdict=lambda number: "cut taken" if number in (3, 10) else "250 ok")
    async with served(office) as peer, smtp.pool(url(peer), size=2, retry=AT_ONCE) as pool:
        found = [one async for one in pool.send_many(mails(30), window=4)]
    assert sorted(one.number for one in found) == list(range(30))
    unknown = [one for one in found if one.error]
    assert all(one.error and one.error.outcome_unknown for one in unknown)
    assert 2 <= len(unknown) <= 8
    taken = [one.data for one in office.taken]
    assert len(taken) == len(set(taken))
    assert {one.number for one in found if one.ok} <= {int(data[9:-4]) for data in taken}


async def test_a_login_that_is_refused_is_the_outcome_of_all_and_not_tried_for_each() -> None:
    talk = "S: 220 hi\nC: EHLO *\nS: 250-x\nS: 250 AUTH PLAIN\nC: AUTH *\nS: 535 5.7.8 no\n"
    async with Script(talk, repeat=True, check=False) as peer:
        async with smtp.pool(url(peer), Credentials("alice", "wrong"), size=2) as pool:
            found = [one async for one in pool.send_many(mails(20))]
        assert all(isinstance(one.error, AuthenticationError) for one in found)
        assert len(found) == 20
        assert peer.connections <= 2


async def test_what_the_source_raises_comes_out_and_nothing_stays() -> None:
    async def source() -> AsyncIterator[Mail]:
        for mail in mails(5):
            yield mail
        raise ZeroDivisionError

    async with served(Office()) as peer, smtp.pool(url(peer), size=2) as pool:
        with pytest.raises(ZeroDivisionError):
            [one async for one in pool.send_many(source())]
        await pool.send(NOTE, **ENVELOPE)


async def test_left_early_the_pool_goes_on() -> None:
    office = Office()
    async with served(office) as peer, smtp.pool(url(peer), size=2) as pool:
        outcomes = pool.send_many(mails(100))
        assert (await anext(outcomes)).ok
        await outcomes.aclose()
        await pool.send(b"Subject: last\n\n", **ENVELOPE)
    assert office.taken[-1].data == b"Subject: last\r\n\r\n"


async def test_a_fault_of_the_call_reaches_nobody() -> None:
    async with served(Office()) as peer, smtp.pool(url(peer)) as pool:
        with pytest.raises(UsageError):
            await pool.send(NOTE, sender="a\r\nb@x.org", recipients=RECIPIENT)
        assert peer.connections == 0


async def test_a_stream_is_not_sent_again() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield NOTE

    goodbyes = iter(["421 4.3.2 bye"])
    office = Office(rcpt=lambda address: next(goodbyes, "250 ok"))
    async with served(office) as peer, smtp.pool(url(peer), retry=AT_ONCE) as pool:
        with pytest.raises((DisconnectedError, RefusedError)):
            await pool.send(stream(), **ENVELOPE)
    assert office.connections == 1
