"""Pace: so many messages a second and no more. Pure: whoever waits has its own clock."""

from __future__ import annotations

import math

from asyncnet.errors import UsageError


class Pace:
    """Says how long to wait before each message.

    Args:
        rate: messages a second; None is no limit.

    Raises:
        UsageError: `rate` is not a positive number.
    """

    def __init__(self, rate: float | None) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise UsageError(f"a rate is a positive number of messages a second: not {rate}")
        self._gap = 0.0 if rate is None else 1 / rate
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Give the seconds from `now` until the next message may go; it counts as gone then."""
        due = max(now, self._next)
        self._next = due + self._gap
        return due - now
