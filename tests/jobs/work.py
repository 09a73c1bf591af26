"""Work for the tests of jobs: leaves that count themselves, wait for the test, and fail as told."""

import asyncio
from collections import Counter

from asyncnet.errors import NetError
from asyncnet.jobs import Job, call
from tests.clock import MS


class Trouble(NetError):
    """A failure that comes again each time."""


class Passing(NetError):
    """A failure that passes."""

    _transient = True


class Site:
    """A place where leaves work: knows how many are there at once, in all and per host, and who came in which order."""

    def __init__(self) -> None:
        self.active = 0
        self.most = 0
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.most_at: Counter[str] = Counter()
        self._at: Counter[str] = Counter()
        self._gates: dict[str, asyncio.Event] = {}

    def leaf(self, name, value=None, *, host=None, turns=0, until=None, error=None, failures=None) -> Job:
        """A leaf that works for some turns of the loop or until the gate `until` is opened, then gives or fails.

        `error` is raised each time, or the first `failures` times.
        """
        left = [failures if failures is not None else -1]

        async def work():
            self._enter(name, host)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if until is not None:
                    await self.gate(until).wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self._leave(host)
            if error is not None and left[0] != 0:
                left[0] -= 1
                raise error
            self.ended.append(name)
            return name if value is None else value

        return call(work, name=name, host=host)

    def gate(self, name) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def until(self, condition) -> None:
        """Wait until the condition holds; AssertionError if it does not in good time."""
        for turn in range(10_000):
            if condition():
                return
            await asyncio.sleep(0 if turn < 1000 else 1 * MS)
        raise AssertionError(f"it never came to that: begun {self.begun[-20:]}, ended {self.ended[-20:]}")

    def _enter(self, name, host) -> None:
        self.begun.append(name)
        self.active += 1
        self.most = max(self.most, self.active)
        if host is not None:
            self._at[host] += 1
            self.most_at[host] = max(self.most_at[host], self._at[host])

    def _leave(self, host) -> None:
        self.active -= 1
        if host is not None:
            self._at[host] -= 1


async def settle(turns=50) -> None:
    """Let everything happen that needs nothing but turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
