"""What it costs a client to receive 1 GiB from a C server: CPU, and how fast it is."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Iterator

from benchmarks.core.bench import Bench, Column, Measure
from benchmarks.core.build import program
from benchmarks.core.process import (
    LOAD_CORES,
    RUN_SECONDS,
    SERVER_CORES,
    START_SECONDS,
    Child,
    Failed,
    Generator,
    Server,
)
from benchmarks.core.receivers import pattern

COST = Column("receive", "CPU ns a KiB", "client CPU ns a KiB received")
RATE = Column("receive-rate", "MB/s", "MB received a second", more_is_better=True)

ROWS = {
    "c": "C, recv (the limit)",
    "socket:recv_into": "blocking socket, recv_into",
    "protocol:data_received": "asyncio.Protocol",
    "protocol:buffered": "asyncio.BufferedProtocol",
    "asyncnet:read": "asyncnet, read(65536)",
    "asyncnet:read_exactly": "asyncnet, read_exactly(1 MiB)",
    "asyncnet:read_into": "asyncnet, read_into(256 KiB)",
    "streams:read": "asyncio streams, read(65536)",
    "streams:readexactly": "asyncio streams, readexactly(1 MiB)",
    "anyio:receive": "anyio, receive",
    "trio:receive_some": "trio, receive_some(65536)",
    "twisted:dataReceived": "Twisted, dataReceived",
    "tornado:read_bytes": "Tornado, read_bytes(65536)",
    "tornado:read_into": "Tornado, read_into(256 KiB)",
}
ROWS |= {
    row.replace(":", "+uvloop:"): f"{label}, uvloop"
    for row, label in ROWS.items()
    if row.startswith(("protocol:", "asyncnet:", "streams:"))
}

_BYTES = 1 << 30
_CHECK_BYTES = 1 << 24
_QUICK = 16


@contextlib.contextmanager
def _receiving(quick: bool) -> Iterator[Measure]:
    size = _BYTES // (_QUICK if quick else 1)
    checked: set[str] = set()
    with _pour(size) as pour, _pour(_CHECK_BYTES) as check:
        right = zlib.crc32(pattern(_CHECK_BYTES))

        def measure(row: str) -> dict[str, float]:
            if row != "c" and row not in checked:
                if _receive(row, check.port, _CHECK_BYTES, "check")[3] != right:
                    raise Failed("wrong bytes")
                checked.add(row)
            count, seconds, cpu = _receive(row, pour.port, size)[:3]
            return {COST.name: cpu / count * 1024 * 1e9, RATE.name: count / seconds / 1e6}

        yield measure


def _pour(size: int) -> Server:
    return Server("pour", command=[program("limit"), "pour", str(size)], cores=LOAD_CORES)


def _receive(row: str, port: str, size: int, *more: str) -> list[float]:
    kind, _, way = row.partition(":")
    if row == "c":
        with Generator("drain", port, size, cores=SERVER_CORES) as drain:
            drain.tell("go")
            words = drain.line(RUN_SECONDS).split()
            drain.finish()
    else:
        command = [sys.executable, "-m", "benchmarks.core.receivers", kind, way, port, str(size), *more]
        with Child(command, SERVER_CORES) as client:
            words = client.line(RUN_SECONDS).split()
            if client.wait(START_SECONDS):
                raise Failed(client.errors())
    if int(words[0]) != size:
        raise Failed(f"{words[0]} of {size} bytes")
    return [float(word) for word in words]


BENCH = Bench((COST, RATE), tuple(ROWS), _receiving)
