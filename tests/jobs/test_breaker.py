"""Breaker: a host that fails again and again is left alone for a while."""

import asyncio

import pytest

from asyncnet.errors import ConnectError, DeadlineError, DisconnectedError, NetError, StatusError, TLSError, UsageError
from asyncnet.jobs.breaker import Breaker, BrokenCircuit, Circuit

DOWN = [ConnectError("refused"), DisconnectedError("gone"), DeadlineError(seconds=1.0), StatusError(code=500)]
UP = [NetError("no"), StatusError(code=404), StatusError(code=503, retry_after=1.0), TLSError("bad"), ValueError("x")]


def tried(circuit, now, error=None):
    circuit.check(now, "h")
    circuit.ended(error, now)


def refused(circuit, now) -> float:
    with pytest.raises(BrokenCircuit, match="not tried") as caught:
        circuit.check(now, "h")
    assert caught.value.transient
    return caught.value.retry_after


@pytest.mark.parametrize("error", DOWN, ids=repr)
def test_after_so_many_failures_in_a_row_nobody_passes_for_a_while(error):
    circuit = Circuit(Breaker(failures=3, seconds=10.0))
    for _ in range(3):
        tried(circuit, 0.0, error)
    assert refused(circuit, 4.0) == pytest.approx(6.0)


@pytest.mark.parametrize("error", UP, ids=repr)
def test_an_answer_is_no_failure_of_the_host(error):
    circuit = Circuit(Breaker(failures=3))
    for _ in range(20):
        tried(circuit, 0.0, DOWN[0])
        tried(circuit, 0.0, DOWN[0])
        tried(circuit, 0.0, error)


def test_after_the_while_one_passes_and_its_success_lets_all_pass():
    circuit = Circuit(Breaker(failures=1, seconds=10.0))
    tried(circuit, 0.0, DOWN[0])
    circuit.check(10.0, "h")
    refused(circuit, 10.1)
    circuit.ended(None, 11.0)
    assert circuit.is_idle(11.0)
    for _ in range(5):
        circuit.check(11.0, "h")


def test_if_that_one_fails_the_while_is_twice_as_long_up_to_a_limit():
    circuit = Circuit(Breaker(failures=1, seconds=10.0, max_seconds=30.0))
    now, waits = 0.0, []
    tried(circuit, now, DOWN[0])
    for _ in range(4):
        waits.append(refused(circuit, now))
        now += waits[-1]
        tried(circuit, now, DOWN[0])
    assert waits == [10.0, 20.0, 30.0, 30.0]


def test_failures_of_what_was_under_way_prolong_nothing():
    circuit = Circuit(Breaker(failures=2, seconds=10.0))
    for _ in range(8):
        circuit.check(0.0, "h")
    for _ in range(8):
        circuit.ended(DOWN[0], 1.0)
    assert refused(circuit, 1.0) == pytest.approx(10.0)


def test_a_cancelled_probe_lets_the_next_one_probe():
    circuit = Circuit(Breaker(failures=1, seconds=10.0))
    tried(circuit, 0.0, DOWN[0])
    circuit.check(10.0, "h")
    circuit.ended(asyncio.CancelledError(), 10.5)
    circuit.check(10.6, "h")


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"seconds": 0.0}, {"seconds": 400.0}], ids=str)
def test_terms_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        Breaker(**wrong)


def test_what_was_learned_is_kept_while_nobody_passes_and_for_as_long_again():
    circuit = Circuit(Breaker(failures=2, seconds=10.0))
    tried(circuit, 0.0, DOWN[0])
    assert circuit.is_idle(0.0), "one failure keeps nobody away"
    tried(circuit, 1.0, DOWN[0])
    assert [circuit.is_idle(now) for now in (1.0, 10.9, 20.9, 21.0)] == [False, False, False, True]
