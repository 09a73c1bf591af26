"""The PROXY protocol, versions 1 and 2: who the client is, told by the proxy in front of us.

The source is haproxy's proxy-protocol.txt. Parsing is pure: bytes in, a header or "more" out. A peer that may speak to
us directly can claim any address by it, so a server asks for it only where every client comes through a proxy.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import NamedTuple

from asyncnet.errors import DisconnectedError, LimitError, ProtocolError
from asyncnet.proxy import readable
from asyncnet.streams.address import Address, address

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
_MAX_V1_BYTES = 107  # §2.1: the longest line, CRLF included
_V2_HEADER = struct.Struct("!BBH")
MAX_BYTES = 16 + 8192
"""Version 2 may be followed by 64 KiB of extras (TLVs); the largest real one is a client's certificate."""

_UNIX_BYTES = 108

# PROXY TCP4 192.0.2.1 198.51.100.7 56324 443
# Behind UNKNOWN, a receiver ignores the rest of the line (§2.1). A number has no leading zero, lest it seem octal.
_PORT = rb"(0|[1-9][0-9]{0,4})"
_V1 = re.compile(
    rb"PROXY (?:(TCP4|TCP6) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) "
    + _PORT
    + rb" "
    + _PORT
    + rb"|UNKNOWN(?: .*)?)",
    re.DOTALL,
)


class ProxyHeader(NamedTuple):
    """What the header says.

    Args:
        source: the client, or None where the proxy speaks for itself (health checks) or does not know.
        destination: where the client connected to, or None likewise.
        size: how many bytes the header took.
    """

    source: Address | None
    destination: Address | None
    size: int


def parse(data: bytes) -> ProxyHeader | None:
    """Take the header from the beginning of `data`; None where more bytes are needed.

    Raises:
        ProtocolError: no header stands there (LimitError: version 2 with more than 8,192 bytes behind its beginning).
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _version_2(data)
    if data[:6] != b"PROXY "[: len(data)]:
        raise ProtocolError("no PROXY header where one must stand")
    end = data.find(b"\r\n", 0, _MAX_V1_BYTES)
    if end < 0:
        if len(data) >= _MAX_V1_BYTES:
            raise ProtocolError("a PROXY line that does not end")
        return None
    return _version_1(data[:end])


def _version_1(line: bytes) -> ProxyHeader:
    match = _V1.fullmatch(line)
    if match is None:
        raise ProtocolError("a malformed PROXY line")
    size = len(line) + 2
    if match[1] is None:
        return ProxyHeader(None, None, size)
    family = socket.AF_INET if match[1] == b"TCP4" else socket.AF_INET6
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535:
        raise ProtocolError("a PROXY line with a port out of range")
    try:
        # There and back: one spelling for each address, and inet_pton takes no octal or short forms.
        packed = [socket.inet_pton(family, match[group].decode()) for group in (2, 3)]
    except OSError as error:
        raise ProtocolError("a PROXY line with a malformed address") from error
    return ProxyHeader(_ip(family, packed[0], ports[0]), _ip(family, packed[1], ports[1]), size)


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_command, family, length = _V2_HEADER.unpack_from(data, 12)
    if version_command >> 4 != 2 or version_command & 15 > 1:
        raise ProtocolError("a PROXY header of an unknown version or command")
    if family >> 4 > 3 or family & 15 > 2:
        raise ProtocolError("a PROXY header of an unknown address family or transport")
    size = 16 + length
    if size > MAX_BYTES:
        raise LimitError("a PROXY header with too many extras", limit=MAX_BYTES)
    if len(data) < size:
        return None
    if version_command & 15 == 0:  # LOCAL
        return ProxyHeader(None, None, size)
    return _addresses(family, data[16:size], size)


def _addresses(family: int, body: bytes, size: int) -> ProxyHeader:
    # What is neither TCP nor a Unix stream tells nothing about a client of ours (§2.2: use the real address then).
    if family == 0x31:
        if len(body) < 2 * _UNIX_BYTES:
            raise ProtocolError("a PROXY header that is too short for its paths")
        return ProxyHeader(_path(body[:_UNIX_BYTES]), _path(body[_UNIX_BYTES : 2 * _UNIX_BYTES]), size)
    if family not in (0x11, 0x21):
        return ProxyHeader(None, None, size)
    kind, width = (socket.AF_INET, 4) if family == 0x11 else (socket.AF_INET6, 16)
    if len(body) < 2 * width + 4:
        raise ProtocolError("a PROXY header that is too short for its addresses")
    ports = struct.unpack_from("!HH", body, 2 * width)
    return ProxyHeader(_ip(kind, body[:width], ports[0]), _ip(kind, body[width : 2 * width], ports[1]), size)


def _ip(family: int, packed: bytes, port: int) -> Address:
    return address((socket.inet_ntop(family, packed), port))


def _path(field: bytes) -> Address:
    # An abstract name begins with a NUL (unix(7)); other paths end at the first.
    return address(field.rstrip(b"\0") if field[0] == 0 else field.partition(b"\0")[0])


async def receive_header(sock: socket.socket) -> ProxyHeader:
    """Take the header off a connected, non-blocking socket, and not one byte more.

    Raises:
        ProtocolError: no header came first.
        DisconnectedError: the peer left before its end.
        OSError: the connection was lost.

    It has no limit of its own: use it under `deadline()`.
    """
    taken = b""
    while True:
        try:
            seen = sock.recv(MAX_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await readable(sock)
            continue
        if not seen:
            raise DisconnectedError("the peer left before the end of its PROXY header")
        header = parse(taken + seen)
        # An unfinished header is all header: take it, or the socket would stay readable and this loop spin.
        taken += sock.recv(len(seen) if header is None else header.size - len(taken))
        if header is not None:
            return header
