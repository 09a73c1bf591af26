"""Jobs made of jobs: all_of, first_of, and the Group that both hand to the run.

A group is a source of jobs and the place where their ends are told. The run takes from the newest group first, when a
slot is free: depth first, so what has begun is finished before more is begun, and no job costs a task of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from asyncnet.errors import AllFailed, UsageError
from asyncnet.jobs.job import Job, digest

if TYPE_CHECKING:
    from asyncnet.jobs.crew import Crew
    from asyncnet.jobs.worker import Worker

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)


class Group(ABC):
    """Jobs that belong together, and what has become of them.

    Attributes:
        begun: how many were taken from it.
        ended: how many of them have ended.
        running: how many workers are at one of them at this moment.
        exhausted: there are no more to take.
        closed: no more of them is wanted; what runs is being cancelled, and its end is not told.
        over: what whoever waits for the whole waits for.
        parent: the worker that does so, if it is one.
        is_full: a worker waits in `room()` before it goes on.
    """

    __slots__ = ("begun", "closed", "ended", "exhausted", "is_full", "over", "parent", "running")

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.running = 0
        self.exhausted = False
        self.closed = False
        self.is_full = False
        self.over: asyncio.Future[None] | None = None
        self.parent: Worker | None = None

    async def room(self) -> None:  # noqa: B027 (most are never full)
        """Wait until there is room for another end."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will run."""
        return not self.running and (self.closed or (self.exhausted and self.ended == self.begun))

    @abstractmethod
    def next_job(self) -> Job[Any] | None:
        """Give the next job, or None if there is none, now or for good."""

    @abstractmethod
    def succeeded(self, worker: Worker, index: int, job: Job[Any], value: Any) -> None:
        """Take note that job number `index` gave `value`."""

    @abstractmethod
    def failed(self, worker: Worker, index: int, job: Job[Any], error: Exception) -> None:
        """Take note that job number `index` failed."""


class _Parts(Group, Generic[T]):
    """The parts of one job."""

    __slots__ = ("_crew", "_error", "_jobs")

    def __init__(self, crew: Crew, jobs: Iterator[Job[T]]) -> None:
        super().__init__()
        self._crew = crew
        self._jobs = jobs
        self._error: Exception | None = None

    def next_job(self) -> Job[T] | None:
        try:
            job = next(self._jobs, None)
            if job is not None and not isinstance(job, Job):
                raise UsageError(f"a job is made of jobs, not of {type(job).__name__}")
        except Exception as error:  # the caller's generator: its failure is the whole's
            self._end(error)
            return None
        if job is None:
            self.exhausted = True
        return job

    def _end(self, error: Exception | None) -> None:
        """No more of it is wanted: this was the failure of the whole, or the success."""
        if not self.closed:
            self._error = error
            self._crew.close_group(self)

    def raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # the frame is in the error's traceback: a circle otherwise


class _All(_Parts[T]):
    __slots__ = ("values",)

    def __init__(self, crew: Crew, jobs: Iterator[Job[T]]) -> None:
        super().__init__(crew, jobs)
        self.values: list[Any] = []

    def next_job(self) -> Job[T] | None:
        job = super().next_job()
        if job is not None:
            self.values.append(None)
        return job

    def succeeded(self, worker: Worker, index: int, job: Job[Any], value: T) -> None:
        self.values[index] = value

    def failed(self, worker: Worker, index: int, job: Job[Any], error: Exception) -> None:
        self._end(error)


class _First(_Parts[T]):
    """Parts of which one success is enough; with `after`, the next begins when the last failed or took too long."""

    __slots__ = ("_after", "_due", "_timer", "errors", "value")

    def __init__(self, crew: Crew, jobs: tuple[Job[T], ...], after: float | None) -> None:
        super().__init__(crew, iter(jobs))
        self._after = after
        self._due = len(jobs) if after is None else 1
        self._timer: asyncio.TimerHandle | None = None
        self.errors: list[Exception | None] = [None] * len(jobs)
        self.value: Any = None

    def next_job(self) -> Job[T] | None:
        if self.begun >= self._due and not self.exhausted and self.begun < len(self.errors):
            return None
        job = super().next_job()
        if job is not None and self._after is not None:
            self.stop_timer()
            self._timer = self._crew.loop.call_later(self._after, self._one_more)
        return job

    def _one_more(self) -> None:
        self._due = self.begun + 1
        if not self.closed and not self.exhausted:
            self._crew.offer(self)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def succeeded(self, worker: Worker, index: int, job: Job[Any], value: T) -> None:
        if not self.closed:
            self.value = value
            self._end(None)

    def failed(self, worker: Worker, index: int, job: Job[Any], error: Exception) -> None:
        self.errors[index] = error
        self._one_more()


