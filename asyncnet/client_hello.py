"""ClientHello: the name that a TLS client asks for (SNI), read before OpenSSL reads it.

The ssl module tells it to `SSLContext.sni_callback` alone, and there a name that is not ASCII prints a traceback on
standard error for each client that sends one: a log that strangers can fill. So a server's TLS object looks into its
first bytes itself. What is malformed is left to OpenSSL, which refuses it.
"""

from __future__ import annotations

import re
import ssl
from typing import Any

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0  # RFC 8446 §5.1, §4, §4.2; RFC 6066 §3
_MAX_BYTES = 65_536
"""OpenSSL's own bound of a ClientHello is of this order; real ones take 500 to 2,000 bytes."""

_NAME = re.compile(rb"[!-~]{1,255}")


class ServerSSLObject(ssl.SSLObject):
    """A TLS object that remembers what its client asked for.

    Attributes:
        asked_name: the name, in ASCII as it was sent; None where none was asked for.
    """

    asked_name: str | None = None
    _incoming: ssl.MemoryBIO
    _seen: bytes | None = None

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ServerSSLObject:
        made: ServerSSLObject = super()._create(incoming, *args, **kwargs)  # type: ignore[misc]
        made._incoming = incoming
        made._seen = b"" if made.server_side else None
        return made

    def do_handshake(self) -> None:
        """Begin or go on; the first call that sees the whole ClientHello notes the name in it."""
        if self._seen is not None:
            news = self._incoming.read()
            self._incoming.write(news)  # it was all there was, so nothing comes out of order
            self._seen += news
            hello = client_hello(self._seen)
            if hello is not None:
                self.asked_name = server_name_in(hello)
            if hello is not None or len(self._seen) > _MAX_BYTES:
                self._seen = None
        super().do_handshake()


def client_hello(data: bytes) -> bytes | None:
    """Give the body of the ClientHello at the beginning of a TLS stream; b"" if none stands there, None for "more"."""
    message, at = b"", 0
    while True:
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                return b""
            size = 4 + int.from_bytes(message[1:4], "big")
            if len(message) >= size:
                return message[4:size]
        if data[at : at + 1] not in (b"", bytes([_HANDSHAKE])):
            return b""
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if len(data) < at + 5 or len(data) < at + 5 + length:
            return None
        message += data[at + 5 : at + 5 + length]
        at += 5 + length


def server_name_in(hello: bytes) -> str | None:
    """Give the host name of a ClientHello's body (RFC 8446 §4.1.2), or None."""
    fields = _Fields(hello)
    fields.take(2 + 32)  # version, random
    for width in (1, 2, 1):  # session, ciphers, compression
        fields.vector(width)
    extensions = _Fields(fields.vector(2))
    while extensions:
        kind, body = extensions.number(2), _Fields(extensions.vector(2))
        if kind == _SERVER_NAME:
            names = _Fields(body.vector(2))
            is_host, name = names.number(1) == _HOST_NAME, names.vector(2)
            return name.decode("ascii") if is_host and _NAME.fullmatch(name) else None
    return None


class _Fields:
    """Fields of TLS's notation, one after the other; beyond the end they are empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))
