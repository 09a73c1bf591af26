"""run_workers(): one place, several processes, each with its own loop and its own listening socket (SO_REUSEPORT).

The kernel spreads new clients over the processes. The parent serves nobody: it holds the port, starts the workers,
starts again the ones that die, and hands signals on (team.py; the other side is worker.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.streams.listener import listen
from asyncnet.streams.parent_signals import ParentSignals
from asyncnet.streams.team import Team
from asyncnet.streams.worker import WorkerMain


def run_workers(
    main: WorkerMain,
    endpoint: str | Endpoint,
    *,
    workers: int,
    uvloop: bool = False,
    grace: float = 10.0,
    forward: Iterable[int] = (),
    on_ready: Callable[[Endpoint], object] | None = None,
) -> None:
    """Serve one endpoint from several processes until SIGINT or SIGTERM; call it in the main thread, without a loop.

    A worker that dies is replaced: at once if it has run for a while, and at growing intervals of up to 30 seconds if
    it keeps dying. A worker that gets SIGTERM itself ends as on the first signal, and is replaced too. No worker
    outlives the parent, however that ends.

    Args:
        main: `async def main(endpoint, ready)`: serves there with `reuse_port=True`, calls `ready()` once it listens,
            and ends when it is cancelled; a second cancellation asks it to hurry. The workers import it, so it stands
            at the top level of a module (a functools.partial of one will do), and a script calls `run_workers` below
            `if __name__ == "__main__":`. What cannot be pickled, an SSLContext above all, it makes itself.
        endpoint: `tcp://` or `tls://`; with port 0 a free port is taken for all.
        workers: how many processes. The limits that `main` gives to `serve` are for each of them.
        uvloop: run the workers on uvloop.
        grace: seconds from the first signal until the workers, which drain meanwhile, are told to abort; a second
            signal tells them at once. One that still runs 3 seconds later is killed.
        forward: signals that are handed on to the workers, SIGHUP to have a certificate read again, say; `main`
            handles them from before it calls `ready()` on, or they are ignored.
        on_ready: called in the parent with the real endpoint once all workers listen.

    Raises:
        UsageError: fewer than one worker, a Unix socket, a `main` that cannot be handed over, a system without
            SO_REUSEPORT, not in the main thread, or inside a running loop.
        ConnectError: the address is in use or not ours, or a worker did not come up within 30 seconds.
        NetError: whatever a worker's `main` raised before it was ready.
    """
    where = Endpoint.parse(endpoint)
    if workers < 1 or where.is_unix or where.protocol != "tcp" or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("workers share a TCP port (SO_REUSEPORT), and there is at least one", endpoint=where)
    if not grace >= 0:
        raise UsageError("a grace is not below 0 seconds", endpoint=where)
    _check(main)
    stopping, forwarded = {signal.SIGINT, signal.SIGTERM}, {signal.Signals(number) for number in forward}
    if stopping & forwarded:
        raise UsageError("SIGINT and SIGTERM end the workers; they are not for them to handle", endpoint=where)
    with contextlib.ExitStack() as stack:
        held = asyncio.run(_hold(where))
        for sock in held:
            stack.callback(sock.close)
        place = replace(where, port=held[0].getsockname()[1])
        signals = stack.enter_context(ParentSignals(stopping, forwarded))
        Team(main, place, signals, uvloop=uvloop, grace=grace).serve(workers, on_ready)


def _check(main: WorkerMain) -> None:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise UsageError("run_workers blocks: call it outside of a running loop")
    try:
        ForkingPickler.dumps(main)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(f"main cannot be handed to another process: {error}") from error


async def _hold(endpoint: Endpoint) -> list[socket.socket]:
    """Bind, without listening: the port stays ours while no worker has it, and no client is given to these sockets."""
    if endpoint.port:
        # SO_REUSEPORT would share the port with any server of this user that has it as well; that is hardly meant.
        for probe in await listen(endpoint, backlog=None, reuse_port=False):
            probe.close()
    return await listen(endpoint, backlog=None, reuse_port=True)
