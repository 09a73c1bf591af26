"""Watchdog: every limit on time of one connection, kept by one timer that is re-armed only when it fires.

A wait notes when it must end and is forgotten when it ends; the timer looks at what is due when it fires. Silence and
rates are judged from byte counters that are there anyway, so that a message costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

_TICKS = 4
"""How often silence is looked at within its limit: it ends after 1 to 1.25 times the limit."""


class Watched(Protocol):
    """The counters that silence and rates are judged from, and where a limit's end is reported."""

    received_bytes: int
    sent_bytes: int
    partial_since: int | None  # `received_bytes` before the first byte of the unit that is waited for

    def expire(self, what: str, seconds: float) -> None:
        """End the connection: `what` took more than `seconds`."""


class Watchdog:
    """The clock of one connection.

    Args:
        watched: the connection.
        idle: seconds of silence in both directions that end it, or None.
        total: seconds that it may last, or None.
        min_rate: bytes a second that a sender must keep up in the middle of a unit that is being read, or 0.
        rate_grace: seconds before `min_rate` is judged.
    """

    __slots__ = (
        "_due",
        "_grace",
        "_heard",
        "_heard_at",
        "_idle",
        "_loop",
        "_partial",
        "_partial_at",
        "_rate",
        "_timer",
        "_total_at",
        "_watched",
        "read_due",
        "read_seconds",
        "total",
        "writes",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watched: Watched,
        *,
        idle: float | None = None,
        total: float | None = None,
        min_rate: float = 0.0,
        rate_grace: float = 10.0,
    ) -> None:
        now = loop.time()
        self._loop = loop
        self._watched: Watched | None = watched
        self._idle = idle
        self.total = total
        self._total_at = None if total is None else now + total
        self._rate, self._grace = min_rate, rate_grace
        self._heard, self._heard_at = 0, now
        self._partial: int | None = None
        self._partial_at = now
        self.read_due: float | None = None
        self.read_seconds = 0.0
        self.writes: tuple[tuple[float, float], ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._arm(self._next(now))

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
        for due, report in self._limits(watched, now):
            if due <= now:
                report()
                return
        self._arm(self._next(now))

    def _limits(self, watched: Watched, now: float) -> list[tuple[float, Callable[[], None]]]:
        limits: list[tuple[float, Callable[[], None]]] = []
        if self.read_due is not None:
            limits.append((self.read_due, lambda: watched.expire("read", self.read_seconds)))
        if self.writes:
            due, seconds = min(self.writes)
            limits.append((due, lambda: watched.expire("write", seconds)))
        if self._total_at is not None:
            limits.append((self._total_at, lambda: watched.expire("connection", self.total or 0.0)))
        if self._idle is not None:
            heard, idle = watched.received_bytes + watched.sent_bytes, self._idle
            if heard != self._heard:
                self._heard, self._heard_at = heard, now
            limits.append((self._heard_at + idle, lambda: watched.expire("silence", idle)))
        if self._rate and self._too_slow(watched, now):
            limits.append((now, lambda: watched.expire("a sender below the minimum rate", now - self._partial_at)))
        return limits

    def _too_slow(self, watched: Watched, now: float) -> bool:
        began = watched.partial_since
        if began is None or began == watched.received_bytes:
            self._partial = None  # between units, where silence is judged alone
            return False
        if began != self._partial:
            self._partial, self._partial_at = began, now
            return False
        seconds = now - self._partial_at
        return seconds >= self._grace and watched.received_bytes - began < self._rate * seconds

    def _next(self, now: float) -> float | None:
        dues = [due for due in (self.read_due, self._total_at) if due is not None]
        dues += [due for due, _ in self.writes]
        if self._idle is not None:
            dues.append(min(self._heard_at + self._idle, now + self._idle / _TICKS))
        if self._rate:
            dues.append(now + self._grace / _TICKS)
        return min(dues, default=None)
