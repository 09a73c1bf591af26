"""Each command of a session, what leaving it does to deletions, and messages byte for byte."""

import asyncio
import poplib
import threading

import pytest

from asyncnet import (
    ClosedError,
    DeadlineError,
    DisconnectedError,
    Endpoint,
    LimitError,
    Message,
    ProtocolError,
    RefusedError,
    UsageError,
    pop3,
)
from asyncnet.pop3 import Listing, Stat
from asyncnet.translation import translation
from tests.loops import on_both_loops
from tests.peers import MS, Script
from tests.pop3.talks import ALICE, GREETED, LEFT, SIGNED_IN, stuffed, unlocked, url


async def test_a_session_signs_in_and_leaves_with_quit() -> None:
    async with Script(GREETED + SIGNED_IN + LEFT) as peer:
        async with pop3.session(url(peer), ALICE) as maildrop:
            assert maildrop.is_open
        assert not maildrop.is_open


@on_both_loops
async def test_a_session_is_the_same_on_each_loop() -> None:
    talk = SIGNED_IN + "C: RETR 1\nS: +OK\nS: hello\nS: .\nC: NOOP\nsilence"
    async with Script(GREETED + talk) as peer, pop3.session(url(peer), ALICE) as maildrop:
        assert (await maildrop.retrieve(1)).raw == b"hello\r\n"
        with pytest.raises(DeadlineError):
            await maildrop.noop(timeout=10 * MS)


async def test_without_credentials_nobody_signs_in() -> None:
    async with Script(GREETED + LEFT) as peer, unlocked(peer):
        pass


async def test_a_session_is_opened_and_closed_by_hand_as_well() -> None:
    async with Script(GREETED + LEFT) as peer:
        maildrop = await unlocked(peer).open()
        await maildrop.aclose()
        await maildrop.aclose()


async def test_stat_counts() -> None:
    async with Script(GREETED + "C: STAT\nS: +OK 2 320" + LEFT) as peer, unlocked(peer) as maildrop:
        assert await maildrop.stat() == Stat(count=2, size=320)


async def test_list_gives_number_and_size_of_all_or_of_one() -> None:
    talk = r"""
        C: LIST
        S: +OK 2 messages
        S: 1 120
        S: 3 200
        S: .
        C: LIST 3
        S: +OK 3 200
        C: LIST 2
        S: -ERR it is deleted
    """
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        assert await maildrop.list() == [Listing(1, 120), Listing(3, 200)]
        assert await maildrop.list(3) == [Listing(number=3, size=200)]
        with pytest.raises(RefusedError, match="it is deleted") as caught:
            await maildrop.list(2)
        assert (caught.value.code, caught.value.operation) == ("-ERR", "LIST")
        assert caught.value.endpoint == url(peer)


async def test_uidl_maps_numbers_to_unique_ids() -> None:
    talk = r"""
        C: UIDL
        S: +OK
        S: 1 whqtswO00WBw418f9t5JxYwZ
        S: 2 QhdPYR:00WBw1Ph7x7
        S: .
        C: UIDL 2
        S: +OK 2 QhdPYR:00WBw1Ph7x7
    """
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        assert await maildrop.uidl() == {1: "whqtswO00WBw418f9t5JxYwZ", 2: "QhdPYR:00WBw1Ph7x7"}
        assert await maildrop.uidl(2) == {2: "QhdPYR:00WBw1Ph7x7"}


async def test_an_empty_maildrop_lists_nothing() -> None:
    talk = "C: LIST\nS: +OK\nS: .\nC: UIDL\nS: +OK\nS: ."
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        assert await maildrop.list() == []
        assert await maildrop.uidl() == {}


async def test_retrieve_gives_a_message_with_all_that_is_known_of_it() -> None:
    talk = r"""
        C: RETR 1
        S: +OK 9 octets
        send A: b\r\n\r\nc\r\n.\r\n
        C: UIDL
        S: +OK
        S: 1 abc
        S: .
        C: LIST
        S: +OK
        S: 1 9
        S: .
        C: RETR 1
        S: +OK message follows
        send A: b\r\n\r\nc\r\n.\r\n
    """
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        first = await maildrop.retrieve(1)
        assert first == Message(raw=b"A: b\r\n\r\nc\r\n", number=1, size=9)
        await maildrop.uidl()
        await maildrop.list()
        assert await maildrop.retrieve(1) == Message(raw=b"A: b\r\n\r\nc\r\n", uid="abc", number=1, size=9)
        assert first.parse()["A"] == "b"


