"""run and as_completed: order, limits, sources, deadlines, and what is left when they end early."""

import asyncio
import contextlib
import contextvars
import gc
import math
import weakref

import pytest

from asyncnet.deadline import phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DeadlineError, InvalidEndpoint, NetError, UsageError
from asyncnet.jobs import Outcome, Retry, all_of, as_completed, call, first_of, run
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.jobs.work import Passing, Site, Trouble, settle
from tests.loops import on_both_loops
from tests.memory import peak_memory

MIB = 1 << 20


async def echo(value):
    return value


async def turns(count, value=None):
    for _ in range(count):
        await asyncio.sleep(0)
    return value


async def stream(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


async def collected(source, **options) -> list[Outcome]:
    return [outcome async for outcome in as_completed(source, **options)]


async def by_list(source, **options) -> list[Outcome]:
    return await run(source, **options)


BOTH = pytest.mark.parametrize("perform", [by_list, collected])


# order and completeness


async def test_outcomes_come_in_the_order_of_the_source_however_they_end():
    outcomes = await run([call(turns, count, count) for count in (9, 0, 5, 1, 0)])
    assert [outcome.value for outcome in outcomes] == [9, 0, 5, 1, 0]


async def test_as_completed_gives_them_as_they_end():
    outcomes = await collected([call(turns, count, count) for count in (90, 40, 0)])
    assert [outcome.value for outcome in outcomes] == [0, 40, 90]


@BOTH
@pytest.mark.parametrize("limit", [1, 2, 7, 64])
async def test_every_job_ends_exactly_once(perform, limit):
    outcomes = await perform((call(turns, number % 3, number) for number in range(500)), limit=limit)
    assert sorted(outcome.value for outcome in outcomes) == list(range(500))


@BOTH
@pytest.mark.parametrize("nothing", [[], (), iter([]), stream([])], ids=["list", "tuple", "iterator", "async"])
async def test_a_run_of_nothing_is_no_outcome(perform, nothing):
    assert await perform(nothing) == []


@BOTH
async def test_a_failure_harms_no_other_job(perform):
    site = Site()
    jobs = [site.leaf(f"{n}", turns=n % 4, error=Trouble("no") if n % 3 == 0 else None) for n in range(60)]
    outcomes = await perform(jobs, limit=8)
    assert len(outcomes) == 60
    assert sum(not outcome.ok for outcome in outcomes) == 20


async def test_a_job_that_stalls_holds_up_no_other():
    site = Site()
    async with contextlib.aclosing(
        as_completed([site.leaf("stuck", until="never"), *(site.leaf(f"{n}") for n in range(100))], limit=2)
    ) as outcomes:
        names = [(await anext(outcomes)).name for _ in range(100)]
    assert names == [str(n) for n in range(100)]


# limits


@BOTH
@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_never_more_than_limit_are_at_work_and_never_fewer_without_need(perform, limit):
    site = Site()
    await perform((site.leaf(f"{n}", turns=20) for n in range(60)), limit=limit)
    assert site.most == limit


@BOTH
async def test_never_more_than_per_host_are_at_one_host(perform):
    site = Site()
    await perform((site.leaf(f"{n}", host=f"h{n % 3}", turns=20) for n in range(90)), limit=12, per_host=2)
    assert site.most_at == {"h0": 2, "h1": 2, "h2": 2}


async def test_no_limit_per_host_is_no_limit():
    site = Site()
    await run([site.leaf(f"{n}", host="h", turns=30) for n in range(20)], per_host=None)
    assert site.most_at["h"] == 20


async def test_a_busy_host_does_not_take_all_slots():
    site = Site()
    slow = [site.leaf(f"slow{n}", host="slow", until="go") for n in range(100)]
    quick = [site.leaf(f"quick{n}", host="quick") for n in range(100)]
    running = asyncio.ensure_future(run([*slow, *quick], limit=8, per_host=2))
    await site.until(lambda: len(site.ended) == 100)
    assert all(name.startswith("quick") for name in site.ended)
    site.gate("go").set()
    assert all(outcome.ok for outcome in await running)
    assert site.most_at["slow"] == 2


async def test_jobs_set_aside_for_a_busy_host_are_bounded():
    site = Site()
    taken = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield site.leaf(f"{number}", host="slow", until="go")

    running = asyncio.ensure_future(run(source(), limit=8, per_host=2, max_parked=10))
    await site.until(lambda: site.active == 2)
    await settle()
    assert len(taken) <= 2 + 10 + 1
    site.gate("go").set()
    outcomes = await running
    assert [outcome.value for outcome in outcomes] == [str(number) for number in range(1000)]


async def test_jobs_that_wait_between_attempts_are_bounded_too():
    site = Site()
    patient = Retry(attempts=2, first_delay=60.0)
    jobs = (site.leaf(f"{n}", error=Passing("later")).retry(patient) for n in range(1000))
    running = asyncio.ensure_future(run(jobs, limit=4, max_parked=10))
    await settle(500)
    assert 10 <= len(site.begun) <= 10 + 4
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_workers_that_stepped_in_for_the_waiting_do_not_stay():
    site = Site()
    retry = Retry(attempts=2, first_delay=1 * MS)
    jobs = [site.leaf(f"{n}", error=Passing("x"), failures=1).retry(retry) for n in range(200)]
    before = len(asyncio.all_tasks())
    running = asyncio.ensure_future(run([*jobs, site.leaf("last", until="go")], limit=4))
    await site.until(lambda: len(site.ended) == 200 and site.active == 1)
    await settle()
    assert len(asyncio.all_tasks()) - before <= 2 * 4 + 2
    site.gate("go").set()
    assert all(outcome.ok for outcome in await running)


async def test_a_retried_job_stands_in_line_at_its_host_again():
    site = Site()
    again = Retry(attempts=2, first_delay=0.0)
    jobs = [site.leaf(f"{n}", host="h", turns=2, error=Passing("x"), failures=1).retry(again) for n in range(20)]
    outcomes = await run(jobs, limit=10, per_host=1)
    assert [outcome.attempts for outcome in outcomes] == [2] * 20
    assert site.most_at["h"] == 1


async def test_the_first_job_of_a_chain_is_set_aside_while_its_host_is_busy():
    site = Site()
    chain = [site.leaf(f"a{n}", host="h", until="go").then(lambda _: site.leaf("b", host="g")) for n in range(5)]
    running = asyncio.ensure_future(run([*chain, site.leaf("other")], limit=3, per_host=1))
    await site.until(lambda: site.ended == ["other"])
    assert site.begun == ["a0", "other"]
    site.gate("go").set()
    assert [outcome.value for outcome in await running] == ["b"] * 5 + ["other"]
    assert site.most_at == {"h": 1, "g": 1}


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"per_host": 0}, {"max_parked": 0}, {"timeout": -1.0}], ids=str)
async def test_limits_below_one_are_refused_before_anything_runs(wrong):
    site = Site()
    with pytest.raises(UsageError):
        await run([site.leaf("a")], **wrong)
    with pytest.raises(UsageError):
        as_completed([site.leaf("a")], **wrong)
    assert site.begun == []


