"""Dialogue: what was said in one conversation, bounded, without secrets; the page and failed tests show it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from asyncnet.errors import printable

_MAX_LINES = 500
_MAX_BYTES = 1_000
"""Of each piece: a mail's beginning says enough."""

Who = Literal["C", "S", "!"]
"""client, server, and what the lab did on purpose"""


@dataclass(frozen=True, slots=True)
class Line:
    """One piece that was said.

    Args:
        at: seconds since the conversation began.
        who: "C" the client, "S" the server, "!" a fault or TLS.
        data: the bytes as they were on the wire, cut; of a secret, only that there was one.
        size: how many bytes there were.
    """

    at: float
    who: Who
    data: bytes
    size: int

    def __str__(self) -> str:
        text = "\n   ".join(printable(line, max_characters=_MAX_BYTES) for line in self.data.splitlines()) or ""
        more = f" ... {self.size} bytes" if self.size > len(self.data) else ""
        return f"{self.who}: {text}{more}"


@dataclass(slots=True)
class Dialogue:
    """The record of one conversation.

    Args:
        protocol: `smtp`, `pop3`, `imap`...
        number: its number in that protocol, from 1.
        peer: who came.

    Attributes:
        began: when, in seconds since the epoch.
        username: who has signed in, or None.
        ended: whether it is over.
        lines: what was said, the latest 500 pieces.
    """

    protocol: str
    number: int
    peer: str
    began: float = field(default_factory=time.time)
    username: str | None = None
    ended: bool = False
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))
    _start: float = field(default_factory=time.monotonic, repr=False)

    def say(self, who: Who, data: bytes) -> None:
        """Note a piece."""
        self.lines.append(Line(time.monotonic() - self._start, who, bytes(data[:_MAX_BYTES]), len(data)))

    def redact(self, shown: bytes) -> None:
        """Show `shown` in place of the last piece, which held a secret."""
        if self.lines:
            last = self.lines.pop()
            self.lines.append(Line(last.at, last.who, shown, len(shown)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))
