"""Out of descriptors: 80 clients at a server that may open 48 files."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.core.attacks.room import Victim
from benchmarks.core.bars import Verdict
from benchmarks.core.process import Failed
from benchmarks.core.report import Table

_FILES, _CLIENTS = 48, 80
_CPU, _LINES = 0.05, 1
_PATIENCE = 20.0


class Shortage(NamedTuple):
    """What was seen.

    Args:
        served: clients that were answered while descriptors were short.
        seconds: how long that was watched.
        cpu: seconds of CPU a second meanwhile.
        lines: log lines meanwhile.
        early: exchanges of the client that was there before.
        recovered: seconds until all who had waited were answered, once others had left.
    """

    served: int
    seconds: float
    cpu: float
    lines: int
    early: int
    recovered: float


def endure(uvloop: bool, quick: bool) -> Shortage:
    """Let descriptors run out, and return.

    Raises:
        Failed: the early client is not served, or somebody is not in the end.
    """
    seconds = 2.0 if quick else 10.0
    with Victim(uvloop) as victim, contextlib.ExitStack() as stack:
        server = victim.server
        resource.prlimit(server.server_pid, resource.RLIMIT_NOFILE, (_FILES, _FILES))
        early = stack.enter_context(_client(victim))
        _exchange(early)
        said = len(server.errors().splitlines())
        crowd = [stack.enter_context(_client(victim)) for _ in range(_CLIENTS - 1)]
        for one in crowd:
            one.send(b"here")
        served = _answered(crowd, 0.5)
        spent, began, exchanges = server.cpu(), time.monotonic(), 0
        while time.monotonic() < began + seconds:
            time.sleep(0.1)
            _exchange(early)
            exchanges += 1
        cpu = (server.cpu() - spent) / (time.monotonic() - began)
        lines = len(server.errors().splitlines()) - said
        recovered = _recover(crowd, served)
    return Shortage(len(served), seconds, cpu, lines, exchanges, recovered)


def _recover(crowd: list[socket.socket], served: list[socket.socket]) -> float:
    """Let those leave who were served, again and again, until all were."""
    began, waiting = time.monotonic(), [one for one in crowd if one not in served]
    while served or waiting:
        for one in served:
            one.close()
        served = _answered(waiting, 0.05)
        waiting = [one for one in waiting if one not in served]
        if time.monotonic() > began + _PATIENCE:
            raise Failed(f"{len(waiting)} clients are not served though descriptors have returned")
    return time.monotonic() - began


def _client(victim: Victim) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(victim.plain)), timeout=_PATIENCE)


def _exchange(client: socket.socket) -> None:
    try:
        client.sendall(b"still there?")
        if client.recv(100) != b"still there?":
            raise Failed("the early client got something else")
    except OSError as error:
        raise Failed(f"the early client is not served: {error}") from error


def _answered(clients: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Wait for so long, and give those that have an answer."""
    time.sleep(seconds)
    ready = select.select(clients, [], [], 0)[0] if clients else []
    for one in ready:
        if one.recv(100) != b"here":
            raise Failed("a client was turned away")
    return ready


def table(shortage: Shortage) -> Table:
    """Make the table."""
    head = [
        "80 clients, 48 descriptors",
        "served",
        "CPU s a second",
        "log lines",
        "early client's exchanges",
        "all served after s",
    ]
    row = [
        f"for {shortage.seconds:g} s",
        str(shortage.served),
        f"{shortage.cpu:.3f}",
        str(shortage.lines),
        str(shortage.early),
        f"{shortage.recovered:.2f}",
    ]
    return Table("Out of descriptors", head, [row])


def verdicts(shortage: Shortage) -> Iterator[Verdict]:
    """Judge; that the early client was served and all recovered is shown by there being figures."""
    yield Verdict("out of descriptors: CPU s a second", shortage.cpu, f"<= {_CPU:g}", _word(shortage.cpu < _CPU))
    yield Verdict("out of descriptors: log lines", shortage.lines, f"<= {_LINES}", _word(shortage.lines == _LINES))


def _word(met: bool) -> str:
    return "pass" if met else "missed"
