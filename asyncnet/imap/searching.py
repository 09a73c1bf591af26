"""Searching: criteria to a command, and what was found to UIDs."""

from __future__ import annotations

from asyncnet.errors import LimitError
from asyncnet.imap.command import Request
from asyncnet.imap.conversation import Conversation
from asyncnet.imap.limits import Limits
from asyncnet.imap.response import ExtendedFound, Found, Reply
from asyncnet.imap.search import Criteria, raw


def search_request(criteria: str | Criteria, *, utf8: bool = False) -> Request:
    """Make a command of criteria; where they are not ASCII, it says that they are UTF-8.

    Args:
        criteria: raw, or built.
        utf8: whether UTF8=ACCEPT is on: all is UTF-8 then, and to say so is an error (RFC 6855 §3).

    Raises:
        UsageError: as `search.raw`.
    """
    segments = (raw(criteria) if isinstance(criteria, str) else criteria).segments
    if not utf8 and any(isinstance(segment, bytes) for segment in segments):
        first = segments[0]
        assert isinstance(first, str)
        segments = (f"CHARSET UTF-8 {first}", *segments[1:])
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
