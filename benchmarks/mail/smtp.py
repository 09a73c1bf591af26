"""SMTP to Postfix: handing mail over, direct and over 30 ms, against the other clients there are.

    python -m benchmarks.mail smtp            2,000 small messages and 50 of 5 MiB; some fifteen minutes
    python -m benchmarks.mail smtp --quick    400 and 10

Postfix writes each message to disk before it answers, and throws it away later; a run begins when its queue is empty.
What a message costs a serial client at 30 ms is told by 100 of them. It needs root, for Postfix does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.mail import corpus, rounds
from benchmarks.mail.corpus import Kind
from benchmarks.mail.rounds import Bar, Command, Failed, Sample
from benchmarks.mail.smtp_clients import RECIPIENT, SENDER
from tests.peers.proxies import DelayProcess
from tests.real.dovecot import Dovecot
from tests.real.postfix import Postfix

_RTT = 30.0
_BY = 100
"""Messages that a serial client sends over the slow line; the time is scaled to all."""
_HUGE = 100 * 1024 * 1024

OURS, POOL = "asyncnet, one", "asyncnet, pool of 8"
THEIRS, THEIR_POOL = "aiosmtplib, one", "aiosmtplib, eight"
_PYTHON = {
    OURS: "ours",
    POOL: "pool",
    "smtplib, one": "serial",
    "smtplib, 8 threads": "threads",
    THEIRS: "aiosmtplib_one",
    THEIR_POOL: "aiosmtplib_eight",
}
_ONE = (OURS, "smtplib, one", THEIRS, "curl, one")
_ALL = (OURS, POOL, "smtplib, one", "smtplib, 8 threads", THEIRS, THEIR_POOL, "curl, one")


class Desk:
    """One kind of mail, as files, and the server that takes it."""

    def __init__(self, kind: Kind, postfix: Postfix, slow: int, folder: Path, count: int) -> None:
        self.kind = kind
        self.folder = folder
        self._postfix = postfix
        self._ports = {"direct": postfix.ports["smtp"], "slow": slow}
        self._rounds = count
        for number, message in enumerate(kind):
            (folder / f"{number}.eml").write_bytes(message)

    def run(self, line: str, names: tuple[str, ...], count: int = 0) -> dict[str, Sample]:
        """The clients of these names over a line, `count` messages each (0: all)."""
        count = count or self.kind.count

        def check(name: str, sample: Sample) -> None:
            if name in _PYTHON and sample.count != count:
                raise Failed(f"{name}: {sample.count} messages of {count}")
            self._postfix.wait_until_delivered()

        commands = {name: self._command(name, self._ports[line], count) for name in names if self._is_here(name)}
        return rounds.interleaved(commands, self._rounds, check=check, log=_said)

    def _command(self, name: str, port: int, count: int) -> Command:
        if name in _PYTHON:
            where = ["127.0.0.1", str(port), str(self.folder), str(count)]
            return [sys.executable, "-m", "benchmarks.mail.smtp_clients", _PYTHON[name], *where]
        files = f"{self.folder}/[0-{count - 1}].eml"
        envelope = ["--mail-from", SENDER, "--mail-rcpt", RECIPIENT]
        return ["curl", "-sS", "--fail", *envelope, "-T", files, f"smtp://127.0.0.1:{port}"]

    @staticmethod
    def _is_here(name: str) -> bool:
        return name in _PYTHON or shutil.which(name.partition(",")[0]) is not None


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run all of it; 0 if every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mail smtp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the mail, one round")
    parser.add_argument("--rounds", type=int, help="rounds (3; quick: 1); the medians are shown")
    given = parser.parse_args(arguments)
    count = given.rounds or (1 if given.quick else 3)
    start = time.monotonic()
    bars: list[Bar] = []
    with contextlib.ExitStack() as stack:
        dovecot = stack.enter_context(Dovecot())
        postfix = stack.enter_context(Postfix(dovecot))
        slow = stack.enter_context(DelayProcess(("127.0.0.1", postfix.ports["smtp"]), rtt=_RTT)).port
        for make in (_small, _big, _stall):
            with tempfile.TemporaryDirectory(prefix="asyncnet-benchmark-") as folder:
                bars += make(postfix, slow, Path(folder), count, given.quick)
    print("\n".join(map(str, bars)))
    load = os.getloadavg()[0]
    print(
        f"\n{count} rounds, {os.cpu_count()} cores, load {load:.1f} at the end, {time.monotonic() - start:.0f} s in all"
    )
    return 0 if all(bar.is_met for bar in bars) else 1


def _small(postfix: Postfix, slow: int, folder: Path, count: int, quick: bool) -> Iterator[Bar]:
    desk = Desk(Kind("small", corpus.small, 400 if quick else 2000), postfix, slow, folder, count)
    direct = desk.run("direct", _ALL)
    print(rounds.table(f"{desk.kind.count} small messages, direct", direct, OURS))
    yield Bar("small, direct, one, against aiosmtplib", _ratio(direct, THEIRS, OURS), 1.3)
    yield Bar("small, direct, one, CPU", direct[OURS].cpu / direct[THEIRS].cpu, 0.3, at_most=True)
    yield Bar("small, direct, 8, against aiosmtplib", _ratio(direct, THEIR_POOL, POOL), 1.3)
    far = desk.run("slow", (OURS, POOL, "smtplib, 8 threads", THEIR_POOL))
    by = min(_BY, desk.kind.count)
    times = desk.kind.count / by
    far |= {
        f"{name} (by {by})": one._replace(seconds=one.seconds * times, cpu=one.cpu * times)
        for name, one in desk.run("slow", _ONE[1:], by).items()
    }
    print(rounds.table(f"{desk.kind.count} small messages, {_RTT:g} ms", far, OURS))
    yield Bar("small, 30 ms, one, against aiosmtplib", _ratio(far, f"{THEIRS} (by {by})", OURS), 20.0)
    yield Bar("small, 30 ms, 8, against aiosmtplib", _ratio(far, THEIR_POOL, POOL), 9.0)


def _big(postfix: Postfix, slow: int, folder: Path, count: int, quick: bool) -> Iterator[Bar]:
    desk = Desk(corpus.big_ones(quick), postfix, slow, folder, count)
    direct = desk.run("direct", _ALL)
    print(rounds.table(f"{desk.kind.count} messages of 5 MiB, direct", direct, OURS))
    yield Bar("big, direct, one, against aiosmtplib", _ratio(direct, THEIRS, OURS), 4.0)
    yield Bar("big, direct, one, CPU", direct[OURS].cpu / direct[THEIRS].cpu, 0.2, at_most=True)
    yield Bar("big, direct, one, peak RSS in MiB", direct[OURS].rss, 45.0, at_most=True)
    far = desk.run("slow", (OURS, POOL, THEIRS, THEIR_POOL))
    print(rounds.table(f"{desk.kind.count} messages of 5 MiB, {_RTT:g} ms", far, OURS))


def _stall(postfix: Postfix, slow: int, folder: Path, count: int, quick: bool) -> Iterator[Bar]:
    size = _HUGE // 8 if quick else _HUGE
    with (folder / "0.eml").open("wb") as file:
        file.write(b"Subject: huge\r\n\r\n")
        line = b"x" * 76 + b"\r\n"
        for _ in range(size // (len(line) * 1000)):
            file.write(line * 1000)
    where = ["127.0.0.1", str(postfix.ports["smtp"]), str(folder), "1"]
    # What other processes take from us is no stall of ours: the best of three runs tells.
    found = [
        rounds.run([sys.executable, "-m", "benchmarks.mail.smtp_clients", "stalls", *where]).count for _ in range(3)
    ]
    yield Bar(f"{size >> 20} MiB, the loop's longest stall in ms", min(found) / 1000, 20.0, at_most=True)


def _ratio(found: Mapping[str, Sample], other: str, ours: str) -> float:
    return found[other].seconds / found[ours].seconds
