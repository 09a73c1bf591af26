"""Measure the jobs: `python -m benchmarks.jobs [--quick] [--only SECTION] [--merge]`, or `make bench-jobs`.

A whole run takes about forty minutes and writes docs/benchmarks-jobs.md. `--only gets --merge` measures one
section, and puts it in the place of the one that is there; without `--merge`, and with `--quick`, figures are only
printed. Needed are nginx, and of curl, aria2, wget2 and Scrapy those that are to be measured.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.core.machine import Watch
from benchmarks.core.report import put_between
from benchmarks.jobs.awkward import bad
from benchmarks.jobs.costs import gets, gets1m, gets200k, noop
from benchmarks.jobs.hosts import adaptive, posts, ten
from benchmarks.jobs.kills import kills, resume
from benchmarks.jobs.million import failing, stdin
from benchmarks.jobs.mixed import mix
from benchmarks.jobs.page import stamp, versions
from benchmarks.jobs.process import ROOT, Failed

SECTIONS: dict[str, Callable[[bool], Iterator[str]]] = {
    "noop": noop,
    "gets": gets,
    "gets200k": gets200k,
    "gets1m": gets1m,
    "mix": mix,
    "bad": bad,
    "adaptive": adaptive,
    "ten": ten,
    "posts": posts,
    "stdin": stdin,
    "failing": failing,
    "kills": kills,
    "resume": resume,
}
"""What `--only` takes: each says its lines of Markdown as it finds them, and with True measures less."""

PAGE = ROOT / "docs" / "benchmarks-jobs.md"


def measured(name: str, quick: bool) -> str:
    """Measure a section, print it as it comes, and give it as Markdown.

    Raises:
        Failed: a program did not do its part.
    """
    watch, began, lines = Watch(), time.perf_counter(), []
    for line in SECTIONS[name](quick):
        print(line, flush=True)
        lines.append(line)
    told = stamp(watch.others(), time.perf_counter() - began, name)
    print(f"\n{told}\n", flush=True)
    return "\n".join([*lines, "", told])


def main() -> int:
    """Read the command line and measure; the exit status is 1 if a section could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller numbers, printed only: does it all work?")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="one section")
    parser.add_argument("--merge", action="store_true", help="put it into docs/benchmarks-jobs.md")
    asked = parser.parse_args()
    if asked.merge and asked.quick:
        parser.error("--merge takes no --quick")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs below is ended on the way out
    status = 0
    for name in asked.only or SECTIONS:
        try:
            text = measured(name, asked.quick)
        except Failed as failed:
            print(f"{name}: {failed}", file=sys.stderr, flush=True)
            status = 1
            continue
        if asked.merge or not (asked.quick or asked.only):
            put_between(PAGE, name, text)
            put_between(PAGE, "versions", versions())
    return status


if __name__ == "__main__":
    sys.exit(main())
