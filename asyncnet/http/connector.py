"""Connector: aiohttp's pool over our sockets.

Together with wire.py this reaches into aiohttp. What it relies on (`_create_connection`, and how connections in use and
idle ones are kept) is checked by tests/http/test_connector.py, which fails loudly when a new version changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector

from asyncnet.deadline import phase
from asyncnet.dial import attach, dial
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ClosedError, NetError, ProtocolError, UsageError
from asyncnet.http.forwarding import Forwarder
from asyncnet.http.limits import Limits
from asyncnet.http.request import IDEMPOTENT
from asyncnet.http.wire import Key, Wire, key_of
from asyncnet.places import Places
from asyncnet.proxy import Proxy
from asyncnet.tls import default_client_context

_SETTLE_TURNS = 20
"""Turns of the loop until an aborted connection is gone: plain ones take one, TLS two, uvloop a few."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What aiohttp's pool asks a request for."""

    connection_key: Key
    endpoint: Endpoint
    proxy: None = None  # it would make one of its own CONNECT; ours is part of the dialling


_NO_LIMIT = aiohttp.ClientTimeout(total=None)


class Connector(BaseConnector):
    """aiohttp's pool over our sockets.

    Args:
        tls: the context for https; None is the verifying default.
        proxy: gives the way to an endpoint, or None for the direct one.
        allow: which addresses may be connected to; None allows all.
        unix_socket: the path of a Unix socket that stands for every host, or None.
        limits: what each connection is held to.
        max_connections: at once, in all.
        max_connections_per_host: at once to one origin; 0 is no limit of its own.
        keep_alive: seconds that an idle connection is kept.
        places: what other connections share with these; each has a place from its dialling to its end.

    Attributes:
        closing: the connections that were aborted and are not gone yet.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None,
        proxy: Callable[[Endpoint], Proxy | None],
        allow: Callable[[str], bool] | None,
        unix_socket: str | None,
        limits: Limits,
        max_connections: int,
        max_connections_per_host: int,
        keep_alive: float,
        places: Places | None,
    ) -> None:
        super().__init__(limit=max_connections, keepalive_timeout=keep_alive)
        self._tls = tls
        self._proxy = proxy
        self._allow = allow
        self._unix_socket = unix_socket
        self._limits = limits
        self._up: set[Wire] = set()
        self.closing: set[Wire] = set()
        self._dialling: set[asyncio.Timeout] = set()
        self._places = places
        self._keep_alive = keep_alive
        # aiohttp's own count of those at a host costs each request four searches.
        self._most_at_once = max_connections_per_host or max_connections
        self._count_at: Counter[Key] = Counter()
        if places is not None:
            places.yielders.append(self._end_idle_one)

    async def take(self, endpoint: Endpoint, method: str) -> Wire:
        """Take a connection from the pool, or make one; it must be given back by `give_back`.

        Raises:
            NetError: it cannot be made.
            ClosedError: the pool was closed meanwhile.
        """
        key = key_of(endpoint.host, endpoint.port, endpoint.scheme == "https")
        while True:
            wire = self._idle(key)
            if wire is None:
                wire = await self._made(key, endpoint)
            if not wire.requests or method in IDEMPOTENT or not wire.is_stale:
                return wire
            self.give_back(wire, whole=False)  # what may not be sent twice is not sent in doubt

    def give_back(self, wire: Wire, *, whole: bool) -> None:
        """Let go of a connection: the next request may have it, unless something of this one is left on it."""
        self._release(wire.key, wire, should_close=not whole)

    def _idle(self, key: Key) -> Wire | None:
        # What aiohttp's own does for each request, without the object around the connection that it makes.
        conns: dict[Key, deque[tuple[Wire, float]]] = self._conns  # type: ignore[assignment]
        idle = conns.get(key)
        if idle is None:
            return None
        oldest = monotonic() - self._keep_alive
        while idle:
            wire, since = idle.popleft()
            if wire.is_connected() and since >= oldest:
                if not idle:
                    del conns[key]
                self._acquired.add(wire)
                return wire
            wire.close()
        del conns[key]
        return None

    async def _made(self, key: Key, endpoint: Endpoint) -> Wire:
        """Make a connection, or wait for one where there may be no more."""
        phase("waiting for a connection")
        try:
            made = await BaseConnector.connect(self, cast(Any, _Wanted(key, endpoint)), [], _NO_LIMIT)
        except (asyncio.CancelledError, aiohttp.ClientConnectionError):
            task = asyncio.current_task()
            if not self.closed or (task is not None and task.cancelling()):
                raise
            raise _closed() from None  # whoever waited for a free connection was cancelled by the pool
        wire = cast(Wire, made.protocol)
        made._protocol = None  # aiohttp's object around it has nothing more to say
        if not wire.requests and wire.has_spoken_first:
            self.give_back(wire, whole=False)
            raise ProtocolError("the server spoke before it was asked")
        return wire

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        try:
            async with asyncio.timeout(None) as scope:  # closing the session ends it
                self._dialling.add(scope)
                try:
                    return await self._placed(req.connection_key, req.endpoint)
                finally:
                    self._dialling.discard(scope)
        except NetError:
            raise
        except TimeoutError:
            raise _closed() from None

    async def _placed(self, key: Key, endpoint: Endpoint) -> Wire:
        """Dial, as one of those at a host; the connection's end gives its place back."""
        place = contextlib.ExitStack()
        try:
            self._count_at[key] += 1
            place.callback(self._leave, key)
            if self._places is not None:
                await self._places.open()
                place.callback(self._places.leave)
            return await self._dialled(key, endpoint, place.close)
        except BaseException:
            place.close()
            raise

    def _leave(self, key: Key) -> None:
        self._count_at[key] -= 1
        if not self._count_at[key]:
            del self._count_at[key]
        self._release_waiter()

    def _available_connections(self, key: Any) -> int:
        """How many more may be in use at a host, or in all; aiohttp asks where none is idle, and for those who wait."""
        idle = len(self._conns.get(key, ()))
        return min(self._most_at_once + idle - self._count_at[key], super()._available_connections(key))

    async def _dialled(self, key: Key, endpoint: Endpoint, leave: Callable[[], None]) -> Wire:
        context = None
        if endpoint.security is Security.TLS:
            context = self._tls if self._tls is not None else default_client_context()
        forwarder = None
        if self._unix_socket is not None:
            sock = await dial(Endpoint("unix", "", 0, path=self._unix_socket))
        elif (proxy := self.forwarding(endpoint)) is not None:
            forwarder = await Forwarder.of(proxy)
            sock = await dial(endpoint, proxy=proxy, tunnelled=False)
        else:
            sock = await dial(endpoint, proxy=self._proxy(endpoint), allow=self._allow)
        loop = asyncio.get_running_loop()
        _, wire = await attach(
            sock, lambda: Wire(loop, key, self._limits, self._up, self.closing, leave), context, endpoint
        )
        if wire.speaks not in (None, "http/1.1", "http/1.0"):
            wire.close()
            raise UsageError(f"the TLS context offers {wire.speaks}, which is not spoken here; offer http/1.1 alone")
        wire.forwarded_by = forwarder
        return wire

    def forwarding(self, endpoint: Endpoint) -> Proxy | None:
        """Give the proxy that forwards requests to an endpoint, if one does: many ask CONNECT to be for TLS alone."""
        if endpoint.security is Security.TLS or self._unix_socket is not None:
            return None
        proxy = self._proxy(endpoint)
        return proxy if proxy is not None and proxy.scheme == "http" else None

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        # A connection that waits for its next user holds a place that others are waiting for.
        is_wanted = self._places is not None and self._places.waiting > 0
        BaseConnector._release(self, key, protocol, should_close=should_close or is_wanted)
        if self._waiters:  # those at this host were looked at before it was idle
            self._release_waiter()

    def _end_idle_one(self) -> bool:
        """Close the connection that was idle for longest."""
        oldest = min(self._conns, key=lambda key: self._conns[key][0][1], default=None)
        if oldest is None:
            return False
        wire, _ = self._conns[oldest].popleft()
        if not self._conns[oldest]:
            del self._conns[oldest]
        wire.close()
        return True

    async def settle(self) -> None:
        """Wait until the connections that were aborted are gone; some turns of the loop."""
        for _ in range(_SETTLE_TURNS):
            if not self.closing:
                return
            await asyncio.sleep(0)

    def close(self, *, abort_ssl: bool = False) -> Awaitable[None]:
        """Abort all connections, and the dialling of new ones."""
        for scope in self._dialling:
            scope.reschedule(self._loop.time())
        for wire in list(self._up):
            wire.set_exception(_closed())  # what their users hear
        return super().close(abort_ssl=abort_ssl)


def _closed() -> ClosedError:
    return ClosedError("the session was closed meanwhile")
