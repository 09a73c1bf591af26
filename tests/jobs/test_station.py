"""Stations: what a worker does with leases, without a cluster around it."""

import asyncio
import contextlib

import pytest

from asyncnet import ClosedError, Credentials, NetError, UsageError, jobs
from asyncnet.jobs import station as stations
from asyncnet.jobs.lease import packed
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.reply import heard
from asyncnet.jobs.station import Station, Terms, all_closed, closed, known, opened, station
from tests.clock import MS
from tests.jobs import travelling

TERMS = Terms(4, 8, Rate(), 100, None, None, 3, 1000, None, None)


def terms(**changed) -> Terms:
    return Terms(**({slot: getattr(TERMS, slot) for slot in Terms.__slots__} | changed))


@contextlib.asynccontextmanager
async def at_work(told: Terms = TERMS):
    made = Station(told)
    try:
        yield made
    finally:
        await made.conclude()


def lot(*all_jobs, first: int = 0):
    return [(first + at, packed(job).data) for at, job in enumerate(all_jobs)]


async def test_a_lease_ends_when_all_of_it_has():
    async with at_work() as made:
        reply = heard(await made.lease(lot(*(jobs.call(travelling.double, at) for at in range(2))), []))
        assert sorted((number, outcome.value) for number, outcome in reply.ended) == [(0, 0), (1, 2)]


async def test_a_lease_ends_with_a_batch_and_the_next_one_brings_the_rest():
    async with at_work(terms(limit=1)) as made:
        slow = jobs.call(travelling.sleep, 60.0)
        reply = heard(await made.lease(lot(*(jobs.call(travelling.double, at) for at in range(3)), slow), []))
        assert sorted(number for number, _ in reply.ended) == [0, 1, 2]


async def test_a_slow_job_keeps_no_other_outcome_from_home(monkeypatch):
    monkeypatch.setattr(stations, "_SLICE_SECONDS", 20 * MS)
    async with at_work() as made:
        slow, quick = jobs.call(travelling.sleep, 60.0), jobs.call(travelling.double, 1)
        reply = heard(await made.lease(lot(slow, quick), []))
        assert [number for number, _ in reply.ended] == [1]
        assert heard(await made.lease([], [])).ended == []


async def test_a_closed_station_gives_what_had_ended_and_leases_no_more():
    made = Station(TERMS)
    lease = asyncio.ensure_future(
        made.lease(lot(jobs.call(travelling.sleep, 60.0), jobs.call(travelling.double, 4)), [])
    )
    for _ in range(100):
        await asyncio.sleep(0)
    reply = heard(await made.conclude())
    assert [(number, outcome.value) for number, outcome in reply.ended] == [(1, 8)]
    with pytest.raises(ClosedError):
        await lease
    with pytest.raises(ClosedError):
        await made.lease([], [])


async def test_a_station_whose_home_is_silent_ends(monkeypatch):
    monkeypatch.setattr(stations, "_SILENT_SECONDS", 10 * MS)
    monkeypatch.setattr(stations, "_SLICE_SECONDS", 10 * MS)
    async with at_work() as made:
        await made.lease(lot(jobs.call(travelling.sleep, 60.0)), [])
        await asyncio.wait([made._task], timeout=1000 * MS)
        assert made.is_over


async def test_what_cannot_be_made_here_fails_alone():
    async with at_work() as made:
        data = packed(jobs.call(travelling.double, 1)).data
        lease = [(0, data.replace(b"travelling", b"travellinx")), (1, data)]
        ended = dict(heard(await made.lease(lease, [])).ended)
        assert isinstance(ended[0].error, UsageError)
        assert ended[1].value == 2


async def test_a_value_that_is_too_big_is_a_failure():
    async with at_work() as made:
        ((_, outcome),) = heard(await made.lease(lot(jobs.call(travelling.bulk, 1001)), [])).ended
        assert "1001 bytes" in str(outcome.error)


