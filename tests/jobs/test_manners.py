"""A run that goes easy on its hosts: rates, refusals, budgets, breakers, adaptive numbers."""

import asyncio
import contextlib
import time

import pytest

from asyncnet.errors import ConnectError, RefusedError, StatusError, UsageError
from asyncnet.jobs import Adaptive, Breaker, Rate, Retry, all_of, as_completed, call, run
from asyncnet.jobs.breaker import BrokenCircuit
from tests.clock import MS
from tests.jobs.work import Passing, Site, settle

OFTEN = Retry(attempts=50, first_delay=0.0)


async def at(times, host=None):
    times.append(time.perf_counter())


async def stream(jobs):
    for job in jobs:
        yield job


def most_within(times, seconds):
    """How many of these came within some span of so many seconds."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


# rates


@pytest.mark.parametrize("source", [list, iter, stream])
async def test_a_rate_spaces_all_that_begins(source):
    times: list[float] = []
    jobs = [call(at, times, host=f"h{number % 3}" if number % 2 else None) for number in range(20)]
    outcomes = await run(source(jobs), rate=1 / (10 * MS))
    assert all(outcome.ok for outcome in outcomes)
    assert times[-1] - times[0] >= 19 * 9.9 * MS * 0.5
    assert most_within(times, 9.9 * MS) <= 3


async def test_a_rate_spaces_the_parts_and_steps_of_jobs_too():
    times: list[float] = []

    def one():
        return call(at, times)

    jobs = [all_of(one(), one(), one()), one().then(lambda _: one().then(lambda _: one())), one()]
    await run(jobs, rate=1 / (30 * MS), limit=5)
    assert len(times) == 7
    assert times[-1] - times[0] >= 6 * 29 * MS  # one that is late has the next one sooner


async def test_a_rate_per_host_holds_nobody_else_up():
    slow: list[float] = []
    quick: list[float] = []
    jobs = [call(at, slow, host="slow") if number % 2 else call(at, quick, host="quick") for number in range(20)]
    began = time.perf_counter()
    await run(jobs, rate=Rate(per_host={"slow": 1 / (30 * MS)}), limit=4)
    assert slow[-1] - slow[0] >= 9 * 29 * MS
    assert quick[-1] - began < slow[-1] - began
    assert len(quick) == 10


async def test_bytes_a_second_are_kept_on_average():
    class Peer:
        async def fetch(self, endpoint, credentials=None):
            return b"x" * 1000

    began = time.perf_counter()
    rate = Rate(max_bytes=1000 / (20 * MS))
    outcomes = await run([f"tcp://h{n}:1" for n in range(5)], rate=rate, client=Peer(), limit=1)
    assert [outcome.received_bytes for outcome in outcomes] == [1000] * 5
    assert time.perf_counter() - began >= 3 * 20 * MS, "each but the second, which begins before anybody knows"


async def test_a_big_body_holds_up_those_that_follow_and_no_call_without_a_host():
    class Peer:
        async def fetch(self, endpoint, credentials=None):
            begun.append(time.perf_counter())
            return b"x" * 10_000

    begun: list[float] = []
    rate = Rate(max_bytes=10_000 / (30 * MS))
    source = [call(settle, 1), "tcp://a:1", call(settle, 1), "tcp://b:1", *(call(settle, 1) for _ in range(50))]
    source += ["tcp://c:1", "tcp://d:1", *(call(settle, 1) for _ in range(50))]
    began = time.perf_counter()
    outcomes = await run(source, rate=rate, client=Peer(), limit=4)
    assert all(outcome.ok for outcome in outcomes)
    assert begun[3] - begun[1] >= 2 * 29 * MS
    assert time.perf_counter() - began < 3000 * MS, "and the calls wait for nothing that they have no part in"


async def test_a_rate_does_not_keep_a_timeout_from_ending_the_run():
    outcomes = await run([call(settle, 1) for _ in range(50)], rate=0.01, timeout=20 * MS)
    assert [outcome.ok for outcome in outcomes] == [True] + [False] * 49


async def test_a_run_that_waits_for_its_rate_can_be_cancelled():
    jobs = [call(settle, 1, host="h") for _ in range(9)]
    running = asyncio.ensure_future(run(jobs, rate=Rate(0.01, per_host=0.01)))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# refusals


def refusing(begun, *, times, retry_after=None, name="h"):
    """A leaf at host `name` that is refused the first so many times that any such is asked."""

    async def ask():
        begun.append(time.perf_counter())
        if len(begun) <= times:
            raise StatusError(code=429, retry_after=retry_after, transient=True)
        return len(begun)

    return call(ask, host=name, name=name)


async def test_a_refusal_holds_the_whole_host_up_and_no_other():
    begun: list[float] = []
    site = Site()
    jobs = [refusing(begun, times=1, retry_after=60 * MS).retry(OFTEN), *(refusing(begun, times=1) for _ in range(5))]
    jobs.insert(1, site.leaf("other", host="other"))
    outcomes = await run(jobs, limit=2, per_host=1)
    assert all(outcome.ok for outcome in outcomes)
    assert min(begun[1:]) - begun[0] >= 55 * MS


@pytest.mark.parametrize("code", ["NO", "-ERR", 451])
async def test_refusals_of_every_protocol_hold_a_host_up(code):
    begun: list[float] = []

    async def ask():
        begun.append(time.perf_counter())
        if len(begun) == 1:
            raise RefusedError(code=code, transient=True)

    await run([call(ask, host="h", name="a"), call(ask, host="h", name="b")], limit=1)
    assert begun[1] - begun[0] >= 0.2


async def test_after_a_refusal_jobs_wait_set_aside_and_without_slots():
    begun: list[float] = []
    site = Site()
    jobs = [refusing(begun, times=1, retry_after=60.0) for _ in range(20)]
    running = asyncio.ensure_future(run([*jobs, *(site.leaf(f"{n}") for n in range(20))], limit=2, per_host=2))
    await site.until(lambda: len(site.ended) == 20)
    assert len(begun) <= 2
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


# budget and breaker


async def test_without_a_budget_every_job_is_tried_as_often_as_it_says():
    site = Site()
    jobs = [site.leaf(f"{n}", error=Passing("x")).retry(Retry(attempts=3, first_delay=0.0)) for n in range(20)]
    outcomes = await run(jobs)
    assert [outcome.attempts for outcome in outcomes] == [3] * 20


async def test_a_retry_budget_bounds_the_retries_at_each_host():
    site = Site()
    again = Retry(attempts=5, first_delay=0.0)
    bad = [site.leaf(f"bad{n}", host="bad", error=Passing("x")).retry(again) for n in range(100)]
    good = [site.leaf(f"good{n}", host="good", error=Passing("x"), failures=1).retry(again) for n in range(10)]
    outcomes = await run([*bad, *good], retry_budget=0.1)
    assert 10 <= sum(outcome.attempts - 1 for outcome in outcomes[:100]) <= 20
    assert all(outcome.ok for outcome in outcomes[100:])


async def test_a_breaker_leaves_a_dead_host_alone_and_no_other():
    tried = []

    async def dead():
        tried.append(1)
        raise ConnectError("refused")

    site = Site()
    jobs = [call(dead, host="dead") for _ in range(50)] + [site.leaf(f"{n}", host="alive") for n in range(50)]
    outcomes = await run(jobs, limit=4, per_host=2, breaker=Breaker(failures=3))
    assert len(tried) <= 3 + 1
    assert sum(isinstance(outcome.error, BrokenCircuit) for outcome in outcomes) >= 46
    assert all(outcome.ok for outcome in outcomes[50:])


async def test_a_host_that_is_back_is_found_by_a_probe():
    down = [True]

    async def ask():
        if down[0]:
            raise ConnectError("refused")

    async def back():
        await asyncio.sleep(20 * MS)
        down[0] = False

    patient = Retry(attempts=50, first_delay=5 * MS, factor=1.0)
    jobs = [call(back), *(call(ask, host="h").retry(patient) for _ in range(10))]
    outcomes = await run(jobs, breaker=Breaker(failures=2, seconds=10 * MS))
    assert all(outcome.ok for outcome in outcomes)


# adaptive


async def test_an_adaptive_number_grows_beyond_where_it_began():
    site = Site()

    def jobs():
        while len(site.ended) < 2000:
            yield site.leaf("x", host="h", turns=3)

    async with contextlib.aclosing(as_completed(jobs(), limit=64, per_host=Adaptive(first=2))) as outcomes:
        async for outcome in outcomes:
            assert outcome.ok
    assert 2 < site.most_at["h"] <= 64


async def test_an_adaptive_number_shrinks_when_the_host_refuses():
    active = most = asked = 0

    async def ask():
        nonlocal active, most, asked
        asked += 1
        active += 1
        if asked > 100:
            most = max(most, active)
        try:
            await asyncio.sleep(1 * MS)
            if asked < 100:
                raise ConnectError("refused")
        finally:
            active -= 1

    await run([call(ask, host="h") for _ in range(300)], per_host=Adaptive(first=32, most=32))
    assert most < 32


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1.0}, {"retry_budget": -1.0}], ids=str)
async def test_numbers_out_of_range_are_refused_before_anything_runs(wrong):
    site = Site()
    with pytest.raises(UsageError):
        await run([site.leaf("a")], **wrong)
    with pytest.raises(UsageError):
        as_completed([site.leaf("a")], **wrong)
    assert site.begun == []


async def test_one_slow_host_leaves_the_rest_of_what_may_be_set_aside_to_the_others():
    site = Site()
    slow = [site.leaf(f"slow {number}", host="slow", until="slow") for number in range(8)]
    fast = [site.leaf(f"fast {number}", host="fast", turns=2) for number in range(40)]
    running = asyncio.ensure_future(run([*slow, *fast], limit=3, per_host=1, max_parked=10))
    # Seven of the slow are set aside, and with some of the fast it is full again and again.
    await site.until(lambda: sum(name.startswith("fast") for name in site.ended) == 40)
    site.gate("slow").set()
    assert all(outcome.ok for outcome in await running)
