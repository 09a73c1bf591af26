"""Silence, overlong stays and slow senders, with a clock that the test turns."""

import asyncio
from typing import Any

import pytest

from asyncnet.streams.sweep import Sweep
from tests.streams.turned import Clock


class Dog:
    """A client that is judged, and what it was told."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.opened_at = self.clock.now
        self.received_bytes = 0
        self.sent_bytes = 0
        self.partial_since: int | None = None
        self.expired: list[tuple[float, str, float]] = []
        self.clients = [self]
        loop: asyncio.AbstractEventLoop = self.clock  # type: ignore[assignment]
        self.sweep = Sweep(loop, lambda: self.clients, **options)
        self.sweep.start()

    def expire(self, what: str, seconds: float) -> None:
        self.expired.append((self.clock.now - 1000, what, seconds))
        self.clients = []


def test_without_a_limit_there_is_no_timer() -> None:
    dog = Dog()
    assert dog.clock.pending == 0
    dog.clock.advance(1e9)
    assert dog.expired == []


def test_one_timer_serves_all_and_goes_with_the_last_client() -> None:
    dog = Dog(idle=40)
    others = [Dog() for _ in range(100)]
    dog.clients = [dog, *others]
    dog.sweep.start()
    assert dog.clock.pending == 1
    dog.clients = []
    dog.clock.advance(100)
    assert dog.clock.pending == 0
    dog.clients = [dog]
    dog.sweep.start()
    dog.clock.advance(50)
    assert dog.expired


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
    dog.sweep.stop()
    dog.sweep.stop()
    dog.clock.advance(1000)
    assert dog.expired == []
    assert dog.clock.pending == 0
