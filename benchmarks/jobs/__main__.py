"""Measure the jobs: `python -m benchmarks.jobs [--quick] [--only SECTION]`.

Sections: `noop`, `gets` (from nginx, also by other programs), `mix` over all protocols, `bad` (good and
bad URLs), `adaptive`, and `ten`, a host that allows 10 requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncnet import jobs
from benchmarks.jobs.gets import AT_ONCE, NO_OPS, SIZE, WAYS
from benchmarks.jobs.mixed import bad, mix
from tests.real.nginx import Nginx

_FIXED = (1, 4, 8, 16, 32, 64, 128)


@contextlib.contextmanager
def serving(kind: str) -> Iterator[int]:
    """Run a server; give its port."""
    command = [sys.executable, "-m", "benchmarks.jobs.server", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()


def timed(way: str, url: str, count: int) -> tuple[float, float, float]:
    """Run one way in a process of its own; give seconds, CPU seconds and peak MiB."""
    command = [sys.executable, "-m", "benchmarks.jobs.gets", way, url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu, peak = json.loads(done.stdout)
    return seconds, cpu, peak / 1024


def noop(quick: bool) -> None:
    """CPU a no-op job, and memory, at growing numbers."""
    print("| no-op jobs | number | µs CPU a job | peak MiB |\n|---|--:|--:|--:|")
    for way in NO_OPS:
        for count in (20_000, 200_000) if quick else (20_000, 200_000, 1_000_000):
            _, cpu, peak = timed(way, "-", count)
            print(f"| {way} | {count} | {cpu / count * 1e6:.2f} | {peak:.0f} |", flush=True)


def gets(quick: bool) -> None:
    """GETs of 1 KiB from nginx by each way, rounds interleaved; each URL is another."""
    count, rounds = (2_000, 1) if quick else (20_000, 3)
    print("| 1 KiB GETs | a second | µs CPU each | peak MiB | of by hand |\n|---|--:|--:|--:|--:|")
    with Nginx() as nginx:
        url = nginx.http + nginx.file(SIZE)
        figures: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                figures[way].append(timed(way, url, count))
        best = statistics.median(one[0] for one in figures["aiohttp by hand"])
        for way, found in figures.items():
            seconds, cpu, peak = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"| {way} | {count / seconds:.0f} | {cpu / count * 1e6:.0f} | {peak:.0f} | {best / seconds:.2f} |")
        for name, seconds in programs(url, count):
            print(f"| {name} | {count / seconds:.0f} | | | {best / seconds:.2f} |", flush=True)


def programs(url: str, count: int) -> Iterator[tuple[str, float]]:
    """Time other programs at the same; those that are not here are left out with a word."""
    with TemporaryDirectory() as name:
        listed = Path(name) / "urls"
        listed.write_text("".join(f"{url}?n={number}\n" for number in range(count)))
        commands = {
            "curl": ["curl", "-sZ", "--parallel-max", str(AT_ONCE), "-o", "/dev/null", f"{url}?[1-{count}]"],
            "aria2c": ["aria2c", "-q", f"-j{AT_ONCE}", "-d", name, "--allow-overwrite=true", "-i", str(listed)],
            "wget2": ["wget2", "-q", f"--max-threads={AT_ONCE}", "-O", "/dev/null", "-i", str(listed)],
        }
        for program, command in commands.items():
            if shutil.which(program) is None:
                print(f"{program} is not installed: left out", file=sys.stderr)
                continue
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            yield program, time.perf_counter() - began


async def rate_at(port: int, seconds: float, skipped: float, per_host: int | jobs.Adaptive) -> float:
    """Give the GETs a second after so many seconds have been skipped."""
    began = time.perf_counter()
    counted = 0
    source = repeat(f"http://127.0.0.1:{port}/")
    async with contextlib.aclosing(jobs.as_completed(source, limit=_FIXED[-1], per_host=per_host)) as outcomes:
        async for outcome in outcomes:
            outcome.result()
            passed = time.perf_counter() - began
            counted += passed >= skipped
            if passed > seconds:
                break
    return counted / (seconds - skipped)


def adaptive(quick: bool) -> None:
    """Adaptive concurrency after five seconds, against each fixed number."""
    scale = 0.3 if quick else 1.0
    print("| server | best fixed | adaptive | ratio |\n|---|--:|--:|--:|")
    for kind in ("fast", "wait", "slots"):
        with serving(kind) as port:
            fixed = {number: asyncio.run(rate_at(port, 2.0 * scale, 0.5 * scale, number)) for number in _FIXED}
            found = asyncio.run(rate_at(port, 8.0, 5.0, jobs.Adaptive()))
        best = max(fixed, key=fixed.__getitem__)
        print(f"| {kind} | {fixed[best]:.0f} (at {best}) | {found:.0f} | {found / fixed[best]:.2f} |", flush=True)


async def beside(fast: int, ten: int | None, seconds: float, rate: jobs.Rate | None) -> float:
    """Fetch from a fast host, and beside it from one that allows 10 a second; give what the fast one gave a second."""
    retry, end, counted = jobs.Retry(attempts=8), time.perf_counter() + seconds, 0

    def source() -> Iterator[jobs.Job[object]]:
        number = 0
        while time.perf_counter() < end:
            number += 1
            yield jobs.fetch(f"http://127.0.0.2:{fast}/")
            if ten is not None and number % 200 == 0:
                yield jobs.fetch(f"http://127.0.0.1:{ten}/", retry=retry)

    async with contextlib.aclosing(jobs.as_completed(source(), limit=32, rate=rate)) as outcomes:
        async for outcome in outcomes:
            counted += "127.0.0.2" in outcome.name
            if time.perf_counter() > end:
                break
    return counted / seconds


def ten(quick: bool) -> None:
    """A host that allows 10 requests a second, with and without being told, beside a fast one."""
    seconds = 6.0 if quick else 20.0
    print("| | granted a second | refused | fast host, of alone |\n|---|--:|--:|--:|")
    with serving("fast") as fast:
        alone = asyncio.run(beside(fast, None, seconds / 2, None))
        for name, rate in (("rate=10", jobs.Rate(per_host={"127.0.0.1": 10})), ("Retry-After alone", None)):
            with serving("ten") as port:
                quick_host = asyncio.run(beside(fast, port, seconds, rate))
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
                    granted, refused = json.load(answer)
            part = refused / (granted + refused)
            print(f"| {name} | {granted / seconds:.2f} | {part:.1%} | {quick_host / alone:.2f} |", flush=True)


SECTIONS = {"noop": noop, "gets": gets, "mix": mix, "bad": bad, "adaptive": adaptive, "ten": ten}


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller numbers: does it all work?")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="one section")
    asked = parser.parse_args()
    for name, section in SECTIONS.items():
        if not asked.only or name in asked.only:
            section(asked.quick)
            print()


if __name__ == "__main__":
    main()