class AllOf(Job[list[T]]):
    """What `all_of` makes; from an iterable, which is asked for a job when there is a slot for it."""

    __slots__ = ("_jobs",)

    def __init__(self, jobs: Iterable[Job[T]], name: str, key: str | None = None) -> None:
        super().__init__(name, None, key)
        self._jobs = jobs

    def _identity(self) -> str:
        return f"all_of #{digest(*(job.key for job in self._jobs))}" if isinstance(self._jobs, tuple) else self.name

    async def _execute(self, worker: Worker) -> list[T]:
        group = _All(worker.crew, iter(self._jobs))
        await worker.gather(group)
        group.raise_error()
        return group.values


class _FirstOf(Job[T_co]):
    __slots__ = ("_after", "_jobs")

    def __init__(self, jobs: tuple[Job[T_co], ...], after: float | None, name: str, key: str | None) -> None:
        super().__init__(name, None, key)
        self._jobs = jobs
        self._after = after

    def _identity(self) -> str:
        return f"first_of #{digest(*(job.key for job in self._jobs))}"

    async def _execute(self, worker: Worker) -> T_co:
        group = _First(worker.crew, self._jobs, self._after)
        try:
            await worker.gather(group)
        finally:
            group.stop_timer()
        group.raise_error()
        if group.closed:
            return group.value  # type: ignore[no-any-return]
        raise AllFailed(errors=[error for error in group.errors if error is not None], operation="first_of")


@overload
def all_of(first: Job[A], second: Job[B], /, *, name: str | None = ...) -> Job[list[A | B]]: ...
@overload
def all_of(first: Job[A], second: Job[B], third: Job[C], /, *, name: str | None = ...) -> Job[list[A | B | C]]: ...
@overload
def all_of(*jobs: Job[T], name: str | None = ...) -> Job[list[T]]: ...
def all_of(*jobs: Job[Any], name: str | None = None) -> Job[Any]:
    """Do all of them at once, as far as there are slots; the value is the list of theirs, in order.

    The first failure cancels the rest, and is the failure of the whole. Jobs that should not depend on each other
    stand beside each other in the source of a run instead.

    Args:
        name: what its outcome is called; None makes one of the names of the first parts.

    Raises:
        UsageError: one of them is not a job.
    """
    return AllOf(_checked(jobs), name or _named(jobs), name)


@overload
def first_of(first: Job[A], second: Job[B], /, *, after: float | None = ..., name: str | None = ...) -> Job[A | B]: ...
@overload
def first_of(
    first: Job[A], second: Job[B], third: Job[C], /, *, after: float | None = ..., name: str | None = ...
) -> Job[A | B | C]: ...
@overload
def first_of(*jobs: Job[T], after: float | None = ..., name: str | None = ...) -> Job[T]: ...
def first_of(*jobs: Job[Any], after: float | None = None, name: str | None = None) -> Job[Any]:
    """Do them at once, as far as there are slots; the first to succeed is the value, and the rest are cancelled.

    If all fail, the error is one AllFailed, with theirs in order.

    Args:
        after: begin each only when the one before has failed, or has not ended after so many seconds (hedging).
        name: what its outcome is called; None makes one of the names of the first parts.

    Raises:
        UsageError: one of them is not a job, there is none, or `after` is negative.
    """
    if not jobs:
        raise UsageError("first_of needs at least one job")
    if after is not None and not after >= 0:
        raise UsageError(f"`after` is a number of seconds, at least 0: not {after}")
    return _FirstOf(_checked(jobs), after, name or _named(jobs), name)


def _checked(jobs: tuple[Job[T], ...]) -> tuple[Job[T], ...]:
    for job in jobs:
        if not isinstance(job, Job):
            raise UsageError(f"a job is made of jobs, not of {type(job).__name__}")
    return jobs


def _named(jobs: tuple[Job[Any], ...]) -> str:
    shown = ", ".join(job.name for job in islice(jobs, 3)) or "nothing"
    return shown if len(jobs) <= 3 else f"{shown} and {len(jobs) - 3} more"
