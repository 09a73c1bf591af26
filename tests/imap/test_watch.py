"""A watch tells each message once: over news, losses, restarts of its own, and whatever the server does."""

import asyncio
import gc
import pickle
from collections.abc import Iterable

import pytest

from asyncnet import AuthenticationError, DisconnectedError, ProtocolError, RefusedError, Retry, UsageError, imap
from tests.imap.talks import ALICE, url
from tests.peers import MS, Script

ABLE = "IMAP4rev1 IDLE"
QUICK = Retry(attempts=10, first_delay=MS, max_delay=2 * MS)
LEFT = "eof"


def opened(uidnext: int, *, validity: int = 7, able: str = ABLE) -> str:
    return rf"""
        S: * PREAUTH [CAPABILITY {able}] ready
        C: {{tag}} EXAMINE "INBOX"
        S: * 5 EXISTS
        S: * OK [UIDVALIDITY {validity}]
        S: * OK [UIDNEXT {uidnext}]
        S: {{tag}} OK [READ-ONLY] done
    """


def searched(uidnext: int, uids: Iterable[int] = ()) -> str:
    found = " ".join(map(str, uids))
    return f"C: {{tag}} UID SEARCH UID {uidnext}:\\*\nS: * SEARCH {found}\nS: {{tag}} OK\n"


def fetched(*uids: int) -> str:
    sizes = "".join(f"S: * 1 FETCH (UID {uid} RFC822.SIZE 9)\n" for uid in uids)
    heads = "".join(f'S: * 1 FETCH (UID {uid} BODY[HEADER] "mail {uid}")\n' for uid in uids)
    return (
        f"C: {{tag}} UID FETCH * (UID RFC822.SIZE)\n{sizes}S: {{tag}} OK\n"
        f"C: {{tag}} UID FETCH * (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])\n{heads}S: {{tag}} OK\n"
    )


def idled(news: str = "S: * 6 EXISTS") -> str:
    return f"C: {{tag}} IDLE\nS: + go\n{news}\nC: DONE\nS: {{tag}} OK\n"


async def told(watch: imap.Watch, count: int) -> list[tuple[object, bytes, str]]:
    return [
        (arrival.message.uid, arrival.message.raw, str(arrival.state))
        for arrival in [await anext(watch) for _ in range(count)]
    ]


async def test_what_arrives_from_now_on_is_told_with_the_state_behind_it() -> None:
    talk = opened(40) + searched(40, [39]) + idled() + searched(40, [40, 41]) + fetched(40, 41)
    async with Script(talk + idled() + searched(42, [44]) + fetched(44) + LEFT) as peer:
        async with imap.watch(url(peer)) as watch:
            assert watch.state is None
            assert await told(watch, 3) == [
                (40, b"mail 40", "7:41"),
                (41, b"mail 41", "7:42"),
                (44, b"mail 44", "7:45"),
            ]
            assert watch.state == imap.WatchState(7, 45)


async def test_a_state_from_before_tells_first_what_came_meanwhile() -> None:
    talk = opened(50) + searched(45, [47, 49]) + fetched(47, 49) + LEFT
    async with Script(talk) as peer, imap.watch(url(peer), since="7:45") as watch:
        assert [uid for uid, _, _ in await told(watch, 2)] == [47, 49]


async def test_a_mailbox_made_anew_is_told_from_its_first_message() -> None:
    talk = opened(3, validity=8) + searched(1, [1, 2]) + fetched(1, 2) + LEFT
    async with Script(talk) as peer, imap.watch(url(peer), since=imap.WatchState(7, 45)) as watch:
        assert await told(watch, 2) == [(1, b"mail 1", "8:2"), (2, b"mail 2", "8:3")]


BEGUN = searched(40) + "C: {tag} IDLE\nS: + go\n"
ENDS = ["cut", "reset", "S: * BYE restarting", "garbage 50\nS: x", "S: + what"]


@pytest.mark.parametrize("end", ENDS)
async def test_after_a_loss_the_next_connection_asks_for_what_came_meanwhile(end: str) -> None:
    first = opened(40) + BEGUN + end
    second = opened(42) + searched(40, [40, 41]) + fetched(40, 41) + LEFT
    async with Script(first, second, check=end not in ENDS[3:]) as peer:
        async with imap.watch(url(peer), retry=QUICK) as watch:
            assert [uid for uid, _, _ in await told(watch, 2)] == [40, 41]


