"""Source: any (async) iterable of jobs, URLs or Endpoints, as the outermost group of a run."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, NetError, UsageError
from asyncnet.jobs.compose import Group
from asyncnet.jobs.fetch import fetch, shown
from asyncnet.jobs.job import Job, Outcome, outcome_of
from asyncnet.jobs.observer import Audience, Observer

if TYPE_CHECKING:
    from asyncnet.jobs.worker import Worker

_LEFT_OUT = 256
"""So many jobs in a row may be left out before others have the loop."""

Items = Iterable[Any] | AsyncIterable[Any]

_URLS = (str, Endpoint)


class Source(Group):
    """The jobs of a run, in order, and their outcomes.

    Args:
        items: an iterable or async iterable of Job, URL or Endpoint.

        observers: who is told of each job.

    Attributes:
        error: what the iterable raised, or None.
        broken: what broke the run off, or None.
        audience: who is told; None if nobody is.
        is_async: one waits for its next job.

    Raises:
        UsageError: `items` is neither, or is one job or one URL.
    """

    __slots__ = ("_asynchronous", "_drains", "_items", "_iterator", "audience", "broken", "error", "is_async")

    def __init__(self, items: Items, observers: Sequence[Observer] = ()) -> None:
        super().__init__()
        if isinstance(items, str | bytes | Endpoint | Job):
            raise UsageError(f"a run takes several jobs or URLs; put this {type(items).__name__} into a list")
        if not isinstance(items, Iterable | AsyncIterable):
            raise UsageError(f"a run takes an iterable of jobs or URLs, not {type(items).__name__}")
        self._items = items
        self._iterator: Iterator[Any] = iter(items) if isinstance(items, Iterable) else iter(())
        self._asynchronous: AsyncIterator[Any] | None = None if isinstance(items, Iterable) else aiter(items)
        self.is_async = self._asynchronous is not None
        # What is there already is told to be too late when the run's time is up; what is yet to come might never end.
        self._drains = isinstance(items, Sized) and not self.is_async
        self.error: Exception | None = None
        self.broken: BaseException | None = None
        self.audience = Audience(observers, self.break_off) if observers else None

    def has_more(self, drawing: object) -> bool:
        """Whether a worker that steps in may find a job here; not while another (`drawing`) waits for it."""
        return not self.exhausted and drawing is None

    def next_job(self) -> Job[Any] | None:
        """Give the next job; None at the end, which is also where the iterable raises, and after many left out."""
        left_out = 0
        while not self.exhausted and left_out < _LEFT_OUT:
            try:
                item = next(self._iterator)
            except StopIteration:
                self.exhausted = True
                return None
            except Exception as error:
                self.exhausted = True
                self.error = error
                return None
            job = item if isinstance(item, Job) else job_for(item)
            if self.audience is None or self._is_wanted(job):
                return job
            left_out += 1
        return None

    async def draw(self) -> Job[Any] | None:
        """As `next_job`, of an async iterable; None at the end alone."""
        assert self._asynchronous is not None
        left_out = 0
        while not self.exhausted:
            try:
                item = await anext(self._asynchronous)
            except StopAsyncIteration:
                self.exhausted = True
                return None
            except Exception as error:
                self.exhausted = True
                self.error = error
                return None
            job = item if isinstance(item, Job) else job_for(item)
            if self.audience is None or self._is_wanted(job):
                return job
            left_out += 1
            if left_out % _LEFT_OUT == 0:
                await asyncio.sleep(0)
        return None

    def _is_wanted(self, job: Job[Any]) -> bool:
        assert self.audience is not None
        try:
            return self.audience.asked(job)
        except Exception as error:
            self.exhausted = True
            self.break_off(error)
            return False

    def expire(self) -> None:
        """Take no more from an iterable that might never end."""
        if not self._drains:
            self.exhausted = True

    async def aclose(self) -> None:
        """Close a generator, for it is the run's to use up: what it holds open is closed now and not some day."""
        if isinstance(self._items, AsyncGenerator):
            if not getattr(self._items, "ag_running", False):  # or its worker was left alone, with it
                await self._items.aclose()
        elif isinstance(self._items, Generator):
            self._items.close()

    def succeeded(self, worker: Worker, index: int, job: Job[Any], value: Any) -> None:
        """Make an outcome of it."""
        seconds = worker.ended - worker.began
        outcome = outcome_of(job.name, value, None, worker.attempts, seconds, worker.received, worker.sent)
        if self.audience is None or self.audience.ended(job, outcome):
            self.told(index, outcome)

    def failed(self, worker: Worker, index: int, job: Job[Any], error: Exception) -> None:
        """Make an outcome of it."""
        seconds = worker.ended - worker.began
        outcome = outcome_of(job.name, None, error, worker.attempts, seconds, worker.received, worker.sent)
        if self.audience is None or self.audience.ended(job, outcome):
            self.told(index, outcome)

    @abstractmethod
    def told(self, index: int, outcome: Outcome[Any]) -> None:
        """Take the outcome of job number `index`."""

    def break_off(self, error: BaseException) -> None:
        """End the whole run by `error`: a worker is lost."""
        self.broken = self.broken or error
        if self.over is not None and not self.over.done():
            self.over.set_result(None)

    def raise_error(self) -> None:
        """Raise what the iterable raised, or what broke the run off."""
        error = self.broken or self.error
        if error is not None:
            try:
                raise error
            finally:
                del error  # the frame is in the error's traceback: a circle otherwise


class Bad(Job[Any]):
    """An item that is no job: its failure is its own, and not the run's."""

    __slots__ = ("_error",)

    def __init__(self, name: str, error: NetError) -> None:
        super().__init__(name, None, name)  # it is known by its name, as it is
        self._error = error

    async def _execute(self, worker: Worker) -> Any:
        raise self._error


def job_for(item: object) -> Job[Any]:
    """Make a job of an item of a source; of a bad one, a job that fails."""
    if not isinstance(item, _URLS):
        return Bad(type(item).__name__, UsageError(f"neither a job nor a URL: {type(item).__name__}"))
    try:
        return fetch(item)
    except InvalidEndpoint as error:
        return Bad(shown(item), error)
    except UsageError as error:
        return Bad(str(item), error)