async def test_what_waits_to_be_taken_home_is_bounded(monkeypatch):
    monkeypatch.setattr(stations, "_MAX_HELD_BYTES", 2000)
    monkeypatch.setattr(stations, "_MAX_REPLY_BYTES", 1500)
    async with at_work(terms(limit=1, batch=1000)) as made:
        reply = heard(await made.lease(lot(*(jobs.call(travelling.bulk, 1000) for _ in range(20))), []))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(reply.ended) == 2
        assert 2000 <= made._held <= 3000
        got = 2
        while got < 20:
            got += len(heard(await made.lease([], [])).ended)


async def test_failed_attempts_are_told_too():
    async with at_work() as made:
        job = jobs.fetch("tcp://127.0.0.1:9", retry=jobs.Retry(attempts=2, first_delay=MS)).timeout(20.0)
        reply = heard(await made.lease(lot(job), []))
        ((number, error, delay),) = reply.troubles
        assert (number, type(error).__name__) == (0, "ConnectError")
        assert delay <= MS
        assert reply.ended[0][1].attempts == 2


async def test_credentials_are_found_here_by_their_name(monkeypatch):
    seen = []

    class Asking(travelling.Teller):
        async def fetch(self, endpoint, credentials=None, /):
            seen.append((credentials.username, await credentials.secret()))

    monkeypatch.setattr(travelling, "teller", Asking)
    told = terms(credentials="tests.jobs.travelling:find", client="tests.jobs.travelling:teller")
    async with at_work(told) as made:
        parcel = packed(jobs.fetch("imaps://a.example", Credentials("alice", "only at home")))
        await made.lease([(0, parcel.data)], sorted(parcel.names))
        assert seen == [("alice", travelling.SECRET)]


async def test_a_login_without_a_secret_here_fails_as_a_login_does():
    async with at_work(terms(credentials="tests.jobs.travelling:find")) as made:
        parcel = packed(jobs.fetch("imap://127.0.0.1:9", Credentials("bob", "x")))
        ((_, outcome),) = heard(await made.lease([(0, parcel.data)], sorted(parcel.names))).ended
        assert outcome.error is not None
        (name,) = parcel.names
        with pytest.raises(UsageError, match="no secret of 'bob'"):
            await made._known[name].secret()


async def test_the_environment_knows_one_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("ASYNCNET_USERNAME", "alice")
    monkeypatch.setenv("ASYNCNET_PASSWORD", "of here")
    async with at_work() as made:
        (name,) = packed(jobs.fetch("imaps://a.example", Credentials("alice", "x"))).names
        found = await made._found(name)
        assert await found.secret() == "of here"


async def test_a_station_has_a_client_of_its_own_and_closes_it():
    before = travelling.Teller.closed
    async with at_work(terms(client="tests.jobs.travelling:teller")) as made:
        ((_, outcome),) = heard(await made.lease(lot(jobs.fetch("tcp://a.example:7")), [])).ended
        assert outcome.value == b"tcp://a.example:7"
    assert travelling.Teller.closed == before + 1


async def test_a_client_that_cannot_be_made_ends_the_station():
    async with at_work(terms(client="tests.jobs.travelling:nobody")) as made:
        with pytest.raises(UsageError, match="nobody"):
            await made.lease(lot(jobs.fetch("tcp://a.example:7")), [])


async def test_stations_are_known_by_their_worker_and_closed_with_it():
    for worker, number in (("worker", "1"), ("worker", "2"), ("other", "3")):
        opened(worker, number, TERMS)
    assert station("worker", "1") is not station("other", "3")
    with pytest.raises(ClosedError):
        station("worker", "3")
    await all_closed("worker")
    assert list(known()) == ["3"]
    await closed("3")
    assert heard(await closed("3")).ended == []
    assert not known()


async def test_a_station_that_is_closed_before_it_is_opened_is_not_opened():
    await closed("early")
    with pytest.raises(ClosedError):
        opened("worker", "early", TERMS)


def test_credentials_that_are_looked_for_in_vain_are_no_secret():
    with pytest.raises(NetError):
        stations.named("tests.jobs.travelling:nobody")
