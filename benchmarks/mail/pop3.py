"""POP3 on Dovecot: all of a maildrop, direct and over 30 ms, against the other clients there are.

    python -m benchmarks.mail pop3            10,000 small messages and 50 of 5 MiB; some ten minutes
    python -m benchmarks.mail pop3 --quick    1000 and 10

A client that is not installed is left out. What a message costs a serial client at 30 ms is told by 300 of them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.mail import corpus, rounds
from benchmarks.mail.corpus import Kind
from benchmarks.mail.pop3_clients import SECRET
from benchmarks.mail.rounds import Bar, Command, Failed, Sample
from tests.peers.proxies import DelayProcess
from tests.real.dovecot import Account, Dovecot

_RTT = 30.0
_BY = 300
"""Messages that a serial client retrieves over the slow line; the time is scaled to all."""

OURS, TO_DISK, POPLIB, FLOOR = "asyncnet", "asyncnet, to disk", "poplib", "no client: end marks counted"
_PYTHON = {
    OURS: "ours",
    TO_DISK: "to_disk",
    POPLIB: "serial",
    FLOOR: "floor",
    "poplib, to_thread a command": "executor",
    "Twisted pop3": "twisted",
}
_SERIAL = (POPLIB, "poplib, to_thread a command", "Twisted pop3", "curl")


class Place:
    """A maildrop of one kind of mail, at one address; makes the commands of the clients for it."""

    def __init__(self, account: Account, kind: Kind, host: str, port: int, scratch: Path, count: int) -> None:
        self.account = account
        self.kind = kind
        self.host, self.port = host, port
        self.scratch = scratch
        self.count = count

    def python(self, name: str) -> Command:
        """A client of pop3_clients.py."""

        def words() -> list[str]:
            where = [self.host, str(self.port), self.account.name, str(self.count), str(self.fresh())]
            return [sys.executable, "-m", "benchmarks.mail.pop3_clients", _PYTHON[name], *where]

        return words

    def curl(self) -> list[str]:
        """curl, one connection, the messages dropped."""
        url = f"pop3://{self.host}:{self.port}/[1-{self.count}]"
        return ["curl", "-sS", "--fail", "-u", f"{self.account.name}:{self.account.password}", "-o", "/dev/null", url]

    def mpop(self) -> list[str]:
        """mpop to an mbox; it pipelines where CAPA says so."""
        folder = self.fresh()
        return [
            *("mpop", f"--host={self.host}", f"--port={self.port}", f"--user={self.account.name}", "--tls=off"),
            *("--auth=plain", f"--passwordeval=printenv {SECRET}", "--keep=on", "--quiet", "--received-header=off"),
            *(f"--delivery=mbox,{folder / 'mbox'}", f"--uidls-file={folder / 'uidls'}"),
        ]

    def fetchmail(self) -> list[str]:
        """fetchmail to a file of batched SMTP."""
        folder = self.fresh()
        settings = folder / "fetchmailrc"
        settings.write_text(
            f"set no syslog\npoll {self.host} service {self.port} protocol pop3 auth password\n"
            f"user {self.account.name} password {self.account.password} sslproto '' keep fetchall bsmtp {folder}/out\n"
        )
        settings.chmod(0o600)
        return ["env", f"FETCHMAILHOME={folder}", "fetchmail", "--silent", "-f", str(settings), "--nosslcertck"]

    def fresh(self) -> Path:
        """An empty folder; what the run before left is gone."""
        for old in self.scratch.iterdir():
            shutil.rmtree(old)
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def check(self, name: str, sample: Sample) -> None:
        """Whether all came, as far as the client's way to say so goes."""
        if name in _PYTHON and name != FLOOR:
            whole = self.kind.total if self.count == self.kind.count else sample.size
            if (sample.count, sample.size) != (self.count, whole):
                raise Failed(f"{name}: {sample.count} messages of {sample.size} bytes; {self.count} of {whole} wanted")
        elif name in ("mpop", "fetchmail"):
            written = sum(path.stat().st_size for path in self.scratch.rglob("*") if path.is_file())
            if written < 0.9 * self.kind.total:  # line ends are LF there
                raise Failed(f"{name}: {written} bytes of {self.kind.total}")


def _clients(place: Place, names: tuple[str, ...]) -> dict[str, Command]:
    tools = {"curl": place.curl, "mpop": place.mpop, "fetchmail": place.fetchmail}
    found: dict[str, Command] = {}
    for name in names:
        if name in tools and shutil.which(name):
            found[name] = tools[name]
        elif name in _PYTHON:
            found[name] = place.python(name)
    return found


