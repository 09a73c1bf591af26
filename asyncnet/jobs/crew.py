"""Crew: the workers of one run, its slots, and who gets the next one.

Slots go first to what is ready to go on (a leaf that waited for its host, or between attempts), then to the newest
group of parts, then to the source. A worker that holds a slot goes from job to job in one task; one that has to wait
without a slot gives it away, and another worker steps in. So `limit` and `max_parked` bound the tasks, and not the
length of the source.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asyncnet.jobs import parting
from asyncnet.jobs.budget import Budget
from asyncnet.jobs.compose import Group
from asyncnet.jobs.gate import Gate
from asyncnet.jobs.job import Job
from asyncnet.jobs.limits import Host, Hosts, Terms
from asyncnet.jobs.parting import left_alone, outlasted
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.worker import LEFT, Entry, Worker

if TYPE_CHECKING:
    from asyncnet.jobs.observer import Audience
    from asyncnet.jobs.source import Source


class Shared(Protocol):
    """What the jobs of a run share, such as a warm session."""

    def __init__(self, crew: Crew) -> None: ...

    async def aclose(self) -> None:
        """Close it, in bounded time; told once, when nothing of the run is at work any more."""


S = TypeVar("S", bound=Shared)
Turn = asyncio.Future[Any]
"""what a worker waits for in a queue; one that was cancelled is passed over"""


class Crew:
    """The workers of one run.

    Args:
        source: where the jobs come from, and where their ends are told.
        terms: how many leaves may be at work at once, and what holds for each host.
        budget: what trying again may cost; None is no limit.
        max_parked: how many jobs may wait without a slot before no more are begun.
        timeout: seconds for the whole run; None is no limit.
        client: what the caller gave to fetch with, or None.
    """

    def __init__(
        self,
        source: Source,
        *,
        terms: Terms,
        max_parked: int,
        timeout: float | None,
        budget: Budget | None = None,
        client: Any = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.source = source
        self.limit = self.free = terms.limit
        self.client = client
        self.timeout = timeout
        self.budget = budget
        self.parked = 0
        self.full = False
        self.expired = False
        self.closing = False
        self.breath = 0.0
        self.groups: list[Group] = []
        self.idle: list[Worker] = []
        self.drawing: Worker | None = None
        self._max_parked = max_parked
        self._ready: deque[Turn | Entry] = deque()
        self._hosts: Hosts[Turn | Entry] = Hosts(terms)
        # Plain: nothing is to be counted or told but for jobs that have a host.
        self.audience = source.audience
        if self.audience is not None:
            self.audience.gather()
        self.is_plain = source.audience is None and terms.rate == Rate()
        self.gate = Gate(terms.rate, self.wake)
        self.is_paced = self.gate.is_needed
        self.is_counting = terms.rate.max_bytes is not None or terms.rate.max_bytes_per_host is not None
        self._workers: set[Worker] = set()
        self._context = contextvars.copy_context()
        self._shared: dict[type[Any], Shared] = {}
        self._timer: asyncio.TimerHandle | None = None
        if timeout is not None and timeout != math.inf:
            self._timer = self.loop.call_later(timeout, self._expire)

    # What jobs use.

    def shared(self, kind: type[S]) -> S:
        """Give the run's one `kind(crew)`, made when first asked for and closed when the run ends."""
        made = self._shared.get(kind)
        if made is None:
            made = self._shared[kind] = kind(self)
        assert isinstance(made, kind)
        return made

    def offer(self, group: Group) -> None:
        """Take jobs from `group` from now on."""
        if group not in self.groups:
            self.groups.append(group)
        self.wake()

    def close_group(self, group: Group) -> None:
        """Cancel what runs of `group`, and begin no more of it; whoever calls this sees to its end."""
        group.closed = True
        self._withdraw(group)
        for worker in self._workers:
            if worker.group is group:
                worker.cancel(1)

    def settle(self, group: Group, worker: Worker | None = None) -> None:
        """If `group` is over, tell its parent, who goes on in the slot of the `worker` that brought the end."""
        if not group.is_over or group.over is None or group.over.done():
            return
        group.over.set_result(None)
        if worker is not None and group.parent is not None:
            worker.hand_slot_to(group.parent)

    # Who gets the next slot.

    def take(self, worker: Worker) -> Entry | None:
        """Give `worker`, who holds a slot, the next job; None if there is none now, or its slot went to another."""
        if self.is_paced and not self._may_begin():
            return None
        while self._ready:
            waiting = self._ready.popleft()
            if isinstance(waiting, tuple):
                if not waiting[0].closed:
                    return waiting
                if waiting[3] is not None:
                    self.leave(waiting[3])
            elif not waiting.done():
                worker.slot = False
                waiting.set_result(None)
                return None
        while self.groups and worker.slot and not self.full:
            entry = self._taken_from(self.groups[-1], worker)
            if entry is not None:
                return entry
        if self.source.is_async or not worker.slot:
            return None
        return self._taken_from(self.source, worker)

    def _may_begin(self) -> bool:
        return self.expired or self.gate.is_open()

    def _taken_from(self, group: Group, worker: Worker) -> Entry | None:
        while not self.full:
            job = group.next_job()
            if job is None:
                if group is self.source and not group.exhausted:
                    self.loop.call_soon(self.wake)  # it left many out, and lets others have the loop
                self._withdraw(group)
                self.settle(group, worker)
                return None
            entry = self._placed(group, job)
            if entry is not None:
                return entry
        return None

    @property
    def may_draw(self) -> bool:
        """Whether a worker without work may wait for the source."""
        if not self.source.is_async or self.drawing is not None or self.source.exhausted or self.full:
            return False
        return not self.is_paced or self._may_begin()

    async def draw(self, worker: Worker) -> Entry | None:
        """Wait for the next job of an async source, without a slot; None if there is none, or no slot for it yet."""
        self.drawing = worker
        worker.give_up_slot()
        try:
            while not self.full and (job := await self.source.draw()) is not None:
                entry = self._placed(self.source, job)
                if entry is not None and self.free:
                    self.free -= 1
                    worker.slot = True
                    return entry
                if entry is not None:
                    self._ready.append(entry)
                    break
        except asyncio.CancelledError:
            if self.closing or not self.expired:
                raise
            worker.forgive()
        finally:
            self.drawing = None
        self.settle(self.source)
        return None

    def _placed(self, group: Group, job: Job[Any]) -> Entry | None:
        """Give `job` its number and its place at its host; None if the host is full, and the job is set aside."""
        index = group.begun
        group.begun += 1
        name = job.host
        if name is None or self.expired:
            return (group, index, job, None)
        place = self._hosts.enter(name)
        if place is None:
            self._set_timer(self._hosts.wait(name, (group, index, job, None)))
            self.park()
            return None
        return (group, index, job, place)

    def _withdraw(self, group: Group) -> None:
        if group in self.groups:
            self.groups.remove(group)

    def wake(self) -> None:
        """Put a free slot to use."""
        if self.closing or (self.is_paced and not self._may_begin()):
            return
        while self.free and self._ready and not isinstance(waiting := self._ready[0], tuple):
            self._ready.popleft()
            if not waiting.done():
                self.free -= 1
                waiting.set_result(None)
        if self.free and (self._ready or (not self.full and (self.groups or self.source.has_more(self.drawing)))):
            self._start()

    def _start(self) -> None:
        """Let a worker step in, with one of the free slots."""
        self.free -= 1
        while self.idle:
            worker = self.idle.pop()
            if not worker.wake.done():
                worker.slot = True
                worker.wake.set_result(None)
                return
        worker = Worker(self)
        # The run's own context, afresh: that of whoever woke us may stand in the middle of another job's deadline.
        # Not by create_task: under an eager factory (3.12) each worker would begin inside the one that starts it.
        worker.task = asyncio.Task(worker.work(), loop=self.loop, context=self._context.copy())
        self._workers.add(worker)
        worker.task.add_done_callback(lambda _: self._ended(worker))

    # Hosts, and who waits without a slot.

    def enter(self, name: str) -> Host[Any] | None:
        """Take a place at a host for a leaf; None if it takes nobody now."""
        return self._hosts.enter(name)

    def wait_for_host(self, name: str) -> Turn:
        """Stand in the queue of a host that took nobody; the turn's result is the place."""
        turn: Turn = self.loop.create_future()
        self._set_timer(self._hosts.wait(name, turn))
        return turn

    def wait_for_slot(self) -> Turn:
        """Stand in the queue for a slot, which is held once the turn is done."""
        turn: Turn = self.loop.create_future()
        self._ready.append(turn)
        return turn

    def leave(self, place: Host[Any]) -> None:
        """Give a place at a host back; what enters in its stead is ready, and whoever calls this sees to its slot."""
        place.leave()
        if place.waiting:
            self._admit(place)

    def _admit(self, host: Host[Turn | Entry]) -> None:
        """Let in who waits for a host, as far as it takes them."""
        while (waiting := self._hosts.next_at(host)) is not None:
            if isinstance(waiting, tuple):
                self.unpark()
                group, index, job, _ = waiting
                if not group.closed:
                    self._ready.append((group, index, job, host))
                    continue
            elif not waiting.done():
                waiting.set_result(host)
                continue
            host.leave()  # nobody wants it any more
        self._set_timer(host)

    def _set_timer(self, host: Host[Any]) -> None:
        """See to it that those who wait for a host until a certain time are let in then."""
        if host.waiting and host.timer is None and host.active < host.limit and not self.closing:
            host.timer = self.loop.call_later(max(0.0, host.opens - perf_counter()), self._opens, host)

    def _opens(self, host: Host[Any]) -> None:
        host.timer = None
        self._admit(host)
        self.wake()

    def park(self) -> None:
        """One more waits without a slot."""
        self.parked += 1
        if self.parked >= self._max_parked:
            self.full = True

    def unpark(self) -> None:
        """One less waits without a slot."""
        self.parked -= 1
        # Some at once, for to fetch them one by one would be a worker started for each; but few, for the rest may be
        # one slow host's, and the others have nothing to do until there is room.
        if self.full and self.parked <= self._max_parked - min(self.limit, (self._max_parked + 1) // 2):
            self.full = False
            self.wake()

    # The end.

    def _expire(self) -> None:
        self.expired = True
        self.full = False
        self.source.expire()
        for host in self._hosts:
            while host.waiting:
                waiting = host.waiting.popleft()
                if isinstance(waiting, tuple):
                    self.parked -= 1
                    self._ready.append(waiting)
        for worker in self._workers:
            if worker.group is not None or worker is self.drawing:
                worker.cancel(1)
        self.settle(self.source)
        self.wake()
        self._timer = self.loop.call_later(parting.PATIENCE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Tell the ends of jobs that go on though the run's time is up; their slots are others'."""
        for worker in [worker for worker in self._workers if worker.group is not None]:
            entry = worker.entry
            is_part = entry is None or entry[0] is not self.source
            worker.cancel(2 if is_part else LEFT)
            worker.give_up_slot()
            if entry is not None and not is_part:
                self.source.running -= 1
                self.source.ended += 1
                worker.ended = perf_counter()
                self.source.failed(worker, entry[1], entry[2], worker._too_late())
        self.settle(self.source)

    def _ended(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if worker.task.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            error = worker.task.exception()
        del worker.task  # how it was cancelled holds its frames, and they hold the worker: a circle
        if error is not None and not self.closing and worker.doom < LEFT:
            self.source.break_off(error)  # no error of a job's: a bug of ours, or somebody cancelled our task

    async def aclose(self) -> None:
        """Cancel what still runs, wait until it is gone, and close what the run shared.

        Cancelled, it goes on waiting, for what it waits for has been cancelled too. What does not end though it was
        cancelled twice is left alone, with a warning, and whatever becomes of it is told to nobody.
        """
        self.closing = True
        self.source.exhausted = True  # what ends well though it was cancelled is followed by nothing
        self.groups.clear()
        self._ready.clear()
        self.gate.close()
        for timer in (self._timer, *(host.timer for host in self._hosts)):
            if timer is not None:
                timer.cancel()
        self._timer = None
        for worker in self._workers:
            worker.cancel(2)
        tasks = [worker.task for worker in self._workers]
        patience = parting.PATIENCE_SECONDS * (1 if any(worker.doom == LEFT for worker in self._workers) else 2)
        async with contextlib.AsyncExitStack() as stack:
            if self.audience is not None:
                stack.push_async_callback(self._close, self.audience)
            for shared in self._shared.values():
                stack.push_async_callback(self._close, shared)
            stack.push_async_callback(self.source.aclose)
            await outlasted(tasks, patience, self._leave)
            self.idle.clear()  # another circle; either would keep all values until the collector comes

    def _leave(self) -> None:
        """Wait no longer for those that have not ended."""
        left = [worker for worker in self._workers if not worker.task.done()]
        for worker in left:
            worker.doom = LEFT
        left_alone(left)

    async def _close(self, shared: Shared | Audience) -> None:
        task = self.loop.create_task(shared.aclose())
        await outlasted([task])
        task.result()
