"""Wakeup: how a read waits, without a Future and without a second turn of the loop.

A Future's result travels through the loop's ready queue, so a task that waits for bytes is resumed one poll later than
the bytes came, and each wait makes a Future and a Handle. asyncio allows for other awaitables: a task that is given an
object with `_asyncio_future_blocking` leaves its wake-up call there by `add_done_callback`, and takes it up again when
that is called, whoever calls it (this is how futures of other libraries are awaited; see `Task.__step` in CPython's
`asyncio/tasks.py`). A Wakeup keeps that call and makes it from within the transport's own callback, where no task is
running: the task goes on at once, its bytes still in the processor's cache. Where a task is running (one connection
writes into another of the same loop), the call goes through the loop as a Future's would.

A Wakeup has no state of being done or cancelled: a cancelled task is woken, and throws its CancelledError by itself.
So a cancellation cannot be lost to a wake-up that is on its way, nor to the next reader.

Where other callbacks are ready, most of them other connections with bytes, the tasks go on together after the last of
them, by one Handle for all (a Batch): first all reads of a turn, then all tasks, each in a processor's cache that the
like of it has warmed. Executing no fewer instructions, that takes a tenth of the CPU off 50 connections, and more under
TLS. Large chunks are another matter: they had better be used while they are in the cache. Whether others are ready
tells `_ready`, the queue of asyncio's own loops; on another loop (uvloop) each task goes on at once.

Measured on 64-byte echoes over one connection: one poll of the loop less and about 13,000 instructions less a message;
`make bench-core` shows it beside asyncio's streams.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Sized
from contextvars import Context
from typing import Any, NoReturn

# Which task runs in a loop. Before Python 3.12 `current_task` is written in Python, which costs 1,000 instructions a
# message; this is the table that it looks into.
_running: Callable[[asyncio.AbstractEventLoop], object] = (
    asyncio.current_task if sys.version_info >= (3, 12) else asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]
)


_LARGE_BYTES = 16_384
"""From here on what counts is that the bytes are in the cache: 50 echoes of 64 KiB a turn take a sixth less CPU so."""


class Wakeup:
    """One wait at a time for one task; used again for the next. Not for use from other threads.

    Attributes:
        callback: the waiting task's wake-up call; None where no task waits, or where it has been woken already.
        is_busy: whether a task is in a wait: from its first moment until the task runs again.
    """

    __slots__ = ("_asyncio_future_blocking", "_batch", "_context", "_loop", "_others", "callback", "is_busy")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._batch = batch = _batch_of(loop)
        self._context: Context | None = None
        self._loop = loop
        self._others = batch.others
        self.callback: Callable[[Any], object] | None = None
        self.is_busy = False

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits here and was not woken yet."""
        return self.callback is not None

    @property
    def reader(self) -> str:
        """The name of the task that is in its wait, for errors."""
        for task in asyncio.all_tasks(self._loop):
            if getattr(task, "_fut_waiter", None) is self:
                return task.get_name()
        return "another task"

    def __await__(self) -> Generator[Wakeup, None, None]:
        # What `yield self` in a generator does, for a third of its price: the task is given this once, and goes on.
        self._asyncio_future_blocking = True
        return iter((self,))  # type: ignore[return-value]  # any iterator will do; typeshed asks for a generator

    def wake(self, size: int = 0) -> None:
        """Let the waiting task go on, at once where that can be; without one nothing happens.

        Args:
            size: bytes that it is given; one that is given many does not wait for the others of its turn.
        """
        callback, context = self.callback, self._context
        if callback is None:
            return
        self.callback = None
        if self._others and context is not None and size < _LARGE_BYTES:
            self._batch.add(callback, context, self)
            return
        if context is None or _running(self._loop) is not None:
            self._loop.call_soon(callback, self, context=context)
            return
        try:
            context.run(callback, self)
        except (KeyboardInterrupt, SystemExit) as error:
            # For the loop, which it ends; a transport (uvloop's) would take it for an error of the connection.
            self._loop.call_soon(_throw, error)

    # The contract of a foreign future, as asyncio's Task uses it.

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Keep the task's wake-up call."""
        self.callback = callback
        self._context = context

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget the wake-up call."""
        if self.callback != callback:
            return 0
        self.callback = self._context = None
        return 1

    def cancel(self, msg: Any = None) -> bool:
        """Wake the task that `Task.cancel` is ending, and leave the CancelledError to it: hence always False."""
        callback = self.callback
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)
            self.callback = self._context = None
        return False

    def cancelled(self) -> bool:
        """Whether the wait was cancelled: never, its task is."""
        return False

    def done(self) -> bool:
        """Whether nobody waits."""
        return self.callback is None

    result = bool
    """What the task calls as it resumes, dropping the answer; anything that is written in C spares a Python call."""

    def exception(self) -> None:
        """As a Future has it; a Wakeup carries no error."""


class Batch:
    """The tasks of one loop that go on together, in the order in which they were woken.

    Attributes:
        others: what else is ready in this turn; always empty where the loop does not tell.
    """

    __slots__ = ("__weakref__", "_context", "_woken", "loop", "others")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.others: Sized = getattr(loop, "_ready", ())
        self._woken: list[tuple[Callable[[Any], object], Context, Wakeup]] = []
        self._context = Context()  # the callback holds on to no task's

    def add(self, callback: Callable[[Any], object], context: Context, wakeup: Wakeup) -> None:
        """Have a task go on after the callbacks that are ready now."""
        if not self._woken:
            self.loop.call_soon(self._go_on, context=self._context)
        self._woken.append((callback, context, wakeup))

    def _go_on(self) -> None:
        woken, self._woken = iter(self._woken), []
        try:
            for callback, context, wakeup in woken:
                context.run(callback, wakeup)
        finally:
            # KeyboardInterrupt and SystemExit end the loop, which may be run again; the others wait for that.
            for callback, context, wakeup in woken:
                self.add(callback, context, wakeup)


def _none() -> None: ...


class _Batches(threading.local):
    """Gives the batch of the loop which this thread ran last, while it has connections: no loop is kept alive by it.

    Two for one loop, if threads run several by turns, do no harm.
    """

    def __init__(self) -> None:
        self.last: Callable[[], Batch | None] = _none


_batches = _Batches()


def _batch_of(loop: asyncio.AbstractEventLoop) -> Batch:
    batch = _batches.last()
    if batch is None or batch.loop is not loop:
        batch = Batch(loop)
        _batches.last = weakref.ref(batch)
    return batch


def _throw(error: BaseException) -> NoReturn:
    raise error
