"""Shard: a share of the hosts of a run over many machines, and what of their jobs waits or is leased. Pure.

A host belongs to one shard, by a hash of its name, and a shard to one worker at a time: so what holds for a host (how
many at once, how many a second) is kept by one runner, as without a cluster.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from asyncnet.errors import NetError
from asyncnet.jobs.job import Job, Outcome
from asyncnet.jobs.lease import Parcel
from asyncnet.jobs.station import Terms

MAX_LOSSES = 3
"""A job at work on so many workers that were lost is not given to another: it may be what kills them."""


@dataclass(slots=True, eq=False)
class Item:
    """A job of the run.

    Args:
        index: its number.
        job: the job.
        parcel: it, packed.
        losses: how many workers were lost with it.
    """

    index: int
    job: Job[Any]
    parcel: Parcel
    losses: int = 0


@dataclass(slots=True, eq=False)
class Shard:
    """One share.

    Args:
        terms: what holds for its station.
        waiting: jobs that are to be leased.
        leased: jobs that are, by their numbers.
        worker: the address of its worker, empty while it has none.
        who: what tells that worker from others at the same address.
        station: the number of its station there.
        shunned: the address of the worker that was lost last: it may be listed for a while yet.
        failing: since when no station could be opened, by the loop's clock; None while that is not so.
    """

    terms: Terms
    waiting: deque[Item] = field(default_factory=deque)
    leased: dict[int, Item] = field(default_factory=dict)
    worker: str = ""
    who: str = ""
    station: str = ""
    shunned: str = ""
    failing: float | None = None

    @property
    def room(self) -> int:
        """How many more may be leased: so many that the station has work while a lease is on its way."""
        return 2 * self.terms.batch + self.terms.limit - len(self.leased)

    def lease(self) -> list[Item]:
        """Take what is leased next."""
        items = [self.waiting.popleft() for _ in range(min(len(self.waiting), self.room))]
        self.leased.update((item.index, item) for item in items)
        return items

    def lose(self) -> list[Item]:
        """Take note that the worker is lost; gives what cannot be done again, and puts the rest in front."""
        self.shunned = self.worker
        self.worker = self.who = self.station = ""
        gone: list[Item] = []
        for item in reversed(self.leased.values()):
            item.losses += 1
            if item.parcel.repeatable and item.losses < MAX_LOSSES:
                self.waiting.appendleft(item)
            else:
                gone.append(item)
        self.leased.clear()
        return gone


def shares(terms: Terms, number: int) -> list[Terms]:
    """Share out what holds for the whole run, among no more than `number` and the run's limit."""
    number = min(number, terms.limit)
    whole, rest = divmod(terms.limit, number)
    rate = replace(
        terms.rate,
        requests=None if terms.rate.requests is None else terms.rate.requests / number,
        max_bytes=None if terms.rate.max_bytes is None else terms.rate.max_bytes / number,
    )
    parked = max(1, terms.max_parked // number)
    return [replace(terms, limit=whole + (at < rest), rate=rate, max_parked=parked) for at in range(number)]


def shard_of(host: str | None, index: int, number: int) -> int:
    """Say whose a job is: its host's, or anybody's if it has none."""
    return index % number if host is None else zlib.crc32(host.encode("utf-8", "surrogatepass")) % number


def lost(item: Item) -> Outcome[Any]:
    """Give the outcome of a job that was lost with its worker and is not done again."""
    if item.parcel.repeatable:
        error = NetError(f"{item.losses} workers were lost while they had this")
    else:
        error = NetError("the worker was lost while it had this: nobody knows whether it was done")
        error.outcome_unknown = True
    return Outcome(item.job.name, None, error, item.losses)
