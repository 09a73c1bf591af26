"""Sweep: silence, overlong stays and slow senders among a server's clients, judged for all of them by one timer.

It compares byte counters that are there anyway, so that a client costs no timer and a message nothing at all. The price
is precision: a limit ends a client after 1 to 1.25 times its seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

_TICKS = 4
_MIN_TICK_SECONDS = 0.005
RATE_GRACE_SECONDS = 10.0
"""How long the middle of a unit may take before its rate is judged."""


class Client(Protocol):
    """What is judged: counters, and where a limit's end is reported."""

    received_bytes: int
    sent_bytes: int
    opened_at: float
    partial_since: int | None  # `received_bytes` before the first byte of the unit that is waited for

    def expire(self, what: str, seconds: float) -> None:
        """End the connection: `what` took more than `seconds`."""


class Mark(NamedTuple):
    """What was known of a client at the last look: its bytes since when, and its unit since when."""

    heard: int
    heard_at: float
    partial: int | None
    partial_at: float


class Sweep:
    """The clock of a server.

    Args:
        clients: gives those who are to be judged.
        idle: seconds of silence in both directions that end a client, or None.
        total: seconds that it may stay, or None.
        min_rate: bytes a second that it must keep up in the middle of a unit that is being read, or 0.
        rate_grace: seconds before `min_rate` is judged.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clients: Callable[[], Iterable[Client]],
        *,
        idle: float | None = None,
        total: float | None = None,
        min_rate: float = 0.0,
        rate_grace: float = RATE_GRACE_SECONDS,
    ) -> None:
        self._loop = loop
        self._clients = clients
        self._idle, self._total, self._rate, self._grace = idle, total, min_rate, rate_grace
        limits = [limit for limit in (idle, total, rate_grace if min_rate else None) if limit is not None]
        self._tick = max(min(limits) / _TICKS, _MIN_TICK_SECONDS) if limits else None
        self._marks: dict[Client, Mark] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """See to it that the clients are looked at; nothing where there is no limit, or it runs already."""
        if self._tick is not None and self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._look)

    def stop(self) -> None:
        """Look no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._marks = {}

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        before, marks = self._marks, {}
        for client in list(self._clients()):
            mark = marks[client] = self._marked(client, before.get(client), now)
            self._judge(client, mark, now)
        self._marks = marks
        if marks:
            self.start()

    def _marked(self, client: Client, before: Mark | None, now: float) -> Mark:
        heard, partial = client.received_bytes + client.sent_bytes, client.partial_since
        if partial == client.received_bytes:
            partial = None  # between units, where silence is judged alone
        if before is None:
            return Mark(heard, client.opened_at if not heard else now, partial, now)
        if heard == before.heard and partial == before.partial:
            return before
        return Mark(
            heard,
            before.heard_at if heard == before.heard else now,
            partial,
            before.partial_at if partial == before.partial else now,
        )

    def _judge(self, client: Client, mark: Mark, now: float) -> None:
        if self._total is not None and now - client.opened_at >= self._total:
            client.expire("connection", self._total)
        elif self._idle is not None and now - mark.heard_at >= self._idle:
            client.expire("silence", self._idle)
        elif mark.partial is not None and self._is_slow(client.received_bytes - mark.partial, now - mark.partial_at):
            client.expire("a sender below the minimum rate", now - mark.partial_at)

    def _is_slow(self, received: int, seconds: float) -> bool:
        return self._rate > 0 and seconds >= self._grace and received < self._rate * seconds
