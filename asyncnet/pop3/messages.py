"""Messages: what `async for` goes over, handed on from batches that the session's thread read."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from asyncnet.message import Message
from asyncnet.pop3.retrieve import Got, Retrieval


class Reader(Protocol):
    """Where the batches come from: a session."""

    def __call__(self, retrieval: Retrieval) -> Awaitable[list[Got]]:
        """Have the next batch read; an empty one is the end."""


class Messages:
    """The messages of one `messages()` call, each retrieved once, in order; made by the session.

    The next batch is read only when the last has been handed on, so a slow reader bounds what is held: about 1 MiB
    (or one longer message) in hand, and what the window has under way waits in the sockets. Going on after a
    RefusedError or LimitError of one message gives the next. Two tasks may share it; each message goes to one of them.
    """

    def __init__(self, begin: Callable[[], Awaitable[Retrieval]], read: Reader) -> None:
        self._begin = begin
        self._read = read
        self._retrieval: Retrieval | None = None
        self._batch: deque[Got] = deque()
        self._is_over = False

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        while not self._batch:
            if self._is_over:
                raise StopAsyncIteration
            await self._read_on()
        got = self._batch.popleft()
        if isinstance(got, Message):
            return got
        raise got

    def abandon(self) -> None:
        """Give up the rest: the session drops what is under way, and `async for` ends. Nothing waits; idempotent."""
        self._is_over = True
        self._batch.clear()
        if self._retrieval is not None:
            self._retrieval.is_abandoned = True

    async def _read_on(self) -> None:
        if self._retrieval is None:
            retrieval = await self._begin()
            self._retrieval = self._retrieval or retrieval
        batch = await self._read(self._retrieval)
        if not batch:
            self._is_over = True
        if not self._is_over:
            self._batch.extend(batch)

    def __del__(self) -> None:
        self.abandon()
