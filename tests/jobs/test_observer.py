"""Observers: what a run tells of its jobs, in which order, and what becomes of it when one of them fails."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from asyncnet.errors import UsageError
from asyncnet.jobs import Observer, Retry, all_of, as_completed, call, first_of, run
from asyncnet.jobs.observer import Recorder
from tests.clock import MS
from tests.jobs.work import Passing, Site, Trouble, settle

AT_ONCE = Retry(attempts=3, first_delay=0.0)


class Notes(Observer):
    """Writes down what it is told; leaves out what it is told to, fails where it is told to."""

    def __init__(self, *, out=(), fails=None):
        self.events = []
        self.outcomes = []
        self.out = out
        self.fails = fails

    def _note(self, what, job, *more):
        self.events.append((what, job.name, *more))
        if self.fails == what:
            raise OSError("the disk is full")

    def asked(self, job):
        self._note("asked", job)
        return job.name not in self.out

    def began(self, job, attempt):
        self._note("began", job, attempt)

    def committing(self, job):
        self._note("committing", job)

    def retrying(self, job, error, delay):
        self._note("retrying", job, str(error), delay)

    def ended(self, job, outcome):
        self.outcomes.append(outcome)
        self._note("ended", job, outcome.ok)

    async def aclose(self):
        await asyncio.sleep(0)
        self.events.append(("closed",))
        if self.fails == "closed":
            raise OSError("the disk is full")


async def by_list(source, **options):
    return await run(source, **options)


async def by_stream(source, **options):
    return [outcome async for outcome in as_completed(source, **options)]


async def from_async(items, **options):
    async def stream():
        for item in items:
            yield item

    return await run(stream(), **options)


WAYS = pytest.mark.parametrize("perform", [by_list, by_stream, from_async])


@WAYS
async def test_each_job_is_asked_for_begins_and_ends_once(perform):
    notes, site = Notes(), Site()
    outcomes = await perform([site.leaf("a"), site.leaf("b", error=Trouble("no"))], limit=1, observers=[notes])
    assert notes.events == [
        ("asked", "a"), ("began", "a", 1), ("ended", "a", True),
        ("asked", "b"), ("began", "b", 1), ("ended", "b", False),
        ("closed",),
    ]  # fmt: skip
    assert notes.outcomes == outcomes


@WAYS
async def test_what_one_does_not_want_is_left_out_and_the_next_is_not_asked(perform):
    first, second, site = Notes(out={"b", "d"}), Notes(out={"a"}), Site()
    outcomes = await perform([site.leaf(name) for name in "abcde"], observers=[first, second])
    assert [outcome.name for outcome in outcomes] == ["c", "e"]
    assert sorted(site.begun) == ["c", "e"]
    assert [event[1] for event in first.events if event[0] == "asked"] == list("abcde")
    assert [event[1] for event in second.events if event[0] == "asked"] == list("ace")


@WAYS
async def test_all_of_many_may_be_left_out_and_others_have_the_loop_meanwhile(perform):
    class None_(Observer):
        def asked(self, job):
            return False

    turns = 0

    async def ticking():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticker = asyncio.ensure_future(ticking())
    assert await perform([call(settle)] * 20_000, observers=[None_()]) == []
    ticker.cancel()
    assert turns > 20_000 // 256 / 2


@WAYS
async def test_one_left_after_many_that_are_left_out_is_done(perform):
    site = Site()
    notes = Notes(out={"x"})
    outcomes = await perform([site.leaf("x")] * 1000 + [site.leaf("y")], observers=[notes])
    assert [outcome.name for outcome in outcomes] == ["y"]


async def test_attempts_are_told_with_the_error_and_the_wait():
    notes, site = Notes(), Site()
    (outcome,) = await run([site.leaf("a", error=Passing("x"), failures=2).retry(AT_ONCE)], observers=[notes])
    assert outcome.attempts == 3
    assert notes.events[1:-1] == [
        ("began", "a", 1), ("retrying", "a", "x", 0.0),
        ("began", "a", 2), ("retrying", "a", "x", 0.0),
        ("began", "a", 3), ("ended", "a", True),
    ]  # fmt: skip


async def test_parts_are_not_told_of_but_what_they_retry_is():
    notes, site = Notes(), Site()
    flaky = site.leaf("part", error=Passing("x"), failures=1).retry(AT_ONCE)
    await run([all_of(site.leaf("a"), first_of(flaky), name="whole")], observers=[notes])
    assert notes.events == [
        ("asked", "whole"), ("began", "whole", 1), ("retrying", "whole", "x", 0.0), ("ended", "whole", True),
        ("closed",),
    ]  # fmt: skip


async def test_jobs_that_the_timeout_overtakes_end_without_having_begun():
    notes, site = Notes(), Site()
    await run([site.leaf("stuck", until="never"), site.leaf("late")], limit=1, timeout=5 * MS, observers=[notes])
    told = [event for event in notes.events if event[1:2] == ("late",)]
    assert told == [("asked", "late"), ("ended", "late", False)]
    assert notes.outcomes[1].attempts == 0


@WAYS
@pytest.mark.parametrize("fails", ["asked", "began", "ended", "retrying", "closed"])
async def test_what_an_observer_raises_ends_the_run(perform, fails):
    notes, site = Notes(fails=fails), Site()
    jobs = [site.leaf("a", error=Passing("x"), failures=1).retry(AT_ONCE)]
    if fails != "closed":
        jobs += [site.leaf(f"{n}", until="never") for n in range(20)]
    with pytest.raises(OSError, match="disk is full"):
        await perform(jobs, limit=64, observers=[notes])
    assert site.active == 0
    assert notes.events[-1] == ("closed",)


async def test_a_doubled_key_may_be_refused():
    class Strict(Observer):
        def __init__(self):
            self.seen = set()

        def asked(self, job):
            if job.key in self.seen:
                raise UsageError(f"twice: {job.key}")
            self.seen.add(job.key)
            return True

    site = Site()
    with pytest.raises(UsageError, match="twice: a"):
        await run([site.leaf("a"), site.leaf("b"), site.leaf("a")], observers=[Strict()])


async def test_observers_are_closed_when_the_run_is_cancelled_after_all_jobs_are_gone():
    notes, site = Notes(), Site()
    running = asyncio.ensure_future(run([site.leaf("a", until="never")], observers=[notes]))
    await site.until(lambda: site.active == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert notes.events == [("asked", "a"), ("began", "a", 1), ("closed",)]


async def test_all_observers_are_closed_even_if_one_cannot_be():
    first, second = Notes(), Notes(fails="closed")
    with pytest.raises(OSError, match="disk"):
        await run([call(settle)], observers=[first, second])
    assert first.events[-1] == ("closed",)


async def test_as_completed_closed_early_closes_its_observers():
    notes, site = Notes(), Site()
    async with contextlib.aclosing(
        as_completed([site.leaf("a"), site.leaf("b", until="never")], observers=[notes])
    ) as outcomes:
        await anext(outcomes)
    assert notes.events[-1] == ("closed",)


async def test_an_observed_run_keeps_no_value_alive_after_its_end():
    class Value:
        pass

    async def make():
        return Value()

    gc.collect()
    gc.disable()
    try:
        (outcome,) = await run([call(make)], observers=[Observer_()])
        value = weakref.ref(outcome.result())
        del outcome
        await settle(3)
        assert value() is None
    finally:
        gc.enable()


class Observer_(Observer):
    """One that wants to know nothing."""


class Ledger(Recorder):
    """Writes names when it is settled."""

    def __init__(self):
        self.noted = []
        self.written = []
        self.settled = 0
        self.fails = False

    def note(self, job, outcome):
        self.noted.append(job.name)

    def settle(self):
        if self.fails:
            raise OSError("the disk is full")
        self.settled += 1
        self.written += self.noted
        self.noted.clear()


@pytest.mark.parametrize("limit", [1, 2, 3, 16, 64])
async def test_ends_that_come_at_once_are_written_together_and_no_more_than_limit_are_at_risk(limit):
    ledger, ended = Ledger(), 0
    at_risk = []

    async def work(number):
        nonlocal ended
        at_risk.append(begun[0] - len(ledger.written))
        ended += 1

    begun = [0]

    def source():
        for number in range(500):
            begun[0] += 1
            yield call(work, number, name=str(number))

    async with contextlib.aclosing(as_completed(source(), limit=limit, observers=[ledger])) as outcomes:
        async for outcome in outcomes:
            assert outcome.name in ledger.written, "seen before it was written"
    assert sorted(ledger.written, key=int) == [str(number) for number in range(500)]
    assert max(at_risk) <= limit
    if limit >= 16:
        assert ledger.settled < 500 / 4


async def test_what_has_ended_is_written_before_the_turn_of_the_loop_is_over():
    ledger, site = Ledger(), Site()
    seen = []

    async def after():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(list(ledger.written))
        site.gate("open").set()

    running = asyncio.ensure_future(
        run([site.leaf("a"), call(after, name="b"), site.leaf("c", until="open")], limit=8, observers=[ledger])
    )
    await running
    assert "a" in seen[0]


async def test_who_else_hears_of_an_end_hears_it_when_it_is_written():
    ledger = Ledger()

    class Hearer(Observer):
        heard = 0

        def ended(self, job, outcome):
            assert job.name in ledger.written
            self.heard += 1

    hearer = Hearer()
    await run([call(settle, 0, name=f"{number}") for number in range(50)], observers=[ledger, hearer])
    assert hearer.heard == ledger.settled == 50


async def test_a_recorder_with_another_way_to_hear_of_ends_is_told_by_it():
    class Another(Ledger):
        heard = 0

        def ended(self, job, outcome):
            self.heard += 1

    another = Another()
    await run([call(settle, 0, name=f"{number}") for number in range(50)], observers=[another])
    assert another.heard == 50


@pytest.mark.parametrize("perform", [by_list, from_async])
async def test_what_cannot_be_written_ends_the_run(perform):
    ledger = Ledger()
    ledger.fails = True
    with pytest.raises(OSError, match="disk is full"):
        await perform([call(settle, 0, name=f"{number}") for number in range(50)], observers=[ledger])


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "a turn later"])
async def test_what_cannot_be_written_is_not_shown(pause):
    ledger, shown = Ledger(), []
    jobs = (call(settle, 0, name=f"{number}") for number in range(50))
    with pytest.raises(OSError, match="disk is full"):
        async for outcome in as_completed(jobs, limit=8, observers=[ledger]):
            assert outcome.name in ledger.written
            shown.append(outcome.name)
            ledger.fails = len(shown) >= 20
            if pause:
                await settle(3)
    assert set(shown) <= set(ledger.written)
    assert len(shown) < 50


@pytest.mark.parametrize("is_heard", [False, True], ids=["together", "one by one"])
async def test_an_end_that_a_recorder_could_not_take_note_of_is_not_shown(is_heard):
    class Fails(Ledger):
        def note(self, job, outcome):
            if job.name == "20":
                raise OSError("the disk is full")
            super().note(job, outcome)

    class Hearer(Observer):
        def ended(self, job, outcome):
            pass

    ledger, shown = Fails(), []
    jobs = (call(settle, 0, name=f"{number}") for number in range(50))
    with pytest.raises(OSError, match="disk is full"):
        async for outcome in as_completed(jobs, limit=8, observers=[ledger, *[Hearer()] * is_heard]):
            shown.append(outcome.name)
    assert "19" in shown
    assert set(shown) <= set(ledger.written)
