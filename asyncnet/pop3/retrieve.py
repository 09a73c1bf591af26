"""Retrieval: many messages one behind the other, asked for ahead of their answers. Blocks, in the session's thread.

A window bounds what is under way, by count and by the bytes that LIST announced, so that neither side ever waits for
the other with full hands. Where the server has no PIPELINING (RFC 2449 §6.6) the window is one message.

Between two batches answers may still be on their way. Whoever wants to send another command has them read first
(`finish`): they are kept for the reader, within a bound, and asked for again beyond it.
"""

from __future__ import annotations

import contextlib
import poplib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asyncnet.errors import LimitError, ProtocolError, RefusedError
from asyncnet.message import Message
from asyncnet.pop3 import reply
from asyncnet.pop3.wire import Wire

WINDOW_COUNT = 512
"""Commands under way: 10,000 small messages take 20 to 40 round trips. They are 6 KiB, which fit into any socket."""
WINDOW_BYTES = 12 * 1024 * 1024
"""Announced bytes under way: two large mails, or 30 ms of 400 MB/s. One message may be longer, and goes alone."""

_BATCH_BYTES = 1024 * 1024
_BATCH_COUNT = 512
_BATCH_SECONDS = 0.05
"""How long what has come waits for more, before the loop gets it: on a slow line, messages come one by one."""

Got = Message | RefusedError | LimitError
"""A message, or why there is none: then the conversation is intact, and goes on with the next."""


class Wanted(NamedTuple):
    """A message to retrieve.

    Args:
        number: its number.
        size: what LIST said of it, or 0.
        uid: its unique-id, if known.
    """

    number: int
    size: int
    uid: str | None


