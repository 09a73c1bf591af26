"""Holding: what is open is closed by the last one who uses it, be it a thread that outlasts its caller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from asyncnet.daemon import in_daemon

T = TypeVar("T")


class Holding:
    """Something open, that an owner holds, and threads that he sends to use it.

    Args:
        close: closes it; called once, in the thread of whoever was the last to let go.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._users = 1
        self._guard = threading.Lock()
        self.is_held = True

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Do a blocking work in a daemon thread, and wait for it.

        Cancelled, it returns at once: work that has begun goes on, and what it uses stays open until it is done.

        Raises:
            Exception: what `work` raises.
        """
        await in_daemon(lambda: self._used(work))

    def _used(self, work: Callable[[], None]) -> None:
        with self._guard:
            if not self._users:
                return  # it was closed before this began, and nobody waits for it any more
            self._users += 1
        try:
            work()
        finally:
            self._one_less()

    def let_go(self) -> None:
        """End the owner's use of it; twice is once."""
        if self.is_held:
            self.is_held = False
            self._one_less()

    def _one_less(self) -> None:
        with self._guard:
            self._users -= 1
            is_last = not self._users
        if is_last:
            close, self._close = self._close, _nothing  # whose it is holds us: a circle otherwise
            close()


def _nothing() -> None: ...


async def opened(open_it: Callable[[], T], close: Callable[[T], None]) -> T:
    """Open something in a daemon thread, and give it to a caller who closes it.

    Cancelled, it returns at once; what the thread opens then is closed by the thread.

    Raises:
        Exception: what `open_it` raises.
    """
    guard = threading.Lock()
    made: list[T] = []
    is_wanted = True

    def work() -> None:
        one = open_it()
        with guard:
            if is_wanted:
                made.append(one)
                return
        close(one)

    try:
        await in_daemon(work)
    except BaseException:
        with guard:
            is_wanted = False
        for one in made:
            close(one)
        raise
    return made[0]
