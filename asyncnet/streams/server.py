"""serve(): a listening place and its clients, each in a task of its own.

Safe defaults are on: clients, buffers, handshakes, silence and slow readers are all bounded. A client's fault ends that
client and costs at most one log line a second of its kind; the server closes what a handler leaves open.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import cast

from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import NetError, UsageError
from asyncnet.streams.address import Address, address
from asyncnet.streams.adopting import adopt, adopt_tls, asked_proxy
from asyncnet.streams.connection import Connection
from asyncnet.streams.draining import Clients, abort, drain
from asyncnet.streams.handler import Handler, called
from asyncnet.streams.limits import Limits
from asyncnet.streams.listener import Listeners, listen
from asyncnet.streams.log import ClientLog
from asyncnet.streams.opening import Opening
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.streams.stats import ClientRecord, ServerStats
from asyncnet.streams.sweep import Sweep

logger = logging.getLogger("asyncnet.server")


class Server:
    """A listening place; made by `serve`.

    Attributes:
        endpoint: where it listens, with the real port; for all interfaces the host is "".
    """

    def __init__(
        self,
        handler: Handler,
        endpoint: Endpoint,
        sockets: list[socket.socket],
        context: ssl.SSLContext | None,
        limits: Limits,
        on_end: Callable[[ClientRecord], object] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._context = context
        self._limits = limits
        self._clients: Clients = {}
        self._per_address: dict[object, int] = {}
        self._stats = ServerStats()
        self._on_end = on_end
        self._closing = False
        self._stopped = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._log = ClientLog(logger, self._loop.time)
        self.endpoint = endpoint if endpoint.is_unix else replace(endpoint, port=sockets[0].getsockname()[1])
        self._sweep = Sweep(
            self._loop,
            self._connected,
            idle=limits.idle_timeout,
            total=limits.total_timeout,
            min_rate=limits.min_rate,
        )
        self._listeners = Listeners(self._loop, sockets, self._take, self._starved)
        self._listeners.resume()

    @property
    def clients(self) -> int:
        """How many clients there are now."""
        return self._stats.active

    @property
    def stats(self) -> ServerStats:
        """What it has seen so far."""
        return self._stats.snapshot()

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Use another context (a renewed certificate) for the clients that come from now on; the others stay.

        Raises:
            UsageError: the server is not one of `tls://`.
        """
        if self._context is None:
            raise UsageError("a server of plaintext has no certificate to renew", endpoint=self.endpoint)
        self._context = context

    async def serve_forever(self) -> None:
        """Wait until the server is closed; clients are served with or without this."""
        await self._stopped.wait()

    async def aclose(self, *, grace: float | None = None) -> None:
        """Stop accepting at once, let running handlers end within `grace` seconds, then abort those that have not.

        A client that is silent for half a second, while its handler waits for it, is treated as if it had ended. The
        address can be bound again at once. Idempotent. Cancelled, it aborts all clients at once.

        Args:
            grace: seconds; None takes that of `serve`.
        """
        grace = self._limits.grace if grace is None else grace
        if grace > 0 and not self._closing:
            self._listeners.take_waiting()
        self._closing = True
        self._listeners.close()
        self._stopped.set()
        try:
            await drain(self._clients, self._empty, grace)
        finally:
            await abort(self._clients, self.endpoint)
            self._sweep.stop()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A cancellation is how services are told to stop: clients get their grace. Another error is not waited for.
        failed = error is not None and not isinstance(error, asyncio.CancelledError)
        await self.aclose(grace=0.0 if failed else None)

    def __repr__(self) -> str:
        return f"<asyncnet.Server {self.endpoint} {'closed' if self._closing else f'{self._stats.active} clients'}>"

    # Clients come.

    def _take(self, sock: socket.socket, name: object) -> bool:
        stats, limits = self._stats, self._limits
        stats.accepted += 1
        # Behind a proxy all clients come from its address: they are counted when it has told theirs.
        if limits.max_per_address is not None and not limits.proxy_protocol and not self._admit(address(name)):
            sock.close()
            return True
        stats.active += 1
        if stats.active == 1:
            self._empty.clear()
        protocol = StreamProtocol(self._loop, self.endpoint, limits.max_buffer_bytes)
        protocol.told_peer = name
        # A task factory may run a task at once (asyncio.eager_task_factory), before the transport is there.
        if self._context is None and not limits.proxy_protocol and self._loop.get_task_factory() is None:
            self._welcome_now(sock, protocol)
        else:
            task = self._loop.create_task(self._welcome(sock, address(name), protocol))
            self._clients[task] = None
            task.add_done_callback(self._welcomed)
        return stats.active < limits.max_clients

    def _admit(self, peer: Address) -> bool:
        limit, host = self._limits.max_per_address, peer.host
        if limit is None or peer.is_unix:
            return True
        count = self._per_address.get(host, 0)
        if count >= limit:
            self._stats.refused += 1
            self._log.info("per-address", f"refused {host}: it has {limit} connections already")
            return False
        self._per_address[host] = count + 1
        return True

    def _connected(self) -> Iterator[StreamProtocol]:
        return (connection._protocol for connection in self._clients.values() if connection is not None)

    def _starved(self, text: str) -> None:
        logger.error("%s: %s", self.endpoint, text)

    def _welcome_now(self, sock: socket.socket, protocol: StreamProtocol) -> None:
        try:
            adopt(self._loop, sock, protocol)
        except OSError as error:
            sock.close()
            self._turn_away(protocol, error)
        else:
            self._begin(protocol)

    async def _welcome(self, sock: socket.socket, peer: Address, protocol: StreamProtocol) -> None:
        """Make the connection, and give it to the handler, in a task of its own."""
        admitted, refused, begun = not self._limits.proxy_protocol, False, False
        fault: Exception | None = None
        try:
            if not admitted:
                peer = await asked_proxy(sock, self.endpoint, self._limits.handshake_timeout) or peer
                protocol.told_peer = peer
                admitted = self._admit(peer)
                refused = not admitted
            if not refused:
                if self._context is None:
                    await self._loop.connect_accepted_socket(lambda: protocol, sock)
                else:
                    await adopt_tls(self._loop, sock, protocol, self._context, self._limits.handshake_timeout)
                self._begin(protocol)
                begun = True
        except (NetError, OSError) as error:
            fault = error
        except asyncio.CancelledError:
            if not self._closing:
                raise
        finally:
            if not begun:
                protocol.abort()
                if protocol.transport is None:
                    sock.close()
                self._turn_away(protocol, fault, admitted=admitted, refused=refused)

    def _turn_away(
        self, protocol: StreamProtocol, fault: Exception | None, *, admitted: bool = True, refused: bool = False
    ) -> None:
        """Forget a client that the handler has never seen."""
        if fault is not None:
            self._log.info(type(fault).__name__, f"client {address(protocol.told_peer)}: {fault}")
        self._leave(protocol, admitted)
        if not refused:  # else there is nothing to tell
            self._record(protocol, fault)

    def _welcomed(self, task: asyncio.Task[None]) -> None:
        del self._clients[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a bug in asyncnet.Server", "exception": error, "task": task})

    def _begin(self, protocol: StreamProtocol) -> None:
        # A task for the handler alone: through a coroutine of ours around it every message would pass twice.
        connection = Connection(protocol, self.endpoint, write_timeout=self._limits.write_timeout, server_side=True)
        task = self._loop.create_task(called(self._handler, connection))
        self._clients[task] = connection
        task.add_done_callback(self._handled)
        self._sweep.start()

    def _handled(self, task: asyncio.Task[None]) -> None:
        connection = self._clients.pop(task)
        assert connection is not None
        if task.cancelled():
            self._end(connection, None)
            return
        fault = task.exception()
        if fault is not None:
            self._blame(connection, fault)
        elif self._flushes(connection):
            task = self._loop.create_task(connection._close(self._limits.write_timeout or CLOSE_SECONDS))
            self._clients[task] = connection
            task.add_done_callback(self._closed)
            return
        self._end(connection, fault if isinstance(fault, Exception) else None)

    def _blame(self, connection: Connection, fault: BaseException) -> None:
        if isinstance(fault, (NetError, OSError)):
            self._log.info(type(fault).__name__, f"client {connection.peer}: {fault}")
        elif isinstance(fault, Exception):
            self._log.failure(type(fault).__name__, f"the handler failed: {fault!r}", fault)

    def _closed(self, task: asyncio.Task[None]) -> None:
        connection = self._clients.pop(task)
        assert connection is not None
        self._end(connection, None if task.cancelled() else cast("Exception | None", task.exception()))

    def _flushes(self, connection: Connection) -> bool:
        """Close what the handler left open, at once where nothing is to be sent or waited for; else say that it is."""
        protocol = connection._protocol
        transport = protocol.transport
        if transport is None or protocol.lost:
            return False
        if protocol._over_ssl or transport.get_write_buffer_size() > 0 or protocol.must_linger(in_haste=False):
            return True
        transport.close()
        return False

    # Clients go.

    def _end(self, connection: Connection, fault: Exception | None) -> None:
        connection._closing = True
        protocol = connection._protocol
        if fault is not None or (protocol.transport is not None and not protocol.transport.is_closing()):
            protocol.abort()
        self._leave(protocol)
        self._record(protocol, fault)

    def _leave(self, protocol: StreamProtocol, admitted: bool = True) -> None:
        """Give a client's place free."""
        self._stats.active -= 1
        if self._per_address and admitted:
            self._discount(address(protocol.told_peer).host)
        if not self._stats.active:
            self._empty.set()
        if not (self._listeners.watching or self._closing):
            self._listeners.resume()

    def _discount(self, host: str) -> None:
        count = self._per_address.get(host, 0)
        if count > 1:
            self._per_address[host] = count - 1
        elif count:
            del self._per_address[host]

    def _record(self, protocol: StreamProtocol, fault: Exception | None) -> None:
        seconds = self._loop.time() - protocol.opened_at
        received, sent = protocol.received_bytes, protocol.sent_bytes
        self._stats.tally(seconds, received, sent, fault)
        if self._on_end is not None:
            try:
                self._on_end(ClientRecord(address(protocol.told_peer), seconds, received, sent, fault))
            except Exception as error:
                self._log.failure("on_end", f"the hook on_end failed: {error!r}", error)


def serve(
    handler: Handler,
    endpoint: str | Endpoint,
    *,
    tls: ssl.SSLContext | None = None,
    backlog: int = 1024,
    max_clients: int = 10_000,
    max_per_address: int | None = None,
    max_buffer_bytes: int = 262_144,
    idle_timeout: float | None = 300.0,
    handshake_timeout: float = 10.0,
    write_timeout: float | None = 30.0,
    total_timeout: float | None = None,
    min_rate: float = 16.0,
    grace: float = 5.0,
    reuse_port: bool = False,
    proxy_protocol: bool = False,
    on_end: Callable[[ClientRecord], object] | None = None,
) -> Opening[Server]:
    """Listen and serve.

    Use it as `async with serve(handler, url) as server`, or `server = await serve(handler, url)`.

    Args:
        handler: `async def handler(connection)`, run in a task for each client; the connection is closed after it.
        endpoint: `tcp://host:port` (port 0: any free one; no host: all interfaces), `tls://...`, or `unix:///path`.
        tls: the server's context, required for `tls://` (see `server_context`).
        backlog: connections that the kernel keeps waiting.
        max_clients: at that number no more are accepted until one leaves; they wait in the backlog.
        max_per_address: connections from one address; more are closed at once. None is no limit, and a Unix socket's
            clients have no address.
        max_buffer_bytes: bound of what is received ahead of the handler, for each client; at half of it reading pauses.
        idle_timeout: seconds of silence in both directions that end a client; None is no limit.
        handshake_timeout: seconds for the TLS handshake, and as many for the PROXY header before it.
        write_timeout: seconds that a write may wait for the client to make room; None is no limit.
        total_timeout: seconds that a client may stay; None is no limit.
        min_rate: bytes a second that a client must keep up, after ten seconds, in the middle of a line or block that
            the handler waits for; 0 is no limit.
        grace: seconds that running handlers get when the server closes.
        reuse_port: let other processes listen on the same port (SO_REUSEPORT).
        proxy_protocol: every client comes through a proxy that tells who it is in a PROXY header (version 1 or 2),
            before TLS; one without is turned away. `peer` and `max_per_address` then speak of the client.
        on_end: a plain function, called with a `ClientRecord` when a client has ended (not for one that was refused),
            for metrics; it must not block. What it raises is logged and harms nobody.

    Raises:
        InvalidEndpoint, UsageError: another scheme, no context for `tls://` or one without need, a limit that would
            serve nobody, or a coroutine function as a hook.
        ConnectError: the address is in use, not ours, or not permitted.

    Leaving the block by cancellation drains as `aclose()` does; by another error it aborts the clients. No signal
    handlers are installed: `run(..., signals=True)` does that.
    """
    where = Endpoint.parse(endpoint)
    if where.protocol != "tcp":
        raise UsageError("serve takes tcp://, tls:// and unix://", endpoint=where)
    if (tls is not None) != (where.security is Security.TLS):
        raise UsageError("tls:// needs a context (tls=server_context(...)), and nothing else takes one", endpoint=where)
    if min(max_clients, max_buffer_bytes, backlog, 1 if max_per_address is None else max_per_address) < 1:
        raise UsageError("a limit below 1 would serve nobody", endpoint=where)
    timeouts = (idle_timeout, handshake_timeout, write_timeout, total_timeout)
    if not all(one is None or 0 < one < math.inf for one in timeouts) or not min(min_rate, grace) >= 0:
        raise UsageError("a timeout is above 0 (None is no limit), rate and grace are not below 0", endpoint=where)
    if inspect.iscoroutinefunction(on_end):
        raise UsageError("on_end is a plain function: nobody would await what it does", endpoint=where)
    limits = Limits(
        max_clients,
        max_per_address,
        max_buffer_bytes,
        idle_timeout,
        handshake_timeout,
        write_timeout,
        total_timeout,
        min_rate,
        grace,
        proxy_protocol,
    )

    async def open_it() -> Server:
        sockets = await listen(where, backlog=backlog, reuse_port=reuse_port)
        return Server(handler, where, sockets, tls, limits, on_end)

    return Opening(open_it)
