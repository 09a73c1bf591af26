"""Handler: what a server does for a client, and how it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import Any

from asyncnet.streams.connection import Connection

Handler = Callable[[Connection], Awaitable[None]]
"""`async def handler(connection)`; any callable that gives an awaitable will do"""


def called(handler: Handler, connection: Connection) -> Coroutine[Any, Any, None]:
    """Call it; what it raises at once, where it is no coroutine function, is raised by the coroutine given back."""
    try:
        work = handler(connection)
    except Exception as error:
        return _failing(error)
    return work if type(work) is CoroutineType or asyncio.iscoroutine(work) else _awaited(work)


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _failing(error: Exception) -> None:
    raise error
