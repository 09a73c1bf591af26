"""Gate: where the leaves of a run pass one by one, as its rate allows for all hosts together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import perf_counter

from asyncnet.jobs.rates import Pace, Rate, Volume


class Gate:
    """The gate of one run, while it is in a loop.

    Args:
        rate: requests and bytes a second.
        wake: called when it opens, after `is_open` said no.

    Attributes:
        is_needed: whether there is anything to wait for at all.
    """

    __slots__ = ("_bytes", "_requests", "_timer", "_wake", "is_needed")

    def __init__(self, rate: Rate, wake: Callable[[], None]) -> None:
        self._requests = None if rate.requests is None else Pace.of_requests(rate.requests)
        self._bytes = None if rate.max_bytes is None else Volume(rate.max_bytes)
        self.is_needed = self._requests is not None or self._bytes is not None
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None

    def is_open(self) -> bool:
        """Whether the next may begin; if not, everybody is woken when it may."""
        now = perf_counter()
        opens = max((pace.opens for pace in (self._requests, self._bytes) if pace is not None), default=-math.inf)
        if opens <= now:
            return True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(opens - now, self._open)
        return False

    def _open(self) -> None:
        self._timer = None
        self._wake()

    def pay(self, *, has_bytes: bool = True) -> float:
        """Count a leaf that is about to begin; give the seconds that it has to wait, if above 0."""
        now = perf_counter()
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.opens - now
            self._requests.take(now)
        if self._bytes is not None and has_bytes:
            wait = max(wait, self._bytes.opens - now)
            self._bytes.begin(now)
        return wait

    def carried(self, amount: int) -> None:
        """Count a leaf that has ended, and the bytes that it sent and received."""
        if self._bytes is not None:
            self._bytes.carried(perf_counter(), amount)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._wake = _nobody  # whom it would wake holds it: a circle otherwise, which would keep all values


def _nobody() -> None: ...
