"""connect(): from a URL to a Connection."""

from __future__ import annotations

import asyncio
import ssl

from asyncnet.deadline import deadline
from asyncnet.dial import attach, dial
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import UsageError
from asyncnet.proxy import Proxy
from asyncnet.streams.connection import Connection
from asyncnet.streams.opening import Opening
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.tls import default_client_context

MAX_BUFFER_BYTES = 262_144


def connect(
    endpoint: str | Endpoint,
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    max_buffer_bytes: int = MAX_BUFFER_BYTES,
) -> Opening[Connection]:
    """Open a connection.

    Use it as `async with connect(url) as connection`, or `connection = await connect(url)`.

    Args:
        endpoint: `tcp://host:port`, `tls://host:port` or `unix:///path`.
        tls: the context for `tls://`; None verifies against the system's authorities.
        timeout: seconds for lookup, connect and handshake together, and then for each read and write; None is no
            limit.
        proxy: the way there, as in `Proxy.parse`.
        max_buffer_bytes: reading pauses when about half of this waits to be taken; one read of the kernel may come on
            top.

    Raises:
        InvalidEndpoint, UsageError: another scheme, no host, a context where there is no TLS, or a limit below 1.
        ConnectError: no such name, no route, refused; TLSError: the handshake failed or the certificate is not trusted.
        RefusedError: the proxy refused.
        DeadlineError: not connected in time; the message names the phase.

    On failure or cancellation no socket is left.
    """
    where = Endpoint.parse(endpoint)
    if where.protocol != "tcp":
        raise UsageError("connect takes tcp://, tls:// and unix://", endpoint=where)
    if tls is not None and where.security is Security.PLAINTEXT:
        raise UsageError("a TLS context for a plaintext endpoint; use tls://", endpoint=where)
    if max_buffer_bytes < 1:
        raise UsageError("a buffer of less than 1 byte", endpoint=where)
    way = None if proxy is None else Proxy.parse(proxy)
    context = (tls or default_client_context()) if where.security is Security.TLS else None

    async def open_it() -> Connection:
        loop = asyncio.get_running_loop()
        async with deadline(timeout, where, "connect"):
            sock = await dial(where, proxy=way)
            _, protocol = await attach(sock, lambda: StreamProtocol(loop, where, max_buffer_bytes), context, where)
        return Connection(protocol, where, timeout=timeout)

    return Opening(open_it)
