"""A worker: one of the processes of `run_workers`, seen from inside.

It is told to end by its parent, over a pipe, and not by signals: a signal may come to all processes at once (from a
terminal, or from a service manager), and must not count twice. The levels of an order say what was reached, so that
nothing counts twice: DRAIN, then ABORT. The pipe's end is the parent's end, and an order too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from multiprocessing.connection import Connection as Pipe
from typing import Any

from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError
from asyncnet.streams.loop import run

WorkerMain = Callable[[Endpoint, Callable[[], None]], Coroutine[Any, Any, object]]
"""`async def main(endpoint, ready)`"""

DRAIN, ABORT = 1, 2
READY = "ready"
KILL_SECONDS = 3.0
"""How long a worker may take to end once it is told to abort."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def work(main: WorkerMain, place: Endpoint, uvloop: bool, grace: float, forwarded: Collection[int], pipe: Pipe) -> None:
    """Be a worker, in the main thread of a fresh process that holds its signals back."""
    orders = _Orders()
    threading.Thread(target=_listen, args=(pipe, orders, grace), name="asyncnet-parent", daemon=True).start()
    try:
        run(_serve(main, place, orders, forwarded, pipe), uvloop=uvloop)
    except NetError as error:
        with contextlib.suppress(OSError):
            pipe.send(error)  # the parent says why
        sys.exit(1)


async def _serve(main: WorkerMain, place: Endpoint, orders: _Orders, forwarded: Collection[int], pipe: Pipe) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in _STOPPING:
        loop.add_signal_handler(number, orders.hear_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def ready() -> None:
        for number in forwarded:
            if signal.getsignal(number) is signal.SIG_DFL:  # it would end us
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
        with contextlib.suppress(OSError):
            pipe.send(READY)

    orders.give_to(loop, task)
    try:
        await main(place, ready)
    except asyncio.CancelledError:
        if not orders.level:
            raise
    finally:
        orders.give_to(None, None)


class _Orders:
    """How far the end has come, and the task that is told."""

    def __init__(self) -> None:
        self.level = 0
        self._signals = 0
        self._told = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def give_to(self, loop: asyncio.AbstractEventLoop | None, task: asyncio.Task[Any] | None) -> None:
        """Tell this task from now on, and of what came before."""
        with self._lock:
            self._loop, self._task = loop, task
        self._tell()

    def raise_to(self, level: int) -> None:
        """Order at least so much; from any thread."""
        with self._lock:
            self.level = max(self.level, level)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell)

    def hear_signal(self) -> None:
        """Take a signal that came to this process itself."""
        self._signals += 1
        self.raise_to(min(self._signals, ABORT))

    def _tell(self) -> None:
        while self._told < self.level and self._task is not None and self._loop is not None:
            self._told += 1
            if self._told == DRAIN:
                self._task.cancel()
            else:
                self._loop.call_soon(self._task.cancel)  # once the task has taken the first, or both would be one


def _listen(pipe: Pipe, orders: _Orders, grace: float) -> None:
    """Take the parent's orders; when it is gone, and nobody else would end us, give them in its place."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            orders.raise_to(pipe.recv_bytes()[0])
    orders.raise_to(DRAIN)
    time.sleep(grace)
    orders.raise_to(ABORT)
    time.sleep(KILL_SECONDS)
    os._exit(1)
