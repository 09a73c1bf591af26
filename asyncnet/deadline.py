"""deadline(): one call, one deadline, whatever it does inside, and one error that names the phase it was in.

Every call of every protocol passes here, so a deadline costs little: one timer of the loop serves them all, and is set
anew only for a deadline that is earlier than the one it waits for. (A timer for each, as `asyncio.timeout` has it,
costs a small call over HTTP an eighth of its time.)
"""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
from asyncio import current_task, get_running_loop
from contextvars import Context, ContextVar
from itertools import count
from types import TracebackType
from typing import Protocol

from asyncnet.errors import DeadlineError, UsageError

_innermost: ContextVar[Deadline | None] = ContextVar("asyncnet_deadline", default=None)

_TIDY_AT = 256
"""How many deadlines that were met may wait to be forgotten; beyond, as many as are still to be met."""


class _Alarm:
    """The timer of one loop, and the deadlines that it has to watch, the earliest first.

    One that was met stays in the heap, without its task, until it comes up or until such are the most.

    Attributes:
        now: what time it is, by the clock of the loop.
        over: how many in the heap were met.
    """

    __slots__ = ("_at", "_context", "_heap", "_numbers", "_timer", "loop", "now", "over")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = count()
        self.over = 0
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._context = Context()  # the timer holds on to no caller's

    def watch(self, limit: Deadline, when: float) -> None:
        """Cancel the task of `limit` at `when`, a time of the loop, unless it is met by then."""
        heapq.heappush(self._heap, (when, next(self._numbers), limit))
        if when < self._at:
            self._set(when)

    def tidy(self) -> None:
        """Forget those that were met, if they are the most."""
        if self.over * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2]._task is not None]
            heapq.heapify(self._heap)
            self.over = 0

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = when
        self._timer = self.loop.call_at(when, self._ring, context=self._context)

    def _ring(self) -> None:
        # uvloop counts in milliseconds and may be early; what the timer was set for is due whatever the clock says.
        due = max(self._at, self.now())
        self._timer, self._at = None, math.inf
        heap = self._heap
        while heap and (heap[0][0] <= due or heap[0][2]._task is None):
            limit = heapq.heappop(heap)[2]
            if limit._task is None:
                self.over = max(0, self.over - 1)
            else:
                limit._expire()
        if heap:
            self._set(heap[0][0])


class _Alarms(threading.local):
    last: _Alarm | None = None
    """that of the loop which this thread ran last; two for one loop, if threads run several by turns, do no harm"""


_alarms = _Alarms()


def _alarm(loop: asyncio.AbstractEventLoop) -> _Alarm:
    alarm = _alarms.last
    if alarm is None or alarm.loop is not loop:
        alarm = _alarms.last = _Alarm(loop)
    return alarm


class Listener(Protocol):
    """Who hears what goes on inside of a deadline; `trace.py` has the ones that there are."""

    def enter(self, limit: Deadline) -> Listener:
        """A deadline begins; give who listens inside of it."""

    def leave(self, limit: Deadline, error: BaseException | None) -> None:
        """It ended, by this error or well."""

    def phase(self, name: str) -> None:
        """It waits for something else now."""

    def asked(self, operation: str) -> None:
        """A request is sent."""

    def answered(self, detail: object) -> None:
        """Its answer begins."""

    def noted(self, detail: object) -> None:
        """That came of the step."""


