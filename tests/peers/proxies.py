"""Proxies that pass everything on, but late, in pieces, or only so much of it."""

import argparse
import contextlib
import itertools
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.clock import MS
from tests.peers.listener import Peer
from tests.peers.wire import reset_on_close

Direction = Literal["to client", "to server"]
_BLOCK = 65536
_MAX_BLOCKS_ON_THE_WAY = 1024
"""Blocks under way in one direction of a DelayProxy: 64 MiB, more than any window on loopback."""


@dataclass(slots=True)
class Link:
    """One connection through a proxy: its two sockets, its number, and how far each direction has come."""

    client: socket.socket
    server: socket.socket
    number: int
    broken: bool = False
    offset: dict[Direction, int] = field(default_factory=lambda: {"to client": 0, "to server": 0})

    def ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Where the bytes of a direction come from, and where they go."""
        return (self.server, self.client) if direction == "to client" else (self.client, self.server)

    def break_off(self, *, reset: bool = False) -> None:
        """End both sides, whatever is under way."""
        self.broken = True
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                if reset:
                    reset_on_close(sock)
                sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)


class Proxy(Peer):
    """Passes every connection on to `target`, byte for byte, half-closes included; the subclasses interfere.

    `passed` counts the bytes that were passed on in each direction, over all connections.
    """

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        super().__init__(host=host)
        self.target = target
        self.passed: dict[Direction, int] = {"to client": 0, "to server": 0}

    def serve(self, sock: socket.socket, number: int) -> None:
        """Pump both directions until both have ended."""
        self.tunnel(sock, number, self.target)

    def tunnel(
        self,
        sock: socket.socket,
        number: int,
        target: tuple[str, int],
        welcome: bytes = b"",
        sorry: bytes = b"",
        *,
        glue: bool = False,
        begin: bytes = b"",
    ) -> None:
        """Connect to `target` and pump; say `welcome` first, or `sorry` if nobody is there.

        With `glue` the first bytes of the target go out in one piece with `welcome`; `begin` goes to the target first.
        """
        try:
            server = socket.create_connection(target)
        except OSError:
            sock.sendall(sorry)
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.adopt(server)
        link = Link(sock, server, number)
        try:
            server.sendall(begin)
            sock.sendall(welcome + (server.recv(_BLOCK) if glue else b""))
            other = self.spawn(self.pump, link, "to server")
            self.pump(link, "to client")
            other.join()
        finally:
            self.disown(server)

    def pump(self, link: Link, direction: Direction) -> None:
        """Pass on one direction to its end."""
        source, to = link.ends(direction)
        try:
            while data := source.recv(_BLOCK):
                self.forward(data, link, direction)
            if not link.broken:
                to.shutdown(socket.SHUT_WR)
        except OSError:  # one side broke off: so does the other
            if not link.broken:
                link.break_off()

    def forward(self, data: bytes, link: Link, direction: Direction) -> None:
        """Pass `data` on; OSError breaks the connection off."""
        self.deliver(data, link, direction)

    def deliver(self, data: bytes, link: Link, direction: Direction) -> None:
        """Hand `data` to its receiver now."""
        link.ends(direction)[1].sendall(data)
        link.offset[direction] += len(data)
        self.passed[direction] += len(data)


class DelayProxy(Proxy):
    """Adds a round-trip time: every byte arrives half of it later, and as many as like are under way at once.

    The opening of the connection itself costs no extra time, for the proxy accepts at once.

    Args:
        target: host and port of the server.
        rtt: the round-trip time, in milliseconds.
    """

    def __init__(self, target: tuple[str, int], *, rtt: float) -> None:
        super().__init__(target)
        self._half = rtt / 2 * MS

    def pump(self, link: Link, direction: Direction) -> None:
        """Read at once, deliver later, in a thread of its own."""
        road: queue.Queue[tuple[float, bytes]] = queue.Queue(_MAX_BLOCKS_ON_THE_WAY)
        carrier = self.spawn(self._carry, road, link, direction)
        source = link.ends(direction)[0]
        data = b"begin"
        while data:
            try:
                data = source.recv(_BLOCK)
            except OSError:
                link.break_off()
                data = b""
            road.put((time.monotonic() + self._half, data))
        carrier.join()

    def _carry(self, road: "queue.Queue[tuple[float, bytes]]", link: Link, direction: Direction) -> None:
        while True:
            due, data = road.get()
            self.stopping.wait(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    if not link.broken:
                        link.ends(direction)[1].shutdown(socket.SHUT_WR)
                    return
                self.deliver(data, link, direction)
            except OSError:
                link.break_off()  # and go on taking what is on the road, or the other end of it would wait
                if not data:
                    return


class ChunkProxy(Proxy):
    """Cuts the stream into pieces and rests after each, so that the receiver sees them one by one.

    Args:
        target: host and port of the server.
        size: bytes in a piece; 0 passes on as it comes, except for the cuts in `at`.
        at: offsets in the stream, each connection counted from 0, to cut at as well.
        directions: which of the two are cut.
        rest: milliseconds after each piece but the last of what came.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        size: int = 0,
        at: Sequence[int] = (),
        directions: Sequence[Direction] = ("to client",),
        rest: float = 1.0,
    ) -> None:
        super().__init__(target)
        self._size = size
        self._at = list(at)
        self._directions = directions
        self._rest = rest * MS

    def forward(self, data: bytes, link: Link, direction: Direction) -> None:
        """Pass the pieces of `data` on, with a rest between them."""
        interfere = direction in self._directions
        size, at = (self._size, self._at) if interfere else (0, [])
        for start, end in pieces(len(data), size, [cut - link.offset[direction] for cut in at]):
            if start:
                self.stopping.wait(self._rest)
            self.deliver(data[start:end], link, direction)


