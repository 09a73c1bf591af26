"""HTTP against its peers, on nginx: `python -m benchmarks.http [--quick] [--rounds N] [--only SECTION,...]`.

The rounds are interleaved: each client does one piece of work in turn, so that whatever else the machine does meets all
alike, and medians are told. Instructions are counted by valgrind, as the difference of two runs that differ in nothing
but the number of requests; they are the same on a busy machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.real.nginx import Nginx

MIB = 1024 * 1024
RUN_SECONDS = 300.0
KINDS = (
    "asyncnet",
    "asyncnet+uvloop",
    "asyncnet.http",
    "aiohttp",
    "aiohttp+uvloop",
    "httpx",
    "niquests",
    "requests",
    "pycurl",
)
"""what is compared: `asyncnet` is a Client with its defaults, `asyncnet.http` the session that is under it"""
_COUNTED = ("asyncnet", "asyncnet.http", "aiohttp")
_COLLECTED = re.compile(r"Collected : (\d+)")


class Load(NamedTuple):
    """One kind of work: what, of how many bytes, how often, by how many workers, and over TLS or not."""

    section: str
    label: str
    work: str
    size: int
    count: int
    workers: int
    tls: bool = False


LOADS = (
    Load("get1k", "GET 1 KiB", "get", 1024, 20_000, 64),
    Load("get100k", "GET 100 KiB", "get", 100 * 1024, 3000, 64),
    Load("get10m", "GET 10 MiB", "get", 10 * MIB, 40, 8),
    Load("disk", "200 MiB to disk", "disk", 200 * MIB, 1, 1),
    Load("post", "POST a form", "post", 0, 10_000, 64),
    Load("tls", "GET 1 KiB, TLS", "get", 1024, 10_000, 64, True),
)
SECTIONS = (*(load.section for load in LOADS), "others", "instructions")


class Result(NamedTuple):
    """What one run came to; times in seconds, memory in MiB."""

    seconds: float
    cpu: float
    rss: float


def url_of(nginx: Nginx, load: Load) -> str:
    """Give where the work is."""
    path = "/seen" if load.work == "post" else nginx.file(load.size)
    return (nginx.https if load.tls else nginx.http) + path


def run(kind: str, load: Load, nginx: Nginx, folder: Path, count: int) -> Result | None:
    """Let one client do it; None where it cannot."""
    command = [sys.executable, "-m", "benchmarks.http.clients", kind, load.work, url_of(nginx, load)]
    environ = {**os.environ, "PYTHONHASHSEED": "0", "BENCH_CA": str(nginx.ca) if load.tls else ""}
    environ["BENCH_PATH"] = str(folder / f"{kind}.bin")
    try:
        done = subprocess.run(
            [*command, str(count), str(load.workers)], env=environ, capture_output=True, text=True, timeout=RUN_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    finally:
        (folder / f"{kind}.bin").unlink(missing_ok=True)
    if done.returncode:
        print(f"{kind}, {load.label}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout)
    if load.size and found["bytes"] != load.size * count:
        print(f"{kind}, {load.label}: {found['bytes']} bytes came, not {load.size * count}", file=sys.stderr)
        return None
    return Result(found["seconds"], found["cpu"], found["rss"] / 1024)


def instructions(kind: str, nginx: Nginx, few: int, many: int) -> float | None:
    """Count the user instructions of one GET of 1 KiB, in thousands."""
    counts = []
    for count in (few, many):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
        words = ["-m", "benchmarks.http.clients", kind, "get", nginx.http + nginx.file(1024), str(count), "64"]
        try:
            done = subprocess.run(
                [*command, *words],
                env={**os.environ, "PYTHONHASHSEED": "0"},
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return None
        found = _COLLECTED.search(done.stderr)
        if found is None:
            return None
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (many - few) / 1000


def other_program(words: list[str]) -> str | None:
    """Run a program that is no Python, and give its seconds of CPU; None where it is not installed."""
    if shutil.which(words[0]) is None:
        return None
    before = os.times()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=RUN_SECONDS, check=False)
    after = os.times()
    return f"{after[2] + after[3] - before[2] - before[3]:.2f} s of CPU, {after[4] - before[4]:.2f} s"


def table(load: Load, count: int, results: dict[str, list[Result]]) -> None:
    """Print one table; the rate and the CPU beside those of raw aiohttp."""
    print(f"\n{load.label}, {count} times, {load.workers} at once; medians of {max(map(len, results.values()))}")
    print(f"{'':18}{'µs CPU each':>13}{'each s':>10}{'RSS MiB':>9}{'rate / aiohttp':>16}{'CPU / aiohttp':>15}")
    raw = results.get("aiohttp")
    for kind, runs in results.items():
        if not runs:
            print(f"{kind:18}{'–':>13}")
            continue
        seconds, cpu, rss = (statistics.median(column) for column in zip(*runs, strict=True))
        line = f"{kind:18}{cpu / count * 1e6:13.0f}{count / seconds:10.1f}{rss:9.0f}"
        if raw:
            rate = statistics.median(one.seconds for one in raw) / seconds
            line += f"{rate:16.2f}{cpu / statistics.median(one.cpu for one in raw):15.2f}"
        print(line)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--kinds", default=",".join(KINDS))
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    kinds = [kind for kind in given.kinds.split(",") if _is_there(kind)]
    sections = given.only.split(",")
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder, Nginx() as nginx:
        for load in LOADS:
            if load.section not in sections:
                continue
            count = max(1, load.count // 10) if given.quick else load.count
            results: dict[str, list[Result]] = {kind: [] for kind in kinds}
            for _ in range(rounds):
                for kind in kinds:
                    if (result := run(kind, load, nginx, Path(folder), count)) is not None:
                        results[kind].append(result)
            table(load, count, results)
        if "others" in sections:
            _others(nginx, given.quick)
        if "instructions" in sections and shutil.which("valgrind"):
            _instructions(nginx, given.quick)


def _is_there(kind: str) -> bool:
    library, _, loop = kind.partition("+")
    return importlib.util.find_spec(library) is not None and (not loop or importlib.util.find_spec(loop) is not None)


def _others(nginx: Nginx, quick: bool) -> None:
    count = 2000 if quick else 20_000
    url = nginx.http + nginx.file(1024)
    print(f"\nFor scale, {count} GETs of 1 KiB:")
    curl = ["curl", "-sZ", "--parallel-max", "64", "-o", "/dev/null", f"{url}?[1-{count}]"]
    for words in (curl, ["wrk", "-t", "1", "-c", "64", "-d", "2s", url]):
        print(f"  {words[0]:8} {other_program(words) or 'is not installed'}")


def _instructions(nginx: Nginx, quick: bool) -> None:
    print("\nThousand user instructions for a GET of 1 KiB (valgrind):")
    few, many = (300, 1300) if quick else (300, 5300)
    found = {kind: instructions(kind, nginx, few, many) for kind in _COUNTED}
    for kind, value in found.items():
        print(f"  {kind:14} {'–' if value is None else f'{value:.1f}'}")
    ours, raw = found["asyncnet"], found["aiohttp"]
    if ours is not None and raw is not None:
        print(f"  asyncnet / aiohttp {ours / raw:.3f} (the bar is 1.10)")


if __name__ == "__main__":
    main()
