"""Where aiohttp meets our sockets: its pool and its parser, our dialling, and the corners of its protocol mended.

This is the one file that reaches into aiohttp. What it relies on (`_create_connection`, `_retry_connection`, and the
order in which `ResponseHandler` is called) is checked by tests/http/test_connector.py, which fails loudly when a new
version of aiohttp changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractCookieJar, AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import BaseConnector, Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from asyncnet.deadline import phase
from asyncnet.dial import attach, dial
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ClosedError, LimitError, NetError, ProtocolError, UsageError
from asyncnet.http.coding import ACCEPTED
from asyncnet.http.forwarding import Forwarder
from asyncnet.http.limits import Limits
from asyncnet.http.request import IDEMPOTENT
from asyncnet.places import Places
from asyncnet.proxy import Proxy
from asyncnet.tls import default_client_context

_SETTLE_TURNS = 20
"""Turns of the loop until an aborted connection is gone: plain ones take one, TLS two, uvloop a few."""


class Carried(Exception):
    """Carries an error of ours through aiohttp, which would take a ConnectError for an OSError of its own."""

    def __init__(self, error: NetError) -> None:
        super().__init__(str(error))
        self.error = error


class StaleConnection(ConnectionResetError):
    """A connection that had served before was gone when the next request came: nothing of an answer was seen."""


class Wire(ResponseHandler):
    """One connection. Abandoned, it is aborted: aiohttp would flush and wait for TLS goodbyes without a bound."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        up: set[Wire],
        closing: set[Wire],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(loop)
        self.requests = 0
        self._leave = leave
        self._limits = limits
        self._up = up
        self._closing = closing
        self._informational = 0
        self._answered: object = None
        self._must_say_goodbye = False
        self.speaks: str | None = None
        self.forwarded_by: Forwarder | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._up.add(self)
        tls = transport.get_extra_info("ssl_object")
        self._must_say_goodbye = tls is not None
        self.speaks = None if tls is None else tls.selected_alpn_protocol()

    def close(self) -> None:
        """Say TLS's goodbye if there is room for it, and go."""
        transport = self.transport
        super().close()
        if transport is not None:
            self._closing.add(self)
            transport.abort()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer from the parser, unless nobody asked for it."""
        if data[0].code < 200 and data[0].code != 101:
            self._informational += 1
            if self._informational > self._limits.max_informational:
                self._refuse(LimitError("answers 1xx without end", limit=self._limits.max_informational))
                return
        elif self._answered is self._parser:
            # Each request has a parser of its own: this one has answered. Handed on, it would answer the next request.
            self._drop()
            return
        else:
            self._answered = self._parser
            self._informational = 0
        ResponseHandler.feed_data(self, data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell whoever waits for the head, and whoever reads the body: aiohttp tells the first alone."""
        payload = self._payload
        if exc_cause is None or type(exc_cause) is BaseException or exc_cause is exc:  # aiohttp's mark for "none"
            super().set_exception(exc)
        else:
            exc.__cause__ = exc_cause
            super().set_exception(exc, exc_cause)
        if payload is not None:
            _break(payload, exc)

    def eof_received(self) -> None:
        """Note TLS's goodbye. After a cut asyncio comes here too, uvloop does not."""
        super().eof_received()
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        if tls is not None:
            with contextlib.suppress(ssl.SSLError):  # a cut reads as "want more", a goodbye as the end
                self._must_say_goodbye = tls.read(1) != b""

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is under way by an error, where aiohttp takes a cut for the end of a body without a length."""
        self._up.discard(self)
        self._closing.discard(self)
        self._leave()
        if self._payload is not None and not self._payload.is_eof():
            if exc is None and self._must_say_goodbye:
                exc = ConnectionResetError("TLS ended without close_notify")
            if exc is not None:
                _break(self._payload, exc)
        elif self.requests > 1 and self._parser is not None and self._answered is not self._parser:
            exc = StaleConnection("the kept connection was gone")
        self._answered = None  # the parser holds this protocol
        super().connection_lost(exc)

    def _refuse(self, error: NetError) -> None:
        refusal = HttpProcessingError(message=str(error))
        refusal.__cause__ = error
        self.set_exception(refusal, error)
        self._drop()

    def _drop(self) -> None:
        self.force_close()
        if self.transport is not None:
            self._closing.add(self)
            self.transport.abort()

    @property
    def has_spoken_first(self) -> bool:
        """Whether something came before the first request; such a server does not speak HTTP."""
        return bool(self._tail)

    @property
    def is_stale(self) -> bool:
        """Whether something came while nobody had asked: an end that the loop has not seen, or an answer to nothing."""
        if self.transport is None:
            return True
        poller = select.poll()
        poller.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poller.poll(0))


def _break(payload: StreamReader, cause: BaseException) -> None:
    if not payload.is_eof() and payload.exception() is None:
        failure = aiohttp.ClientPayloadError("the connection broke")
        failure.__cause__ = cause
        payload.set_exception(failure)


class Outgoing(ClientRequest):
    """A request with an owner for its writing: what ends it there comes to light where the answer is waited for."""

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body; a connection that is lost at its very end would be nobody's error to retrieve."""
        with contextlib.suppress(OSError):
            await super().write_bytes(writer, conn, content_length)


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
        # aiohttp's own count of those at a host hashes the host's key, which is long, four times for each request.
        self._most_at_once = max_connections_per_host or max_connections
        self._count_at: Counter[Any] = Counter()
        if places is not None:
            places.yielders.append(self._end_idle_one)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """Take a connection from the pool, or make one."""
        phase("waiting for a connection")
        while True:
            try:
                connection = await BaseConnector.connect(self, req, traces, timeout)  # super() is slow in 3.11
            except (asyncio.CancelledError, aiohttp.ClientConnectionError):
                task = asyncio.current_task()
                if not self.closed or (task is not None and task.cancelling()):
                    raise
                raise _closed() from None  # whoever waited for a free connection was cancelled by the pool
            wire = connection.protocol
            assert isinstance(wire, Wire)
            if not wire.requests:
                if wire.has_spoken_first:
                    connection.close()
                    raise ProtocolError("the server spoke before it was asked")
            elif req.method not in IDEMPOTENT and wire.is_stale:
                connection.close()  # what may not be sent twice is not sent in doubt
                continue
            wire.requests += 1
            if wire.forwarded_by is not None:
                wire.forwarded_by.address(req)
            here = phase("waiting for the answer")
            if here is not None:
                here.asked(req.method)
            return connection

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        endpoint = Endpoint.parse(str(req.url.origin()))
        try:
            async with asyncio.timeout(None) as scope:  # closing the session ends it
                self._dialling.add(scope)
                try:
                    return await self._placed(req.connection_key, endpoint)
                finally:
                    self._dialling.discard(scope)
        except NetError as error:
            raise Carried(error) from None
        except TimeoutError:
            raise Carried(_closed()) from None

    async def _placed(self, key: Any, endpoint: Endpoint) -> Wire:
        """Dial, as one of those at a host; the connection's end gives its place back."""
        place = contextlib.ExitStack()
        try:
            self._count_at[key] += 1
            place.callback(self._leave, key)
            if self._places is not None:
                await self._places.open()
                place.callback(self._places.leave)
            return await self._dialled(endpoint, place.close)
        except BaseException:
            place.close()
            raise

    def _leave(self, key: Any) -> None:
        self._count_at[key] -= 1
        if not self._count_at[key]:
            del self._count_at[key]
        self._release_waiter()

    def _available_connections(self, key: Any) -> int:
        """How many more may be in use at a host, or in all; aiohttp asks where none is idle, and for those who wait."""
        idle = len(self._conns.get(key, ()))
        return min(self._most_at_once + idle - self._count_at[key], super()._available_connections(key))

    async def _dialled(self, endpoint: Endpoint, leave: Callable[[], None]) -> Wire:
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
        _, wire = await attach(sock, lambda: Wire(loop, self._limits, self._up, self.closing, leave), context, endpoint)
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


def client_session(
    connector: Connector, limits: Limits, make_jar: Callable[[], AbstractCookieJar]
) -> aiohttp.ClientSession:
    """Make the session of aiohttp that all requests go through: its timers, its decoding and its retries are off."""
    client = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=make_jar(),
        request_class=Outgoing,
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        headers={"User-Agent": "asyncnet", "Accept-Encoding": ACCEPTED},
        max_line_size=limits.max_line_bytes,
        max_field_size=limits.max_line_bytes,
        max_headers=limits.max_headers,
    )
    # It would send an idempotent request twice after any loss; we do so only where a kept connection had gone stale.
    client._retry_connection = False
    return client
