"""run and as_completed: many jobs at once, within limits, and an outcome for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.jobs.adaptive import Adaptive
from asyncnet.jobs.breaker import Breaker
from asyncnet.jobs.budget import Budget
from asyncnet.jobs.crew import Crew
from asyncnet.jobs.job import Job, Outcome
from asyncnet.jobs.limits import Terms
from asyncnet.jobs.observer import Audience, Observer
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.source import Items, Source

if TYPE_CHECKING:
    from asyncnet.jobs.cluster import Cluster
    from asyncnet.jobs.fetch import Client
    from asyncnet.jobs.fleet import Fleet

T = TypeVar("T")

MAX_PARKED = 1000
"""Jobs that may be set aside, for a busy host or between attempts, before no more are taken from the source."""

Mixed = Iterable[Job[Any] | str | Endpoint] | AsyncIterable[Job[Any] | str | Endpoint]
"""jobs, URLs and Endpoints, in any mixture"""


class _Listed(Source):
    """Outcomes in the order of their jobs."""

    __slots__ = ("outcomes",)

    def __init__(self, items: Items, observers: Sequence[Observer]) -> None:
        super().__init__(items, observers)
        self.over = asyncio.get_running_loop().create_future()
        self.outcomes: list[Any] = []

    def told(self, index: int, outcome: Outcome[Any]) -> None:
        missing = index + 1 - len(self.outcomes)
        if missing > 0:
            self.outcomes.extend([None] * missing)
        self.outcomes[index] = outcome


class _Streamed(Source):
    """Outcomes as they come; workers wait while `size` of them have not been fetched."""

    __slots__ = ("_blocked", "_outcomes", "_size")

    def __init__(self, items: Items, size: int, observers: Sequence[Observer]) -> None:
        super().__init__(items, observers)
        self._size = size
        self._outcomes: deque[Outcome[Any]] = deque()
        self._blocked: deque[asyncio.Future[None]] = deque()

    def told(self, index: int, outcome: Outcome[Any]) -> None:
        self._outcomes.append(outcome)
        self.is_full = len(self._outcomes) >= self._size
        if self.over is not None and not self.over.done():
            self.over.set_result(None)

    async def room(self) -> None:
        while self.is_full:
            turn = asyncio.get_running_loop().create_future()
            self._blocked.append(turn)
            await turn

    async def wait(self) -> bool:
        """Wait for an outcome; False once all were fetched."""
        while not self._outcomes:
            if self.is_over or self.broken is not None:
                return False
            if self._blocked:
                # One after the other, for the first may fill the room again; but all if none does, for what the others
                # wait for may be a slot that one of these holds.
                self._let_in()
                await asyncio.sleep(0)
                continue
            self.over = asyncio.get_running_loop().create_future()
            await self.over
        return True

    def fetch(self) -> Outcome[Any] | None:
        """Take the next outcome, if there is one, and let a worker that waits for room go on."""
        if not self._outcomes:
            return None
        if self.audience is not None and not self._are_written(self.audience):
            self._outcomes.clear()
            return None
        outcome = self._outcomes.popleft()
        # Only from half down: to let workers in one by one would be a change of tasks for each outcome.
        if self.is_full and len(self._outcomes) <= self._size // 2:
            self.is_full = False
        if self._blocked and not self.is_full:
            self._let_in()
        return outcome

    def _are_written(self, audience: Audience) -> bool:
        if audience.pending:
            audience.settle()
        return not audience.is_broken

    def _let_in(self) -> None:
        turn = self._blocked.popleft()
        if not turn.done():
            turn.set_result(None)


@overload
async def run(
    source: Iterable[Job[T]] | AsyncIterable[Job[T]],
    *,
    limit: int = ...,
    per_host: int | Adaptive | None = ...,
    rate: float | Rate | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
    retry_budget: float | None = ...,
    breaker: Breaker | None = ...,
    observers: Sequence[Observer] = ...,
    cluster: Cluster | str | bool | None = ...,
) -> list[Outcome[T]]: ...
@overload
async def run(
    source: Mixed,
    *,
    limit: int = ...,
    per_host: int | Adaptive | None = ...,
    rate: float | Rate | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
    retry_budget: float | None = ...,
    breaker: Breaker | None = ...,
    observers: Sequence[Observer] = ...,
    cluster: Cluster | str | bool | None = ...,
) -> list[Outcome[Any]]: ...
async def run(
    source: Items,
    *,
    limit: int = 64,
    per_host: int | Adaptive | None = 8,
    rate: float | Rate | None = None,
    timeout: float | None = None,
    client: Client | None = None,
    max_parked: int = MAX_PARKED,
    retry_budget: float | None = None,
    breaker: Breaker | None = None,
    observers: Sequence[Observer] = (),
    cluster: Cluster | str | bool | None = None,
) -> list[Outcome[Any]]:
    """Run jobs concurrently; give the outcome of each, in the order of the source.

    A job that fails is an Outcome with its error, and harms no other.

    Args:
        source: jobs, URLs and Endpoints (run as `fetch(url)`), from any iterable or async iterable. It is asked for
            the next one when there is a slot for it. A generator is closed when the run ends. An item that is no job
            and no good URL is a failed outcome of its own.
        limit: how many leaves may be at work at once.
        per_host: how many of them at one host, whatever protocol; None is no limit, and Adaptive finds the number.
            Jobs for a busy host are set aside, so that the others go on.
        rate: how many may begin a second, at all hosts together; a Rate for hosts, and for bytes.
        timeout: seconds for the whole run. Jobs that have not ended by then, the rest of a list included, end with a
            DeadlineError; of an iterable without a length, no more is taken.
        client: what fetches, by a policy of its own; None fetches by the policy of each job.
        max_parked: how many jobs may be set aside, for busy hosts and between attempts. As long as so many are, no
            more are taken from the source.
        retry_budget: how many retries each job that may be retried is worth at its host, such as 0.2, beyond 10 that a
            host always has; None is what the jobs say.
        breaker: when to leave a failing host alone; None is never.
        observers: who is told what becomes of each job. What one raises ends the run, and is raised.
        cluster: do it on many machines (extra `cluster`): the address of a Dask scheduler (`tls://host:8786`), True
            for processes on this one, or a Cluster. Limits and rates are shared out among the workers, each of which
            has the hosts of its own, so those for a host hold. A job of which a part cannot travel (a TLS context, a
            lambda) has failed.

    Raises:
        UsageError: the source cannot be iterated, is one job or one URL, or a limit is out of range.
        Exception: what the source raised; the jobs begun by then have ended, and their outcomes are lost (with
            `as_completed` they come first).

    A host that refuses for now (HTTP 429 and 503, SMTP 4xx, IMAP `[LIMIT]`, `[UNAVAILABLE]` and their like, POP3
    `[SYS/TEMP]`, `[IN-USE]`) is left alone as a whole for as long as it asks, and then gets no more a second than it
    was seen to grant; jobs with a Retry go there again, the others have failed.

    Cancelled, it cancels every job and returns when all of them are gone. A function that goes on though it was
    cancelled (one that swallows its CancelledError) is cancelled again after 5 seconds, and after 10 it is left alone,
    with a warning in the log; what it gives then is told to nobody. When the run's time is up, such a job is told as a
    DeadlineError after 5 seconds. (Others wait for it, and it keeps its slot meanwhile: a `.timeout`, a `first_of` that
    has its winner; and `asyncio.run` at its end.)

    Jobs run in the context (`contextvars`) in which this was called; what one sets there, another may see.
    """
    terms = _terms(limit, per_host, rate, breaker)
    _check(max_parked, timeout)
    budget = None if retry_budget is None else Budget(retry_budget)
    listed = _Listed(source, observers)
    if cluster is not None:
        crew: Crew | Fleet = _fleet(listed, cluster, terms, max_parked, timeout, retry_budget, client)
    else:
        crew = Crew(listed, terms=terms, max_parked=max_parked, timeout=timeout, budget=budget, client=client)
    try:
        crew.wake()
        assert listed.over is not None
        await listed.over
    finally:
        await crew.aclose()
    listed.raise_error()
    return listed.outcomes


@overload
def as_completed(
    source: Iterable[Job[T]] | AsyncIterable[Job[T]],
    *,
    limit: int = ...,
    per_host: int | Adaptive | None = ...,
    rate: float | Rate | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
    retry_budget: float | None = ...,
    breaker: Breaker | None = ...,
    observers: Sequence[Observer] = ...,
    cluster: Cluster | str | bool | None = ...,
) -> AsyncGenerator[Outcome[T], None]: ...
@overload
def as_completed(
    source: Mixed,
    *,
    limit: int = ...,
    per_host: int | Adaptive | None = ...,
    rate: float | Rate | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
    retry_budget: float | None = ...,
    breaker: Breaker | None = ...,
    observers: Sequence[Observer] = ...,
    cluster: Cluster | str | bool | None = ...,
) -> AsyncGenerator[Outcome[Any], None]: ...
def as_completed(
    source: Items,
    *,
    limit: int = 64,
    per_host: int | Adaptive | None = 8,
    rate: float | Rate | None = None,
    timeout: float | None = None,
    client: Client | None = None,
    max_parked: int = MAX_PARKED,
    retry_budget: float | None = None,
    breaker: Breaker | None = None,
    observers: Sequence[Observer] = (),
    cluster: Cluster | str | bool | None = None,
) -> AsyncGenerator[Outcome[Any], None]:
    """Run jobs concurrently; give their outcomes as they come, with flat memory however long the source.

    Arguments and errors are those of `run`; an error of the source comes after the outcomes of what had begun. Nothing
    runs before the first outcome is asked for. While `limit` outcomes wait to be fetched no more jobs are begun, so a
    slow reader slows the source down.

    Closing the iterator early cancels every job and leaves nothing behind. Who leaves the loop before its end closes
    it: `async with contextlib.aclosing(jobs.as_completed(...)) as outcomes`; otherwise that waits for the collector.
    """
    terms = _terms(limit, per_host, rate, breaker)
    _check(max_parked, timeout)
    budget = None if retry_budget is None else Budget(retry_budget)
    streamed = _Streamed(source, limit, observers)

    def crew() -> Crew | Fleet:
        if cluster is not None:
            return _fleet(streamed, cluster, terms, max_parked, timeout, retry_budget, client)
        return Crew(streamed, terms=terms, max_parked=max_parked, timeout=timeout, budget=budget, client=client)

    return _outcomes(streamed, crew)


async def _outcomes(streamed: _Streamed, gathered: Callable[[], Crew | Fleet]) -> AsyncGenerator[Outcome[Any], None]:
    crew = gathered()
    try:
        crew.wake()
        while await streamed.wait():
            while (outcome := streamed.fetch()) is not None:
                yield outcome
    finally:
        await crew.aclose()
    streamed.raise_error()


def _fleet(
    source: Source,
    cluster: Cluster | str | bool,
    terms: Terms,
    max_parked: int,
    timeout: float | None,
    retry_budget: float | None,
    client: Client | None,
) -> Fleet:
    from asyncnet.jobs.fleet import Fleet  # which a run on this machine needs not

    if client is not None:
        raise UsageError("a client does not travel to other machines: name one that is made there (Cluster.client)")
    return Fleet(source, cluster, terms, max_parked=max_parked, timeout=timeout, retry_budget=retry_budget)


def _terms(limit: int, per_host: int | Adaptive | None, rate: float | Rate | None, breaker: Breaker | None) -> Terms:
    if limit < 1 or (isinstance(per_host, int) and per_host < 1):
        raise UsageError(f"limits begin with 1: not limit={limit}, per_host={per_host}")
    return Terms(per_host, limit, rate if isinstance(rate, Rate) else Rate(rate), breaker)


def _check(max_parked: int, timeout: float | None) -> None:
    if max_parked < 1:
        raise UsageError(f"limits begin with 1: not max_parked={max_parked}")
    deadline(timeout)  # refuses what is no number of seconds