ODD = {
    "8 bit": b"Subject: \xe4\xf6\xfc\xff\r\n\r\n\x80\x81\r\n",
    "dots": b".\r\n..\r\n...\r\n.hidden\r\nnot.hidden\r\n.\r\n",
    "a line of 100 KB": b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    "a header of 20 KB": b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    "NUL": b"a\0b\0\r\n\0\r\n",
    "bare line ends": b"a\rb\nc\n.\nd\r\r\n",
    "like a protocol": b"+OK\r\n-ERR\r\nQUIT\r\n* BYE\r\n",
    "only a line end": b"\r\n",
    "1 MB of dots": b".\r\n" * 333_333,
}


@pytest.mark.parametrize("name", ODD)
async def test_a_message_comes_byte_for_byte(name: str) -> None:
    talk = f"C: RETR 1\nS: +OK {len(ODD[name])} octets\ndump mail"
    bodies = {"mail": stuffed(ODD[name])}
    async with Script(GREETED + talk + LEFT, bodies=bodies) as peer, unlocked(peer) as maildrop:
        message = await maildrop.retrieve(1)
        assert message.raw == ODD[name]
        assert message.size == len(ODD[name])


async def test_an_empty_message_is_one_if_nothing_else_was_announced() -> None:
    talk = "C: RETR 1\nS: +OK\nS: .\nC: RETR 2\nS: +OK 0 octets\nS: ."
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        assert (await maildrop.retrieve(1)).raw == b""
        assert (await maildrop.retrieve(2)).raw == b""


@pytest.mark.parametrize("status", ["S: +OK 120 octets", "S: +OK"])
async def test_a_message_that_comes_empty_against_what_was_announced_is_an_error(status: str) -> None:
    talk = f"C: LIST 1\nS: +OK 1 120\nC: RETR 1\n{status}\nS: ."
    async with Script(GREETED + talk) as peer, unlocked(peer) as maildrop:
        await maildrop.list(1)
        with pytest.raises(ProtocolError, match="message 1 is of 120 bytes, and came empty"):
            await maildrop.retrieve(1)
        assert not maildrop.is_open


async def test_top_gives_the_header_and_so_many_lines() -> None:
    talk = r"""
        C: TOP 1 2
        S: +OK
        send A: b\r\n\r\n..c\r\nd\r\n.\r\n
        C: TOP 1 0
        S: +OK 900 octets
        send A: b\r\n\r\n.\r\n
    """
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer, max_message_bytes=100) as maildrop:
        assert await maildrop.top(1, 2) == Message(raw=b"A: b\r\n\r\n.c\r\nd\r\n", number=1, size=15)
        assert (await maildrop.top(1, 0)).raw == b"A: b\r\n\r\n"


async def test_noop_and_capabilities() -> None:
    talk = "C: NOOP\nS: +OK\nC: CAPA\nS: +OK\nS: Top\nS: SASL PLAIN\nS: .\nC: CAPA\nS: -ERR what?"
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        await maildrop.noop()
        assert await maildrop.capabilities() == {"TOP": (), "SASL": ("PLAIN",)}
        with pytest.raises(RefusedError):
            await maildrop.capabilities()


# Deletions


async def test_leaving_in_order_commits_and_quit_says_what_went() -> None:
    talk = "C: DELE 3\nS: +OK\nC: DELE 1\nS: +OK\nC: QUIT\nS: +OK"
    async with Script(GREETED + talk) as peer, unlocked(peer) as maildrop:
        await maildrop.delete(3)
        await maildrop.delete(1)
        assert await maildrop.quit() == [1, 3]
        with pytest.raises(ClosedError):
            await maildrop.quit()


