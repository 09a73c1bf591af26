"""Rate and Pace: when the next may begin."""

import math
import random
from collections import deque
from itertools import accumulate, pairwise

import pytest

from asyncnet.errors import UsageError
from asyncnet.jobs.gate import Gate
from asyncnet.jobs.rates import Pace, Rate, Volume


def begun(pace, seconds, *, late=0.0):
    """When each begins that begins as soon as it may, or, if it has to wait, `late` seconds later."""
    now, times = 0.0, []
    while now < seconds:
        times.append(now)
        pace.take(now)
        now = now if pace.opens <= now else pace.opens + late
    return times


def test_requests_are_spaced_evenly_and_a_little_wider_than_asked():
    times = begun(Pace.of_requests(10), 10.0)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 0.1
    assert 98 <= len(times) <= 100


def test_being_late_is_not_made_up_for_where_requests_are_rare():
    times = begun(Pace.of_requests(10), 10.0, late=0.003)
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.1
    assert len(times) >= 95


def test_being_late_is_made_up_for_where_requests_are_many():
    times = begun(Pace.of_requests(5000), 1.0, late=0.002)
    assert 4500 <= len(times) <= 5100


@pytest.mark.parametrize("rate", [0.5, 10, 200, 5000, 100_000])
def test_there_are_never_more_than_the_rate_in_any_second_but_for_what_goes_together(rate):
    times = begun(Pace.of_requests(rate), 5.0 if rate < 10_000 else 1.5)
    first = 0
    for number, time in enumerate(times):
        while times[first] <= time - 1:
            first += 1
        assert number - first + 1 <= rate * 1.02 + 1


def test_idle_time_is_not_saved_up():
    pace = Pace.of_requests(10)
    pace.take(0.0)
    pace.take(60.0)
    assert pace.opens > 60.1


def test_bytes_are_waited_for_in_proportion():
    pace = Pace(1000.0)
    pace.take(5.0, 250)
    assert pace.opens == pytest.approx(5.25)
    pace.take(5.1, 250)
    assert pace.opens == pytest.approx(5.5)


MIB = 1 << 20


def carried(rate, sizes, *, limit=64, seconds=0.01):
    """Run bodies in virtual time, `limit` at once and `seconds` each; gives how they came: (when, size)."""
    volume, now, flying, came = Volume(rate), 0.0, deque(), []
    waiting = deque(sizes)
    while waiting or flying:
        if waiting and len(flying) < limit and volume.opens <= now:
            volume.begin(now)
            flying.append((now + seconds, waiting.popleft()))
            continue
        opens = volume.opens if waiting and len(flying) < limit else math.inf
        now = max(now, min(opens, flying[0][0] if flying else math.inf))
        while flying and flying[0][0] <= now:
            came.append(flying.popleft())
            volume.carried(*came[-1])
    return came


def most_ahead(came, rate):
    """The most bytes that had come at any time beyond what the rate allows by then."""
    return max(total - rate * when for (when, _), total in zip(came, accumulate(size for _, size in came), strict=True))


@pytest.mark.parametrize("number", [128, 640])
def test_big_bodies_of_many_workers_come_at_the_rate_and_not_all_at_once(number):
    came = carried(MIB, [10 * MIB] * number)
    assert number * 10 * MIB / came[-1][0] == pytest.approx(MIB, rel=0.02)
    assert most_ahead(came, MIB) <= 10 * MIB + MIB, "one body and a second"


def test_where_none_ends_before_all_have_begun_those_are_ahead_and_no_more():
    came = carried(MIB, [10 * MIB] * 256, limit=64, seconds=5.0)
    assert most_ahead(came, MIB) <= 64 * 10 * MIB
    assert 256 * 10 * MIB / came[-1][0] <= 1.4 * MIB
    later = [(when - came[64][0], size) for when, size in came[64:]]
    assert most_ahead(later, MIB) <= 12 * MIB, "from then on it is known how many bytes one has"


@pytest.mark.parametrize("seconds", [0.002, 0.05])
def test_small_bodies_come_at_the_rate_also_where_each_takes_longer_than_its_share(seconds):
    came = carried(MIB, [1024] * 20_000, seconds=seconds)
    assert 20_000 * 1024 / came[-1][0] == pytest.approx(MIB, rel=0.02)


def test_bodies_of_all_sizes_come_at_the_rate():
    lot = random.Random(1)
    sizes = [min(int(1024 * lot.paretovariate(1.1)), 5 * MIB) for _ in range(20_000)]
    sizes[::2] = [0] * 10_000  # and failures
    came = carried(MIB, sizes, seconds=0.02)
    assert sum(sizes) / came[-1][0] == pytest.approx(MIB, rel=0.1)


def test_no_bytes_cost_no_time_once_that_is_known():
    came = carried(1.0, [0] * 1000, limit=4, seconds=0.001)
    assert came[-1][0] < 1.0


def test_a_pace_that_was_asked_for_is_not_exceeded_by_one_that_was_learned():
    pace = Pace.of_requests(10)
    pace.change(50)
    pace.take(0.0)
    assert pace.opens >= 0.1
    pace.change(5)
    pace.take(1.0)
    assert pace.opens >= 1.2


@pytest.mark.parametrize(
    "wrong",
    [{"requests": 0}, {"per_host": -1}, {"max_bytes": float("nan")}, {"per_host": {"a": 0}}, {"max_bytes_per_host": 0}],
    ids=str,
)
def test_a_rate_is_above_zero(wrong):
    with pytest.raises(UsageError):
        Rate(**wrong)


async def test_a_gate_without_a_rate_is_always_open():
    gate = Gate(Rate(per_host=1.0), lambda: None)
    assert not gate.is_needed
    assert gate.is_open()
    assert gate.pay() == 0


async def test_a_gate_tells_when_it_opens_and_once_closed_never():
    told = []
    gate = Gate(Rate(1000.0, max_bytes=1e9), lambda: told.append(1))
    assert gate.pay() <= 0
    for _ in range(100):
        gate.pay()
    gate.carried(100)
    assert not gate.is_open()
    gate.close()
    assert gate.pay(has_bytes=False) > 0.05, "in line behind a hundred"
    assert told == []
