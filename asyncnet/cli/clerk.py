"""Clerk: a thread that does blocking things in order, so that a slow disk, pipe or terminal never stops the loop.

If the loop stood still in a write, deadlines of fetches under way would pass for no fault of their peers. The thread is
a daemon: one that is stuck for good (a pipe that nobody reads) does not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Clerk:
    """A thread that does one thing after the other; use it as `async with Clerk() as clerk`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Have `function` called in the thread; await the future for its result or error.

        Cancelled, the wait ends at once; a call that has begun goes on alone.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put((future, function))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="asyncnet-clerk", daemon=True)
            self._thread.start()
        return future

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function = task
            if future.cancelled():
                continue
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                self._loop.call_soon_threadsafe(_hand_over, future, result, error)
            del task, future, function, result, error

    async def __aenter__(self) -> Clerk:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        if error is None:
            await self.do(lambda: None)  # all before it is done
        self._tasks.put(None)
        if error is None:
            self._thread.join()  # it has nothing left to do but to end


def _hand_over(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