class Retrieval:
    """Retrieves messages in order, a batch at a time.

    Args:
        wire: what to talk over.
        wanted: which messages.
        is_pipelining: whether the server takes commands ahead of its answers.
        max_bytes: the longest message to take.
        max_total_bytes: the most bytes to take in all; None is no limit.
        endpoint: for the errors.

    Attributes:
        is_abandoned: set it when nobody waits for the rest any more; what is under way is then dropped as it comes.
    """

    def __init__(
        self,
        wire: Wire,
        wanted: Iterable[Wanted],
        *,
        is_pipelining: bool,
        max_bytes: int,
        max_total_bytes: int | None = None,
        endpoint: object = None,
    ) -> None:
        self._wire = wire
        self._wanted = deque(wanted)
        self._count = WINDOW_COUNT if is_pipelining else 1
        self._max_bytes = max_bytes
        self._left = max_total_bytes
        self._endpoint = endpoint
        self._asked: deque[Wanted] = deque()
        """What comes next: asked for, or too long to be asked for."""
        self._under_way = 0
        self._bytes_under_way = 0
        self._ready: list[Got] = []
        self._failure: BaseException | None = None
        self.is_abandoned = False

    def batch(self) -> list[Got]:
        """Read what comes within a moment, at least one message; nothing at all when all have been read.

        Raises:
            ProtocolError, LimitError, DisconnectedError, OSError: the conversation is over. Messages that came before
                are given first, and the error with the next call.
        """
        if self._ready:
            ready, self._ready = self._ready, []
            return ready
        if self._failure is not None:
            raise self._failure
        got: list[Got] = []
        try:
            self._read_batch(got)
        except BaseException as error:
            if not got:
                raise
            self._failure = error
        return got

    def finish(self) -> None:
        """Read what is still on its way, so that another command can be sent.

        Raises:
            ProtocolError, LimitError, DisconnectedError, OSError: as `batch`.
        """
        self._wire.ahead = None
        if self._failure is not None:
            raise self._failure
        kept = 0
        again: list[Wanted] = []
        while self._asked:
            if self.is_abandoned or kept > WINDOW_BYTES:
                again.append(self._skip())
                continue
            got = self._read()
            kept += len(got.raw) if isinstance(got, Message) else 0
            self._ready.append(got)
        self._wanted.extendleft(reversed(again))

    def _read_batch(self, got: list[Got]) -> None:
        end = time.monotonic() + _BATCH_SECONDS
        size = 0
        while self._wanted or self._asked:
            self._ask()
            one = self._read()
            got.append(one)
            if isinstance(one, Message):
                size += len(one.raw)
            if size >= _BATCH_BYTES or len(got) >= _BATCH_COUNT or time.monotonic() >= end:
                return

    def _ask(self) -> None:
        """Fill the window up, once half of it is free: a packet for many commands."""
        if not self._wanted or len(self._asked) > self._count // 2:
            return
        if not self._under_way:
            self._wire.settle()  # another retrieval's answers
        was_idle = not self._under_way
        commands: list[str] = []
        while self._wanted and self._fits(self._wanted[0]):
            wanted = self._wanted.popleft()
            self._asked.append(wanted)
            if wanted.size <= self._max_bytes:
                commands.append(f"RETR {wanted.number}\r\n")
                self._under_way += 1
                self._bytes_under_way += wanted.size
        if commands:
            self._wire.ahead = self
            self._wire.ask("".join(commands), behind_others=not was_idle)

    def _fits(self, wanted: Wanted) -> bool:
        if not self._asked:
            return True
        return len(self._asked) < self._count and self._bytes_under_way + wanted.size <= WINDOW_BYTES

    def _read(self) -> Got:
        """Give what comes next."""
        wanted = self._asked[0]
        if wanted.size > self._max_bytes:
            self._asked.popleft()
            return self._too_long(wanted)
        got = self._answer(wanted)
        self._came()
        return got

    def _answer(self, wanted: Wanted) -> Got:
        limit = self._max_bytes if self._left is None else min(self._max_bytes, self._left)
        try:
            announced, raw = self._wire.read_message(limit)
        except poplib.error_proto as error:
            return reply.refusal(error.args[0], self._endpoint, "RETR")
        if self._left is not None:
            self._left -= len(raw)
        return made(wanted, announced, raw)

    def _skip(self) -> Wanted:
        wanted = self._asked[0]
        if wanted.size > self._max_bytes:
            return self._asked.popleft()
        with contextlib.suppress(poplib.error_proto):  # asked for again, it says so again
            self._wire.pour_message(_drop, self._max_bytes)
        self._came()
        return wanted

    def _came(self) -> None:
        self._under_way -= 1
        self._bytes_under_way -= self._asked.popleft().size
        if not self._under_way:
            self._wire.ahead = None

    def _too_long(self, wanted: Wanted) -> LimitError:
        text = f"message {wanted.number} is of {wanted.size} bytes; at most {self._max_bytes} are taken"
        return LimitError(text, limit=self._max_bytes, endpoint=self._endpoint, operation="RETR")


def made(wanted: Wanted, announced: int | None, raw: bytes) -> Message:
    """Make the Message of what came.

    Raises:
        ProtocolError: it came empty, and should not be.
    """
    size = announced if announced is not None else wanted.size
    if size and not raw:
        raise ProtocolError(f"message {wanted.number} is of {size} bytes, and came empty")
    return Message(raw=raw, uid=wanted.uid, number=wanted.number, size=size or len(raw))


def delete(wire: Wire, numbers: Sequence[int]) -> dict[int, bytes]:
    """Mark messages as deleted, all commands at once; blocks.

    Args:
        wire: what to talk over.
        numbers: at most WINDOW_COUNT of them; one, where the server has no PIPELINING.

    Returns:
        What the server said of those that it did not mark, by number.

    Raises:
        ProtocolError, DisconnectedError, OSError: the conversation is over.
    """
    refused: dict[int, bytes] = {}
    wire.settle()
    wire.ask("".join(f"DELE {number}\r\n" for number in numbers), behind_others=False)
    for number in numbers:
        try:
            wire.read_status()
        except poplib.error_proto as error:
            refused[number] = error.args[0]
    return refused


def _drop(piece: bytes) -> None:
    pass