class Benchmark:
    """The runs, and what came of them."""

    def __init__(self, dovecot: Dovecot, scratch: Path, count: int, log: Callable[[str], None]) -> None:
        self._dovecot = dovecot
        self._scratch = scratch
        self._rounds = count
        self._log = log

    def fill(self, kind: Kind) -> Account:
        """A maildrop with all messages of a kind, looked into once so that the server's index is warm."""
        account = self._dovecot.new_account()
        for message in kind:
            self._dovecot.deliver(account, message)
        place = self._place(account, kind, self._dovecot.ports["pop3"], kind.count)
        place.check(POPLIB, rounds.run(place.python(POPLIB), env={SECRET: account.password}))
        return account

    def run(self, account: Account, kind: Kind, port: int, names: tuple[str, ...], count: int = 0) -> dict[str, Sample]:
        """The clients of these names at a port, `count` messages each (0: all)."""
        place = self._place(account, kind, port, count or kind.count)
        env = {SECRET: account.password}
        return rounds.interleaved(_clients(place, names), self._rounds, check=place.check, env=env, log=self._log)

    def _place(self, account: Account, kind: Kind, port: int, count: int) -> Place:
        return Place(account, kind, "127.0.0.1", port, self._scratch, count)


def main(arguments: list[str]) -> int:
    """Run all of it; 0 if every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mail pop3", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the mail, one round")
    parser.add_argument("--rounds", type=int, help="rounds (3; quick: 1); the medians are shown")
    given = parser.parse_args(arguments)
    count = given.rounds or (1 if given.quick else 3)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-benchmark-")))
        dovecot = stack.enter_context(Dovecot())
        port = dovecot.ports["pop3"]
        slow = stack.enter_context(DelayProcess(("127.0.0.1", port), rtt=_RTT)).port
        benchmark = Benchmark(dovecot, scratch, count, lambda line: print(line, file=sys.stderr, flush=True))
        bars = [*_small(benchmark, corpus.small_ones(given.quick), port, slow)]
        bars += _big(benchmark, corpus.big_ones(given.quick), port, slow)
    print("\n".join(map(str, bars)))
    load = os.getloadavg()[0]
    print(
        f"\n{count} rounds, {os.cpu_count()} cores, load {load:.1f} at the end, {time.monotonic() - start:.0f} s in all"
    )
    return 0 if all(bar.is_met for bar in bars) else 1


def _small(benchmark: Benchmark, kind: Kind, port: int, slow: int) -> list[Bar]:
    account = benchmark.fill(kind)
    direct = benchmark.run(account, kind, port, (OURS, FLOOR, *_SERIAL, "mpop", "fetchmail"))
    print(rounds.table(f"{kind.count} small messages, direct", direct, OURS))
    far = benchmark.run(account, kind, slow, (OURS, "mpop"))
    by = min(_BY, kind.count)
    serial = benchmark.run(account, kind, slow, _SERIAL, by)
    far |= {
        f"{name} (by {by})": one._replace(seconds=one.seconds * kind.count / by, cpu=one.cpu * kind.count / by)
        for name, one in serial.items()
    }
    print(rounds.table(f"{kind.count} small messages, {_RTT:g} ms", far, OURS))
    bars = [Bar("small, direct, against poplib", _ratio(direct, POPLIB), 6.0)]
    bars.append(Bar("small, 30 ms, against poplib", _ratio(far, f"{POPLIB} (by {by})"), 100.0))
    if "mpop" in far:
        bars.append(Bar("small, 30 ms, against mpop", _ratio(far, "mpop"), 5.0))
    return bars


def _big(benchmark: Benchmark, kind: Kind, port: int, slow: int) -> list[Bar]:
    account = benchmark.fill(kind)
    direct = benchmark.run(account, kind, port, (OURS, TO_DISK, FLOOR, *_SERIAL, "mpop", "fetchmail"))
    print(rounds.table(f"{kind.count} messages of 5 MiB, direct", direct, OURS))
    far = benchmark.run(account, kind, slow, (OURS, POPLIB, "curl", "mpop"))
    print(rounds.table(f"{kind.count} messages of 5 MiB, {_RTT:g} ms", far, OURS))
    return [
        Bar("big, direct, against poplib", _ratio(direct, POPLIB), 3.0),
        Bar("big, peak RSS in MiB", direct[OURS].rss, 50.0, at_most=True),
        Bar("big, to disk, peak RSS in MiB", direct[TO_DISK].rss, 35.0, at_most=True),
    ]


def _ratio(found: Mapping[str, Sample], other: str) -> float:
    return found[other].seconds / found[OURS].seconds
