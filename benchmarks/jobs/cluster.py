"""Measure a run over many machines: `python -m benchmarks.jobs.cluster [--quick] [--only SECTION]`.

Sections: `kill` (two workers fetch, one is killed with -9), `workers` (GETs a second without a cluster, with 1 and with
2 workers), `leases` (no-op jobs: what home and scheduler carry), `journal` (what the journal at home carries). Home,
scheduler and workers share this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncnet import jobs
from benchmarks.jobs.leasable import no_op, pid
from benchmarks.jobs.process import serving

_HOSTS = 16
_LIMIT = 64


def _urls(port: str, count: int) -> list[str]:
    return [f"http://127.0.0.{1 + number % _HOSTS}:{port}/{number}" for number in range(count)]


async def killed(port: str, count: int) -> None:
    """Fetch with two workers, and kill one when a third is done."""
    source: list[jobs.Job[int] | str] = [jobs.call(pid, name="pid"), *_urls(port, count)]
    found: Counter[str] = Counter()
    failed, victim = 0, 0
    began = time.perf_counter()
    async for outcome in jobs.as_completed(source, limit=_LIMIT, cluster=jobs.Cluster(workers=2)):
        found[outcome.name] += 1
        failed += not outcome.ok
        if outcome.name == "pid":
            victim = outcome.result()
        if victim and found.total() > count // 3:
            os.kill(victim, signal.SIGKILL)
            print(f"killed {victim} after {found.total()}")
            victim = 0
    lost = [url for url in source[1:] if found[str(url)] != 1]
    print(f"{found.total() - 1} outcomes, {len(lost)} lost or doubled, {failed} failed, "
          f"{time.perf_counter() - began:.1f} s with the start of the workers")  # fmt: skip


async def fetched(port: str, count: int, workers: int) -> tuple[float, float]:
    """Give the GETs a second, from the first outcome on, and the CPU microseconds that home took for each."""
    where = jobs.Cluster(workers=workers) if workers else None
    began = cpu = 0.0
    done = 0
    async for outcome in jobs.as_completed(_urls(port, count), limit=_LIMIT, cluster=where):
        outcome.result()
        done += 1
        if not began:
            began, cpu = time.perf_counter(), time.process_time()
    return done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6


async def leased(count: int, batch: int) -> tuple[float, float]:
    """Give no-op jobs a second, and the CPU microseconds that home and scheduler took for each."""
    source = (jobs.call(no_op, number, name=str(number)) for number in range(count))
    began = cpu = 0.0
    async for _ in jobs.as_completed(source, limit=_LIMIT, cluster=jobs.Cluster(workers=2, batch=batch)):
        if not began:
            began, cpu = time.perf_counter(), time.process_time()
    return count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6


async def journalled(count: int) -> None:
    """Tell what a journal carries: events a second, bytes a job, and how long it takes to go on with it."""
    with TemporaryDirectory() as name:
        journal = await jobs.Journal.open(Path(name) / "run")
        began, cpu = time.perf_counter(), time.process_time()
        outcome = jobs.Outcome("x", 1, None, 1, 0.001)
        for number in range(count):
            job = jobs.call(no_op, number, name=f"https://example.org/some/page/{number}")
            journal.asked(job)
            journal.began(job, 1)
            journal.ended(job, outcome)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await journal.aclose()
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        size = sum(path.stat().st_size for path in (Path(name) / "run").iterdir())
        print(
            f"{count} jobs, {count / seconds:.0f} a second, {used / count * 1e6:.1f} µs CPU "
            f"and {size / count:.0f} bytes each"
        )
        began = time.perf_counter()
        journal = await jobs.Journal.open(Path(name) / "run", resume=True)
        print(f"opened again in {time.perf_counter() - began:.2f} s, {journal.ended_before} had ended")
        await journal.aclose()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs.cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller numbers: does it all work?")
    parser.add_argument("--only", action="append", choices=("kill", "workers", "leases", "journal"))
    asked = parser.parse_args()
    sections = asked.only or ["kill", "workers", "leases", "journal"]
    scale = 10 if asked.quick else 1
    with serving("fast") as port:
        if "kill" in sections:
            asyncio.run(killed(port, 20_000 // scale))
        if "workers" in sections:
            for workers in (0, 1, 2):
                rate, cpu = asyncio.run(fetched(port, 10_000 // scale, workers))
                print(f"{workers or 'no'} workers: {rate:.0f} GETs a second, {cpu:.0f} µs CPU at home", flush=True)
    if "leases" in sections:
        for batch in (100, 400):
            rate, cpu = asyncio.run(leased(50_000 // scale, batch))
            print(f"batches of {batch}: {rate:.0f} no-op jobs a second, {cpu:.0f} µs CPU at home", flush=True)
    if "journal" in sections:
        asyncio.run(journalled(1_000_000 // scale))


if __name__ == "__main__":
    main()
