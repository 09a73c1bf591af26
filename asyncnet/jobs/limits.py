"""Hosts: how many leaves may be at one host at once, and from when on, whatever protocol they speak.

Pure counting: who waits for a place stands in a queue here, and whoever owns the queue decides what becomes of him, and
sets the timers. When there are many, those nobody is at or waits for are forgotten, so that a run over a million hosts
stays small.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

from asyncnet.errors import ConnectError, DisconnectedError
from asyncnet.jobs.adaptive import Adaptive, Tuner
from asyncnet.jobs.breaker import Breaker, BrokenCircuit, Circuit
from asyncnet.jobs.rates import Pace, Rate, Volume
from asyncnet.jobs.refusals import Patience, asks_for_patience

W = TypeVar("W")

_NO_RATE = Rate()
_SWEEP_AT = 1024
"""Of so many hosts, those that are idle and slow nobody down are forgotten, with what was learned of them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for each host of a run.

    Args:
        per_host: how many may be there at once; None is no limit.
        limit: how many may be anywhere at once.
        rate: what it may cost a second.
        breaker: when to leave it alone; None is never.
    """

    per_host: int | Adaptive | None = None
    limit: int = 64
    rate: Rate = _NO_RATE
    breaker: Breaker | None = None


class Host(Generic[W]):
    """One host: how many are there, and who waits to be.

    Attributes:
        active: how many are there.
        waiting: who waits.
        limit: how many may be there at once.
        opens: nobody enters before this time.
        timer: set by the owner for `opens`.
        successes: how many had an answer since somebody is there.
        is_plain: there is nothing to it but `limit`: no time counts, and of an answer it learns no more than that.
    """

    __slots__ = (
        "_bytes", "_circuit", "_is_paced", "_pace", "_patience", "_since", "_tuner",
        "active", "is_plain", "limit", "name", "opens", "successes", "timer", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, terms: Terms, now: float) -> None:
        self.name = name
        self.active = 0
        self.waiting: deque[W] = deque()
        self.opens = -math.inf
        self.timer: asyncio.TimerHandle | None = None
        self._since = now
        self.successes = 0
        self._patience: Patience | None = None
        per_host, rate = terms.per_host, terms.rate
        self._tuner: Tuner | None = None
        self.limit: float
        if isinstance(per_host, Adaptive):
            self._tuner = Tuner(per_host, terms.limit, now)
            self.limit = self._tuner.limit
        else:
            self.limit = math.inf if per_host is None else per_host
        self._circuit = None if terms.breaker is None else Circuit(terms.breaker)
        requests = rate.at(name)
        self._pace = None if requests is None else Pace.of_requests(requests)
        self._bytes = None if rate.max_bytes_per_host is None else Volume(rate.max_bytes_per_host)
        self._is_paced = self._pace is not None or self._bytes is not None
        self.is_plain = not self._is_paced and self._tuner is None and self._circuit is None

    def admit(self, now: float) -> bool:
        """Let one more enter, and count him; False if he may not."""
        if self.active >= self.limit:
            if self._tuner is not None:
                self._tuner.full()
            return False
        if self.opens > now:
            return False
        if not self.active and self._patience is None:
            self._since, self.successes = now, 0  # what was granted before nobody was there says little about a pace
        self.active += 1
        if self._is_paced:
            if self._pace is not None:
                self._pace.take(now)
            if self._bytes is not None:
                self._bytes.begin(now)
            self._reckon()
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.active -= 1

    def check(self, now: float) -> None:
        """Raise a BrokenCircuit where this host is to be left alone."""
        if self._circuit is not None:
            self._circuit.check(now, self.name)

    def succeeded(self, began: float, now: float) -> None:
        """Take note that one who began at `began` had an answer."""
        self.successes += 1
        if self._patience is not None:
            self._patience.succeeded()
            self._follow(now)
        if self._tuner is not None:
            self._tuner.succeeded(began, now)
            self.limit = self._tuner.limit
        if self._circuit is not None:
            self._circuit.ended(None, now)

    def failed(self, error: BaseException, began: float, now: float) -> None:
        """Take note of how one who began at `began` failed."""
        if isinstance(error, BrokenCircuit):
            return  # it was never there
        if self._circuit is not None:
            self._circuit.ended(error, now)
        refused = isinstance(error, Exception) and asks_for_patience(error)
        if refused:
            if self._patience is None:
                self._patience = Patience(self._since, self.successes)
                self.is_plain = False
            self._patience.refused(began, now, getattr(error, "retry_after", None))
            self._follow(now)
        if self._tuner is not None and (refused or isinstance(error, ConnectError | DisconnectedError | TimeoutError)):
            self._tuner.failed(began, now)
            self.limit = self._tuner.limit

    def carried(self, amount: int, now: float) -> None:
        """Count one who has ended, and the bytes that were sent and received."""
        if self._bytes is not None:
            self._bytes.carried(now, amount)
            self._reckon()

    def _follow(self, now: float) -> None:
        """Go at the pace that was learned, or at the one that was asked for, whichever is slower."""
        assert self._patience is not None
        rate = self._patience.rate(now)
        if rate is not None:
            if self._pace is None:
                self._pace = Pace(rate)
                self._is_paced = True
            self._pace.change(rate)
        self._reckon()

    def _reckon(self) -> None:
        opens = -math.inf if self._pace is None else self._pace.opens
        if self._patience is not None:
            opens = max(opens, self._patience.until)
        if self._bytes is not None:
            opens = max(opens, self._bytes.opens)
        self.opens = opens

    def is_idle(self, now: float) -> bool:
        """Whether nobody is there or waits, and nobody would have to."""
        if self.active or self.waiting or self.opens > now:
            return False
        return self._circuit is None or self._circuit.is_idle(now)


class Hosts(Generic[W]):
    """The hosts that a run is at.

    Args:
        terms: what holds for each.
        clock: what time it is, in seconds.
    """

    __slots__ = ("_clock", "_hosts", "_sweep_at", "terms")

    def __init__(self, terms: Terms, clock: Callable[[], float] = perf_counter) -> None:
        self.terms = terms
        self._clock = clock
        self._hosts: dict[str, Host[W]] = {}
        self._sweep_at = _SWEEP_AT

    def __iter__(self) -> Iterator[Host[W]]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    def enter(self, name: str) -> Host[W] | None:
        """Take a place at a host; None if it takes nobody now. Whoever entered leaves it: `Host.leave`."""
        host = self._hosts.get(name)
        if host is None:
            host = self._new(name)
        elif host.waiting:  # whoever came before goes first
            return None
        if host.is_plain and host.active:  # as a rule; what time it is does not matter
            if host.active >= host.limit:
                return None
            host.active += 1
            return host
        return host if host.admit(self._clock()) else None

    def _new(self, name: str) -> Host[W]:
        now = self._clock()
        if len(self._hosts) >= self._sweep_at:
            self._sweep(now)
        made = self._hosts[name] = Host(name, self.terms, now)
        return made

    def wait(self, name: str, who: W) -> Host[W]:
        """Stand in the queue of a host that took nobody."""
        host = self._hosts[name]
        host.waiting.append(who)
        return host

    def next_at(self, host: Host[W]) -> W | None:
        """Let the one who has waited longest enter, if the host takes anybody; None if not."""
        if host.waiting and host.admit(self._clock()):
            return host.waiting.popleft()
        return None

    def _sweep(self, now: float) -> None:
        for host in [host for host in self._hosts.values() if host.is_idle(now)]:
            del self._hosts[host.name]
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._hosts))
