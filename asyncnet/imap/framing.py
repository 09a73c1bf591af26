"""Framing: bytes in, whole responses out (RFC 9051 §2.2). Pure, iterative, and linear on any chunking.

A response is a line that ends in CRLF; a line that ends in `{n}` goes on after a literal of n bytes. What decides how
many bytes belong together is refused where it is ambiguous: a bare CR or LF, a literal's size that is no plain number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Protocol

from asyncnet.errors import LimitError, ProtocolError
from asyncnet.imap.limits import Limits

Pieces = list[bytes]
"""one response: text, literal, text, literal, ..., text; `{n}` and line ends are left out"""

# These end in free text (RFC 9051 §9: resp-text), where "{3}" at the end of the line means nothing.
_FREE_TEXT = re.compile(rb"(?!\* )|\* (?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)

_MAX_DIGITS = 19  # number64
_CR, _BRACE = b"\r}"


class Sink(Protocol):
    """Where the bytes of a literal go as they come."""

    def take(self, data: bytes) -> None:
        """Take the next bytes; what is handed over is the sink's own."""


class Framer:
    """Cuts what a server sends into responses.

    Attributes:
        divert: is asked of the first literal in a response, by the text before it, whether its bytes go to a sink.
        diverted_bytes: how many have gone there.
    """

    __slots__ = (
        "_limits",
        "_line",
        "_literal",
        "_max_simple_bytes",
        "_missing",
        "_pieces",
        "_sink",
        "_size",
        "divert",
        "diverted_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._max_simple_bytes = min(limits.max_line_bytes, limits.max_response_bytes - 2)
        self._line = bytearray()
        self._pieces: Pieces = []
        self._literal: BytesIO | None = None
        self._missing = 0
        self._size = 0
        self._sink: Sink | None = None
        self.divert: Callable[[bytes], Sink | None] | None = None
        self.diverted_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether every byte so far belongs to a whole response."""
        return not (self._line or self._pieces or self._missing)

    @property
    def missing_bytes(self) -> int:
        """How many bytes of a begun literal have not come."""
        return self._missing

    def feed(self, data: bytes) -> Iterator[Pieces]:
        """Take the next bytes, and give each response that they complete.

        Raises:
            ProtocolError: the framing is broken; the Framer cannot be used any more.
            LimitError: a line, literal or response is beyond its limit; nothing of it was kept.
        """
        position, end = 0, len(data)
        while position < end:
            if self._missing:
                position = self._take_literal(data, position)
                continue
            stop = data.find(b"\n", position)
            if stop < 0:
                self._keep(data[position:])
                return
            if not (self._line or self._pieces) and data[stop - 1] == _CR and data[stop - 2] != _BRACE:
                # Most responses are a line, in one piece, without a literal.
                line = data[position : stop - 1]
                position = stop + 1
                if len(line) > self._max_simple_bytes or b"\r" in line:
                    raise self._wrong(line)
                yield [line]
                continue
            response = self._end_line(self._whole_line(data, position, stop))
            position = stop + 1
            if response is not None:
                yield response

    def _keep(self, rest: bytes) -> None:
        if len(self._line) + len(rest) > self._limits.max_line_bytes + 1:  # its CR counts for nothing
            raise self._too_long()
        self._line += rest

    def _whole_line(self, data: bytes, position: int, stop: int) -> bytes:
        if len(self._line) + stop - position > self._limits.max_line_bytes + 1:
            raise self._too_long()
        if self._line:
            self._line += data[position:stop]
            ends_right = self._line.endswith(b"\r")
            line = bytes(self._line[:-1])
            self._line = bytearray()
        else:
            ends_right = stop > position and data[stop - 1] == 13
            line = data[position : stop - 1]
        if not ends_right:
            raise ProtocolError("a line that ends in LF without CR")
        if b"\r" in line:
            raise ProtocolError("a CR in the middle of a line")
        return line

    def _wrong(self, line: bytes) -> ProtocolError:
        if b"\r" in line:
            return ProtocolError("a CR in the middle of a line")
        if len(line) > self._limits.max_line_bytes:
            return self._too_long()
        limit = self._limits.max_response_bytes
        return LimitError(f"a response of more than {limit} bytes", limit=limit)

    def _end_line(self, line: bytes) -> Pieces | None:
        self._count(len(line) + 2)
        start, size = self._announced(line) if line.endswith(b"}") else (0, None)
        if size is not None and self.divert is not None and not self._pieces:
            self._sink = self.divert(line[:start]) if size else None
        if size is None:
            pieces = self._pieces
            pieces.append(line)
            self._pieces, self._size = [], 0
            return pieces
        if self._sink is None:
            if size > self._limits.max_literal_bytes:
                raise self._too_much(b"%d" % size)
            self._count(size)
        self._pieces.append(line[:start])
        if size == 0:
            self._pieces.append(b"")
        self._missing = size
        return None

    def _announced(self, line: bytes) -> tuple[int, int | None]:
        """Give where `{n}` (or `~{n}`, RFC 3516 §4.2) begins and what n is; None where the line ends in no literal."""
        if not self._pieces and _FREE_TEXT.match(line):
            return 0, None
        start = line.rfind(b"{")
        digits = line[start + 1 : -1]
        if start < 0 or not digits[:1].isdigit():
            return 0, None
        if not digits.isdigit():
            raise ProtocolError("a literal whose size is not a number")
        if len(digits) > _MAX_DIGITS:
            raise self._too_much(digits)
        return start - line.endswith(b"~", 0, start), int(digits)

    def _too_much(self, digits: bytes) -> LimitError:
        limit = self._limits.max_literal_bytes
        return LimitError(f"a literal of {digits[:24].decode()} bytes; at most {limit} are taken", limit=limit)

    def _count(self, size: int) -> None:
        self._size += size
        limit = self._limits.max_response_bytes
        if self._size > limit:
            raise LimitError(f"a response of more than {limit} bytes", limit=limit)
        if len(self._pieces) > self._limits.max_items:
            raise LimitError("a response of too many literals", limit=self._limits.max_items)

    def _take_literal(self, data: bytes, position: int) -> int:
        stop = position + self._missing
        if self._sink is not None:
            return self._hand_over(data, position)
        if self._literal is None and stop <= len(data):
            self._pieces.append(data[position:stop])
            self._missing = 0
            return stop
        if self._literal is None:
            # It grows as the bytes come: the announced size alone takes no memory. Its value is then handed out
            # without another copy.
            self._literal = BytesIO()
        taken = self._literal.write(memoryview(data)[position:stop])
        self._missing -= taken
        if not self._missing:
            self._pieces.append(self._literal.getvalue())
            self._literal = None
        return position + taken

    def _hand_over(self, data: bytes, position: int) -> int:
        assert self._sink is not None
        taken = data[position : position + self._missing]
        self._sink.take(taken)
        self.diverted_bytes += len(taken)
        self._missing -= len(taken)
        if not self._missing:
            self._pieces.append(b"")
            self._sink = None
        return position + len(taken)

    def _too_long(self) -> LimitError:
        limit = self._limits.max_line_bytes
        return LimitError(f"a line of more than {limit} bytes", limit=limit)
