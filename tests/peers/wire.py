"""One connection seen from the peer's side: bytes in, bytes out, plain or under TLS, with every rude way to end it.

TLS runs over memory buffers, so that the peer decides about each byte: bytes already received can go into the
handshake, plaintext can be put under TLS, and the socket can be closed with or without close_notify.
"""

import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")
_BLOCK = 65536


class Wire:
    """The peer's end of one connection.

    `buffer` holds what came and was not consumed, `received` everything that came (decrypted), `cleartext` the part
    of it that came unencrypted, `sent` counts the bytes that went out. A wait is bounded by `patience` seconds
    (TimeoutError).
    """

    def __init__(self, sock: socket.socket, patience: float) -> None:
        sock.settimeout(patience)
        self.socket = sock
        self.buffer = bytearray()
        self.received = bytearray()
        self.cleartext = bytearray()
        self.sent = 0
        self.ended = False
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    @property
    def encrypted(self) -> bool:
        """Whether TLS is up."""
        return self._tls is not None

    def fill(self) -> bool:
        """Wait for more bytes from the client into `buffer`; False when it has left."""
        try:
            data = self._tls_step(self._read_tls) if self._tls else self.socket.recv(_BLOCK)
        except (TimeoutError, BlockingIOError):
            raise
        except OSError:  # a reset, or TLS that ended without close_notify: gone is gone
            data = b""
        self.buffer += data
        self.received += data
        if not self._tls:
            self.cleartext += data
        self.ended = not data
        return bool(data)

    def take(self, count: int) -> bytes:
        """The first `count` bytes of the buffer, removed from it."""
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def send(self, data: bytes) -> None:
        """Send all of `data`, under TLS if TLS is up; OSError when the client has left."""
        if not (tls := self._tls):
            self.send_raw(data)
            return
        view = memoryview(data)
        while view:
            view = view[self._tls_step(functools.partial(tls.write, view[:_BLOCK])) :]

    def send_raw(self, data: bytes) -> None:
        """Send `data` as it is, even if TLS is up."""
        self.socket.sendall(data)
        self.sent += len(data)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as the server; what the client sent ahead counts as the begin of its handshake.

        Raises ssl.SSLError or another OSError when there is no agreement.
        """
        early = self.take(len(self.buffer))
        if early:
            del self.received[-len(early) :]
            del self.cleartext[-len(early) :]
            self._incoming.write(early)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._tls_step(self._tls.do_handshake)

    def finish(self) -> None:
        """Say that no more will come: close_notify under TLS, then the end of our half."""
        with contextlib.suppress(OSError):
            if self._tls:
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                self._flush()
        self.shut()

    def shut(self) -> None:
        """End our half of the connection without a word of TLS."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """Record what has already come: a socket closed over unread bytes would end in a reset."""
        patience = self.socket.gettimeout()
        self.socket.settimeout(0)
        with contextlib.suppress(OSError):
            while self.fill():
                pass
        self.socket.settimeout(patience)

    def linger(self) -> None:
        """Arrange for the close of the socket to be a reset."""
        reset_on_close(self.socket)

    def _read_tls(self) -> bytes:
        try:
            return self._tls.read(_BLOCK) if self._tls else b""
        except ssl.SSLZeroReturnError:
            return b""

    def _tls_step(self, step: Callable[[], _Result]) -> _Result:
        """Run one call of the TLS object, feeding it from the socket as it asks, flushing what it says."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                if data := self.socket.recv(_BLOCK):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            finally:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._flush()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.send_raw(data)


def reset_on_close(sock: socket.socket) -> None:
    """Arrange for the close of `sock` to be an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
