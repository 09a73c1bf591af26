"""Dotted: a multi-line reply on its way in, un-stuffed and cut at its end, wherever its pieces were cut. Pure.

RFC 1939 §3: the text ends with CRLF "." CRLF, and a line of it that begins with a dot has one dot more on the way.
Lines end with CRLF alone: a bare CR or LF is text, or two readers would see two ends (as in SMTP smuggling).
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
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
        end = window.find(_END)
        if end >= 0:
            self.rest = window[end + len(_END) :]
            text = window[: end + 2]  # the CRLF before the dot ends the last line of the text
        else:
            self._held = next((begun for begun in _BEGUN if window.endswith(begun)), b"")
            text = window[: len(window) - len(self._held)]
        text = text.replace(b"\r\n..", b"\r\n.")
        if text and not self._began:
            self._began = True
            return text[2:]
        return text
