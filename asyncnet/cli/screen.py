"""Screen: what is said on standard error: faults, remarks, and a progress line where that is a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator

from asyncnet import NetError
from asyncnet.cli.faults import fault, remedy
from asyncnet.cli.text import shown

_PERIOD = 0.1
"""Seconds between two drawings of the progress line: what people can still read, and never once for each job."""

_MAX_REMEDIES = 1000
"""Remedies that are told: one may name a host, and a list may have a million hosts."""


class Screen:
    """Standard error, for one command; its methods may be called from any thread.

    Args:
        quiet: say nothing.
        verbose: from 1 on, tell what happens inside, and where in the program an unforeseen error came from.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._lock = threading.Lock()
        self._drawn = False
        self._paused = 0
        self._remedies: set[str] = set()

    def say(self, text: str) -> None:
        """Write a line."""
        if self._quiet:
            return
        with self._lock:
            self._write(f"{self._cleared()}{text}\n")

    def tell(self, error: BaseException, where: str = "") -> None:
        """Write what failed, and what may help; the same remedy once."""
        lines = [fault(error, where)]
        help_ = remedy(error, where)
        if help_ is not None and help_ not in self._remedies and len(self._remedies) < _MAX_REMEDIES:
            self._remedies.add(help_)
            lines.append(f"  {help_}")
        if self._verbose and not isinstance(error, NetError | OSError):
            lines += "".join(traceback.format_exception(error)).splitlines()
        self.say("\n".join(lines))

    @contextlib.contextmanager
    def logs(self) -> Iterator[None]:
        """Show what the library logs while the block runs, as far as -v asks for it."""
        logger, handler = logging.getLogger("asyncnet"), _Shown(self)
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(self._verbose, 2)])
        try:
            yield
        finally:
            logger.setLevel(before)
            logger.removeHandler(handler)

    def clear(self) -> None:
        """Take the progress line away, before somebody else writes on the terminal."""
        with self._lock:
            self._write(self._cleared())

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Draw no progress while the block asks somebody something on the terminal."""
        self.clear()
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    @contextlib.asynccontextmanager
    async def progress(self, line: Callable[[], str]) -> AsyncIterator[None]:
        """Draw `line()` ten times a second while the block runs, if this is a terminal."""
        if self._quiet or not sys.stderr.isatty():
            yield
            return
        task = asyncio.create_task(self._draw(line))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self.clear()

    async def _draw(self, line: Callable[[], str]) -> None:
        while True:
            await asyncio.sleep(_PERIOD)
            if self._paused:
                continue
            width = shutil.get_terminal_size().columns - 1
            with self._lock:
                self._write(f"\r{line()[:width]}\x1b[K")
                self._drawn = True

    def _cleared(self) -> str:
        drawn, self._drawn = self._drawn, False
        return "\r\x1b[K" if drawn else ""

    def _write(self, text: str) -> None:
        if text:
            with contextlib.suppress(OSError):  # nobody reads it: no reason to stop
                sys.stderr.write(text)
                sys.stderr.flush()


class _Shown(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.say(f"{record.levelname.lower()}: {shown(record.getMessage())}")
