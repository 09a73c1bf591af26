"""Work that is not all alike: jobs of all protocols in one run, and URLs of which a part cannot be fetched."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from asyncnet import jobs
from asyncnet.client import Client
from asyncnet.lab.lab import Lab
from benchmarks.jobs.gets import AT_ONCE, SIZE
from tests.real.nginx import Nginx

_MAIL = b"From: me@example.org\r\nTo: me@example.org\r\nSubject: hello\r\n\r\nbody\r\n"


async def _all_protocols(count: int) -> dict[str, tuple[int, float]]:
    """Do `count` jobs by turns of protocol, and as many of each alone; give how many failed, and seconds each."""
    accounts = {"me": "secret"} | {f"user{number}": "secret" for number in range(2 * AT_ONCE)}
    async with (
        Lab(accounts=accounts) as lab,
        Client(tls=lab.tls, credentials=lambda _: lab.credentials, per_host=AT_ONCE) as client,
    ):
        lab.deliver(_MAIL)
        maildrops = cycle([lab.credentials_of(f"user{number}") for number in range(2 * AT_ONCE)])  # each is locked
        makers: dict[str, Callable[[], jobs.Job[Any]]] = {
            "http": lambda: jobs.fetch(f"{lab.http.url}/bytes/{SIZE}"),
            "tcp": lambda: jobs.exchange(lab.echo.url, b"ping\n", until=b"\n"),
            "smtp": lambda: jobs.send(_MAIL, lab.smtp.url, sender="me@example.org", recipients="a@elsewhere.example"),
            "imap": lambda: jobs.fetch(lab.imap.url),
            "pop3": lambda: jobs.fetch(lab.pop3.url, next(maildrops)),
        }
        found = {}
        for name, turns in [*((name, [make]) for name, make in makers.items()), ("all by turns", [*makers.values()])]:
            failed, began = 0, time.perf_counter()
            source = (make() for make in islice(cycle(turns), count))
            async for outcome in jobs.as_completed(source, limit=AT_ONCE, client=client):
                failed += not outcome.ok
            found[name] = (failed, (time.perf_counter() - began) / count)
        return found


def mix(quick: bool) -> None:
    """Jobs of all protocols; the servers of the lab are in the same process, and take most of the time."""
    print("| jobs over a Client, servers in the same process | ms each | failed |\n|---|--:|--:|")
    for name, (failed, seconds) in asyncio.run(_all_protocols(100 if quick else 1000)).items():
        print(f"| {name} | {seconds * 1e3:.2f} | {failed} |", flush=True)


def _good_and_bad(nginx: Nginx, closed: int, count: int) -> Iterator[str]:
    """Of ten URLs six are good; one is not there, one refuses for now, one has no server, one is no URL."""
    good, status = nginx.http + nginx.file(SIZE), f"{nginx.http}/status"
    for number in range(count):
        kinds = {6: f"{status}/404", 7: f"{status}/500", 8: f"http://127.0.0.1:{closed}/", 9: "http://127.0.0.1:x/"}
        yield f"{kinds.get(number % 10, good)}?n={number}"


async def _by_jobs(urls: list[str]) -> str:
    ended = Counter(
        "ok"
        if outcome.error is None
        else f"{type(outcome.error).__name__} {getattr(outcome.error, 'code', '')}".strip()
        for outcome in await jobs.run(urls)
    )
    return ", ".join(f"{number} {name}" for name, number in ended.most_common())


async def _by_gather(urls: list[str]) -> str:
    gate, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(session: aiohttp.ClientSession, url: str) -> None:
        nonlocal done
        async with gate, session.get(url) as response:
            response.raise_for_status()
            await response.read()
            done += 1

    async with aiohttp.ClientSession() as session:
        try:
            await asyncio.gather(*(one(session, url) for url in urls))
        except Exception as error:
            return f"{done} had been fetched when the first error ended it: {type(error).__name__}"
    return f"{done} fetched"


def bad(quick: bool) -> None:
    """What each makes of the same URLs, good and bad."""
    count = 100 if quick else 1000
    print(f"| {count} URLs: 60 % good, 10 % each 404, 500, refused, no URL | said | exit status |\n|---|---|--:|")
    with Nginx() as nginx, TemporaryDirectory() as folder, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        urls = list(_good_and_bad(nginx, unused.getsockname()[1], count))
        for name, way in (("asyncnet", _by_jobs), ("gather + semaphore", _by_gather)):
            print(f"| {name} | {asyncio.run(way(urls))} | |", flush=True)
        listed = Path(folder) / "urls"
        listed.write_text("".join(f"{url}\n" for url in urls))
        config = Path(folder) / "curl"
        config.write_text("".join(f'url = "{url}"\noutput = "{folder}/{n}"\n' for n, url in enumerate(urls)))
        for name, command in {
            "asyncnet fetch": ["asyncnet", "fetch", "-i", str(listed), "--output", "json", "-q"],
            "curl -Zf": ["curl", "-sZf", "--parallel-max", str(AT_ONCE), "-K", str(config)],
            "aria2c": ["aria2c", "-q", f"-j{AT_ONCE}", "-d", folder, "-i", str(listed)],
            "wget2": ["wget2", "-q", f"--max-threads={AT_ONCE}", "-P", folder, "-i", str(listed)],
        }.items():
            if shutil.which(command[0]) is None:
                print(f"| {name} | is not installed | |", flush=True)
                continue
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            lines = done.stdout.count("\n"), done.stderr.count("\n")
            kept = sum(1 for file in Path(folder).rglob("*") if file.is_file()) - 2
            print(f"| {name} | {lines[0]} lines, {lines[1]} of errors; {kept} files | {done.returncode} |", flush=True)
            for file in Path(folder).rglob("*"):
                if file.is_file() and file not in (listed, config):
                    file.unlink()
