"""What a test may not leave behind: threads, sockets, tasks, unclosed objects, errors in the event loop's log.

Threads and sockets are compared by identity and not by number, so that one which the surroundings closed
meanwhile (the loop's own socket pair, say) hides none that the test left.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator

from tests.clock import MS

GRACE = 1000 * MS
"""Seconds for what is ending already: a joined-too-late thread, a socket whose other end goes."""

_STEP = 5 * MS
_DESCRIPTORS = "/proc/self/fd"
_LOOKUP = "asyncnet-lookup"  # idle lookup threads wait for work and never delay the exit


def open_sockets() -> frozenset[str]:
    """The open sockets of this process as `socket:[inode] as descriptor`; none where there is no /proc."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in os.listdir(_DESCRIPTORS):
            with contextlib.suppress(OSError):  # the listing's own descriptor has gone by now
                target = os.readlink(f"{_DESCRIPTORS}/{descriptor}")
                if target.startswith("socket:"):
                    found.add(f"{target} as descriptor {descriptor}")
    return frozenset(found)


def live_threads() -> frozenset[threading.Thread]:
    """The threads that run, without the daemon threads that the package keeps for name lookups."""
    return frozenset(
        thread for thread in threading.enumerate() if not (thread.daemon and thread.name.startswith(_LOOKUP))
    )


class Watch:
    """Remembers what there was before a test, and tells what is there in addition afterwards."""

    def __init__(self) -> None:
        self._threads = live_threads()
        self._sockets = open_sockets()
        self._log = _LoopErrors()
        logging.getLogger("asyncio").addHandler(self._log)

    def close(self) -> None:
        logging.getLogger("asyncio").removeHandler(self._log)

    def leftovers(self, *, loop_errors_allowed: bool = False) -> list[str]:
        """One line for each thing left, after at most GRACE seconds; an empty list is what a test owes."""
        with _unraisable() as complaints:
            gc.collect()
        stop = time.monotonic() + GRACE
        while (left := self._threads_and_sockets()) and time.monotonic() < stop:
            time.sleep(_STEP)
        if not loop_errors_allowed:
            left += [f"the event loop logged: {line}" for line in self._log.lines]
        return left + complaints

    def _threads_and_sockets(self) -> list[str]:
        threads = [f"a thread runs on: {thread!r}" for thread in live_threads() - self._threads]
        return threads + [f"a socket stays open: {name}" for name in open_sockets() - self._sockets]


async def stray_tasks(before: set["asyncio.Task[object]"]) -> list[str]:
    """The tasks of the running loop that are neither in `before` nor done after at most GRACE seconds."""
    known = before | {asyncio.current_task()}
    stop = time.monotonic() + GRACE
    while (left := asyncio.all_tasks() - known) and time.monotonic() < stop:
        await asyncio.wait(left, timeout=_STEP)
    return [f"a task is pending: {task!r}" for task in left]


class _LoopErrors(logging.Handler):
    """Keeps what asyncio logs as an error: `never retrieved`, `was destroyed`, `Unclosed client session`."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record)[-2000:])


@contextlib.contextmanager
def _unraisable() -> Iterator[list[str]]:
    # Warnings are errors, so an unclosed socket raises in its finalizer, where only this hook hears of it. pytest has
    # a hook of its own, but it would report what is collected here as a fault of the next test.
    complaints: list[str] = []
    previous = sys.unraisablehook
    sys.unraisablehook = lambda heard: complaints.append(f"left to the collector: {heard.exc_value!r}")
    try:
        yield complaints
    finally:
        sys.unraisablehook = previous