async def test_leaving_the_block_commits() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK" + LEFT) as peer, unlocked(peer) as maildrop:
        await maildrop.delete(1)


async def test_of_two_that_quit_one_does() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK" + LEFT) as peer, unlocked(peer) as maildrop:
        await maildrop.delete(1)
        first, second = await asyncio.gather(maildrop.quit(), maildrop.quit(), return_exceptions=True)
        assert first == [1]
        assert isinstance(second, ClosedError)


async def test_reset_takes_deletions_back() -> None:
    talk = "C: DELE 1\nS: +OK\nC: RSET\nS: +OK\nC: QUIT\nS: +OK"
    async with Script(GREETED + talk) as peer, unlocked(peer) as maildrop:
        await maildrop.delete(1)
        await maildrop.reset()
        assert await maildrop.quit() == []


async def test_a_refused_deletion_is_not_reported_as_done() -> None:
    talk = "C: DELE 1\nS: -ERR no such message\nC: QUIT\nS: +OK"
    async with Script(GREETED + talk) as peer, unlocked(peer) as maildrop:
        with pytest.raises(RefusedError):
            await maildrop.delete(1)
        assert await maildrop.quit() == []


async def test_leaving_by_an_exception_says_no_quit() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK\neof") as peer:
        with pytest.raises(ZeroDivisionError):
            async with unlocked(peer) as maildrop:
                await maildrop.delete(1)
                1 / 0  # noqa: B018
        assert not maildrop.is_open


async def test_leaving_by_a_cancellation_says_no_quit() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK\neof") as peer:

        async def work() -> None:
            async with unlocked(peer) as maildrop:
                await maildrop.delete(1)
                deleted.set()
                await asyncio.Event().wait()

        deleted = asyncio.Event()
        task = asyncio.create_task(work())
        await deleted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


FAILED_QUITS = {
    "refused": ("S: -ERR some deleted messages not removed", RefusedError, "not removed"),
    "cut": ("cut", DisconnectedError, "closed the connection"),
    "reset": ("reset", DisconnectedError, "reset by the peer"),
    "garbage": ("S: bye", ProtocolError, "neither"),
    "half an answer": ("send +OK b\ncut", DisconnectedError, "closed the connection"),
}


@pytest.mark.parametrize("fault", FAILED_QUITS)
@pytest.mark.parametrize("by", ["leaving", "quit", "aclose"])
async def test_a_failed_quit_with_deletions_is_an_error(fault: str, by: str) -> None:
    step, kind, words = FAILED_QUITS[fault]
    async with Script(GREETED + f"C: DELE 2\nS: +OK\nC: QUIT\n{step}") as peer:
        with pytest.raises(kind, match=words) as caught:
            async with unlocked(peer) as maildrop:
                await maildrop.delete(2)
                if by != "leaving":
                    await getattr(maildrop, by)()
        assert caught.value.operation == "QUIT"
        assert "1 messages were marked as deleted" in caught.value.__notes__[0]
        assert not maildrop.is_open


@pytest.mark.parametrize("fault", FAILED_QUITS)
@pytest.mark.parametrize("by", ["leaving", "quit", "aclose"])
async def test_a_failed_quit_without_deletions_is_none(fault: str, by: str) -> None:
    step, _, _ = FAILED_QUITS[fault]
    async with Script(GREETED + f"C: STAT\nS: +OK 0 0\nC: QUIT\n{step}") as peer, unlocked(peer) as maildrop:
        await maildrop.stat()
        if by != "leaving":
            assert not await getattr(maildrop, by)()
    assert not maildrop.is_open


async def test_deletions_lost_with_the_session_are_told_when_the_block_is_left_as_if_nothing_were() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK\nC: NOOP\ncut") as peer:
        with pytest.raises(DisconnectedError, match=r"1 deletions were not done.*NOOP ended by DisconnectedError"):
            async with unlocked(peer) as maildrop:
                await maildrop.delete(1)
                with pytest.raises(DisconnectedError):
                    await maildrop.noop()


