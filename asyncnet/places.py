"""Places: how many connections there may be at once, in all and at each origin; who finds none waits in line.

A place is held while a connection is in use. What only waits for its next user holds none, or gives it up when asked,
so that idle connections to one host never keep others from theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from asyncnet.deadline import phase
from asyncnet.errors import UsageError


class Keeper(Protocol):
    """Who keeps idle connections that hold no place."""

    @property
    def count(self) -> int:
        """How many there are."""

    async def part_with_one(self) -> bool:
        """End the one that nobody wanted for longest, and wait for that; False if there is none."""


class Places:
    """Counts connections.

    Args:
        most: how many there may be in all.
        per_origin: how many may be in use at one scheme, host and port.

    Attributes:
        per_origin: as given.
        waiting: how many wait for a place: then none should be held in idleness.
        keeper: who keeps idle connections that hold no place.
        yielders: each ends an idle connection that holds a place, and gives whether there was one; its place comes
            back by `leave` a moment later.
    """

    def __init__(self, most: int, per_origin: int) -> None:
        if most < 1 or per_origin < 1:
            raise UsageError("a number of connections is at least 1")
        self.per_origin = per_origin
        self.keeper: Keeper | None = None
        self.yielders: list[Callable[[], bool]] = []
        self._most = most
        self._taken = 0
        self.waiting = 0
        self._free = asyncio.Semaphore(most)
        self._origins: dict[str, _Origin] = {}

    async def enter(self) -> None:
        """Take a place, and wait until there is one; `leave` gives it back, once."""
        if self._free.locked():
            phase("waiting for a place among the connections")
            self.waiting += 1
            try:
                any(ends_one() for ends_one in self.yielders)
                await self._free.acquire()
            finally:
                self.waiting -= 1
        else:
            await self._free.acquire()
        self._taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._free.release()

    async def make_room(self) -> None:
        """Before a connection is made, by whoever has a place for it: end the idle ones that would be too many."""
        keeper = self.keeper
        while keeper is not None and self._taken + keeper.count > self._most and await keeper.part_with_one():
            pass

    async def open(self) -> None:
        """Take a place for a new connection: `enter` and `make_room`."""
        await self.enter()
        try:
            await self.make_room()
        except BaseException:
            self.leave()
            raise

    def close(self) -> None:
        """Let all who wait go on, to find that all is over; nothing is counted any more."""
        for _ in range(self.waiting):
            self._free.release()
        for origin in self._origins.values():
            for _ in range(origin.users):
                origin.free.release()

    @asynccontextmanager
    async def at(self, origin: str) -> AsyncIterator[None]:
        """Be one of those at an origin for the length of a block; waits until there are not too many."""
        here = self._origins.get(origin)
        if here is None:
            here = self._origins[origin] = _Origin(self.per_origin)
        here.users += 1
        try:
            if here.free.locked():
                phase("waiting for a place at the host")
            async with here.free:
                yield
        finally:
            here.users -= 1
            if not here.users:
                del self._origins[origin]


class _Origin:
    """One origin, as long as somebody is there or waits to be."""

    __slots__ = ("free", "users")

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0