# sources


async def test_the_source_is_asked_only_when_there_is_a_slot():
    site = Site()
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield site.leaf(f"{number}", until=f"{number}")

    running = asyncio.ensure_future(run(source(), limit=3))
    for number in range(100):
        await site.until(lambda at=number: str(at) in site.begun)
        assert len(taken) <= number + 3
        site.gate(f"{number}").set()
    assert len(await running) == 100


async def test_an_async_source_is_asked_at_most_one_ahead_of_the_slots():
    site = Site()
    taken = []

    async def source():
        for number in range(50):
            taken.append(number)
            yield site.leaf(f"{number}", until=f"{number}")

    running = asyncio.ensure_future(run(source(), limit=3))
    for number in range(50):
        await site.until(lambda at=number: str(at) in site.begun)
        assert len(taken) <= number + 4
        site.gate(f"{number}").set()
    assert len(await running) == 50


async def test_waiting_for_the_source_holds_no_slot():
    site = Site()
    more = asyncio.Event()

    async def source():
        yield site.leaf("flaky", error=Passing("x"), failures=1).retry(Retry(attempts=2, first_delay=1 * MS))
        await more.wait()
        yield site.leaf("last")

    running = asyncio.ensure_future(run(source(), limit=1))
    await site.until(lambda: site.ended == ["flaky"])
    more.set()
    assert [outcome.value for outcome in await running] == ["flaky", "last"]


