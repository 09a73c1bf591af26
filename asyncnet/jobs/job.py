"""Job and Outcome: work that has a name, and how it ended.

A job is a description: making one does nothing, and it may be run again. A combination of jobs is a job. Only leaves
(`call`, `fetch`) touch the world, and only they hold a slot of the run's `limit` and a place at their host; a job that
waits, for its parts or for another attempt, holds none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, overload

from asyncnet.deadline import Deadline, deadline
from asyncnet.errors import DeadlineError, UsageError
from asyncnet.retry import Retry

if TYPE_CHECKING:
    from asyncnet.jobs.worker import Worker

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """How a job ended: with a value or with an error, never with a cancellation.

    Args:
        name: the job's name.
        value: what it gave; None if it failed.
        error: what it failed with; None if it did not.
        attempts: how often it was tried; 0 if the run's timeout passed before it began.
        seconds: from its beginning to its end, waiting between attempts included.
        received_bytes: of the bodies and messages that came; of a `call`, none are counted.
        sent_bytes: of those that went.
    """

    name: str
    value: T_co | None = None
    error: Exception | None = None
    attempts: int = 1
    seconds: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether it ended with a value."""
        return self.error is None

    def result(self) -> T_co:
        """Give the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # without an error it is the job's own value, None or not


class _Draft(Generic[T_co]):
    # An Outcome that is being made, with the same slots. What dataclass writes for a frozen class sets each of them by
    # a call, which takes six times as long, and was a fifth of all that a run does for a job.
    __slots__ = ("attempts", "error", "name", "received_bytes", "seconds", "sent_bytes", "value")


def outcome_of(
    name: str, value: Any, error: Exception | None, attempts: int, seconds: float, received: int, sent: int
) -> Outcome[Any]:
    """Give `Outcome(...)` of all these, quickly."""
    made: Any = _Draft()
    made.name = name
    made.value = value
    made.error = error
    made.attempts = attempts
    made.seconds = seconds
    made.received_bytes = received
    made.sent_bytes = sent
    made.__class__ = Outcome
    return made  # type: ignore[no-any-return]


# No ABC: its isinstance(), asked twice for each job, would cost as much as a tenth of all that a run does for it.
class Job(Generic[T_co]):
    """Work with a name, to be run by `jobs.run` or `jobs.as_completed`; made by `call`, `fetch`, `all_of`, `first_of`.

    Attributes:
        name: what outcomes call it.
        host: where its first leaf goes, or None: a run sets a job aside while that host is busy.
    """

    __slots__ = ("_key", "host", "name")

    def __init__(self, name: str, host: str | None = None, key: str | None = None) -> None:
        self.name = name
        self.host = host
        self._key = key  # the name, where the caller gave one

    @property
    def key(self) -> str:
        """What it is known by from one run to the next: the name that it was given, else what it does and to what.

        For what has a URL that is the method and the URL, its query and a body as hashes: no secret is in it. A
        combination has the key of its first part, `all_of` and `first_of` one of all their keys.

        Raises:
            UsageError: a `call` without a name, with arguments that are no numbers, texts or bytes.
        """
        return self._key if self._key is not None else self._identity()

    def _identity(self) -> str:
        """Make a key of what it does."""
        raise NotImplementedError

    def _execute(self, worker: Worker) -> Coroutine[Any, Any, T_co]:
        """Do it, as `worker`, who sees to slots and hosts."""
        raise NotImplementedError

    @property
    def _shown(self) -> str:
        # The name where anybody may read it: in errors and logs. It may be a URL, or a line with one in it, though a
        # wrong one, and what stands in the query may be a secret.
        return self.name.partition("?")[0] if "://" in self.name else self.name

    @overload
    def then(self, function: Callable[[T_co], Job[U]]) -> Job[U]: ...
    @overload
    def then(self, function: Callable[[T_co], Iterable[Job[U]]]) -> Job[list[U]]: ...
    def then(self, function: Callable[[T_co], Job[Any] | Iterable[Job[Any]]]) -> Job[Any]:
        """Go on with the job or jobs that `function` makes of this one's value.

        Several jobs are run as by `all_of`, and may come from a generator: it is asked for the next one when a slot is
        free, never for all. An exception of `function` is the failure of the whole. It may be used again and again
        (page after page): the depth costs nothing.
        """
        return _Then(self, function)

    def or_else(self, other: Job[U] | Callable[[Exception], Job[U]]) -> Job[T_co | U]:
        """If this one fails, do `other`, or the job that `other` makes of the error."""
        return _OrElse(self, other)

    def timeout(self, seconds: float) -> Job[T_co]:
        """Fail with a DeadlineError if it has not ended `seconds` after it began.

        The time counts from when the run begins the job, and includes waiting: for slots, for a busy host, between
        attempts. So `.retry(r).timeout(60.0)` bounds all attempts together, `.timeout(60.0).retry(r)` each of them.

        Raises:
            UsageError: `seconds` is negative or not a number.
        """
        return _Timed(self, seconds)

    def retry(self, retry: Retry) -> Job[T_co]:
        """If it fails with a transient error, try again after the delays of `retry`; a peer's Retry-After is kept."""
        return _Retried(self, retry)

    def __repr__(self) -> str:
        return f"<Job {self._shown}>"


class Leaf(Job[T_co]):
    """A job that does something itself, in one slot and at one host."""

    __slots__ = ()

    def _perform(self, worker: Worker) -> Awaitable[T_co]:
        """Give the work to await; slot and place are held by then."""
        raise NotImplementedError

    def _execute(self, worker: Worker) -> Coroutine[Any, Any, T_co]:  # no coroutine of its own: one is enough
        return worker.perform(self)


