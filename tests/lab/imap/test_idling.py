"""IDLE: what happens is told as it happens."""

import asyncio

from asyncnet.lab.lab import Lab
from tests.clock import MS
from tests.lab.imap.raw import opened, signed_in, until

RAW = "Subject: x\n\nx"


async def test_news_come_while_the_client_waits(lab: Lab) -> None:
    lab.deliver(RAW)
    async with opened(lab) as raw, opened(lab) as other:
        await raw.send("i IDLE\r\n")
        assert await raw.response() == b"+ idling\r\n"
        lab.deliver(RAW)
        assert [await raw.response(), await raw.response()] == [b"* 2 EXISTS\r\n", b"* 2 RECENT\r\n"]
        await other.ok(r"STORE 1 FLAGS (\Deleted)")
        assert await raw.response() == b"* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))\r\n"
        await other.ok("EXPUNGE")
        assert await raw.response() == b"* 1 EXPUNGE\r\n"
        await raw.send("done\r\n")
        assert await raw.until(b"i ") == [b"OK idled"]


async def test_what_came_before_is_told_first(lab: Lab) -> None:
    async with opened(lab) as raw:
        lab.deliver(RAW)
        await raw.send("i IDLE\r\n")
        assert await raw.response() == b"* 1 EXISTS\r\n"


async def test_done_may_follow_at_once_and_other_words_are_bad(lab: Lab) -> None:
    async with opened(lab) as raw:
        await raw.send("i IDLE\r\nDONE\r\nj NOOP\r\n")
        assert await raw.until(b"j ") == [b"+ idling"]
        assert await raw.until(b"j ") == [b"i OK idled", b"OK nothing done"]
        for wrong in ("FOO", "k NOOP", "x" * 5000):
            await raw.send(f"i IDLE\r\n{wrong}\r\n")
            assert await raw.response() == b"+ idling\r\n"
            assert (await raw.until(b"i "))[-1].startswith(b"BAD")
        await raw.ok("NOOP")


async def test_done_may_come_in_two_pieces_around_a_push(lab: Lab) -> None:
    async with opened(lab) as raw:
        await raw.send("i IDLE\r\n")
        await raw.response()
        await raw.send("DO")
        lab.deliver(RAW)
        assert await raw.response() == b"* 1 EXISTS\r\n"
        await raw.send("NE\r\n")
        assert (await raw.until(b"i "))[-1] == b"OK idled"


async def test_without_a_mailbox_it_only_waits(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        await raw.send("i IDLE\r\n")
        await raw.response()
        lab.deliver(RAW)
        await raw.send("DONE\r\n")
        assert await raw.until(b"i ") == [b"OK idled"]


async def test_a_lost_push_is_told_with_the_next_one(lab: Lab) -> None:
    rule = lab.faults.on("imap", "PUSH", silence=True, times=1)
    async with opened(lab) as raw:
        await raw.send("i IDLE\r\n")
        await raw.response()
        lab.deliver(RAW)
        await until(lambda: rule.met)
        lab.deliver(RAW)
        assert await raw.response() == b"* 2 EXISTS\r\n"


async def test_a_doubled_push_is_told_twice_and_what_follows_is_not(lab: Lab) -> None:
    lab.faults.on("imap", "PUSH", duplicate=True, times=1)
    async with opened(lab) as raw:
        await raw.send("i IDLE\r\n")
        await raw.response()
        lab.deliver(RAW)
        told = [await raw.response() for _ in range(4)]
        assert told == [b"* 1 EXISTS\r\n", b"* 1 RECENT\r\n"] * 2
        await raw.send("DONE\r\n")
        assert await raw.until(b"i ") == [b"OK idled"]


async def test_what_happens_during_a_push_is_told_behind_it(lab: Lab) -> None:
    slow = lab.faults.on("imap", "PUSH", drip=MS, times=1)
    async with opened(lab) as raw:
        await raw.send("i IDLE\r\n")
        await raw.response()
        lab.deliver(RAW)
        await until(lambda: slow.met)
        lab.deliver(RAW)
        told = [await raw.response() for _ in range(4)]
        assert told == [b"* 1 EXISTS\r\n", b"* 1 RECENT\r\n", b"* 2 EXISTS\r\n", b"* 2 RECENT\r\n"]


async def test_many_idle_at_once_and_leave_without_a_word(lab: Lab) -> None:
    async def waits() -> None:
        async with opened(lab) as raw:
            await raw.send("i IDLE\r\n")
            assert await raw.response() == b"+ idling\r\n"
            assert await raw.response() == b"* 1 EXISTS\r\n"

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(waits())
        listeners = lab.mailbox("me")._listeners
        await until(lambda: len(listeners) == 20 and all(one.__self__.on_change for one in listeners))
        lab.deliver(RAW)
    await until(lambda: not lab.mailbox("me")._listeners)
