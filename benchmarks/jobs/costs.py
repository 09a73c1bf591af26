"""What a job costs: CPU, rate and memory, of no-op jobs and of GETs, by each way and each program."""

from __future__ import annotations

import functools
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.jobs.gets import NO_OPS, SIZE, WAYS
from benchmarks.jobs.page import head
from benchmarks.jobs.process import Failed, TooLong, done, scratch
from benchmarks.jobs.programs import GETS, missing
from tests.real.nginx import Nginx

MOST_SECONDS = 240.0
"""for one run of one way; what would take more is left out, and that is said"""
_PROBE = 2000
"""GETs that tell how long more of them would take"""
_HAND = "aiohttp by hand"
_LARGE = ("asyncnet", "asyncnet, limits", "asyncnet, all on", _HAND, "aiohttp, gather")


class Cost(NamedTuple):
    """What one run took: seconds of wall-clock and of CPU, and the highest resident size in MiB."""

    seconds: float
    cpu: float
    rss: float


Runner = Callable[[int], Cost]


def timed(way: str, url: str, count: int) -> Cost:
    """Run one way in a process of its own, which times itself."""
    return _own_time([sys.executable, "-m", "benchmarks.jobs.gets", way, url, str(count)])


def _own_time(words: list[str]) -> Cost:
    return Cost(*json.loads(done(words, MOST_SECONDS).out))


def _by_program(program: str, nginx: Nginx, url: str, count: int) -> Cost:
    """Run another program, and see that the server was asked for all of it."""
    with scratch() as folder:
        words = GETS[program](url, count, folder)
        if program == "Scrapy":
            return _own_time(words)
        before = _requests(nginx)
        ended = done(words, MOST_SECONDS)
    if (asked := _requests(nginx) - before) < count:
        raise Failed(f"{program}: {asked} requests of {count}")
    return Cost(ended.seconds, ended.cpu, ended.rss)


def _requests(nginx: Nginx) -> int:
    """Count what the server was asked for; its log would be too long to be read as a whole."""
    with open(nginx.folder / "access.log", "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(functools.partial(file.read, 1 << 20), b""))


def noop(quick: bool) -> Iterator[str]:
    """CPU a no-op job, and memory, at growing numbers."""
    counts, rounds = ((2_000, 20_000), 1) if quick else ((20_000, 200_000, 1_000_000), 3)
    yield head("no-op jobs", "number", "µs CPU a job", "peak MiB")
    for count in counts:
        found: dict[str, list[Cost]] = {way: [] for way in NO_OPS}
        for _ in range(rounds if count < counts[-1] else 1):
            for way, costs in found.items():
                costs.append(timed(way, "-", count))
        for way, costs in found.items():
            _, cpu, rss = _median(costs)
            yield f"| {way} | {count:,} | {cpu / count * 1e6:.2f} | {rss:.0f} |"


def gets(quick: bool) -> Iterator[str]:
    """20,000 GETs of 1 KiB from nginx by each way and program, rounds interleaved."""
    return _gets(2_000 if quick else 20_000, 1 if quick else 3, tuple(WAYS))


def gets200k(quick: bool) -> Iterator[str]:
    """200,000 of them, once each."""
    return _gets(4_000 if quick else 200_000, 1, _LARGE)


def gets1m(quick: bool) -> Iterator[str]:
    """1,000,000 of them, once each."""
    return _gets(8_000 if quick else 1_000_000, 1, _LARGE)


def _gets(count: int, rounds: int, ways: tuple[str, ...]) -> Iterator[str]:
    yield head(f"{count:,} GETs", "a second", "of by hand", "µs CPU each", "peak MiB")
    with Nginx() as nginx:
        url = nginx.http + nginx.file(SIZE)
        runners: dict[str, Runner] = {way: functools.partial(timed, way, url) for way in ways}
        for program in GETS:
            if missing(program):
                yield f"| {program} | is not installed: left out | | | |"
            else:
                runners[program] = functools.partial(_by_program, program, nginx, url)
        found: dict[str, list[Cost]] = {name: [] for name in runners}
        told: dict[str, str] = {}
        for _ in range(rounds):
            for name, runner in runners.items():
                if name not in told:
                    _measure(name, runner, count, found[name], told)
        for name, costs in found.items():
            if name in told:
                yield f"| {name} | {told[name]} | | | |"
                continue
            seconds, cpu, rss = _median(costs)
            share = _share(found[_HAND], costs)
            yield f"| {name} | {count / seconds:,.0f} | {share} | {cpu / count * 1e6:.0f} | {rss:.0f} |"


def _measure(name: str, runner: Runner, count: int, costs: list[Cost], told: dict[str, str]) -> None:
    """Run one way, unless it would take too long; `told` then says so."""
    try:
        if count > 20_000 and (needed := runner(_PROBE).seconds / _PROBE * count) > MOST_SECONDS:
            told[name] = f"left out: about {needed / 60:.0f} minutes"
        else:
            costs.append(runner(count))
            print(f"{name}: {costs[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    except TooLong:
        told[name] = f"left out: more than {MOST_SECONDS:.0f} s"
    except Failed as failed:
        print(failed, file=sys.stderr, flush=True)
        told[name] = f"failed: {str(failed).splitlines()[0][:80]}"


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def _share(hand: list[Cost], costs: list[Cost]) -> str:
    """Compare rates, round by round."""
    shares = sorted(one.seconds / other.seconds for one, other in zip(hand, costs, strict=False))
    if not shares:
        return "–"
    spread = f" ({shares[0]:.2f} to {shares[-1]:.2f})" if len(shares) > 1 else ""
    return f"{statistics.median(shares):.2f}{spread}"
