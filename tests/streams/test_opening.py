"""What connect() and serve() give back: to be awaited, or entered."""

from types import TracebackType

import pytest

from asyncnet.streams.opening import Opening


class Door:
    """Notes how it was left."""

    def __init__(self) -> None:
        self.left_with: list[type[BaseException] | None] = []

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left_with.append(kind)


async def open_door() -> Door:
    return Door()


async def open_nothing() -> Door:
    raise ValueError("locked")


async def test_awaited_it_stays_open() -> None:
    door = await Opening(open_door)
    assert door.left_with == []


async def test_entered_it_is_closed_at_the_end() -> None:
    async with Opening(open_door) as door:
        assert door.left_with == []
    assert door.left_with == [None]


async def test_what_ended_the_block_is_handed_on() -> None:
    with pytest.raises(KeyError):
        async with Opening(open_door) as door:
            raise KeyError
    assert door.left_with == [KeyError]


async def test_it_may_be_opened_again() -> None:
    opening = Opening(open_door)
    async with opening as first:
        pass
    async with opening as second:
        pass
    assert await opening not in (first, second)
    assert (first.left_with, second.left_with) == ([None], [None])


async def test_what_does_not_open_raises() -> None:
    opening = Opening(open_nothing)
    with pytest.raises(ValueError, match="locked"):
        await opening
    with pytest.raises(ValueError, match="locked"):
        async with opening:
            raise AssertionError("not reached")


def test_what_is_never_opened_costs_nothing() -> None:
    Opening(open_door)  # and nobody complains of a coroutine that was never awaited
