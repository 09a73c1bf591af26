"""Replies of an SMTP server (RFC 5321 §4.2): read strictly and within bounds, and what their codes mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from asyncnet.errors import DisconnectedError, LimitError, NetError, ProtocolError, RefusedError, printable

MAX_LINE_BYTES = 16_384
"""RFC 5321 §4.5.3.1.5 allows 512; the challenges of AUTH have up to 12,288 (RFC 4954 §4)."""
MAX_REPLY_BYTES = 65_536
MAX_REPLY_LINES = 512
"""The longest honest reply is that to EHLO: a few dozen lines."""

GOODBYE = 421
"""The server closes the connection, whatever it was asked (RFC 5321 §3.8)."""

# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF    (RFC 5321 §4.2)
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
# status-code = class "." subject "." detail    (RFC 3463 §2), in front of the text (RFC 2034 §4)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)", re.ASCII)


class Reply(NamedTuple):
    """One reply of the server.

    Args:
        code: three digits, 200 to 599.
        text: the server's words, its lines parted by newlines, other control characters escaped.
    """

    code: int
    text: str

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code, such as `5.1.1` (RFC 3463), or None if there is none."""
        match = _ENHANCED.match(self.text)
        return match[1] if match else None

    @property
    def is_positive(self) -> bool:
        """Whether what was asked for is done: 2xx."""
        return 200 <= self.code < 300

    @property
    def is_negative(self) -> bool:
        """Whether it is refused: 4xx for now, 5xx for good."""
        return self.code >= 400

    @property
    def is_transient(self) -> bool:
        """Whether it is refused for now only: 4xx (RFC 5321 §4.2.1)."""
        return 400 <= self.code < 500

    def __str__(self) -> str:
        """The reply in one line."""
        return printable(f"{self.code} {self.in_one_line}")

    @property
    def in_one_line(self) -> str:
        """The text with spaces in the place of its line ends."""
        return self.text.replace("\n", " ")


class ReplyReader:
    """Takes the bytes of a connection as they come, and gives the replies in them."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._lines: list[str] = []
        self._code: bytes | None = None
        self._size = 0

    @property
    def is_amid(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._buffer) or self._code is not None

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Give each reply that `data` completes; to be iterated to its end.

        Raises:
            ProtocolError: a line that is no reply, or the lines of one reply differ in their codes.
            LimitError: a line, or a reply, is longer than any honest one.
        """
        self._buffer += data
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._searched = 0
            reply = self._take(line)
            if reply is not None:
                yield reply
        self._searched = len(self._buffer)
        self._check_length(self._searched)

    def _take(self, line: bytes) -> Reply | None:
        self._check_length(len(line))
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"not a reply: {printable(line, max_characters=80)!r}")
        code, separator, text = match.groups()
        if self._code not in (None, code):
            raise ProtocolError(f"the lines of one reply begin with {int(self._code or 0)} and {int(code)}")
        self._code = code
        self._lines.append(printable(text or b"", max_characters=MAX_LINE_BYTES))
        self._size += len(line) + 2
        if self._size > MAX_REPLY_BYTES or len(self._lines) > MAX_REPLY_LINES:
            raise LimitError("a reply that does not end", limit=MAX_REPLY_BYTES)
        if separator == b"-":
            return None
        reply = Reply(int(code), "\n".join(self._lines))
        self._lines, self._code, self._size = [], None, 0
        return reply

    def _check_length(self, length: int) -> None:
        if length > MAX_LINE_BYTES:
            raise LimitError("a line of a reply that does not end", limit=MAX_LINE_BYTES)


def refusal(reply: Reply, endpoint: object = None, operation: str | None = None) -> NetError:
    """Make the error of a reply that is not the one hoped for.

    421 is a goodbye (DisconnectedError), other 4xx and 5xx are a RefusedError, transient if 4xx; any other reply has
    no meaning at this place (ProtocolError).
    """
    if reply.code == GOODBYE:
        return DisconnectedError(f"the server said goodbye ({reply})", endpoint=endpoint, operation=operation)
    if reply.is_negative:
        return RefusedError(
            code=reply.code,
            text=reply.in_one_line,
            transient=reply.is_transient,
            endpoint=endpoint,
            operation=operation,
        )
    return ProtocolError(f"a reply that has no meaning here: {reply}", endpoint=endpoint, operation=operation)
