"""ReceiveStream: the reading half of a Connection.

Reads give what is there without a turn of the loop; they wait only where nothing is. A cancelled read loses no byte.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NoReturn

from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, IncompleteRead, LimitError, UsageError
from asyncnet.streams.protocol import DIRECT_BYTES, StreamProtocol

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from 3.12 on


class ReceiveStream:
    """Bytes in.

    `timeout` is seconds for the whole call; None takes the connection's own, `math.inf` is no limit. One task reads at
    a time: a second is a UsageError.
    """

    __slots__ = ("_closing", "_protocol", "_timeout", "endpoint")
    _closing: bool
    _protocol: StreamProtocol
    _timeout: float | None
    endpoint: Endpoint

    async def read(self, max_bytes: int = 65_536, timeout: float | None = None) -> bytes:
        """Read what is there, at least one byte and at most `max_bytes`; b"" is the peer's end.

        Raises:
            DisconnectedError: the connection was lost (IncompleteRead: TLS was cut); what came before was given first.
            DeadlineError: nothing came within the timeout; the connection is aborted.
            ClosedError: used after `aclose()`.

        Cancelled, it loses nothing.
        """
        protocol = self._protocol
        readable = protocol.readable
        if readable.is_busy:
            return self._end("read")
        while not (head := protocol.head):
            if protocol.barred:
                return self._end("read")
            if protocol.reading_paused or self._timeout is not None or timeout is not None:
                protocol.prepare(protocol.due(self._timeout if timeout is None else timeout))
            readable.is_busy = True  # `protocol.more` written out: a coroutine less for each message
            try:
                await readable
            except BaseException:
                protocol.undo()
                raise
            finally:
                readable.is_busy = False
        if protocol.offset or len(head) > max_bytes or protocol.tail is not None or protocol.reading_paused:
            if max_bytes < 1:
                raise UsageError(f"cannot read {max_bytes} bytes", endpoint=self.endpoint, operation="read")
            return protocol.take(max_bytes)
        protocol.head = b""
        return head

    async def read_exactly(self, count: int, *, timeout: float | None = None) -> bytes:
        """Read `count` bytes, no more and no less.

        Raises:
            IncompleteRead: the peer ended first; `.partial` holds what came.
            DisconnectedError, DeadlineError, ClosedError: as in `read`.

        Cancelled, it loses nothing.
        """
        if count < 0:
            raise UsageError(f"cannot read {count} bytes", endpoint=self.endpoint, operation="read_exactly")
        protocol = self._protocol
        if protocol.readable.is_busy:
            self._end("read_exactly")
        if protocol.buffered >= count:
            return protocol.take_exactly(count)
        if count - protocol.buffered >= DIRECT_BYTES:
            # A BytesIO lends the memory of its value, and gives that value without a copy once nobody else has it.
            memory = io.BytesIO(bytes(count))
            with memory.getbuffer() as view:
                if not await self._fill(view, count, "read_exactly", timeout):
                    self._stop("read_exactly", count)
            return memory.getvalue()
        due = protocol.due(self._timeout if timeout is None else timeout)
        protocol.partial_since = protocol.received_bytes - protocol.buffered
        try:
            while protocol.buffered < count:
                if protocol.head:
                    protocol.gather()
                if protocol.barred:
                    self._stop("read_exactly", count)
                await protocol.more(due)
            return protocol.take_exactly(count)
        finally:
            protocol.partial_since = None
            protocol.settle()

    async def read_until(
        self, separator: bytes = b"\n", *, max_bytes: int = 8192, timeout: float | None = None
    ) -> bytes:
        """Read up to and including `separator`, at most `max_bytes` bytes.

        Raises:
            LimitError: `max_bytes` came without a separator; they stay buffered.
            IncompleteRead: the peer ended first; `.partial` holds what came.
            DisconnectedError, DeadlineError, ClosedError: as in `read`.

        Cancelled, it loses nothing: the next read sees the same bytes.
        """
        if not separator or max_bytes < len(separator):
            raise UsageError(
                "an empty separator, or a limit below its length", endpoint=self.endpoint, operation="read_until"
            )
        protocol, due, searched = self._protocol, None, 0
        if protocol.readable.is_busy:
            self._end("read_until")
        try:
            while (at := self._find(separator, searched, max_bytes)) < 0:
                if protocol.buffered >= max_bytes:
                    raise LimitError(
                        f"no {separator!r} within {max_bytes} bytes",
                        limit=max_bytes,
                        endpoint=self.endpoint,
                        operation="read_until",
                    )
                if protocol.barred:
                    self._stop("read_until", None)
                if protocol.head:
                    protocol.gather()
                searched = max(0, protocol.buffered - len(separator) + 1)
                if protocol.partial_since is None:
                    protocol.partial_since = protocol.received_bytes - protocol.buffered
                    due = protocol.due(self._timeout if timeout is None else timeout)
                await protocol.more(due)
            return protocol.take_exactly(at + len(separator))
        finally:
            protocol.partial_since = None
            protocol.settle()

    def _find(self, separator: bytes, searched: int, max_bytes: int) -> int:
        protocol = self._protocol
        if protocol.tail is not None:
            return protocol.gather().find(separator, searched, max_bytes)
        start = protocol.offset
        at = protocol.head.find(separator, start + searched, start + max_bytes)
        return at if at < 0 else at - start

    async def read_into(self, buffer: Buffer, *, min_bytes: int = 1, timeout: float | None = None) -> int:
        """Read into the caller's memory, straight from the kernel where nothing is buffered, and give the number.

        Args:
            buffer: writable and contiguous; filled from its start. Its size is the most that is read.
            min_bytes: wait for at least so many; 0 is the peer's end with nothing before it.
            timeout: seconds, as everywhere here.

        Raises:
            IncompleteRead: the peer ended after some bytes but before `min_bytes`; `.partial` holds them.
            UsageError: the buffer is read-only, or smaller than `min_bytes`.
            DisconnectedError, DeadlineError, ClosedError: as in `read`.

        Cancelled, it loses nothing; what the buffer holds is then undefined.
        """
        try:
            view = memoryview(buffer).cast("B")
        except (TypeError, ValueError) as error:
            raise UsageError(f"not a contiguous buffer: {error}", endpoint=self.endpoint) from error
        if view.readonly or len(view) < max(min_bytes, 1) or min_bytes < 1:
            raise UsageError(
                f"a writable buffer of at least min_bytes={min_bytes} (1 or more) is needed", endpoint=self.endpoint
            )
        return await self._fill(view, min_bytes, "read_into", timeout)

    async def lines(self, *, max_bytes: int = 65_536, timeout: float | None = None) -> AsyncIterator[bytes]:
        r"""Iterate over lines with their b"\n"; a last line without one is given as it is.

        Raises:
            LimitError: a line is longer than `max_bytes`; it stays buffered.
            DisconnectedError, DeadlineError, ClosedError: as in `read`; the timeout is for each line.
        """
        while True:
            try:
                yield await self.read_until(b"\n", max_bytes=max_bytes, timeout=timeout)
            except IncompleteRead as error:
                if self._protocol.error is not None:
                    raise
                if error.partial:
                    yield error.partial
                return

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over chunks as they come, to the peer's end."""
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk

    # What the methods share.

    async def _fill(self, view: memoryview, min_bytes: int, operation: str, timeout: float | None) -> int:
        protocol, filled = self._protocol, 0
        due = protocol.due(self._timeout if timeout is None else timeout)
        while True:
            while filled < len(view) and protocol.head:
                chunk = protocol.take(len(view) - filled)
                view[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
            if filled >= min_bytes:
                return filled
            if protocol.barred or protocol.readable.is_busy:
                protocol.unread(bytes(view[:filled]))
                if filled:
                    self._stop(operation, min_bytes)
                self._end(operation)
                return 0
            protocol.expect(view, filled, min_bytes)
            protocol.partial_since = protocol.received_bytes - filled
            try:
                await protocol.more(due)
            except BaseException:
                protocol.unread(bytes(view[: protocol.filled]))
                raise
            finally:
                protocol.partial_since = None
            filled = protocol.filled

    def _stop(self, operation: str, expected: int | None) -> NoReturn:
        """Raise why a unit cannot be completed; its bytes are in `.partial`, or stay buffered for `read`."""
        protocol = self._protocol
        failure = protocol.failure(operation)
        if not isinstance(failure, IncompleteRead) or not protocol.buffered:
            self._end(operation)
        partial = protocol.take_exactly(protocol.buffered)
        error = IncompleteRead(partial=partial, expected=expected, endpoint=self.endpoint, operation=operation)
        raise error from failure

    def _end(self, operation: str) -> bytes:
        """Say why nothing can be read: raise, or b"" where the peer has just ended."""
        protocol = self._protocol
        if protocol.readable.is_busy:
            raise UsageError(
                f"{protocol.readable.reader} is in a read of this connection (or its upgrade)",
                endpoint=self.endpoint,
                operation=operation,
            )
        if self._closing:
            raise ClosedError("the connection is closed", endpoint=self.endpoint, operation=operation)
        if protocol.reader is not None:
            raise UsageError("`reader` owns the bytes", endpoint=self.endpoint, operation=operation)
        failure = protocol.failure(operation)
        if failure is not None:
            raise failure
        return b""
