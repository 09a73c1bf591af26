"""send_file(): a file's bytes to a connection, by sendfile(2) where the loop and plain TCP allow it, else in chunks."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, BinaryIO

from asyncnet.daemon import in_daemon
from asyncnet.deadline import deadline
from asyncnet.errors import UsageError

if TYPE_CHECKING:
    from asyncnet.streams.send import SendStream

_CHUNK_BYTES = 262_144


async def send_file(
    connection: SendStream,
    file: BinaryIO | str | os.PathLike[str],
    offset: int,
    count: int | None,
    timeout: float | None,
) -> int:
    """Send `count` bytes of a file from `offset`; see `Connection.send_file`."""
    if isinstance(file, (str, os.PathLike)):
        path = file
        try:
            opened = await in_daemon(lambda: open(path, "rb"))  # noqa: SIM115 (closed below, in any case)
        except OSError as error:
            raise UsageError(f"cannot read {os.fspath(path)}: {error.strerror}", operation="send_file") from error
        try:
            return await send_file(connection, opened, offset, count, timeout)
        finally:
            opened.close()
    if offset < 0 or (count is not None and count < 0):
        raise UsageError("offset and count are at least 0", endpoint=connection.endpoint, operation="send_file")
    async with deadline(timeout, connection.endpoint, "send_file"):
        try:
            if _can_sendfile(connection):
                return await _native(connection, file, offset, count)
            return await _in_chunks(connection, file, offset, count)
        except asyncio.CancelledError:
            connection.abort()  # how much has gone is not known
            raise


def _can_sendfile(connection: SendStream) -> bool:
    # uvloop has no sendfile, and under TLS the bytes must pass through us. The attribute is asyncio's own switch.
    transport = connection._protocol.transport
    mode = getattr(transport, "_sendfile_compatible", None)
    return not connection._protocol._over_ssl and getattr(mode, "name", "") == "TRY_NATIVE"


async def _native(connection: SendStream, file: BinaryIO, offset: int, count: int | None) -> int:
    async with connection._in_turn("send_file", None) as transport:
        # asyncio stops reading meanwhile and goes on afterwards; our own pause must not be undone by that.
        sent = await asyncio.get_running_loop().sendfile(transport, file, offset, count, fallback=False)
    connection._protocol.sent_bytes += sent
    return sent


async def _in_chunks(connection: SendStream, file: BinaryIO, offset: int, count: int | None) -> int:
    sent = 0
    await in_daemon(lambda: file.seek(offset))
    async with connection._in_turn("send_file", None) as transport:
        while count is None or sent < count:
            want = _CHUNK_BYTES if count is None else min(_CHUNK_BYTES, count - sent)
            chunk = await in_daemon(lambda want=want: file.read(want))  # type: ignore[misc]  # a lambda's default
            if not chunk:
                break
            await connection._hand_over(transport, chunk, None)
            sent += len(chunk)
    return sent
