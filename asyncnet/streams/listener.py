"""Listeners: the sockets of a server, and when they are asked for clients.

asyncio's own accept loop cannot be told to pause, and spins when descriptors run out (gh-151615). This one takes
clients only while there is room, and after EMFILE waits for a second or for a client to leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from asyncnet.dial import resolve
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, UsageError
from asyncnet.translation import CONNECTING, described, translated

_BATCH = 64
"""Clients taken in one turn of the loop, so that those who are served are not kept waiting by a rush."""

_MOST_BATCHES = 64
"""At the end no more than a backlog can hold (4,096 by Linux's default) are taken, however fast others come."""

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS = 1.0
_REPORT_SECONDS = 60.0
"""At the edge descriptors run out again with every client that comes; that is one piece of news, not many."""

_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What binding to "::" fails with where IPv6 is switched off."""

_UNSENT_BYTES = 131_072
"""What a client's kernel will not take yet, ours holds as far as this; then a write waits.

By default (net.ipv4.tcp_wmem) it holds 4 MiB for each client that does not read, and a hundred who fill that keep all
others waiting for a second. Nor does who reads lose by it: what is on its way does not count, and a short queue stays
in the processor's cache.
"""

_SAME_PORT_TRIES = 16


class PlainSocket(socket.socket):
    """A socket whose family and type are plain numbers.

    The standard class looks both up in an enum each time, and the loops ask for them again and again while they make a
    transport: of 180,000 instructions for a short connection on uvloop these were 40,000.
    """

    __slots__ = ()
    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]

    def accept(self) -> tuple[PlainSocket, Any]:
        """Give a client's socket, another of these, and its address."""
        fd, name = self._accept()  # type: ignore[attr-defined]
        return PlainSocket(self.family, self.type, self.proto, fd), name


class Listeners:
    """The listening sockets of one server.

    Args:
        sockets: bound and listening, non-blocking; owned from now on.
        take: called with each client's socket and address; says whether there is room for another.
        report: called when descriptors run out, at most once a minute, with what happened.

    Attributes:
        watching: whether clients are asked for now.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: list[socket.socket],
        take: Callable[[socket.socket, object], bool],
        report: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self.sockets = sockets
        self._take = take
        self._report = report
        self.watching = False
        self._reported_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._files = {path: _inode(path) for sock in sockets if (path := _file(sock))}

    def resume(self) -> None:
        """Ask for clients (again)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.watching:
            self.watching = True
            for sock in self.sockets:
                self._loop.add_reader(sock, self._accept, sock)

    def pause(self) -> None:
        """Ask for no more; those who knock wait in the kernel's backlog."""
        if self.watching:
            self.watching = False
            for sock in self.sockets:
                self._loop.remove_reader(sock)

    def take_waiting(self) -> None:
        """Take those who wait already, if there is room: when the sockets close, the kernel resets them.

        They have connected, and have perhaps sent what they want; while a server closes, they have their grace too.
        """
        for sock in self.sockets:
            for _ in range(_MOST_BATCHES):
                if not (self.watching and self._accept(sock)):
                    break

    def close(self) -> None:
        """Stop listening at once; idempotent."""
        self.pause()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sockets, self.sockets = self.sockets, []
        for sock in sockets:
            sock.close()
        for path, inode in self._files.items():
            if inode is not None and _inode(path) == inode:  # a successor may have put its own socket there
                with contextlib.suppress(OSError):
                    os.unlink(path)
        self._files.clear()

    def _accept(self, listener: socket.socket) -> bool:
        """Take a batch; whether more may be waiting, and there is room for them."""
        for _ in range(_BATCH):
            try:
                client, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    self._starve(error)
                    return False
                continue  # ECONNABORTED and its kin: that client left before we came (accept(2))
            if not self._take(client, address):
                self.pause()
                return False
        return True

    def _starve(self, error: OSError) -> None:
        self.pause()
        now = self._loop.time()
        if now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            self._report(f"no more clients for now: {described(error)}")
        self._timer = self._loop.call_later(_RETRY_SECONDS, self.resume)


async def listen(endpoint: Endpoint, *, backlog: int | None, reuse_port: bool) -> list[socket.socket]:
    """Bind and listen on every address of `endpoint`; with port 0 all get the same free port.

    Args:
        endpoint: where.
        backlog: connections that the kernel keeps waiting; None binds alone, so that the port is ours.
        reuse_port: let other sockets of this user listen there too.

    Raises:
        ConnectError: the address is in use, not ours, or not permitted; or there is no such name.
        UsageError: something else than a socket lies where a Unix socket should be.
    """
    with translated(CONNECTING, endpoint, "listen"):
        if endpoint.is_unix:
            return [_unix(endpoint, backlog)]
        if not endpoint.host:
            return [_everywhere(endpoint, backlog, reuse_port)]
        addresses = dict.fromkeys((info[0], info[4]) for info in await resolve(endpoint.host, endpoint.port))
        return _all_of(list(addresses), endpoint, backlog, reuse_port)


def _all_of(
    addresses: list[tuple[int, tuple[object, ...]]], endpoint: Endpoint, backlog: int | None, reuse: bool
) -> list[socket.socket]:
    for attempt in range(_SAME_PORT_TRIES):
        sockets: list[socket.socket] = []
        try:
            for family, address in addresses:
                port = sockets[0].getsockname()[1] if sockets else endpoint.port
                sockets.append(_bound(family, (address[0], port, *address[2:]), backlog, reuse))
            return sockets
        except OSError as error:
            for sock in sockets:
                sock.close()
            taken = error.errno == errno.EADDRINUSE and endpoint.port == 0 and sockets
            if not taken or attempt == _SAME_PORT_TRIES - 1:
                raise
    raise AssertionError("not reached")


def _bound(
    family: int, address: tuple[object, ...], backlog: int | None, reuse: bool, *, dual: bool = False
) -> socket.socket:
    sock = PlainSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart binds at once
        # What it accepts inherits this; asyncio sets it only on sockets that say that they are of TCP.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):  # a kernel other than Python was built for may not know it
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # where idle_timeout is off, the dead still end
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.bind(address)
        if backlog is not None:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _everywhere(endpoint: Endpoint, backlog: int | None, reuse: bool) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return _bound(socket.AF_INET6, ("::", endpoint.port, 0, 0), backlog, reuse, dual=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:  # above all not where the port is taken: IPv4 alone may still be free
                raise
    return _bound(socket.AF_INET, ("0.0.0.0", endpoint.port), backlog, reuse)


def _unix(endpoint: Endpoint, backlog: int | None) -> socket.socket:
    _remove_stale(endpoint)
    sock = PlainSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(endpoint.path)
        if backlog is not None:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(endpoint: Endpoint) -> None:
    path = endpoint.path
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError("there is a file of that name", endpoint=endpoint, operation="listen")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # its server is gone
            return
        except OSError:
            pass
    raise ConnectError("a server is listening there", endpoint=endpoint, operation="listen")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _file(sock: socket.socket) -> str:
    return str(sock.getsockname()) if sock.family == socket.AF_UNIX else ""