class _Call(Leaf[T]):
    __slots__ = ("_arguments", "_function")

    def __init__(
        self, function: Callable[..., Awaitable[T]], arguments: tuple[Any, ...], name: str | None, host: str | None
    ) -> None:
        # Not by super(): a call is made for each job, and is measured in tenths of a microsecond.
        self._key = name
        self.name = name or getattr(function, "__name__", None) or repr(function)
        self.host = host
        self._function = function
        self._arguments = arguments

    def _perform(self, worker: Worker) -> Awaitable[T]:
        return self._function(*self._arguments)

    def _identity(self) -> str:
        for argument in self._arguments:
            if not isinstance(argument, str | bytes | int | float | None):
                kind = type(argument).__name__
                raise UsageError(f"a call of {self.name} with a {kind} is known again by nothing; give it a `name`")
        module = getattr(self._function, "__module__", "")
        return f"{module}.{getattr(self._function, '__qualname__', self.name)} #{digest(repr(self._arguments))}"


def call(
    function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts, name: str | None = None, host: str | None = None
) -> Job[T]:
    """Make a job of an async function and its arguments; for keyword arguments use `functools.partial`.

    Args:
        name: what its outcome is called; None takes the function's own name.
        host: whose `per_host` limit it counts for; None for nobody's.

    It may be called more than once where the job is retried or run again.
    """
    return _Call(function, arguments, name, host)


def digest(*parts: str | bytes) -> str:
    """Give a hash of texts and bytes that tells them apart, in 32 characters."""
    made = blake2b(digest_size=16)
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(raw))
        made.update(raw)
    return made.hexdigest()


class _Around(Job[T_co]):
    """A job that begins with another, and is known and shown as that one is."""

    __slots__ = ("_first", "_innermost")

    def __init__(self, first: Job[Any]) -> None:
        # Called by its name, and not by super(): like calls, these are made for each job.
        self.name = first.name
        self.host = first.host
        self._key = first._key
        self._first = first
        self._innermost: Job[Any] = first._innermost if isinstance(first, _Around) else first

    @property
    def _shown(self) -> str:
        return self._innermost._shown

    def _identity(self) -> str:
        return self._innermost._identity()


class _Then(_Around[T_co]):
    __slots__ = ("_function",)

    def __init__(self, first: Job[Any], function: Callable[[Any], Job[Any] | Iterable[Job[Any]]]) -> None:
        _Around.__init__(self, first)
        self._function = function

    async def _execute(self, worker: Worker) -> T_co:
        # A stack of our own: ten thousand pages, each `.then` the next, would be ten thousand frames of Python's.
        job: Job[Any] = self
        functions: list[Callable[[Any], Job[Any] | Iterable[Job[Any]]]] = []
        while True:
            while isinstance(job, _Then):
                functions.append(job._function)
                job = job._first
            value = await job._execute(worker)
            if not functions:
                return value  # type: ignore[no-any-return]
            job = _one(functions.pop()(value), self.name)


def _one(made: Job[Any] | Iterable[Job[Any]], name: str) -> Job[Any]:
    """One job for what a `.then` function returned."""
    from asyncnet.jobs.compose import AllOf  # it is built on this file

    if isinstance(made, Job):
        return made
    if isinstance(made, str) or not isinstance(made, Iterable):
        raise UsageError(f"the function given to .then() returned {type(made).__name__}, not a job or several")
    return AllOf(made, name)


class _OrElse(_Around[T_co]):
    __slots__ = ("_other",)

    def __init__(self, first: Job[Any], other: Job[Any] | Callable[[Exception], Job[Any]]) -> None:
        _Around.__init__(self, first)
        self._other = other

    async def _execute(self, worker: Worker) -> T_co:
        try:
            return await self._first._execute(worker)  # type: ignore[no-any-return]
        except Exception as error:
            other = self._other if isinstance(self._other, Job) else self._other(error)
        if not isinstance(other, Job):
            raise UsageError(f"the function given to .or_else() returned {type(other).__name__}, not a job")
        return await other._execute(worker)  # type: ignore[no-any-return]


class _Timed(_Around[T_co]):
    __slots__ = ("_seconds",)

    def __init__(self, first: Job[T_co], seconds: float) -> None:
        _Around.__init__(self, first)
        if not seconds >= 0:
            deadline(seconds)  # refuses what is no number of seconds
        self._seconds = seconds

    async def _execute(self, worker: Worker) -> T_co:
        limit = Deadline(self._seconds, None, None)
        try:
            with limit:
                return await self._first._execute(worker)  # type: ignore[no-any-return]
        except DeadlineError as error:
            if limit.expired and error.operation is None:
                error.operation = self._shown  # to make its text for each job would cost more than the deadline
            raise


class _Retried(_Around[T_co]):
    __slots__ = ("_retry",)

    def __init__(self, first: Job[T_co], retry: Retry) -> None:
        _Around.__init__(self, first)
        self._retry = retry

    async def _execute(self, worker: Worker) -> T_co:
        attempt = 1
        if worker.crew.budget is not None:
            worker.crew.budget.earn(self.host)
        while True:
            try:
                return await self._first._execute(worker)  # type: ignore[no-any-return]
            except Exception as error:
                delay = self._retry.delay(error, attempt)
                if delay is None or not worker.may_retry(self.host):
                    raise
                failure = error
            try:
                await worker.pause(failure, delay)
            finally:
                del failure  # this frame is in its traceback: a circle otherwise
            attempt += 1
