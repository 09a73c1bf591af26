"""One way to fetch a list of URLs, good and bad, in a process of its own: `python -m benchmarks.jobs.askers WAY FILE`.

Each says what it knows of each URL, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from asyncnet import jobs
from asyncnet.errors import UsageError
from benchmarks.jobs.gets import AT_ONCE
from benchmarks.jobs.telling import MOST_BYTES, PATIENCE, tell_body, tell_error


async def by_run(urls: list[str]) -> None:
    """asyncnet's run."""

    def source() -> Iterator[jobs.Job[Any] | str]:
        for url in urls:
            try:
                yield jobs.fetch(url, timeout=PATIENCE, max_bytes=MOST_BYTES, name=url)
            except UsageError:
                yield url  # the run says what is wrong with it

    async for outcome in jobs.as_completed(source(), limit=AT_ONCE, per_host=AT_ONCE):
        if outcome.error is None:
            tell_body(outcome.name, outcome.result().body)
        else:
            tell_error(outcome.name, outcome.error)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=AT_ONCE), timeout=aiohttp.ClientTimeout(total=PATIENCE)
    )


async def by_hand(urls: list[str]) -> None:
    """aiohttp as one writes it who knows it: workers over one iterator, and what fails is caught and said."""
    left = iter(urls)

    async def work(session: aiohttp.ClientSession) -> None:
        for url in left:
            try:
                async with session.get(url) as response:
                    response.raise_for_status()
                    tell_body(url, await response.read())
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                tell_error(url, error)

    async with _session() as session:
        await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))


async def gathered(urls: list[str]) -> None:
    """aiohttp as most write it: gather and a semaphore, and the first failure ends it."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(session: aiohttp.ClientSession, url: str) -> None:
        async with gate, session.get(url) as response:
            response.raise_for_status()
            tell_body(url, await response.read())

    async with _session() as session:
        await asyncio.gather(*(one(session, url) for url in urls))


ASKERS: dict[str, Callable[[list[str]], Coroutine[Any, Any, None]]] = {
    "asyncnet, `jobs.run`": by_run,
    "aiohttp by hand": by_hand,
    "aiohttp, gather": gathered,
}

if __name__ == "__main__":
    asyncio.run(ASKERS[sys.argv[1]](Path(sys.argv[2]).read_text().splitlines()))