async def test_outcomes_come_while_the_source_still_waits():
    site = Site()
    more = asyncio.Event()

    async def source():
        yield site.leaf("first")
        await more.wait()
        yield site.leaf("second")

    async with contextlib.aclosing(as_completed(source())) as outcomes:
        assert (await anext(outcomes)).name == "first"
        more.set()
        assert (await anext(outcomes)).name == "second"
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


async def test_a_slow_reader_slows_the_source_down():
    taken = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield call(echo, number)

    async with contextlib.aclosing(as_completed(source(), limit=4)) as outcomes:
        for number in range(20):
            await anext(outcomes)
            await settle(20)
            # Some wait to be fetched, and each worker holds the next one at most.
            assert len(taken) <= number + 1 + 2 * 4 + 4


@BOTH
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_source_that_raises_ends_the_run_after_what_had_begun(perform, asynchronous):
    site = Site()

    def source():
        yield site.leaf("a", turns=30)
        yield site.leaf("b", turns=60)
        raise KeyError("the source")

    async def asynchronous_source():
        for item in source():
            yield item

    with pytest.raises(KeyError, match="the source"):
        await perform(asynchronous_source() if asynchronous else source())
    assert site.ended == ["a", "b"]


async def test_as_completed_gives_the_outcomes_before_the_error_of_the_source():
    def source():
        yield call(echo, 1)
        raise KeyError("the source")

    outcomes = as_completed(source())
    assert (await anext(outcomes)).value == 1
    with pytest.raises(KeyError):
        await anext(outcomes)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_generator_is_closed_when_the_run_ends_before_it(asynchronous):
    site = Site()
    closed = []

    def source():
        try:
            for number in range(100):
                yield site.leaf(f"{number}", until=f"{number}")
        finally:
            closed.append("source")

    async def asynchronous_source():
        try:
            for number in range(100):
                yield site.leaf(f"{number}", until=f"{number}")
        finally:
            closed.append("source")

    generator = asynchronous_source() if asynchronous else source()
    async with contextlib.aclosing(as_completed(generator, limit=1)) as outcomes:
        site.gate("0").set()
        await anext(outcomes)
        await site.until(lambda: site.active == 1)
        assert closed == []
    assert closed == ["source"]


@pytest.mark.parametrize(
    "source", ["http://a/", Endpoint.parse("http://a/"), call(echo, 1), b"http://a/", 5, None], ids=repr
)
async def test_a_source_that_is_no_collection_of_jobs_is_refused(source):
    with pytest.raises(UsageError):
        await run(source)
    with pytest.raises(UsageError):
        as_completed(source)


async def test_a_bad_url_in_a_long_list_is_a_failure_of_its_own():
    outcomes = await run([call(echo, 1), "nonsense", "gopher://a/", "smtp://a/", call(echo, 2), 7, None])
    assert [outcome.ok for outcome in outcomes] == [True, False, False, False, True, False, False]
    assert [type(outcome.error) for outcome in outcomes[1:4]] == [InvalidEndpoint, InvalidEndpoint, UsageError]
    assert outcomes[1].name == "nonsense"
    assert isinstance(outcomes[5].error, UsageError)


async def test_a_password_in_a_bad_url_is_in_no_name_and_no_error():
    (outcome,) = await run(["https://alice:hunter2@example.org/x"])
    assert isinstance(outcome.error, InvalidEndpoint)
    assert "hunter2" not in f"{outcome.name} {outcome.error} {outcome!r}"
    assert outcome.name == "https://***@example.org/x"


