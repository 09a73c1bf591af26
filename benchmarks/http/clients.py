"""The clients, each as short as its library lets it be.

`python -m benchmarks.http.clients KIND WORK URL COUNT WORKERS`

WORK is `get` (a body into memory), `post` (a form) or `disk` (a body into a file); COUNT requests by WORKERS at once.
Prints as JSON: bytes received, seconds, CPU seconds, and the largest resident set in KiB. The environment variable
BENCH_CA names the certificate to trust, BENCH_PATH the file for `disk`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncnet.http.transfers import Transfers

FORM = {"name": "alice", "text": "hello, world", "number": "42"}
PIECE = 65_536


class Job:
    """What is to be done."""

    def __init__(self, work: str, url: str, count: int, workers: int) -> None:
        self.work, self.url, self.count, self.workers = work, url, count, workers
        self.ca = os.environ.get("BENCH_CA") or None
        self.path = os.environ.get("BENCH_PATH", "/dev/null")
        self.received = 0
        self.began = self.spent = 0.0

    def begin(self) -> None:
        """Let the time run: all is imported, and the session is made."""
        self.began, self.spent = time.perf_counter(), time.process_time()

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Give the context, where a certificate is to be trusted."""
        return ssl.create_default_context(cafile=self.ca) if self.url.startswith("https") else None

    async def crew(self, one: Callable[[], Awaitable[int]]) -> None:
        """Let the workers do it."""
        self.begin()
        numbers: Iterator[int] = iter(range(self.count))

        async def worker() -> None:
            for _ in numbers:
                size = await one()
                self.received += size

        await asyncio.gather(*(worker() for _ in range(self.workers)))

    def threads(self, one: Callable[[], int]) -> None:
        """Let threads do it."""
        self.begin()
        with ThreadPoolExecutor(self.workers) as pool:
            self.received = sum(pool.map(lambda _: one(), range(self.count)))


async def client_(job: Job) -> None:
    """Our Client, every default on but the number of connections to one host."""
    from asyncnet.client import Client

    async with Client(tls=job.tls, per_host=job.workers) as client:
        await _ours(job, client)


async def session_(job: Job) -> None:
    """Our session, every default on."""
    from asyncnet import http

    async with http.session(tls=job.tls, max_connections=job.workers) as session:
        await _ours(job, session)


async def _ours(job: Job, session: Transfers) -> None:
    async def get() -> int:
        response = await session.get(job.url, max_bytes=1 << 30)
        assert response.status == 200
        return len(response.body)

    async def post() -> int:
        return len((await session.post(job.url, form=FORM)).body)

    async def disk() -> int:
        return (await session.download(job.url, job.path)).size

    await job.crew({"get": get, "post": post, "disk": disk}[job.work])


async def aiohttp_(job: Job) -> None:
    """Raw aiohttp: one session, and its connector's limit at the number of workers."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=job.workers, ssl=job.tls or True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get() -> int:
            async with session.get(job.url) as response:
                assert response.status == 200
                return len(await response.read())

        async def post() -> int:
            async with session.post(job.url, data=FORM) as response:
                return len(await response.read())

        async def disk() -> int:
            size = 0
            with open(job.path, "wb") as file:
                async with session.get(job.url) as response:
                    async for piece in response.content.iter_any():
                        file.write(piece)
                        size += len(piece)
            return size

        await job.crew({"get": get, "post": post, "disk": disk}[job.work])


async def httpx_(job: Job) -> None:
    """Run httpx."""
    import httpx

    limits = httpx.Limits(max_connections=job.workers, max_keepalive_connections=job.workers)
    async with httpx.AsyncClient(verify=job.tls or True, limits=limits, timeout=60) as client:

        async def get() -> int:
            return len((await client.get(job.url)).content)

        async def post() -> int:
            return len((await client.post(job.url, data=FORM)).content)

        async def disk() -> int:
            size = 0
            with open(job.path, "wb") as file:
                async with client.stream("GET", job.url) as response:
                    async for piece in response.aiter_bytes():
                        size += file.write(piece)
            return size

        await job.crew({"get": get, "post": post, "disk": disk}[job.work])


async def niquests_(job: Job) -> None:
    """Run niquests."""
    import niquests

    async with niquests.AsyncSession(pool_maxsize=job.workers) as session:
        session.trust_env = False  # else the environment's certificates come before the session's
        session.verify = job.ca or True

        async def get() -> int:
            return len((await session.get(job.url)).content)

        async def post() -> int:
            return len((await session.post(job.url, data=FORM)).content)

        async def disk() -> int:
            size = 0
            with open(job.path, "wb") as file:
                response = await session.get(job.url, stream=True)
                async for piece in await response.iter_content(PIECE):
                    size += file.write(piece)
            return size

        await job.crew({"get": get, "post": post, "disk": disk}[job.work])


def requests_(job: Job) -> None:
    """Requests in threads, a session in each."""
    import threading

    import requests

    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
            local.session.verify = job.ca or True
        return local.session

    def get() -> int:
        return len(session().get(job.url).content)

    def post() -> int:
        return len(session().post(job.url, data=FORM).content)

    def disk() -> int:
        with open(job.path, "wb") as file, session().get(job.url, stream=True) as response:
            return sum(file.write(piece) for piece in response.iter_content(PIECE))

    job.threads({"get": get, "post": post, "disk": disk}[job.work])


def pycurl_(job: Job) -> None:
    """libcurl's multi interface."""
    from io import BytesIO
    from urllib.parse import urlencode

    import pycurl

    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, job.workers)
    left, running = job.count, 0
    job.begin()
    free = [pycurl.Curl() for _ in range(min(job.workers, job.count))]
    while left or running:
        while left and free:
            handle = free.pop()
            handle.body = open(job.path, "wb") if job.work == "disk" else BytesIO()  # noqa: SIM115
            handle.setopt(pycurl.URL, job.url)
            handle.setopt(pycurl.WRITEDATA, handle.body)
            if job.ca:
                handle.setopt(pycurl.CAINFO, job.ca)
            if job.work == "post":
                handle.setopt(pycurl.POSTFIELDS, urlencode(FORM))
            multi.add_handle(handle)
            left, running = left - 1, running + 1
        multi.perform()
        _, done, failed = multi.info_read()
        assert not failed, failed
        for handle in done:
            multi.remove_handle(handle)
            job.received += handle.body.tell()
            handle.body.close()
            free.append(handle)
            running -= 1
        if running and not done:
            multi.select(1.0)


ASYNC = {"asyncnet": client_, "asyncnet.http": session_, "aiohttp": aiohttp_, "httpx": httpx_, "niquests": niquests_}
BLOCKING = {"requests": requests_, "pycurl": pycurl_}


def main() -> None:
    """Do it."""
    kind, _, loop = sys.argv[1].partition("+")
    job = Job(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    if kind in BLOCKING:
        BLOCKING[kind](job)
    elif loop == "uvloop":
        import uvloop

        uvloop.run(ASYNC[kind](job))
    else:
        asyncio.run(ASYNC[kind](job))
    seconds, cpu = time.perf_counter() - job.began, time.process_time() - job.spent
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"bytes": job.received, "seconds": seconds, "cpu": cpu, "rss": most}))


if __name__ == "__main__":
    main()
