"""Watchdog: the deadlines of one connection's reads and writes, kept by one timer that is re-armed only when it fires.

A wait notes when it must end and is forgotten when it ends; the timer looks at what is due when it fires.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Watched(Protocol):
    """Where a limit's end is reported."""

    def expire(self, what: str, seconds: float) -> None:
        """End the connection: `what` took more than `seconds`."""


class Watchdog:
    """The clock of one connection.

    Args:
        watched: the connection.
    """

    __slots__ = ("_due", "_loop", "_timer", "_watched", "read_due", "read_seconds", "writes")

    def __init__(self, loop: asyncio.AbstractEventLoop, watched: Watched) -> None:
        self._loop = loop
        self._watched: Watched | None = watched
        self.read_due: float | None = None
        self.read_seconds = 0.0
        self.writes: tuple[tuple[float, float], ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def read_by(self, due: float) -> None:
        """Let the read that waits now end by `due`; clear `read_due` when it goes on."""
        self.read_due = due
        self._arm(due)

    def write_by(self, ticket: tuple[float, float]) -> None:
        """Let a write that waits now end by a time; the ticket is that time and the seconds it was given."""
        self.writes += (ticket,)
        self._arm(ticket[0])

    def written(self, ticket: tuple[float, float]) -> None:
        """Forget a write that has ended."""
        writes = list(self.writes)
        writes.remove(ticket)
        self.writes = tuple(writes)

    def stop(self) -> None:
        """Forget everything; idempotent."""
        self._watched = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float | None) -> None:
        if due is None or self._watched is None:
            return
        if self._timer is not None:
            if self._due <= due:
                return  # it fires before that anyway, and looks again
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        watched, now = self._watched, self._loop.time()
        if watched is None:
            return
        if self.read_due is not None and self.read_due <= now:
            watched.expire("read", self.read_seconds)
        elif self.writes and min(self.writes)[0] <= now:
            watched.expire("write", min(self.writes)[1])
        else:
            dues = [due for due, _ in self.writes]
            self._arm(min(dues if self.read_due is None else [self.read_due, *dues], default=None))
