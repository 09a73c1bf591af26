"""What every peer has in common: a listening socket, a thread per connection, and an end that leaves nothing."""

import asyncio
import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self

_LAST_WAIT = 5.0
"""Seconds for a thread whose socket has been shut down to end; more means a bug in the peer itself."""


class Peer:
    """A server on loopback that runs in threads of its own, from `with` to the end of the block.

    `failures` holds what went wrong in its threads; leaving the block raises AssertionError when there is any,
    unless `check` is false.
    """

    def __init__(self, *, host: str = "127.0.0.1", check: bool = True) -> None:
        self.host = host
        self.port = 0
        self.check = check
        self.connections = 0
        self.failures: list[str] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """`host:port`, with an IPv6 host in brackets: what goes into a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def serve(self, sock: socket.socket, number: int) -> None:
        """Serve one connection, the `number`th counted from 0; runs in a thread of its own."""
        raise NotImplementedError

    def verdict(self) -> list[str]:
        """What the peer has to complain about once all is over; empty if nothing."""
        return self.failures

    def start(self) -> None:
        """Listen and accept from now on."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=1024)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._waker, self._alarm = socket.socketpair()
        self._acceptor = self.spawn(self._accept)

    def close(self) -> None:
        """Stop: let the threads read what has already come, then shut their sockets and join them."""
        self.stopping.set()
        self._waker.send(b"x")
        self._acceptor.join(_LAST_WAIT)
        self._interrupt(socket.SHUT_RD)
        self._join(0.2)
        self._interrupt(socket.SHUT_RDWR)
        if stuck := self._join(_LAST_WAIT):
            self.failures.append(f"threads did not end: {stuck}")
        for sock in (self._waker, self._alarm):
            sock.close()

    def spawn(self, target: object, *args: object) -> threading.Thread:
        """Run `target(*args)` in a thread that `close` joins."""
        name = f"{type(self).__name__}-{len(self._threads)}"
        thread = threading.Thread(target=self._guarded, args=(target, *args), name=name, daemon=True)
        with self._lock:  # started inside: a thread that was never started cannot be joined
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()
        return thread

    def adopt(self, sock: socket.socket) -> None:
        """Own `sock`: the end of the peer interrupts whoever waits on it."""
        with self._lock:
            self._sockets.add(sock)
            if self.stopping.is_set():
                _shutdown(sock, socket.SHUT_RD)

    def disown(self, sock: socket.socket) -> None:
        """Close `sock`, which this peer owned, once."""
        with self._lock:
            self._sockets.discard(sock)
            sock.close()

    def _guarded(self, target: object, *args: object) -> None:
        try:
            target(*args)  # type: ignore[operator]
        except Exception as error:
            self.failures.append(f"{type(error).__name__} in a thread of the peer: {error}")

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            while not self.stopping.is_set():
                selector.select()
                self._accept_waiting()
            self._accept_waiting()  # who came before the end is served, and counted

    def _accept_waiting(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # none waits, or it has left again already
                return
            sock.setblocking(True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.adopt(sock)
            number, self.connections = self.connections, self.connections + 1
            self.spawn(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            self.serve(sock, number)
        finally:
            self.disown(sock)

    def _interrupt(self, how: int) -> None:
        with self._lock:
            for sock in self._sockets:
                _shutdown(sock, how)

    def _join(self, seconds: float) -> list[str]:
        """Join every thread, at most about `seconds` in all; the names of those that still run."""
        for thread in self._threads:
            thread.join(seconds)
            seconds = seconds if not thread.is_alive() else 0.0
        return [thread.name for thread in self._threads if thread.is_alive()]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
        self._judge(error)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """As `__exit__`, while the loop goes on, so that transports of the test can finish their closing."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self.close()
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(closed.set)

        closer = threading.Thread(target=close, name=f"{type(self).__name__}-closer", daemon=True)
        closer.start()
        try:
            await closed.wait()
        finally:
            closer.join()
        self._judge(error)

    def _judge(self, error: BaseException | None) -> None:
        """Complain, unless told not to; never in the place of a cancellation or an interrupt."""
        if self.check and (complaints := self.verdict()) and (error is None or isinstance(error, Exception)):
            raise AssertionError(f"{type(self).__name__}: " + "\n".join(complaints)) from error


def _shutdown(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # the client has left already
        sock.shutdown(how)
