"""Hosts: counting who is at a host and who waits."""

import pytest

from asyncnet.jobs.limits import Hosts


def test_a_host_takes_so_many_and_no_more():
    hosts: Hosts[str] = Hosts(2)
    assert hosts.enter("a") is hosts.enter("a")
    assert hosts.enter("a") is None
    assert hosts.enter("b") is not None


def test_without_a_limit_a_host_takes_any_number():
    hosts: Hosts[str] = Hosts(None)
    assert all(hosts.enter("a") for _ in range(1000))


def test_a_place_that_is_left_goes_to_the_one_who_waited_longest():
    hosts: Hosts[str] = Hosts(1)
    host = hosts.enter("a")
    assert host is not None
    hosts.wait("a", "first")
    hosts.wait("a", "second")
    assert hosts.leave(host) == "first"
    assert hosts.enter("a") is None, "the place was handed on, not freed"
    assert hosts.leave(host) == "second"
    assert hosts.leave(host) is None
    assert hosts.enter("a") is not None


def test_a_host_that_nobody_is_at_is_forgotten():
    hosts: Hosts[str] = Hosts(8)
    for number in range(10_000):
        host = hosts.enter(f"host{number}")
        assert host is not None
        assert hosts.leave(host) is None
    assert len(hosts) == 0


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_host_stays_known_while_one_is_there(at_once):
    hosts: Hosts[str] = Hosts(at_once)
    places = [hosts.enter("a") for _ in range(at_once)]
    for place in places[1:]:
        assert place is not None
        hosts.leave(place)
    assert [host.name for host in hosts] == ["a"]
    assert [host.active for host in hosts] == [1]
