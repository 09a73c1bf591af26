"""places.py: so many and no more, first come first served, and nobody's end loses a place."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from asyncnet.deadline import deadline
from asyncnet.errors import DeadlineError, UsageError
from asyncnet.places import Places
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS


class Keeper:
    """Keeps so many idle connections; each takes a turn of the loop to end."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def part_with_one(self) -> bool:
        await asyncio.sleep(0)
        if not self.count:
            return False
        self.count -= 1
        return True


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("most", "per_origin"), [(0, 1), (1, 0), (-1, 1)])
def test_numbers_below_one_are_refused(most: int, per_origin: int) -> None:
    with pytest.raises(UsageError):
        Places(most, per_origin)


async def test_whoever_finds_no_place_waits_and_they_go_in_order() -> None:
    places = Places(2, 2)
    order: list[int] = []

    async def one(number: int) -> None:
        await places.enter()
        order.append(number)
        await turns()
        places.leave()

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(one(number))
        await turns(2)
        assert order == [0, 1]
        assert places.waiting == 4
    assert order == list(range(6))
    assert places.waiting == 0


async def test_an_origin_has_a_limit_of_its_own_and_holds_up_no_other() -> None:
    places = Places(10, 1)
    async with places.at("a"):
        with pytest.raises(DeadlineError, match="waiting for a place at the host"):
            async with deadline(20 * MS), places.at("a"):
                pass
        async with places.at("b"):
            pass
    async with places.at("a"):
        pass
    assert not places._origins


async def test_waiting_in_all_is_named_and_ended_by_the_deadline() -> None:
    places = Places(1, 1)
    await places.enter()
    with pytest.raises(DeadlineError, match="waiting for a place among the connections"):
        async with deadline(20 * MS):
            await places.enter()
    places.leave()
    async with deadline(1000 * MS):
        await places.enter()


async def test_whoever_is_given_a_place_and_cancelled_in_the_same_turn_passes_it_on() -> None:
    places = Places(1, 1)
    await places.enter()
    first, second = (asyncio.create_task(places.enter()) for _ in range(2))
    await turns(1)
    places.leave()
    first.cancel()
    await asyncio.wait({first})
    async with deadline(1000 * MS):
        await second
    assert places.waiting == 0


async def test_idle_ones_that_hold_a_place_are_ended_for_one_who_waits() -> None:
    places = Places(1, 1)
    await places.enter()

    def ends_one() -> bool:
        asyncio.get_running_loop().call_soon(places.leave)
        return True

    places.yielders.append(lambda: False)
    places.yielders.append(ends_one)
    async with deadline(1000 * MS):
        await places.enter()


async def test_idle_ones_that_hold_none_are_ended_where_there_would_be_too_many() -> None:
    places, keeper = Places(3, 3), Keeper(5)
    places.keeper = keeper
    await places.open()
    assert keeper.count == 2
    await places.open()
    await places.open()
    assert keeper.count == 0


async def test_room_that_cannot_be_made_gives_the_place_back() -> None:
    class Broken(Keeper):
        async def part_with_one(self) -> bool:
            raise ZeroDivisionError

    places = Places(1, 1)
    places.keeper = Broken(1)
    with pytest.raises(ZeroDivisionError):
        await places.open()
    places.keeper = None
    async with deadline(1000 * MS):
        await places.open()


async def test_closing_lets_all_who_wait_go_on() -> None:
    places = Places(1, 1)
    await places.enter()

    async def at_the_host() -> None:
        async with places.at("a"):
            await asyncio.sleep(0)

    async with places.at("a"):
        waiting = [asyncio.create_task(places.enter()) for _ in range(3)]
        waiting += [asyncio.create_task(at_the_host()) for _ in range(3)]
        await turns(1)
        places.close()
        async with deadline(1000 * MS):
            await asyncio.gather(*waiting)


async def test_cancelled_at_each_await_no_place_is_lost() -> None:
    places = Places(1, 1)
    keeper = places.keeper = Keeper(0)
    busy = asyncio.Event()

    async def somebody() -> None:
        async with places.at("a"):
            await places.enter()
            busy.set()
            await turns(3)
            keeper.count = 2
            places.leave()

    async def work() -> None:
        await busy.wait()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(places.at("a"))
            await places.open()
            stack.callback(places.leave)
            await asyncio.sleep(0)

    async def whole() -> None:
        busy.clear()
        other = asyncio.create_task(somebody())
        try:
            await work()
        finally:
            await asyncio.wait({other})

    assert await cancelled_at_each_await(whole) >= 4
    async with deadline(1000 * MS):
        await work()
    assert not places._origins
    assert places.waiting == 0