class Deadline:
    """An `async with` or `with` block, in a task, that must end in time; made by `deadline()`."""

    __slots__ = (
        "_alarm",
        "_cancelled_before",
        "_outer",
        "_task",
        "_when",
        "endpoint",
        "expired",
        "listener",
        "operation",
        "phase",
        "seconds",
    )

    def __init__(self, seconds: float | None, endpoint: object, operation: str | None) -> None:
        if seconds is not None and not seconds >= 0:  # NaN is not
            raise UsageError(f"a timeout is a number of seconds, at least 0: not {seconds}", endpoint=endpoint)
        self.seconds = None if seconds == math.inf else seconds
        self.endpoint = endpoint
        self.operation = operation
        self.phase: str | None = None
        self.expired = False
        self.listener: Listener | None = None
        self._task: asyncio.Task[object] | None = None
        self._when = math.inf
        self._outer: Deadline | None = None

    def remaining(self) -> float:
        """Seconds left, never below 0; `math.inf` where there is no limit. Only inside the block."""
        return self._when if self._when == math.inf else max(0.0, self._when - asyncio.get_running_loop().time())

    def __enter__(self) -> Deadline:
        outer = self._outer = _innermost.get()
        if self.seconds is not None:
            self._begin(self.seconds)
        if outer is not None:
            self._enter_within(outer)
        _innermost.set(self)
        return self

    def _begin(self, seconds: float) -> None:
        loop = get_running_loop()
        task = current_task(loop)
        if task is None:
            raise RuntimeError("a deadline holds inside of a task alone")
        alarm = self._alarm = _alarm(loop)
        self._task = task
        self._cancelled_before = task.cancelling()
        self._when = when = alarm.now() + seconds
        alarm.watch(self, when)

    def _enter_within(self, outer: Deadline) -> None:
        if outer.listener is not None and self.listener is None:
            self.listener = outer.listener.enter(self)
        if self.operation is not None:
            _name(outer, self.operation)

    def _expire(self) -> None:
        assert self._task is not None
        self.expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Set back by value, not by token: the body of an async generator may be closed in another context, where
        # another deadline may be the innermost.
        if _innermost.get() is self:
            _innermost.set(self._outer)
        self._outer = None
        task, self._task = self._task, None
        failure = None
        if task is not None:
            if self.expired:
                failure = self._failure(task, error)
            else:
                alarm = self._alarm
                alarm.over += 1
                if alarm.over > _TIDY_AT:
                    alarm.tidy()
        if self.listener is not None:
            self.listener.leave(self, failure or error)
            self.listener = None
        if failure is not None:
            raise failure from (error if isinstance(error, Exception) else None)

    def _failure(self, task: asyncio.Task[object], error: BaseException | None) -> DeadlineError | None:
        """Give the error that the block ends by now that it has passed, if there is one."""
        is_ours_alone = task.uncancel() <= self._cancelled_before  # else somebody outside wants the task to end
        if isinstance(error, asyncio.CancelledError):
            return self._error() if is_ours_alone else None
        # An error says that a library underneath turned our cancellation into one of its own. (Had it swallowed it
        # and ended well, then with all that was asked for: that is a success, if a late one.)
        return self._error() if isinstance(error, Exception) else None

    async def __aenter__(self) -> Deadline:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _error(self) -> DeadlineError:
        assert self.seconds is not None
        where = f" (in {self.phase})" if self.phase and self.phase != self.operation else ""
        text = f"not done within {self.seconds:g} seconds{where}"
        return DeadlineError(text, seconds=self.seconds, endpoint=self.endpoint, operation=self.operation)


def deadline(seconds: float | None, endpoint: object = None, operation: str | None = None) -> Deadline:
    """Bound the block by `seconds`; None or `math.inf` is no limit.

    Raises:
        DeadlineError: the seconds passed before the block ended; the work inside was cancelled, and whoever owns a
            connection there has aborted it. `.operation` is the one given here; the message names the last `phase()`,
            or the operation of the last deadline inside this one.
        UsageError: `seconds` is negative or not a number.
    """
    return Deadline(seconds, endpoint, operation)


def phase(name: str) -> Listener | None:
    """Name what the deadlines around are waiting for now: `resolve`, `connect`, `TLS handshake`, `login`...

    Gives who listens here, as `listener` does.
    """
    around = _innermost.get()
    if around is None:
        return None
    here = around.listener
    if here is not None:
        here.phase(name)
    _name(around, name)
    return here


def _name(innermost: Deadline, phase: str) -> None:
    """Name what a deadline, and those around it, wait for now."""
    around: Deadline | None = innermost
    while around is not None:
        around.phase = phase
        around = around._outer


def listener() -> Listener | None:
    """Give who listens here, if anybody does."""
    around = _innermost.get()
    return None if around is None else around.listener
