"""A million URLs from standard input, and a hundred thousand that fail: what they cost in memory, and what is said."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.jobs.gets import AT_ONCE
from benchmarks.jobs.page import head
from benchmarks.jobs.process import ROOT, TooLong, ending, highest_rss, run, scratch
from benchmarks.jobs.programs import ASYNCNET, missing, number_of
from tests.real.nginx import Nginx

_SMALL = 64
"""bytes of a body: the lines that tell of a million of them are some 300 MB"""
_MOST_SECONDS = 1200.0
_FEW_SECONDS = 240.0


class Fed(NamedTuple):
    """What a command did with many lines on its standard input.

    Args:
        status: its exit status.
        seconds: of wall-clock, from its start.
        cpu: seconds, of user and system.
        rss: its highest resident size in MiB by the time that a tenth, a half, and nearly all of it was done.
        lines: that it wrote.
    """

    status: int
    seconds: float
    cpu: float
    rss: tuple[float, ...]
    lines: int


def fed(words: Sequence[str], count: int, url: str, taken: Callable[[bytes], None] = lambda line: None) -> Fed:
    """Feed a command with URLs, and read what it writes.

    Args:
        words: the command.
        count: how many.
        url: what each begins with; its number follows.
        taken: what is done with each line.

    Raises:
        TooLong: it took more than twenty minutes.
    """
    began = time.perf_counter()
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with ending(child):
        assert child.stdout is not None
        feeder = threading.Thread(target=_feed, args=(child, count, url), daemon=True)
        feeder.start()
        watch = threading.Timer(_MOST_SECONDS, child.kill)
        watch.start()
        marks = [count // 10, count // 2, count - count // 100]
        sizes: list[float] = []
        lines = 0
        try:
            for line in child.stdout:
                taken(line)
                lines += 1
                if len(sizes) < len(marks) and lines == marks[len(sizes)]:
                    sizes.append(highest_rss(child.pid))
            _, status, used = os.wait4(child.pid, 0)
        finally:
            watch.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode == -signal.SIGKILL:
        raise TooLong(f"{' '.join(words)[:100]}: more than {_MOST_SECONDS:g} s")
    return Fed(child.returncode, time.perf_counter() - began, used.ru_utime + used.ru_stime, tuple(sizes), lines)


def _feed(child: subprocess.Popen[bytes], count: int, url: str) -> None:
    assert child.stdin is not None
    with contextlib.suppress(OSError), child.stdin:
        for first in range(0, count, 1000):
            numbers = range(first, min(count, first + 1000))
            child.stdin.write("".join(f"{url}{number}\n" for number in numbers).encode())


def stdin(quick: bool) -> Iterator[str]:
    """1,000,000 URLs from standard input, each another, by `asyncnet fetch -i -`."""
    count = 10_000 if quick else 1_000_000
    columns = ("a second", "µs CPU each", "peak MiB at a tenth", "at a half", "at the end", "exit status")
    yield head(f"{count:,} URLs from standard input", *columns)
    with Nginx() as nginx, TemporaryDirectory() as folder:
        url = f"{nginx.http}{nginx.file(_SMALL)}?n="
        words = [*ASYNCNET, "fetch", "-i", "-", "-q", "--output", "json", "--per-host", str(AT_ONCE)]
        for name, more in {
            "JSON lines": [],
            "and a journal, which knows doubled ones": ["--journal", f"{folder}/journal", "--dedup", "skip"],
        }.items():
            found = fed([*words, *more], count, url)
            sizes = " | ".join(f"{size:.0f}" for size in found.rss)
            cost = f"{count / found.seconds:,.0f} | {found.cpu / count * 1e6:.0f}"
            lost = f" ({count - found.lines} lost)" if found.lines != count else ""
            yield f"| {name}{lost} | {cost} | {sizes} | {found.status} |"


def failing(quick: bool) -> Iterator[str]:
    """100,000 URLs that fail: where nobody listens, and where the page is not there."""
    count = 5_000 if quick else 100_000
    columns = ("failures told, by class", "exit status", "s", "peak MiB")
    yield head(f"{count:,} failing URLs", *columns, texts=columns[:1])
    with ExitStack() as stack:
        nginx, unused = stack.enter_context(Nginx()), stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/?n="
        for kind, url in (("refused", refused), ("404", f"{nginx.http}/status/404?n=")):
            words = [*ASYNCNET, "fetch", "-i", "-", "-q", "--output", "json", "--per-host", str(AT_ONCE)]
            classes: Counter[str] = Counter()
            named: set[str] = set()

            def take(line: bytes, classes: Counter[str] = classes, named: set[str] = named) -> None:
                record = json.loads(line)
                classes[record["error"]["type"]] += 1
                named.add(record["url"])

            found = fed(words, count, url, take)
            told = ", ".join(f"{number:,} {name}" for name, number in classes.items())
            once = "each once" if len(named) == count == found.lines else f"of {len(named):,} URLs"
            row = f"{told}, {once} | {found.status} | {found.seconds:.0f} | {max(found.rss):.0f}"
            yield f"| `asyncnet fetch`, {kind} | {row} |"
        for program in _OTHERS:
            yield f"| {program}, refused | {_other(program, refused, count)} |"


_OTHERS = {
    "curl": ["-sSZ", "--parallel-max", str(AT_ONCE), "-o", "/dev/null"],
    "aria2c": [
        "--console-log-level=error",
        "--enable-color=false",
        "--summary-interval=0",
        "--max-tries=1",
        f"-j{AT_ONCE}",
    ],
    "wget2": ["-nv", f"--max-threads={AT_ONCE}", "--tries=1", "--no-robots", "-O", "/dev/null"],
}


def _other(program: str, url: str, count: int) -> str:
    """Let another program fail at the same."""
    if missing(program):
        return "is not installed: left out | | | "
    with scratch() as folder:
        listed = folder / "urls"
        listed.write_text("".join(f"{url}{number}\n" for number in range(count)))
        more = [f"{url}[1-{count}]"] if program == "curl" else ["-i", str(listed)]
        try:
            ended = run([program, *_OTHERS[program], *more], _FEW_SECONDS, folder=folder)
        except TooLong:
            return f"left out: more than {_FEW_SECONDS:.0f} s | | | "
    lines = [*ended.out.splitlines(), *ended.err.splitlines()]
    named = {number for line in lines if (number := number_of(line)) is not None}
    return f"{len(lines):,} lines, which name {len(named):,} | {ended.status} | {ended.seconds:.0f} | {ended.rss:.0f}"
