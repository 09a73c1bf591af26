"""Adaptive: how many at once a host takes well, found while a run goes on. Pure: times and results in, a number out.

Additive increase, multiplicative decrease, as of old; what speaks for a decrease is not refusals alone but latency: a
host that answers as quickly with more at once has room for more; one that answers later does not, and only queues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from asyncnet.errors import UsageError

_MIN_WINDOW = 0.02
"""Seconds that a look at the latency takes at least: shorter ones see noise."""

_TOLERANCE = 1.5
"""How much later than at its best a host may answer before it is asked for less at once."""

_REFUSED = 0.7
"""What a refusal or a lost connection leaves of the number."""

_FORGET_SECONDS = 10.0
"""After so long the best latency is measured anew, with half as many at once for one look: hosts change."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Instead of a fixed number at one host: as many as it answers without delay.

    Args:
        first: where it begins.
        least: it never becomes less.
        most: it never becomes more; None is the `limit` of the run.

    Raises:
        UsageError: not 1 <= least <= first <= most.
    """

    first: int = 8
    least: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.first <= (self.first if self.most is None else self.most):
            raise UsageError(f"1 <= least <= first <= most, not {self}")


class Tuner:
    """The number for one host.

    Args:
        terms: where it begins and ends.
        most: its upper end, where `terms` has none.
        now: when it begins.

    Attributes:
        limit: the number at this moment.
    """

    __slots__ = (
        "_begun",
        "_best",
        "_count",
        "_cut",
        "_least",
        "_most",
        "_renewed",
        "_resume",
        "_sum",
        "_used",
        "limit",
    )

    def __init__(self, terms: Adaptive, most: int, now: float) -> None:
        self._least = float(terms.least)
        self._most = float(terms.most or max(most, terms.least))
        self.limit = min(float(terms.first), self._most)
        self._best = math.inf
        self._renewed = now
        self._resume: float | None = None
        self._cut = -math.inf
        self._look(now)

    def _look(self, now: float) -> None:
        self._begun = now
        self._count = 0
        self._sum = 0.0
        self._used = False

    def full(self) -> None:
        """Take note that somebody had to wait: the number is what holds the run up."""
        self._used = True

    def failed(self, began: float, now: float) -> None:
        """Take note that one that began at `began` was refused, or lost its connection."""
        if began <= self._cut:
            return  # it was under way already when the number was cut
        self._cut = now
        self._resume = None
        self.limit = max(self._least, self.limit * _REFUSED)
        self._look(now)

    def succeeded(self, began: float, now: float) -> None:
        """Take note that one that began at `began` was answered at `now`."""
        if began < self._begun:
            return  # it felt another number
        self._count += 1
        self._sum += now - began
        if self._count >= self.limit / 2 and now - self._begun >= _MIN_WINDOW:
            self._judge(self._sum / self._count, now)
            self._look(now)

    def _judge(self, latency: float, now: float) -> None:
        if self._resume is not None:  # this was the look with half as many
            self._best, self._renewed, self.limit, self._resume = latency, now, self._resume, None
            return
        self._best = min(self._best, latency)
        if now - self._renewed >= _FORGET_SECONDS and latency > self._best:
            self._resume, self.limit = self.limit, max(self._least, self.limit / 2)
            return
        slowed = min(1.0, max(0.5, _TOLERANCE * self._best / latency)) if latency > 0 else 1.0
        if slowed == 1.0 and not self._used:
            return  # there were never as many: nothing is known of more
        self.limit = min(self._most, max(self._least, self.limit * slowed + math.sqrt(self.limit)))
