"""The journal: what is asked, begun and ended outlives the process, whatever moment it is killed at."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from asyncnet.daemon import in_daemon
from asyncnet.errors import ClosedError, ConnectError, NetError, UsageError
from asyncnet.jobs import Job, Outcome, Report, as_completed, call, run
from asyncnet.jobs.holding import opened
from asyncnet.jobs.journal import Journal
from asyncnet.jobs.ledger import Ledger
from asyncnet.jobs.outputs import JsonLines, Sqlite
from asyncnet.jobs.recovery import recovered
from asyncnet.jobs.saving import Files
from tests.clock import MS


async def nothing() -> None:
    """Work of no kind: these tests tell the journal themselves what happens."""


def job(name: str) -> Job[None]:
    return call(nothing, name=name)


def done(name: str, value: object = b"body") -> Outcome:
    return Outcome(name, value, None, 1, 0.5)


def failed(name: str, error: Exception | None = None) -> Outcome:
    return Outcome(name, None, error or ConnectError("refused"), 2, 0.25)


def written(path: Path) -> list[str]:
    """The names in an output, in order; each line has to be whole."""
    return [json.loads(line)["url"] for line in path.read_text().splitlines()]


def rows(folder: Path) -> list[tuple]:
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        found = database.execute("SELECT name, state, attempts, error, transient FROM jobs ORDER BY number").fetchall()
    database.close()
    return found


class Crash:
    """A journal and its output as a killed process leaves them: the log may be cut anywhere behind."""

    def __init__(self, at: Path) -> None:
        self.folder = at / "journal"
        self.out = at / "out.jsonl"

    def copy_to(self, at: Path) -> "Crash":
        shutil.copytree(self.folder, at / "journal")
        shutil.copy(self.out, at / "out.jsonl")
        return Crash(at)

    async def open(self, **options) -> Journal:
        return await Journal.open(self.folder, output=JsonLines(self.out), resume=True, **options)

    @property
    def log(self) -> Path:
        return max(self.folder.glob("log.*"), key=lambda path: int(path.suffix[1:]))


def play(journal: Journal, *names: str, until: str = "ended") -> list[bool]:
    """Do these jobs, in three waves, as far as they are to come."""
    jobs = [job(name) for name in names]
    answers = [journal.asked(one) for one in jobs]
    wanted = [one for one, answer in zip(jobs, answers, strict=True) if answer]
    if until in ("began", "ended"):
        for one in wanted:
            journal.began(one, 1)
    if until == "ended":
        for one in wanted:
            journal.ended(one, done(one.name))
    return answers


async def test_what_has_ended_is_told_to_people_by_sqlite(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    first, second = job("one"), job("two")
    for one in (first, second):
        assert journal.asked(one)
        journal.began(one, 1)
    journal.ended(second, failed("two"))
    journal.ended(first, done("one"))
    await journal.aclose()
    assert rows(tmp_path / "run") == [("two", "failed", 2, "ConnectError", 1), ("one", "done", 1, None, None)]


async def test_a_run_that_goes_on_leaves_out_what_has_ended(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    play(journal, "a", "b")
    play(journal, "c", until="began")
    await journal.aclose()
    again = await Journal.open(tmp_path / "run", resume=True)
    assert (again.ended_before, again.lost) == (2, [])
    assert play(again, "a", "b", "c", "d") == [False, False, True, True]
    assert again.skipped == 2
    assert again.knows("a")
    assert again.knows("d")
    assert not again.knows("e")
    await again.aclose()
    assert [name for name, *_ in rows(tmp_path / "run")] == ["a", "b", "c", "d"]


async def test_what_is_to_be_refused_is_not_passed_over_unasked(tmp_path):
    journal = await Journal.open(tmp_path / "run", dedup="refuse", batch=1)
    play(journal, "a")
    assert not journal.knows("a")  # it is asked for twice, in one run
    await journal.aclose()
    again = await Journal.open(tmp_path / "run", dedup="refuse", resume=True)
    assert again.knows("a")
    await again.aclose()


async def test_more_jobs_than_a_row_holds_are_all_known_again_in_any_order(tmp_path):
    names = [f"job {number}" for number in range(2_345)]
    journal = await Journal.open(tmp_path / "run")
    play(journal, *names)
    await journal.aclose()
    assert [name for name, *_ in rows(tmp_path / "run")] == names
    again = await Journal.open(tmp_path / "run", resume=True)
    assert again.ended_before == len(names)
    assert all(again.knows(name) for name in reversed(names))
    assert play(again, *names[:3], "another") == [False, False, False, True]
    await again.aclose()


async def test_a_failure_has_ended_too(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    one = job("a")
    journal.asked(one)
    journal.began(one, 1)
    journal.ended(one, failed("a"))
    await journal.aclose()
    again = await Journal.open(tmp_path / "run", resume=True)
    assert not again.asked(job("a"))
    await again.aclose()


async def test_what_the_run_had_no_time_for_has_not_ended(tmp_path):
    journal = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"))
    one = job("a")
    journal.asked(one)
    journal.ended(one, Outcome("a", None, NetError("late"), 0))
    await journal.aclose()
    assert written(tmp_path / "out") == []
    again = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), resume=True)
    assert again.asked(job("a"))
    await again.aclose()


async def test_a_doubled_key_is_left_out_or_refused(tmp_path):
    skipping = await Journal.open(tmp_path / "one")
    assert play(skipping, "a", "a", "b") == [True, False, True]
    assert play(skipping, "a") == [False]
    await skipping.aclose()
    refusing = await Journal.open(tmp_path / "two", dedup="refuse")
    with pytest.raises(UsageError, match="asked for twice: a"):
        play(refusing, "a", "a")
    await refusing.aclose()
    ended = await Journal.open(tmp_path / "three", dedup="refuse")
    play(ended, "a")
    with pytest.raises(UsageError, match="asked for twice"):
        play(ended, "a")
    await ended.aclose()


async def test_keys_that_share_a_bit_are_told_apart(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    journal._seen[:] = b"\xff" * len(journal._seen)  # as after a thousand million keys
    assert play(journal, "a", "b", "a") == [True, True, False]
    await journal.aclose()


async def test_two_processes_have_no_journal_together(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    with pytest.raises(UsageError, match="another process has the journal"):
        await Journal.open(tmp_path / "run", resume=True)
    await journal.aclose()
    await (await Journal.open(tmp_path / "run", resume=True)).aclose()


async def test_a_journal_is_gone_on_with_only_when_that_is_asked_for(tmp_path):
    await (await Journal.open(tmp_path / "run", resume=True)).aclose()  # nothing to go on with is no fault
    with pytest.raises(UsageError, match="resume it, or name another"):
        await Journal.open(tmp_path / "run")
    await (await Journal.open(tmp_path / "run", resume=True)).aclose()


async def test_what_cannot_be_a_journal_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be used"):
        await Journal.open(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "ledger.sqlite").write_bytes(b"no database at all, and long enough to be seen as none" * 9)
    with pytest.raises(UsageError, match="cannot be used"):
        await Journal.open(tmp_path / "folder")


async def test_no_secret_is_written(tmp_path):
    from asyncnet.jobs import fetch

    journal = await Journal.open(tmp_path / "run")
    one = fetch("https://example.org/a?token=hunter2")
    journal.asked(one)
    journal.began(one, 1)
    journal.ended(one, failed(one.name, ValueError("hunter2")))
    text = b"".join(path.read_bytes() for path in (tmp_path / "run").iterdir())
    await journal.aclose()
    text += b"".join(path.read_bytes() for path in (tmp_path / "run").iterdir())
    assert b"https://example.org/a" in text
    assert b"hunter2" not in text
    assert b"token" not in text


async def test_after_its_end_nothing_is_written(tmp_path):
    journal = await Journal.open(tmp_path / "run")
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(ClosedError):
        journal.asked(job("a"))


# merging


async def test_many_jobs_are_merged_while_others_go_on(tmp_path):
    journal = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), batch=10)
    slow = job("slow")
    journal.asked(slow)
    journal.began(slow, 1)
    journal.committing(slow)
    for number in range(95):
        play(journal, f"{number}", f"{number}")
        await asyncio.sleep(0)
        if number % 10 == 0 and journal._merge is not None:
            await journal._merge
    names = [path.name for path in (tmp_path / "run").glob("log.*")]
    assert len(names) <= 2, "what was merged is removed"
    journal.ended(slow, done("slow"))
    assert play(journal, "3", "94", "95") == [False, False, True]
    await journal.aclose()
    assert sorted(name for name, *_ in rows(tmp_path / "run")) == sorted([*map(str, range(96)), "slow"])
    assert sorted(written(tmp_path / "out")) == sorted([*map(str, range(96)), "slow"])


async def test_a_job_that_outlasts_a_merge_is_still_known_after_a_crash(tmp_path):
    crash = Crash(tmp_path / "one")
    (tmp_path / "one").mkdir()
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out), batch=4)
    slow, sent = job("slow"), job("sent")
    for one in (slow, sent):
        journal.asked(one)
        journal.began(one, 1)
    journal.committing(sent)
    play(journal, *"abcdefgh")
    await journal._merge
    (tmp_path / "two").mkdir()
    killed = crash.copy_to(tmp_path / "two")
    await journal.aclose()
    again = await killed.open()
    assert play(again, "slow", "sent", *"abcdefgh") == [True] + [False] * 9
    assert [outcome.name for outcome in again.lost] == ["sent"]
    assert again.lost[0].error.outcome_unknown
    await again.aclose()
    assert sorted(written(killed.out)) == sorted(["slow", "sent", *"abcdefgh"])


async def test_a_merge_that_was_cut_off_is_done_again(tmp_path):
    (tmp_path / "one").mkdir()
    crash = Crash(tmp_path / "one")
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out))
    play(journal, "a", "b")
    before = crash.log.read_bytes()
    await journal.aclose()
    (crash.folder / "log.1").write_bytes(before)  # merged, and not removed: the process was killed in between
    again = await crash.open()
    assert again.ended_before == 2
    assert not (crash.folder / "log.1").exists()
    await again.aclose()
    assert [name for name, *_ in rows(crash.folder)] == ["a", "b"]


async def test_the_folder_is_not_given_free_while_a_thread_merges_though_its_caller_was_cancelled(
    tmp_path, monkeypatch
):
    merging, may_end = threading.Event(), threading.Event()
    real = Ledger.merge

    def slow(self, *rest):
        merging.set()
        assert may_end.wait(10)
        real(self, *rest)

    monkeypatch.setattr(Ledger, "merge", slow)
    journal = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"))
    play(journal, "a", "b")
    closing = asyncio.ensure_future(journal.aclose())
    assert await in_daemon(lambda: merging.wait(10))
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(ClosedError):
        journal.asked(job("c"))
    await journal.aclose()  # which waits for nothing more
    with pytest.raises(UsageError, match="another process has the journal"):
        await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), resume=True)
    may_end.set()
    monkeypatch.undo()
    for _ in range(1000):
        await asyncio.sleep(1 * MS)
        with contextlib.suppress(UsageError):
            again = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), resume=True)
            break
    assert again.ended_before == 2
    await again.aclose()
    assert written(tmp_path / "out") == ["a", "b"]


@pytest.mark.parametrize("at", ["while it locks", "when it has"])
async def test_a_journal_whose_opening_was_cancelled_gives_the_folder_free(tmp_path, monkeypatch, at):
    begun, may_end, real = threading.Event(), threading.Event(), Ledger.__init__

    def slow(self, folder):
        if at == "when it has":
            real(self, folder)
        begun.set()
        assert may_end.wait(10)
        if at == "while it locks":
            real(self, folder)

    monkeypatch.setattr(Ledger, "__init__", slow)
    closed, close = threading.Event(), Ledger.close
    monkeypatch.setattr(Ledger, "close", lambda self: (close(self), closed.set()))
    opening = asyncio.ensure_future(Journal.open(tmp_path / "run"))
    assert await in_daemon(lambda: begun.wait(10))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    may_end.set()
    assert await in_daemon(lambda: closed.wait(10))
    monkeypatch.undo()
    await (await Journal.open(tmp_path / "run")).aclose()


async def test_what_a_thread_has_opened_when_its_caller_is_cancelled_is_closed():
    there, closed = threading.Event(), []
    opening = asyncio.ensure_future(opened(lambda: there.set() or "it", closed.append))
    await asyncio.sleep(0)
    assert there.wait(10)
    threading.Event().wait(20 * MS)  # so that the loop has what the thread gave, and the caller has not yet
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert closed == ["it"]


async def test_the_keys_of_what_has_ended_have_a_bound_though_a_merge_takes_long(tmp_path, monkeypatch):
    real, most = Ledger.merge, 0

    def slow(self, *rest):
        time.sleep(50 * MS)
        real(self, *rest)

    monkeypatch.setattr(Ledger, "merge", slow)
    monkeypatch.setattr("asyncnet.jobs.journal._MOST_BATCHES", 8)
    journal = await Journal.open(tmp_path / "run", batch=5)
    async for _ in as_completed((job(f"{n}") for n in range(400)), limit=4, observers=[journal]):
        most = max(most, len(journal._recent))
    assert most < 200
    assert len(rows(tmp_path / "run")) == 400


async def test_closing_a_journal_again_does_not_meet_the_merge_that_was_cancelled(tmp_path, monkeypatch):
    merging, may_end, real = threading.Event(), threading.Event(), Ledger.merge

    def slow(self, *rest):
        merging.set()
        assert may_end.wait(10)
        real(self, *rest)

    monkeypatch.setattr(Ledger, "merge", slow)
    journal = await Journal.open(tmp_path / "run", batch=2)
    play(journal, *"abc")
    assert await in_daemon(lambda: merging.wait(10))
    closing = asyncio.ensure_future(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await journal.aclose()
    may_end.set()


async def test_a_log_that_cannot_be_begun_leaves_none_open(tmp_path, monkeypatch):
    journal = await Journal.open(tmp_path / "run", batch=2)
    play(journal, "slow", until="began")
    real, log = os.write, journal._log
    monkeypatch.setattr(os, "write", lambda to, data: real(to, data if to == log else data[:3]))
    with pytest.raises(OSError, match="cannot be written"):
        play(journal, "a", "b")
    monkeypatch.undo()
    await journal.aclose()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(log)


async def test_a_log_ends_with_the_job_that_fills_it(tmp_path):
    journal = await Journal.open(tmp_path / "run", batch=10)
    for number in range(10):
        one = job(f"job {number}")
        journal.asked(one)
        journal.began(one, 1)
        journal.note(one, done(one.name))
    await journal._merge
    assert len(rows(tmp_path / "run")) == 10
    assert [journal.knows(f"job {number}") for number in range(11)] == [True] * 10 + [False]
    await journal.aclose()


@pytest.mark.parametrize("limit", [1, 8, 64])
async def test_no_outcome_is_seen_that_a_killed_process_would_not_know(tmp_path, limit):
    crash, seen = Crash(tmp_path), []
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out), batch=60)
    names = [f"job {number}" for number in range(150)]
    outcomes = as_completed((job(name) for name in names), limit=limit, observers=[journal])
    async for outcome in outcomes:
        seen.append(outcome.name)
        if len(seen) % 30 == 7:
            at = tmp_path / f"{len(seen)}"
            at.mkdir()
            killed = crash.copy_to(at)
            again = await killed.open()
            assert again.ended_before >= len(seen)
            assert not any(play(again, *seen, until="asked"))
            await again.aclose()
            assert set(seen) <= set(written(killed.out))
    assert sorted(written(crash.out)) == sorted(seen) == sorted(names)


# crashes


async def _killed(at: Path, *, files: bool = False) -> tuple[Crash, list[int]]:
    """A run of six jobs, killed: two ended, one failed, one committed, one begun, one asked; and where events end."""
    at.mkdir()
    crash = Crash(at)
    saver = Files(str(at / "files")) if files else None
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out, files=saver))
    ends = [0]

    def note(*_: object) -> None:
        journal._flush()  # as if each event had been the last
        ends.append(crash.log.stat().st_size)

    jobs = {name: job(name) for name in ("a", "b", "c", "sent", "begun", "asked")}
    for one in jobs.values():
        note(journal.asked(one))
    for name in ("a", "b", "c", "sent", "begun"):
        note(journal.began(jobs[name], 1))
    note(journal.committing(jobs["sent"]))
    note(journal.ended(jobs["b"], done("b")))
    note(journal.ended(jobs["c"], failed("c")))
    note(journal.ended(jobs["a"], done("a")))
    (at / "kept").mkdir()
    crash.copy_to(at / "kept")
    await journal.aclose()
    return Crash(at / "kept"), ends


async def test_at_every_byte_the_log_may_end(tmp_path):
    crash, ends = await _killed(tmp_path / "run")
    data, length = crash.log.read_bytes(), crash.out.stat().st_size
    assert ends[-1] == len(data)

    class Cut:
        position = 0

        def log(self, number: int) -> Path:
            return tmp_path / "cut"

    for at in range(len(data) + 1):
        (tmp_path / "cut").write_bytes(data[:at])
        found = recovered(Cut(), [1], length)
        whole = sum(end <= at for end in ends[1:])
        assert len(found.lines[1]) == ends[whole], at
        asked = set(["a", "b", "c", "sent", "begun", "asked"][: min(whole, 6)])
        sent = {"sent"} if whole >= 12 else set()
        ended = set(["b", "c", "a"][: max(0, whole - 12)])
        assert set(found.unfinished.values()) == asked - sent - ended, at
        assert {lost.name for lost in found.lost} == sent, at
        assert len(crash.out.read_bytes()[: found.position].splitlines()) == len(ended), at


async def test_from_every_event_a_run_goes_on_to_the_same_end(tmp_path):
    crash, ends = await _killed(tmp_path / "run")
    for number, end in enumerate(ends):
        at = tmp_path / f"{number}"
        at.mkdir()
        copy = crash.copy_to(at)
        os.truncate(copy.log, min(end + number % 3, ends[-1]))  # and sometimes a byte or two of the next
        journal = await copy.open()
        play(journal, "a", "b", "c", "sent", "begun", "asked")
        await journal.aclose()
        assert sorted(written(copy.out)) == ["a", "asked", "b", "begun", "c", "sent"], number
        assert sorted(name for name, *_ in rows(copy.folder)) == ["a", "asked", "b", "begun", "c", "sent"], number
        lost = [name for name, state, *_ in rows(copy.folder) if name == "sent" and state == "failed"]
        assert lost == (["sent"] if number >= 12 else [])


async def test_a_crash_while_it_recovers_is_no_other(tmp_path, monkeypatch):
    crash, _ = await _killed(tmp_path / "run")
    for number, name in enumerate(["merge", "walk", "ended_keys"]):
        at = tmp_path / name
        at.mkdir()
        copy = crash.copy_to(at)
        with monkeypatch.context() as patch:
            patch.setattr(f"asyncnet.jobs.ledger.Ledger.{name}", _dying)
            with pytest.raises(KeyboardInterrupt):
                await copy.open()
        journal = await copy.open()
        play(journal, "a", "b", "c", "sent", "begun", "asked")
        await journal.aclose()
        assert sorted(written(copy.out)) == ["a", "asked", "b", "begun", "c", "sent"], number


def _dying(*_: object) -> None:
    raise KeyboardInterrupt


async def test_a_power_cut_that_took_the_end_of_the_output_takes_its_jobs_back(tmp_path):
    crash, _ = await _killed(tmp_path / "run")
    lines = crash.out.read_bytes().splitlines(keepends=True)
    crash.out.write_bytes(lines[0] + lines[1][:7])
    journal = await crash.open()
    play(journal, "a", "b", "c", "sent", "begun", "asked")
    await journal.aclose()
    assert sorted(written(crash.out)) == ["a", "asked", "b", "begun", "c", "sent"]


async def test_a_damaged_line_ends_the_log(tmp_path, caplog):
    crash, ends = await _killed(tmp_path / "run")
    with open(crash.log, "r+b") as log:
        log.seek(ends[12])  # the first end
        log.write(b"\0" * 16)
    journal = await crash.open()
    assert "damaged" in caplog.text
    play(journal, "a", "b", "c", "begun", "asked")
    await journal.aclose()
    assert sorted(written(crash.out)) == ["a", "asked", "b", "begun", "c", "sent"]


async def test_a_commitment_behind_a_damaged_line_still_holds(tmp_path):
    crash, ends = await _killed(tmp_path / "run")
    for at in (3, 8):  # that "sent" was asked for, and that it began
        copy = crash.copy_to(_made(tmp_path / f"{at}"))
        with open(copy.log, "r+b") as log:
            log.seek(ends[at])
            log.write(b"\0" * 8)
        journal = await copy.open()
        play(journal, "a", "b", "c", "begun", "asked")
        await journal.aclose()
        assert len(journal.lost) == 1, "it may have been done: it is not done again"
        assert len(copy.out.read_bytes().splitlines()) == 6, "and nothing is doubled"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


WRONG = [
    "null", "true", "-1", "0", "7", "1.5", "NaN", "Infinity", "-Infinity", "1e999", "9223372036854775808", "9" * 5000,
    '""', '"x"', '"\\u0000"', '"\\ud800"', "[]", "[7]", "{}", "[" * 3000, '{"a":', " 7", "7 ", "\u00fc",
]  # fmt: skip
"""values of JSON, or not even that, that are edited into a line"""


def _damaged(data: bytes, lot: random.Random) -> bytes:
    """Give a log that something has happened to."""
    lines = data.splitlines(keepends=True)
    for _ in range(lot.randint(1, 3)):
        at = lot.randrange(len(lines))
        match lot.randrange(7):
            case 0:  # one field is another
                fields = lines[at].rstrip(b"]\n").lstrip(b"[").split(b",")
                fields[lot.randrange(len(fields))] = lot.choice(WRONG).encode()
                lines[at] = b"[%b]\n" % b",".join(fields)
            case 1:  # fewer or more of them
                fields = lines[at].rstrip(b"]\n").lstrip(b"[").split(b",")
                fields = fields[: lot.randrange(len(fields))] if lot.random() < 0.5 else fields * 2
                lines[at] = b"[%b]\n" % b",".join(fields)
            case 2:  # bits are flipped
                line = bytearray(lines[at])
                line[lot.randrange(len(line))] ^= 1 << lot.randrange(8)
                lines[at] = bytes(line)
            case 3:  # a page was never written
                lines[at] = b"\0" * len(lines[at])
            case 4:
                lines[at] = lot.choice([b"\n", b"garbage\n", b"[]\n", b"7\n", lines[at][: len(lines[at]) // 2]])
            case 5:
                lines.insert(at, lot.choice(lines))
            case 6:
                del lines[at]
        lines = lines or [b"\n"]
    whole = b"".join(lines)
    return whole[: lot.randrange(len(whole) + 1)] if lot.random() < 0.3 else whole


async def test_a_log_that_was_damaged_or_edited_in_any_way_is_read(tmp_path):
    crash, _ = await _killed(tmp_path / "run", files=True)
    data, length = crash.log.read_bytes(), crash.out.stat().st_size
    lot = random.Random(20)

    class Damaged:
        position = 0

        def log(self, number: int) -> "Damaged":
            return self

        def read_bytes(self) -> bytes:
            return _damaged(data, lot)

    for _ in range(3000):
        found = recovered(Damaged(), [1], lot.choice([None, length]))
        assert found.position >= 0
        lost = {one.key for one in found.lost}
        assert not lost & found.unfinished.keys()
        for line in found.lines[1].splitlines(keepends=True):
            assert isinstance(json.loads(line), list), "whatever is merged can be read again"


async def test_a_journal_that_was_damaged_or_edited_in_any_way_goes_on_or_says_why_not(tmp_path):
    crash, _ = await _killed(tmp_path / "run")
    data, lot, fates = crash.log.read_bytes(), random.Random(21), Counter()
    for number in range(60):
        copy = crash.copy_to(_made(tmp_path / f"{number}"))
        copy.log.write_bytes(_damaged(data, lot))
        try:
            journal = await copy.open()
        except (UsageError, OSError) as error:
            fates[type(error)] += 1
            continue
        play(journal, "a", "b", "c", "sent", "begun", "asked")
        await journal.aclose()
        fates[None] += 1
        assert len(rows(copy.folder)) >= 5
    assert fates[None] > 40


@pytest.mark.parametrize(
    "edit",
    [
        "DELETE FROM merged", "UPDATE merged SET log = 'x'", "UPDATE merged SET log = -1",
        "UPDATE merged SET log = 9223372036854775807", "UPDATE merged SET position = 1e300", "DROP TABLE ended",
        "UPDATE merged SET failed = x'00'", "UPDATE ended SET keys = x'0102'", "UPDATE ended SET keys = 7.5",
        "UPDATE ended SET keys = 'text'", "PRAGMA user_version = 77", "DROP TABLE known",
    ],
)  # fmt: skip
async def test_a_ledger_that_was_edited_is_one_typed_error(edit, tmp_path):
    journal = await Journal.open(tmp_path / "run")
    play(journal, "a", "b")
    await journal.aclose()
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "ledger.sqlite")) as ledger:
        ledger.execute(edit)
        ledger.commit()
    fate = await _fate(tmp_path / "run")
    if edit.startswith(("DROP", "DELETE")) or "failed" in edit:  # what is gone is made again, and a count begins anew
        assert fate in (UsageError, OSError, None)
    else:
        assert fate in (UsageError, OSError)


async def test_another_output_is_refused(tmp_path):
    journal = await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"))
    play(journal, "a")
    await journal.aclose()
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(UsageError, match="shorter"):
        await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), resume=True)


async def test_an_output_that_holds_something_is_not_written_over(tmp_path):
    (tmp_path / "out").write_text("precious")
    for _ in range(2):
        with pytest.raises(UsageError, match="there is something in"):
            await Journal.open(tmp_path / "run", output=JsonLines(tmp_path / "out"), resume=True)
    assert (tmp_path / "out").read_text() == "precious"


async def test_files_of_a_job_that_did_not_end_are_not_doubled(tmp_path):
    crash, ends = await _killed(tmp_path / "run", files=True)
    files = tmp_path / "run" / "files"
    assert sorted(path.name for path in files.iterdir()) == ["a", "b"]
    (files / ".asyncnet-x.part").write_bytes(b"half")
    os.truncate(crash.log, ends[-1] - 1)  # the file of "a" is there, and that it ended was not written
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out, files=Files(str(files))), resume=True)
    assert sorted(path.name for path in files.iterdir()) == ["b"]
    play(journal, "a", "b", "c", "begun", "asked")
    await journal.aclose()
    assert sorted(path.name for path in files.iterdir()) == ["a", "asked", "b", "begun"]


async def test_a_file_of_somebody_else_is_not_taken_for_a_half_ended_one(tmp_path):
    crash, ends = await _killed(tmp_path / "run", files=True)
    os.truncate(crash.log, ends[-1] - 1)
    path = tmp_path / "run" / "files" / "a"
    path.rename(tmp_path / "moved")
    path.write_bytes(b"somebody else's")
    await (await crash.open()).aclose()
    assert path.read_bytes() == b"somebody else's"


async def test_sqlite_has_each_job_once_wherever_it_was_killed(tmp_path):
    (tmp_path / "one").mkdir()
    crash = Crash(tmp_path / "one")
    journal = await Journal.open(crash.folder, output=Sqlite(tmp_path / "one" / "out.sqlite"))
    play(journal, "a", "b")
    shutil.copytree(crash.folder, tmp_path / "killed")
    await journal.aclose()
    log = tmp_path / "killed" / "log.1"
    os.truncate(log, log.stat().st_size - 5)  # b was kept, and that was not written
    again = await Journal.open(tmp_path / "killed", output=Sqlite(tmp_path / "one" / "out.sqlite"), resume=True)
    assert play(again, "a", "b", "c") == [False, True, True]
    await again.aclose()
    database = sqlite3.connect(tmp_path / "one" / "out.sqlite")
    found = database.execute("SELECT url, ok, body FROM outcomes ORDER BY url").fetchall()
    database.close()
    assert found == [("a", 1, b"body"), ("b", 1, b"body"), ("c", 1, b"body")]


WRONG = ["smtp://a.example/?token=hunter2", "https://a b/?token=hunter2", "no://a/?hunter2"]


@pytest.mark.parametrize("wrong", [*WRONG, job('{"url": "https://a.example/?token=hunter2"}')])
async def test_the_query_of_a_line_that_is_wrong_is_not_shown(wrong, tmp_path):
    journal, report = await Journal.open(tmp_path / "run"), Report(tmp_path / "run.html")
    (outcome,) = await run([wrong], observers=[journal, report])
    assert "hunter2" in outcome.name, "whose outcome it is has to be known"
    assert rows(tmp_path / "run")[0][0] == outcome.name.partition("?")[0]
    for path in (tmp_path / "run.html", *(tmp_path / "run").iterdir()):
        assert b"hunter2" not in path.read_bytes()


# a disk that fails


async def test_a_full_disk_ends_the_run_and_the_log_stays_readable(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    crash = Crash(tmp_path / "one")
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out))
    play(journal, "a")
    counted = itertools.count()
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2] if next(counted) == 0 else data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="cannot be written"):
        play(journal, "b", until="began") and journal.committing(next(iter(journal._keys)))
    with pytest.raises(ClosedError):
        journal.asked(job("c"))
    monkeypatch.undo()
    await journal.aclose()
    again = await crash.open()
    assert play(again, "a", "b", "c") == [False, True, True]
    await again.aclose()


@pytest.mark.parametrize("size", [10, 10_000], ids=["small lines", "long lines"])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_disk_that_is_full_for_the_output_tells_of_no_end_that_is_not_there(tmp_path, monkeypatch, at, size):
    crash = Crash(tmp_path)
    names = [f"job {number}" for number in range(60)]

    async def text(name: str) -> str:
        return name * size

    def source():
        return [call(text, name, name=name) for name in names]

    output = JsonLines(crash.out)
    journal = await Journal.open(crash.folder, output=output)
    counted, real = itertools.count(), os.write

    def full(descriptor: int, data: bytes) -> int:
        if descriptor == output._descriptor and next(counted) == at:
            real(descriptor, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    seen = []
    with pytest.raises(OSError, match=r"No space|could not be written"):
        async for outcome in as_completed(source(), limit=16, observers=[journal]):
            seen.append(outcome.name)
    monkeypatch.undo()
    again = await crash.open()
    assert again.ended_before >= len(seen)
    rest = await run(source(), limit=16, observers=[again])
    assert len(rest) == len(names) - again.ended_before
    assert sorted(written(crash.out)) == sorted(names)


async def test_a_merge_that_fails_ends_the_run_and_loses_nothing(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    crash = Crash(tmp_path / "one")
    journal = await Journal.open(crash.folder, output=JsonLines(crash.out), batch=2)
    monkeypatch.setattr("asyncnet.jobs.ledger.Ledger.merge", _failing)
    play(journal, "a", "b", "c", "d")
    await asyncio.wait([journal._merge])
    with pytest.raises(OSError, match="No space"):
        play(journal, "e", "f", "g")
    with pytest.raises(OSError, match="No space"):
        await journal.aclose()
    monkeypatch.undo()
    again = await crash.open()
    assert again.ended_before >= 4
    play(again, *"abcdefg")
    await again.aclose()
    assert sorted(written(crash.out)) == list("abcdefg")


async def test_a_ledger_that_is_damaged_is_the_failure_of_a_disk(tmp_path):
    journal = await Journal.open(tmp_path / "run", batch=100)
    play(journal, *(str(at) for at in range(2000)))
    await journal.aclose()
    ledger = tmp_path / "run" / "ledger.sqlite"
    whole = ledger.read_bytes()
    fates = set()
    for page in range(1, len(whole) // 4096):
        ledger.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
        fates.add(await _fate(tmp_path / "run"))
    assert fates - {None} == {UsageError, OSError}, "no error of sqlite's own"


async def _fate(folder: Path) -> type[Exception] | None:
    try:
        journal = await Journal.open(folder, resume=True)
        try:
            play(journal, *(str(at) for at in range(100)))
        finally:
            await journal.aclose()
    except Exception as error:
        return type(error)
    return None


async def test_rows_that_cannot_be_written_are_the_failure_of_a_disk(tmp_path):
    output = Sqlite(tmp_path / "out.sqlite")
    output.put(1, done("a"))
    output.close()
    with pytest.raises(OSError, match="cannot be written"):
        output.put(2, done("b"))
    with pytest.raises(OSError, match="cannot be written"):
        output.sync()


def _failing(*_: object) -> None:
    raise OSError(28, "No space left on device")
