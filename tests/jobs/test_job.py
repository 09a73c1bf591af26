"""Job: calls, and what .then, .or_else, .timeout and .retry make of them."""

import asyncio
import pickle
from dataclasses import replace

import pytest

from asyncnet.errors import DeadlineError, NetError, RefusedError, UsageError
from asyncnet.jobs import Job, Outcome, Retry, call, run
from asyncnet.jobs.job import outcome_of
from tests.clock import MS
from tests.jobs.work import Passing, Site, Trouble

AT_ONCE = Retry(attempts=3, first_delay=0.0)


async def one(job, **options) -> Outcome:
    (outcome,) = await run([job], **options)
    return outcome


async def double(number: int) -> int:
    return 2 * number


async def fail(error: Exception) -> None:
    raise error


# call


async def test_a_call_gives_the_value_of_the_function():
    outcome = await one(call(double, 21))
    assert outcome.ok
    assert outcome.value == outcome.result() == 42
    assert outcome.error is None
    assert outcome.attempts == 1
    assert 0 <= outcome.seconds < 10


async def test_a_call_that_fails_is_an_outcome_with_the_error_itself():
    error = ValueError("no")
    outcome = await one(call(fail, error))
    assert not outcome.ok
    assert outcome.error is error
    assert outcome.value is None
    with pytest.raises(ValueError, match="no"):
        outcome.result()


async def test_a_call_is_named_after_its_function_unless_told_otherwise():
    assert call(double, 1).name == "double"
    assert call(double, 1, name="two").name == "two"
    assert (await one(call(double, 1, name="two"))).name == "two"
    assert repr(call(double, 1, name="two")) == "<Job two>"


async def test_a_function_that_fails_before_its_first_await_fails_alone():
    def broken():
        raise KeyError("x")

    outcomes = await run([call(broken), call(double, 1)])
    assert isinstance(outcomes[0].error, KeyError)
    assert outcomes[1].value == 2


async def test_a_value_of_none_is_a_success():
    async def nothing():
        pass

    outcome = await one(call(nothing))
    assert outcome.ok
    assert outcome.result() is None


async def test_a_job_may_be_run_again():
    job = call(double, 4)
    assert [outcome.value for outcome in await run([job, job])] == [8, 8]
    assert (await one(job)).value == 8


def test_an_outcome_pickles_and_cannot_be_changed():
    outcome = Outcome("page", None, Trouble("no", endpoint="tcp://a:1"), 2, 0.5)
    again = pickle.loads(pickle.dumps(outcome))
    assert (again.name, str(again.error), again.attempts, again.seconds) == ("page", "tcp://a:1: no", 2, 0.5)
    with pytest.raises(AttributeError):
        outcome.name = "other"  # type: ignore[misc]


def test_an_outcome_that_is_made_quickly_is_like_any_other():
    error = Trouble("no")
    quick, slow = outcome_of("page", None, error, 2, 0.5, 10, 20), Outcome("page", None, error, 2, 0.5, 10, 20)
    assert type(quick) is Outcome
    assert (quick, repr(quick), hash(quick)) == (slow, repr(slow), hash(slow))
    assert replace(quick, attempts=3) == replace(slow, attempts=3)
    assert pickle.loads(pickle.dumps(quick)).sent_bytes == 20
    with pytest.raises(AttributeError):
        quick.name = "other"  # type: ignore[misc]


# then


async def test_then_goes_on_with_a_job_made_of_the_value():
    outcome = await one(
        call(double, 1, name="start").then(lambda two: call(double, two)).then(lambda n: call(double, n))
    )
    assert outcome.value == 8
    assert outcome.name == "start"


async def test_then_goes_on_with_several_jobs_and_gives_their_values_in_order():
    outcome = await one(call(double, 2).then(lambda count: [call(double, number) for number in range(count)]))
    assert outcome.value == [0, 2, 4, 6]


