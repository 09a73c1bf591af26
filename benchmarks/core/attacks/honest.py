"""What honest clients see while others attack: their slowest replies, their failures, and the server's memory."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.core.attacks.room import Victim
from benchmarks.core.bars import Verdict
from benchmarks.core.process import LOAD_CORES, START_SECONDS, Child, Failed, Generator, Load
from benchmarks.core.report import Table

_FACTOR, _SLACK_US = 3.0, 50_000.0
"""An honest client's p99 may be so many times the one without attack, and so many microseconds more."""

_CLIENT_KIB = 384
"""What one client may cost: 256 KiB received ahead, 64 KiB not sent yet, and one read of 64 KiB on its way."""

_PROCESS_KIB = 16_384
"""What the allocator may keep besides, and clients on their way in or out."""


class Attack(NamedTuple):
    """One attack.

    Args:
        name: of `attackers.py`.
        where: "plain", "tls" or "blocks": the port that is attacked.
        number: the connections that are held, or those made in a second.
        what: as tables call it.
    """

    name: str
    where: str
    number: int
    what: str

    @property
    def held(self) -> int:
        """How many connections there are at a time, as far as it is the attacker's to say."""
        return 0 if self.name in {"reset", "garbage"} else self.number


ATTACKS = (
    Attack("never-read", "plain", 100, "100 readers that never read"),
    Attack("drip", "blocks", 500, "500 senders of a byte a second"),
    Attack("stall", "tls", 500, "500 stalled handshakes"),
    Attack("reset", "plain", 1_000, "1,000 resets a second"),
    Attack("garbage", "tls", 300, "garbage on the TLS port, 300 a second"),
)

HONEST = ("stays", "stays, TLS", "comes", "comes, TLS")
"""Who stays has 8 connections (4 over TLS) and rests 5 ms after each reply; who comes connects for each exchange."""


class Seen(NamedTuple):
    """What was seen during one attack.

    Args:
        what: the attack.
        loads: what each of the honest saw.
        rss: the most memory, in KiB.
        bound: of memory, in KiB.
        cpu: of the server, as a share of a core.
        opened, ended: the attackers' connections, and how many of them the server ended.
    """

    what: str
    loads: Sequence[Load]
    rss: float
    bound: float
    cpu: float
    opened: int
    ended: int


def watch(victim: Victim, seconds: float) -> Iterator[Seen]:
    """Watch the honest without attack, under each, and under all at once."""
    yield _seen(victim, seconds, "no attack", ())
    for attack in ATTACKS:
        yield _seen(victim, seconds, attack.what, [attack])
    yield _seen(victim, seconds, "all at once", ATTACKS)


def _seen(victim: Victim, seconds: float, what: str, attacks: Sequence[Attack]) -> Seen:
    server = victim.server
    before = server.rss()  # memory that the allocator has had once, it keeps
    with contextlib.ExitStack() as stack:
        honest = [stack.enter_context(Generator(*words)) for words in _words(victim, seconds)]
        bad = [stack.enter_context(_attacker(victim, attack)) for attack in attacks]
        memory = stack.enter_context(_Peak(victim))
        spent, began = server.cpu(), time.monotonic()
        for one in honest:
            one.tell("go")
        loads = [one.found(seconds + START_SECONDS) for one in honest]
        cpu = (server.cpu() - spent) / (time.monotonic() - began)
        told = [_stopped(one) for one in bad]
    server.settle()
    bound = before + sum(attack.held for attack in attacks) * _CLIENT_KIB + _PROCESS_KIB
    opened, ended = (sum(numbers) for numbers in zip(*told, strict=True)) if told else (0, 0)
    return Seen(what, loads, memory.most, bound, cpu, opened, ended)


def _words(victim: Victim, seconds: float) -> list[list[object]]:
    return [
        ["pace", victim.plain, 8, 64, seconds, 5],
        ["pace", victim.tls, 4, 64, seconds, 5, "tls"],
        ["knock", victim.plain, 64, seconds, 5],
        ["knock", victim.tls, 64, seconds, 20, "tls"],
    ]


def _attacker(victim: Victim, attack: Attack) -> Child:
    port = {"plain": victim.plain, "tls": victim.tls, "blocks": victim.blocks}[attack.where]
    module = "benchmarks.core.attacks.attackers"
    child = Child([sys.executable, "-m", module, attack.name, port, str(attack.number)], LOAD_CORES)
    try:
        if child.line(START_SECONDS) != "ready":
            raise Failed(f"{attack.what}: not ready")
    except BaseException:
        child.close()
        raise
    return child


def _stopped(attacker: Child) -> tuple[int, int]:
    attacker.tell("stop")
    opened, ended = attacker.line(START_SECONDS).split()
    return int(opened), int(ended)


class _Peak:
    """The most memory that the server has while this is on."""

    def __init__(self, victim: Victim) -> None:
        self._server = victim.server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0.0

    def _look(self) -> None:
        while True:
            self.most = max(self.most, self._server.rss())
            if self._over.wait(0.1):
                return

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def table(seen: Sequence[Seen]) -> Table:
    """Make the table: the p99 of each, in milliseconds."""
    head = ["p99 in ms of a client who", *HONEST, "failures", "memory MiB", "bound", "CPU", "opened", "ended"]
    rows = [
        [
            one.what,
            *(f"{load.p99 / 1e3:.2f}" for load in one.loads),
            str(sum(load.failures for load in one.loads)),
            f"{one.rss / 1024:.1f}",
            f"{one.bound / 1024:.0f}",
            f"{one.cpu:.0%}",
            str(one.opened),
            str(one.ended),
        ]
        for one in seen
    ]
    return Table("Honest clients while others attack", head, rows)


def verdicts(seen: Sequence[Seen]) -> Iterator[Verdict]:
    """Judge what the honest saw, relative to how they fare without attack; their failures; and the server's memory."""
    quiet = seen[0].loads
    for one in seen[1:]:
        for who, load, before in zip(HONEST, one.loads, quiet, strict=True):
            most = (_FACTOR * before.p99 + _SLACK_US) / 1e3
            yield _at_most(f"{one.what}: p99 in ms of who {who}", load.p99 / 1e3, most)
        yield _at_most(f"{one.what}: honest clients that failed", sum(load.failures for load in one.loads), 0)
        yield _at_most(f"{one.what}: memory, MiB", one.rss / 1024, one.bound / 1024)


def _at_most(what: str, found: float, most: float) -> Verdict:
    return Verdict(what, found, f"<= {most:.3g}", "pass" if found <= most else "missed")
