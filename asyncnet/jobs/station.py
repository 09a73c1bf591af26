"""Station: the worker's end of a run over many machines. It does the jobs that are leased to it, by the usual runner.

A station is one run (`as_completed`) that lives as long as its home asks for it: so warm sessions, places at hosts, and
what was learned of their pace hold from lease to lease. A lease brings jobs and takes what has ended, of this lease or
of others before it: it ends when there is enough to take, when nothing is left to do, or after a second. A station
whose home has been silent for half a minute ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, NetError, UsageError
from asyncnet.jobs.adaptive import Adaptive
from asyncnet.jobs.breaker import Breaker
from asyncnet.jobs.job import Job, Outcome
from asyncnet.jobs.lease import Name, place_of, unpacked
from asyncnet.jobs.observer import Observer
from asyncnet.jobs.rates import Rate
from asyncnet.jobs.records import weight
from asyncnet.jobs.reply import Ended, Reply, Trouble, fit, told
from asyncnet.jobs.runner import as_completed
from asyncnet.jobs.source import Bad
from asyncnet.keyring import keyring_credentials
from asyncnet.keys import Keys
from asyncnet.netrc import netrc_credentials

_SLICE_SECONDS = 1.0
"""A lease ends after so long with what there is: one slow job keeps no other outcome from home for longer."""

_SILENT_SECONDS = 30.0
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_MAX_HELD_BYTES = 64 * 1024 * 1024
"""Values that wait to be taken home: with so many bytes no more jobs are begun."""

_MAX_TROUBLES = 1000
_CLOSING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one station, its share of the run: the arguments are those of `jobs.run`.

    Args:
        limit: how many leaves at once.
        per_host: how many of them at one host; a host is one station's alone.
        rate: how many a second.
        max_parked: how many jobs may be set aside.
        retry_budget: what trying again may cost.
        breaker: when to leave a host alone.
        batch: how many outcomes make a lease worth ending.
        max_value_bytes: the biggest value that travels home.
        client: `module:function`, which makes what fetches; None fetches by the policy of each job.
        credentials: `module:function`, which finds Credentials for an Endpoint; None looks into the environment
            (ASYNCNET_USERNAME with ASYNCNET_PASSWORD), netrc, and the keyring.
    """

    limit: int
    per_host: int | Adaptive | None
    rate: Rate
    max_parked: int
    retry_budget: float | None
    breaker: Breaker | None
    batch: int
    max_value_bytes: int
    client: str | None
    credentials: str | None


