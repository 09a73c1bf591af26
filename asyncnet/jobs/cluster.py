"""Cluster: the machines that a run goes over, by Dask `distributed` (extra `cluster`): all that is known of it is here.

Leases go by `Client.run`, a call of one worker through the scheduler, and not as tasks: a task whose worker is lost is
done again by Dask itself, which a POST must not be, and costs the scheduler four times as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import pickle
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    ConnectError,
    DisconnectedError,
    InvalidEndpoint,
    NetError,
    ProtocolError,
    UsageError,
    printable,
)
from asyncnet.jobs.reply import heard_error, told_error

if TYPE_CHECKING:
    from asyncnet.jobs.lease import Name
    from asyncnet.jobs.station import Terms

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_CONNECTING_SECONDS = 10.0
_CLOSING_SECONDS = 5.0
_CALL_SECONDS = 60.0
"""A call of a worker that takes longer than this, where a second is usual, will have no answer."""

_OPENING_SECONDS = 10.0
"""Opening and closing a station: Dask goes on trying to reach a worker that was just lost for three times as long."""

_STARTING_SECONDS = 60.0
"""Processes that start on a busy machine take seconds, each."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the workers of a run are.

    Args:
        address: of the scheduler, `tls://host:8786`; `tcp://` only on loopback, for whoever reaches a scheduler can run
            what he likes on its workers. None starts workers on this machine, which end with the run.
        workers: how many to start (None: as many as this machine has CPUs), or at most to use of those that are there.
        ca: PEM file of the authority that both sides trust; None takes it, as the next two, from Dask's configuration.
        certificate: PEM file of our own certificate.
        key: PEM file of its key.
        client: `module:function`, called at each worker to make what fetches there (as `client=` of a run, with an
            `aclose`); None fetches by the policy of each job.
        credentials: `module:function`, called at each worker with an Endpoint that names a user: it gives Credentials
            or None, and may be async. None looks at ASYNCNET_USERNAME and ASYNCNET_PASSWORD, netrc and the keyring
            there.
        batch: how many jobs make a lease; where there are less, less go.
        max_value_bytes: the biggest value that comes home; a bigger one is a LimitError of its job.
        patience: seconds to wait for a worker when there is none, or none that answers, before the run is given up.

    Raises:
        UsageError: not an address, no TLS to another machine, or a number out of range.
    """

    address: str | None = None
    workers: int | None = None
    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    client: str | None = None
    credentials: str | None = None
    batch: int = 100
    max_value_bytes: int = 8 * 1024 * 1024
    patience: float = 30.0

    def __post_init__(self) -> None:
        for name in (self.client, self.credentials):
            if name is not None and not _NAME.fullmatch(name):
                raise UsageError(f"what workers import is named module:function, not {printable(name)!r}")
        if min(self.batch, 1 if self.workers is None else self.workers) < 1 or self.max_value_bytes < 0:
            raise UsageError("a cluster has at least 1 worker, a lease at least 1 job, a limit is at least 0")
        if not self.patience >= 0:
            raise UsageError(f"patience is a number of seconds, at least 0: not {self.patience}")
        if self.address is not None:
            _check(self.address)

    @classmethod
    def of(cls, value: Cluster | str | bool) -> Cluster:
        """Take what `cluster=` was given: an address, True or "local" for workers on this machine, or a Cluster."""
        if isinstance(value, Cluster):
            return value
        if value is False:
            raise UsageError("cluster=False: leave it out, or give None")
        return cls(None if value is True or value == "local" else value)


def _check(address: str) -> None:
    try:
        place = Endpoint.parse(address)
    except InvalidEndpoint as error:
        raise UsageError(f"a scheduler is tls://host:port: {error.message}") from error
    if place.scheme not in ("tls", "tcp") or not place.port:
        raise UsageError("a scheduler is tls://host:port", endpoint=place)
    if place.scheme == "tcp" and not place.is_loopback:
        raise UsageError("a scheduler on another machine is reached by tls:// alone", endpoint=place)


class WorkerLost(NetError):
    """A call of a worker came to no end: it, or the way to it, is gone, or it has forgotten us."""

    _transient = True


class Link:
    """The connection to a cluster, opened by `async with`.

    Raises:
        UsageError: the extra is not installed, or there are no certificates.
        ConnectError: there is no such scheduler.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Link:
        distributed = await in_daemon(_distributed)  # half a second, the first time
        async with contextlib.AsyncExitStack() as stack:
            place: Any = self._cluster.address
            security = None
            if place is None:
                place = await stack.enter_async_context(_processes(distributed, self._cluster))
            elif place.startswith("tls:"):
                security = _security(distributed, self._cluster)
            self._client = await stack.enter_async_context(_client(distributed, place, security))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def workers(self) -> list[str]:
        """Give the addresses of the workers that are there.

        Raises:
            DisconnectedError: the scheduler is gone.
        """
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                return sorted(await self._client.nthreads())
        except (OSError, ValueError) as error:
            raise DisconnectedError("the scheduler is gone", endpoint=self._cluster.address) from error

    async def open(self, worker: str, number: str, terms: Terms) -> tuple[str, str]:
        """Open a station; give what tells this worker from another at the same address, and its asyncnet's version."""
        match await self._call(worker, open_station, number, terms, seconds=_OPENING_SECONDS):
            case (str(who), str(version)):
                return who, version
        raise ProtocolError("the worker says neither who it is nor its version", endpoint=worker)

    async def lease(
        self, worker: str, who: str, number: str, jobs: list[tuple[int, bytes]], names: list[Name]
    ) -> bytes:
        """Lease jobs, and give what has ended: a packed Reply."""
        made: bytes = await self._call(worker, lease_jobs, who, number, jobs, names)
        return made

    async def close(self, worker: str, number: str) -> bytes:
        """Close a station, and give what had ended: a packed Reply."""
        made: bytes = await self._call(worker, close_station, number, seconds=_OPENING_SECONDS)
        return made

    async def _call(
        self, worker: str, function: Callable[..., Awaitable[Any]], *arguments: Any, seconds: float = _CALL_SECONDS
    ) -> Any:
        """Call a function at a worker.

        Raises:
            WorkerLost: nobody knows how it ended.
            ProtocolError: it answered what no station answers.
            NetError: what the function raised.
            UsageError: there is no asyncnet at the worker, or another one than ours.
        """
        try:
            async with asyncio.timeout(seconds):
                found = await self._client.run(function, pickle.dumps(arguments, protocol=5), workers=[worker])
            answer = found[worker]
        except ImportError as error:
            raise UsageError(f"the worker at {worker} has no asyncnet like ours: {error}") from error
        except (OSError, KeyError, ValueError) as error:  # Dask raises ValueError for a worker that it does not know
            raise WorkerLost(f"the worker is lost: {printable(str(error))}", endpoint=worker) from error
        except Exception as error:  # what the function raised before it could pack it: its arguments were not for it
            why = f"the worker cannot do what it is asked to: {type(error).__name__}: {printable(str(error))}"
            raise UsageError(why, endpoint=worker) from error
        match answer:
            case (True, value):
                return value
            case (False, data):
                raise heard_error(data)
        raise ProtocolError("the worker answered what nobody understands", endpoint=worker)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UsageError("a cluster needs the extra: pip install 'asyncnet[cluster]'") from error
    return distributed


