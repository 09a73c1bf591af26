"""Searching: criteria to a command, and what was found to UIDs."""

from __future__ import annotations

from collections.abc import Iterator

from asyncnet.errors import LimitError
from asyncnet.imap.command import Request, Segment, criteria
from asyncnet.imap.conversation import Conversation
from asyncnet.imap.limits import Limits
from asyncnet.imap.response import ExtendedFound, Found, Reply


def search_request(text: str) -> Request:
    """Make a command of raw criteria; where they are not ASCII, it says that they are UTF-8.

    Raises:
        UsageError: as `criteria`.
    """
    segments = criteria(text)
    if any(isinstance(segment, bytes) for segment in segments):
        segments = list(_merged(["CHARSET UTF-8 ", *segments]))
    return Request("SEARCH", segments, by_uid=True)


async def found(session: Conversation, asked: Request) -> list[int]:
    """Send a SEARCH, within a call of the session, and give the UIDs, ascending, each once."""
    finder = Finder(session.limits)
    with session._wire.incoming.heard_by(finder):
        await session._run(asked)
    return finder.found()


class Finder:
    """A listener that keeps what SEARCH found, in the old and the extended form."""

    def __init__(self, limits: Limits) -> None:
        # What a longest line of numbers can hold; an ESEARCH could say as much in a few bytes.
        self._max_count = limits.max_line_bytes // 2
        self._numbers: list[int] = []

    def hear(self, reply: Reply) -> None:
        """Keep it, if it was found.

        Raises:
            LimitError: more was found than is taken.
        """
        if isinstance(reply, Found):
            self._check(len(reply.numbers))
            self._numbers.extend(reply.numbers)
        elif isinstance(reply, ExtendedFound) and reply.every is not None:
            self._check(reply.every.count)
            self._numbers.extend(reply.every)

    def lose(self) -> None:
        """Nothing to do: who waits for the command is told."""

    def found(self) -> list[int]:
        """Give the UIDs, ascending, each once."""
        return sorted(set(self._numbers))

    def _check(self, count: int) -> None:
        if len(self._numbers) + count > self._max_count:
            raise LimitError(f"a search that found more than {self._max_count} messages", limit=self._max_count)


def _merged(segments: list[Segment]) -> Iterator[Segment]:
    text = ""
    for segment in segments:
        if isinstance(segment, bytes):
            yield text
            yield segment
            text = ""
        else:
            text += segment
    if text:
        yield text
