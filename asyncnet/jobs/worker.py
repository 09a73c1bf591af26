"""Worker: one task of a run. It goes from job to job while it holds a slot, and is what a job knows of its run."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asyncnet.errors import DeadlineError, NetError
from asyncnet.jobs.job import Job, Leaf

if TYPE_CHECKING:
    from asyncnet.jobs.compose import Group
    from asyncnet.jobs.crew import Crew
    from asyncnet.jobs.limits import Host

Entry = tuple["Group", int, Job[Any], "Host[Any] | None"]
"""(whose part, its number there, the job, its place at its host): a job that a worker may begin"""

LEFT = 3
"""the doom of a worker that is waited for no longer"""

_BREATH_SECONDS = 0.001
"""How long jobs that never wait may keep the loop from everything else."""


class Worker:
    """One task of a run.

    Attributes:
        crew: the run.
        task: the task.
        slot: whether it holds a slot.
        wake: while it is idle, what starts it again.
        place: the place at a host that its leaf holds.
        group: of which its job is a part; None between jobs.
        entry: that job, its group, and its number there; None between jobs.
        top: the job of the source that its job is, or is a part of; kept where somebody observes the run.
        doom: how its job was cancelled: not at all (0), alone (1), with the whole run (2), or in vain (LEFT).
        attempts: how often that job was tried.
        received: how many bytes it received, as far as its leaves tell.
        sent: how many it sent.
        began: when that job began, by `perf_counter`.
        ended: when it ended.
    """

    __slots__ = (
        "attempts", "began", "crew", "doom", "ended", "entry", "group", "place", "received", "sent", "slot", "task",
        "top", "wake",
    )  # fmt: skip

    task: asyncio.Task[None]
    wake: asyncio.Future[None]

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.slot = True
        self.place: Host[Any] | None = None
        self.group: Group | None = None
        self.entry: Entry | None = None
        self.top: Job[Any] | None = None
        self.doom = 0
        self.attempts = 1
        self.received = self.sent = 0
        self.began = self.ended = 0.0

    async def work(self) -> None:
        """Do job after job, until there are more idle workers than slots."""
        crew = self.crew
        while True:
            entry = crew.take(self) if self.slot else None
            if entry is None and self.slot and crew.may_draw:
                entry = await crew.draw(self)
            if entry is None:
                if not await self._rest():
                    return
                continue
            if crew.free:
                crew.wake()
            group = entry[0]
            await self._do(entry)
            self.entry = entry = None  # the next wait may be long
            if group.is_full:
                await group.room()
            if self.ended > crew.breath:
                crew.breath = self.ended + _BREATH_SECONDS
                await asyncio.sleep(0)

    async def _do(self, entry: Entry) -> None:
        failure: Exception | None = None
        value = None
        crew = self.crew
        group, index, job, place = entry
        self.entry, self.group, self.place, self.attempts = entry, group, place, 1
        self.received = self.sent = 0
        group.running += 1
        self.began = perf_counter()
        try:
            if crew.expired:
                self.attempts = 0
                failure = self._too_late()
            elif place is None and crew.is_plain and isinstance(job, Leaf):
                value = await job._perform(self)
            else:
                if crew.audience is not None:
                    self._announce(group, job)
                value = await job._execute(self)
        except Exception as error:
            failure = error
        except asyncio.CancelledError:
            failure = self._cancelled(group)
        finally:
            self.ended = perf_counter()
            self.group = None
            if self.place is not None:
                self._leave_host()
            group.running -= 1
            group.ended += 1
            if group.closed or crew.expired or crew.closing:
                self._end_early(group)
        if not group.closed:
            if failure is None:
                group.succeeded(self, index, job, value)
            else:
                group.failed(self, index, job, failure)
        failure = None  # this frame is in its traceback: a circle otherwise
        if group.parent is not None and (self.received or self.sent):
            group.parent.received += self.received
            group.parent.sent += self.sent
        if group.exhausted or group.closed:
            crew.settle(group, self)

    def _announce(self, group: Group, job: Job[Any]) -> None:
        if group.parent is not None:
            self.top = group.parent.top
            return
        self.top = job
        audience = self.crew.audience
        assert audience is not None
        if audience.pending and audience.pending + group.running > self.crew.limit:
            audience.settle()  # a process that is killed now repeats all these
        audience.began(job, 1)

    def _end_early(self, group: Group) -> None:
        """Take note of an end that was brought about."""
        if self.doom == LEFT:
            if group is self.crew.source:  # the crew has counted and told it
                group.running += 1
                group.ended -= 1
            else:
                self.crew.settle(group)
            raise asyncio.CancelledError("it was waited for no longer")
        if group.closed or self.crew.expired:
            self.forgive()
        if self.crew.closing:
            self.crew.settle(group)  # whoever made the parts waits until they are gone

    def _cancelled(self, group: Group) -> Exception:
        """Say what a job's cancellation means: its group's end, the run's timeout, its own doing, or ours."""
        if self.crew.closing:
            raise
        if group.closed or self.crew.expired:
            return self._too_late()
        if self.task.cancelling():
            raise
        return NetError("cancelled from within: it awaited something that was cancelled")

    def _too_late(self) -> DeadlineError:
        seconds = self.crew.timeout or 0.0
        return DeadlineError(f"the run was not done within {seconds:g} seconds", seconds=seconds)

    def cancel(self, doom: int) -> None:
        """Cancel what it is at; once, for a second time would break into what it does at its end."""
        if doom > self.doom:
            self.doom = doom
            self.task.cancel()

    def forgive(self) -> None:
        """Go on: what this task was at was cancelled, not the task."""
        self.doom = 0
        while self.task.cancelling():
            self.task.uncancel()

    async def _rest(self) -> bool:
        """Wait idly for a slot; False if enough others do."""
        crew = self.crew
        if self.slot:
            self.slot = False
            crew.free += 1
        elif crew.free:
            crew.wake()
        if crew.closing or len(crew.idle) >= crew.limit:
            return False
        crew.idle.append(self)
        self.wake = crew.loop.create_future()
        await self.wake
        return True

    # What jobs use.

    async def perform(self, leaf: Leaf[Any]) -> Any:
        """Do a leaf, when there is a slot for it, and a place at its host."""
        crew = self.crew
        if self.doom:
            raise _gone_on()
        if not self.slot or (self.place is None and leaf.host is not None):
            await self._enter(leaf.host)
        if crew.is_paced and (wait := crew.gate.pay(has_bytes=leaf.host is not None)) > 0:
            await asyncio.sleep(wait)
        host = self.place
        if host is None:
            return await leaf._perform(self)
        before = self.received + self.sent
        began = perf_counter()
        try:
            if not host.is_plain:
                host.check(began)
            value = await leaf._perform(self)
        except BaseException as error:
            host.failed(error, began, perf_counter())
            raise
        else:
            if host.is_plain:
                host.successes += 1
            else:
                host.succeeded(began, perf_counter())
            return value
        finally:
            if crew.is_counting:
                amount = self.received + self.sent - before
                crew.gate.carried(amount)
                host.carried(amount, perf_counter())
            self._leave_host()
            if crew.free:
                crew.wake()

    async def _enter(self, host: str | None) -> None:
        """Wait until a leaf may be at work: for a place at its host, if it has one, then for a slot.

        Cancelled, it keeps what it was given meanwhile, and gives it back when the job ends.
        """
        crew = self.crew
        if host is not None and self.place is None and not crew.expired:
            self.place = crew.enter(host)
            if self.place is None:
                await self._wait_for_host(host)
        if self.slot:
            return
        if crew.free:
            crew.free -= 1
            self.slot = True
            return
        turn = crew.wait_for_slot()
        try:
            await turn
        finally:
            self.slot = turn.done() and not turn.cancelled()

    async def _wait_for_host(self, name: str) -> None:
        self.give_up_slot()
        turn = self.crew.wait_for_host(name)
        self.crew.park()
        try:
            await turn
        finally:
            if turn.done() and not turn.cancelled():
                self.place = turn.result()
            self.crew.unpark()

    def _leave_host(self) -> None:
        place, self.place = self.place, None
        assert place is not None
        self.crew.leave(place)

    def carried(self, *, received: int = 0, sent: int = 0) -> None:
        """Count bytes of the payload: of a body, of messages."""
        self.received += received
        self.sent += sent

    def commit(self) -> None:
        """Tell those who observe the run that something is begun which must not be done twice."""
        if self.crew.audience is not None and self.top is not None:
            self.crew.audience.committing(self.top)

    def may_retry(self, host: str | None) -> bool:
        """Whether one more attempt at a host is within the budget."""
        return self.crew.budget is None or self.crew.budget.spend(host)

    async def pause(self, error: Exception, seconds: float) -> None:
        """Wait between attempts, without a slot; then the next one begins."""
        if self.doom:
            raise _gone_on()
        crew, audience = self.crew, self.crew.audience
        if audience is not None and self.top is not None:
            audience.retrying(self.top, error, seconds)
        self.give_up_slot()
        crew.park()
        try:
            await asyncio.sleep(seconds)
        finally:
            crew.unpark()
        self.attempts += 1
        if audience is not None and self.group is crew.source and self.top is not None:
            audience.began(self.top, self.attempts)

    async def gather(self, group: Group) -> None:
        """Have the run's workers do the jobs of `group`, and wait, without a slot, until all of it is over.

        Cancelled, it closes the group and ends when nothing of it runs any more.
        """
        if self.doom:
            raise _gone_on()
        group.parent = self
        if self.slot:
            self.slot = False
            self.crew.free += 1
        self.crew.offer(group)
        cancelled = False
        while not group.is_over:
            group.over = self.crew.loop.create_future()
            try:
                await group.over
            except asyncio.CancelledError:
                cancelled = True
                self.crew.close_group(group)
        if cancelled:
            raise asyncio.CancelledError

    def give_up_slot(self) -> None:
        """Let somebody else have the slot."""
        if self.slot:
            self.slot = False
            self.crew.free += 1
            self.crew.wake()

    def hand_slot_to(self, other: Worker) -> None:
        """Let that worker have the slot."""
        if self.slot and not other.slot:
            self.slot, other.slot = False, True


def _gone_on() -> asyncio.CancelledError:
    """What ends a job that went on though it was cancelled: it begins nothing more."""
    return asyncio.CancelledError("it was cancelled, and went on")