async def test_a_reply_too_many_before_quit_is_an_error_where_something_is_deleted() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK\nS: +OK again\neof") as peer:
        with pytest.raises(ProtocolError, match="a reply before its command"):
            async with unlocked(peer) as maildrop:
                await maildrop.delete(1)
                await peer.until(b"DELE")


# Arguments and states


@pytest.mark.parametrize("number", [0, -1, 10**9, "1", "1\r\nDELE 2", 1.5, None, b"1"])
@pytest.mark.parametrize("name", ["retrieve", "delete", "list", "uidl", "top"])
async def test_what_is_no_number_is_refused_before_a_byte_is_sent(name: str, number: object) -> None:
    async with Script(GREETED + LEFT) as peer, unlocked(peer) as maildrop:
        arguments = [number, 1] if name == "top" else [number]
        if number is None and name in ("list", "uidl"):
            return
        with pytest.raises(UsageError, match="not a number from 1"):
            await getattr(maildrop, name)(*arguments)
        assert maildrop.is_open


@pytest.mark.parametrize("lines", [-1, "5", "5\r\nDELE 1", 0.5])
async def test_what_is_no_count_of_lines_is_refused(lines: object) -> None:
    async with Script(GREETED + LEFT) as peer, unlocked(peer) as maildrop:
        with pytest.raises(UsageError, match="not a number from 0"):
            await maildrop.top(1, lines)  # type: ignore[arg-type]


async def test_true_counts_as_one() -> None:
    async with Script(GREETED + "C: DELE 1\nS: +OK" + LEFT) as peer, unlocked(peer) as maildrop:
        await maildrop.delete(True)


async def test_a_session_is_not_used_before_or_after() -> None:
    async with Script(GREETED + LEFT) as peer:
        maildrop = unlocked(peer)
        with pytest.raises(ClosedError, match="not open"):
            await maildrop.stat()
        async with maildrop:
            pass
        with pytest.raises(ClosedError, match="closed"):
            await maildrop.retrieve(1)
        with pytest.raises(ClosedError):
            await maildrop.open()


@pytest.mark.parametrize("place", ["imap://127.0.0.1", "http://127.0.0.1", "tcp://127.0.0.1:1"])
def test_another_protocols_endpoint_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="not an endpoint of pop3"):
        pop3.session(place)


def test_an_endpoint_may_be_parsed_already() -> None:
    endpoint = Endpoint.parse("pop3s://mail.example.org")
    assert pop3.session(endpoint).endpoint is endpoint


def test_what_poplib_says_by_itself_is_no_refusal() -> None:
    own = translation(poplib.error_proto("-ERR EOF"), pop3.Session.translations, "pop3://host", "STAT")
    theirs = translation(poplib.error_proto(b"-ERR no"), pop3.Session.translations, "pop3://host", "STAT")
    assert [type(own), type(theirs)] == [ProtocolError, RefusedError]
    assert str(theirs) == "STAT pop3://host: refused (-ERR no)"


async def test_a_refusal_leaves_the_session_open() -> None:
    talk = "C: RETR 7\nS: -ERR [SYS/TEMP] the disk is slow\nC: STAT\nS: +OK 1 2"
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        with pytest.raises(RefusedError) as caught:
            await maildrop.retrieve(7)
        assert caught.value.transient
        assert (await maildrop.stat()).count == 1


async def test_calls_at_the_same_time_wait_their_turn() -> None:
    talk = "C: STAT\npause 5\nS: +OK 1 2\nC: NOOP\nS: +OK\nC: LIST 1\nS: +OK 1 2"
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        stat, _, listed = await asyncio.gather(maildrop.stat(), maildrop.noop(), maildrop.list(1))
        assert (stat, listed) == (Stat(1, 2), [Listing(1, 2)])


async def test_each_session_has_a_thread_and_while_it_is_open_only() -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("asyncnet-pop3-")]

    async with Script(GREETED + LEFT, repeat=True) as peer:
        async with unlocked(peer), unlocked(peer):
            assert len(ours()) == 2
            assert all(thread.daemon for thread in ours())
        assert ours() == []


