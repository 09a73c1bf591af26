"""A run over Dask's workers gives what it gives without them, whatever becomes of a worker.

Where processes are started (slow), they are the ones that `cluster=True` starts; elsewhere scheduler and workers are in
this process, which is quicker and shows the same.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

import pytest

from asyncnet import ConnectError, DeadlineError, NetError, ProtocolError, UsageError, jobs
from asyncnet.jobs import cluster as clusters
from asyncnet.jobs.station import known
from tests.cli.running import ROOT, environment
from tests.clock import MS
from tests.jobs import travelling
from tests.jobs.site import Site

distributed = pytest.importorskip("distributed")

# What Dask warns of is its own affair: a slow start, a port that is taken, an API of tornado's that ages.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:distributed"),
]


@pytest.fixture(autouse=True)
def quiet_dask(monkeypatch):
    """Dask logs lost workers as errors, and the tests lose some on purpose."""
    monkeypatch.setattr(logging.getLogger("distributed"), "disabled", True)
    for name in ("scheduler", "worker", "core", "nanny", "comm.tcp", "client"):
        monkeypatch.setattr(logging.getLogger(f"distributed.{name}"), "disabled", True)


@contextlib.asynccontextmanager
async def in_process(workers: int = 2, **how):
    """A scheduler and workers in this loop; gives the address."""
    how = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"} | how
    async with contextlib.AsyncExitStack() as stack:
        scheduler = await stack.enter_async_context(distributed.Scheduler(port=0, **how))
        del how["dashboard_address"]
        for _ in range(workers):
            made = distributed.Worker(scheduler.address, nthreads=1, heartbeat_interval="1s", **how)
            await stack.enter_async_context(made)
        yield scheduler


@contextlib.asynccontextmanager
async def serving():
    """The web of a Site, at as many addresses as one likes below 127.0.0."""
    site = Site()
    open_ones = set()

    async def handle(reader, writer):
        open_ones.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await site.http(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "0.0.0.0", 0, backlog=1024)
    try:
        yield site, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        await server.wait_closed()


def urls(port: int, number: int) -> list[str]:
    return [f"http://127.0.0.{1 + at % 5}:{port}/page{at}" for at in range(number)]


def told(outcome: jobs.Outcome) -> tuple:
    body = outcome.value.body if outcome.ok else None
    return outcome.name, body, type(outcome.error), str(outcome.error or "")


class Watching(jobs.Observer):
    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def began(self, job, attempt) -> None:
        self.begun[job.name] += 1

    def ended(self, job, outcome) -> None:
        self.ends[job.name] += 1


async def test_with_or_without_a_cluster_the_outcomes_are_the_same():
    async with serving() as (_, port), in_process() as scheduler:
        source = [*urls(port, 300), "gopher://a", jobs.call(travelling.fail, "why"), jobs.call(travelling.double, 4)]
        here = await jobs.run(source, limit=20)
        watching = Watching()
        there = await jobs.run(source, limit=20, cluster=scheduler.address, observers=[watching])
    assert [told(one) for one in there[:-1]] == [told(one) for one in here[:-1]]
    assert there[-1].value == here[-1].value == 8
    assert sum(not one.ok for one in there) == 5
    assert set(watching.ends.values()) == set(watching.begun.values()) == {1}
    assert not known(), "stations are closed with the run"


async def test_outcomes_come_as_they_end_from_a_source_that_goes_on():
    async def endless():
        at = 0
        while True:
            yield jobs.call(travelling.double, at)
            at += 1

    async with in_process() as scheduler:
        found = set()
        async with contextlib.aclosing(jobs.as_completed(endless(), cluster=scheduler.address)) as outcomes:
            async for outcome in outcomes:
                found.add(outcome.value)
                if len(found) == 1000:
                    break
    assert len(found) == 1000
    assert not known()


async def test_a_journal_at_home_resumes_a_run_over_a_cluster(tmp_path):
    async with serving() as (site, port), in_process() as scheduler:
        source = urls(port, 250)
        for part in (source[:120], source):
            output = jobs.JsonLines(tmp_path / "out.jsonl")
            journal = await jobs.Journal.open(tmp_path / "journal", output=output, resume=True)
            await jobs.run(part, cluster=scheduler.address, observers=[journal])
    assert set(site.asked.values()) == {1}
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 250


async def test_the_limit_of_a_host_holds_though_there_are_many_workers():
    async with in_process(workers=3) as scheduler, _counting() as (most, port):
        source = [f"tcp://127.0.0.{1 + at % 2}:{port}" for at in range(60)]
        outcomes = await jobs.run(source, limit=60, per_host=2, cluster=scheduler.address)
    assert all(outcome.ok for outcome in outcomes)
    assert most[0] <= 4, "two hosts, two at each"


@contextlib.asynccontextmanager
async def _counting():
    at_once, most = [0], [0]

    async def handle(reader, writer):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(5 * MS)
        at_once[0] -= 1
        writer.close()

    async with await asyncio.start_server(handle, "0.0.0.0", 0) as server:
        yield most, server.sockets[0].getsockname()[1]


async def test_what_cannot_travel_fails_alone():
    async def local() -> int:
        return 1

    async with in_process(1) as scheduler:
        outcomes = await jobs.run([jobs.call(local), jobs.call(travelling.double, 1)], cluster=scheduler.address)
    assert isinstance(outcomes[0].error, UsageError)
    assert outcomes[1].value == 2


@pytest.mark.parametrize("failure", [ValueError("no such setting"), OSError(2, "no such setting")])
async def test_what_a_module_at_the_worker_raises_ends_the_run(failure, monkeypatch):
    def fails(name: str):
        raise failure

    monkeypatch.setattr("asyncnet.jobs.station.named", fails)
    async with in_process(1) as scheduler, asyncio.timeout(5.0):
        with pytest.raises(UsageError, match="no such setting"):
            where = jobs.Cluster(scheduler.address, credentials="module:find")
            await jobs.run([jobs.call(travelling.double, 1)], cluster=where)


async def test_what_led_to_an_error_at_a_worker_stays_there(monkeypatch):
    def fails(name: str):
        try:
            raise ValueError(travelling.SECRET)
        except ValueError as error:
            raise UsageError("no such client") from error

    monkeypatch.setattr("asyncnet.jobs.station.named", fails)
    async with in_process(1) as scheduler:
        for where in ({"credentials": "module:find"}, {"client": "module:client"}):
            with pytest.raises(UsageError, match="no such client") as caught:
                cluster = jobs.Cluster(scheduler.address, **where)
                await jobs.run([jobs.call(travelling.double, 1)], cluster=cluster)
            assert travelling.SECRET not in "".join(traceback.format_exception(caught.value))


async def test_the_time_of_a_run_ends_its_leases():
    async with in_process() as scheduler:
        source = [jobs.call(travelling.sleep, 60.0, name=str(at)) for at in range(500)]
        source.insert(0, jobs.call(travelling.double, 4))
        outcomes = await jobs.run(source, limit=4, timeout=0.7, cluster=scheduler.address)
    assert len(outcomes) == 501
    assert outcomes[0].value == 8, "what had ended by then is not lost"
    assert all(isinstance(outcome.error, DeadlineError) for outcome in outcomes[1:])
    assert not known()


async def test_a_cancelled_run_leaves_nothing_at_the_workers():
    async with in_process() as scheduler:
        source = (jobs.call(travelling.sleep, 60.0, name=str(at)) for at in range(500))
        run = asyncio.ensure_future(jobs.run(source, cluster=scheduler.address))
        async with asyncio.timeout(20.0):
            while not known():  # noqa: ASYNC110
                await asyncio.sleep(MS)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not known()


async def test_an_error_of_an_observer_ends_the_run():
    class Full(jobs.Observer):
        def ended(self, job, outcome):
            raise OSError(28, "full")

    async with in_process(1) as scheduler:
        with pytest.raises(OSError, match="full"):
            await jobs.run([jobs.call(travelling.double, 1)], cluster=scheduler.address, observers=[Full()])


async def test_a_worker_that_ends_takes_its_stations_with_it():
    async with in_process(workers=1) as scheduler:
        outcomes = jobs.as_completed(
            [jobs.call(travelling.double, at) for at in range(5000)], limit=2, cluster=scheduler.address
        )
        got = [(await anext(outcomes)).value]
        async with distributed.Worker(scheduler.address, nthreads=1, host="127.0.0.1", dashboard=False):
            (first, *_) = scheduler.workers
            await scheduler.retire_workers(workers=[first], remove=True)
            async for outcome in outcomes:
                got.append(outcome.value)
    assert sorted(got) == [2 * at for at in range(5000)]


async def test_without_workers_a_run_is_given_up():
    async with in_process(workers=0) as scheduler:
        with pytest.raises(ConnectError, match="no worker"):
            await jobs.run(["tcp://a.example:7"], cluster=jobs.Cluster(scheduler.address, patience=10 * MS))


@pytest.mark.parametrize("lie", ["twice", "of others"])
async def test_what_a_worker_tells_twice_or_of_nobody_is_not_told(lie, monkeypatch):
    monkeypatch.setattr(travelling, "lie", lie)
    monkeypatch.setattr(clusters, "lease_jobs", travelling.lying)
    watching = Watching()
    async with in_process(1) as scheduler:
        source = [jobs.call(travelling.double, at, name=str(at)) for at in range(20)]
        outcomes = await jobs.run(source, cluster=scheduler.address, observers=[watching])
    assert [outcome.value for outcome in outcomes] == [2 * at for at in range(20)]
    assert set(watching.ends.values()) == {1}


async def test_what_is_no_outcome_is_the_failure_of_its_job(monkeypatch):
    monkeypatch.setattr(travelling, "lie", "no outcome")
    monkeypatch.setattr(clusters, "lease_jobs", travelling.lying)
    async with in_process(1) as scheduler:
        (outcome,) = await jobs.run([jobs.call(travelling.double, 1, name="one")], cluster=scheduler.address)
    assert outcome.name == "one"
    assert isinstance(outcome.error, ProtocolError)


@pytest.mark.parametrize("lie", ["garbage", "no bytes", "no answer", "no error", "nothing of them", "too many"])
async def test_a_worker_that_cannot_be_understood_ends_no_run(lie, monkeypatch):
    monkeypatch.setattr(travelling, "lie", lie)
    monkeypatch.setattr(clusters, "lease_jobs", travelling.lying)
    monkeypatch.setattr("asyncnet.jobs.fleet._AGAIN_SECONDS", MS)
    async with in_process(1) as scheduler, asyncio.timeout(20.0):
        source = [jobs.call(travelling.double, at) for at in range(3)]
        outcomes = await jobs.run(source, cluster=scheduler.address)
        assert not known()
    assert len(outcomes) == 3
    for outcome in outcomes:  # those of "too many" had ended before
        assert outcome.ok if lie == "too many" else "workers were lost" in str(outcome.error)


async def test_an_error_class_that_only_the_worker_has_is_the_failure_of_its_job():
    async with in_process(1) as scheduler:
        source = [jobs.call(travelling.fail_oddly, "why"), jobs.call(travelling.double, 1)]
        odd, good = await jobs.run(source, cluster=scheduler.address)
    assert str(odd.error) == "Odd: why"
    assert isinstance(odd.error, NetError)
    assert good.value == 2


async def test_a_worker_that_cannot_take_what_it_is_asked_ends_the_run_by_a_usage_error(monkeypatch):
    async def raises(data):
        raise AttributeError("no such class here")

    monkeypatch.setattr(clusters, "open_station", raises)
    async with in_process(1) as scheduler:
        with pytest.raises(UsageError, match="no such class here"):
            await jobs.run([jobs.call(travelling.double, 1)], cluster=scheduler.address)


async def test_a_worker_that_is_there_and_cannot_be_used_is_not_waited_for_forever(monkeypatch):
    async def gone(data):
        raise OSError("gone")

    monkeypatch.setattr(clusters, "open_station", gone)
    async with in_process(1) as scheduler, asyncio.timeout(10.0):
        with pytest.raises(ConnectError, match="no worker could be used"):
            await jobs.run(["tcp://a.example:7"], cluster=jobs.Cluster(scheduler.address, patience=10 * MS))


async def test_tls_with_certificates_and_without(authority, tmp_path):
    ca = authority.write_pem(tmp_path)
    certificate, key = authority.write_server_files(tmp_path)
    ours = {f"tls_{who}_cert": str(certificate) for who in ("scheduler", "worker")}
    ours |= {f"tls_{who}_key": str(key) for who in ("scheduler", "worker")}
    security = distributed.Security(tls_ca_file=str(ca), require_encryption=True, **ours)
    async with in_process(1, security=security, protocol="tls") as scheduler:
        assert scheduler.address.startswith("tls://")
        certificate, key = authority.write_client_files(tmp_path)
        where = jobs.Cluster(scheduler.address, ca=ca, certificate=certificate, key=key)
        (outcome,) = await jobs.run([jobs.call(travelling.double, 1)], cluster=where)
        assert outcome.value == 2
        with pytest.raises(UsageError, match="certificates"):
            await jobs.run([jobs.call(travelling.double, 1)], cluster=scheduler.address)


@pytest.mark.parametrize(
    "where",
    ["tcp://scheduler.example:8786", "https://a.example", "127.0.0.1:8786", "tls://", "tls://a.example:0", False],
)
def test_an_address_that_is_none_or_not_safe_is_refused(where):
    with pytest.raises(UsageError):
        jobs.as_completed([], cluster=where)
        jobs.Cluster.of(where)


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"batch": 0},
        {"max_value_bytes": -1},
        {"patience": -1.0},
        {"client": "no name"},
        {"credentials": "a:"},
    ],
)
def test_numbers_and_names_are_checked(wrong):
    with pytest.raises(UsageError):
        jobs.Cluster(**wrong)


async def test_a_client_does_not_travel():
    with pytest.raises(UsageError, match=r"Cluster\.client"):
        await jobs.run(["tcp://a.example:7"], cluster=True, client=travelling.Teller())


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"asyncnet\[cluster\]"):
        await jobs.run(["tcp://a.example:7"], cluster=True)


async def test_where_there_is_no_scheduler_is_a_connect_error(monkeypatch):
    with contextlib.closing(__import__("socket").socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(clusters, "_CONNECTING_SECONDS", 0.2)
        with pytest.raises(ConnectError):
            await jobs.run(["tcp://a.example:7"], cluster=address)


# With processes.


def _children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.slow
async def test_a_killed_worker_loses_nothing_and_leaves_nothing():
    before = _children()
    async with serving() as (site, port):
        source = [jobs.call(travelling.pid, name="pid"), *urls(port, 3000)]
        here = await jobs.run(source[1:], limit=20)
        asked = site.asked.copy()
        watching, there, pid = Watching(), {}, 0
        where = jobs.Cluster(workers=2)
        async for outcome in jobs.as_completed(source, limit=20, cluster=where, observers=[watching]):
            there[outcome.name] = outcome
            if outcome.name == "pid":
                pid = outcome.value
            if pid and len(there) > 800:
                os.kill(pid, signal.SIGKILL)
                pid = 0
        twice = sum(site.asked[page] - asked[page] - 1 for page in asked)
    del there["pid"]
    assert {name: told(one) for name, one in there.items()} == {one.name: told(one) for one in here}
    assert set(watching.ends.values()) == {1}
    assert 0 <= twice <= 2 * 100 + 10, "no more than was leased to it"
    assert _children() <= before | _trackers()


@pytest.mark.slow
async def test_the_command_goes_over_a_cluster_too(tmp_path):
    async with serving() as (_, port):
        (tmp_path / "list").write_text("\n".join(["nonsense", *urls(port, 20)]))
        command = [sys.executable, "-m", "asyncnet", "fetch", "-i", str(tmp_path / "list"), "--cluster", "local"]
        child = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await child.communicate()
    records = [json.loads(line) for line in out.splitlines()]
    assert child.returncode == 1, err
    assert sum(record["ok"] for record in records) == 19, "one page is not there, and nonsense is none"
    assert len(records) == 21


@pytest.mark.slow
async def test_what_must_not_be_done_twice_is_not_when_a_worker_is_killed():
    async with serving() as (site, port):
        source = [jobs.call(travelling.pid, name="pid")]
        source += [
            jobs.post(f"http://127.0.0.{1 + at % 5}:{port}/once{at}7", body="x", name=str(at)) for at in range(1000)
        ]
        found: dict[str, jobs.Outcome] = {}
        pid = 0
        async for outcome in jobs.as_completed(source, limit=20, cluster=jobs.Cluster(workers=2)):
            found[outcome.name] = outcome
            if outcome.name == "pid":
                pid = outcome.value
            if pid and len(found) > 300:
                os.kill(pid, signal.SIGKILL)
                pid = 0
        assert set(site.asked.values()) == {1}, "none was sent twice"
    assert len(found) == 1001
    unknown = [outcome for outcome in found.values() if not outcome.ok]
    assert all(outcome.error.outcome_unknown for outcome in unknown)
    assert 0 < len(unknown) <= 2 * 100 + 10


def _trackers() -> set[int]:
    """The process that multiprocessing keeps for its semaphores, once one was started, until the interpreter ends."""
    from multiprocessing import resource_tracker

    return {pid for pid in [getattr(resource_tracker._resource_tracker, "_pid", None)] if pid}
