"""retry.py: a pure schedule of delays."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import ConnectError, ProtocolError, RefusedError, UsageError
from asyncnet.retry import Retry

LOST = ConnectError("no route")
SCHEDULES = st.builds(
    Retry,
    attempts=st.integers(1, 10_000),
    first_delay=st.floats(0, 1e9),
    factor=st.floats(1, 1e308),
    max_delay=st.floats(0, 1e9),
    jitter=st.floats(0, 1),
    max_retry_after=st.floats(0, 1e9),
)


@given(SCHEDULES, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_every_wait_lies_between_nothing_and_the_longest(schedule: Retry, attempt: int, chance: float) -> None:
    wait = schedule.delay(LOST, attempt, chance=lambda: chance)
    if attempt >= schedule.attempts:
        assert wait is None
    else:
        assert wait is not None
        assert 0 <= wait <= schedule.max_delay


@given(SCHEDULES, st.integers(1, 10_000))
def test_without_jitter_the_waits_never_shrink(schedule: Retry, attempt: int) -> None:
    waits = [schedule.delay(LOST, number, chance=lambda: 0.0) for number in (attempt, attempt + 1)]
    if None not in waits:
        assert waits[0] <= waits[1]  # type: ignore[operator]


@given(SCHEDULES, st.integers(1, 100), st.floats(-1e6, 1e9), st.floats(0, 1, exclude_max=True))
def test_what_the_peer_asks_for_is_never_cut_short(schedule: Retry, attempt: int, asked: float, chance: float) -> None:
    error = RefusedError(code=503, retry_after=asked, transient=True)
    wait = schedule.delay(error, attempt, chance=lambda: chance)
    if attempt >= schedule.attempts or asked > schedule.max_retry_after:
        assert wait is None
    else:
        assert wait is not None
        assert max(0, asked) <= wait <= max(0, asked) + schedule.max_delay


@given(SCHEDULES, st.integers(1, 100))
def test_only_what_is_transient_is_tried_again(schedule: Retry, attempt: int) -> None:
    assert schedule.delay(ProtocolError("nonsense"), attempt) is None
    assert schedule.delay(ValueError("foreign"), attempt) is None
    assert schedule.delay(RefusedError(code=550, retry_after=1.0), attempt) is None


def test_the_default_schedule_is_half_a_second_doubled() -> None:
    schedule = Retry(attempts=5, jitter=0)
    assert [schedule.delay(LOST, attempt) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, None]
    assert Retry(attempts=100, jitter=0).delay(LOST, 50) == 30.0


def test_jitter_is_taken_from_our_own_waits_and_added_to_the_peers() -> None:
    schedule = Retry(jitter=0.5)
    assert schedule.delay(LOST, 1, chance=lambda: 0.5) == 0.5 * 0.75
    assert schedule.delay(RefusedError(retry_after=10.0, transient=True), 1, chance=lambda: 0.5) == 10.0 + 0.5 * 0.25
    waits = {Retry().delay(LOST, 1) for _ in range(20)}
    assert len(waits) > 1
    assert all(wait is not None and 0.25 <= wait <= 0.5 for wait in waits)


def test_a_peers_wish_that_is_no_number_is_no_wait_of_its_own() -> None:
    wait = Retry(jitter=0).delay(RefusedError(retry_after=math.nan, transient=True), 1)
    assert wait == 0


def test_one_attempt_is_never_repeated() -> None:
    assert Retry(attempts=1).delay(LOST, 1) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"first_delay": -0.1},
        {"first_delay": math.nan},
        {"factor": 0.5},
        {"factor": math.nan},
        {"factor": math.inf},
        {"max_delay": -1.0},
        {"max_delay": math.nan},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": math.nan},
        {"max_retry_after": -1.0},
        {"max_retry_after": math.nan},
    ],
)
def test_what_is_no_schedule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Retry(**wrong)  # type: ignore[arg-type]
