"""Deadlines of reads and writes, with a clock that the test turns."""

import asyncio

from asyncnet.streams.watchdog import Watchdog
from tests.streams.turned import Clock


class Dog:
    """A connection that is watched, and what it was told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.expired: list[tuple[float, str, float]] = []
        loop: asyncio.AbstractEventLoop = self.clock  # type: ignore[assignment]
        self.watchdog = Watchdog(loop, self)

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
    dog = Dog()
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


def test_once_stopped_nothing_comes() -> None:
    dog = Dog()
    dog.watchdog.stop()
    dog.watchdog.stop()
    dog.read_within(1)
    dog.write_within(1)
    dog.clock.advance(1000)
    assert dog.expired == []
    assert dog.clock.pending == 0


def test_it_is_small() -> None:
    import sys

    assert sys.getsizeof(Dog().watchdog) < 150
