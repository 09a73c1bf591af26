"""A program with workers, for test_workers.py: python -m tests.streams.working MAIN URL [NAME=VALUE...].

It writes a line with the URL once its workers listen. Each client is told the worker's process id, and then what the
main does for it: most echo.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncnet
from asyncnet.errors import ConnectError
from asyncnet.streams import team, worker

# In the parent and, for the workers import this module, in each of them: what a test waits for is not to take seconds.
team._FIRST_PAUSE = 0.02
if "stuck" in sys.argv:
    team.KILL_SECONDS = worker.KILL_SECONDS = 0.3

Ready = Callable[[], None]
reloads = 0


async def told(connection: asyncnet.Connection) -> None:
    await connection.write(f"{os.getpid()} {reloads}\n".encode())
    await asyncnet.echo(connection)


async def stubborn(connection: asyncnet.Connection) -> None:
    """Never end, unless cancelled."""
    await connection.write(f"{os.getpid()}\n".encode())
    await asyncio.sleep(1000)


async def stuck(connection: asyncnet.Connection) -> None:
    """Block the loop, as no handler should."""
    await connection.write(f"{os.getpid()}\n".encode())
    time.sleep(1000)  # noqa: ASYNC251


async def serve(
    place: asyncnet.Endpoint,
    ready: Ready,
    *,
    handler: Callable[[asyncnet.Connection], Awaitable[None]] = told,
    grace: float = 30.0,
    files: tuple[str, str] | None = None,
    handles: int | None = None,
    seconds: float = 1000.0,
) -> None:
    tls = None if files is None else asyncnet.server_context(*files)
    async with asyncnet.serve(handler, place, tls=tls, reuse_port=True, grace=grace):
        if handles is not None:
            asyncio.get_running_loop().add_signal_handler(handles, _reload)
        ready()
        await asyncio.sleep(seconds)


def _reload() -> None:
    global reloads
    reloads += 1


async def slow(place: asyncnet.Endpoint, ready: Ready) -> None:
    """Never get ready."""
    print("starting", flush=True)
    await asyncio.sleep(1000)


async def refused(place: asyncnet.Endpoint, ready: Ready) -> None:
    raise ConnectError("the database is not there", endpoint=place, operation="prepare")


async def broken(place: asyncnet.Endpoint, ready: Ready) -> None:
    raise ZeroDivisionError("on purpose")


async def mortal(place: asyncnet.Endpoint, ready: Ready) -> None:
    """Die of an error soon after the start."""
    ready()
    await asyncio.sleep(0.05)
    raise ConnectError("the database has gone", endpoint=place)


MAINS: dict[str, Any] = {
    "echo": serve,
    "hasty": functools.partial(serve, seconds=0.05),
    "stubborn": functools.partial(serve, handler=stubborn, grace=600.0),
    "stuck": functools.partial(serve, handler=stuck),
    "reloading": functools.partial(serve, handles=signal.SIGHUP),
    "slow": slow,
    "refused": refused,
    "broken": broken,
    "mortal": mortal,
}


def main(name: str, url: str, *options: str) -> None:
    given = {key: json.loads(value) for key, _, value in (option.partition("=") for option in options)}
    files = given.pop("files", None)
    chosen = MAINS[name] if files is None else functools.partial(MAINS[name], files=tuple(files))
    try:
        asyncnet.run_workers(chosen, url, **{"workers": 2} | given, on_ready=lambda place: print(place, flush=True))
    except asyncnet.NetError as error:
        with contextlib.suppress(BrokenPipeError):
            print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
