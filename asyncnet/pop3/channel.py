"""Channel: one socket and the thread that blocks on it. Bytes in by blocks, bounded; bytes out; nothing of POP3.

It stands where poplib expects a socket and its file: poplib's own reading is a line of at most 2,048 bytes at a time.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

from asyncnet.errors import DisconnectedError, IncompleteRead, LimitError, ProtocolError, printable
from asyncnet.pop3.dots import Dotted, cut
from asyncnet.pop3.reply import is_negative

_BLOCK = 65_536
_EARLY = 4096
"""How much of what nobody asked for is read, to say in the error what it was."""


class Channel:
    """Reads and writes one connected, blocking socket, for one thread at a time.

    Args:
        sock: the socket; its owner closes it, and may shut it down at any time to end a call.
        max_line_bytes: how long a line may be, its CRLF included.
    """

    def __init__(self, sock: socket.socket, *, max_line_bytes: int) -> None:
        self._sock = sock
        self._max_line_bytes = max_line_bytes
        self._block = b""
        self._at = 0
        """How much of the block has been consumed."""

    def makefile(self, mode: str) -> Channel:
        """Be poplib's file as well as its socket."""
        return self

    def sendall(self, data: bytes) -> None:
        """Send a command, unless an answer is there already.

        Raises:
            ProtocolError: something came that was not asked for; nothing is sent.
            DisconnectedError: the server has ended the connection, perhaps with a last word.
        """
        ended = self._look()
        if ended:
            raise self._goodbye()
        if not self.is_empty:
            raise ProtocolError(f"a reply before its command: {printable(self._rest()[:_EARLY])!r}")
        self._sock.sendall(data)

    def send_more(self, data: bytes) -> None:
        """Send commands behind others whose answers are on their way: whatever has come may be theirs."""
        self._sock.sendall(data)

    def line(self) -> bytes:
        """Read a line; its CRLF is cut off.

        Raises:
            LimitError: it is longer than `max_line_bytes`.
            ProtocolError: it ends with LF alone.
            DisconnectedError: the server ended the connection first.
        """
        end = self._block.find(b"\n", self._at)
        if end < 0:
            end = self._longer_line()
        if not 0 <= end - self._at < self._max_line_bytes:
            raise LimitError(f"a line of more than {self._max_line_bytes} bytes", limit=self._max_line_bytes)
        line = self._block[self._at : end + 1]
        self._at = end + 1
        if not line.endswith(b"\r\n"):
            raise ProtocolError(f"a line that does not end with CRLF: {printable(line)!r}")
        return line[:-2]

    def text(self, max_bytes: int) -> bytes:
        """Read the text of a multi-line reply, up to the lone dot, un-stuffed; line ends stay CRLF.

        Raises:
            LimitError: it is longer than `max_bytes`; no more than that was kept.
            IncompleteRead: the server ended the connection first; `.partial` holds what came.
        """
        whole = cut(self._block, self._at)
        if whole is not None:
            text, self._at = whole
            if len(text) > max_bytes:
                raise LimitError(f"a text of more than {max_bytes} bytes", limit=max_bytes)
            return text
        parts: list[bytes] = []
        try:
            self.pour(parts.append, max_bytes)
        except IncompleteRead:
            raise IncompleteRead(partial=b"".join(parts)) from None
        return b"".join(parts)

    def pour(self, take: Callable[[bytes], object], max_bytes: int) -> int:
        """Read a text as `text` does, and hand it on piece by piece; gives its length.

        Raises:
            LimitError, IncompleteRead: as `text`, without `.partial`.
            Exception: whatever `take` raises.
        """
        dotted = Dotted()
        size = 0
        piece = self._rest()
        self._block, self._at = b"", 0
        while True:
            part = dotted.feed(piece)
            size += len(part)
            if size > max_bytes:
                raise LimitError(f"a text of more than {max_bytes} bytes", limit=max_bytes)
            if part:
                take(part)
            if dotted.rest is not None:
                self._block = dotted.rest
                return size
            piece = self._sock.recv(_BLOCK)
            if not piece:
                raise IncompleteRead(f"the peer ended after {size} bytes of a text")

    @property
    def is_empty(self) -> bool:
        """Whether all that was read so far has been consumed."""
        return self._at >= len(self._block)

    def move(self, sock: socket.socket) -> None:
        """Go on over another socket: the same one under TLS."""
        self._sock = sock

    def farewell(self) -> None:
        """Say the goodbye of TLS, if TLS is up, without waiting for an answer."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.setblocking(False)
                self._sock.unwrap()

    def _rest(self) -> bytes:
        return self._block[self._at :]

    def _longer_line(self) -> int:
        """Read on until the line has an end, or is too long; where that is in the block, or -1."""
        pieces = bytearray(self._rest())
        end = -1
        searched = len(pieces)
        try:
            while end < 0 and len(pieces) < self._max_line_bytes:
                piece = self._sock.recv(_BLOCK)
                if not piece:
                    break
                pieces += piece
                end = pieces.find(b"\n", searched)
                searched = len(pieces)
            else:
                return end
        finally:
            self._block, self._at = bytes(pieces), 0
        raise self._goodbye()

    def _look(self) -> bool:
        """Read, without waiting, what has come by itself; True at the end of the connection."""
        self._sock.setblocking(False)
        try:
            while len(self._block) - self._at < _EARLY:
                piece = self._sock.recv(_EARLY)
                if not piece:
                    return True
                self._block, self._at = self._rest() + piece, 0
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # as it should be; under TLS, session tickets may have gone by
        finally:
            self._sock.setblocking(True)
        return False

    def _goodbye(self) -> DisconnectedError:
        # Servers tell an idle client why before they close: "-ERR Disconnected for inactivity."
        last, _, _ = self._rest()[:_EARLY].partition(b"\r\n")
        words = f": {printable(last)}" if is_negative(last) else ""
        return DisconnectedError(f"the server closed the connection{words}")
