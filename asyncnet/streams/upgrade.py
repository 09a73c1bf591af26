"""upgrade(): from plaintext to TLS in mid-stream, on either side (STARTTLS: RFC 3207, RFC 8314 §3)."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS, server_name
from asyncnet.errors import DisconnectedError, ProtocolError, UsageError
from asyncnet.tls import default_client_context
from asyncnet.translation import CONNECTING, TALKING, translated

if TYPE_CHECKING:
    from asyncnet.streams.connection import Connection

_SERVER_SECONDS = 10.0
"""For a handshake on a server, whose reads have no limit of their own."""

_UPGRADING = (*CONNECTING[:2], *TALKING)  # the handshake's errors, and those of a connection that stood


async def upgrade(
    connection: Connection,
    context: ssl.SSLContext | None,
    after: bytes,
    server_hostname: str | None,
    timeout: float | None,
) -> None:
    """Put TLS on a plain connection; see `Connection.start_tls`."""
    protocol, endpoint = connection._protocol, connection.endpoint
    if connection._writable("start_tls").get_extra_info("socket") is None:
        raise UsageError("start_tls needs a socket: this pair is in memory", endpoint=endpoint, operation="start_tls")
    if connection.is_tls or protocol.reader is not None or (connection._server_side and context is None):
        raise UsageError(
            "start_tls needs a plain connection whose reader was not taken, and on a server a context",
            endpoint=endpoint,
            operation="start_tls",
        )
    if protocol.readable.is_busy:
        connection._end("start_tls")
    name = None if connection._server_side else server_hostname or server_name(endpoint) or None
    seconds = _SERVER_SECONDS if timeout is None and connection._server_side else timeout
    protocol.readable.is_busy = True  # a read that another task begins now is refused, and a write waits its turn
    try:
        async with (
            deadline(seconds, endpoint, "start_tls"),
            connection._in_turn("start_tls", seconds) as transport,
        ):
            with translated(_UPGRADING, endpoint, "start_tls"):
                await _shake_hands(connection, transport, context or default_client_context(), after, name)
    except BaseException:
        connection.abort()
        protocol.connection_lost(None)  # a TLS layer that never came up does not tell
        raise
    finally:
        protocol.readable.is_busy = False


async def _shake_hands(
    connection: Connection,
    transport: asyncio.Transport,
    context: ssl.SSLContext,
    after: bytes,
    name: str | None,
) -> None:
    protocol = connection._protocol
    transport.pause_reading()
    protocol.reading_paused = True
    if protocol.buffered:
        raise ProtocolError(f"{protocol.buffered} bytes of plaintext came before the upgrade")
    if protocol.ended:
        raise protocol.failure("start_tls") or DisconnectedError("the peer left before the upgrade")
    if after:
        transport.write(after)
    await protocol.drained(None)  # or the TLS layer would be told of room that it never asked for
    upgraded = await asyncio.get_running_loop().start_tls(
        transport,
        protocol,
        context,
        server_side=connection._server_side,
        server_hostname=name,
        # The handshake's real bound is the deadline around; asyncio's own 60 s would cut a longer one.
        ssl_handshake_timeout=86_400.0,
        ssl_shutdown_timeout=CLOSE_SECONDS,
    )
    if upgraded is None:
        raise protocol.failure("start_tls") or DisconnectedError("the peer left during the handshake")
    protocol.connection_made(upgraded)
    protocol.reading_paused = False
