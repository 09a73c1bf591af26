"""IMAP on Dovecot: all of a mailbox, direct and over 30 ms, against the other clients there are.

    python -m benchmarks.mail imap              all sections; some ten minutes
    python -m benchmarks.mail imap far          one section: small, far, overview, big, bigfar
    python -m benchmarks.mail imap --quick      a tenth of the mail, one round

small: 10,000 small messages whole; far: the same over 30 ms; overview: their FLAGS and ENVELOPEs; big: 50 messages of
5 MiB; bigfar: the same over 30 ms. A client that is not installed is left out. A batch is 200 small messages, or 5
big ones, a command. What a message costs who asks for one at a time over 30 ms is told by 300 of them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from benchmarks.mail import corpus, rounds
from benchmarks.mail.corpus import Kind
from benchmarks.mail.imap_clients import SECRET
from benchmarks.mail.rounds import Bar, Command, Failed, Sample
from tests.peers.proxies import DelayProcess
from tests.real import dovecot_config
from tests.real.dovecot import Account, Dovecot

_RTT = 30.0
_BY = 300
"""Messages that a client of one command a message fetches over the slow line; the time is scaled to all."""

OURS, ONE_CALL, ONE_LIST, TO_DISK = "asyncnet", "asyncnet, one call", "asyncnet, one list", "asyncnet, to disk"
STORED, STORING, SYNC = "asyncnet, store() each", "asyncnet, storing() each", "asyncnet sync, to a Maildir"
IMAPLIB, AIOIMAPLIB, CURL, MBSYNC = "imaplib, batches", "aioimaplib, batches", "curl, one each", "mbsync, to a Maildir"
_OTHERS = ("imap-tools, batches", "IMAPClient, batches", "Twisted imap4, batches")
_ALL_AT_ONCE = "imaplib, 1:*"
VALUES, RAW_LINES, THEIR_VALUES = "asyncnet, values", "imaplib, raw lines", "IMAPClient, values"
_ONE_EACH = ("imaplib, one each", "aioimaplib, one each")
_PYTHON = {
    OURS: ("messages", None),
    ONE_CALL: ("one_call", None),
    ONE_LIST: ("one_list", None),
    TO_DISK: ("to_disk", None),
    STORED: ("stored", None),
    STORING: ("storing", None),
    SYNC: ("sync", None),
    VALUES: ("overview", None),
    IMAPLIB: ("imaplib_batch", None),
    _ALL_AT_ONCE: ("imaplib_all", None),
    _ONE_EACH[0]: ("imaplib_one", None),
    RAW_LINES: ("imaplib_overview", None),
    AIOIMAPLIB: ("aioimaplib_batch", None),
    _ONE_EACH[1]: ("aioimaplib_one", None),
    _OTHERS[0]: ("imap_tools_batch", "imap_tools"),
    _OTHERS[1]: ("imapclient_batch", "imapclient"),
    THEIR_VALUES: ("imapclient_overview", "imapclient"),
    _OTHERS[2]: ("twisted_batch", "twisted"),
}
_UNSIZED = (_OTHERS[0], _OTHERS[2], VALUES, RAW_LINES, THEIR_VALUES)
"""Clients that say how many messages came, but not how many bytes."""


class Place:
    """A mailbox of one kind of mail, at one address; makes the commands of the clients for it."""

    def __init__(self, account: Account, kind: Kind, port: int, scratch: Path, count: int) -> None:
        self.account = account
        self.kind = kind
        self.host, self.port = "127.0.0.1", port
        self.scratch = scratch
        self.count = count
        self.batch = 5 if kind.name == "big" else 200

    def python(self, client: str) -> Command:
        """A client of imap_clients.py."""

        def words() -> list[str]:
            where = [self.host, str(self.port), self.account.name, str(self.count), str(self.batch), str(self.fresh())]
            return [sys.executable, "-m", "benchmarks.mail.imap_clients", client, *where]

        return words

    def curl(self) -> list[str]:
        """curl, one connection, a command a message, the messages dropped."""
        url = f"imap://{self.host}:{self.port}/INBOX;UID=[1-{self.count}]"
        return ["curl", "-sS", "--fail", "-u", f"{self.account.name}:{self.account.password}", "-o", "/dev/null", url]

    def mbsync(self) -> list[str]:
        """mbsync to a Maildir, which it does not force onto the disk."""
        folder = self.fresh()
        (folder / "mail").mkdir()
        (folder / "mbsyncrc").write_text(
            f"FSync no\nIMAPAccount there\nHost {self.host}\nPort {self.port}\nUser {self.account.name}\n"
            f'PassCmd "printenv {SECRET}"\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount there\n\n'
            f"MaildirStore near\nInbox {folder}/mail/INBOX\nPath {folder}/mail/\n\n"
            f"Channel all\nFar :far:INBOX\nNear :near:INBOX\nSync Pull New\nCreate Near\nSyncState {folder}/state\n"
        )
        return ["mbsync", "-q", "-c", str(folder / "mbsyncrc"), "all"]

    def fresh(self) -> Path:
        """An empty folder; what the run before left is gone."""
        for old in self.scratch.iterdir():
            shutil.rmtree(old)
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def clients(self, names: Sequence[str]) -> dict[str, Command]:
        """The clients of these names that are here."""
        tools: dict[str, Command] = {CURL: self.curl, MBSYNC: self.mbsync}
        found: dict[str, Command] = {}
        for name in names:
            if name in tools and shutil.which(name.split(",")[0]):
                found[name] = tools[name]
            elif name in _PYTHON and (_PYTHON[name][1] is None or find_spec(str(_PYTHON[name][1]))):
                found[name] = self.python(_PYTHON[name][0])
        return found

    def check(self, name: str, sample: Sample) -> None:
        """Whether all came, as far as the client's way to say so goes.

        Raises:
            Failed: it did not.
        """
        if name == MBSYNC:
            written = sum(path.stat().st_size for path in self.scratch.rglob("cur/*"))
            written += sum(path.stat().st_size for path in self.scratch.rglob("new/*"))
            if written < 0.9 * self.kind.total:  # line ends are LF there
                raise Failed(f"{name}: {written} bytes of {self.kind.total}")
        elif name in _PYTHON:
            is_sized = name not in _UNSIZED and self.count == self.kind.count
            wanted = (self.count, self.kind.total if is_sized else sample.size)
            if (sample.count, sample.size) != wanted:
                raise Failed(f"{name}: {sample.count} messages of {sample.size} bytes; {wanted} wanted")


class Benchmark:
    """The runs, and what came of them."""

    def __init__(self, dovecot: Dovecot, scratch: Path, count: int, quick: bool, log: Callable[[str], None]) -> None:
        self._dovecot = dovecot
        self._scratch = scratch
        self._rounds = count
        self._quick = quick
        self._log = log
        self._filled: dict[str, Account] = {}
        self._port = dovecot.ports["imap"]

    def small(self) -> list[Bar]:
        """10,000 small messages, direct."""
        kind = corpus.small_ones(self._quick)
        mine = (OURS, ONE_CALL, ONE_LIST, SYNC)
        found = self._run(kind, self._port, (*mine, IMAPLIB, _ALL_AT_ONCE, AIOIMAPLIB, *_OTHERS, CURL, MBSYNC))
        print(rounds.table(f"{kind.count} small messages, direct", found, OURS))
        bars = []
        for name in (OURS, ONE_CALL):
            bars += [
                Bar(f"{name}: small, against imaplib's batches", _ratio(found, IMAPLIB, name), 0.8),
                Bar(f"{name}: small, against aioimaplib", _ratio(found, AIOIMAPLIB, name), 5.0),
                Bar(f"{name}: small, peak RSS in MiB", found[name].rss, 40.0, at_most=True),
            ]
            if MBSYNC in found:
                bars.append(Bar(f"{name}: small, against mbsync", _ratio(found, MBSYNC, name), 5.0))
        return bars

    def far(self) -> list[Bar]:
        """10,000 small messages, over the slow line."""
        kind = corpus.small_ones(self._quick)
        with self._slow() as port:
            found = self._run(kind, port, (OURS, ONE_CALL, SYNC, STORING, IMAPLIB, AIOIMAPLIB, *_OTHERS, MBSYNC))
            by = min(_BY, kind.count)
            for name, one in self._run(kind, port, (*_ONE_EACH, STORED, CURL), by).items():
                times = kind.count / by
                found[f"{name} (by {by})"] = one._replace(seconds=one.seconds * times, cpu=one.cpu * times)
        print(rounds.table(f"{kind.count} small messages, {_RTT:g} ms", found, OURS))
        bars = [
            Bar("small, 30 ms, against imaplib's batches", _ratio(found, IMAPLIB), 5.0),
            Bar("small, 30 ms, message by message, seconds", found[OURS].seconds, 3.0, at_most=True),
        ]
        if MBSYNC in found:
            bars.append(Bar("small, 30 ms, against mbsync", _ratio(found, MBSYNC), 8.0))
        return bars

    def overview(self) -> list[Bar]:
        """FLAGS and ENVELOPE of 10,000."""
        kind = corpus.small_ones(self._quick)
        found = self._run(kind, self._port, (VALUES, RAW_LINES, THEIR_VALUES))
        print(rounds.table(f"FLAGS, RFC822.SIZE and ENVELOPE of {kind.count}", found, VALUES))
        times = found[VALUES].seconds / found[RAW_LINES].seconds
        return [Bar("ENVELOPE and FLAGS as values, in imaplib's raw time", times, 2.0, at_most=True)]

    def big(self) -> list[Bar]:
        """50 messages of 5 MiB, direct."""
        kind = corpus.big_ones(self._quick)
        found = self._run(kind, self._port, (OURS, TO_DISK, SYNC, IMAPLIB, AIOIMAPLIB, *_OTHERS, CURL, MBSYNC))
        print(rounds.table(f"{kind.count} messages of 5 MiB, direct", found, OURS))
        return [
            Bar("big, against aioimaplib", _ratio(found, AIOIMAPLIB), 4.5),
            Bar("big, against curl", _ratio(found, CURL), 0.8),
            Bar("big, to disk, peak RSS in MiB", found[TO_DISK].rss, 35.0, at_most=True),
        ]

    def bigfar(self) -> list[Bar]:
        """50 messages of 5 MiB, over the slow line."""
        kind = corpus.big_ones(self._quick)
        with self._slow() as port:
            found = self._run(kind, port, (OURS, TO_DISK, SYNC, IMAPLIB, AIOIMAPLIB, CURL, MBSYNC))
        print(rounds.table(f"{kind.count} messages of 5 MiB, {_RTT:g} ms", found, OURS))
        return []

    def _run(self, kind: Kind, port: int, names: Sequence[str], count: int = 0) -> dict[str, Sample]:
        """The clients of these names at a port, `count` messages each (0: all)."""
        account = self._account(kind)
        place = Place(account, kind, port, self._scratch, count or kind.count)
        env = {SECRET: account.password}
        return rounds.interleaved(place.clients(names), self._rounds, check=place.check, env=env, log=self._log)

    def _account(self, kind: Kind) -> Account:
        """A mailbox with all messages of a kind; all are seen, and the server's index is warm."""
        if kind.name not in self._filled:
            account = self._filled[kind.name] = self._dovecot.new_account()
            for message in kind:
                self._dovecot.deliver(account, message)
            place = Place(account, kind, self._port, self._scratch, kind.count)
            for client in ("storing", "overview", "messages"):
                rounds.run(place.python(client), env={SECRET: account.password})
        return self._filled[kind.name]

    @contextlib.contextmanager
    def _slow(self) -> Iterator[int]:
        with DelayProcess(("127.0.0.1", self._port), rtt=_RTT) as proxy:
            yield proxy.port


