"""Progress: how far a run is, in numbers and in a line. It counts; whoever draws asks for the line when he draws."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asyncnet.jobs.observer import Observer

if TYPE_CHECKING:
    from asyncnet.jobs.job import Job, Outcome

_WINDOW_SECONDS = 5.0
"""The time that rates are taken over: long enough to be read, short enough to show a stall."""
_MAX_CLASSES = 100
_SHOWN_CLASSES = 3


class Progress(Observer):
    """Counts the jobs of a run; given to it as an observer.

    Args:
        total: how many jobs there are to be, if that is known: for the time that is left.
        clock: seconds.

    Attributes:
        begun: how many jobs have begun.
        done: how many of them ended well.
        failed: how many failed.
        retries: how many attempts followed a failed one.
        received_bytes: of bodies and messages.
        errors: how many failed by each class of error.
    """

    def __init__(self, total: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.begun = self.done = self.failed = self.retries = 0
        self.received_bytes = 0
        self.errors: Counter[str] = Counter()
        self._begun_ended = 0
        self._clock = clock
        self._start = clock()
        self._samples: deque[tuple[float, int, int]] = deque([(self._start, 0, 0)])

    def asked(self, job: Job[Any]) -> bool:
        """Leave none out."""
        return True

    def began(self, job: Job[Any], attempt: int) -> None:
        """Count it."""
        if attempt == 1:
            self.begun += 1

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Count it."""
        self.retries += 1

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Count it."""
        self.received_bytes += outcome.received_bytes
        if outcome.attempts:
            self._begun_ended += 1
        if outcome.error is None:
            self.done += 1
            return
        self.failed += 1
        name = type(outcome.error).__name__
        self.errors[name if name in self.errors or len(self.errors) < _MAX_CLASSES else "other"] += 1

    @property
    def in_flight(self) -> int:
        """How many have begun and not ended."""
        return self.begun - self._begun_ended

    @property
    def ended_jobs(self) -> int:
        """How many have ended, well or not."""
        return self.done + self.failed

    def rates(self) -> tuple[float, float]:
        """Give jobs and bytes a second, over the last few seconds; each call is a sample."""
        now, samples = self._clock(), self._samples
        samples.append((now, self.ended_jobs, self.received_bytes))
        while len(samples) > 2 and samples[1][0] <= now - _WINDOW_SECONDS:
            samples.popleft()
        then, jobs, received = samples[0]
        seconds = max(now - then, 1e-3)
        return (self.ended_jobs - jobs) / seconds, (self.received_bytes - received) / seconds

    def line(self) -> str:
        """Say it in a line: `204 done, 512/s, 3.1 MB/s, 64 in flight, 12 retries, 2 failed (2 StatusError), ETA 0:12`.

        To be drawn about ten times a second; what was drawn counts for the rates.
        """
        jobs, received = self.rates()
        parts = [self._amount(), f"{jobs:,.0f}/s" if jobs >= 10 else f"{jobs:.1f}/s"]
        if self.received_bytes:
            parts.append(f"{received / 1e6:.1f} MB/s" if received >= 1e5 else f"{received / 1e3:.1f} kB/s")
        parts.append(f"{self.in_flight:,} in flight")
        if self.retries:
            parts.append(f"{self.retries:,} {'retry' if self.retries == 1 else 'retries'}")
        if self.failed:
            parts.append(f"{self.failed:,} failed ({self._classes()})")
        if self.total is not None and jobs > 0 and self.total > self.ended_jobs:
            parts.append(f"ETA {_clock_time((self.total - self.ended_jobs) / jobs)}")
        return ", ".join(parts)

    def _amount(self) -> str:
        if not self.total:
            return f"{self.done:,} done"
        return f"{self.done:,} of {self.total:,} done"

    def _classes(self) -> str:
        common = self.errors.most_common(_SHOWN_CLASSES + 1)
        shown = [f"{count:,} {name}" for name, count in common[:_SHOWN_CLASSES]]
        return ", ".join(shown + ["..."] * (len(common) > _SHOWN_CLASSES))

    async def aclose(self) -> None:
        """Nothing is left to do."""


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
