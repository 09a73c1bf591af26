"""Source: any (async) iterable of jobs, URLs or Endpoints, as the outermost group of a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, NetError, UsageError
from asyncnet.jobs.compose import Group
from asyncnet.jobs.job import Job, Outcome

if TYPE_CHECKING:
    from asyncnet.jobs.worker import Worker

Items = Iterable[Any] | AsyncIterable[Any]


class Source(Group):
    """The jobs of a run, in order, and their outcomes.

    Args:
        items: an iterable or async iterable of Job, URL or Endpoint.

    Attributes:
        error: what the iterable raised, or None.

    Raises:
        UsageError: `items` is neither, or is one job or one URL.
    """

    __slots__ = ("_asynchronous", "_drains", "_items", "_iterator", "broken", "error")

    def __init__(self, items: Items) -> None:
        super().__init__()
        if isinstance(items, str | bytes | Endpoint | Job):
            raise UsageError(f"a run takes several jobs or URLs; put this {type(items).__name__} into a list")
        if not isinstance(items, Iterable | AsyncIterable):
            raise UsageError(f"a run takes an iterable of jobs or URLs, not {type(items).__name__}")
        self._items = items
        self._iterator: Iterator[Any] = iter(items) if isinstance(items, Iterable) else iter(())
        self._asynchronous: AsyncIterator[Any] | None = None if isinstance(items, Iterable) else aiter(items)
        # What is there already is told to be too late when the run's time is up; what is yet to come might never end.
        self._drains = isinstance(items, Sized) and self._asynchronous is None
        self.error: Exception | None = None
        self.broken: BaseException | None = None

    @property
    def is_async(self) -> bool:
        """Whether one waits for its next job."""
        return self._asynchronous is not None

    def has_more(self, drawing: object) -> bool:
        """Whether a worker that steps in may find a job here; not while another (`drawing`) waits for it."""
        return not self.exhausted and drawing is None

    def next_job(self) -> Job[Any] | None:
        """Give the next job; None at the end, which is also where the iterable raises."""
        if self.exhausted:
            return None
        try:
            item = next(self._iterator)
        except StopIteration:
            self.exhausted = True
            return None
        except Exception as error:
            self.exhausted = True
            self.error = error
            return None
        return item if isinstance(item, Job) else job_for(item)

    async def draw(self) -> Job[Any] | None:
        """As `next_job`, of an async iterable."""
        assert self._asynchronous is not None
        try:
            item = await anext(self._asynchronous)
        except StopAsyncIteration:
            self.exhausted = True
            return None
        except Exception as error:
            self.exhausted = True
            self.error = error
            return None
        return item if isinstance(item, Job) else job_for(item)

    def expire(self) -> None:
        """Take no more from an iterable that might never end."""
        if not self._drains:
            self.exhausted = True

    async def aclose(self) -> None:
        """Close a generator, for it is the run's to use up: what it holds open is closed now and not some day."""
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()
        elif isinstance(self._items, Generator):
            self._items.close()

    def succeeded(self, worker: Worker, index: int, job: Job[Any], value: Any) -> None:
        """Make an outcome of it."""
        self.told(index, Outcome(job.name, value, None, worker.attempts, worker.ended - worker.began))

    def failed(self, worker: Worker, index: int, job: Job[Any], error: Exception) -> None:
        """Make an outcome of it."""
        self.told(index, Outcome(job.name, None, error, worker.attempts, worker.ended - worker.began))

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
        super().__init__(name)
        self._error = error

    async def _execute(self, worker: Worker) -> Any:
        raise self._error


def job_for(item: object) -> Job[Any]:
    """Make a job of an item of a source; of a bad one, a job that fails."""
    from asyncnet.jobs.fetch import fetch, shown  # it knows the protocols, and a run of other jobs needs none

    if not isinstance(item, str | Endpoint):
        return Bad(type(item).__name__, UsageError(f"neither a job nor a URL: {type(item).__name__}"))
    try:
        return fetch(item)
    except InvalidEndpoint as error:
        return Bad(shown(item), error)
    except UsageError as error:
        return Bad(str(item), error)
