"""Address: one end of a connection."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any, NamedTuple

_UCRED = struct.Struct("iII")  # pid_t is signed, uid_t and gid_t are not


class Address(NamedTuple):
    """An IP address and a port, or a Unix socket's path (often empty) and 0."""

    host: str
    port: int

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket's; a port of 0 alone says nothing, a PROXY header may tell one."""
        return not self.port and not _is_ip(self.host)

    def __str__(self) -> str:
        if self.is_unix:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(name: object) -> Address:
    """Make one from what the socket module gives; an IPv4 address in IPv6 clothes (::ffff:1.2.3.4) is undressed."""
    if isinstance(name, tuple):
        host: str = name[0]
        return Address(host.removeprefix("::ffff:") if "." in host else host, name[1])
    if isinstance(name, bytes):
        return Address(name.decode("utf-8", "replace"), 0)
    return Address(name if isinstance(name, str) else "", 0)


def _is_ip(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):  # ValueError: a NUL in it
            socket.inet_pton(family, host)
            return True
    return False


class UnixCredentials(NamedTuple):
    """Who made the other end of a Unix socket (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


def unix_credentials(sock: Any) -> UnixCredentials | None:
    """Ask the kernel; None for other sockets, for closed ones, and where it does not tell."""
    if sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except (OSError, ValueError):  # closed by now; ValueError is uvloop's word for it
        return None
    return UnixCredentials(*_UCRED.unpack(found))
