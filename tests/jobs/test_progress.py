"""Progress: what a run has done, in numbers and in a line."""

from asyncnet.errors import ConnectError, StatusError
from asyncnet.jobs import Outcome, Progress, run
from asyncnet.retry import Retry
from tests.jobs.work import Passing, Site


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def ended(progress: Progress, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        progress.began(None, 1)
        progress.ended(None, outcome)


def good(received: int = 0) -> Outcome:
    return Outcome("a", None, None, 1, 0.1, received)


def bad(error: Exception, attempts: int = 1) -> Outcome:
    return Outcome("a", None, error, attempts, 0.1)


def test_a_line_says_how_far_it_is():
    clock = Clock()
    progress = Progress(1000, clock=clock)
    ended(progress, *[good(40_000)] * 100, bad(ConnectError("no")), *[bad(StatusError(code=500))] * 2)
    progress.began(None, 1)
    progress.retrying(None, ConnectError("no"), 1.0)
    clock.now += 2.0
    assert progress.line() == (
        "100 of 1,000 done, 52/s, 2.0 MB/s, 1 in flight, 1 retry, 3 failed (2 StatusError, 1 ConnectError), ETA 0:17"
    )


def test_without_a_total_there_is_no_time_left():
    clock = Clock()
    progress = Progress(clock=clock)
    ended(progress, good())
    clock.now += 10
    assert progress.line() == "1 done, 0.1/s, 0 in flight"


def test_rates_are_of_the_last_seconds():
    clock = Clock()
    progress = Progress(clock=clock)
    for _ in range(100):
        ended(progress, good(1000))
        clock.now += 0.1
        progress.line()
    assert 9 <= progress.rates()[0] <= 11
    clock.now += 20
    progress.line()
    assert progress.rates()[0] < 1
    assert len(progress._samples) <= 70


def test_a_second_attempt_is_no_second_job():
    progress = Progress(clock=Clock())
    progress.began(None, 1)
    progress.began(None, 2)
    assert progress.in_flight == 1
    progress.ended(None, good())
    assert progress.in_flight == 0


def test_what_never_began_was_never_in_flight():
    progress = Progress(clock=Clock())
    progress.ended(None, bad(ConnectError("late"), attempts=0))
    assert (progress.in_flight, progress.failed) == (0, 1)


def test_classes_of_errors_are_bounded():
    progress = Progress(clock=Clock())
    for number in range(500):
        ended(progress, bad(type(f"Error{number}", (Exception,), {})()))
    assert len(progress.errors) == 101
    assert progress.failed == 500
    assert "(400 other, 1 Error0, 1 Error1, ...)" in progress.line()


async def test_a_run_is_counted():
    site, progress = Site(), Progress(3)
    jobs = [site.leaf("a"), site.leaf("b", error=Passing("x"), failures=1), site.leaf("c", error=Passing("x"))]
    retry = Retry(attempts=2, first_delay=0.0)
    await run([job.retry(retry) for job in jobs], observers=[progress])
    assert (progress.done, progress.failed, progress.retries, progress.in_flight) == (2, 1, 2, 0)
    assert progress.errors == {"Passing": 1}