async def test_many_stuck_sessions_starve_nobody() -> None:
    async with Script(*[GREETED + "C: NOOP\nsilence"] * 40, GREETED + "C: NOOP\nS: +OK" + LEFT) as peer:
        stuck = [await unlocked(peer).open() for _ in range(40)]
        tasks = [asyncio.create_task(one.noop()) for one in stuck]
        async with unlocked(peer) as maildrop:
            await maildrop.noop()
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )


async def test_a_session_that_is_left_to_the_collector_complains_and_leaves_nothing() -> None:
    async with Script(GREETED + "eof") as peer:
        maildrop = await unlocked(peer).open()
        held = [maildrop]
        del maildrop
        with pytest.warns(ResourceWarning, match=f"unclosed {url(peer)}"):
            held.clear()


async def test_the_loop_goes_on_while_a_message_comes() -> None:
    talk = "C: RETR 1\nS: +OK\ndump mail\nS: ."
    body = b"x" * 998 + b"\r\n"
    async with Script(GREETED + talk + LEFT, bodies={"mail": body * 20_000}) as peer, unlocked(peer) as maildrop:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(maildrop.retrieve(1))
        worst = 0.0
        while not task.done():
            before = loop.time()
            await asyncio.sleep(0)
            worst = max(worst, loop.time() - before)
        assert len((await task).raw) == 20_000_000
        assert worst < 500 * MS  # not a measurement: only that nothing of its length runs on the loop


# Limits


async def test_a_message_that_is_listed_as_too_long_is_not_asked_for() -> None:
    talk = "C: LIST\nS: +OK\nS: 1 101\nS: .\nC: NOOP\nS: +OK"
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer, max_message_bytes=100) as maildrop:
        await maildrop.list()
        with pytest.raises(LimitError, match="101 bytes; at most 100") as caught:
            await maildrop.retrieve(1)
        assert (caught.value.limit, caught.value.operation) == (100, "RETR")
        await maildrop.noop()


@pytest.mark.parametrize("status", ["S: +OK 101 octets", r"S: +OK\nsend " + "x" * 99 + r"\r\n.\r\n"])
async def test_a_message_beyond_the_limit_closes_the_session(status: str) -> None:
    talk = "C: RETR 1\n" + status.replace(r"\nsend", "\nsend")
    async with Script(GREETED + talk, check=False) as peer, unlocked(peer) as maildrop:
        with pytest.raises(LimitError) as caught:
            await maildrop.retrieve(1, max_bytes=100)
        assert caught.value.limit == 100
        assert not maildrop.is_open


async def test_a_message_of_just_the_limit_is_taken() -> None:
    talk = r"C: RETR 1\nS: +OK 100 octets\nsend ".replace(r"\n", "\n") + "." + "." * 98 + r"\r\n.\r\n"
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer) as maildrop:
        assert (await maildrop.retrieve(1, max_bytes=100)).raw == b"." * 98 + b"\r\n"


async def test_a_listing_beyond_its_limits_closes_the_session() -> None:
    many = "\n".join(f"S: {number} 1" for number in range(1, 12))
    talk = f"C: LIST\nS: +OK\n{many}\nS: ."
    for limits in ({"max_lines": 10}, {"max_reply_bytes": 40}):
        async with Script(GREETED + talk, check=False) as peer, unlocked(peer, **limits) as maildrop:
            with pytest.raises(LimitError) as caught:
                await maildrop.list()
            assert caught.value.limit in limits.values()
            assert not maildrop.is_open
    async with Script(GREETED + talk + LEFT) as peer, unlocked(peer, max_lines=11) as maildrop:
        assert len(await maildrop.list()) == 11


async def test_a_line_beyond_poplibs_own_limit_is_taken_and_one_beyond_ours_is_not() -> None:
    talk = f"C: NOOP\nS: +OK {'x' * 5000}\nC: NOOP\nS: +OK {'x' * 10_000}"
    async with Script(GREETED + talk) as peer, unlocked(peer, max_line_bytes=10_000) as maildrop:
        await maildrop.noop()
        with pytest.raises(LimitError, match="a line of more than 10000 bytes"):
            await maildrop.noop()
        assert not maildrop.is_open
