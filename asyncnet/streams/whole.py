"""Whole: all that a peer sends until it ends, within a limit."""

from __future__ import annotations

from asyncnet.errors import LimitError
from asyncnet.streams.connection import Connection


async def read_to_end(connection: Connection, max_bytes: int, operation: str = "fetch") -> bytes:
    """Give what a peer sends until it ends.

    Args:
        connection: whose timeout bounds each read.
        max_bytes: how much that may be.
        operation: what errors call it.

    Raises:
        LimitError: it is more.
        DisconnectedError, DeadlineError: as for each read.
    """
    received = bytearray()
    while chunk := await connection.read():
        received += chunk
        if len(received) > max_bytes:
            raise LimitError(
                f"more than {max_bytes} bytes", limit=max_bytes, endpoint=connection.endpoint, operation=operation
            )
    return bytes(received)
