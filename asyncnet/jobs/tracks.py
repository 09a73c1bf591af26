"""Tracks: what each job of a run was at, when, for the report; of a long run a fair sample, and what stands out.

A track is a job's way from being asked for to its end, with its steps (resolve, connect, tls, auth, request, transfer)
as the trace tells them. Those of jobs under way are all kept; of those that have ended the slowest, the first that
failed, and a random choice in which each has the same chance.
"""

from __future__ import annotations

import heapq
import random
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncnet.trace import TraceEvent

_MAX_STEPS = 60
"""Steps of one job, attempts and redirects together."""


@dataclass(slots=True, eq=False)
class Track:
    """The way of one job; times are of `time.monotonic`.

    Args:
        name: of the job, as anybody may read it.
        host: where its first leaf goes.
        asked: when the run took it from its source.
        began: when its first attempt began; 0 if none did.
        ended: when it ended.
        attempts: how many there were.
        received_bytes: of bodies and messages.
        error: the class and text of its failure; empty if it did not fail.
        steps: (kind, began, seconds, detail).
    """

    name: str
    host: str
    asked: float
    began: float = 0.0
    ended: float = 0.0
    attempts: int = 0
    received_bytes: int = 0
    error: str = ""
    steps: list[tuple[str, float, float, str]] = field(default_factory=list)

    def add(self, event: TraceEvent) -> None:
        """Take a step of it from the trace."""
        if len(self.steps) >= _MAX_STEPS:
            return
        kind = event.kind
        if kind == "request":
            return  # it is over when the first byte is there, and told then
        if kind in ("done", "error"):
            self._conclude(event)
            return
        step = "request" if kind == "first_byte" else kind
        self.steps.append((step, event.at - event.seconds, event.seconds, event.detail))

    def _conclude(self, event: TraceEvent) -> None:
        """What came after the last step is the transfer; an error ends what it was in."""
        began = event.at - event.seconds
        last = max((at + seconds for _, at, seconds, _ in self.steps), default=began)
        since = max(began, last)
        if event.at - since > 0:
            kind = "transfer" if event.kind == "done" else "failed"
            self.steps.append((kind, since, event.at - since, event.detail))


CURRENT: ContextVar[Track | None] = ContextVar("asyncnet_track", default=None)
"""the track of the job that is at work in this context"""


def heard(event: TraceEvent) -> None:
    """Be the sink of the trace of a run."""
    track = CURRENT.get()
    if track is not None:
        track.add(event)


class Sample:
    """Some of many tracks.

    Args:
        fair: how many are chosen at random.
        slowest: how many of the slowest are kept as well.
        failed: how many of the first that failed are kept as well.
        seed: of the choice.

    Attributes:
        seen: of how many.
    """

    def __init__(self, fair: int = 300, slowest: int = 50, failed: int = 100, *, seed: int | None = None) -> None:
        self.seen = 0
        self._fair = fair
        self._slowest = slowest
        self._failed = failed
        self._random = random.Random(seed)
        self._chosen: list[Track] = []
        self._failures: list[Track] = []
        self._slow: list[tuple[float, int, Track]] = []
        self._order = count()

    def add(self, track: Track) -> None:
        """Offer one that has ended."""
        self.seen += 1
        if len(self._chosen) < self._fair:
            self._chosen.append(track)
        else:
            place = int(self._random.random() * self.seen)
            if place < self._fair:
                self._chosen[place] = track
        if track.error and len(self._failures) < self._failed:
            self._failures.append(track)
        seconds = track.ended - track.asked
        if len(self._slow) < self._slowest:
            heapq.heappush(self._slow, (seconds, next(self._order), track))
        elif seconds > self._slow[0][0]:
            heapq.heapreplace(self._slow, (seconds, next(self._order), track))

    def tracks(self) -> list[Track]:
        """Give them, in the order in which they were asked for."""
        every = {id(track): track for track in (*self._chosen, *self._failures, *(one for _, _, one in self._slow))}
        return sorted(every.values(), key=lambda track: track.asked)
