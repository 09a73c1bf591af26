"""Dotted: a multi-line reply on its way in, un-stuffed and cut at its end, wherever its pieces were cut. Pure.

RFC 1939 §3: the text ends with CRLF "." CRLF, and a line of it that begins with a dot has one dot more on the way.
Lines end with CRLF alone: a bare CR or LF is text, or two readers would see two ends (as in SMTP smuggling).
"""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_DOT = re.compile(rb"\r\n\.")
"""A line that begins with a dot: in most mail the end mark is the first, and one look finds it. `re` is the fastest."""
_BEGUN = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""How a piece may end in the middle of the end mark or of a stuffed dot, longest first."""


class Dotted:
    """Takes the pieces of one multi-line reply, after its status line, and gives its text.

    Attributes:
        rest: what came behind the end mark; None until that was seen.
    """

    __slots__ = ("_began", "_held", "rest")

    def __init__(self) -> None:
        # The CRLF of the status line counts: an empty text is a lone ".", and the first line may be stuffed.
        self._held = b"\r\n"
        self._began = False
        self.rest: bytes | None = None

    def feed(self, piece: bytes) -> bytes:
        """Give the text that is certain after one more piece; only until `rest` is there."""
        window = self._held + piece
        dot = _DOT.search(window)
        end = -1 if dot is None else window.find(_END, dot.start())
        if end >= 0:
            self.rest = window[end + len(_END) :]
            text = window[: end + 2]  # the CRLF before the dot ends the last line of the text
        else:
            self._held = next((begun for begun in _BEGUN if window.endswith(begun)), b"")
            text = window[: len(window) - len(self._held)]
        if dot is not None:
            text = text.replace(b"\r\n..", b"\r\n.")
        if text and not self._began:
            self._began = True
            return text[2:]
        return text


def cut(block: bytes, at: int) -> tuple[bytes, int] | None:
    """Cut a whole text out of a block that holds its status line too, which ends at `at`.

    Returns:
        The text and where in the block its end mark ends; None where the block does not hold all of it, or not the
        status line: that is for a `Dotted`.
    """
    begin = at - 2  # as there, the CRLF of the status line counts
    if begin < 0 or block[begin:at] != b"\r\n":
        return None
    dot = _DOT.search(block, begin)
    if dot is None:
        return None
    after = dot.end() + 2
    if block[dot.end() : after] == b"\r\n":
        return block[at : dot.start() + 2], after  # where the text is empty, from `at` to `at`
    end = block.find(_END, dot.start())
    if end < 0:
        return None
    text = block[begin : end + 2]
    return text.replace(b"\r\n..", b"\r\n.")[2:], end + len(_END)
