"""A run over all protocols, killed again and again, ends as if nothing had happened.

ASYNCNET_KILLS=100 and ASYNCNET_KILL_JOBS=20000 make it the long one.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import ROOT, environment

KILLS = int(os.environ.get("ASYNCNET_KILLS", "6"))
JOBS = int(os.environ.get("ASYNCNET_KILL_JOBS", "1500"))
LIMIT = 32


class Site:
    """The servers of `site.py`, in a process that is not killed."""

    def __init__(self, child: subprocess.Popen) -> None:
        self._child = child
        self.ports = json.loads(child.stdout.readline())

    def asked(self) -> Counter[str]:
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return Counter(json.loads(self._child.stdout.readline()))


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    command = [sys.executable, "-m", "tests.jobs.site"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield Site(child)
        finally:
            child.stdin.close()
            child.wait(30)


def lines(ports: dict[str, int], number: int) -> Iterator[str]:
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


def command(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "asyncnet", "fetch", "-q", "-i", str(folder / "list"), "-o", str(folder / "out.jsonl")),
        *("--journal", str(folder / "journal"), "--resume", "--limit", str(LIMIT), "--per-host", str(LIMIT)),
        *("--failed", str(folder / "failed")),
    ]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_whole(tmp_path):
    random_ = random.Random(7)
    kills = 0
    with serving() as site:
        (tmp_path / "list").write_text("\n".join(lines(site.ports, JOBS)))
        names = [json.loads(line)["name"] for line in (tmp_path / "list").read_text().splitlines()]
        while True:
            options = {"cwd": ROOT, "env": environment(ASYNCNET_PASSWORD="secret")}
            child = subprocess.Popen(command(tmp_path), **options)
            if kills < KILLS:
                _wait_for_growth(tmp_path / "out.jsonl", child, random_.randrange(1, max(2, 2 * JOBS // (KILLS + 2))))
                if child.poll() is None:
                    child.send_signal(signal.SIGKILL)
                    kills += 1
            status = child.wait(540)
            if status != -signal.SIGKILL:
                break
        asked = site.asked()
    assert status == 1, "some pages are not there"
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = Counter(_name(record) for record in records)
    assert [name for name, times in found.items() if times > 1] == [], "doubled"
    lost = {name for name in names if name not in found}
    assert not lost
    assert len(found) == JOBS
    repeated = sum(times - 1 for times in asked.values())
    print(f"{kills} kills, {JOBS} jobs: 0 lost, 0 doubled, {repeated} asked for again")
    assert repeated <= kills * LIMIT
    once = {name: times for name, times in asked.items() if name.startswith(("POST /once", "SMTP")) and times > 1}
    assert once == {}, "what must not be done twice was"
    bad = {_name(record) for record in records if not record["ok"] and record["error"]["type"] != "StatusError"}
    assert all(name.startswith(("http://", "smtp://")) or name.startswith(("POST", "SMTP")) for name in bad)


def _name(record: dict) -> str:
    return record["url"]


def _wait_for_growth(path: Path, child: subprocess.Popen, lines_: int) -> None:
    """Wait until so many more lines are there, and a random moment more."""
    size = path.stat().st_size if path.exists() else 0
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if path.exists() and path.stat().st_size > size + lines_ * 150:
            break
        time.sleep(0.002)
