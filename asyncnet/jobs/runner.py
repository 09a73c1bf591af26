"""run and as_completed: many jobs at once, within limits, and an outcome for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.jobs.crew import Crew
from asyncnet.jobs.job import Job, Outcome
from asyncnet.jobs.source import Items, Source

if TYPE_CHECKING:
    from asyncnet.jobs.fetch import Client

T = TypeVar("T")

MAX_PARKED = 1000
"""Jobs that may be set aside, for a busy host or between attempts, before no more are taken from the source."""

Mixed = Iterable[Job[Any] | str | Endpoint] | AsyncIterable[Job[Any] | str | Endpoint]
"""jobs, URLs and Endpoints, in any mixture"""


class _Listed(Source):
    """Outcomes in the order of their jobs."""

    __slots__ = ("outcomes",)

    def __init__(self, items: Items) -> None:
        super().__init__(items)
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

    def __init__(self, items: Items, size: int) -> None:
        super().__init__(items)
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
        outcome = self._outcomes.popleft()
        # Only from half down: to let workers in one by one would be a change of tasks for each outcome.
        if self.is_full and len(self._outcomes) <= self._size // 2:
            self.is_full = False
        if self._blocked and not self.is_full:
            self._let_in()
        return outcome

    def _let_in(self) -> None:
        turn = self._blocked.popleft()
        if not turn.done():
            turn.set_result(None)


@overload
async def run(
    source: Iterable[Job[T]] | AsyncIterable[Job[T]],
    *,
    limit: int = ...,
    per_host: int | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
) -> list[Outcome[T]]: ...
@overload
async def run(
    source: Mixed,
    *,
    limit: int = ...,
    per_host: int | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
) -> list[Outcome[Any]]: ...
async def run(
    source: Items,
    *,
    limit: int = 64,
    per_host: int | None = 8,
    timeout: float | None = None,
    client: Client | None = None,
    max_parked: int = MAX_PARKED,
) -> list[Outcome[Any]]:
    """Run jobs concurrently; give the outcome of each, in the order of the source.

    A job that fails is an Outcome with its error, and harms no other.

    Args:
        source: jobs, URLs and Endpoints (run as `fetch(url)`), from any iterable or async iterable. It is asked for
            the next one when there is a slot for it. A generator is closed when the run ends. An item that is no job
            and no good URL is a failed outcome of its own.
        limit: how many leaves may be at work at once.
        per_host: how many of them at one host, whatever protocol; None is no limit. Jobs for a busy host are set
            aside, so that the others go on.
        timeout: seconds for the whole run. Jobs that have not ended by then, the rest of a list included, end with a
            DeadlineError; of an iterable without a length, no more is taken.
        client: what fetches, by a policy of its own; None fetches by the policy of each job.
        max_parked: how many jobs may be set aside, for busy hosts and between attempts.

    Raises:
        UsageError: the source cannot be iterated, is one job or one URL, or a limit is below 1.
        Exception: what the source raised; the jobs begun by then have ended, and their outcomes are lost (with
            `as_completed` they come first).

    Cancelled, it cancels every job and returns when all of them are gone. Jobs run in the context (`contextvars`) in
    which this was called; what one sets there, another may see.
    """
    _check(limit, per_host, timeout, max_parked)
    listed = _Listed(source)
    crew = Crew(listed, limit=limit, per_host=per_host, max_parked=max_parked, timeout=timeout, client=client)
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
    per_host: int | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
) -> AsyncGenerator[Outcome[T], None]: ...
@overload
def as_completed(
    source: Mixed,
    *,
    limit: int = ...,
    per_host: int | None = ...,
    timeout: float | None = ...,
    client: Client | None = ...,
    max_parked: int = ...,
) -> AsyncGenerator[Outcome[Any], None]: ...
def as_completed(
    source: Items,
    *,
    limit: int = 64,
    per_host: int | None = 8,
    timeout: float | None = None,
    client: Client | None = None,
    max_parked: int = MAX_PARKED,
) -> AsyncGenerator[Outcome[Any], None]:
    """Run jobs concurrently; give their outcomes as they come, with flat memory however long the source.

    Arguments and errors are those of `run`; an error of the source comes after the outcomes of what had begun. Nothing
    runs before the first outcome is asked for. While `limit` outcomes wait to be fetched no more jobs are begun, so a
    slow reader slows the source down.

    Closing the iterator early cancels every job and leaves nothing behind. Who leaves the loop before its end closes
    it: `async with contextlib.aclosing(jobs.as_completed(...)) as outcomes`; otherwise that waits for the collector.
    """
    _check(limit, per_host, timeout, max_parked)
    streamed = _Streamed(source, limit)
    return _outcomes(streamed, limit=limit, per_host=per_host, max_parked=max_parked, timeout=timeout, client=client)


async def _outcomes(
    streamed: _Streamed,
    *,
    limit: int,
    per_host: int | None,
    max_parked: int,
    timeout: float | None,
    client: Client | None,
) -> AsyncGenerator[Outcome[Any], None]:
    crew = Crew(streamed, limit=limit, per_host=per_host, max_parked=max_parked, timeout=timeout, client=client)
    try:
        crew.wake()
        while await streamed.wait():
            while (outcome := streamed.fetch()) is not None:
                yield outcome
    finally:
        await crew.aclose()
    streamed.raise_error()


def _check(limit: int, per_host: int | None, timeout: float | None, max_parked: int) -> None:
    if limit < 1 or (per_host is not None and per_host < 1) or max_parked < 1:
        raise UsageError(f"limits begin with 1: not limit={limit}, per_host={per_host}, max_parked={max_parked}")
    deadline(timeout)  # refuses what is no number of seconds
