"""Agenda: names, each due at a time, for workers to take; and who waits until there are none."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time


class Agenda:
    """Names that are due; a name that was taken is still on the agenda until it is done or put back."""

    def __init__(self) -> None:
        self._due: list[tuple[float, str]] = []
        self._taken: set[str] = set()
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._due) + len(self._taken)

    def add(self, name: str, due: float) -> None:
        """Put a name on the agenda, or back on it; `due` is in seconds since the epoch."""
        self._taken.discard(name)
        heapq.heappush(self._due, (due, name))
        self._empty.clear()
        self._news.set()

    def done(self, name: str) -> None:
        """Take a name off."""
        self._taken.discard(name)
        if not len(self):
            self._empty.set()

    def close(self) -> None:
        """Nothing is handed out any more, and nobody waits."""
        self._is_closed = True
        self._news.set()
        self._empty.set()

    async def next(self) -> str | None:
        """Give the name that is due first, once it is; None when the agenda is closed."""
        while not self._is_closed:
            wait = self._due[0][0] - time.time() if self._due else None
            if wait is not None and wait <= 0:
                _, name = heapq.heappop(self._due)
                self._taken.add(name)
                return name
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
        return None

    async def emptied(self) -> None:
        """Wait until there is nothing on it, or it is closed."""
        await self._empty.wait()
