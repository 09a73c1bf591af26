"""A run over all protocols that is killed again and again, each time at a random moment, and goes on by its journal.

The servers are those of `site.py`, in a process that is not killed and that counts what it is asked for.
"""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.running import ROOT, environment

LIMIT = 32
_GROWTH_SECONDS = 60
_END_SECONDS = 540


@dataclass
class Killed:
    """What became of it.

    Args:
        jobs: the names of all jobs.
    """

    jobs: list[str]
    kills: int = 0
    status: int = 0
    """of the run that came to its end"""
    records: list[dict] = field(default_factory=list)
    """the lines of the output"""
    asked: Counter[str] = field(default_factory=Counter)
    """how often the servers were asked for each job"""
    most_repeated: int = 0
    """jobs that were asked for again between a kill and the next"""

    @property
    def lost(self) -> list[str]:
        """Jobs that the output does not tell of."""
        found = {record["url"] for record in self.records}
        return [name for name in self.jobs if name not in found]

    @property
    def doubled(self) -> list[str]:
        """Jobs that it tells of more than once."""
        found = Counter(record["url"] for record in self.records)
        return [name for name, times in found.items() if times > 1]

    @property
    def repeated(self) -> int:
        """How often something was asked for once more."""
        return _repeated(self.asked)


def killed_run(folder: Path, kills: int, jobs: int, seed: int = 7) -> Killed:
    """Kill the run so often, and let it end then; the kills lie at random moments of it.

    Args:
        folder: for its list, journal and output.
        kills: how many.
        jobs: how many there are.
        seed: of the moments.
    """
    moments = random.Random(seed)
    with _serving() as site:
        lines = list(_lines(site.ports, jobs))
        (folder / "list").write_text("\n".join(lines))
        run = Killed([json.loads(line)["name"] for line in lines])
        repeated = 0
        while True:
            child = subprocess.Popen(_command(folder), cwd=ROOT, env=environment(ASYNCNET_PASSWORD="secret"))
            try:
                if run.kills < kills:
                    _wait_for_growth(folder / "out.jsonl", child, moments.randrange(1, max(2, 2 * jobs // (kills + 2))))
                    if child.poll() is None:
                        child.send_signal(signal.SIGKILL)
                        run.kills += 1
                run.status = child.wait(_END_SECONDS)
            finally:
                child.kill()
                child.wait()
            run.asked = site.asked()
            run.most_repeated = max(run.most_repeated, _repeated(run.asked) - repeated)
            repeated = _repeated(run.asked)
            if run.status != -signal.SIGKILL:
                break
    run.records = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return run


class _Site:
    def __init__(self, child: subprocess.Popen) -> None:
        self._child = child
        self.ports = json.loads(child.stdout.readline())

    def asked(self) -> Counter[str]:
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return Counter(json.loads(self._child.stdout.readline()))


@contextlib.contextmanager
def _serving() -> Iterator[_Site]:
    command = [sys.executable, "-m", "tests.jobs.site"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield _Site(child)
        finally:
            child.stdin.close()
            child.wait(30)


def _lines(ports: dict[str, int], number: int) -> Iterator[str]:
    """Jobs of every kind, each by a name of its own."""
    web = f"http://127.0.0.1:{ports['http']}"
    for at in range(number):
        kind = at % 20
        if kind == 0:
            yield json.dumps({"url": f"pop3://u{at}@127.0.0.1:{ports['pop3']}", "name": f"POP3 u{at}"})
        elif kind == 1:
            yield json.dumps({"url": f"imap://u{at}@127.0.0.1:{ports['imap']}/INBOX", "name": f"IMAP u{at}"})
        elif kind == 2:
            mail = {"method": "SEND", "sender": f"u{at}@a", "recipients": ["b@c"], "body": "Subject: x\r\n\r\ny\r\n"}
            yield json.dumps(mail | {"url": f"smtp://127.0.0.1:{ports['smtp']}", "name": f"SMTP u{at}@a"})
        elif kind in (3, 4):
            word = {"method": "EXCHANGE", "body": f"w{at}\n", "repeatable": True}
            yield json.dumps(word | {"url": f"tcp://127.0.0.1:{ports['tcp']}", "name": f"TCP w{at}"})
        elif kind in (5, 6):
            post = {"method": "POST", "url": f"{web}/once{at}", "json": {"at": at}, "name": f"POST /once{at}"}
            yield json.dumps(post)
        elif kind in (7, 8):
            post = {"method": "POST", "url": f"{web}/keyed{at}", "body": "x", "name": f"POST /keyed{at}"}
            yield json.dumps(post | {"idempotency_key": str(at)})
        else:
            yield json.dumps({"url": f"{web}/page{at}", "name": f"GET /page{at}"})


def _command(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "asyncnet", "fetch", "-q", "-i", str(folder / "list"), "-o", str(folder / "out.jsonl")),
        *("--journal", str(folder / "journal"), "--resume", "--limit", str(LIMIT), "--per-host", str(LIMIT)),
        *("--failed", str(folder / "failed")),
    ]


def _wait_for_growth(path: Path, child: subprocess.Popen, lines: int) -> None:
    """Wait until so many more lines are there."""
    size = path.stat().st_size if path.exists() else 0
    end = time.monotonic() + _GROWTH_SECONDS
    while child.poll() is None and time.monotonic() < end:
        if path.exists() and path.stat().st_size > size + lines * 150:
            break
        time.sleep(0.002)


def _repeated(asked: Counter[str]) -> int:
    return sum(times - 1 for times in asked.values())
