"""Examples/service.py through very many calls, watched from inside: python -m tests.service_child COUNT URL...

Prints as JSON lines, after each hundredth part of the calls: how many were made, and after each tenth part what the
process holds (resident KiB, descriptors, threads, tasks); at last what was done and what failed.
"""

import asyncio
import gc
import json
import os
import sys
import threading
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from asyncnet import Client
from examples.service import Service, key

_WORKERS = 16

EXPECTED = {"ConnectError", "DisconnectedError", "IncompleteRead", "RefusedError", "AuthenticationError"}
"""what a restart may cost: each call that was under way or found nobody there fails in one of these ways"""


def held() -> dict[str, int]:
    """What the process holds now."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rss": int(status["VmRSS"].removesuffix("kB")),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
    }


def judge(told: list[dict[str, Any]], calls: int) -> None:
    """Assert, of what a child told, that every call ended as it may, and that nothing leaked."""
    tenths, last = [one for one in told if "rss" in one], told[-1]
    assert sum(last["done"].values()) + sum(last["failed"].values()) == calls
    assert {kind.split()[1] for kind in last["failed"]} <= EXPECTED
    assert set(last["done"]) == {"http", "tcp", "imap", "smtp", "pop3"}
    assert sum(last["done"].values()) > calls * 0.5
    assert last["tasks"] == 1
    assert last["descriptors"] <= 16
    assert last["threads"] <= 4  # idle lookup threads, which are daemons
    warm, *later = [one["rss"] for one in tenths[:10]]
    assert max(later) - warm <= 10 * 1024
    assert max(one["descriptors"] for one in tenths) <= 120
    assert max(one["threads"] for one in tenths) <= 40


async def main(count: int, report_to: str, urls: list[str]) -> None:
    """Make the calls, spread evenly over the URLs, by some workers at once."""
    async with Client(timeout=20.0, credentials=key, per_host=_WORKERS) as client:
        service = Service(client, report_to)
        calls, step = islice(enumerate(cycle(urls), 1), count), max(1, count // 100)

        async def worker() -> None:
            for number, url in calls:
                await service.ask(url)
                if number % step == 0:
                    tell = held() if number % (10 * step) == 0 else {}
                    print(json.dumps({"calls": number, **tell}), flush=True)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(worker())
    # What was waiting for its end in the background has a moment for it.
    await asyncio.sleep(0.1)
    print(json.dumps({"done": service.done, "failed": service.failed, **held()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
