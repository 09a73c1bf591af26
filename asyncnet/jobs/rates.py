"""Rate: how many requests and bytes a second a run may cost, in all and at each host. Pure: times in, times out.

A Pace is the generic cell rate algorithm (ITU-T I.371): it keeps one number, the time at which the next is due.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from asyncnet.errors import UsageError

_TOGETHER_SECONDS = 0.02
"""What is due within so long may go together: timers and other work of the loop make single waits no finer."""

_UNKNOWN_SECONDS = 0.02
"""How long the next waits while nobody knows yet how many bytes one has."""

_AHEAD_SECONDS = 1.0
"""So far ahead of its rate a Volume may be: what is under way had to be guessed."""

_SHARE = 1 / 16
"""What the last leaf counts in the guess: a big one is waited for by some of those that follow, and forgotten."""

_MARGIN = 1.01
"""How much slower than allowed we are, for the way may bring two requests closer together than they were sent."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a second; None is no limit.

    Args:
        requests: leaves (fetches, calls...) begun, at all hosts together.
        per_host: leaves begun at each host; or host -> how many, and no limit for hosts that are not named.
        max_bytes: bytes sent and received, at all hosts together.
        max_bytes_per_host: bytes sent and received at each host.

    Requests are spaced evenly, by a hundredth wider than asked; of more than 50 a second, those due within 20 ms may go
    together.

    Bytes are known when a leaf has ended; so leaves begin so far apart as those before them had bytes on average, and
    until the first has ended, 20 ms apart. A single download is not slowed: its timeout means what it says. Over a run
    the rate is kept on average; ahead of it are, at most, what comes in a second and the leaves under way (`limit`
    bodies, if none ends before all have begun).

    Raises:
        UsageError: a number that is not above 0.
    """

    requests: float | None = None
    per_host: float | Mapping[str, float] | None = None
    max_bytes: float | None = None
    max_bytes_per_host: float | None = None

    def __post_init__(self) -> None:
        named = self.per_host.values() if isinstance(self.per_host, Mapping) else [self.per_host]
        for number in (self.requests, self.max_bytes, self.max_bytes_per_host, *named):
            if number is not None and not number > 0:
                raise UsageError(f"a rate is a number a second, above 0: not {number}")

    def at(self, host: str) -> float | None:
        """Give the requests a second that `host` may have, or None."""
        return self.per_host.get(host) if isinstance(self.per_host, Mapping) else self.per_host


class Pace:
    """When the next may begin.

    Args:
        rate: how many a second, above 0.
        margin: how much wider than this they are spaced.
        together: what is due within so many seconds may go together.

    Attributes:
        opens: from when on the next may begin.
    """

    __slots__ = ("_due", "_margin", "_most", "_seconds_each", "_together", "opens")

    def __init__(self, rate: float, *, margin: float = 1.0, together: float = 0.0) -> None:
        self.opens = self._due = -math.inf
        self._margin = margin
        self._most = math.inf
        self._together = together
        self.change(rate)

    @classmethod
    def of_requests(cls, rate: float) -> Pace:
        """Give the pace of `rate` requests a second."""
        pace = cls(rate, margin=_MARGIN, together=_TOGETHER_SECONDS)
        pace._most = rate
        return pace

    def change(self, rate: float) -> None:
        """Go on at another rate, if none faster was ever asked for."""
        self._seconds_each = self._margin / min(rate, self._most)

    def take(self, now: float, amount: float = 1.0) -> None:
        """Count `amount` that begins (or of bytes: that was) at `now`, before its time or not."""
        self._due = max(self._due, now) + amount * self._seconds_each
        self.opens = self._due - max(0.0, self._together - self._seconds_each)


class Volume:
    """When the next may begin of what has bytes, so that these come at a rate, though their number is known at the end.

    Args:
        rate: bytes a second, above 0.

    Attributes:
        opens: from when on the next may begin.
    """

    __slots__ = ("_carried", "_early", "_mean", "_next", "_rate", "opens")

    def __init__(self, rate: float) -> None:
        self.opens = self._next = -math.inf
        self._rate = rate
        self._carried = Pace(rate)
        self._mean: float | None = None
        self._early = 0.0

    def begin(self, now: float) -> None:
        """Count one that begins at `now`, before its time or not; the next waits for as long as it will take."""
        seconds = _UNKNOWN_SECONDS if self._mean is None else self._mean / self._rate
        self._next = max(self._next, now) + seconds
        self._early = max(0.0, _TOGETHER_SECONDS - seconds)
        self._reckon()

    def carried(self, now: float, amount: int) -> None:
        """Count one that ended at `now`, and its bytes."""
        self._mean = amount if self._mean is None else self._mean + (amount - self._mean) * _SHARE
        self._carried.take(now, amount)
        self._reckon()

    def _reckon(self) -> None:
        self.opens = max(self._next - self._early, self._carried.opens - _AHEAD_SECONDS)