SECTIONS = ("small", "far", "overview", "big", "bigfar")


def main(arguments: list[str]) -> int:
    """Run the sections; 0 if every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mail imap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", nargs="*", choices=[*SECTIONS, []], help="which sections (all)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the mail, one round")
    parser.add_argument("--rounds", type=int, help="rounds (3; quick: 1); the medians are shown")
    given = parser.parse_args(arguments)
    count = given.rounds or (1 if given.quick else 3)
    start = time.monotonic()
    bars: list[Bar] = []
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-benchmark-")))
        # With more to choose from, clients would sign in by mechanisms of one to four round trips.
        stack.enter_context(patch.object(dovecot_config, "MECHANISMS", ("plain", "login")))
        dovecot = stack.enter_context(Dovecot())
        benchmark = Benchmark(
            dovecot, scratch, count, given.quick, lambda line: print(line, file=sys.stderr, flush=True)
        )
        for section in given.section or SECTIONS:
            bars += getattr(benchmark, section)()
    print("\n".join(map(str, bars)))
    load = os.getloadavg()[0]
    print(
        f"\n{count} rounds, {os.cpu_count()} cores, load {load:.1f} at the end, {time.monotonic() - start:.0f} s in all"
    )
    return 0 if all(bar.is_met for bar in bars) else 1


def _ratio(found: dict[str, Sample], other: str, ours: str = OURS) -> float:
    return found[other].seconds / found[ours].seconds
