"""A crowd on one process: 10,000 idle and 1,000 active clients."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.core.attacks.room import Victim
from benchmarks.core.bars import Verdict
from benchmarks.core.process import Failed, Generator, Load
from benchmarks.core.report import Table

_IDLE, _ACTIVE = 10_000, 1_000
_MAX_MIB = 150.0


class Crowd(NamedTuple):
    """What a crowd costs; memory in KiB.

    Args:
        before: memory without clients.
        idle: memory with the idle ones.
        active: memory with all, after the talk.
        cpu: microseconds a request.
        load: what the active ones saw.
    """

    before: float
    idle: float
    active: float
    cpu: float
    load: Load


def gather(uvloop: bool, quick: bool) -> Crowd:
    """Let them come.

    Raises:
        Failed: this machine does not allow so many files, or somebody was not served.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < _IDLE + _ACTIVE + 100:
        raise Failed(f"a process may open {most} files here")
    with Victim(uvloop) as victim:
        server = victim.server
        before, files = server.rss(), server.descriptors()
        with Generator("idle", victim.plain, _IDLE) as idle:
            server.settle(files + _IDLE)
            resting = server.rss()
            requests = 10_000 if quick else 200_000
            with Generator("echo", victim.plain, _ACTIVE, 64, requests) as active:
                spent = server.cpu()
                load = active.go()
                cpu = (server.cpu() - spent) / requests * 1e6
                talking = server.rss()
                active.finish()
            idle.tell("talk")
            if idle.line(60.0) != str(_IDLE):
                raise Failed("an idle client was not served in the end")
            talking = max(talking, server.rss())
    return Crowd(before, resting, talking, cpu, load)


def table(crowd: Crowd) -> Table:
    """Make the table."""
    head = ["MiB", "no client", "10,000 idle", "and 1,000 active", "CPU µs a request", "p99 ms"]
    memory = [f"{kib / 1024:.1f}" for kib in (crowd.before, crowd.idle, crowd.active)]
    row = ["memory (RSS)", *memory, f"{crowd.cpu:.1f}", f"{crowd.load.p99 / 1e3:.1f}"]
    return Table("A crowd on one process", head, [row])


def verdicts(crowd: Crowd) -> Iterator[Verdict]:
    """Judge the memory."""
    mib = crowd.active / 1024
    yield Verdict("a crowd: memory, MiB", mib, f"<= {_MAX_MIB:g}", "pass" if mib <= _MAX_MIB else "missed")
