"""Channel: one socket and the thread that blocks on it. Bytes in by blocks, bounded; bytes out; nothing of POP3.

It stands where poplib expects a socket and its file: poplib's own reading is a line of at most 2,048 bytes at a time.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from asyncnet.errors import DisconnectedError, IncompleteRead, LimitError, ProtocolError, printable
from asyncnet.pop3.dots import Dotted
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
        self._buffer = bytearray()

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
        if self._buffer:
            raise ProtocolError(f"a reply before its command: {printable(bytes(self._buffer[:_EARLY]))!r}")
        self._sock.sendall(data)

    def line(self) -> bytes:
        """Read a line; its CRLF is cut off.

        Raises:
            LimitError: it is longer than `max_line_bytes`.
            ProtocolError: it ends with LF alone.
            DisconnectedError: the server ended the connection first.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) < self._max_line_bytes:
            searched = len(self._buffer)
            piece = self._sock.recv(_BLOCK)
            if not piece:
                raise self._goodbye()
            self._buffer += piece
        if not 0 <= end < self._max_line_bytes:
            raise LimitError(f"a line of more than {self._max_line_bytes} bytes", limit=self._max_line_bytes)
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise ProtocolError(f"a line that does not end with CRLF: {printable(line)!r}")
        return line[:-2]

    def text(self, max_bytes: int) -> bytes:
        """Read the text of a multi-line reply, up to the lone dot, un-stuffed; line ends stay CRLF.

        Raises:
            LimitError: it is longer than `max_bytes`; no more than that was kept.
            IncompleteRead: the server ended the connection first; `.partial` holds what came.
        """
        dotted = Dotted()
        parts: list[bytes] = []
        size = 0
        piece = bytes(self._buffer)
        self._buffer.clear()
        while True:
            part = dotted.feed(piece)
            size += len(part)
            if size > max_bytes:
                raise LimitError(f"a text of more than {max_bytes} bytes", limit=max_bytes)
            if part:
                parts.append(part)
            if dotted.rest is not None:
                self._buffer += dotted.rest
                return b"".join(parts)
            piece = self._sock.recv(_BLOCK)
            if not piece:
                raise IncompleteRead(partial=b"".join(parts))

    @property
    def is_empty(self) -> bool:
        """Whether all that was read so far has been consumed."""
        return not self._buffer

    def move(self, sock: socket.socket) -> None:
        """Go on over another socket: the same one under TLS."""
        self._sock = sock

    def farewell(self) -> None:
        """Say the goodbye of TLS, if TLS is up, without waiting for an answer."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.setblocking(False)
                self._sock.unwrap()

    def _look(self) -> bool:
        """Read, without waiting, what has come by itself; True at the end of the connection."""
        self._sock.setblocking(False)
        try:
            while len(self._buffer) < _EARLY:
                piece = self._sock.recv(_EARLY)
                if not piece:
                    return True
                self._buffer += piece
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # as it should be; under TLS, session tickets may have gone by
        finally:
            self._sock.setblocking(True)
        return False

    def _goodbye(self) -> DisconnectedError:
        # Servers tell an idle client why before they close: "-ERR Disconnected for inactivity."
        last, _, _ = bytes(self._buffer[:_EARLY]).partition(b"\r\n")
        words = f": {printable(last)}" if is_negative(last) else ""
        return DisconnectedError(f"the server closed the connection{words}")