def _security(distributed: Any, cluster: Cluster) -> Any:
    files = {"tls_ca_file": cluster.ca, "tls_client_cert": cluster.certificate, "tls_client_key": cluster.key}
    given = {name: os.fspath(path) for name, path in files.items() if path is not None}
    made = distributed.Security(**given, require_encryption=True)
    if missing := [name for name in files if getattr(made, name) is None]:
        raise UsageError(
            f"TLS to a scheduler needs certificates (ca, certificate, key of Cluster, or Dask's configuration): no "
            f"{', '.join(missing)}",
            endpoint=cluster.address,
        )
    return made


@contextlib.asynccontextmanager
async def _client(distributed: Any, place: Any, security: Any) -> Any:
    try:
        client = await distributed.Client(
            place,
            asynchronous=True,
            security=security,
            set_as_default=False,
            timeout=_CONNECTING_SECONDS,
            name="asyncnet",
        )
    except (OSError, ssl.SSLError) as error:
        raise ConnectError(f"there is no scheduler: {printable(str(error))}", endpoint=str(place)) from error
    try:
        yield client
    finally:
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await client.close()


@contextlib.asynccontextmanager
async def _processes(distributed: Any, cluster: Cluster) -> Any:
    """Start workers on this machine: with TLS too, for its other users can reach a loopback port as well."""
    try:
        security = await in_daemon(distributed.Security.temporary)
    except ImportError as error:
        raise UsageError("workers on this machine need the extra: pip install 'asyncnet[cluster]'") from error
    starting = distributed.LocalCluster(
        n_workers=cluster.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        protocol="tls",
        security=security,
        dashboard_address=None,
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # None would be port 8787
        silence_logs=logging.CRITICAL,
        asynchronous=True,
    )
    try:
        async with asyncio.timeout(_STARTING_SECONDS):
            made = await starting
    except TimeoutError:
        raise ConnectError(f"no workers within {_STARTING_SECONDS:g} seconds") from None
    try:
        yield made
    finally:
        with contextlib.suppress(TimeoutError):
            await made.close(timeout=_CLOSING_SECONDS)


def own_version() -> str:
    """Give the version of this asyncnet: jobs are made and done by the same."""
    return importlib.metadata.version("asyncnet")


# What workers run. An error is given back (`_failure`) and not raised, for Dask would log it with all arguments.


async def open_station(data: bytes, dask_worker: Any) -> tuple[bool, Any]:
    """Open a station in a worker that closes it when it ends."""
    from asyncnet.jobs.station import opened

    number, terms = pickle.loads(data)
    if _PLUGIN not in dask_worker.plugins:
        await dask_worker.plugin_add(_plugin(), name=_PLUGIN)
    try:
        opened(dask_worker.id, number, terms)
    except Exception as error:  # of a module that cannot be imported, too, which is no worker lost
        return False, _failure(error)
    return True, (dask_worker.id, own_version())


async def lease_jobs(data: bytes, dask_worker: Any) -> tuple[bool, Any]:
    """Lease jobs to a station; a worker that came to the address of another has none of its stations."""
    from asyncnet.jobs.station import station

    who, number, jobs, names = pickle.loads(data)
    try:
        return True, await station(who if who == dask_worker.id else "", number).lease(jobs, names)
    except Exception as error:
        return False, _failure(error)


def _failure(error: Exception) -> bytes:
    """Pack what a call has failed with."""
    if not isinstance(error, NetError):
        error = UsageError(f"the station failed: {type(error).__name__}: {printable(str(error))}")
    return told_error(error)


async def close_station(data: bytes) -> tuple[bool, Any]:
    """Close a station."""
    from asyncnet.jobs.station import closed

    (number,) = pickle.loads(data)
    return True, await closed(number)


_PLUGIN = "asyncnet-stations"


def _plugin() -> Any:
    from distributed import WorkerPlugin

    class Stations(WorkerPlugin):
        """Closes the stations of a worker when it ends."""

        def setup(self, worker: Any) -> None:
            self._worker = worker.id

        async def teardown(self, worker: Any) -> None:
            from asyncnet.jobs.station import all_closed

            await all_closed(self._worker)

    return Stations()