async def test_then_asks_a_generator_for_one_job_at_a_time_and_not_for_all():
    site = Site()
    asked = []

    def parts(_):
        for number in range(1000):
            asked.append(number)
            yield site.leaf(f"part{number}", until="go")

    running = asyncio.ensure_future(run([call(double, 1).then(parts)], limit=5))
    await site.until(lambda: site.active == 5)
    assert len(asked) <= 6
    site.gate("go").set()
    (outcome,) = await running
    assert outcome.value == [f"part{number}" for number in range(1000)]
    assert site.most == 5


async def test_then_is_not_asked_after_a_failure():
    asked = []
    outcome = await one(call(fail, Trouble("first")).then(lambda value: asked.append(value)))
    assert isinstance(outcome.error, Trouble)
    assert asked == []


async def test_a_then_function_that_raises_is_the_failure_of_the_job():
    def broken(value):
        raise KeyError(value)

    outcome = await one(call(double, 1).then(broken))
    assert isinstance(outcome.error, KeyError)


async def test_a_generator_of_then_that_raises_is_the_failure_and_cancels_what_it_gave():
    site = Site()

    def parts(_):
        yield site.leaf("one", until="never")
        raise Trouble("out of parts")

    outcome = await one(call(double, 1).then(parts))
    assert isinstance(outcome.error, Trouble)
    assert site.active == 0
    assert site.cancelled == ["one"]


@pytest.mark.parametrize("made", [None, 3, "http://a/", [call(double, 1), 5]], ids=repr)
async def test_a_then_function_that_returns_no_job_is_a_usage_error(made):
    outcome = await one(call(double, 1).then(lambda _: made))
    assert isinstance(outcome.error, UsageError)


async def test_ten_thousand_pages_each_then_the_next_need_no_stack():
    def next_page(number: int) -> Job[int]:
        return page(number) if number < 20_000 else call(double, 0)

    async def fetch(number: int) -> int:
        return number + 2

    def page(number: int) -> Job[int]:
        return call(fetch, number).then(next_page)

    assert (await one(page(0))).value == 0


async def test_ten_thousand_thens_on_one_job_need_no_stack():
    job: Job[int] = call(double, 0)
    for _ in range(10_000):
        job = job.then(lambda number: call(double, number))
    assert (await one(job)).value == 0


# or_else


async def test_or_else_does_the_other_job_after_a_failure_alone():
    site = Site()
    failed = call(fail, Trouble("no"), name="first")
    outcomes = await run([failed.or_else(site.leaf("spare")), call(double, 1).or_else(site.leaf("unused"))])
    assert [outcome.value for outcome in outcomes] == ["spare", 2]
    assert outcomes[0].name == "first"
    assert site.begun == ["spare"]


async def test_or_else_makes_the_other_job_of_the_error():
    outcome = await one(call(fail, Trouble("no")).or_else(lambda error: call(double, len(str(error)))))
    assert outcome.value == 4


async def test_if_the_other_job_fails_too_that_is_the_failure_and_says_nothing_false_of_the_first():
    second = Trouble("second")
    outcome = await one(call(fail, Trouble("first")).or_else(call(fail, second)))
    assert outcome.error is second


async def test_an_or_else_function_that_returns_no_job_is_a_usage_error():
    outcome = await one(call(fail, Trouble("no")).or_else(lambda _: 7))
    assert isinstance(outcome.error, UsageError)


# timeout


async def test_a_timeout_cancels_the_job_and_is_a_deadline_error_that_names_it():
    site = Site()
    outcome = await one(site.leaf("stuck", until="never").timeout(5 * MS))
    assert isinstance(outcome.error, DeadlineError)
    assert outcome.error.operation == "stuck"
    assert outcome.error.seconds == 5 * MS
    assert site.cancelled == ["stuck"]