async def test_a_loss_between_two_messages_repeats_none_and_leaves_out_none() -> None:
    first = opened(40) + searched(40, [40, 41, 42])
    first += "C: {tag} UID FETCH *\n" + "".join(f"S: * 1 FETCH (UID {uid} RFC822.SIZE 9)\n" for uid in (40, 41, 42))
    first += "S: {tag} OK\nC: {tag} UID FETCH *\n"
    # The second comes not, the third does: a server may answer out of order.
    first += 'S: * 1 FETCH (UID 40 BODY[HEADER] "mail 40")\nS: * 3 FETCH (UID 42 BODY[HEADER] "mail 42")\ncut'
    second = opened(43) + searched(41, [41, 42]) + fetched(41, 42) + LEFT
    async with Script(first, second) as peer, imap.watch(url(peer), retry=QUICK) as watch:
        assert [uid for uid, _, _ in await told(watch, 3)] == [40, 41, 42]


async def test_silence_is_noticed_and_the_next_connection_goes_on() -> None:
    first = opened(40) + BEGUN + "C: DONE\nsilence"
    second = opened(41) + searched(40, [40]) + fetched(40) + LEFT
    async with Script(first, second) as peer:
        async with imap.watch(url(peer), retry=QUICK, renew_seconds=20 * MS, timeout=100 * MS) as watch:
            assert [uid for uid, _, _ in await told(watch, 1)] == [40]


async def test_an_idle_is_renewed_and_other_news_cost_no_search() -> None:
    flags = idled("S: * 3 FETCH (FLAGS (\\Seen))") + idled("S: * 2 EXPUNGE")
    talk = opened(40) + searched(40) + flags + "C: {tag} IDLE\nS: + go\nC: DONE\nS: {tag} OK\n" + searched(40, [40])
    async with Script(talk + fetched(40) + LEFT) as peer:
        async with imap.watch(url(peer), renew_seconds=30 * MS) as watch:
            assert [uid for uid, _, _ in await told(watch, 1)] == [40]


async def test_news_that_come_while_messages_are_fetched_are_not_lost() -> None:
    late = fetched(40).replace('"mail 40")\n', '"mail 40")\nS: * 7 EXISTS\n')
    talk = opened(40) + searched(40, [40]) + late + searched(41, [41]) + fetched(41) + LEFT
    async with Script(talk) as peer, imap.watch(url(peer)) as watch:
        assert [uid for uid, _, _ in await told(watch, 2)] == [40, 41]


async def test_without_idle_the_server_is_asked_now_and_then() -> None:
    noops = "C: {tag} NOOP\nS: {tag} OK\nC: {tag} NOOP\nS: * 6 EXISTS\nS: {tag} OK\n"
    talk = opened(40, able="IMAP4rev1") + searched(40) + noops + searched(40, [40]) + fetched(40) + LEFT
    async with Script(talk) as peer, imap.watch(url(peer), poll_seconds=2 * MS) as watch:
        assert [uid for uid, _, _ in await told(watch, 1)] == [40]


async def test_messages_that_went_before_they_were_fetched_are_passed_over() -> None:
    some = fetched(40, 43).replace(
        "S: * 1 FETCH (UID 43 RFC", "S: * 1 FETCH (UID 41 RFC822.SIZE 9)\nS: * 1 FETCH (UID 43 RFC"
    )
    gone = "C: {tag} UID SEARCH UID 41:42\nS: * SEARCH\nS: {tag} OK\n"
    talk = (
        opened(40)
        + searched(40, [40, 41, 42, 43])
        + some
        + gone
        + "C: {tag} UID SEARCH UID 41*\nS: * SEARCH\nS: {tag} OK\n"
    )
    async with Script(talk + idled() + searched(44, [44]) + fetched(44) + LEFT) as peer:
        async with imap.watch(url(peer)) as watch:
            assert [uid for uid, _, _ in await told(watch, 3)] == [40, 43, 44]


async def test_a_message_that_the_server_withholds_is_an_error_and_not_passed_over() -> None:
    some = fetched(40, 42).replace(
        "S: * 1 FETCH (UID 42 RFC", "S: * 1 FETCH (UID 41 RFC822.SIZE 9)\nS: * 1 FETCH (UID 42 RFC"
    )
    there = "C: {tag} UID SEARCH UID 41:41\nS: * SEARCH 41\nS: {tag} OK\n"
    talk = opened(40) + searched(40, [40, 41, 42]) + some + there + LEFT
    rest = opened(43) + searched(41, [41, 42]) + some.replace("(UID 40", "(UID 99") + there + LEFT
    async with Script(talk, rest, rest) as peer:
        async with imap.watch(url(peer), retry=QUICK) as watch:
            assert [uid for uid, _, _ in await told(watch, 1)] == [40]
            with pytest.raises(ProtocolError, match="UID 41"):
                await anext(watch)
            assert watch.state == imap.WatchState(7, 41)


