"""echo: the handler that sends back what it receives (RFC 862)."""

from __future__ import annotations

from asyncnet.streams.connection import Connection


async def echo(connection: Connection) -> None:
    """Send back every byte until the client ends; a handler for `serve`.

    Memory is bounded: while the client does not read, nothing more is read from it.
    """
    while chunk := await connection.read():
        await connection.write(chunk)
