"""Leases: jobs travel as they are, but for secrets, which never do."""

import copyreg
import functools
import pickle
import ssl
from types import TracebackType

import pytest

from asyncnet import AllFailed, ConnectError, Credentials, LimitError, NetError, Proxy, UsageError, jobs
from asyncnet.jobs.lease import Name, Reply, fit, heard, packed, place_of, told, unpacked
from tests.jobs import travelling

SECRET = travelling.SECRET
ALICE = Credentials("alice", SECRET)
URL = "https://example.org/a?b=c"

TRAVELLERS = [
    jobs.fetch(URL, timeout=7.0, name="page", retry=jobs.Retry(attempts=4)),
    jobs.fetch("imaps://alice@mail.example.org/INBOX", ALICE),
    jobs.fetch(URL, ALICE, proxy=Proxy("http", "127.0.0.1", 3128, ALICE)),
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
    with pytest.raises(UsageError, match="secret") as caught:
        packed(jobs.post(URL, body="x", headers={field: SECRET}))
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


def test_a_value_that_is_too_big_does_not_come_home():
    outcome = fit(jobs.Outcome("x", b"12345", None, 2), 4)
    assert isinstance(outcome.error, LimitError)
    assert outcome.error.limit == 4
    assert (outcome.value, outcome.attempts) == (None, 2)
    assert fit(jobs.Outcome("x", b"1234"), 4).value == b"1234"


def test_a_reply_comes_home_whole_though_one_value_cannot():
    error = NetError("no", endpoint="https://a.example", transient=True)
    ended = [(1, jobs.Outcome("a", 1)), (2, jobs.Outcome("b", lambda: None)), (3, jobs.Outcome("c", None, error))]
    reply = heard(told(Reply(ended, [(3, error, 0.5)])))
    values = dict(reply.ended)
    assert values[1].value == 1
    assert isinstance(values[2].error, UsageError)
    assert (values[3].error.transient, values[3].error.endpoint) == (True, "https://a.example")


def test_a_foreign_error_that_cannot_travel_becomes_one_of_ours():
    class Local(Exception):
        pass

    assert isinstance(fit(jobs.Outcome("x", None, Local("why")), 4).error, NetError)
    assert isinstance(fit(jobs.Outcome("x", None, KeyError("why")), 4).error, KeyError)


class Held(Exception):
    """An error that holds what cannot be packed."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.held = lambda: told


def _failed(cause: Exception) -> NetError:
    """An error of ours as an adapter raises it, with what led to it."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise ConnectError("refused", transient=True) from error
    except ConnectError as error:
        return error


@pytest.fixture
def tblib(monkeypatch):
    """Errors are packed as they are at a worker, where Dask has installed these picklers."""
    support = pytest.importorskip("tblib.pickling_support")
    monkeypatch.setitem(copyreg.dispatch_table, TracebackType, support.pickle_traceback)
    for kind in (ConnectError, AllFailed, NetError, ValueError, Held):
        monkeypatch.setitem(copyreg.dispatch_table, kind, support.pickle_exception)


def test_what_led_to_an_error_does_not_travel(tblib):
    error = _failed(ValueError(SECRET))
    assert SECRET.encode() in pickle.dumps(error), "the picklers are there"
    foreign = ValueError("why")
    foreign.__context__ = ValueError(SECRET)
    ended = [
        fit(jobs.Outcome(str(at), None, one), 4) for at, one in enumerate([error, AllFailed(errors=[error]), foreign])
    ]
    data = told(Reply(list(enumerate(ended)), [(0, error, 0.5)]))
    assert SECRET.encode() not in data
    there = [outcome.error for _, outcome in heard(data).ended]
    assert [type(one) for one in there] == [ConnectError, AllFailed, ValueError]
    assert (there[0].transient, str(there[0])) == (True, "refused")
    assert all(one.__cause__ is one.__context__ is one.__traceback__ is None for one in there)


def test_a_cause_that_cannot_be_packed_changes_no_error(tblib):
    outcome = fit(jobs.Outcome("x", None, _failed(Held("why"))), 4)
    ((_, there),) = heard(told(Reply([(1, outcome)], []))).ended
    assert (type(there.error), str(there.error)) == (ConnectError, "refused")
