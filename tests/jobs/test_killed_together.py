"""Jobs that end without waiting are written together; killed at any moment, a run keeps its word all the same."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from asyncnet.jobs import Journal, JsonLines, as_completed, call
from tests.cli.running import ROOT
from tests.jobs.test_journal import written

LIMIT = 16
JOBS = 20_000
KILLS = 25
PROGRAM = """
import asyncio, pathlib, sys
from tests.jobs.test_killed_together import work
asyncio.run(work(pathlib.Path(sys.argv[1])))
"""


async def work(folder: Path) -> None:
    """Go on with the run; note each job that is done, and each outcome that is seen, in files of their own."""
    with open(folder / "done", "ab", buffering=0) as done, open(folder / "seen", "ab", buffering=0) as seen:

        async def one(name: str) -> None:
            done.write(name.encode() + b"\n")

        journal = await Journal.open(folder / "journal", output=JsonLines(folder / "out"), resume=True, batch=3000)
        source = (call(one, name, name=name) for name in map(str, range(JOBS)))
        async for outcome in as_completed(source, limit=LIMIT, observers=[journal]):
            seen.write(outcome.name.encode() + b"\n")


def names_in(path: Path) -> Counter[str]:
    return Counter(path.read_text().split("\n")[:-1]) if path.exists() else Counter()


@pytest.mark.slow
def test_no_outcome_that_was_seen_is_done_again_and_limit_at_most_are(tmp_path):
    random_, kills = random.Random(11), 0
    while True:
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT)
        before = names_in(tmp_path / "done").total()
        if kills < KILLS:
            wanted, end = before + random_.randrange(1, 2 * JOBS // (KILLS + 5)), time.monotonic() + 60
            while child.poll() is None and names_in(tmp_path / "done").total() < wanted and time.monotonic() < end:
                time.sleep(random_.random() / 500)
            child.send_signal(signal.SIGKILL)
            kills += 1
        if child.wait(120) == 0:
            break
    done, seen = names_in(tmp_path / "done"), names_in(tmp_path / "seen")
    every = set(map(str, range(JOBS)))
    assert sorted(written(tmp_path / "out"), key=int) == sorted(every, key=int)
    assert set(done) == every
    assert max(seen.values()) == 1, "seen once, it is never done again"
    assert done.total() - JOBS <= kills * LIMIT
    print(f"{kills} kills: {done.total() - JOBS} of {JOBS} done again")
