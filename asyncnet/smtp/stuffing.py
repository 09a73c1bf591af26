"""What a message looks like on the wire: lines that end in CRLF; after DATA dots doubled, a lone dot at the end. Pure.

A server may take a bare CR or LF for a line end, or may not; were one sent, the message could end where we do not see
it ("SMTP smuggling"). So none is ever sent: each becomes a CRLF (RFC 5321 §2.3.8, §4.5.2).
"""

from __future__ import annotations


class Lines:
    """Turns a message, piece by piece, into lines that end in CRLF: what follows BDAT (RFC 3030).

    Attributes:
        octets: the size so far as SIZE counts it: with CRLF line ends, without doubled dots (RFC 1870 §3).
    """

    def __init__(self) -> None:
        self.octets = 0
        self._has_cr = False
        self._at_line_start = True

    def feed(self, piece: bytes) -> bytes:
        """Give what to send for the next piece; where the message was cut makes no difference."""
        if self._has_cr:
            piece = b"\r" + piece
        self._has_cr = piece.endswith(b"\r")  # whether an LF follows will be seen in the next piece
        if self._has_cr:
            piece = piece[:-1]
        if not piece:
            return b""
        lines = _with_crlf(piece)
        self.octets += len(lines)
        sent = self._sent(lines)
        self._at_line_start = lines.endswith(b"\r\n")
        return sent

    def finish(self) -> bytes:
        """Give what ends the last line, if nothing does."""
        if self._has_cr or not self._at_line_start:
            self.octets += 2
            self._has_cr, self._at_line_start = False, True
            return b"\r\n"
        return b""

    def _sent(self, lines: bytes) -> bytes:
        return lines


class Stuffing(Lines):
    """Turns a message, piece by piece, into what follows DATA."""

    def finish(self) -> bytes:
        """Give what ends the message: a CRLF if its last line has none, and the lone dot."""
        return super().finish() + b".\r\n"

    def _sent(self, lines: bytes) -> bytes:
        stuffed = lines.replace(b"\r\n.", b"\r\n..")
        return b"." + stuffed if self._at_line_start and lines.startswith(b".") else stuffed


def _with_crlf(piece: bytes) -> bytes:
    if b"\r" not in piece:
        return piece.replace(b"\n", b"\r\n")
    # Made anew from its LFs it is the same, unless an LF or CR stands alone: ten times as fast as to count the pairs.
    if piece.replace(b"\r", b"").replace(b"\n", b"\r\n") == piece:
        return piece
    return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
