"""A run ends in bounded time, also with jobs that go on though they are cancelled; nothing of them is told twice."""

import asyncio
import contextlib

import pytest

from asyncnet.errors import DeadlineError
from asyncnet.jobs import Observer, Retry, all_of, as_completed, call, first_of, parting, run
from tests.clock import MS
from tests.jobs.work import Passing, Site

pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(parting, "PATIENCE_SECONDS", 20 * MS)


class Stubborn:
    """A leaf that goes on, however often it is cancelled, until it is let go."""

    def __init__(self) -> None:
        self.freed = asyncio.Event()
        self.cancelled = 0
        self.begun = asyncio.Event()
        self.tasks: list[asyncio.Task] = []

    async def __call__(self) -> str:
        self.tasks.append(asyncio.current_task())
        self.begun.set()
        while not self.freed.is_set():
            try:
                await self.freed.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return "late"

    def job(self, name: str = "stubborn"):
        return call(self.__call__, name=name)

    async def __aenter__(self) -> "Stubborn":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.freed.set()
        if self.tasks:
            await asyncio.wait(self.tasks)
        await asyncio.sleep(0)
        assert not parting._left, "and nothing is kept"


class Ends(Observer):
    """Counts what it is told, and fails if that comes after its end."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, object]] = []
        self.is_open = True

    def ended(self, job, outcome) -> None:
        assert self.is_open
        self.ends.append((job.name, type(outcome.error)))

    async def aclose(self) -> None:
        self.is_open = False


async def collected(source, **options):
    return [outcome async for outcome in as_completed(source, **options)]


both = pytest.mark.parametrize("perform", [run, collected])


@both
async def test_a_cancelled_run_ends_though_a_job_does_not(perform, caplog):
    ends = Ends()
    async with Stubborn() as stubborn:
        source = [stubborn.job(), *(call(asyncio.sleep, 0, name=str(at)) for at in range(3))]
        running = asyncio.ensure_future(perform(source, limit=1, observers=[ends]))
        await stubborn.begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert stubborn.cancelled == 2
        assert not ends.is_open
    assert ends.ends == [], "neither is it told later, nor is anything begun after it"
    assert [record.getMessage() for record in caplog.records] == [
        "1 jobs go on though they were cancelled twice, and are left alone: stubborn"
    ]


@both
@pytest.mark.parametrize("limit", [1, 2])
async def test_the_time_of_a_run_ends_it_though_a_job_goes_on(perform, limit):
    ends = Ends()
    async with Stubborn() as stubborn:
        source = [stubborn.job(), *(call(asyncio.sleep, 60.0, name=str(at)) for at in range(3))]
        outcomes = await perform(source, limit=limit, timeout=20 * MS, observers=[ends])
        assert sorted(outcome.name for outcome in outcomes) == ["0", "1", "2", "stubborn"]
        assert all(isinstance(outcome.error, DeadlineError) for outcome in outcomes)
        assert all(outcome.seconds >= 0 for outcome in outcomes)
        shown = list(outcomes)
    assert outcomes == shown, "what it gives in the end changes nothing"
    assert sorted(ends.ends) == sorted((name, DeadlineError) for name in ["0", "1", "2", "stubborn"])


@both
@pytest.mark.parametrize("combined", [all_of, first_of])
async def test_the_time_of_a_run_ends_what_waits_for_such_a_part(perform, combined):
    ends = Ends()
    async with Stubborn() as stubborn:
        job = combined(stubborn.job(), call(asyncio.sleep, 60.0, name="other"), name="both")
        outcomes = await perform([job, call(asyncio.sleep, 0, name="good")], timeout=20 * MS, observers=[ends])
        assert sorted((outcome.name, type(outcome.error)) for outcome in outcomes) == sorted(ends.ends)
    assert sorted(ends.ends, key=str) == [("both", DeadlineError), ("good", type(None))]


async def test_a_job_that_ends_after_its_second_cancellation_is_told_once():
    ends = Ends()

    async def slow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60.0)
        await asyncio.sleep(60.0)

    (outcome,) = await run([call(slow)], timeout=10 * MS, observers=[ends])
    assert isinstance(outcome.error, DeadlineError)
    assert ends.ends == [("slow", DeadlineError)]


async def test_a_job_that_cleans_up_in_time_is_waited_for(caplog, monkeypatch):
    monkeypatch.setattr(parting, "PATIENCE_SECONDS", 2000 * MS)
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(20 * MS)
            cleaned.append(True)

    running = asyncio.ensure_future(run([call(work)]))
    await asyncio.sleep(5 * MS)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned
    assert not caplog.records


async def test_who_ends_well_though_he_was_cancelled_is_followed_by_nothing():
    begun = []

    async def swallows(number: int) -> None:
        begun.append(number)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60.0)

    running = asyncio.ensure_future(run([call(swallows, at) for at in range(10)], limit=2))
    await asyncio.sleep(5 * MS)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert begun == [0, 1]


async def test_the_timeout_of_a_job_waits_for_it_and_the_others_go_on():
    site = Site()
    async with Stubborn() as stubborn:
        source = [stubborn.job().timeout(10 * MS), *(site.leaf(str(at)) for at in range(20))]
        running = asyncio.ensure_future(run(source, limit=2))
        await site.until(lambda: len(site.ended) == 20 and stubborn.cancelled == 1)
        assert not running.done()
        stubborn.freed.set()
        outcomes = await running
    assert outcomes[0].value == "late"
    assert all(outcome.ok for outcome in outcomes)


async def test_the_time_of_a_run_bounds_such_a_job_of_a_timeout_too():
    async with Stubborn() as stubborn:
        (outcome,) = await run([stubborn.job().timeout(10 * MS)], timeout=30 * MS)
    assert isinstance(outcome.error, DeadlineError)


async def test_cancelled_again_and_again_it_still_waits_no_longer(caplog):
    async with Stubborn() as stubborn:
        running = asyncio.ensure_future(run([stubborn.job()]))
        await stubborn.begun.wait()
        for _ in range(20):
            running.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(caplog.records) == 1


@both
@pytest.mark.parametrize("ended_by", ["time", "cancellation"])
async def test_a_source_that_goes_on_is_left_alone_too(perform, ended_by, caplog):
    async with Stubborn() as stubborn:

        async def source():
            yield call(asyncio.sleep, 0, name="good")
            await stubborn()

        if ended_by == "time":
            (outcome,) = await perform(source(), timeout=20 * MS)
            assert outcome.ok
        else:
            running = asyncio.ensure_future(perform(source()))
            await stubborn.begun.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert len(caplog.records) == 1


async def swallowing() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60.0)


@both
@pytest.mark.parametrize("ended_by", ["time", "cancellation"])
@pytest.mark.parametrize("number", [1, 3])
async def test_a_job_that_went_on_begins_nothing_more(perform, ended_by, number):
    site = Site()
    job = call(swallowing).then(lambda _: site.leaf("more") if number == 1 else [site.leaf(f"{n}") for n in range(3)])
    if ended_by == "time":
        (outcome,) = await perform([job], timeout=20 * MS)
        assert isinstance(outcome.error, DeadlineError)
    else:
        running = asyncio.ensure_future(perform([job]))
        await asyncio.sleep(5 * MS)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert site.begun == []


@pytest.mark.parametrize("retried", [True, False])
async def test_a_job_that_was_given_up_tells_nothing_more(retried):
    class Strict(Ends):
        def retrying(self, job, error, delay) -> None:
            assert job.name not in dict(self.ends)

        began = committing = lambda self, job, *rest: self.retrying(job, None, 0.0)

    async def fails() -> None:
        await stubborn()
        raise Passing("late")

    ends, site = Strict(), Site()
    async with Stubborn() as stubborn:
        job = call(fails, name="stubborn")
        job = job.retry(Retry(attempts=3, first_delay=0.0)) if retried else job.or_else(site.leaf("instead"))
        source = [job, *(call(asyncio.sleep, 0, name=f"{n}") for n in range(8))]
        outcomes = as_completed(source, limit=2, timeout=20 * MS, observers=[ends])
        names = [(await anext(outcomes)).name for _ in range(2)]
        await site.until(lambda: "stubborn" in dict(ends.ends))
        stubborn.freed.set()
        await asyncio.wait(stubborn.tasks)
        names += [outcome.name async for outcome in outcomes]
    assert sorted(names) == sorted(["stubborn", *(f"{n}" for n in range(8))])
    assert site.begun == []
