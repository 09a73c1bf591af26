"""The outbox on a real Postfix that greylists and is restarted, killed at random moments: nothing is lost."""

import asyncio
import os
import random
import re
import socketserver
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clock import MS
from tests.real.dovecot import Account, Dovecot
from tests.real.postfix import Postfix
from tests.real.running import running
from tests.smtp import outbox_child

_FIRST = "smtpd_recipient_restrictions =\n"


class _Policy(socketserver.StreamRequestHandler):
    """Postfix asks, attribute by attribute, and is told whether the recipient comes too early."""

    server: "_Greylist"

    def handle(self) -> None:
        wanted = ""
        for raw in self.rfile:
            line = raw.decode().rstrip("\n")
            if line.startswith("recipient="):
                wanted = line.removeprefix("recipient=")
            elif not line:
                action = "450 4.2.0 greylisted" if self.server.is_early(wanted) else "DUNNO"
                self.wfile.write(f"action={action}\n\n".encode())


class _Greylist(socketserver.ThreadingTCPServer):
    """Every tenth recipient, by the number behind the plus sign, is told to come again, twice."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Policy)
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def is_early(self, recipient: str) -> bool:
        with self._lock:
            self.asked[recipient] += 1
            number = re.search(r"\+(\d+)@", recipient)
            return number is not None and int(number[1]) % 10 == 0 and self.asked[recipient] < 3


class GreylistingPostfix(Postfix):
    """A Postfix that asks a greylist first, and can be restarted with its queue and ports."""

    def __init__(self, dovecot: Dovecot, greylist: _Greylist) -> None:
        super().__init__(dovecot)
        self.greylist = greylist

    def configure(self) -> None:
        """As Postfix, with a policy service before all else."""
        super().configure()
        main = self.folder / "config" / "main.cf"
        stat, text = main.stat(), main.read_text()
        assert _FIRST in text
        asking = f"{_FIRST}  check_policy_service inet:127.0.0.1:{self.greylist.server_address[1]}\n"
        main.write_text(text.replace(_FIRST, asking))
        os.utime(main, (stat.st_atime, stat.st_mtime))

    def restart(self) -> None:
        """End it in the middle of whatever it does, and start it again."""
        assert self._process is not None
        self.end(self._process)
        with open(self.folder / "output.log", "ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        self.wait_until_ready()


@pytest.fixture
def greylisting(dovecot: Dovecot) -> Iterator[GreylistingPostfix]:
    with _Greylist() as greylist:
        serving = threading.Thread(target=greylist.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield from running(GreylistingPostfix(dovecot, greylist))
        finally:
            greylist.shutdown()
            serving.join()


async def _nothing_is_lost(
    postfix: GreylistingPostfix, dovecot: Dovecot, account: Account, folder: Path, *, count: int, kills: int
) -> None:
    draw = random.Random(7)
    where = postfix.smtp, count, account.name + "+{0}@example.org"
    restarts = {kills // 3, 2 * kills // 3}
    hits = 0
    for number in range(kills):
        hits += await outbox_child.killed(folder, *where, draw)
        if number in restarts:
            # Postfix stopped in mid-delivery delivers again later: its doubles are not the outbox's.
            await asyncio.to_thread(postfix.wait_until_delivered)
            await asyncio.to_thread(postfix.restart)
    with outbox_child.start(folder, *where) as child:
        await asyncio.sleep(500 * MS)
        assert await asyncio.to_thread(child.wait, 240) == 0
    await asyncio.to_thread(postfix.wait_until_delivered)
    found = [
        re.search(rb"^Message-ID: <(\d+)@", one, re.MULTILINE)
        for one in await asyncio.to_thread(dovecot.wait_for_messages, account, count)
    ]
    got = Counter(int(one[1]) for one in found if one)
    assert set(got) == set(range(count))
    twice, counted = {number for number, times in got.items() if times > 1}, outbox_child.maybe_twice(folder)
    print(f"{hits} kills met it at work; {len(counted)} messages counted as maybe twice, {len(twice)} came twice")
    assert twice <= counted
    assert hits >= kills // 2  # or the messages were too few for the test to show anything
    assert [path for path in folder.glob("*/*") if path.is_file()] == []
    greylisted = [f"{account.name}+{number}@example.org" for number in range(0, count, 10)]
    assert all(postfix.greylist.asked[one] >= 3 for one in greylisted)


async def test_killed_at_random_moments_nothing_is_lost(
    greylisting: GreylistingPostfix, dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    await _nothing_is_lost(greylisting, dovecot, account, tmp_path / "box", count=100, kills=3)


@pytest.mark.slow
async def test_killed_at_50_random_moments_of_2000_messages_nothing_is_lost(
    greylisting: GreylistingPostfix, dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    await _nothing_is_lost(greylisting, dovecot, account, tmp_path / "box", count=2000, kills=50)