def pieces(length: int, size: int, at: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Begin and end of each piece of `length` bytes, cut after every `size` (0: nowhere) and at the offsets `at`."""
    cuts = {*at, *range(0, length, size or length)}
    return itertools.pairwise(sorted({0, length} | {cut for cut in cuts if 0 < cut < length}))


class CutProxy(Proxy):
    """Ends a connection once so many bytes have passed in one direction: exactly so many arrive.

    Args:
        target: host and port of the server.
        after: bytes that may pass, each connection counted from 0.
        direction: the one that is counted.
        reset: end by an RST instead of a plain end.
        times: how many connections are cut, the first ones; None for all of them.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        after: int,
        direction: Direction = "to client",
        reset: bool = False,
        times: int | None = None,
    ) -> None:
        super().__init__(target)
        self._after = after
        self._direction = direction
        self._reset = reset
        self._times = times

    def forward(self, data: bytes, link: Link, direction: Direction) -> None:
        """Pass on what may pass, then break both sides off."""
        if direction != self._direction or (self._times is not None and link.number >= self._times):
            self.deliver(data, link, direction)
            return
        self.deliver(data[: self._after - link.offset[direction]], link, direction)
        if link.offset[direction] >= self._after:
            link.break_off(reset=self._reset)


class DelayProcess:
    """A DelayProxy in a process of its own, so that a measured client does not share its interpreter.

    Args:
        target: host and port of the server.
        rtt: the round-trip time, in milliseconds.
    """

    def __init__(self, target: tuple[str, int], *, rtt: float) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._command = [sys.executable, "-m", "tests.peers.proxies", target[0], str(target[1]), str(rtt)]

    def __enter__(self) -> Self:
        root = Path(__file__).parent.parent.parent
        self._process = subprocess.Popen(self._command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate()  # the end of its input is the end of it


def main() -> None:
    """Run one DelayProxy until the end of standard input; say its port first."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.proxies", description=main.__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("rtt", type=float, help="round-trip time in milliseconds")
    arguments = parser.parse_args()
    with DelayProxy((arguments.host, arguments.port), rtt=arguments.rtt) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
