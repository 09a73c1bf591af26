"""StreamProtocol: asyncio's stream protocol with a receive path of ours.

It is an `asyncio.StreamReaderProtocol`, so a real StreamReader and StreamWriter can be had on top of it (`adopt`);
until then bytes take a shorter way:

- the transport's chunk is given to the reader as it is, or comes straight into the memory of a caller who waits with
  one (`target`; see reading.py);
- what came is kept as one `bytes` (`head`) that is cut by offset and never re-sliced; what comes while that is not
  used up gathers in one bytearray (`tail`): each byte is copied at most twice, on any chunking. An empty `head` means
  that nothing waits, but for a read that has gathered all in `tail` and will `settle` it;
- a waiting task is resumed from within the callback (see wakeup.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable

from asyncnet.errors import DeadlineError, DisconnectedError, IncompleteRead, NetError, UsageError
from asyncnet.streams.buffer import ReceiveBuffer
from asyncnet.streams.kinship import KinProtocol
from asyncnet.streams.reading import READ_BYTES, Discarding, Filling, is_acknowledged, tune, waits_unread
from asyncnet.streams.wakeup import Wakeup
from asyncnet.streams.watchdog import Watchdog
from asyncnet.translation import TALKING, translation

DIRECT_BYTES = 16_384
"""From here on memory of a reader is filled directly: a smaller copy costs less than telling the transport twice."""


class StreamProtocol(ReceiveBuffer, KinProtocol):
    """The receiving half of a Connection and the state of both.

    Args:
        loop: the running loop.
        endpoint: what errors name.
        max_buffer_bytes: reading pauses when half of this waits to be taken.
        on_lost: called once, when the connection is gone.
    """

    # Up to 30 attributes of an instance cost 8 bytes each; what few connections have is a class attribute first.
    _tls: ssl.SSLObject | None = None
    _fills = False  # whether the transport can receive into memory of ours
    _filling: Filling | None = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: object,
        max_buffer_bytes: int,
        on_lost: Callable[[StreamProtocol], None] | None = None,
    ) -> None:
        self._loop = loop
        self.endpoint = endpoint
        self.transport: asyncio.Transport | None = None
        self.head = b""
        self.offset = 0
        self.tail: bytearray | None = None
        self.target: memoryview | None = None
        self.filled = 0
        self.wanted = 0
        self.ended = False
        self.barred = False  # ended, closed here, or given to `reader`: no read may wait
        self.error: Exception | None = None
        self.lost = False
        self.reading_paused = False
        self.received_bytes = 0
        self.sent_bytes = 0
        self.opened_at = loop.time()
        self.told_peer: object = None  # as `address` takes it: few ask for it
        self.partial_since: int | None = None
        self.watchdog: Watchdog | None = None
        self.reader: asyncio.StreamReader | None = None
        self.readable = Wakeup(loop)
        self._paused = False
        self.writable: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[None] | None = None
        self._limit = max_buffer_bytes // 2
        self._on_lost = on_lost

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's is one without saying so
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._over_ssl, self._tls = True, tls
        self._fills = tune(transport, self._loop)

    def data_received(self, data: bytes) -> None:
        """Take a chunk."""
        size = len(data)
        self.received_bytes += size
        readable = self.readable
        if readable.callback is None or self.tail is not None or self.target is not None:
            self._take_in(data)
            return
        # The common case, written out: somebody waits, and nothing else does.
        self.head = data
        if self.watchdog is not None:
            self.watchdog.read_due = None
        readable.wake(size)

    def eof_received(self) -> bool:
        """Note the peer's end; a plain connection stays open for writing."""
        if self._tls is not None:
            self._end_tls(self._tls)
        self.ended = self.barred = True
        if self.reader is not None:
            if self.error is not None:
                self.reader.set_exception(self.error)
            self.reader.feed_eof()
        self.wake()
        return not self._over_ssl

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone, and why; wake whoever waits. Idempotent."""
        if self.lost:
            return
        if exc is not None and self.error is None:
            self.error = exc
        if self._tls is not None and (not self.barred or self.reader is not None):
            self._end_tls(self._tls)
        self.lost = self.ended = self.barred = True
        if self.watchdog is not None:
            self.watchdog.stop()
            self.watchdog = None
        if self.readable.callback is not None:
            self.wake()
        for future in (self.writable, self.closed):
            if future is not None and not future.done():
                future.set_result(None)
        if self.reader is not None:
            super().connection_lost(self.error)
            self.writer = None
        self._connection_lost = True
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost(self)

    def pause_writing(self) -> None:
        """Note that the transport holds enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let the writers go on."""
        if self.reader is not None:
            super().resume_writing()
        self._paused = False
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)

    def _take_in(self, chunk: bytes) -> None:
        if self.target is not None:
            self._fill(self.target, chunk)
            return
        if self.head or self.tail is not None or self.reader is not None:
            self._add(chunk)
        else:
            self.head = chunk
        if self.readable.callback is not None:
            self.wake()
        elif len(chunk) >= self._limit or self.tail is not None:
            self._pause_if_full()

    def _fill(self, target: memoryview, chunk: bytes) -> None:
        count = min(len(chunk), len(target) - self.filled)
        target[self.filled : self.filled + count] = chunk[:count]
        self.filled += count
        if self.filled >= self.wanted:
            self.head = chunk[count:]  # set down before the task runs: it may read on at once
            self.wake()

    # Waiting.

    def due(self, seconds: float | None) -> float | None:
        """Give the time by which a read that begins now must end; None is no limit."""
        if seconds is None or seconds == math.inf:
            return None
        due = self._after(seconds)
        self._clock().read_seconds = seconds
        return due

    def _after(self, seconds: float) -> float:
        if not seconds >= 0:
            raise UsageError(f"a timeout is a number of seconds, at least 0: not {seconds}", endpoint=self.endpoint)
        return self._loop.time() + seconds

    def prepare(self, due: float | None) -> None:
        """Get ready for a wait: let the transport read, and the watchdog watch until `due`."""
        if self.reading_paused:
            self.resume()
        if due is not None:
            self._clock().read_by(due)

    async def more(self, due: float | None) -> None:
        """Wait until more bytes came (or `wanted` of them in `target`), the end, or an error; until `due` at most."""
        self.prepare(due)
        readable = self.readable
        readable.is_busy = True
        try:
            await readable
        except BaseException:
            self.undo()
            raise
        finally:
            readable.is_busy = False

    def expect(self, target: memoryview, filled: int, wanted: int) -> None:
        """Let what comes go to `target` behind the `filled` bytes there; the next wait ends when `wanted` are there."""
        self.target, self.filled, self.wanted = target, filled, wanted
        if self._fills and len(target) - filled >= DIRECT_BYTES and self.transport is not None:
            self._filling = Filling(self)
            self.transport.set_protocol(self._filling)

    def undo(self) -> None:
        """End a wait: from now on bytes go to the buffer, not to the caller's memory, and no deadline is watched."""
        self.target = None
        if self._filling is not None:
            self._filling.end()
            self._filling = None
            if self.transport is not None:
                self.transport.set_protocol(self)
        if self.watchdog is not None:
            self.watchdog.read_due = None

    def wake(self) -> None:
        """Let the waiting read go on."""
        self.undo()  # the memory may be full, and its owner not resumed before the next bytes come
        self.readable.wake()

    def _clock(self) -> Watchdog:
        if self.watchdog is None:
            self.watchdog = Watchdog(self._loop, self)
        return self.watchdog

    def room_due(self, seconds: float | None) -> float | None:
        """Give the time by which a write that begins now must end; None is no limit."""
        return None if seconds is None or seconds == math.inf else self._after(seconds)

    async def drained(self, seconds: float | None, due: float | None = None) -> None:
        """Wait until the transport has room again: until `due`, or for `seconds` where none is given, at most."""
        due = self.room_due(seconds) if due is None else due
        if due is None or not self._paused or self.lost:
            await self._drained()
            return
        clock, ticket = self._clock(), (due, seconds or 0.0)
        clock.write_by(ticket)
        try:
            await self._drained()
        finally:
            clock.written(ticket)

    async def _drained(self) -> None:
        while self._paused and not self.lost:
            if self.writable is None or self.writable.done():
                self.writable = self._loop.create_future()
            # Shielded: several writers may wait for the same room, and one may be cancelled.
            await asyncio.shield(self.writable)

    # The end.

    def expire(self, what: str, seconds: float) -> None:
        """End the connection because `what` took longer than `seconds`."""
        text = f"{what} took more than {seconds:g} seconds"
        self.fail(DeadlineError(text, seconds=seconds, endpoint=self.endpoint, operation=what.partition(" ")[0]))

    def hush(self) -> None:
        """Read no more: what is buffered is given, and then the end, as if the peer had ended."""
        self._pause()
        self.ended = self.barred = True
        self.wake()

    def fail(self, error: NetError) -> None:
        """Abort the connection; reads and writes raise `error` from now on."""
        self.error = error
        self.ended = self.barred = True
        self.abort()
        self.wake()

    def abort(self) -> None:
        """Drop the connection at once; what was not sent is lost."""
        if self.transport is not None and not self.lost:
            self.transport.abort()

    def must_linger(self, *, in_haste: bool) -> bool:
        """Whether a close would be a reset: something was written, and something was not read (plain TCP alone).

        `in_haste`, a reset will do once the peer's kernel has all that was written.
        """
        transport = self.transport
        if transport is None or not self.sent_bytes or self.ended or self._over_ssl or transport.is_closing():
            return False
        if not transport.can_write_eof():
            return False
        if not (self.reading_paused or self.buffered > 0 or waits_unread(transport)):
            return False
        return not (in_haste and is_acknowledged(transport))

    def linger(self) -> None:
        """Send what is left and our end; then drop what comes, and close when the peer does."""
        assert self.transport is not None
        self.transport.set_protocol(Discarding(self))
        with contextlib.suppress(RuntimeError, OSError):  # our end is sent already, or the peer has left
            self.transport.write_eof()
        self.resume()

    def failure(self, operation: str) -> NetError | None:
        """Make the error that a read at the end of all bytes raises; None where the peer just ended."""
        error = self.error
        if error is None:
            return None
        if isinstance(error, NetError):
            fresh = error.__reduce__()
            again: NetError = fresh[0](*fresh[1])
            again.__cause__ = error.__cause__
            return again
        ours = translation(error, TALKING, self.endpoint, operation)
        if ours is None:
            ours = DisconnectedError(f"connection lost: {error}", endpoint=self.endpoint, operation=operation)
        ours.__cause__ = error
        return ours

    def _end_tls(self, tls: ssl.SSLObject) -> None:
        """Take what the TLS layer still holds, and tell a goodbye (close_notify) from a cut.

        asyncio forgets what it holds when the connection ends while reading is paused, or with more than one buffer of
        ours to come; and uvloop reports a cut as it does a goodbye.
        """
        self._tls = None
        try:
            while data := tls.read(READ_BYTES):
                self.data_received(data)
        except ssl.SSLZeroReturnError:
            pass  # close_notify, in answer to our own
        except ssl.SSLError:  # "want more"
            self.error = self.error or IncompleteRead(
                "the TLS connection was cut: no close_notify came", endpoint=self.endpoint
            )

    # The kinship with asyncio's streams.

    def adopt(self, *, server_side: bool = False) -> asyncio.StreamReader:
        """Make a StreamReader that owns the bytes from now on."""
        buffered = bytes(self.gather())
        self.drop()
        if self.reading_paused:
            self.resume()
        reader = self.become_kin(server_side=server_side)
        if buffered:
            reader.feed_data(buffered)
        if self.error is not None:
            reader.set_exception(self.error)
        if self.ended:
            reader.feed_eof()
        return reader
