"""Fleet: a run over many machines, seen from home. It stands where a Crew stands, and does no job itself.

One task takes jobs from the source and puts each to the shard of its host; one for each shard leases them to the
station of its worker, and tells what came back: to the observers, so that a journal at home is the truth, and to
whoever asked for the run. A worker that is lost loses what it had leased: that is leased to another, or has failed
with an outcome unknown where it must not be done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asyncnet.errors import ClosedError, ConnectError, DeadlineError, NetError, ProtocolError, UsageError
from asyncnet.jobs.cluster import Cluster, Link, WorkerLost, own_version
from asyncnet.jobs.job import Job, Outcome
from asyncnet.jobs.lease import Name, Parcel, packed
from asyncnet.jobs.limits import Terms as Limits
from asyncnet.jobs.parting import outlasted
from asyncnet.jobs.reply import heard
from asyncnet.jobs.shard import Item, Shard, lost, shard_of, shares
from asyncnet.jobs.source import Source
from asyncnet.jobs.station import Terms

_logger = logging.getLogger(__name__)

_LINGER_SECONDS = 0.05
"""How long a lease waits for its batch to become full."""

_AGAIN_SECONDS = 0.25
_MANY = 256
"""Jobs that are taken from the source before others have the loop."""


class Fleet:
    """The home of one run.

    Args:
        source: where the jobs come from, and where their ends are told.
        cluster: where the workers are, as `jobs.run` takes it.
        limits: what holds for the whole run; it is shared out.
        max_parked: how many jobs may be set aside before no more are taken from the source.
        timeout: seconds for the whole run; None is no limit.
        retry_budget: what trying again may cost.

    Raises:
        UsageError: what `cluster` names cannot be used.
    """

    def __init__(
        self,
        source: Source,
        cluster: Cluster | str | bool,
        limits: Limits,
        *,
        max_parked: int,
        timeout: float | None,
        retry_budget: float | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._cluster = where = Cluster.of(cluster)
        self._terms = Terms(
            limits.limit, limits.per_host, limits.rate, max_parked, retry_budget, limits.breaker,
            where.batch, where.max_value_bytes, where.client, where.credentials,
        )  # fmt: skip
        self._timeout = None if timeout == math.inf else timeout
        self._shards: list[Shard] = []
        self._changed = asyncio.Event()  # jobs came, or all have
        self._left = asyncio.Event()  # jobs went
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = self._loop.create_task(self._work())

    async def aclose(self) -> None:
        """End what is leased, and give all back; cancelled, it goes on waiting, in bounded time."""
        async with contextlib.AsyncExitStack() as stack:
            if self._source.audience is not None:
                stack.push_async_callback(self._source.audience.aclose)
            stack.push_async_callback(self._source.aclose)
            if self._task is not None:
                self._task.cancel()
                await outlasted([self._task])

    # The run.

    async def _work(self) -> None:
        try:
            await self._in_time()
        except Exception as error:
            self._source.break_off(error)
        finally:
            self._tell_over()

    async def _in_time(self) -> None:
        try:
            async with asyncio.timeout(self._timeout) as limit:
                await self._connected()
        except TimeoutError:
            if not limit.expired():
                raise
            self._expire()

    async def _connected(self) -> None:
        async with Link(self._cluster) as link:
            workers = await self._some_workers(link)
            number = min(len(workers), self._cluster.workers or len(workers))
            self._shards = [Shard(terms) for terms in shares(self._terms, number)]
            try:
                await self._tasks([self._distribute(), *(self._tend(link, shard) for shard in self._shards)])
            finally:
                await self._recall(link)

    async def _tasks(self, coroutines: Iterable[Any]) -> None:
        """Run them all; what one of them raises ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for coroutine in coroutines:
                    group.create_task(coroutine)
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            raise first from first.__cause__

    async def _recall(self, link: Link) -> None:
        """Close all stations, and take what had ended."""

        async def recall(shard: Shard) -> None:
            if shard.station:
                with contextlib.suppress(NetError):
                    self._hear(shard, await link.close(shard.worker, shard.station))

        async with asyncio.TaskGroup() as group:
            for shard in self._shards:
                group.create_task(recall(shard))

    # From the source to the shards.

    async def _distribute(self) -> None:
        source = self._source
        while not source.exhausted:
            if source.is_full:
                await source.room()
            await self._room()
            job = await source.draw() if source.is_async else source.next_job()
            if job is not None:
                self._place(job)
            if job is None or source.begun % _MANY == 0:
                await asyncio.sleep(0)
            if source.broken is not None:
                return
        self._changed.set()

    async def _room(self) -> None:
        """Wait while enough jobs wait to be leased: for busy hosts, as a rule."""
        most = max(self._terms.max_parked, 2 * self._terms.batch * len(self._shards))
        while sum(len(shard.waiting) for shard in self._shards) >= most:
            self._left.clear()
            await self._left.wait()

    def _place(self, job: Job[Any]) -> None:
        index = self._source.begun
        self._source.begun += 1
        try:
            parcel = packed(job)
        except UsageError as error:
            if self._source.audience is not None:
                self._source.audience.began(job, 1)
            self._end(job, index, Outcome(job.name, None, error))
            return
        shard = self._shards[shard_of(job.host, index, len(self._shards))]
        shard.waiting.append(Item(index, job, parcel))
        self._changed.set()

    # Shards and their stations.

    async def _tend(self, link: Link, shard: Shard) -> None:
        while not self._is_over:
            if not shard.waiting and not shard.leased:
                self._changed.clear()
                await self._changed.wait()
                continue
            if not shard.leased and len(shard.waiting) < shard.terms.batch and not self._source.exhausted:
                await asyncio.sleep(_LINGER_SECONDS)
            if not shard.who and not await self._settle(link, shard):
                continue
            jobs, names = self._leased(shard)
            self._left.set()
            try:
                held = self._hear(shard, await link.lease(shard.worker, shard.who, shard.station, jobs, names))
                if held != len(shard.leased):
                    raise ProtocolError(f"it holds {held} of {len(shard.leased)} jobs that were leased to it")
            except (WorkerLost, ClosedError, ProtocolError) as error:
                await self._give_up(link, shard, error)
                self._lose(shard)
                await asyncio.sleep(_AGAIN_SECONDS)  # until the scheduler knows of it too
        self._changed.set()

    async def _give_up(self, link: Link, shard: Shard, error: NetError) -> None:
        """Close the station of a worker that is there and not understood, lest it does what another does again."""
        if isinstance(error, ProtocolError):
            _logger.warning("the worker at %s is given up: %s", shard.worker, error)
            with contextlib.suppress(NetError):
                await link.close(shard.worker, shard.station)

    @property
    def _is_over(self) -> bool:
        """Whether nothing is left to do, or the run is broken off."""
        if self._source.broken is not None:
            return True
        return self._source.exhausted and not any(shard.waiting or shard.leased for shard in self._shards)

    def _leased(self, shard: Shard) -> tuple[list[tuple[int, bytes]], list[Name]]:
        """Tell the observers what is leased next, and give it."""
        jobs: list[tuple[int, bytes]] = []
        names: set[Name] = set()
        audience = self._source.audience
        for item in shard.lease():
            if audience is not None:
                audience.began(item.job, item.losses + 1)
                if not item.parcel.repeatable:
                    audience.committing(item.job)
            jobs.append((item.index, item.parcel.data))
            names |= item.parcel.names
        return jobs, sorted(names, key=str)

    async def _settle(self, link: Link, shard: Shard) -> bool:
        """Open a station for a shard, at the worker that has the fewest; False if that one was lost meanwhile.

        Raises:
            ConnectError: that went on for as long as the cluster is to be waited for.
        """
        workers = await self._some_workers(link)
        taken = Counter(other.worker for other in self._shards)
        worker = min(workers, key=lambda worker: (worker == shard.shunned, taken[worker]))
        station = uuid.uuid4().hex
        shard.worker, shard.station = worker, station  # counted from now on, and closed whatever happens
        try:
            who, version = await link.open(worker, station, shard.terms)
        except (WorkerLost, ClosedError, ProtocolError) as error:
            await self._give_up(link, shard, error)
            shard.worker, shard.station, shard.shunned = "", "", worker
            now = self._loop.time()
            shard.failing = now if shard.failing is None else shard.failing
            if now - shard.failing > self._cluster.patience:
                why = f"no worker could be used for {self._cluster.patience:g} seconds: {error.message}"
                raise ConnectError(why, endpoint=self._cluster.address) from error
            await asyncio.sleep(_AGAIN_SECONDS)
            return False
        if version != (ours := own_version()):
            raise UsageError(f"the worker at {worker} has asyncnet {version}, and here is {ours}")
        shard.who, shard.failing = who, None
        return True

    async def _some_workers(self, link: Link) -> list[str]:
        """Wait until there is a worker.

        Raises:
            ConnectError: there was none for as long as the cluster is to be waited for.
        """
        end = self._loop.time() + self._cluster.patience
        while not (workers := await link.workers()):
            if self._loop.time() >= end:
                raise ConnectError(f"no worker for {self._cluster.patience:g} seconds", endpoint=self._cluster.address)
            await asyncio.sleep(_AGAIN_SECONDS)
        return workers

    # What comes of it.

    def _hear(self, shard: Shard, data: bytes) -> int:
        """Tell what a station told, but not for a second time; gives how many jobs it has yet.

        Raises:
            ProtocolError: it told nothing that can be understood.
        """
        reply, audience = heard(data), self._source.audience
        for number, error, delay in reply.troubles:
            if audience is not None and number in shard.leased:
                audience.retrying(shard.leased[number].job, error, delay)
        for number, outcome in reply.ended:
            item = shard.leased.pop(number, None)
            if item is not None:
                attempts = outcome.attempts + item.losses
                self._end(item.job, number, replace(outcome, name=item.job.name, attempts=attempts))
        return reply.held

    def _lose(self, shard: Shard) -> None:
        for item in shard.lose():
            self._end(item.job, item.index, lost(item))

    def _end(self, job: Job[Any], index: int, outcome: Outcome[Any]) -> None:
        source = self._source
        source.ended += 1
        if source.audience is None or source.audience.ended(job, outcome):
            source.told(index, outcome)

    def _expire(self) -> None:
        """The run's time is up: what is leased has failed, and what waits never began."""
        source, seconds = self._source, self._timeout or 0.0
        for shard in self._shards:
            for item in [*shard.leased.values(), *shard.waiting]:
                attempts = 1 + item.losses if item.index in shard.leased else item.losses
                self._end(item.job, item.index, _too_late(item.job, item.parcel, seconds, attempts))
            shard.leased.clear()
            shard.waiting.clear()
        source.expire()
        while not source.exhausted and (job := source.next_job()) is not None:
            index, source.begun = source.begun, source.begun + 1
            self._end(job, index, _too_late(job, None, seconds, 0))
        source.exhausted = True

    def _tell_over(self) -> None:
        over = self._source.over
        if over is not None and not over.done():
            over.set_result(None)


def _too_late(job: Job[Any], parcel: Parcel | None, seconds: float, attempts: int) -> Outcome[Any]:
    error = DeadlineError(f"the run was not done within {seconds:g} seconds", seconds=seconds)
    error.outcome_unknown = bool(attempts and parcel is not None and not parcel.repeatable)
    return Outcome(job.name, None, error, attempts)
