"""run_workers(): one place, several processes, each with its own loop and its own listening socket (SO_REUSEPORT).

The kernel spreads new clients over the processes. The parent serves nobody: it holds the port, starts the workers,
starts again the ones that die, and hands signals on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from types import FrameType
from typing import Any

from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, UsageError
from asyncnet.streams.loop import run
from asyncnet.translation import CONNECTING, translated

WorkerMain = Callable[[Endpoint, Callable[[], None]], Coroutine[Any, Any, object]]
"""`async def main(endpoint, ready)`: serve there with `reuse_port=True`, and call `ready()` once it listens."""

logger = logging.getLogger("asyncnet.server")

_START_SECONDS = 30.0
_RESTART_SECONDS = 1.0
"""A worker that dies at once is not started again faster than this."""


def run_workers(
    main: WorkerMain,
    endpoint: str | Endpoint,
    *,
    workers: int,
    uvloop: bool = False,
    grace: float = 10.0,
    on_ready: Callable[[Endpoint], object] | None = None,
) -> None:
    """Serve one endpoint from several processes until SIGINT or SIGTERM; call it in the main thread, without a loop.

    Args:
        main: `async def main(endpoint, ready)` at the top level of a module, for the workers import it (a
            functools.partial of one will do).
        endpoint: `tcp://` or `tls://`; with port 0 a free port is taken for all.
        workers: how many processes.
        uvloop: run the workers on uvloop.
        grace: seconds between the first signal, which the workers get as SIGTERM, and their being killed; a second
            signal kills at once.
        on_ready: called with the real endpoint once all workers listen.

    Raises:
        UsageError: fewer than one worker, a Unix socket, or a system without SO_REUSEPORT.
        ConnectError: the address is in use or not ours, or a worker did not come up within 30 seconds.
    """
    where = Endpoint.parse(endpoint)
    if workers < 1 or where.is_unix or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("workers share a TCP port (SO_REUSEPORT), and there is at least one", endpoint=where)
    with translated(CONNECTING, where, "listen"):
        held = _hold(where)
    with held, _Signals() as signals:
        place = replace(where, port=held.getsockname()[1])
        team = _Team(main, place, uvloop)
        try:
            team.start(workers)
            if on_ready is not None:
                on_ready(place)
            while not signals.count:
                team.look_after(signals.wakeup)
        finally:
            team.stop(grace, signals)


def _hold(endpoint: Endpoint) -> socket.socket:
    """Bind, without listening: the port stays ours while no worker has it, and no client is given to this socket."""
    if endpoint.host:
        family, _, _, _, name = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    else:
        dual = socket.has_dualstack_ipv6()
        family, name = (socket.AF_INET6, ("::", endpoint.port)) if dual else (socket.AF_INET, ("", endpoint.port))
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if endpoint.host else 0)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock


class _Signals:
    """SIGINT and SIGTERM, counted; `wakeup` becomes readable when one comes."""

    def __init__(self) -> None:
        self.count = 0
        self.wakeup, self._write = os.pipe()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.wakeup)
        os.close(self._write)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        os.write(self._write, b"\0")


class _Team:
    """The processes."""

    def __init__(self, main: WorkerMain, place: Endpoint, uvloop: bool) -> None:
        self._context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and open sockets
        self._main = main
        self._place = place
        self._uvloop = uvloop
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def start(self, count: int) -> None:
        pipes = [self._start_one() for _ in range(count)]
        end = time.monotonic() + _START_SECONDS
        for pipe in pipes:
            with pipe:
                if not (pipe.poll(max(0.0, end - time.monotonic())) and _received(pipe)):
                    raise ConnectError("a worker did not come up", endpoint=self._place, operation="listen")

    def _start_one(self) -> Pipe:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(self._main, self._place, self._uvloop, theirs), name="asyncnet-worker"
        )
        process.start()
        theirs.close()
        self._processes.append(process)
        return ours

    def look_after(self, wakeup: int) -> None:
        """Wait for a signal or a death, and replace the dead."""
        multiprocessing.connection.wait([wakeup, *(process.sentinel for process in self._processes)])
        for process in [process for process in self._processes if not process.is_alive()]:
            logger.error("%s: worker %s ended with %s; another is started", self._place, process.pid, process.exitcode)
            self._processes.remove(process)
            process.close()
            multiprocessing.connection.wait([wakeup], timeout=_RESTART_SECONDS)
            self._start_one().close()

    def stop(self, grace: float, signals: _Signals) -> None:
        already = signals.count
        for process in self._processes:
            process.terminate()
        end = time.monotonic() + grace
        for process in self._processes:
            while process.is_alive() and signals.count <= max(already, 1) and (left := end - time.monotonic()) > 0:
                process.join(min(left, 0.1))
        for process in self._processes:
            process.kill()
            process.join()
            process.close()


def _received(pipe: Pipe) -> bool:
    with contextlib.suppress(EOFError):
        pipe.recv_bytes()
        return True
    return False


def _work(main: WorkerMain, place: Endpoint, uvloop: bool, pipe: Pipe) -> None:
    """Be a worker."""
    # Out of the terminal's group: Ctrl-C goes to the parent, which tells us once; twice would cut the grace short.
    os.setpgrp()

    def ready() -> None:
        with contextlib.suppress(OSError):
            pipe.send_bytes(b"ready")
        pipe.close()

    async def serve_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        loop = asyncio.get_running_loop()
        loop.add_reader(parent.sentinel, _orphaned, loop, parent.sentinel)
        try:
            await main(place, ready)
        finally:
            loop.remove_reader(parent.sentinel)

    run(serve_with_parent(), uvloop=uvloop, signals=True)


def _orphaned(loop: asyncio.AbstractEventLoop, sentinel: int) -> None:
    loop.remove_reader(sentinel)
    os.kill(os.getpid(), signal.SIGTERM)  # the parent was killed: end as if it had said so
