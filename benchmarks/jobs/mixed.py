"""Jobs of all protocols in one run, and the same by hand: `python -m benchmarks.jobs.mixed WAY PROTOCOL PORTS COUNT`.

Prints seconds, CPU seconds and peak MiB, as JSON. The servers are those of `tests/jobs/site.py`, in a process of their
own.
"""

from __future__ import annotations

import asyncio
import json
import poplib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle, islice
from typing import Any

import aiohttp
import aioimaplib  # type: ignore[import-untyped]
import aiosmtplib

from asyncnet import Credentials, jobs
from asyncnet.client import Client
from benchmarks.jobs.gets import AT_ONCE
from benchmarks.jobs.page import head
from benchmarks.jobs.process import done, highest_rss, serving

_MAIL = b"From: me@example.org\r\nTo: me@example.org\r\nSubject: hello\r\n\r\nbody\r\n"
_SENDER, _RECIPIENT = "me@example.org", "a@elsewhere.example"
_ME = Credentials("me", "secret")
_HOST = "127.0.0.1"
_SECONDS = 120.0

Ports = dict[str, int]

# By jobs


def _makers(ports: Ports) -> dict[str, Callable[[], jobs.Job[Any]]]:
    url = {name: f"{name}://{_HOST}:{port}" for name, port in ports.items()}
    return {
        "http": lambda: jobs.fetch(f"{url['http']}/page"),
        "tcp": lambda: jobs.exchange(url["tcp"], b"ping\n", until=b"\n"),
        "smtp": lambda: jobs.send(_MAIL, url["smtp"], sender=_SENDER, recipients=_RECIPIENT),
        "imap": lambda: jobs.fetch(f"{url['imap']}/INBOX", _ME),
        "pop3": lambda: jobs.fetch(url["pop3"], _ME),
    }


async def by_jobs(protocols: list[str], ports: Ports, count: int) -> None:
    """A run over a Client."""
    makers = _makers(ports)
    source = (makers[name]() for name in islice(cycle(protocols), count))
    async with Client(per_host=AT_ONCE, max_sessions=len(ports) * AT_ONCE) as client:
        async for outcome in jobs.as_completed(source, limit=AT_ONCE, per_host=AT_ONCE, client=client):
            outcome.result()


# By hand


class Hand:
    """One of the workers, with connections of its own that it keeps; sockets and maildrops are opened each time."""

    def __init__(self, web: aiohttp.ClientSession, ports: Ports) -> None:
        self._web = web
        self._ports = ports
        self._smtp: aiosmtplib.SMTP | None = None
        self._imap: aioimaplib.IMAP4 | None = None
        self.does: dict[str, Callable[[], Awaitable[Any]]] = {
            "http": self.http,
            "tcp": self.tcp,
            "smtp": self.smtp,
            "imap": self.imap,
            "pop3": self.pop3,
        }

    async def http(self) -> bytes:
        async with self._web.get(f"http://{_HOST}:{self._ports['http']}/page") as response:
            response.raise_for_status()
            return await response.read()

    async def tcp(self) -> bytes:
        reader, writer = await asyncio.open_connection(_HOST, self._ports["tcp"])
        try:
            writer.write(b"ping\n")
            return await reader.readuntil(b"\n")
        finally:
            writer.close()

    async def smtp(self) -> None:
        if self._smtp is None:
            self._smtp = aiosmtplib.SMTP(hostname=_HOST, port=self._ports["smtp"], start_tls=False)
            await self._smtp.connect()
        await self._smtp.sendmail(_SENDER, [_RECIPIENT], _MAIL)

    async def imap(self) -> bytes:
        if self._imap is None:
            self._imap = aioimaplib.IMAP4(_HOST, self._ports["imap"])
            await self._imap.wait_hello_from_server()
            await self._imap.login("me", "secret")
        await self._imap.select("INBOX")
        found = await self._imap.uid_search("ALL")
        fetched = await self._imap.uid("fetch", found.lines[0].decode(), "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        if fetched.result != "OK":
            raise SystemExit(f"imap: {fetched}")
        return bytes(fetched.lines[1])

    async def pop3(self) -> bytes:
        return await asyncio.to_thread(_maildrop, self._ports["pop3"])

    async def aclose(self) -> None:
        if self._smtp is not None:
            await self._smtp.quit()
        if self._imap is not None:
            await self._imap.logout()


def _maildrop(port: int) -> bytes:
    client = poplib.POP3(_HOST, port)
    client.user("me")
    client.pass_("secret")
    numbers = [int(line.split()[0]) for line in client.list()[1]]
    found = b"\r\n".join(line for number in numbers for line in client.retr(number)[1])
    client.quit()
    return found


async def by_hand(protocols: list[str], ports: Ports, count: int) -> None:
    """Workers over one iterator: aiohttp, asyncio's streams, aiosmtplib, aioimaplib, and poplib in threads."""
    left = islice(cycle(protocols), count)

    async def work(web: aiohttp.ClientSession) -> None:
        hand = Hand(web, ports)
        for name in left:
            await hand.does[name]()
        await hand.aclose()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as web:
        await asyncio.gather(*(work(web) for _ in range(AT_ONCE)))


_WAYS = {"jobs over a Client": by_jobs, "by hand": by_hand}


def mix(quick: bool) -> Iterator[str]:
    """Jobs of all protocols, each alone and by turns, beside the same written by hand."""
    count, rounds = (200, 1) if quick else (4_000, 3)
    yield head(f"{count:,} jobs, {AT_ONCE} at once", "µs CPU a job", "by hand", "ms a job", "by hand")
    with serving(module="tests.jobs.site") as line:
        protocols = list(_makers(ports := json.loads(line)))
        for name, chosen in [*((one, [one]) for one in protocols), ("all by turns", protocols)]:
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in _WAYS}
            for _ in range(rounds):
                for way, costs in found.items():
                    words = [sys.executable, "-m", "benchmarks.jobs.mixed", way, ",".join(chosen)]
                    seconds, cpu, _ = json.loads(done([*words, json.dumps(ports), str(count)], _SECONDS).out)
                    costs.append((seconds, cpu))
            ours, hand = (
                [statistics.median(column) / count for column in zip(*costs, strict=True)] for costs in found.values()
            )
            figures = f"{ours[1] * 1e6:.0f} | {hand[1] * 1e6:.0f} | {ours[0] * 1e3:.2f} | {hand[0] * 1e3:.2f}"
            yield f"| {name} | {figures} |"


def main() -> None:
    """Do it one way, and print what it took."""
    way, protocols, ports, count = sys.argv[1:]
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(_WAYS[way](protocols.split(","), json.loads(ports), int(count)))
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, highest_rss()]))


if __name__ == "__main__":
    main()
