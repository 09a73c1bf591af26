"""Observer: what a run tells about its jobs while it runs: to a journal, an output, a progress line, a report.

Told is of the jobs of the source alone, not of the parts that they are made of. All methods but `aclose` are called in
the loop, between two jobs, and are as cheap as their work allows: a run without observers pays nothing, one with them
pays what they take. What an observer raises ends the run: a journal that cannot be written must not be ignored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncnet.jobs.job import Job, Outcome


class Observer(Protocol):
    """Who is told of each job of a run; a subclass overrides what it wants to know.

    For each job: `asked`, and if all said yes `began` (again with each attempt, after `retrying`), then `ended`, once.
    A job that the run's timeout leaves no time for ends without having begun; one that is cancelled with the whole run,
    or lost with the process, does not end.

    `job.key` is what a job is known by from one run to the next, `job.host` where it goes (None: not known), and
    `job.name` what the outcome is called.
    """

    def asked(self, job: Job[Any]) -> bool:
        """Say whether to do this job of the source: False leaves it out, and it has no outcome.

        Observers are asked in their order; after the first False no further is. It may raise UsageError (a doubled key
        that is to be refused), which ends the run.
        """
        return True

    def began(self, job: Job[Any], attempt: int) -> None:
        """Take note that attempt number `attempt` (from 1) begins; nothing of it has been sent yet."""
        return

    def committing(self, job: Job[Any]) -> None:
        """Take note that something that must not be done twice is about to be begun within `job`, at any depth.

        Called before a byte of it is sent: for a POST without an idempotency key, a mail, an exchange that is not said
        to be repeatable. A job that was lost after this is not to be done again, for nobody knows what became of it.
        """
        return

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Take note that an attempt at it, or a part of it, failed with `error`; the next is `delay` seconds away."""
        return

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Take note of how it ended; called before anybody else sees the outcome."""
        return

    async def aclose(self) -> None:
        """Write what is not written yet; awaited once, at the end of the run, when no job is at work any more."""
        return


class Audience:
    """The observers of one run, told in their order.

    Args:
        observers: at least one.
        break_off: ends the run by what one of them raised.
    """

    __slots__ = ("_break_off", "_observers")

    def __init__(self, observers: Sequence[Observer], break_off: Callable[[Exception], None]) -> None:
        self._observers = tuple(observers)
        self._break_off = break_off

    def asked(self, job: Job[Any]) -> bool:
        """Ask them whether to do this job; what one raises comes out."""
        return all(observer.asked(job) for observer in self._observers)

    def began(self, job: Job[Any], attempt: int) -> None:
        """Tell them that an attempt begins."""
        try:
            for observer in self._observers:
                observer.began(job, attempt)
        except Exception as error:
            self._break_off(error)

    def committing(self, job: Job[Any]) -> None:
        """Tell them that something is begun which must not be done twice; it is not, if one of them raises."""
        try:
            for observer in self._observers:
                observer.committing(job)
        except Exception as error:
            self._break_off(error)
            raise

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Tell them of a failed attempt."""
        try:
            for observer in self._observers:
                observer.retrying(job, error, delay)
        except Exception as failure:
            self._break_off(failure)

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Tell them of an outcome."""
        try:
            for observer in self._observers:
                observer.ended(job, outcome)
        except Exception as error:
            self._break_off(error)

    async def aclose(self) -> None:
        """Close them all, the last one first."""
        self._break_off = _nothing  # it leads back to us: a circle otherwise, which would keep all values
        async with contextlib.AsyncExitStack() as stack:
            for observer in self._observers:
                stack.push_async_callback(observer.aclose)


def _nothing(error: Exception) -> None: ...