# the deadline of the run


@BOTH
async def test_jobs_that_have_not_ended_in_time_end_by_a_deadline_error(perform):
    site = Site()
    jobs = [site.leaf("quick"), *(site.leaf(f"stuck{n}", until="never") for n in range(5)), site.leaf("late")]
    outcomes = await perform(jobs, limit=3, timeout=10 * MS)
    assert len(outcomes) == 7
    assert [outcome.name for outcome in outcomes if outcome.ok] == ["quick"]
    assert all(isinstance(outcome.error, DeadlineError) for outcome in outcomes if not outcome.ok)
    assert {outcome.name: outcome.attempts for outcome in outcomes} == {
        "quick": 1, "stuck0": 1, "stuck1": 1, "stuck2": 1, "stuck3": 0, "stuck4": 0, "late": 0,
    }  # fmt: skip
    assert site.active == 0
    assert "late" not in site.begun


@BOTH
async def test_when_time_is_up_jobs_set_aside_end_too(perform):
    site = Site()
    jobs = [site.leaf(f"{n}", host="h", until="never") for n in range(30)]
    jobs += [site.leaf(f"r{n}", error=Passing("x")).retry(Retry(first_delay=60.0)) for n in range(5)]
    jobs += [all_of(site.leaf(f"p{n}", host="h"), site.leaf(f"q{n}", until="never")) for n in range(5)]
    outcomes = await perform(jobs, limit=20, per_host=2, timeout=20 * MS)
    assert len(outcomes) == 40
    assert all(isinstance(outcome.error, DeadlineError) for outcome in outcomes)
    assert site.active == 0


@BOTH
async def test_when_time_is_up_no_more_is_taken_from_a_source_without_an_end(perform):
    async def source():
        while True:
            yield call(turns, 3)

    def endless():
        while True:
            yield call(turns, 3)

    for unending in (source(), endless()):
        outcomes = await perform(unending, timeout=10 * MS)
        assert outcomes
        late = [outcome for outcome in outcomes if not outcome.ok]
        assert all(isinstance(outcome.error, DeadlineError) for outcome in late)
        assert len(late) <= 64


@BOTH
async def test_when_time_is_up_a_source_that_is_waited_for_is_given_up(perform):
    async def source():
        yield call(echo, 1)
        await asyncio.Event().wait()

    outcomes = await perform(source(), timeout=10 * MS)
    assert [outcome.value for outcome in outcomes] == [1]


async def test_a_source_that_is_given_up_takes_no_job_with_it():
    async def slow_to_go():
        try:
            await asyncio.Event().wait()
        finally:
            await turns(20)

    async def source():
        yield call(slow_to_go)
        await asyncio.Event().wait()

    (outcome,) = await run(source(), timeout=10 * MS)
    assert isinstance(outcome.error, DeadlineError)


async def test_a_timeout_of_zero_begins_nothing():
    site = Site()
    outcomes = await run([site.leaf(f"{n}", turns=5) for n in range(3)], timeout=0.0)
    assert all(isinstance(outcome.error, DeadlineError) for outcome in outcomes)
    assert site.ended == []


async def test_a_job_that_ends_well_though_its_time_is_up_is_a_success():
    async def tidy():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    outcomes = await run([call(tidy), call(echo, 2)], limit=1, timeout=5 * MS)
    assert outcomes[0].value == "saved"
    assert isinstance(outcomes[1].error, DeadlineError)


async def test_no_timer_outlives_the_run():
    await run([call(echo, 1)], timeout=3600.0)
    loop = asyncio.get_running_loop()
    live = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert live == []


# ending early


@BOTH
async def test_a_cancelled_run_cancels_every_job_and_leaves_none(perform):
    site = Site()
    jobs = [site.leaf(f"{n}", until="never") for n in range(10)]
    jobs.append(all_of(site.leaf("part", until="never"), first_of(site.leaf("deep", until="never"))))
    running = asyncio.ensure_future(perform(jobs))
    await site.until(lambda: site.active == 12)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(site.cancelled) == 12
    assert site.active == 0


