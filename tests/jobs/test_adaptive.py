"""Adaptive and Tuner: how many at once, found from latency and refusals; in virtual time."""

import pytest

from asyncnet.errors import UsageError
from asyncnet.jobs.adaptive import Adaptive, Tuner
from tests.jobs.virtual import Crowd, Slots


class Line:
    """A crowd before slots, with a tuner or a fixed number; counts what was answered."""

    def __init__(self, server, tuner, *, work=1000):
        self.server, self.tuner, self.answered = server, tuner, 0
        self.work = work  # what there is to do at once
        self.crowd = Crowd(self._opens, lambda now: server.done(now), self._ended)

    def _opens(self, now, flying):
        if flying >= self.work:
            return float("inf")
        if flying < self.tuner.limit:
            return now
        self.tuner.full()
        return float("inf")

    def _ended(self, began, now):
        self.answered += 1
        self.tuner.succeeded(began, now)

    def a_second(self, seconds):
        before = self.answered
        self.crowd.run(seconds)
        return (self.answered - before) / seconds


class Fixed:
    def __init__(self, limit):
        self.limit = limit

    def full(self):
        pass

    def succeeded(self, began, now):
        pass


KINDS = {
    "fast": lambda: Slots(1, 0.0003),
    "50 ms": lambda: Slots(10_000, 0.05),
    "16 at a time": lambda: Slots(16, 0.02),
    "200 ms, 40 at a time": lambda: Slots(40, 0.2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_within_five_seconds_it_is_as_good_as_the_best_fixed_number(kind):
    best = max(Line(KINDS[kind](), Fixed(number)).a_second(3) for number in (1, 4, 8, 16, 32, 64, 128))
    line = Line(KINDS[kind](), Tuner(Adaptive(), 128, 0.0))
    line.crowd.run(5)
    assert line.a_second(5) >= 0.8 * best


def test_it_does_not_queue_much_where_more_at_once_is_of_no_use():
    line = Line(Slots(16, 0.02), Tuner(Adaptive(), 1000, 0.0))
    line.crowd.run(30)
    assert line.tuner.limit <= 3 * 16


def test_it_follows_a_host_that_gets_slower_and_recovers():
    server = Slots(100, 0.02)
    line = Line(server, Tuner(Adaptive(), 200, 0.0))
    line.crowd.run(5)
    wide = line.tuner.limit
    server.free_at = server.free_at[:4]
    line.crowd.run(10)
    assert line.tuner.limit < wide / 3
    server.free_at += [line.crowd.now] * 96
    line.crowd.run(10)
    assert line.tuner.limit > wide / 2


def test_it_does_not_grow_where_there_is_not_that_much_to_do():
    line = Line(Slots(1000, 0.05), Tuner(Adaptive(), 1000, 0.0), work=4)
    line.crowd.run(20)
    assert line.tuner.limit <= 8


def test_refusals_cut_it_and_those_of_one_moment_count_once():
    tuner = Tuner(Adaptive(first=20), 64, 0.0)
    for _ in range(10):
        tuner.failed(0.5, 1.0)
    assert tuner.limit == pytest.approx(14)
    for number in range(100):
        tuner.failed(2.0 + number, 2.5 + number)
    assert tuner.limit == 1


def test_it_stays_within_its_ends():
    tuner = Tuner(Adaptive(first=4, least=3, most=10), 64, 0.0)
    now = 0.0
    for _ in range(1000):
        tuner.full()
        tuner.succeeded(now, now + 0.03)
        now += 0.03
    assert tuner.limit == 10
    for _ in range(100):
        tuner.failed(now, now + 0.01)
        now += 0.02
    assert tuner.limit == 3


@pytest.mark.parametrize("wrong", [{"first": 0}, {"least": 9}, {"most": 7}, {"least": 0}], ids=str)
def test_ends_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(UsageError):
        Adaptive(**wrong)
