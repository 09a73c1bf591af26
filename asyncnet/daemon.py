"""Blocking calls in daemon threads of our own: name lookups, token commands, password prompts.

The loop's default executor will not do: it has few threads, so seven slow calls would block every other, and the
interpreter waits for them at exit. Here a stuck call is abandoned with its waiter and never delays the exit; at most
`MAX_THREADS` run at once, and beyond that calls wait in a queue, first come first served, within their caller's
deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MAX_THREADS = 32
_IDLE_SECONDS = 5.0

# Guarded by _news: the calls that nobody has begun, and how many threads there are and wait for one.
_news = threading.Condition()
_calls: OrderedDict[asyncio.Future[Any], tuple[asyncio.AbstractEventLoop, Callable[[], Any]]] = OrderedDict()
_threads = 0
_idle = 0


async def in_daemon(function: Callable[[], T]) -> T:
    """Run a blocking function in a daemon thread and wait for its result.

    Raises:
        OSError: the system gives no thread.
        Exception: whatever `function` raises.

    Cancelled, it returns at once; a call that has begun goes on alone and its result is dropped, one that still waited
    never begins.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    try:
        _submit(loop, future, function)
        return await future
    finally:
        with _news:
            _calls.pop(future, None)


def _submit(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
    global _threads
    with _news:
        _calls[future] = (loop, function)
        if _idle >= len(_calls):
            _news.notify()
            return
        if _threads >= MAX_THREADS:
            return
        _threads += 1
    try:
        threading.Thread(target=_serve, name="asyncnet-lookup", daemon=True).start()
    except RuntimeError as error:
        with _news:
            _threads -= 1
        raise OSError(errno.EAGAIN, "no thread can be started") from error


def _serve() -> None:
    while _serve_one():  # a function of its own, so that an idle thread keeps nothing of the last call alive
        pass


def _serve_one() -> bool:
    """Run the call that waits longest; False when none has come for a while, and this thread ends."""
    global _threads, _idle
    with _news:
        _idle += 1
        found = _news.wait_for(lambda: bool(_calls), _IDLE_SECONDS)
        _idle -= 1
        if not found:
            _threads -= 1
            return False
        future, (loop, function) = _calls.popitem(last=False)
    try:
        result = function()
    except BaseException as error:
        _tell(loop, future, None, error)
    else:
        _tell(loop, future, result, None)
    return True


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, failure: BaseException | None
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
        loop.call_soon_threadsafe(_hand_over, future, result, failure)


def _hand_over(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    elif isinstance(failure, StopIteration):  # a Future cannot carry it
        future.set_exception(RuntimeError("the function raised StopIteration"))
    else:
        future.set_exception(failure)


def _forget() -> None:
    # In a forked child there are no threads, whatever was counted, and perhaps one of them held the lock.
    global _news, _threads, _idle
    _news, _threads, _idle = threading.Condition(), 0, 0
    _calls.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
