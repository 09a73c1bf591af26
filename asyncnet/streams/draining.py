"""The end of a server: its clients get their grace, and those who do not take it are aborted."""

from __future__ import annotations

import asyncio
import logging

from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.streams.connection import Connection

logger = logging.getLogger("asyncnet.server")

Clients = dict["asyncio.Task[None]", Connection | None]
"""the task that serves a client -> its connection; None while that is being made"""

_SILENT_SECONDS = 0.5
"""While draining, a client that sends nothing for so long, to a handler that waits for it, is told that this is all."""


async def drain(clients: Clients, empty: asyncio.Event, grace: float) -> None:
    """Wait until no client is left, `grace` seconds at most; silent ones are treated as if they had ended."""
    loop = asyncio.get_running_loop()
    end = loop.time() + grace
    await asyncio.sleep(0)  # who came last has its task's first step: what never began would clean up nothing
    heard: dict[Connection, int] = {}
    while not empty.is_set() and (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, _SILENT_SECONDS)):
                await empty.wait()
        except TimeoutError:
            heard = _hush(clients, heard)


def _hush(clients: Clients, before: dict[Connection, int]) -> dict[Connection, int]:
    heard: dict[Connection, int] = {}
    for task, connection in clients.items():
        if connection is None:
            task.cancel()  # in its handshake still: no exchange is running that could end well
        else:
            protocol = connection._protocol
            heard[connection] = protocol.received_bytes + protocol.sent_bytes
            if heard[connection] == before.get(connection) and protocol.readable.is_busy:
                protocol.hush()
    return heard


async def abort(clients: Clients, endpoint: Endpoint) -> None:
    """End those who are left at once; a handler that swallows its cancellation is waited for briefly, and named."""
    loop = asyncio.get_running_loop()
    end = loop.time() + CLOSE_SECONDS
    while tasks := list(clients):  # again: one that was just welcomed has its handler in another task
        for task in tasks:
            connection = clients.get(task)
            if connection is not None:
                connection.abort()
            task.cancel()
        _, stuck = await asyncio.wait(tasks, timeout=max(0.0, end - loop.time()))
        if stuck:
            logger.error("%s: %d handlers do not end though cancelled", endpoint, len(stuck))
            break
        await asyncio.sleep(0)  # their last callbacks
    await asyncio.sleep(0)  # the transports' last callbacks close their sockets