async def test_a_timeout_of_a_job_made_of_jobs_cancels_its_parts():
    site = Site()
    parts = [site.leaf(f"part{number}", until="never") for number in range(3)]
    outcome = await one(call(double, 1).then(lambda _: parts).timeout(20 * MS))
    assert isinstance(outcome.error, DeadlineError)
    assert sorted(site.cancelled) == ["part0", "part1", "part2"]
    assert site.active == 0


async def test_a_job_in_time_is_none_the_worse_for_its_timeout():
    assert (await one(call(double, 1).timeout(30.0))).value == 2


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_timeout_that_is_no_number_of_seconds_is_refused_at_once(seconds):
    with pytest.raises(UsageError):
        call(double, 1).timeout(seconds)


async def test_a_timeout_counts_the_waiting_between_attempts():
    site = Site()
    patient = Retry(attempts=5, first_delay=60.0, jitter=0.0)
    outcome = await one(site.leaf("a", error=Passing("later")).retry(patient).timeout(10 * MS))
    assert isinstance(outcome.error, DeadlineError)
    assert site.begun == ["a"]


async def test_a_timeout_for_each_attempt_is_transient_and_tried_again():
    site = Site()
    outcome = await one(site.leaf("a", until="never").timeout(2 * MS).retry(AT_ONCE))
    assert isinstance(outcome.error, DeadlineError)
    assert outcome.attempts == 3
    assert site.cancelled == ["a"] * 3


# retry


async def test_a_transient_failure_is_tried_again_until_it_succeeds():
    site = Site()
    outcome = await one(site.leaf("a", error=Passing("later"), failures=2).retry(AT_ONCE))
    assert outcome.value == "a"
    assert outcome.attempts == 3


async def test_a_transient_failure_is_given_up_after_the_last_attempt():
    site = Site()
    outcome = await one(site.leaf("a", error=Passing("later")).retry(AT_ONCE))
    assert isinstance(outcome.error, Passing)
    assert outcome.attempts == 3
    assert site.begun == ["a"] * 3


@pytest.mark.parametrize("error", [Trouble("for good"), ValueError("no idea of transience"), KeyError("x")], ids=repr)
async def test_what_is_not_transient_is_not_tried_again(error):
    site = Site()
    outcome = await one(site.leaf("a", error=error).retry(AT_ONCE))
    assert outcome.error is error
    assert outcome.attempts == 1


async def test_a_wait_that_the_peer_asked_for_is_kept():
    site = Site()
    asked = RefusedError(code=429, transient=True, retry_after=30 * MS)
    loop = asyncio.get_running_loop()
    before = loop.time()
    outcome = await one(site.leaf("a", error=asked, failures=1).retry(Retry(attempts=2, first_delay=0.0)))
    assert outcome.ok
    assert loop.time() - before >= 30 * MS


async def test_a_retried_job_may_be_made_of_jobs():
    site = Site()
    flaky = site.leaf("flaky", error=Passing("later"), failures=1)
    job = call(double, 1).then(lambda _: [site.leaf("sound"), flaky]).retry(AT_ONCE)
    outcome = await one(job)
    assert outcome.value == ["sound", "flaky"]
    assert outcome.attempts == 2


# what a job may do to its run


async def test_a_job_that_raises_a_cancellation_of_its_own_is_a_failure_and_never_a_cancellation():
    async def broken():
        raise asyncio.CancelledError

    outcomes = await run([call(broken), call(double, 1)], limit=1)
    assert isinstance(outcomes[0].error, NetError)
    assert "cancelled" in str(outcomes[0].error)
    assert outcomes[1].value == 2


async def test_a_job_that_awaits_something_cancelled_is_a_failure():
    async def broken():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    assert isinstance((await one(call(broken))).error, NetError)


async def test_a_job_may_use_timeouts_of_asyncio():
    async def impatient():
        async with asyncio.timeout(1 * MS):
            await asyncio.Event().wait()

    outcomes = await run([call(impatient) for _ in range(3)], limit=1)
    assert all(isinstance(outcome.error, TimeoutError) for outcome in outcomes)
