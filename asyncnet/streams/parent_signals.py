"""ParentSignals: what the parent of workers hears, as counts and a descriptor to wait for."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any

from asyncnet.errors import UsageError


class ParentSignals:
    """Signals of this process, noted while the block runs, and handled as before afterwards.

    Args:
        stopping: those that end everything.
        forwarded: those that are to be handed on.

    Attributes:
        forwarded: those that are to be handed on.
        stops: how many that end everything have come.
        wakeup: a descriptor that becomes readable when a signal comes.
    """

    def __init__(self, stopping: Collection[int], forwarded: Collection[int]) -> None:
        self._stopping = stopping
        self.forwarded = tuple(forwarded)
        self._numbers = [*stopping, *forwarded]
        self._to_forward: list[int] = []
        self._before: dict[int, Any] = {}
        self.stops = 0

    def __enter__(self) -> ParentSignals:
        self.wakeup, self._write = os.pipe()
        os.set_blocking(self._write, False)
        try:
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._note)
        except ValueError as error:
            self.__exit__()
            raise UsageError("signals reach the main thread alone: run workers from there") from error
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: it was not set by Python, and cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()
        os.close(self.wakeup)
        os.close(self._write)

    def heard(self) -> list[int]:
        """Give the signals to hand on that have come since the last call; `wakeup` is quiet again."""
        os.read(self.wakeup, 4096)
        found, self._to_forward = self._to_forward, []
        return found

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Hold them all back while the block runs: a process that is started there begins with them held back."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in self._stopping:
            self.stops += 1
        else:
            self._to_forward.append(number)
        with contextlib.suppress(BlockingIOError):  # then it is readable anyway
            os.write(self._write, b"\0")
