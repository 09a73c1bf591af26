"""Incoming: what a server sends, as values told to whoever listens, within the limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from asyncnet.errors import DisconnectedError, IncompleteRead, LimitError, NetError
from asyncnet.imap.framing import Framer, Sink
from asyncnet.imap.limits import Limits
from asyncnet.imap.reply import parsed
from asyncnet.imap.response import Reply
from asyncnet.translation import TALKING, translation

R = TypeVar("R")

# What is linear in the text, whatever it is: a pattern over all of it would try each UID with each section.
_FETCH = re.compile(rb"\* [0-9]{1,10} FETCH \(", re.IGNORECASE)
_UID = re.compile(rb"[( ]UID ([0-9]{1,10}) ", re.IGNORECASE)
_SECTION = re.compile(rb"(BODY\[[A-Z0-9.]{0,80}\](?:<[0-9]{1,10}>)?) ", re.IGNORECASE)
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_MAX_SECTION = 100


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

    def __init__(self, kind: type[R] | tuple[type[R], ...], max_count: int = 100_000) -> None:
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


class Noter(Generic[R]):
    """A listener that hands the responses of one kind on, and keeps none."""

    __slots__ = ("_kind", "_note")

    def __init__(self, kind: type[R], note: Callable[[R], None]) -> None:
        self._kind = kind
        self._note = note

    def hear(self, reply: Reply) -> None:
        """Hand it on, if it is of the kind."""
        if isinstance(reply, self._kind):
            self._note(reply)

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
    """The way in of one connection.

    Attributes:
        is_utf8: whether UTF8=ACCEPT is on.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._framer = Framer(limits)
        self._listeners: list[Listener] = []
        self._heard = self._bytes = 0
        self.is_utf8 = False

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
        framer = self._framer
        self._bytes += len(data)
        if framer.divert is None:
            self._check_bytes()
        diverted = framer.diverted_bytes
        for pieces in framer.feed(data):
            yield parsed(pieces, self._limits, utf8=self.is_utf8)
        self._bytes -= framer.diverted_bytes - diverted
        self._check_bytes()

    def _check_bytes(self) -> None:
        limit = self._limits.max_response_bytes
        if self._bytes > limit:
            raise LimitError(f"more than {limit} bytes in answer to one command", limit=limit)

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

    @contextmanager
    def diverted(self, uid: int, name: str, sink: Sink) -> Iterator[None]:
        """Let the literal of a section of a message, should it come within the block, go to `sink` as it comes.

        It takes no memory here and counts for no limit; where its text would be, the value that is told is empty.
        """

        def divert(start: bytes) -> Sink | None:
            return sink if _is_of(uid, name, start) else None

        self._framer.divert = divert
        try:
            yield
        finally:
            self._framer.divert = None

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


def _is_of(uid: int, name: str, start: bytes) -> bool:
    """Whether the literal behind `start` is this section of this message.

    Where the UID comes behind the text, it cannot be told: no.
    """
    section = start.rfind(b" ", 0, -1) + 1
    if not _FETCH.match(start) or len(start) - section > _MAX_SECTION:
        return False
    found = _SECTION.fullmatch(start, section)
    told = _UID.search(_QUOTED.sub(b'""', start[:section]))
    return (
        found is not None
        and told is not None
        and int(told[1]) == uid
        and found[1].decode("ascii", "replace").upper() == name
    )
