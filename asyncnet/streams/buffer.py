"""ReceiveBuffer: what was received and not taken yet, and when no more is asked for.

What came is kept as one `bytes` (`head`) that is cut by offset and never re-sliced; what comes while that is not used
up gathers in one bytearray (`tail`): each byte is copied at most twice, on any chunking. An empty `head` means that
nothing waits, but for a read that has gathered all in `tail` and will `settle` it.
"""

from __future__ import annotations

import asyncio


class ReceiveBuffer:
    """The part of a StreamProtocol that holds bytes; its attributes are set there."""

    head: bytes
    offset: int
    tail: bytearray | None
    reader: asyncio.StreamReader | None
    transport: asyncio.Transport | None
    barred: bool
    ended: bool
    lost: bool
    reading_paused: bool
    _limit: int

    def _add(self, chunk: bytes) -> None:
        if self.reader is not None:
            self.reader.feed_data(chunk)
        elif self.tail is not None:
            self.tail += chunk
        else:
            self.tail = bytearray(chunk)

    @property
    def buffered(self) -> int:
        """How many bytes wait to be taken."""
        return len(self.head) - self.offset + (0 if self.tail is None else len(self.tail))

    def take(self, max_bytes: int) -> bytes:
        """Give at most `max_bytes` of `head`."""
        head, offset = self.head, self.offset
        chunk = head if not offset and len(head) <= max_bytes else head[offset : offset + max_bytes]
        if offset + len(chunk) == len(head):
            self.head, self.offset = b"", 0
            self.settle()
        else:
            self.offset = offset + len(chunk)
        if self.reading_paused and self.buffered <= self._limit // 2:
            self.resume()
        return chunk

    def take_exactly(self, count: int) -> bytes:
        """Give `count` of the bytes that wait; that many are there."""
        if count <= len(self.head) - self.offset:
            return self.take(count)
        view = memoryview(self.gather())
        result, rest = bytes(view[:count]), bytes(view[count:])
        self.head, self.tail = rest, None
        if self.reading_paused and len(rest) <= self._limit // 2:
            self.resume()
        return result

    def gather(self) -> bytearray:
        """Bring all that waits together in `tail`, and give it; `settle` afterwards."""
        if self.tail is None:
            self.tail = bytearray(memoryview(self.head)[self.offset :])
        elif self.head:
            self.tail[:0] = memoryview(self.head)[self.offset :]
        self.head, self.offset = b"", 0
        return self.tail

    def settle(self) -> None:
        """Make what waits in `tail` the `head`, if there is none."""
        if not self.head and self.tail is not None:
            self.head, self.tail = bytes(self.tail), None

    def unread(self, data: bytes) -> None:
        """Put bytes back before all others."""
        if data:
            self.head, self.offset = data + self.head[self.offset :], 0

    def _pause_if_full(self) -> None:
        if self.reader is None and self.buffered >= self._limit:
            self._pause()

    def _pause(self) -> None:
        if not self.reading_paused and self.transport is not None and not self.lost and not self.ended:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Let the transport read on."""
        self.reading_paused = False
        if self.transport is not None and not self.ended and not self.transport.is_closing():
            self.transport.resume_reading()

    def drop(self) -> None:
        """Forget what was received and not taken: nobody will."""
        self.barred = True
        self.head, self.offset, self.tail = b"", 0, None
