"""Download and delete: nothing goes that was not confirmed, and nothing is called gone before the server says so."""

import asyncio
from pathlib import Path

import pytest

from asyncnet import ClosedError, DisconnectedError, Message, RefusedError, UsageError, pop3
from tests.peers import Script
from tests.pop3.talks import ALICE, LEFT, url
from tests.pop3.test_messages import PIPELINED, asked, contents, given, text

THREE = PIPELINED + contents(9, 9, 9) + asked(1, 2, 3) + given(1, 2, 3)
UIDS = "C: UIDL\nS: +OK\nS: 1 uid-1\nS: 2 uid-2\nS: 3 uid-3\nS: .\n"


class Memory(set[str]):
    """A memory that notes what it was told."""

    def __init__(self, *uids: str) -> None:
        super().__init__(uids)
        self.told: list[tuple[str, ...]] = []

    async def add(self, *uids: str) -> None:  # type: ignore[override]
        self.told.append(("+", *uids))
        self.update(uids)

    async def discard(self, *uids: str) -> None:  # type: ignore[override]
        self.told.append(("-", *uids))
        self.difference_update(uids)


def opened(peer: Script) -> pop3.Session:
    return pop3.session(url(peer), ALICE)


async def test_only_what_was_confirmed_goes_and_only_with_quit() -> None:
    async with Script(THREE + "C: DELE 1\nC: DELE 3\nS: +OK\nS: +OK\nC: QUIT\nwait quit\nS: +OK") as peer:
        async with opened(peer) as maildrop:

            async def work() -> pop3.Taking:
                async with maildrop.take() as taking:
                    async for message in taking:
                        assert message.raw == text(message.number or 0)
                        if message.number != 2:
                            await taking.confirm(message)
                    assert b"DELE" not in peer.received
                    assert taking.deleted is None
                return taking

            task = asyncio.create_task(work())
            await peer.until("quit")
            assert not task.done()
            peer.release("quit")
            assert (await task).deleted == [1, 3]
            assert not maildrop.is_open


async def test_left_by_an_exception_it_deletes_nothing_and_the_session_goes_on() -> None:
    async with Script(THREE + LEFT) as peer, opened(peer) as maildrop:
        with pytest.raises(LookupError):
            async with maildrop.take() as taking:
                async for message in taking:
                    await taking.confirm(message)
                raise LookupError
        assert taking.deleted is None
        assert maildrop.is_open


async def test_cancelled_it_deletes_nothing() -> None:
    confirmed = asyncio.Event()

    async def work() -> None:
        async with opened(peer) as maildrop, maildrop.take() as taking:
            async for message in taking:
                await taking.confirm(message)
                confirmed.set()
                await asyncio.Event().wait()

    async with Script(THREE, check=False) as peer:
        task = asyncio.create_task(work())
        await confirmed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert b"DELE" not in peer.received
    assert b"QUIT" not in peer.received


@pytest.mark.parametrize(("answer", "error"), [("S: -ERR not all", RefusedError), ("cut", DisconnectedError)])
async def test_no_success_is_reported_without_the_ok_of_quit(answer: str, error: type[Exception]) -> None:
    memory = Memory()
    talk = THREE + UIDS + "C: DELE 1\nC: DELE 2\nC: DELE 3\nS: +OK\nS: +OK\nS: +OK\nC: QUIT\n" + answer
    async with Script(talk) as peer:
        maildrop = await opened(peer).open()
        taking = maildrop.take(seen=memory)
        with pytest.raises(error):
            async with taking:
                await taking.confirm(*[message async for message in taking])
        assert taking.deleted is None
        assert memory == {"uid-1", "uid-2", "uid-3"}  # so that the next run deletes, and does not give them again


async def test_the_memory_has_a_message_before_it_is_deleted_and_forgets_it_when_it_is_gone() -> None:
    memory = Memory()
    talk = THREE + UIDS + "C: DELE 1\nC: DELE 2\nS: +OK\nS: +OK" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        async with maildrop.take(seen=memory) as taking:
            async for message in taking:
                if message.number != 3:
                    await taking.confirm(message)
                    assert message.uid in memory
        assert taking.deleted == [1, 2]
    assert memory.told == [("+", "uid-1"), ("+", "uid-2"), ("-", "uid-1", "uid-2")]