@BOTH
async def test_a_run_may_be_cancelled_at_each_of_its_awaits(perform):
    site = Site()

    async def source():
        for number in range(3):
            yield site.leaf(f"{number}", turns=2, host="h")
        yield all_of(site.leaf("a"), site.leaf("b", turns=3)).then(lambda _: [site.leaf("c", host="h")])

    async def whole():
        outcomes = await perform(source(), limit=2, per_host=1)
        assert len(outcomes) == 4

    assert await cancelled_at_each_await(whole) >= 1
    assert site.active == 0


async def test_closing_the_iterator_early_cancels_the_work():
    site = Site()
    jobs = [site.leaf("quick"), *(site.leaf(f"stuck{n}", until="never") for n in range(5))]
    async with contextlib.aclosing(as_completed(jobs)) as outcomes:
        assert (await anext(outcomes)).name == "quick"
        await site.until(lambda: site.active == 5)
    assert len(site.cancelled) == 5
    assert site.active == 0


async def test_leaving_the_loop_early_without_closing_leaves_nothing_either():
    site = Site()
    async for _ in as_completed([site.leaf("quick"), site.leaf("stuck", until="never")]):
        break
    gc.collect()
    await site.until(lambda: site.active == 0)


async def test_cancelled_twice_a_run_still_waits_until_its_jobs_have_ended():
    ended = []

    async def slow_to_go():
        try:
            await asyncio.Event().wait()
        finally:
            await turns(20)
            ended.append("gone")

    running = asyncio.ensure_future(run([call(slow_to_go), all_of(call(slow_to_go))]))
    await settle()
    running.cancel()
    await turns(3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["gone", "gone"]


async def test_who_cancels_the_tasks_of_a_run_cancels_the_run():
    site = Site()
    running = asyncio.ensure_future(run([site.leaf("a", until="never"), site.leaf("b", until="never")]))
    await site.until(lambda: site.active == 2)
    for task in asyncio.all_tasks() - {asyncio.current_task(), running}:
        task.cancel()
        break
    with pytest.raises(asyncio.CancelledError):
        await running
    assert site.active == 0


async def test_who_cancels_an_idle_task_of_a_run_cancels_the_run():
    site = Site()
    before = asyncio.all_tasks()
    two = [site.leaf("b", until="never"), site.leaf("c", until="never")]
    running = asyncio.ensure_future(run([site.leaf("a", until="go").then(lambda _: two)], limit=2))
    await site.until(lambda: site.active == 1)
    await settle()
    idle = [task for task in asyncio.all_tasks() - before - {running} if task.get_coro().cr_await.__name__ == "_rest"]
    assert idle
    for task in idle:
        task.cancel()
    site.gate("go").set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert site.active == 0


def test_an_interrupt_in_a_job_ends_the_run_and_the_loop():
    site = Site()

    async def interrupted():
        await settle()
        raise KeyboardInterrupt

    async def main():
        await run([site.leaf("a", until="never"), call(interrupted)])

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert site.cancelled == ["a"]


async def test_a_run_within_a_job_has_limits_of_its_own():
    site = Site()

    async def inner():
        return [outcome.value for outcome in await run([site.leaf(f"{n}", turns=3) for n in range(6)], limit=2)]

    outcomes = await run([call(inner), call(inner)], limit=1)
    assert outcomes[0].value == outcomes[1].value == [str(n) for n in range(6)]
    assert site.most == 2


# the loop, the context, the memory


async def test_jobs_that_never_wait_do_not_keep_the_loop_from_others():
    beats = 0

    async def heart():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.ensure_future(heart())
    await run([call(echo, n) for n in range(20_000)])
    beating.cancel()
    assert beats > 5


async def test_jobs_that_never_wait_can_be_cancelled():
    async def endless():
        await run(call(echo, 1) for _ in iter(int, 1))

    running = asyncio.ensure_future(endless())
    await asyncio.sleep(2 * MS)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_jobs_run_in_the_context_of_the_run():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("outer")

    async def read():
        return variable.get()

    job = all_of(call(read), call(read)).timeout(60.0)
    assert (await run([job]))[0].value == ["outer", "outer"]


async def test_no_job_names_the_phase_of_another_jobs_deadline():
    async def elsewhere():
        phase("elsewhere")

    site = Site()
    timed = all_of(site.leaf("stuck", until="never")).timeout(20 * MS)
    outcomes = await run([timed, *(call(elsewhere) for _ in range(9))], limit=3)
    assert isinstance(outcomes[0].error, DeadlineError)
    assert "elsewhere" not in str(outcomes[0].error)


async def test_outcomes_that_were_fetched_are_not_kept():
    class Value:
        pass

    async def make():
        return Value()

    gone = []
    gc.collect()
    gc.disable()
    try:
        async for outcome in as_completed((call(make) for _ in range(50)), limit=4):
            gone.append(weakref.ref(outcome.result()))
            del outcome
            assert sum(reference() is not None for reference in gone) <= 2
    finally:
        gc.enable()


async def test_failures_that_were_fetched_are_freed_without_the_collector():
    class Failure(NetError):
        pass

    async def fail():
        raise Failure("no")

    def jobs():
        for number in range(40):
            yield call(fail) if number % 2 else all_of(first_of(call(fail)), call(echo, 1)).timeout(60.0)

    gone = []
    gc.collect()
    gc.disable()
    try:
        async for outcome in as_completed(jobs(), limit=1):
            gone.append(weakref.ref(outcome.error))
            del outcome
            assert sum(reference() is not None for reference in gone) <= 3
    finally:
        gc.enable()


async def test_a_run_keeps_no_value_alive_after_its_end():
    class Value:
        pass

    async def make():
        return Value()

    async def once():
        outcomes = await run([call(make), all_of(call(make)), call(make, host="h")], timeout=60.0)
        return [
            weakref.ref(outcomes[0].result()),
            weakref.ref(outcomes[1].result()[0]),
            weakref.ref(outcomes[2].result()),
        ]

    gc.collect()
    gc.disable()
    try:
        references = await once()
        await settle(3)
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


async def test_no_limit_of_time_may_be_said_as_infinity():
    assert (await run([call(echo, 1)], timeout=math.inf))[0].value == 1


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has eager tasks")
async def test_a_run_does_not_mind_an_eager_task_factory():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        site = Site()
        jobs = [all_of(*(site.leaf(f"{n}", turns=n % 3, host="h") for n in range(5))) for _ in range(300)]
        outcomes = await run(jobs, limit=2000, per_host=3)
    finally:
        loop.set_task_factory(None)
    assert all(outcome.ok for outcome in outcomes)
    assert site.most_at["h"] == 3


@on_both_loops
async def test_a_run_is_the_same_on_both_loops():
    site = Site()
    jobs = [site.leaf(f"{n}", turns=n % 5, host="h", error=Passing("x"), failures=n % 2) for n in range(50)]
    retried = [job.retry(Retry(first_delay=0.0)).timeout(60.0) for job in jobs]
    outcomes = await run([*retried, site.leaf("stuck", until="never").timeout(10 * MS)], limit=9, per_host=2)
    assert [outcome.attempts for outcome in outcomes[:-1]] == [1 + n % 2 for n in range(50)]
    assert isinstance(outcomes[-1].error, DeadlineError)
    assert site.most_at["h"] == 2


_STREAM = """
import asyncio, sys
from asyncnet import jobs
count = int(sys.argv[1])
async def work(number):
    return number
async def main():
    seen = 0
    source = (jobs.call(work, number, host=f"host{number}", name=f"name{number}") for number in range(count))
    async for outcome in jobs.as_completed(source):
        seen += 1
    assert seen == count
asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_source():
    assert peak_memory(_STREAM, "50000") - peak_memory(_STREAM, "500") < 3 * MIB
