"""What an idle connection costs an echo server: resident memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.core.bench import Bench, Column, Measure
from benchmarks.core.kinds import KINDS
from benchmarks.core.process import RUN_SECONDS, Failed, Generator, Server

IDLE = Column("idle", "idle KiB", "KiB of memory (RSS) a connection that never talked")
TALKED = Column("talked", "idle KiB after talk", "KiB of memory (RSS) a connection that rests after one exchange")

_CONNECTIONS = 2_000


@contextlib.contextmanager
def _idling(quick: bool) -> Iterator[Measure]:
    count = _CONNECTIONS // (4 if quick else 1)

    def measure(kind: str) -> dict[str, float]:
        with Server(kind) as server:  # a fresh one: memory that a server has had once, it keeps
            with Generator("echo", server.port, 1, 64, 500) as load:
                load.run()
            server.settle()
            files, before = server.descriptors(), server.rss()
            with Generator("idle", server.port, count) as idle:
                server.settle(files + count)
                silent = server.rss() - before
                idle.tell("talk")
                if idle.line(RUN_SECONDS) != str(count):
                    raise Failed("not every idle connection is served")
                server.settle(files + count)
                talked = server.rss() - before
        return {IDLE.name: silent / count, TALKED.name: talked / count}

    yield measure


BENCH = Bench((IDLE, TALKED), tuple(KINDS), _idling, rounds=3)
