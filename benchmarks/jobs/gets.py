"""One way to do many GETs, or no-op jobs, in a process of its own: `python -m benchmarks.jobs.gets WAY URL COUNT`.

Prints seconds, CPU seconds and peak MiB, as JSON; every body is checked. Each GET has a URL of its own. What is loaded
and opened once (modules, the connections) is loaded and opened by every way before its time begins.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from asyncnet import http, jobs
from asyncnet.client import Client
from benchmarks.jobs.process import highest_rss

AT_ONCE = 64
SIZE = 1024
WARM = 256
"""done before the time begins"""

Begin = Callable[[], None]
Way = Callable[[str, int, Begin], Coroutine[Any, Any, None]]


def urls_of(url: str, count: int) -> Iterator[str]:
    """Give as many URLs, each another."""
    return (f"{url}?n={number}" for number in range(count))


def check(body: bytes) -> None:
    """End the process if a body is not as long as it has to be."""
    if len(body) != SIZE:
        raise SystemExit(f"a body of {len(body)} bytes")


def _checked(outcome: jobs.Outcome[Any]) -> None:
    check(outcome.result().body)


RETRY = jobs.Retry(attempts=3)
FEATURES: dict[str, Any] = {
    "limit": AT_ONCE,
    "per_host": AT_ONCE,
    "rate": jobs.Rate(per_host=1e6),
    "retry_budget": 0.2,
    "breaker": jobs.Breaker(),
}
"""what a run can be told about hosts, with numbers that slow nothing down"""


@asynccontextmanager
async def _kept() -> AsyncIterator[Sequence[jobs.Observer]]:
    """A journal, and JSON lines that it keeps in step."""
    with tempfile.TemporaryDirectory() as folder:
        output = jobs.JsonLines(Path(folder) / "out.jsonl")
        yield [await jobs.Journal.open(Path(folder) / "journal", output=output)]


# Each way does `count` GETs, twice: once a few to warm up, then those that are timed. `begin` starts the time.


async def bare(url: str, count: int, begin: Begin) -> None:
    """asyncnet's run with its defaults, and no limit per host."""
    async with http.session(max_connections=AT_ONCE) as session:
        for number in (WARM, count):
            begin()
            async for outcome in jobs.as_completed(urls_of(url, number), limit=AT_ONCE, per_host=None, client=session):
                _checked(outcome)


async def full(url: str, count: int, begin: Begin) -> None:
    """The same with a retry, a deadline for each, limits, a rate, a budget and a breaker."""
    async with http.session(max_connections=AT_ONCE) as session:
        for number in (WARM, count):
            source = (jobs.fetch(one, retry=RETRY).timeout(60.0) for one in urls_of(url, number))
            begin()
            async for outcome in jobs.as_completed(source, client=session, **FEATURES):
                _checked(outcome)


async def kept(url: str, count: int, begin: Begin) -> None:
    """The same with a journal and JSON lines, which hold the bodies."""
    async with http.session(max_connections=AT_ONCE) as session:
        for number in (WARM, count):
            source = (jobs.fetch(one, retry=RETRY).timeout(60.0) for one in urls_of(url, number))
            async with _kept() as observers:
                begin()
                async for outcome in jobs.as_completed(source, client=session, observers=observers, **FEATURES):
                    _checked(outcome)


async def by_client(url: str, count: int, begin: Begin) -> None:
    """The bare run through a Client, whose policy and warm sessions it uses."""
    async with Client(per_host=AT_ONCE) as client:
        for number in (WARM, count):
            begin()
            async for outcome in jobs.as_completed(urls_of(url, number), limit=AT_ONCE, per_host=None, client=client):
                _checked(outcome)


async def session_alone(url: str, count: int, begin: Begin) -> None:
    """asyncnet's http without jobs: workers over one iterator."""
    async with http.session(max_connections=AT_ONCE) as session:
        for number in (WARM, count):
            urls = urls_of(url, number)

            async def work(urls: Iterator[str] = urls) -> None:
                for one in urls:
                    check((await session.get(one)).raise_for_status().body)

            begin()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def by_hand(url: str, count: int, begin: Begin) -> None:
    """aiohttp as one writes it who knows it: one session, workers over one iterator."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        for number in (WARM, count):
            urls = urls_of(url, number)

            async def work(urls: Iterator[str] = urls) -> None:
                for one in urls:
                    async with session.get(one) as response:
                        response.raise_for_status()
                        check(await response.read())

            begin()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def gathered(url: str, count: int, begin: Begin) -> None:
    """aiohttp as most write it: gather over all of them, and a semaphore."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(session: aiohttp.ClientSession, url: str) -> None:
        async with gate, session.get(url) as response:
            response.raise_for_status()
            check(await response.read())

    async with aiohttp.ClientSession() as session:
        for number in (WARM, count):
            begin()
            await asyncio.gather(*(one(session, each) for each in urls_of(url, number)))


async def _no_op() -> int:
    return 1


async def nothing(url: str, count: int, begin: Begin) -> None:
    """No-op jobs, as they come."""
    begin()
    async for outcome in jobs.as_completed((jobs.call(_no_op) for _ in range(count)), limit=AT_ONCE):
        outcome.result()


async def listed(url: str, count: int, begin: Begin) -> None:
    """No-op jobs, as a list."""
    begin()
    await jobs.run((jobs.call(_no_op) for _ in range(count)), limit=AT_ONCE)


async def limited(url: str, count: int, begin: Begin) -> None:
    """No-op jobs with a host, a deadline and a retry each."""
    source = (jobs.call(_no_op, host="h").timeout(60.0).retry(RETRY) for _ in range(count))
    begin()
    async for outcome in jobs.as_completed(source, limit=AT_ONCE, per_host=AT_ONCE):
        outcome.result()


async def written(url: str, count: int, begin: Begin) -> None:
    """No-op jobs with a host, a deadline and a retry each, a journal, and JSON lines."""
    source = (jobs.call(_no_op, name=f"job {n}", host="h").timeout(60.0).retry(RETRY) for n in range(count))
    async with _kept() as observers:
        begin()
        async for outcome in jobs.as_completed(source, limit=AT_ONCE, per_host=AT_ONCE, observers=observers):
            outcome.result()


async def gathered_nothing(url: str, count: int, begin: Begin) -> None:
    """What most write, for scale: gather and a semaphore."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> int:
        async with gate:
            return await _no_op()

    begin()
    await asyncio.gather(*(one() for _ in range(count)))


WAYS: dict[str, Way] = {
    "asyncnet": bare,
    "asyncnet, limits": full,
    "asyncnet, all on": kept,
    "asyncnet, a Client": by_client,
    "asyncnet.http alone": session_alone,
    "aiohttp by hand": by_hand,
    "aiohttp, gather": gathered,
}
NO_OPS: dict[str, Way] = {
    "as_completed": nothing,
    "run": listed,
    "with host, deadline, retry": limited,
    "with journal and JSON lines too": written,
    "gather + semaphore": gathered_nothing,
}


def main() -> None:
    """Do it, and print what it took."""
    way, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    began = cpu = 0.0

    def begin() -> None:
        nonlocal began, cpu
        began, cpu = time.perf_counter(), time.process_time()

    asyncio.run((WAYS | NO_OPS)[way](url, count, begin))
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps([seconds, used, highest_rss()]))


if __name__ == "__main__":
    main()
