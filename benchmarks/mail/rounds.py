"""Rounds: each client in a process of its own, one after the other, round after round; the medians of it.

What a process took is read from the kernel's accounts (wait4): CPU and the highest resident size. A client that is a
Python program times itself between its imports and its end, by `measured()`; any other is timed as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
_SAYS = "RESULT "
_MOST_SECONDS = 1800.0

# The kernel counts into a process's highest size what its parent held when it was forked; so each is forked by a bare
# interpreter of some 9 MiB, and not by the one that holds the corpus and the servers.
_LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
taken = time.perf_counter() - start
found = [os.waitstatus_to_exitcode(status), taken, used.ru_utime + used.ru_stime, used.ru_maxrss]
print("\\nUSED " + json.dumps(found))
"""


class Failed(Exception):
    """A client did not do its part."""


class Sample(NamedTuple):
    """What one run took, or the median of several.

    Args:
        seconds: of wall-clock.
        cpu: seconds, of user and system.
        rss: the highest resident size in MiB.
        count: messages it dealt with, where it says so; else -1.
        size: their bytes, where it says so; else -1.
    """

    seconds: float
    cpu: float
    rss: float
    count: int = -1  # type: ignore[assignment]
    size: int = -1


Command = Sequence[str] | Callable[[], Sequence[str]]
"""The words of a client, or what makes them anew for each run."""


def run(command: Command, *, env: Mapping[str, str] | None = None) -> Sample:
    """Run one client once.

    Raises:
        Failed: it ended with another status than 0; with the last of what it wrote.
    """
    words = list(command() if callable(command) else command)
    whole = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *words]
    done = subprocess.run(
        whole,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    before, _, used = said.rpartition("\nUSED ")
    if done.returncode or json.loads(used)[0]:
        raise Failed(f"{' '.join(words)[:200]}:\n{before[-1000:]}\n{done.stderr.decode(errors='replace')[-3000:]}")
    _, seconds, cpu, rss = json.loads(used)
    own = next((json.loads(line[len(_SAYS) :]) for line in before.splitlines() if line.startswith(_SAYS)), {})
    return Sample(**{"seconds": seconds, "cpu": cpu, "rss": rss / 1024, **own})


class Tally:
    """What a measured client has done so far; its `count` and `size` go into the Sample."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0

    def add(self, data: bytes) -> None:
        """Count one message."""
        self.count += 1
        self.size += len(data)


@contextlib.contextmanager
def measured() -> Iterator[Tally]:
    """In a client's process: time the block, wall and CPU, and tell it to whoever runs the round."""
    tally = Tally()
    start, cpu = time.perf_counter(), time.process_time()
    yield tally
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"\n{_SAYS}{json.dumps({'seconds': seconds, 'cpu': cpu, 'count': tally.count, 'size': tally.size})}", flush=True
    )


def interleaved(
    clients: Mapping[str, Command],
    rounds: int,
    *,
    check: Callable[[str, Sample], None] = lambda name, sample: None,
    env: Mapping[str, str] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Sample]:
    """Run every client once a round, in turn; the medians by client.

    Args:
        clients: by name.
        rounds: how many.
        check: raises Failed where a Sample cannot be right (messages missing).
        env: added to the environment.
        log: told of each run.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in clients}
    for number in range(rounds):
        for name, command in clients.items():
            sample = run(command, env=env)
            check(name, sample)
            log(f"round {number + 1}  {name:32}  {sample.seconds:8.3f} s")
            samples[name].append(sample)
    return {name: median(found) for name, found in samples.items()}


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    last = samples[-1]
    seconds, cpu, rss = (statistics.median(sample[place] for sample in samples) for place in range(3))
    return Sample(seconds, cpu, rss, last.count, last.size)


def table(title: str, found: Mapping[str, Sample], ours: str) -> str:
    """The medians as a table in Markdown; the last column says how many times ours is as fast."""
    lines = [
        f"### {title}",
        "",
        "| client | seconds | CPU s | peak RSS MiB | ours is faster by |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, one in found.items():
        ratio = "" if name == ours else f"{one.seconds / found[ours].seconds:.2f}"
        bold = "**" if name == ours else ""
        lines.append(f"| {bold}{name}{bold} | {one.seconds:.3f} | {one.cpu:.2f} | {one.rss:.1f} | {ratio} |")
    return "\n".join(lines) + "\n"


class Bar(NamedTuple):
    """One goal and what was reached."""

    text: str
    reached: float
    wanted: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it holds."""
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"{'met   ' if self.is_met else 'MISSED'}  {self.text}: {self.reached:.2f} ({sign} {self.wanted:g})"
