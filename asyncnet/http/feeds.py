"""Bodies without an end that matters: JSON values by the line, and events, with their reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from asyncnet.deadline import deadline
from asyncnet.errors import DisconnectedError, NetError, ProtocolError, UsageError, printable
from asyncnet.http.events import Event, EventParser
from asyncnet.http.lines import Lines
from asyncnet.retry import Retry

if TYPE_CHECKING:
    from asyncnet.http.stream import ResponseStream

Open = Callable[[Mapping[str, str]], AbstractAsyncContextManager["ResponseStream"]]
"""sends the request with these fields in addition, and gives its answer"""


class Pieces(Protocol):
    """What gives a body piece by piece."""

    async def __anext__(self) -> bytes:
        """Give the next."""


class LineIterator:
    """The lines of a body: `async for line in response.lines()`; without their ends, the last also without one."""

    def __init__(self, pieces: Pieces, max_line_bytes: int) -> None:
        self._pieces = pieces
        self._lines = Lines(max_line_bytes)
        self._ready: deque[bytes] = deque()
        self._ended = False

    def __aiter__(self) -> LineIterator:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                self._ready.extend(self._lines.feed(await self._pieces.__anext__()))
            except StopAsyncIteration:
                self._ended = True
                if rest := self._lines.rest():
                    self._ready.append(rest)
        return self._ready.popleft()


class JsonIterator:
    """The values of a body that has one on each line (NDJSON): `async for value in response.ndjson()`."""

    def __init__(self, lines: LineIterator) -> None:
        self._lines = lines
        self._number = 0

    def __aiter__(self) -> JsonIterator:
        return self

    async def __anext__(self) -> Any:
        line = b""
        while not line:
            line = (await self._lines.__anext__()).strip()  # empty lines keep a connection alive
            self._number += 1
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"line {self._number} is not JSON: {printable(str(error))}") from error


class Events:
    """An event stream: `async for event in events`, inside of its block.

    Args:
        open_answer: sends the request.
        reconnect: when to connect again after a loss; None never does.
        max_event_bytes: the longest line, and the most data of one event.
        max_silence: seconds without a byte after which the connection counts as lost; None waits for ever.
        last_id: the id to begin after.
    """

    def __init__(
        self,
        open_answer: Open,
        reconnect: Retry | None,
        max_event_bytes: int,
        max_silence: float | None,
        last_id: str,
    ) -> None:
        if not last_id.isprintable():
            raise UsageError("a control character in last_event_id")
        self._open_answer = open_answer
        self._reconnect = reconnect
        self._max_event_bytes = max_event_bytes
        self._max_silence = max_silence
        self._parser = EventParser(max_event_bytes, last_id)
        self._lines = Lines(max_event_bytes, lone_cr=True)
        self._ready: deque[Event] = deque()
        self._stack = contextlib.AsyncExitStack()
        self._answer: ResponseStream | None = None
        self._attempt = 1
        self._ended = False

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was given out or dropped, to go on from; "" if none had one."""
        return self._parser.last_id

    async def open(self) -> None:
        """Connect, and again as `reconnect` says.

        Raises:
            StatusError: the status is 400 or more.
            ProtocolError: what comes is no event stream.
        """
        while self._answer is None and not self._ended:
            try:
                await self._connect()
            except NetError as error:
                await self._after(error)

    async def aclose(self) -> None:
        """Drop the connection."""
        self._ended = True
        self._answer = None
        await self._stack.aclose()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            await self.open()
            if self._answer is None:
                raise StopAsyncIteration
            try:
                await self._more(self._answer)
            except NetError as error:
                await self._after(error)
        return self._ready.popleft()

    async def _connect(self) -> None:
        fields = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_event_id:
            fields["Last-Event-ID"] = self.last_event_id
        answer = await self._stack.enter_async_context(self._open_answer(fields))
        answer.raise_for_status()
        if answer.status == 204:  # the server's way to say: do not come back
            await self.aclose()
            return
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "text/event-stream":
            raise ProtocolError(f"no event stream but {printable(media_type, max_characters=80)!r}")
        parser = EventParser(self._max_event_bytes, self.last_event_id)
        parser.retry = self._parser.retry
        self._parser, self._lines, self._answer = parser, Lines(self._max_event_bytes, lone_cr=True), answer

    async def _more(self, answer: ResponseStream) -> None:
        try:
            async with deadline(self._max_silence, answer.url.partition("?")[0], "waiting for an event"):
                piece = await anext(answer)
        except StopAsyncIteration:
            if self._reconnect is None:
                await self.aclose()
                return
            raise DisconnectedError("the event stream ended", endpoint=answer.url.partition("?")[0]) from None
        for line in self._lines.feed(piece):
            event = self._parser.feed(line)
            if event is not None:
                self._attempt = 1  # it works: the next loss is a new one
                self._ready.append(event)

    async def _after(self, error: NetError) -> None:
        """Wait before the next attempt, or raise the error."""
        self._answer = None
        await self._stack.aclose()
        plan = self._reconnect
        wait = None if plan is None else plan.delay(error, self._attempt)
        if plan is None or wait is None:
            self._ended = True
            raise error
        self._attempt += 1
        await asyncio.sleep(max(wait, min(self._parser.retry or 0.0, plan.max_retry_after)))
