"""What an exchange costs an echo server: CPU, in several patterns of load."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.core.bench import Bench, Column, Measure
from benchmarks.core.kinds import KINDS
from benchmarks.core.process import Failed, Generator, Server

_UNIT = "server CPU µs a request"

_WARM_UP = 2
"""So much of a round's load comes first and does not count: half."""


class Exchange(NamedTuple):
    """One pattern of exchanges.

    Args:
        column: what it fills.
        mode: of the load generator.
        connections: how many at a time.
        size: bytes of a message.
        requests: in one round; a tenth of it where it must be quick.
        tls: whether over TLS.
    """

    column: Column
    mode: str
    connections: int
    size: int
    requests: int
    tls: bool = False

    def words(self, port: str, requests: int) -> list[object]:
        """Give the words for the load generator."""
        words: list[object] = [self.mode, port, self.connections, self.size, requests]
        return [*words, "tls"] if self.tls else words


ONE = Exchange(Column("1x64", "1 × 64 B", _UNIT), "echo", 1, 64, 20_000)
MANY = Exchange(Column("50x64", "50 × 64 B", _UNIT), "echo", 50, 64, 60_000)
LARGE = Exchange(Column("50x64k", "50 × 64 KiB", _UNIT), "echo", 50, 65_536, 10_000)
CHURN = Exchange(Column("churn", "churn", _UNIT), "churn", 50, 64, 5_000)
TLS = Exchange(Column("tls", "TLS 50 × 1 KiB", _UNIT), "echo", 50, 1_024, 20_000, tls=True)

EXCHANGES = (ONE, MANY, LARGE, CHURN, TLS)


def certificate(folder: str) -> str:
    """Make a certificate for 127.0.0.1 with its key, in one file in `folder`."""
    import trustme

    path = Path(folder, "server.pem")
    path.touch(mode=0o600)
    path.write_bytes(trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    return str(path)


@contextlib.contextmanager
def _exchanging(exchange: Exchange, quick: bool) -> Iterator[Measure]:
    requests = exchange.requests // (10 if quick else 1)
    with contextlib.ExitStack() as stack:
        pem = certificate(stack.enter_context(tempfile.TemporaryDirectory())) if exchange.tls else None

        def measure(kind: str) -> dict[str, float]:
            # A fresh one each time: where things lie in its memory favours or harms a process for as long as it lives.
            with Server(kind, pem) as server:
                _cost(server, exchange, requests // _WARM_UP)
                return {exchange.column.name: _cost(server, exchange, requests) * 1e6}

        yield measure


def _cost(server: Server, exchange: Exchange, requests: int) -> float:
    """Seconds of CPU for a request; connecting is not in it, but for churn."""
    with Generator(*exchange.words(server.port, requests)) as load:
        before = server.cpu()
        done = load.go().requests
        spent = server.cpu() - before
        load.finish()
    if done != requests:
        raise Failed(f"{done} of {requests} exchanges")
    return spent / requests


BENCHES = tuple(Bench((one.column,), tuple(KINDS), functools.partial(_exchanging, one)) for one in EXCHANGES)
