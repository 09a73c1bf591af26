"""What a small message costs an echo server, counted exactly: system calls by strace, user instructions by valgrind.

Each figure is the difference of two runs of a fresh server that differ in nothing but the number of messages, so it
says the same on a busy machine.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.core.bench import Bench, Column, Measure
from benchmarks.core.exchanges import CHURN, MANY, ONE, TLS, Exchange, certificate
from benchmarks.core.kinds import KINDS
from benchmarks.core.process import RUN_SECONDS, Failed, Generator, Server

_CALL = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(?P<calls>\d+) +(?:\d+ +)?(?P<name>\w+)$", re.MULTILINE)
_COLLECTED = re.compile(r"Collected : (\d+)")
_TRIES = 2
"""Valgrind was seen to hang once in many runs."""


class Count(NamedTuple):
    """What is counted.

    Args:
        column: what it fills.
        exchange: the pattern of load; the number of its requests does not matter here.
        tool: with what; its name is its first word.
        log_option: of the tool; the name of its log follows at once.
        found: takes the count out of the log.
    """

    column: Column
    exchange: Exchange
    tool: tuple[str, ...]
    log_option: str
    found: Callable[[str], float]


def _calls(log: str) -> float:
    return sum(int(found["calls"]) for found in _CALL.finditer(log) if found["name"] != "total")


def _instructions(log: str) -> float:
    found = _COLLECTED.search(log)
    if found is None:
        raise Failed(f"valgrind counted nothing: {log[-300:]}")
    return int(found[1]) / 1e3


_STRACE = (("strace", "-f", "-c"), "-o", _calls)
_VALGRIND = (("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"), "--log-file=", _instructions)
_UNIT = "1,000 user instructions a request (valgrind)"

SYSCALLS = Column("syscalls", "system calls", "system calls a message of 64 B on 1 connection (strace)")
INSTRUCTIONS = Column("instructions", "instructions, k", _UNIT)
MORE_INSTRUCTIONS = (
    Column("instructions-50x64", "50 × 64 B", _UNIT),
    Column("instructions-churn", "churn", _UNIT),
    Column("instructions-tls", "TLS 50 × 1 KiB", _UNIT),
)
_COUNTS = (
    Count(SYSCALLS, ONE, *_STRACE),
    Count(INSTRUCTIONS, ONE, *_VALGRIND),
    *(Count(column, one, *_VALGRIND) for column, one in zip(MORE_INSTRUCTIONS, (MANY, CHURN, TLS), strict=True)),
)


@contextlib.contextmanager
def _counting(count: Count, quick: bool) -> Iterator[Measure]:
    if shutil.which(count.tool[0]) is None:
        raise Failed(f"{count.tool[0]} is not installed")
    few, many = (100, 300) if quick else (500, 2_500)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as both:
        pem = certificate(folder) if count.exchange.tls else None

        def measure(kind: str) -> dict[str, float]:
            less, more = both.map(lambda messages: _tried(count, kind, messages, pem), (few, many))
            return {count.column.name: (more - less) / (many - few)}

        yield measure


def _tried(count: Count, kind: str, messages: int, pem: str | None) -> float:
    for left in reversed(range(_TRIES)):
        try:
            return _counted(count, kind, messages, pem)
        except Failed:
            if not left:
                raise
    raise AssertionError("not reached")


def _counted(count: Count, kind: str, messages: int, pem: str | None) -> float:
    """Run a server under the tool, exchange so many messages, and end it by SIGTERM."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        with Server(kind, pem, under=[*count.tool, count.log_option + log.name]) as server:
            with Generator(*count.exchange.words(server.port, messages)) as load:
                load.run()
            server.stop(RUN_SECONDS)
        return count.found(Path(log.name).read_text(errors="replace"))


BENCHES = tuple(Bench((one.column,), tuple(KINDS), functools.partial(_counting, one), rounds=1) for one in _COUNTS)
