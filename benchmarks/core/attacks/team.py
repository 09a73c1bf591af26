"""Several workers at one place: both serve, both drain on SIGTERM; `python -m benchmarks.core.attacks.team WORKERS`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncnet
from benchmarks.core.bars import Verdict
from benchmarks.core.process import CORES, LOAD_CORES, START_SECONDS, Failed, Generator, Server
from benchmarks.core.report import Table

_HELD, _TALKING = 100, 40
_HALF = bytes(range(256)) * 64


class Team(NamedTuple):
    """What was seen.

    Args:
        shares: how many of 100 connections each worker had.
        whole: how many of 40 exchanges that were under way at SIGTERM came to their end.
        status: the exit status.
        seconds: from SIGTERM to the end.
        refused: whether newcomers were refused meanwhile.
        rates: requests a second by the number of workers.
    """

    shares: list[int]
    whole: int
    status: int
    seconds: float
    refused: bool
    rates: dict[int, float]


async def work(endpoint: asyncnet.Endpoint, ready: Callable[[], None]) -> None:
    """Be a worker."""
    async with asyncnet.serve(asyncnet.echo, endpoint, reuse_port=True) as server:
        ready()
        await server.serve_forever()


def main() -> None:
    """Serve."""

    def tell(endpoint: asyncnet.Endpoint) -> None:
        print(endpoint.port, os.getpid(), flush=True)

    asyncnet.run_workers(
        work, "tcp://127.0.0.1:0", workers=int(sys.argv[1]), uvloop="uvloop" in sys.argv, on_ready=tell
    )


def see(uvloop: bool, quick: bool) -> Team:
    """Let two workers serve, drain, and be measured against one.

    Raises:
        Failed: a client was not served.
    """
    rates = {count: _rate(count, uvloop, 5_000 if quick else 100_000) for count in (1, 2)}
    with _team(2, uvloop) as team:
        workers = _workers(team.server_pid)
        before = [_sockets(pid) for pid in workers]
        with Generator("idle", team.port, _HELD) as idle:
            idle.tell("talk")
            if idle.line(START_SECONDS) != str(_HELD):
                raise Failed("not every client is served")
            shares = [_sockets(pid) - held for pid, held in zip(workers, before, strict=True)]
        whole, refused, seconds = _drain(team)
        status = team.wait(START_SECONDS)
    return Team(shares, whole, status, seconds, refused, rates)


def _team(count: int, uvloop: bool) -> Server:
    command = [sys.executable, "-m", "benchmarks.core.attacks.team", str(count), *(["uvloop"] if uvloop else [])]
    # Where there are cores enough, the load has one and the workers have the others.
    return Server("team", command=command, cores=set(CORES) - LOAD_CORES if len(CORES) > 2 else None)


def _rate(count: int, uvloop: bool, requests: int) -> float:
    with _team(count, uvloop) as team, Generator("echo", team.port, 50, 64, requests) as load:
        found = load.run()
        return found.requests / found.seconds


def _workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if len(workers) != 2:
        raise Failed(f"{len(workers)} workers")
    return workers


def _sockets(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return found


def _drain(team: Server) -> tuple[int, bool, float]:
    """Send half of something on many connections, then SIGTERM, then the other half; who gets both back is whole."""
    place = ("127.0.0.1", int(team.port))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(place, timeout=5.0)) for _ in range(_TALKING)]
        for client in clients:
            client.sendall(_HALF)
        for client in clients:
            _read(client, len(_HALF))
        began = time.monotonic()
        os.kill(team.server_pid, signal.SIGTERM)
        refused = _refused(place)
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(_HALF)
                client.shutdown(socket.SHUT_WR)
        whole = sum(_read(client, len(_HALF)) == _HALF and client.recv(1) == b"" for client in clients)
    team.wait(START_SECONDS)
    return whole, refused, time.monotonic() - began


def _refused(place: tuple[str, int]) -> bool:
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        try:
            socket.create_connection(place, timeout=1.0).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.01)
    return False


def _read(client: socket.socket, count: int) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < count and (chunk := client.recv(count - len(received))):
            received += chunk
    return received


def table(team: Team) -> Table:
    """Make the table."""
    enough = "" if len(CORES) > 2 else f" (no measure of scaling: {len(CORES)} cores, and the load has one)"
    head = ["two workers", "of 100 clients", "exchanges drained", "exit status", "ended after s", "newcomers refused"]
    row = [
        "both serve, both drain",
        " + ".join(map(str, team.shares)),
        f"{team.whole} of {_TALKING}",
        str(team.status),
        f"{team.seconds:.2f}",
        "yes" if team.refused else "no",
    ]
    rates = ", ".join(f"{count}: {rate:,.0f}" for count, rate in team.rates.items())
    return Table(f"Several workers; requests a second by workers: {rates}{enough}", head, [row])


def verdicts(team: Team) -> Iterator[Verdict]:
    """Judge."""
    yield Verdict("two workers: the fewer of 100 clients", min(team.shares), ">= 1", _word(min(team.shares) >= 1))
    yield Verdict("two workers: exchanges drained of 40", team.whole, ">= 40", _word(team.whole == _TALKING))
    yield Verdict("two workers: exit status", team.status, "<= 0", _word(team.status == 0))
    yield Verdict("two workers: newcomers refused", team.refused, ">= 1", _word(team.refused))


def _word(met: bool) -> str:
    return "pass" if met else "missed"


if __name__ == "__main__":
    main()
