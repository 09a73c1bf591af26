"""dial(): from an Endpoint to one connected socket. Every socket of asyncnet comes from here, whoever asks.

Names are looked up in daemon threads of our own; addresses race (Happy Eyeballs, RFC 8305); a proxy is asked for the
way. What TLS there is begins on the socket that is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from asyncnet.daemon import in_daemon
from asyncnet.deadline import phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, UsageError
from asyncnet.proxy import Proxy, tunnel
from asyncnet.tls import Handshake
from asyncnet.trace import noted
from asyncnet.translation import CONNECTING, translated

P = TypeVar("P", bound=asyncio.BaseProtocol)
AddressInfo = tuple[int, int, int, str, Any]
"""(family, type, protocol, canonical name, socket address), as socket.getaddrinfo gives it"""

CLOSE_SECONDS = 2.0
"""How long a goodbye may take at most: by then everything asked for has been received."""

_ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside the last (RFC 8305 §5 recommends 250 ms)."""

_UNIX_DELAY = 0.01

_ABANDON_TURNS = 10
"""Turns of the loop until a transport whose socket was shut down has closed it: asyncio takes three."""

_LITERAL = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[^/]*")


async def dial(
    endpoint: Endpoint,
    *,
    proxy: str | Proxy | None = None,
    allow: Callable[[str], bool] | None = None,
    tunnelled: bool = True,
) -> socket.socket:
    """Give a connected, non-blocking stream socket to `endpoint`, TCP_NODELAY and SO_KEEPALIVE set; the caller owns it.

    Args:
        endpoint: where.
        proxy: the way there, or None.
        allow: which of the addresses that the host's name stands for may be connected to; None allows all. A proxy
            looks the name up itself, and is not asked.
        tunnelled: ask the proxy for a way to `endpoint`; else the socket speaks to the proxy itself.

    Raises:
        ConnectError: no such name, no route, refused, at the target or at the proxy, whose URL it then bears; or
            `allow` allows no address (not transient).
        RefusedError: the proxy refused (AuthenticationError: for want of credentials).
        ProtocolError: the proxy does not speak its protocol.
        UsageError: the endpoint has no host, or a Unix socket was to be reached through a proxy.

    It has no limit of its own: use it under `deadline()`. Cancelled, it leaves no socket behind.
    """
    way = None if proxy is None else Proxy.parse(proxy)
    if way is not None and endpoint.is_unix:
        raise UsageError("a Unix socket is not reached through a proxy", endpoint=endpoint)
    if not endpoint.is_unix and not (endpoint.host and endpoint.port):
        raise UsageError("no host or port to connect to", endpoint=endpoint, operation="connect")
    with translated(CONNECTING, way or endpoint, "connect"):
        if endpoint.is_unix:
            return await _unix(endpoint.path)
        sock = await (_direct(endpoint.host, endpoint.port, allow) if way is None else _direct(way.host, way.port))
    try:
        if way is not None and tunnelled:
            await tunnel(sock, way, endpoint.host, endpoint.port)
    except BaseException:
        sock.close()
        raise
    return sock


async def attach(
    sock: socket.socket, make_protocol: Callable[[], P], context: ssl.SSLContext | None, endpoint: Endpoint
) -> tuple[asyncio.Transport, P]:
    """Put a transport on a dialled socket, with TLS from the first byte if there is a context.

    Raises:
        TLSError: the handshake failed, or the certificate is not trusted or is another host's.
        ConnectError: the peer left meanwhile.

    On failure or cancellation the socket is closed.
    """
    loop = asyncio.get_running_loop()
    if context is not None:
        phase("TLS handshake")
    inode = os.fstat(sock.fileno()).st_ino
    try:
        with translated(CONNECTING, endpoint, "connect"):
            made = await loop.create_connection(
                make_protocol,
                sock=sock,
                ssl=context,
                server_hostname=server_name(endpoint) if context is not None else None,
                # The handshake's real bound is the caller's deadline; asyncio's own 60 s would cut a longer one.
                ssl_handshake_timeout=86_400.0 if context is not None else None,
            )
    except BaseException:
        await _abandon(sock, inode)
        raise
    _let_go(sock, inode)
    if context is not None:
        noted(Handshake(made[0].get_extra_info("ssl_object")))
    return made


