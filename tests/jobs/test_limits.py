"""Hosts: counting who is at a host and who waits, and from when on one may be there."""

import pytest

from asyncnet.errors import ConnectError, NetError, StatusError
from asyncnet.jobs.adaptive import Adaptive
from asyncnet.jobs.breaker import Breaker
from asyncnet.jobs.limits import Hosts, Terms
from asyncnet.jobs.rates import Rate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def hosts_of(clock, **terms) -> Hosts[str]:
    return Hosts(Terms(**terms), clock)


def test_a_host_takes_so_many_and_no_more(clock):
    hosts = hosts_of(clock, per_host=2)
    assert hosts.enter("a") is hosts.enter("a")
    assert hosts.enter("a") is None
    assert hosts.enter("b") is not None


def test_without_a_limit_a_host_takes_any_number(clock):
    hosts = hosts_of(clock)
    assert all(hosts.enter("a") for _ in range(1000))


def test_a_place_that_is_left_goes_to_the_one_who_waited_longest(clock):
    hosts = hosts_of(clock, per_host=1)
    host = hosts.enter("a")
    assert host is not None
    hosts.wait("a", "first")
    hosts.wait("a", "second")
    assert hosts.next_at(host) is None, "it is taken"
    host.leave()
    assert hosts.next_at(host) == "first"
    assert hosts.enter("a") is None, "the place was handed on, not freed"
    host.leave()
    assert hosts.enter("a") is None, "whoever waits goes first"
    assert hosts.next_at(host) == "second"
    host.leave()
    assert hosts.next_at(host) is None
    assert hosts.enter("a") is not None


@pytest.mark.parametrize(
    "terms",
    [{"per_host": 8}, {"per_host": Adaptive()}, {"breaker": Breaker()}, {"rate": Rate(per_host=1000.0)}],
    ids=str,
)
def test_hosts_that_nobody_is_at_are_forgotten_when_there_are_many(clock, terms):
    hosts = hosts_of(clock, **terms)
    for number in range(10_000):
        host = hosts.enter(f"host{number}")
        assert host is not None
        host.succeeded(clock.now, clock.now)
        host.leave()
        clock.now += 0.01
    assert len(hosts) <= 1024


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_host_stays_known_while_one_is_there(clock, at_once):
    hosts = hosts_of(clock, per_host=at_once)
    places = [hosts.enter("a") for _ in range(at_once)]
    for place in places[1:]:
        assert place is not None
        place.leave()
    assert [host.name for host in hosts] == ["a"]
    assert [host.active for host in hosts] == [1]


def test_a_host_with_a_rate_takes_the_next_when_it_is_due_and_not_before(clock):
    hosts = hosts_of(clock, rate=Rate(per_host=10.0))
    assert hosts.enter("a") is not None
    assert hosts.enter("a") is None
    assert hosts.enter("b") is not None, "each host has its own"
    clock.now += 0.1
    assert hosts.enter("a") is None, "a hundredth later than allowed"
    clock.now += 0.0011
    assert hosts.enter("a") is not None


def test_a_rate_may_be_for_named_hosts_alone(clock):
    hosts = hosts_of(clock, rate=Rate(per_host={"slow": 1.0}))
    assert hosts.enter("slow") is not None
    assert hosts.enter("slow") is None
    assert all(hosts.enter("quick") for _ in range(100))


def test_bytes_that_were_carried_are_waited_for(clock):
    hosts = hosts_of(clock, rate=Rate(max_bytes_per_host=1000.0))
    host = hosts.enter("a")
    assert host is not None
    host.carried(500, clock.now)
    clock.now += 0.03
    assert hosts.enter("a") is host, "how many bytes it would have nobody knew when it began"
    assert hosts.enter("a") is None
    clock.now += 0.49
    assert hosts.enter("a") is None
    clock.now += 0.02
    assert hosts.enter("a") is host


def test_a_refusal_closes_the_host_for_as_long_as_it_asks(clock):
    hosts = hosts_of(clock, per_host=8)
    host = hosts.enter("a")
    assert host is not None
    host.failed(StatusError(code=429, retry_after=7.0, transient=True), clock.now, clock.now)
    assert hosts.enter("a") is None
    host.leave()
    assert len(hosts) == 1, "it is remembered"
    clock.now += 6.9
    assert hosts.enter("a") is None
    clock.now += 0.2
    assert hosts.enter("a") is host


def test_what_was_granted_before_a_host_was_left_says_nothing_about_its_pace(clock):
    hosts = hosts_of(clock, per_host=8)
    first = hosts.enter("a")
    assert first is not None
    first.successes += 1
    first.leave()
    clock.now += 3600.0
    places = [hosts.enter("a") for _ in range(3)]
    assert places[0] is not None
    for _ in range(2):
        places[0].successes += 1
    clock.now += 1.0
    places[0].failed(StatusError(code=429, retry_after=1.0, transient=True), clock.now, clock.now)
    clock.now += 1.0  # two in two seconds, it turned out
    for place in places:
        assert place is not None
        place.leave()
    assert hosts.enter("a") is not None
    assert hosts.enter("a") is None
    clock.now += 1.1
    assert hosts.enter("a") is not None


def test_a_failure_that_asks_for_no_patience_closes_nothing(clock):
    hosts = hosts_of(clock, per_host=8)
    host = hosts.enter("a")
    assert host is not None
    for error in (NetError("no"), ConnectError("no"), StatusError(code=404), ValueError("no")):
        host.failed(error, clock.now, clock.now)
    assert hosts.enter("a") is host


def test_a_learned_pace_never_exceeds_the_one_that_was_asked_for(clock):
    hosts = hosts_of(clock, rate=Rate(per_host=2.0))
    host = hosts.enter("a")
    assert host is not None
    host.failed(StatusError(code=429, retry_after=0.0, transient=True), clock.now, clock.now)
    for _ in range(200):
        clock.now += 1.0
        host.succeeded(clock.now, clock.now)
    clock.now += 1000.0
    host.succeeded(clock.now, clock.now)
    clock.now += 1.0
    assert hosts.enter("a") is host
    assert hosts.enter("a") is None
    clock.now += 0.4
    assert hosts.enter("a") is None


def test_who_finds_a_tuned_host_full_makes_it_look_for_more(clock):
    hosts = hosts_of(clock, per_host=Adaptive(first=1), limit=64)
    host = hosts.enter("a")
    assert host is not None
    for _ in range(50):
        began = clock.now
        clock.now += 0.05
        assert hosts.enter("a") is None or host.limit > 1
        host.succeeded(began, clock.now)
    assert host.limit > 4


def test_hosts_that_were_down_are_forgotten_too(clock):
    hosts = hosts_of(clock, breaker=Breaker(failures=2, seconds=10.0))
    for number in range(20_000):
        for _ in range(1 + number % 2):
            host = hosts.enter(f"host-{number}")
            assert host is not None
            host.failed(ConnectError("refused"), clock.now, clock.now)
            host.leave()
        clock.now += 0.1
    assert len(hosts) <= 2048
