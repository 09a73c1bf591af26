"""Many sessions at once: a bound on them, and those that are stuck starve none."""

import asyncio
import threading
import time

import pytest

from asyncnet import ConnectError, DeadlineError, pop3
from tests.peers import MS, Script
from tests.pop3.talks import GREETED, LEFT, unlocked, url


def _threads() -> int:
    return sum(thread.name.startswith("asyncnet-pop3-") for thread in threading.enumerate())


async def test_beyond_its_places_a_session_waits_for_one() -> None:
    places = asyncio.Semaphore(2)
    async with Script(GREETED + LEFT, repeat=True) as peer:
        first = await unlocked(peer, places=places).open()
        second = await unlocked(peer, places=places).open()
        third = asyncio.create_task(unlocked(peer, places=places).open())
        await asyncio.sleep(20 * MS)
        assert not third.done()
        assert peer.connections == 2
        await first.aclose()
        await (await third).aclose()
        await second.aclose()
    assert not places.locked()


async def test_the_wait_for_a_place_is_within_the_deadline() -> None:
    places = asyncio.Semaphore(1)
    async with Script(GREETED + LEFT) as peer, unlocked(peer, places=places):
        with pytest.raises(DeadlineError, match="a place among the sessions"):
            await unlocked(peer, places=places, timeout=30 * MS).open()
        assert peer.connections == 1
    assert not places.locked()


@pytest.mark.parametrize("end", ["refused", "cancelled", "in order", "twice"])
async def test_however_it_ends_it_gives_one_place_back(end: str) -> None:
    places = asyncio.Semaphore(3)
    async with Script(GREETED + LEFT, "silence", check=False) as peer:
        if end == "refused":
            with pytest.raises(ConnectError):
                await pop3.session("pop3://127.0.0.1:1", places=places).open()
        elif end == "cancelled":
            async with unlocked(peer):
                task = asyncio.create_task(unlocked(peer, places=places).open())
                await peer.until(2)
                task.cancel()
                await asyncio.wait([task])
        else:
            async with unlocked(peer, places=places) as maildrop:
                pass
            await maildrop.aclose()
            await maildrop._spoil("the test")
    assert places._value == 3


@pytest.mark.slow
async def test_two_hundred_sessions_of_which_fifty_are_stuck() -> None:
    mail = "C: RETR 1\nS: +OK\n" + "S: a line of it\n" * 50 + "S: .\n"
    async with (
        Script(GREETED + mail * 5 + LEFT, repeat=True) as good,
        Script(GREETED + "C: RETR 1\nS: +OK\nS: half\nsilence", repeat=True, check=False) as bad,
    ):

        async def work(number: int) -> int:
            peer = bad if number % 4 == 0 else good
            async with pop3.session(url(peer)) as maildrop:
                return sum([len((await maildrop.retrieve(1)).raw) for _ in range(5)])

        async def fetched(numbers: list[int]) -> float:
            start = time.monotonic()
            assert set(await asyncio.gather(*map(work, numbers))) == {50 * 14 * 5}
            return time.monotonic() - start

        well = [number for number in range(200) if number % 4]
        alone = await fetched(well)
        stuck = [asyncio.create_task(work(number)) for number in range(0, 200, 4)]
        await bad.until(50)
        await bad.until(b"RETR 1\r\n" * 50)
        together = await fetched(well)
        assert together < 5 * alone + 1.0  # neither waits for the other; the rest is the machine's own noise
        assert _threads() == 50
        start = time.monotonic()
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
        assert all(task.cancelled() for task in stuck)
        assert _threads() == 0
        assert time.monotonic() - start < 200 * MS
