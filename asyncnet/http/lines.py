"""Lines of a body that comes in pieces: bounded, and in linear time however it was cut. Pure."""

from __future__ import annotations

import re

from asyncnet.errors import LimitError

MAX_LINE_BYTES = 1024 * 1024

_ANY_END = re.compile(rb"\r\n|\r|\n")


class Lines:
    r"""Takes pieces, gives lines without their ends.

    Args:
        max_bytes: the longest line.
        lone_cr: whether a CR alone ends a line too, as in event streams; else `\n` and `\r\n` do.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES, *, lone_cr: bool = False) -> None:
        self._max_bytes = max_bytes
        self._lone_cr = lone_cr
        self._begun = bytearray()
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Give the lines that end in this piece.

        Raises:
            LimitError: one is longer than `max_bytes`.
        """
        if self._lone_cr:
            if self._after_cr and piece[:1] == b"\n":  # the second half of an end that has been seen
                piece = piece[1:]
                self._after_cr = False
            if piece:
                self._after_cr = piece[-1:] == b"\r"
            lines = _ANY_END.split(piece)
        else:
            lines = piece.split(b"\n")
        if self._begun or len(lines) == 1:
            self._begun += lines[0]
            self._check(len(self._begun))
            if len(lines) == 1:
                return []
            lines[0] = bytes(self._begun)
            self._begun.clear()
        self._begun += lines.pop()
        self._check(max(len(self._begun), max(map(len, lines))))
        return lines if self._lone_cr else [line.removesuffix(b"\r") for line in lines]

    def rest(self) -> bytes:
        """Give what stands behind the last end, and forget it."""
        rest = bytes(self._begun)
        self._begun.clear()
        return rest

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise LimitError(f"a line of more than {self._max_bytes} bytes", limit=self._max_bytes)