async def test_what_the_memory_has_is_deleted_and_not_given_again() -> None:
    memory = Memory("uid-2", "of another day")
    talk = PIPELINED + contents(9, 9, 9) + asked(1, 3) + given(1, 3) + UIDS + "C: DELE 2\nC: DELE 3\nS: +OK\nS: +OK"
    async with Script(talk + LEFT) as peer, opened(peer) as maildrop:
        async with maildrop.take(seen=memory) as taking:
            messages = [message async for message in taking]
            await taking.confirm(messages[1])
        assert [message.number for message in messages] == [1, 3]
        assert taking.deleted == [2, 3]
    assert memory == {"of another day"}


async def test_a_message_is_taken_once_across_runs_that_break(tmp_path: Path) -> None:
    runs = [
        THREE + "silence",
        PIPELINED + contents(9, 9, 9) + asked(2, 3) + given(2, 3) + UIDS + "C: DELE 1\nC: DELE 2\nC: DELE 3\ncut",
        PIPELINED + contents(9, 9, 9) + UIDS + "C: DELE 1\nC: DELE 2\nC: DELE 3\nS: +OK\nS: +OK\nS: +OK" + LEFT,
    ]
    stored: list[bytes] = []
    async with Script(*runs, check=False) as peer:
        for number in range(3):
            try:
                async with pop3.SeenFile(tmp_path / "seen") as memory, opened(peer) as maildrop:
                    async with maildrop.take(seen=memory) as taking:
                        async for message in taking:
                            stored.append(message.raw)
                            await taking.confirm(message)
                            if number == 0:
                                raise LookupError  # killed after the first
            except (LookupError, DisconnectedError):
                assert number < 2
    assert stored == [text(1), text(2), text(3)]
    assert taking.deleted == [1, 2, 3]
    async with pop3.SeenFile(tmp_path / "seen") as memory:
        assert len(memory) == 0
    assert peer.mismatches == []


async def test_left_early_it_drops_the_rest_and_deletes_what_was_confirmed() -> None:
    async with Script(THREE + "C: DELE 1\nS: +OK" + LEFT) as peer, opened(peer) as maildrop:
        async with maildrop.take() as taking:
            async for message in taking:
                await taking.confirm(message)
                break
        assert taking.deleted == [1]


async def test_a_deletion_that_is_refused_is_told_after_the_others_were_done() -> None:
    memory = Memory()
    talk = THREE + UIDS + "C: DELE 1\nC: DELE 2\nC: DELE 3\nS: +OK\nS: -ERR no\nS: +OK" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        with pytest.raises(RefusedError, match="DELE"):
            async with maildrop.take(seen=memory) as taking:
                await taking.confirm(*[message async for message in taking])
        assert not maildrop.is_open
    assert memory == {"uid-2"}


async def test_nothing_confirmed_is_nothing_deleted() -> None:
    async with Script(PIPELINED + contents() + LEFT) as peer, opened(peer) as maildrop:
        async with maildrop.take() as taking:
            assert [message async for message in taking] == []
        assert taking.deleted == []


async def test_what_was_not_taken_here_cannot_be_confirmed() -> None:
    async with Script(THREE + LEFT) as peer, opened(peer) as maildrop:
        async with maildrop.take() as taking:
            first = await anext(taking)
            for other in (Message(b"", number=3), Message(b"", number=1, uid="other"), Message(b"")):
                with pytest.raises(UsageError, match="taken here"):
                    await taking.confirm(first, other)
    assert b"DELE" not in peer.received


async def test_a_session_that_was_lost_in_the_block_is_no_success() -> None:
    async with Script(PIPELINED + contents(9) + asked(1) + given(1) + "C: NOOP\ncut") as peer:
        maildrop = await opened(peer).open()
        with pytest.raises(ClosedError):
            async with maildrop.take() as taking:
                await taking.confirm(await anext(taking))
                with pytest.raises(DisconnectedError):
                    await maildrop.noop()
        assert taking.deleted is None


async def test_a_server_without_unique_ids_goes_with_no_memory() -> None:
    talk = PIPELINED + contents(9, uids="S: -ERR what\n") + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        with pytest.raises(RefusedError):
            async with maildrop.take(seen=Memory()) as taking:
                await anext(taking)
