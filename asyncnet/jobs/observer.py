"""Observer: what a run tells about its jobs while it runs: to a journal, an output, a progress line, a report.

Told is of the jobs of the source alone, not of the parts that they are made of. All methods but `aclose` are called in
the loop, between two jobs, and are as cheap as their work allows: a run without observers pays nothing, one with them
pays what they take. What an observer raises ends the run: a journal that cannot be written must not be ignored.
"""

from __future__ import annotations

import asyncio
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


class Recorder(Observer):
    """An observer that writes down how jobs ended; several at once, where they end at once.

    A run tells it by `ended`, or by `note` for each of several and `settle` for all of them: before anybody sees an
    outcome, before the turn of the loop is over, and before more are begun than `limit`, counting those that are noted
    only. So a process that is killed at any moment has lost no end that was told to anybody, and `limit` at most.
    """

    def note(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Take note of how it ended, to be written by `settle`."""
        return

    def settle(self) -> None:
        """Write what was noted."""
        return

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Write down how it ended."""
        self.note(job, outcome)
        self.settle()


class Audience:
    """The observers of one run, told in their order.

    Args:
        observers: at least one.
        break_off: ends the run by what one of them raised.

    Attributes:
        pending: how many ends are noted, and not written.
        is_broken: they could not be; which of those before them were, is not known either.
    """

    __slots__ = (
        "_asked", "_began", "_break_off", "_committing", "_ended", "_is_due", "_observers", "_retrying", "_settle",
        "is_broken", "pending",
    )  # fmt: skip

    def __init__(self, observers: Sequence[Observer], break_off: Callable[[Exception], None]) -> None:
        self._observers = tuple(observers)
        self._break_off = break_off
        self._settle: tuple[Callable[[], None], ...] = ()
        self._is_due = self.is_broken = False
        self.pending = 0
        # Who overrides nothing of it is not told: most want to know of some events alone.
        self._asked = self._listeners("asked")
        self._began = self._listeners("began")
        self._committing = self._listeners("committing")
        self._retrying = self._listeners("retrying")
        self._ended = self._listeners("ended")

    def _listeners(self, name: str) -> tuple[Callable[..., Any], ...]:
        default = getattr(Observer, name)
        heard = [getattr(one, name) for one in self._observers]
        return tuple(tell for tell in heard if getattr(tell, "__func__", None) is not default)

    def asked(self, job: Job[Any]) -> bool:
        """Ask them whether to do this job; what one raises comes out."""
        for ask in self._asked:  # noqa: SIM110 (a generator for all() would cost each job as much as it asks)
            if not ask(job):
                return False
        return True

    def began(self, job: Job[Any], attempt: int) -> None:
        """Tell them that an attempt begins."""
        try:
            for tell in self._began:
                tell(job, attempt)
        except Exception as error:
            self._break_off(error)

    def committing(self, job: Job[Any]) -> None:
        """Tell them that something is begun which must not be done twice; it is not, if one of them raises."""
        try:
            for tell in self._committing:
                tell(job)
        except Exception as error:
            self._break_off(error)
            raise

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Tell them of a failed attempt."""
        try:
            for tell in self._retrying:
                tell(job, error, delay)
        except Exception as failure:
            self._break_off(failure)

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> bool:
        """Tell them of an outcome; False if one of them failed: nobody else is to see it, for it may not be written."""
        is_told = True
        try:
            for tell in self._ended:
                tell(job, outcome)
        except Exception as error:
            is_told = False
            self._break_off(error)
        if self._settle:
            self.pending += 1
            if not self._is_due:
                self._is_due = True
                asyncio.get_running_loop().call_soon(self._end_turn)
        return is_told

    def gather(self) -> None:
        """Have several ends written at once from now on, if nobody but recorders hears of ends; who owns this settles.

        Another observer may act on what it hears, so what it hears has been written by those before it.
        """
        recorders = [one for one in self._observers if isinstance(one, Recorder)]
        if self._ended == tuple(one.ended for one in recorders if type(one).ended is Recorder.ended):
            self._ended = tuple(one.note for one in recorders)
            self._settle = tuple(one.settle for one in recorders)

    def settle(self) -> None:
        """Have written what is pending."""
        self.pending = 0
        try:
            for settle in self._settle:
                settle()
        except Exception as error:
            self.is_broken = True
            self._break_off(error)

    def _end_turn(self) -> None:
        self._is_due = False
        if self.pending:
            self.settle()

    async def aclose(self) -> None:
        """Close them all, the last one first."""
        if self.pending:
            self.settle()
        self._break_off = _nothing  # it leads back to us: a circle otherwise, which would keep all values
        async with contextlib.AsyncExitStack() as stack:
            for observer in self._observers:
                stack.push_async_callback(observer.aclose)


def _nothing(error: Exception) -> None: ...
