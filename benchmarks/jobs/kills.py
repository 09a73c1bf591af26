"""Runs that are killed: what is lost, doubled and done again, and how soon a long journal goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncnet import jobs
from benchmarks.jobs.page import head
from benchmarks.jobs.process import Failed, run, serving
from benchmarks.jobs.programs import ASYNCNET
from tests.jobs.killed import LIMIT, killed_run

_RESUME_SECONDS = 120.0


def kills(quick: bool) -> Iterator[str]:
    """A run over all protocols, killed with -9 at random moments, and resumed each time."""
    number, count = (5, 1_000) if quick else (100, 20_000)
    columns = ("kills", "lost", "doubled in the output", "repeated", "of these in one run, at most")
    yield head(f"jobs, {LIMIT} at once", *columns)
    with TemporaryDirectory() as folder:
        found = killed_run(Path(folder), number, count)
    once = [name for name, times in found.asked.items() if times > 1 and name.startswith(("POST /once", "SMTP"))]
    figures = (found.kills, len(found.lost), len(found.doubled), found.repeated, found.most_repeated)
    yield f"| {count:,} | {' | '.join(map(str, figures))} |\n"
    yield (
        f"Allowed were {LIMIT} repeated a kill. POSTs without a key and mails that were sent twice: {len(once)}. "
        f"Exit status of the last run {found.status} (some pages are not there)."
    )


def resume(quick: bool) -> Iterator[str]:
    """A journal of 1,000,000 ended jobs: it is opened, and its run goes on with the same list and one URL more."""
    count = 50_000 if quick else 1_000_000
    with TemporaryDirectory() as name, serving("fast") as port:
        folder, base = Path(name), f"http://127.0.0.1:{port}"
        asyncio.run(_ended(folder, base, count))
        seconds, known = asyncio.run(_opened(folder))
        yield head(f"a journal of {count:,} ended jobs", "s", "CPU s", "peak MiB")
        yield f"| `Journal.open(resume=True)`, which knows {known:,} | {seconds:.2f} | | |"
        whole = [*ASYNCNET, "fetch", "-q", "-i", str(folder / "list"), "-o", str(folder / "out.jsonl")]
        ended = run([*whole, "--journal", str(folder / "journal"), "--resume"], _RESUME_SECONDS)
        if ended.status or (lines := _lines(folder / "out.jsonl")) != count + 1:
            raise Failed(f"resumed: status {ended.status}, {ended.err[-1000:] or lines}")
        words = "`asyncnet fetch --resume`, the whole list read again and one URL more fetched"
        yield f"| {words} | {ended.seconds:.2f} | {ended.cpu:.2f} | {ended.rss:.0f} |"


async def _ended(folder: Path, base: str, count: int) -> None:
    """Write the journal and the output of a run that has ended, and its list with one URL more."""
    output = jobs.JsonLines(folder / "out.jsonl")
    journal = await jobs.Journal.open(folder / "journal", output=output)
    with open(folder / "list", "w") as listed:
        for number in range(count + 1):
            url = f"{base}/some/path/{number}"
            listed.write(f"{url}\n")
            if number == count:
                break
            job = jobs.fetch(url)
            journal.asked(job)
            journal.began(job, 1)
            journal.ended(job, jobs.Outcome(url, None, None, 1, 0.001))
            if number % 1000 == 0:
                await asyncio.sleep(0)
    await journal.aclose()


async def _opened(folder: Path) -> tuple[float, int]:
    began = time.perf_counter()
    journal = await jobs.Journal.open(folder / "journal", output=jobs.JsonLines(folder / "out.jsonl"), resume=True)
    seconds, known = time.perf_counter() - began, journal.ended_before
    await journal.aclose()
    return seconds, known


def _lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)
