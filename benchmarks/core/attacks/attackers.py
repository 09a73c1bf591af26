"""Clients with bad manners: `python -m benchmarks.core.attacks.attackers NAME PORT COUNT`; loopback only.

COUNT is the connections that are held, or those made in a second. Says "ready" when the attack is on, goes on until a
line comes in, and prints how many connections it opened, and how many of those that wait for it the server ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable

_PATIENCE = 10.0
_HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
"""The beginning of a TLS ClientHello of 512 bytes (RFC 8446 §4.1.2); the rest never comes."""

_TICK = 0.05


class Attack:
    """What all attacks share: connections, their count, and the end."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self.count = count
        self.opened = self.ended = 0
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """Open another connection."""
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE)
        self.opened += 1
        return sock

    def hold(self, act: Callable[[socket.socket], bool], every: float) -> None:
        """Hold `count` connections, and let each act now and then; it says whether its connection lives."""
        due = 0.0
        while not self.stopped(_TICK):
            if time.monotonic() < due:
                continue
            due = time.monotonic() + every
            for sock in list(self.sockets):
                if not _alive(act, sock):
                    self.ended += 1
                    self.sockets.remove(sock)
                    sock.close()
            self.fill()

    def fill(self) -> None:
        """Open as many as are missing."""
        while len(self.sockets) < self.count:
            sock = self.connect()
            sock.setblocking(False)
            self.sockets.append(sock)

    def flood(self, act: Callable[[socket.socket], bool]) -> None:
        """Open `count` connections a second, as far as that can be kept up; each acts once, and waits for its end."""
        due = time.monotonic()
        while not self.stopped(0.001):
            due = max(due, time.monotonic() - _TICK)
            while due < time.monotonic():
                due += 1 / self.count
                self._flood_one(act)
            self._reap()

    def _flood_one(self, act: Callable[[socket.socket], bool]) -> None:
        sock = self.connect()
        if _alive(act, sock):
            sock.setblocking(False)
            self.sockets.append(sock)
        else:
            sock.close()

    def _reap(self) -> None:
        if self.sockets:
            for sock in select.select(self.sockets, [], [], 0)[0]:
                if not _alive(_listen, sock):
                    self.ended += 1
                    self.sockets.remove(sock)
                    sock.close()

    def stopped(self, seconds: float) -> bool:
        """Wait for so long, or for the line that says that it is over."""
        return bool(select.select([sys.stdin], [], [], seconds)[0])


def _alive(act: Callable[[socket.socket], bool], sock: socket.socket) -> bool:
    try:
        return act(sock)
    except BlockingIOError:
        return True
    except OSError:
        return False


def _listen(sock: socket.socket) -> bool:
    return sock.recv(65_536) != b""


def never_read(sock: socket.socket) -> bool:
    """Send all that it takes, and read nothing."""
    while True:
        sock.send(bytes(65_536))


def drip(sock: socket.socket) -> bool:
    """Send a byte."""
    sock.send(b"x")
    return _listen(sock)


def stall(sock: socket.socket) -> bool:
    """Begin a handshake once, and be silent."""
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # notes that it has begun
        sock.send(_HALF_A_HELLO)
    return _listen(sock)


def reset(sock: socket.socket) -> bool:
    """Send a little, and reset."""
    sock.send(b"x" * 64)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def garbage(sock: socket.socket) -> bool:
    """Send what is no TLS."""
    sock.send(os.urandom(300))
    return True


HOLDING = {"never-read": (never_read, _TICK), "drip": (drip, 1.0), "stall": (stall, 0.5)}
FLOODING = {"reset": reset, "garbage": garbage}


def main() -> None:
    """Attack."""
    os.nice(10)  # the honest share this core: what is measured is the server, not who gets the core of the load
    name, attack = sys.argv[1], Attack(int(sys.argv[2]), int(sys.argv[3]))
    if name in HOLDING:
        attack.fill()
    print("ready", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if name in HOLDING:
            attack.hold(*HOLDING[name])
        else:
            attack.flood(FLOODING[name])
    print(attack.opened, attack.ended, flush=True)


if __name__ == "__main__":
    main()
