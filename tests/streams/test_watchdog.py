"""Limits on time, with a clock that the test turns."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import pytest

from asyncnet.streams.watchdog import Watchdog


class Timer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Clock:
    """The part of a loop that a Watchdog uses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[..., object]) -> Timer:
        self.armed += 1
        timer = Timer(due, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            timer = heapq.heappop(self.timers)
            if not timer.cancelled:
                self.now = max(self.now, timer.due)
                timer.callback()
        self.now = end

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for timer in self.timers)


class Dog:
    """A connection that is watched, and what it was told."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.received_bytes = 0
        self.sent_bytes = 0
        self.partial_since: int | None = None
        self.expired: list[tuple[float, str, float]] = []
        loop: asyncio.AbstractEventLoop = self.clock  # type: ignore[assignment]
        self.watchdog = Watchdog(loop, self, **options)

    def expire(self, what: str, seconds: float) -> None:
        self.expired.append((self.clock.now - 1000, what, seconds))
        self.watchdog.stop()

    def read_within(self, seconds: float) -> None:
        self.watchdog.read_seconds = seconds
        self.watchdog.read_by(self.clock.now + seconds)

    def write_within(self, seconds: float) -> tuple[float, float]:
        ticket = (self.clock.now + seconds, seconds)
        self.watchdog.write_by(ticket)
        return ticket


def test_without_a_limit_there_is_no_timer() -> None:
    dog = Dog()
    assert dog.clock.pending == 0
    dog.clock.advance(1e9)
    assert dog.expired == []


def test_a_read_ends_at_its_time() -> None:
    dog = Dog()
    dog.read_within(5)
    dog.clock.advance(4.9)
    assert dog.expired == []
    dog.clock.advance(0.2)
    assert dog.expired == [(5, "read", 5)]
    assert dog.clock.pending == 0


def test_reads_that_end_in_time_cost_no_timer_each() -> None:
    dog = Dog()
    for _ in range(10_000):
        dog.read_within(10)
        dog.clock.advance(0.001)
        dog.watchdog.read_due = None
    assert dog.clock.armed <= 3
    dog.clock.advance(100)
    assert dog.expired == []
    assert dog.clock.pending == 0  # once nothing is due, nothing ticks


def test_a_later_read_is_judged_by_its_own_time() -> None:
    dog = Dog()
    dog.read_within(10)
    dog.watchdog.read_due = None
    dog.clock.advance(8)
    dog.read_within(10)
    dog.clock.advance(9.9)
    assert dog.expired == []
    dog.clock.advance(0.2)
    assert dog.expired == [(18, "read", 10)]


def test_a_shorter_limit_comes_first() -> None:
    dog = Dog(idle=100)
    dog.read_within(50)
    dog.watchdog.read_due = None
    dog.read_within(2)
    dog.clock.advance(2)
    assert dog.expired == [(2, "read", 2)]


def test_writes_have_each_their_own_time() -> None:
    dog = Dog()
    long, short = dog.write_within(10), dog.write_within(3)
    dog.clock.advance(2)
    dog.watchdog.written(short)
    dog.clock.advance(7)
    assert dog.expired == []
    dog.clock.advance(1)
    assert dog.expired == [(10, "write", 10)]
    dog.watchdog.written(long)
    assert dog.watchdog.writes == ()


def test_two_writes_alike_are_forgotten_one_by_one() -> None:
    dog = Dog()
    first, second = dog.write_within(3), dog.write_within(3)
    dog.watchdog.written(first)
    dog.clock.advance(3)
    assert dog.expired == [(3, "write", 3)]
    dog.watchdog.written(second)


def test_the_whole_connection_ends_at_its_time() -> None:
    dog = Dog(total=60)
    for _ in range(60):
        dog.received_bytes += 1000
        dog.clock.advance(0.99)
    assert dog.expired == []
    dog.clock.advance(1)
    assert dog.expired == [(60, "connection", 60)]


@pytest.mark.parametrize("counter", ["received_bytes", "sent_bytes"])
def test_silence_ends_it_and_a_byte_in_either_direction_is_none(counter: str) -> None:
    dog = Dog(idle=40)
    for _ in range(20):
        setattr(dog, counter, getattr(dog, counter) + 1)
        dog.clock.advance(15)
    assert dog.expired == []
    dog.clock.advance(26)
    dog.clock.advance(25)
    [(when, what, seconds)] = dog.expired
    assert (what, seconds) == ("silence", 40)
    assert 300 + 25 <= when <= 300 + 1.25 * 40


def test_silence_from_the_beginning_ends_it_in_time() -> None:
    dog = Dog(idle=40)
    dog.clock.advance(100)
    assert dog.expired == [(40, "silence", 40)]


def test_an_idle_connection_ticks_seldom() -> None:
    dog = Dog(idle=300, min_rate=16)
    dog.clock.advance(299)
    assert dog.clock.armed <= 125


def test_a_trickle_in_the_middle_of_a_unit_ends_it() -> None:
    dog = Dog(min_rate=16, rate_grace=10)
    dog.partial_since = 0
    for _ in range(30):
        dog.received_bytes += 1
        dog.clock.advance(1)
    [(when, what, _)] = dog.expired
    assert what == "a sender below the minimum rate"
    assert 10 <= when <= 16


def test_an_honest_sender_is_fast_enough() -> None:
    dog = Dog(min_rate=16, rate_grace=10)
    dog.partial_since = 0
    for _ in range(100):
        dog.received_bytes += 20
        dog.clock.advance(1)
    assert dog.expired == []


def test_a_sender_that_slows_down_ends_too() -> None:
    dog = Dog(min_rate=16, rate_grace=10)
    dog.partial_since = 0
    for second in range(100):
        dog.received_bytes += 20 if second < 20 else 1
        dog.clock.advance(1)
    [(when, _, _)] = dog.expired
    assert 20 < when < 40


def test_between_units_a_client_may_be_silent() -> None:
    """A handler waits for the next line, of which not one byte has come: that is what the idle limit is for."""
    dog = Dog(min_rate=16, rate_grace=10, idle=300)
    for _ in range(5):
        dog.partial_since = dog.received_bytes
        dog.clock.advance(100)
        dog.received_bytes += 30
        dog.partial_since = None
        dog.clock.advance(1)
    assert dog.expired == []


def test_the_time_of_a_unit_begins_with_its_first_byte() -> None:
    dog = Dog(min_rate=16, rate_grace=10)
    dog.partial_since = 0
    dog.clock.advance(100)
    for _ in range(9):
        dog.received_bytes += 1
        dog.clock.advance(1)
    assert dog.expired == []


def test_units_that_follow_each_other_are_judged_one_by_one() -> None:
    dog = Dog(min_rate=16, rate_grace=10)
    for _ in range(50):
        dog.partial_since = dog.received_bytes
        dog.received_bytes += 1
        dog.clock.advance(5)
        dog.received_bytes += 1
        dog.partial_since = None
    assert dog.expired == []


def test_once_stopped_nothing_comes() -> None:
    dog = Dog(idle=1, total=1, min_rate=1)
    dog.watchdog.stop()
    dog.watchdog.stop()
    dog.read_within(1)
    dog.write_within(1)
    dog.clock.advance(1000)
    assert dog.expired == []
    assert dog.clock.pending == 0


def test_it_is_small() -> None:
    import sys

    assert sys.getsizeof(Dog(idle=300, min_rate=16).watchdog) < 250
