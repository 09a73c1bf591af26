"""Report: a run as one page of HTML that needs nothing else: how fast, how slow, what failed, where the time went.

Its size is bounded: of a long run the waterfall shows a sample, hosts beyond the first thousand are one row, and the
page says so.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncnet.daemon import in_daemon
from asyncnet.errors import NetError, UsageError, printable
from asyncnet.jobs.observer import Observer
from asyncnet.jobs.tracks import CURRENT, Sample, Track, heard
from asyncnet.trace import tracing

if TYPE_CHECKING:
    from asyncnet.jobs.job import Job, Outcome

_MAX_HOSTS = 1000
_MAX_CLASSES = 100
_MAX_TEXTS = 5
_MAX_TICKS = 240
"""Points of the chart over time; when there are more, two become one."""
_FINE = 40
"""Counts for each power of ten, so that a quantile is right to 3 %; four of them are a bar of the histogram."""
_BAR = 4
_SHORTEST = 1e-4
_COUNTS = 7 * _FINE + _BAR
"""From 0.1 ms to 1,000 s."""


class Durations:
    """How often how long: counts by the logarithm of the seconds."""

    __slots__ = ("counts", "longest", "total")

    def __init__(self) -> None:
        self.counts = array("L", bytes(_COUNTS * array("L").itemsize))
        self.longest = 0.0
        self.total = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        place = math.log10(seconds / _SHORTEST) * _FINE if seconds > _SHORTEST else 0
        self.counts[min(int(place), _COUNTS - 1)] += 1
        self.total += 1
        self.longest = max(self.longest, seconds)

    def bars(self) -> list[int]:
        """Give the bars of the histogram."""
        return [sum(self.counts[at : at + _BAR]) for at in range(0, _COUNTS, _BAR)]

    def quantile(self, part: float) -> float:
        """Give the seconds that this part of them stayed below, to within a bar; 0 if there are none."""
        wanted, so_far = part * self.total, 0
        for place, number in enumerate(self.counts):
            so_far += number
            if so_far >= wanted and number:
                return float(min(_SHORTEST * 10 ** ((place + 0.5) / _FINE), self.longest))
        return self.longest


class _Host:
    __slots__ = ("done", "durations", "failed", "received", "retries")

    def __init__(self) -> None:
        self.done = self.failed = self.retries = self.received = 0
        self.durations = Durations()


class _Failure:
    __slots__ = ("number", "texts", "transient")

    def __init__(self) -> None:
        self.number = self.transient = 0
        self.texts: list[str] = []


class Timeline:
    """What ended in each span of time; the spans grow with the run."""

    def __init__(self) -> None:
        self.span = 0.1
        self.ticks: list[list[int]] = []

    def add(self, at: float, *, failed: bool, received: int) -> None:
        """Count one that ended `at` seconds after the beginning."""
        place = int(max(at, 0.0) / self.span)
        while place >= _MAX_TICKS:
            self.span *= 2
            ticks = self.ticks + [[0, 0, 0]] * (len(self.ticks) % 2)
            pairs = zip(ticks[::2], ticks[1::2], strict=True)
            self.ticks = [[a + b for a, b in zip(one, two, strict=True)] for one, two in pairs]
            place = int(at / self.span)
        while len(self.ticks) <= place:
            self.ticks.append([0, 0, 0])
        tick = self.ticks[place]
        tick[failed] += 1
        tick[2] += received


class Report(Observer):
    """Writes a page about a run when it ends; given to it as an observer.

    Args:
        path: of the page. A file that is there is replaced when the new one is whole.
        title: what the page is called.
        clock: seconds, as those of the trace.

    Raises:
        UsageError: nothing can be written there.

    Run within `report.listening()`, it also learns the steps of each job: resolve, connect, TLS, login, request,
    transfer. Those of the parts of `all_of` and `first_of` that other workers do it does not hear.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        title: str = "asyncnet run",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._title = printable(title)
        self._clock = clock
        self._start = clock()
        self._date = time.time()
        self._tracks: dict[Job[Any], Track] = {}
        self._sample = Sample()
        self._durations = Durations()
        self._timeline = Timeline()
        self._hosts: dict[str, _Host] = {}
        self._failures: dict[str, _Failure] = {}
        self._done = self._failed = self._retries = self._received = 0
        if not self._path.parent.is_dir() or self._path.is_dir():
            raise UsageError(f"cannot write the report {path}: no such folder, or a folder itself")

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the trace of what is run inside of the block."""
        with tracing(heard):
            yield

    def asked(self, job: Job[Any]) -> bool:
        """Note when, and leave none out."""
        self._tracks[job] = Track(job._shown, job.host or "", self._clock())
        return True

    def began(self, job: Job[Any], attempt: int) -> None:
        """Note when; the trace of this context is the job's from here on."""
        track = self._tracks[job]
        track.attempts = attempt
        track.began = track.began or self._clock()
        CURRENT.set(track)

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Count it."""
        self._retries += 1
        self._host(self._tracks[job].host).retries += 1

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Count it, and keep its track if it is chosen."""
        track = self._tracks.pop(job)
        CURRENT.set(None)
        track.ended, track.attempts = self._clock(), outcome.attempts
        track.received_bytes = outcome.received_bytes
        host, error = self._host(track.host), outcome.error
        if error is None:
            self._done += 1
            host.done += 1
        else:
            self._failed += 1
            host.failed += 1
            track.error = self._failure(error)
        self._received += outcome.received_bytes
        host.received += outcome.received_bytes
        self._durations.add(outcome.seconds)
        host.durations.add(outcome.seconds)
        self._timeline.add(track.ended - self._start, failed=error is not None, received=outcome.received_bytes)
        self._sample.add(track)

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            name = name if len(self._hosts) < _MAX_HOSTS else "all other hosts"
            host = self._hosts.setdefault(name, _Host())
        return host

    def _failure(self, error: Exception) -> str:
        kind = type(error).__name__
        failure = self._failures.get(kind)
        if failure is None:
            kind = kind if len(self._failures) < _MAX_CLASSES else "other"
            failure = self._failures.setdefault(kind, _Failure())
        failure.number += 1
        failure.transient += bool(getattr(error, "transient", False))
        text = str(error) if isinstance(error, NetError) else printable(kind)
        if len(failure.texts) < _MAX_TEXTS and text not in failure.texts:
            failure.texts.append(text)
        return f"{kind}: {text}"

    def data(self) -> dict[str, Any]:
        """Give all that the page shows, as a value for JSON."""
        seconds = self._clock() - self._start
        quantiles = {
            name: self._durations.quantile(part) for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
        return {
            "title": self._title,
            "date": self._date,
            "seconds": seconds,
            "done": self._done,
            "failed": self._failed,
            "retries": self._retries,
            "received": self._received,
            **quantiles,
            "longest": self._durations.longest,
            "histogram": {"shortest": _SHORTEST, "step": 10 ** (_BAR / _FINE), "counts": self._durations.bars()},
            "timeline": {"span": self._timeline.span, "ticks": self._timeline.ticks},
            "errors": [[kind, f.number, f.transient, f.texts] for kind, f in self._failures.items()],
            "hosts": [_host_row(name, host) for name, host in self._hosts.items()],
            "seen": self._sample.seen,
            "tracks": [self._track_row(track) for track in self._sample.tracks()],
        }

    def _track_row(self, track: Track) -> list[Any]:
        start = self._start
        steps = [[kind, _ms(at - start), _ms(seconds), detail] for kind, at, seconds, detail in track.steps]
        began = track.began or track.ended
        times = [_ms(track.asked - start), _ms(began - start), _ms(track.ended - start)]
        return [
            printable(track.name),
            printable(track.host, max_characters=100),
            *times,
            track.attempts,
            track.received_bytes,
            track.error,
            steps,
        ]

    async def aclose(self) -> None:
        """Write the page."""
        from asyncnet.jobs.page import page  # a run without a report needs none of it

        text = page(self.data())
        await in_daemon(lambda: self._write(text))

    def _write(self, text: str) -> None:
        beside = self._path.with_name(f".{self._path.name}.part")
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, self._path)
        finally:
            beside.unlink(missing_ok=True)


def _host_row(name: str, host: _Host) -> list[Any]:
    p50, p95 = (_ms(host.durations.quantile(part)) for part in (0.5, 0.95))
    return [
        printable(name, max_characters=100) or "(no host)",
        host.done,
        host.failed,
        host.retries,
        host.received,
        p50,
        p95,
        _ms(host.durations.longest),
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