@pytest.mark.parametrize(
    ("talk", "kind"),
    [
        (
            "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: {tag} EXAMINE *\nS: {tag} NO no such mailbox\n" + LEFT,
            RefusedError,
        ),
        (opened(40, validity=0).replace("S: * OK [UIDVALIDITY 0]", "") + LEFT, RefusedError),
        ("S: what", ProtocolError),
        ("cut", DisconnectedError),
    ],
)
async def test_what_time_does_not_heal_is_raised(talk: str, kind: type[Exception]) -> None:
    async with Script(talk, repeat=True, check=False) as peer:
        async with imap.watch(url(peer), retry=QUICK) as watch:
            with pytest.raises(kind):
                await anext(watch)
            tries = peer.connections
            with pytest.raises(kind):
                await anext(watch)  # it may be gone on with
    assert tries == {RefusedError: 1, ProtocolError: 3, DisconnectedError: 10}[kind]


async def test_a_refused_login_is_raised_at_once() -> None:
    talk = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: {tag} AUTHENTICATE *\nS: {tag} NO no\n" + LEFT
    async with Script(talk) as peer, imap.watch(url(peer), ALICE, retry=QUICK) as watch:
        with pytest.raises(AuthenticationError):
            await anext(watch)


@pytest.mark.parametrize("refusals", [2, 3])
async def test_a_login_that_worked_before_may_be_refused_twice(refusals: int) -> None:
    let_in = (
        opened(40)
        .replace(
            "S: * PREAUTH [CAPABILITY IMAP4rev1 IDLE] ready",
            "S: * OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN SASL-IR] hi\nC: {tag} AUTHENTICATE *\n"
            "S: {tag} OK [CAPABILITY IMAP4rev1 IDLE] in",
        )
        .replace("C: {tag} EXAMINE", "C: {tag2} EXAMINE")
        .replace("S: {tag} OK [READ-ONLY]", "S: {tag2} OK [READ-ONLY]")
    )
    refused = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: {tag} AUTHENTICATE *\nS: {tag} NO no\neof"
    last = [let_in + searched(40, [40]) + fetched(40) + LEFT] if refusals == 2 else []
    async with Script(let_in + BEGUN + "cut", *[refused] * refusals, *last) as peer:
        async with imap.watch(url(peer), ALICE, retry=QUICK) as watch:
            if refusals == 2:
                assert [uid for uid, _, _ in await told(watch, 1)] == [40]
            else:
                with pytest.raises(AuthenticationError):
                    await anext(watch)


async def test_closing_it_ends_whoever_waits_at_once() -> None:
    async with Script(opened(40) + BEGUN + LEFT) as peer:
        watch = imap.watch(url(peer))
        waiting = asyncio.create_task(anext(watch, None))
        await peer.until(b"IDLE\r\n")
        with pytest.raises(UsageError, match="another task"):
            await anext(watch)
        await watch.aclose()
        assert await waiting is None
        assert [arrival async for arrival in watch] == []
        await watch.aclose()


async def test_closing_it_ends_the_wait_for_the_next_connection_too() -> None:
    async with Script("cut", repeat=True) as peer:
        watch = imap.watch(url(peer), retry=Retry(attempts=5, first_delay=600.0, max_delay=600.0))
        waiting = asyncio.create_task(anext(watch, None))
        await peer.until(1)
        await asyncio.sleep(5 * MS)
        await watch.aclose()
        assert await waiting is None


async def test_a_cancelled_wait_loses_nothing() -> None:
    first = opened(40) + BEGUN + LEFT
    second = opened(41) + searched(40, [40]) + fetched(40) + LEFT
    async with Script(first, second) as peer, imap.watch(url(peer)) as watch:
        waiting = asyncio.create_task(anext(watch))
        await peer.until(b"IDLE\r\n")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [uid for uid, _, _ in await told(watch, 1)] == [40]


async def test_one_that_is_dropped_ends_by_itself() -> None:
    async with Script(opened(40) + searched(40, [40]) + fetched(40) + LEFT) as peer:
        async for arrival in imap.watch(url(peer)):
            assert arrival.message.uid == 40
            break
        del arrival
        gc.collect()
        for _ in range(20):  # the loop closes the generator in a task of its own
            await asyncio.sleep(MS)


def test_a_state_survives_as_text_and_as_a_pickle() -> None:
    state = imap.WatchState(3857529045, 2**32)
    assert imap.WatchState.parse(str(state)) == state == pickle.loads(pickle.dumps(state))
    for text in ("", "1", "0:1", "1:0", "1:2:3", "1:99999999999", "x:1", "1:1\n", "4294967296:1"):
        with pytest.raises(UsageError):
            imap.WatchState.parse(text)


@pytest.mark.parametrize("path", ["/INBOX/;UID=4", "/INBOX?UNSEEN"])
async def test_what_cannot_be_watched_is_refused_at_once(path: str) -> None:
    with pytest.raises(UsageError):
        imap.watch(f"imap://127.0.0.1{path}")
    with pytest.raises(UsageError):
        imap.watch("pop3://127.0.0.1")
    with pytest.raises(UsageError):
        imap.watch("imap://127.0.0.1", renew_seconds=0)
