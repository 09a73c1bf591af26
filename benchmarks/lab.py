"""How much the lab does: its start and end, mails taken by SMTP and given by POP3, the client in a process of its own.

    python -m benchmarks.lab [--mails 4000] [--connections 8]

Prints JSON: seconds to start and stop (median of 50), deliveries and retrievals a second.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time

from asyncnet import pop3, smtp
from asyncnet.lab import Lab

MAIL = b"From: a@example.com\r\nTo: me@example.org\r\nSubject: note\r\n\r\n" + b"A line of some text.\r\n" * 140
TO = {"sender": "a@example.com", "recipients": ["me@example.org"]}


async def life() -> tuple[float, float]:
    """Median seconds of start and stop."""
    starts, stops = [], []
    for _ in range(50):
        began = time.perf_counter()
        lab = Lab()
        await lab.start()
        started = time.perf_counter()
        await lab.aclose()
        starts.append(started - began)
        stops.append(time.perf_counter() - started)
    return statistics.median(starts), statistics.median(stops)


async def client(what: str, url: str, mails: int, connections: int) -> float:
    """Do the work; its seconds."""
    if what == "pop3":
        from asyncnet import Credentials

        began = time.perf_counter()
        assert len(await pop3.fetch(url, Credentials("me", "secret"), timeout=120.0, max_messages=mails)) == mails
        return time.perf_counter() - began

    async def some() -> None:
        async with smtp.session(url) as session:
            for _ in range(mails // connections):
                await session.send(MAIL, **TO)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(some())
    return time.perf_counter() - began


async def in_process(what: str, url: str, mails: int, connections: int) -> float:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.lab", "--client", what, url, f"--mails={mails}"]
    process = await asyncio.create_subprocess_exec(
        *command, f"--connections={connections}", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return float(said)


async def main(mails: int, connections: int) -> None:
    """Measure, and print."""
    start, stop = await life()
    async with Lab() as lab:
        sending = await in_process("smtp", lab.smtp.url, mails, connections)
        assert len(lab.sent) == len(lab.mailbox()) == mails
        fetching = await in_process("pop3", lab.pop3.url, mails, connections)
    result = {
        "start_seconds": round(start, 5),
        "stop_seconds": round(stop, 5),
        "smtp_deliveries_per_second": round(mails / sending),
        "pop3_messages_per_second": round(mails / fetching),
        "message_bytes": len(MAIL),
        "connections": connections,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mails", type=int, default=4000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--client", nargs=2, metavar=("WHAT", "URL"))
    given = parser.parse_args()
    if given.client:
        print(asyncio.run(client(*given.client, given.mails, given.connections)))
    else:
        asyncio.run(main(given.mails, given.connections))
