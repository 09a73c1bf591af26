"""SendStream: the writing half of a Connection.

Bytes go to the kernel at once where it takes them; a write waits only while the transport holds more than it should.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DeadlineError, DisconnectedError, NetError, UsageError
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.streams.receive import ReceiveStream

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from 3.12 on

PIECE_BYTES = 262_144
"""What is handed to the transport at a time: it may copy what it cannot send, and room is waited for in between."""

_JOINED_BYTES = 65_536
"""Up to here one copy and one send are cheaper than a vector."""

_VECTORED = sys.version_info >= (3, 13, 2) or (3, 12, 9) <= sys.version_info < (3, 13)
"""From 3.12 on writelines() is a vectored send; before these releases it forgot to say that it was full (gh-127655)."""


class SendStream(ReceiveStream):
    """Bytes out, beside bytes in.

    Writes of several tasks go out one after the other, each as a whole.
    """

    __slots__ = ("_queue", "_server_side", "_turn", "_write_timeout")

    def __init__(
        self,
        protocol: StreamProtocol,
        endpoint: Endpoint,
        *,
        timeout: float | None = None,
        write_timeout: float | None = None,
        server_side: bool = False,
    ) -> None:
        self._protocol = protocol  # the receiving half's too: a call of its constructor for each client is not free
        self._timeout = timeout
        self._closing = False
        self.endpoint = endpoint
        self._write_timeout = timeout if write_timeout is None else write_timeout
        self._server_side = server_side
        self._turn: asyncio.Lock | None = None
        self._queue = 0

    # Not keyword-only, here and in `read`: CPython looks such a default up in a dictionary at every call.
    async def write(self, data: Buffer, timeout: float | None = None) -> None:
        """Send all of `data`; waits only while the transport holds more than it should (64 KiB).

        Afterwards the caller may change `data`: nothing refers to it any more.

        Raises:
            DisconnectedError: the connection is lost; how much arrived is not known.
            DeadlineError: the peer made no room within the timeout; the connection is aborted.
            ClosedError: used after `aclose()` or `write_eof()`.

        Cancelled, what was handed over is still sent; how much that is, is not known.
        """
        protocol = self._protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise self._unwritable("write")
        if type(data) is bytes and (size := len(data)) <= PIECE_BYTES and self._turn is None:
            try:
                transport.write(data)
            except RuntimeError as error:
                raise self._unwritable("write") from error  # after write_eof()
            protocol.sent_bytes += size
        else:
            await self._write_pieces(data, timeout)
        if protocol._paused:
            await self._room("write", timeout)

    async def writelines(self, chunks: Iterable[Buffer], *, timeout: float | None = None) -> None:
        """Send all chunks in order, in as few system calls as the loop allows.

        Raises:
            DisconnectedError, DeadlineError, ClosedError: as in `write`.
        """
        pieces = [chunk if type(chunk) is bytes else bytes(_flat(chunk)) for chunk in chunks]
        size = sum(map(len, pieces))
        if size <= _JOINED_BYTES:
            await self.write(b"".join(pieces), timeout=timeout)
            return
        due = self._due(timeout)
        async with self._in_turn("writelines", timeout) as transport:
            for batch in _batches(pieces):
                if transport.is_closing():
                    raise self._unwritable("writelines")
                try:
                    if _VECTORED:
                        transport.writelines(batch)
                    else:
                        transport.write(b"".join(batch))
                except RuntimeError as error:
                    raise self._unwritable("writelines") from error
                self._protocol.sent_bytes += sum(map(len, batch))
                if self._protocol._paused:
                    await self._room("writelines", timeout, due)

    async def send_file(
        self,
        file: BinaryIO | str | os.PathLike[str],
        *,
        offset: int = 0,
        count: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Send a file's bytes and give their number: by sendfile(2) where no TLS lies between, else in chunks.

        Args:
            file: a path, or a file opened in binary mode. The position of one is where it was if it is a plain file of
                the system's, and anywhere afterwards if not.
            offset: where to begin.
            count: how many bytes; None is up to the end. Fewer are sent where the file ends before.
            timeout: seconds for all of it; None takes the connection's own, which on a server is for each step, so that
                a slow client may take a large file.

        Raises:
            UsageError: the file cannot be read, or a negative number. Where a part has been sent, the connection is
                aborted.
            DisconnectedError, DeadlineError, ClosedError: as in `write`.

        Cancelled once bytes may have gone, it aborts the connection: how much arrived is not known.
        """
        from asyncnet.streams.send_file import send_file

        return await send_file(self, file, offset, count, timeout)

    async def write_eof(self) -> None:
        """Send what is left, and then our end; reading goes on (TCP half-close). Idempotent.

        Raises:
            UsageError: over TLS, which has no half-close that asyncio can send.
            DisconnectedError, ClosedError: as in `write`.
        """
        transport = self._writable("write_eof")
        if not transport.can_write_eof():
            raise UsageError("TLS has no half-close; end with aclose()", endpoint=self.endpoint, operation="write_eof")
        transport.write_eof()

    def abort(self) -> None:
        """Drop the connection at once; what was not sent is lost. Idempotent."""
        self._closing = True
        self._protocol.drop()
        self._protocol.abort()

    # What the methods share.

    def _writable(self, operation: str) -> asyncio.Transport:
        protocol = self._protocol
        transport = protocol.transport
        if protocol.lost or self._closing or transport is None or transport.is_closing():
            raise self._unwritable(operation)
        return transport

    def _unwritable(self, operation: str) -> NetError:
        protocol, transport = self._protocol, self._protocol.transport
        if self._closing or transport is None:
            return ClosedError("the connection is closed", endpoint=self.endpoint, operation=operation)
        failure = protocol.failure(operation)
        if failure is not None:
            return failure
        if protocol.lost or transport.is_closing():
            return DisconnectedError("the peer has left", endpoint=self.endpoint, operation=operation)
        return ClosedError("write_eof() has ended our half", endpoint=self.endpoint, operation=operation)

    async def _room(self, operation: str, timeout: float | None, due: float | None = None) -> None:
        protocol = self._protocol
        await protocol.drained(self._write_timeout if timeout is None else timeout, due)
        if protocol.lost or protocol.error is not None:
            raise self._unwritable(operation)

    @contextlib.asynccontextmanager
    async def _in_turn(self, operation: str, timeout: float | None) -> AsyncIterator[asyncio.Transport]:
        """Wait until no other task is in the middle of a write (or of the handshake), and let none begin meanwhile."""
        turn = self._turn = self._turn or asyncio.Lock()
        self._queue += 1
        try:
            if turn.locked():
                await self._wait_for(turn, operation, timeout)
            else:
                await turn.acquire()
            try:
                yield self._writable(operation)
            finally:
                turn.release()
        finally:
            self._queue -= 1
            if not self._queue:
                self._turn = None

    async def _wait_for(self, turn: asyncio.Lock, operation: str, timeout: float | None) -> None:
        try:
            async with deadline(self._write_timeout if timeout is None else timeout, self.endpoint, operation):
                await turn.acquire()
        except DeadlineError as error:
            self._protocol.fail(error)
            raise

    async def _write_pieces(self, data: Buffer, timeout: float | None) -> None:
        # From 3.12 on the transport keeps a view of what it could not send: memory that may change is copied first.
        safe = type(data) is bytes
        view = memoryview(data) if safe else _flat(data)
        due = self._due(timeout)
        async with self._in_turn("write", timeout) as transport:
            for start in range(0, len(view), PIECE_BYTES):
                piece = view[start : start + PIECE_BYTES]
                await self._hand_over(transport, piece if safe else bytes(piece), timeout, due)

    def _due(self, timeout: float | None) -> float | None:
        # A server's own limit is for each wait, so that a slow client may take a large answer; others are for all.
        if timeout is None and self._server_side:
            return None
        return self._protocol.room_due(self._write_timeout if timeout is None else timeout)

    async def _hand_over(
        self, transport: asyncio.Transport, piece: bytes | memoryview, timeout: float | None, due: float | None = None
    ) -> None:
        """Send one piece, in one's turn, and wait for room."""
        if transport.is_closing():
            raise self._unwritable("write")
        try:
            transport.write(piece)
        except RuntimeError as error:
            raise self._unwritable("write") from error
        self._protocol.sent_bytes += len(piece)
        if self._protocol._paused:
            await self._room("write", timeout, due)


def _batches(pieces: Iterable[bytes]) -> Iterator[list[bytes | memoryview]]:
    """Give them in order, by PIECE_BYTES at a time; a larger one is cut."""
    batch: list[bytes | memoryview] = []
    room = PIECE_BYTES
    for whole in pieces:
        rest: bytes | memoryview = whole
        while len(rest) >= room:
            batch.append(rest if len(rest) == room else memoryview(rest)[:room])
            rest = memoryview(rest)[room:]
            yield batch
            batch, room = [], PIECE_BYTES
        if rest:
            batch.append(rest)
            room -= len(rest)
    if batch:
        yield batch


def _flat(data: Buffer) -> memoryview:
    view = memoryview(data)
    # Not every shape can be cast: not one without contents, nor one with gaps.
    return view.cast("B") if view.c_contiguous and view.nbytes else memoryview(bytes(view))
