"""Incoming: what a server sends, as values told to whoever listens, within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from asyncnet.errors import DisconnectedError, IncompleteRead, LimitError, NetError
from asyncnet.imap.framing import Framer
from asyncnet.imap.limits import Limits
from asyncnet.imap.reply import parsed
from asyncnet.imap.response import Reply
from asyncnet.translation import TALKING, translation

R = TypeVar("R")


class Listener(Protocol):
    """Who wants to know what the server says, beside the command that it answers."""

    def hear(self, reply: Reply) -> None:
        """Take note of a response other than `+`; called for each, in order.

        Raises:
            ProtocolError: it breaks what the listener knows; the connection is given up.
        """

    def lose(self) -> None:
        """Take note that no more will come."""


class Collector(Generic[R]):
    """A listener that keeps the responses of one kind, at most so many."""

    __slots__ = ("_kind", "_max_count", "replies")

    def __init__(self, kind: type[R], max_count: int = 100_000) -> None:
        self._kind = kind
        self._max_count = max_count
        self.replies: list[R] = []

    def hear(self, reply: Reply) -> None:
        """Keep it, if it is of the kind.

        Raises:
            LimitError: it is one too many.
        """
        if isinstance(reply, self._kind):
            if len(self.replies) >= self._max_count:
                raise LimitError(f"more than {self._max_count} responses of one kind", limit=self._max_count)
            self.replies.append(reply)

    def lose(self) -> None:
        """Nothing to do: who waits for the command is told."""


class Tap:
    """Reading, held back while a listener has more than it can take."""

    def __init__(self) -> None:
        self._transport: asyncio.ReadTransport | None = None
        self._waiting = 0
        self._is_held = False

    def connect(self, transport: asyncio.ReadTransport) -> None:
        """Hold back this transport from now on."""
        self._transport = transport

    def close(self) -> None:
        """Leave the transport alone from now on: the connection is lost."""
        self._transport = None

    def hold(self) -> None:
        """Read no more for now, unless somebody waits for an answer."""
        if self._transport is not None and not self._waiting and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._is_held:
            self._is_held = False
            if self._transport is not None:
                self._transport.resume_reading()

    @contextmanager
    def open_for_now(self) -> Iterator[None]:
        """Read within the block, whatever the listeners say: somebody waits for an answer."""
        self._waiting += 1
        self.release()
        try:
            yield
        finally:
            self._waiting -= 1


class Incoming:
    """The way in of one connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._framer = Framer(limits)
        self._listeners: list[Listener] = []
        self._heard = self._bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether every byte so far belongs to a whole response."""
        return self._framer.is_between

    def replies(self, data: bytes) -> Iterator[Reply]:
        """Give what the next bytes complete.

        Raises:
            ProtocolError: they break the grammar.
            LimitError: they go beyond a limit.
        """
        self._bytes += len(data)
        if self._bytes > self._limits.max_response_bytes:
            limit = self._limits.max_response_bytes
            raise LimitError(f"more than {limit} bytes in answer to one command", limit=limit)
        for pieces in self._framer.feed(data):
            yield parsed(pieces, self._limits)

    def add(self, listener: Listener) -> None:
        """Let `listener` hear all responses from now on."""
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Tell `listener` no more; nothing happens if it does not listen."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Let `listener` hear all responses that come within the block."""
        self.add(listener)
        try:
            yield
        finally:
            self.remove(listener)

    def tell(self, reply: Reply) -> None:
        """Let all listeners hear `reply`.

        Raises:
            LimitError: it is one too many since the last `count_anew`.
        """
        self._heard += 1
        if self._heard > self._limits.max_responses:
            limit = self._limits.max_responses
            raise LimitError(f"more than {limit} responses to one command", limit=limit)
        for listener in tuple(self._listeners):
            listener.hear(reply)

    def count_anew(self) -> None:
        """Count responses and bytes from here on: a command begins or ends."""
        self._heard = self._bytes = 0

    def start_anew(self) -> None:
        """Forget what was begun: from here on the bytes are other ones."""
        self._framer = Framer(self._limits)

    def lose(self) -> None:
        """Let all listeners know that no more will come."""
        for listener in tuple(self._listeners):
            listener.lose()

    def end(self, error: Exception | None) -> NetError:
        """Say what it means that the connection has ended now, by `error` or without one."""
        if error is not None and (ours := translation(error, TALKING, None, None)) is not None:
            return ours
        if missing := self._framer.missing_bytes:
            text = f"the server closed the connection {missing} bytes before the end of a literal"
            return IncompleteRead(text, expected=missing)
        if not self._framer.is_between:
            return IncompleteRead("the server closed the connection in the middle of a response")
        return DisconnectedError("the server closed the connection")
