"""Leases: jobs travel as they are, but for secrets, which never do."""

import functools
import pickle
import ssl

import pytest

from asyncnet import Credentials, Proxy, UsageError, jobs
from asyncnet.jobs.lease import Name, packed, place_of, unpacked
from tests.jobs import travelling

SECRET = travelling.SECRET
ALICE = Credentials("alice", SECRET)
URL = "https://example.org/a?b=c"

TRAVELLERS = [
    jobs.fetch(URL, timeout=7.0, name="page", retry=jobs.Retry(attempts=4)),
    jobs.fetch("imaps://alice@mail.example.org/INBOX", ALICE),
    jobs.fetch(URL, ALICE, proxy=Proxy("http", "127.0.0.1", 3128, ALICE)),
    jobs.fetch(URL, headers={"Accept": "text/html"}),
    jobs.post(URL, ALICE, json={"a": 1}, headers={"X-A": "b"}, idempotency_key="7"),
    jobs.send(b"Subject: x\r\n\r\ny\r\n", "smtps://mail.example.org", ALICE, sender="a@b", recipients=["c@d"]),
    jobs.exchange("tcp://127.0.0.1:7", b"ping", repeatable=True),
    jobs.all_of(jobs.fetch(URL), jobs.first_of(jobs.fetch(URL, ALICE), jobs.fetch(URL), after=0.5)),
    jobs.fetch(URL).or_else(jobs.fetch(URL)).timeout(3.0),
    jobs.call(travelling.double, 1).then(travelling.doubled),
    jobs.call(functools.partial(travelling.double, 1), name="partial"),
]


def state(value):
    """All that a job is made of; partials and functions by how they look."""
    if isinstance(value, jobs.Job):
        _, slots = value.__getstate__()
        return type(value), {slot: state(inner) for slot, inner in slots.items()}
    if isinstance(value, list | tuple):
        return [state(inner) for inner in value]
    return repr(value) if isinstance(value, functools.partial) else value


@pytest.mark.parametrize("job", TRAVELLERS, ids=range(len(TRAVELLERS)))
def test_a_job_comes_out_as_it_went_in(job):
    parcel = packed(job)
    found = {name: ALICE for name in parcel.names}
    there = unpacked(parcel.data, found)
    assert (there.name, there.host, there.key) == (job.name, job.host, job.key)
    assert state(there) == state(job)


@pytest.mark.parametrize("job", TRAVELLERS, ids=range(len(TRAVELLERS)))
def test_no_secret_is_in_a_lease(job):
    parcel = packed(job)
    assert SECRET.encode() not in pickle.dumps((0, parcel.data, sorted(parcel.names, key=str)))


def test_the_name_says_who_signs_in_where():
    job = jobs.fetch("imaps://alice@mail.example.org/INBOX?UNSEEN", Credentials("alice", SECRET, mechanism="plain"))
    (name,) = packed(job).names
    assert name == Name("imaps://mail.example.org:993", "alice", "PLAIN")
    endpoint = place_of(name)
    assert (endpoint.host, endpoint.username, endpoint.path) == ("mail.example.org", "alice", "")


def test_the_same_credentials_at_two_hosts_are_two_names():
    job = jobs.all_of(jobs.fetch("https://a.example/", ALICE), jobs.fetch("https://b.example/", ALICE))
    assert {name.url for name in packed(job).names} == {"https://a.example:443", "https://b.example:443"}


def test_a_socks_proxy_is_a_place_too():
    assert place_of(Name("socks5://127.0.0.1:1080", "alice", None)).username == "alice"


@pytest.mark.parametrize("field", ["Authorization", "cookie", "Proxy-Authorization", "X-Api-Key"])
def test_a_secret_field_does_not_travel(field):
    for job in (jobs.post(URL, body="x", headers={field: SECRET}), jobs.fetch(URL, headers={field: SECRET})):
        with pytest.raises(UsageError, match="secret") as caught:
            packed(job)
        assert SECRET not in str(caught.value)


async def _at_home() -> Credentials:
    return ALICE


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (jobs.fetch(URL, tls=ssl.create_default_context()), "TLS context"),
        (jobs.fetch(URL).then(lambda page: jobs.fetch(URL)), "by its name"),
        (jobs.call(travelling.double, ALICE, name="x"), "secret does not travel"),
        (jobs.call(functools.partial(travelling.double, open), name="x").then(lambda x: x), "by its name"),
    ],
)
def test_what_cannot_travel_is_a_usage_error_that_says_why(job, why):
    with pytest.raises(UsageError, match=why):
        packed(job)


@pytest.mark.parametrize(
    ("job", "repeatable"),
    [
        (jobs.fetch(URL), True),
        (jobs.post(URL, body="x"), False),
        (jobs.post(URL, body="x").retry(jobs.Retry()).timeout(1.0), False),
        (jobs.post(URL, body="x", idempotency_key="1"), True),
        (jobs.send(b"x", "smtps://a.example", sender="a@b", recipients="c@d"), False),
        (jobs.exchange("tcp://a.example:7", b"x"), False),
        (jobs.exchange("tcp://a.example:7", b"x", repeatable=True), True),
        (jobs.all_of(jobs.fetch(URL), jobs.post(URL, body="x")), False),
        (jobs.all_of(jobs.fetch(URL), jobs.fetch(URL)), True),
        (jobs.fetch(URL).or_else(jobs.fetch(URL)), True),
        (jobs.fetch(URL).or_else(jobs.post(URL, body="x")), False),
        (jobs.fetch(URL).or_else(travelling.doubled), False),
        (jobs.call(travelling.double, 1), True),
        (jobs.call(travelling.double, 1).then(travelling.doubled), False),
    ],
)
def test_it_is_known_what_may_be_done_twice(job, repeatable):
    assert packed(job).repeatable is repeatable


def test_what_a_worker_cannot_make_is_a_usage_error_there():
    data = packed(jobs.call(travelling.double, 1)).data.replace(b"travelling", b"travellinx")
    with pytest.raises(UsageError, match="travellinx"):
        unpacked(data, {})