def named(name: str) -> Any:
    """Give what `module:name` names.

    Raises:
        UsageError: there is no such thing on this machine.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"there is no {name} at the worker: {error}") from error
    return found


async def _kept_here(endpoint: Endpoint) -> Credentials | None:
    """Find credentials in the environment, netrc or the keyring, where there is one, in this order."""
    user, secret = os.environ.get("ASYNCNET_USERNAME"), os.environ.get("ASYNCNET_PASSWORD")
    if secret is not None and user is not None and user == endpoint.username:
        return Credentials(user, secret)
    found = netrc_credentials(endpoint)
    if found is not None or importlib.util.find_spec("keyring") is None:
        return found
    return await keyring_credentials(endpoint)


class Station(Observer):
    """One station; made, asked and closed in one loop.

    Args:
        terms: what holds for it.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._coming: deque[Job[Any]] = deque()
        self._numbers: dict[Job[Any], int] = {}
        self._ended: deque[Ended] = deque()
        self._held = 0
        self._troubles: list[Trouble] = []
        self._known: dict[Name, Credentials] = {}
        self._keys = Keys(_kept_here if terms.credentials is None else named(terms.credentials))
        self._changed = asyncio.Event()  # for those who wait in `lease`
        self._awake = asyncio.Event()  # for the source
        self._alarm = self._loop.call_later(_SILENT_SECONDS, self._silent)
        self._task = self._loop.create_task(self._work())
        self._task.add_done_callback(lambda _: self._changed.set())

    # What the home asks.

    async def lease(self, jobs: Sequence[tuple[int, bytes]], names: Sequence[Name]) -> bytes:
        """Take jobs, and give what has ended (a packed Reply) as soon as that is worth it.

        Raises:
            ClosedError: the station has ended; what it had is lost.
            NetError: what ended it, such as a client that could not be made.
        """
        self._alarm.cancel()
        try:
            await self._find(names)
            for number, data in jobs:
                self._take(number, data)
            self._awake.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SLICE_SECONDS):
                    while not self._is_worth_it():
                        self._changed.clear()
                        await self._changed.wait()
            self._raise_end()
            return self._reply()
        finally:
            self._alarm = self._loop.call_later(_SILENT_SECONDS, self._silent)

    async def conclude(self) -> bytes:
        """End what is at work, in bounded time, and give what had ended by then; nothing more is leased to it."""
        self._alarm.cancel()
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSING_SECONDS)
        return self._reply()

    @property
    def is_over(self) -> bool:
        """Whether it does no more jobs."""
        return self._task.done()

    # The run.

    async def _work(self) -> None:
        terms = self._terms
        async with contextlib.AsyncExitStack() as stack:
            client = None
            if terms.client is not None:
                client = named(terms.client)()
                client = await client if inspect.isawaitable(client) else client
                stack.push_async_callback(client.aclose)
            outcomes = as_completed(
                self._source(),
                limit=terms.limit,
                per_host=terms.per_host,
                rate=terms.rate,
                client=client,
                max_parked=terms.max_parked,
                retry_budget=terms.retry_budget,
                breaker=terms.breaker,
                observers=[self],
            )
            async with contextlib.aclosing(outcomes):
                async for _ in outcomes:
                    pass  # `ended` had it

    async def _source(self) -> AsyncGenerator[Job[Any], None]:
        while True:
            while self._coming and self._held < _MAX_HELD_BYTES:
                yield self._coming.popleft()
            self._awake.clear()
            await self._awake.wait()

    def ended(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Keep it until it is taken home."""
        outcome = fit(outcome, self._terms.max_value_bytes)
        self._ended.append((self._numbers.pop(job), outcome))
        self._held += weight(outcome.value)
        if self._is_worth_it():
            self._changed.set()

    def retrying(self, job: Job[Any], error: Exception, delay: float) -> None:
        """Tell it at home, with the next outcomes."""
        if len(self._troubles) < _MAX_TROUBLES and isinstance(error, NetError):
            self._troubles.append((self._numbers[job], error, delay))

    # Leases.

    async def _find(self, names: Sequence[Name]) -> None:
        for name in names:
            if name not in self._known:
                self._known[name] = await self._found(Name(*name))

    async def _found(self, name: Name) -> Credentials:
        endpoint = place_of(name)
        try:
            found = await self._keys.of(endpoint)
        except NetError as error:
            return _unknown(name, error)
        if found is None or found.username != name.username:
            return _unknown(name, UsageError(f"the worker knows no secret of {name.username!r}", endpoint=endpoint))
        return found

    def _take(self, number: int, data: bytes) -> None:
        try:
            job = unpacked(data, self._known)
        except UsageError as error:
            job = Bad("", error)
        self._numbers[job] = number
        self._coming.append(job)

    def _is_worth_it(self) -> bool:
        if self._task.done() or not self._numbers:
            return True
        return len(self._ended) >= self._terms.batch or self._held >= _MAX_REPLY_BYTES

    def _reply(self) -> bytes:
        ended: list[Ended] = []
        size = 0
        while self._ended and size < _MAX_REPLY_BYTES:
            ended.append(self._ended.popleft())
            size += weight(ended[-1][1].value)
        self._held -= size
        self._awake.set()
        troubles, self._troubles = self._troubles, []
        return told(Reply(ended, troubles, len(self._numbers) + len(self._ended)))

    def _raise_end(self) -> None:
        if not self._task.done():
            return
        error = None if self._task.cancelled() else self._task.exception()
        raise error or ClosedError("the station has ended")

    def _silent(self) -> None:
        self._task.cancel()


def _unknown(name: Name, error: NetError) -> Credentials:
    """Give credentials by which a login fails as it should."""

    def secret() -> str:
        raise error

    return Credentials(name.username, secret, mechanism=name.mechanism)


_STATIONS: dict[str, tuple[str, Station]] = {}
"""those of this process, by their numbers, each with its worker: there may be several in a process"""

_CLOSED: deque[str] = deque(maxlen=1000)
"""numbers of those that were: a cancelled home closes what it has just asked to be opened, and that may come first"""


def opened(worker: str, number: str, terms: Terms) -> None:
    """Open a station.

    Raises:
        ClosedError: it was closed before it was opened.
        UsageError: what it is to use is not on this machine.
    """
    if number in _CLOSED:
        raise ClosedError("the home of this station is gone")
    for over in [number for number, (_, station) in _STATIONS.items() if station.is_over]:
        del _STATIONS[over]
    _STATIONS[number] = (worker, Station(terms))


def station(worker: str, number: str) -> Station:
    """Give a station of a worker.

    Raises:
        ClosedError: it is not here, or not any more.
    """
    owner, found = _STATIONS.get(number, ("", None))
    if found is None or owner != worker:
        raise ClosedError("there is no such station at this worker")
    return found


async def closed(number: str) -> bytes:
    """Close a station, if there is one, and give what had ended."""
    _CLOSED.append(number)
    _, found = _STATIONS.pop(number, ("", None))
    return told(Reply([], [])) if found is None else await found.conclude()


async def all_closed(worker: str) -> None:
    """Close the stations of a worker that ends."""
    for number in [number for number, (owner, _) in _STATIONS.items() if owner == worker]:
        await closed(number)


def known() -> Iterable[str]:
    """Give the numbers of the stations of this process."""
    return _STATIONS.keys()