async def _abandon(sock: socket.socket, inode: int) -> None:
    # Cancelled before its handshake has begun, a TLS transport ignores close() and goes on; closed under it, the
    # descriptor would soon be another connection's. Shut down, the socket ends the transport, which then closes it.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    cancelled: asyncio.CancelledError | None = None
    for _ in range(_ABANDON_TURNS):
        _let_go(sock, inode)
        if sock.fileno() < 0:
            break
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            cancelled = error
    sock.close()
    if cancelled is not None:
        raise cancelled


def _let_go(sock: socket.socket, inode: int) -> None:
    # When the peer is gone at once, uvloop closes the descriptor before it takes the socket object over. The object
    # would close the number once more, which by then may be another connection's.
    try:
        gone = os.fstat(sock.fileno()).st_ino != inode
    except OSError:
        gone = True
    if gone:
        sock.detach()


def server_name(endpoint: Endpoint) -> str:
    """Give the name that the certificate must bear; an IPv6 zone is no part of it (RFC 6874 §4)."""
    return endpoint.host.partition("%")[0].rstrip(".")


async def resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Look a name up, in the order in which the system prefers its addresses; a literal needs no lookup.

    Raises:
        OSError: there is no such name, or the resolver failed (socket.gaierror).
    """
    phase("resolve")
    if _LITERAL.fullmatch(host):
        return _looked_up(host, port, socket.AI_NUMERICHOST)
    return await in_daemon(lambda: _looked_up(host, port))


def _looked_up(host: str, port: int, flags: int = 0) -> Sequence[AddressInfo]:
    # As bytes, for a str goes through the codec of the outdated IDNA 2003. The zone of an IPv6 address is also its
    # scope number, and with a "%" in it asyncio would look the address up once more, in the default executor.
    return [
        (family, kind, number, name, (str(where[0]).partition("%")[0], *where[1:]))
        for family, kind, number, name, where in socket.getaddrinfo(
            host.encode(), port, type=socket.SOCK_STREAM, flags=flags
        )
    ]


async def _direct(host: str, port: int, allow: Callable[[str], bool] | None = None) -> socket.socket:
    addresses = await resolve(host, port)
    noted(f"{len(addresses)} addresses" if len(addresses) > 1 else addresses[0][4][0])
    if allow is not None:
        refused = addresses
        addresses = [address for address in addresses if allow(address[4][0])]
        if not addresses:
            raise ConnectError(f"not to be connected to: {refused[0][4][0]}", transient=False)
    phase("connect")
    sock = await (_connected(addresses[0]) if len(addresses) == 1 else _raced(addresses))
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a wait without a limit ends when the peer is gone
        noted(sock.getpeername()[0])
    except BaseException:
        sock.close()
        raise
    return sock


async def _connected(address: AddressInfo) -> socket.socket:
    family, kind, number, _, where = address
    sock = socket.socket(family, kind, number)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _raced(addresses: Sequence[AddressInfo]) -> socket.socket:
    from aiohappyeyeballs import start_connection

    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    sock = await start_connection(addresses, happy_eyeballs_delay=_ATTEMPT_DELAY, interleave=1)
    if task is not None and task.cancelling() > cancelled_before:
        # While it waits for the losers to end, the race swallows a cancellation, and a deadline would be lost.
        sock.close()
        raise asyncio.CancelledError
    return sock


async def _unix(path: str) -> socket.socket:
    phase("connect")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:
                # The listener's queue is full (connect(2), EAGAIN). No event tells when it is not, and sock_connect()
                # would give the socket back unconnected.
                await asyncio.sleep(_UNIX_DELAY)
    except BaseException:
        sock.close()
        raise
