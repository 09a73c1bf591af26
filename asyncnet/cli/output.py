"""Output: values to text. Standard output holds results alone: rows on a terminal, JSON lines elsewhere.

Rows are pure; `Output` sees to it that they are written in a thread, in order, and not one by one.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Any

from asyncnet import jobs
from asyncnet.cli import text
from asyncnet.cli.clerk import Clerk

Outcome = jobs.Outcome[Any]
_MAX_WAITING = 64
"""Outcomes that may wait to be written before the run waits for that; each may hold a large value."""


HEADING = f"{'result':<14} {'size':>9} {'time':>9}  from"


def row(outcome: Outcome) -> str:
    """Give the outcome of a fetch as a row for people, under `HEADING`."""
    if outcome.error is not None:
        result, amount = "failed", "-"
    else:
        result, amount = _result(outcome.value), text.size(jobs.weight(outcome.value))
    return f"{result:<14} {amount:>9} {text.seconds(outcome.seconds):>9}  {text.shown(outcome.name)}"


def _result(value: Any) -> str:
    if isinstance(value, list):
        return text.number(len(value), "message")
    if isinstance(value, bytes):
        return "whole"
    if not hasattr(value, "status"):  # what was sent and not fetched
        return "done"
    return text.shown(f"{value.status} {value.reason}".strip(), most=11)


class Printer:
    """Standard output, past Python's buffers: a write that is stuck there would hold up the end of the program."""

    def __init__(self) -> None:
        stream = sys.stdout.buffer
        self._stream = getattr(stream, "raw", stream)

    def write(self, words: str | bytes) -> None:
        """Write all of it.

        Raises:
            OSError: it cannot be written (BrokenPipeError: nobody reads any more).
        """
        view = memoryview(words.encode("utf-8", "backslashreplace") if isinstance(words, str) else words)
        while view:
            written = self._stream.write(view)
            if written is None:  # somebody made the terminal non-blocking
                select.select([], [self._stream], [])
            else:
                view = view[written:]
        self._stream.flush()


def painter() -> Callable[[str, str], str]:
    """Give a function of a row and a style that makes the row a coloured line, if `rich` is installed and wanted."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return lambda line, _: f"{line}\n"
    console = Console(highlight=False, soft_wrap=True)  # NO_COLOR and TERM are obeyed there

    def paint(line: str, style: str) -> str:
        with console.capture() as capture:
            console.print(Text(line, style=style))
        return capture.get()

    return paint


class Output:
    """Hands outcomes to a thread that writes them, in batches: while one is written the next is gathered.

    Args:
        clerk: the thread.
        write: writes a batch; called there.
    """

    def __init__(self, clerk: Clerk, write: Callable[[list[Outcome]], None]) -> None:
        self._clerk = clerk
        self._write = write
        self._gathered: list[Outcome] = []
        self._busy = False
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    async def put(self, outcome: Outcome) -> None:
        """Have `outcome` written; waits only while too many are waiting.

        Raises:
            OSError: an earlier one could not be written.
        """
        self._gathered.append(outcome)
        if not self._busy:
            self._begin()
        while self._busy and len(self._gathered) >= _MAX_WAITING:
            await self._turn()
        self._check()

    async def finish(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: something could not be written.
        """
        while self._busy:
            await self._turn()
        self._check()

    async def _turn(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _begin(self) -> None:
        batch, self._gathered = self._gathered, []
        self._busy = True
        self._clerk.do(lambda: self._write(batch)).add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._busy = False
        self._error = writing.exception()
        if self._error is None and self._gathered:
            self._begin()
        self._news.set()
