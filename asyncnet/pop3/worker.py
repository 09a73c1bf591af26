"""Worker: one thread and the socket that it blocks on. An Executor, so that `loop.run_in_executor` drives it.

The thread cannot be interrupted, but its socket can be shut down from outside: whatever call it stands in, a read, a
write or a handshake, ends at once, and so does the thread, closing the socket as its last act. Each session has a
Worker of its own: a stuck one starves nobody, and a daemon thread never holds up the interpreter's exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_JOIN_SECONDS = 0.1
"""How long the loop may stand still for a thread that is at its end anyway: microseconds, really."""


class Worker(Executor):
    """Owns a connected socket and the one thread that uses it, until `abort()` or `shutdown()`.

    Args:
        sock: is made blocking. The thread closes it when it ends; where there can be no thread, it is closed here.
        name: the thread's name.

    Raises:
        RuntimeError: the system has no thread to give.
    """

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False
        self._gone: Future[None] = Future()
        self._gone.set_running_or_notify_cancel()  # nobody who waits for the end can cancel it
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            sock.setblocking(True)
            self._thread.start()
        except BaseException:
            sock.close()
            raise

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have the thread call `fn`, after what it was given before.

        Raises:
            RuntimeError: it was shut down.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("the worker was shut down")
            self._calls.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the thread does those that it has, closes the socket and ends.

        Args:
            wait: block until then.
            cancel_futures: drop the calls that have not begun.
        """
        with self._lock:
            if cancel_futures:
                self._drop_waiting()
            if not self._stopped:
                self._stopped = True
                self._calls.put(None)
        if wait:
            self._thread.join()

    def abort(self) -> None:
        """End the call that the thread stands in, and the thread; idempotent, never blocks."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock, contextlib.suppress(OSError):
            # Not by SSLSocket's own shutdown(), which takes the TLS object away under the thread's hands first.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    @property
    def is_stopped(self) -> bool:
        """Whether it takes no more calls."""
        return self._stopped

    async def ended(self, seconds: float) -> bool:
        """Wait until the thread is gone and the socket closed; False after `seconds`.

        Cancelled, it still sees the thread off, in `_JOIN_SECONDS` at most: whoever cancels finds nothing left behind.
        """
        gone = asyncio.wrap_future(self._gone)
        try:
            await asyncio.wait([gone], timeout=seconds)
        except asyncio.CancelledError:
            self._thread.join(_JOIN_SECONDS)
            raise
        finally:
            gone.cancel()  # or a thread that ends later would call into a loop that may be closed by then
        if self._gone.done():
            self._thread.join(_JOIN_SECONDS)
        return not self._thread.is_alive()

    def encrypt(self, context: ssl.SSLContext, server_name: str) -> None:
        """Put TLS on the socket, while the thread is idle; `handshake` is for the thread.

        The two are apart so that `self.sock` is what has to be shut down also while the handshake goes on.

        Raises:
            OSError: the connection has ended.
        """
        try:
            self.sock.getpeername()
        except OSError:  # of a socket that was reset, wrap_socket would leave one behind that nobody closes
            raise ConnectionResetError(errno.ECONNRESET, "reset before the handshake") from None
        self.sock = context.wrap_socket(self.sock, server_hostname=server_name, do_handshake_on_connect=False)

    def handshake(self) -> ssl.SSLSocket:
        """Shake hands, and give the socket; blocks, so it is to be called by the thread.

        Raises:
            OSError: no agreement (ssl.SSLError), or the connection ended.
        """
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.do_handshake()
        return self.sock

    def _drop_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is None:
                    self._calls.put(None)  # the thread's own end stays in the queue
                    return
                call[0].cancel()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            _make(*call)
            del call  # an idle thread keeps nothing alive
        with self._lock:
            self.sock.close()
        self._gone.set_result(None)


def _make(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
