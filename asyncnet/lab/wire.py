"""Wire: what a server of the lab writes, on its way out; the place where faults are done.

Answers are collected and leave in one piece when the server waits for its client, so that pipelined commands cost one
packet. While a fault is set, what leaves is first turned into what the fault makes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from asyncnet.dial import CLOSE_SECONDS
from asyncnet.errors import NetError
from asyncnet.lab.faults import Fault
from asyncnet.streams.connection import Connection

_PIECE_BYTES = 65_536
_MAX_DELAYED_BYTES = 4_194_304
_ENDLESS_BYTES = 1_073_741_824
"""What never ends, ends here all the same."""

_TICK = 0.02
_LITERAL = re.compile(rb"\{(\d{1,18})\}\r\n")


class Ended(Exception):
    """The conversation is over: the peer has left, or a fault has ended it."""


class Wire:
    """The way out of one conversation.

    Args:
        connection: where the bytes go.
        heard: told of every piece that leaves, as it leaves.
    """

    def __init__(self, connection: Connection, heard: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._heard = heard
        self._out: list[bytes] = []
        self._size = 0
        self._fault: Fault | None = None
        self._left: int | None = None
        self._line: deque[tuple[float, bytes]] = deque()
        self._line_bytes = 0
        self._room = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    # What servers do.

    async def write(self, data: bytes) -> None:
        """Take a piece of an answer; it leaves with the next `flush`, or when much has gathered.

        Raises:
            Ended: a fault has closed the connection.
            NetError: the peer has left.
        """
        self._out.append(data)
        self._size += len(data)
        if self._size >= _PIECE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Let leave what was collected.

        Raises:
            Ended, NetError: as in `write`.
        """
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._size = 0
            await self._leave(data)

    async def prompt(self, data: bytes) -> None:
        """Send a go-ahead in mid-command at once: what a fault does to the answer, it does not do to this."""
        await self.flush()
        fault, self._fault = self._fault, None
        try:
            await self._leave(data)
        finally:
            self._fault = fault

    # What faults do.

    async def begin(self, fault: Fault | None) -> None:
        """End the former answer, and its fault with it; the next answer gets this one."""
        await self.settle()
        if fault is not None:
            await self.flush()
            self._fault = fault
            self._left = fault.reset_after if fault.cut_after is None else fault.cut_after

    async def settle(self) -> None:
        """End the answer: what was collected leaves with its fault, and what the fault does at the end is done.

        Raises:
            Ended: that was the end of the conversation.
        """
        fault = self._fault
        if fault is None:
            return
        if fault.inject:
            await self.write(fault.inject)
        await self.flush()
        self._fault = None
        if fault.lose_answer or self._left is not None:
            await self.break_off(reset=fault.reset_after is not None)

    async def go_ahead(self, data: bytes) -> tuple[bytes, float]:
        """Give what leaves, and after how many seconds, in place of the go-ahead for TLS.

        Raises:
            Ended: a fault cuts it off, or loses it.
        """
        if self._fault is not None and (self._fault.lose_answer or self._left is not None):
            await self.write(data)
            await self.settle()
        fault, self._fault = self._fault, None
        if fault is None:
            return data, 0.0
        return data * (2 if fault.duplicate else 1) + fault.inject, fault.delay

    async def endless(self, piece: bytes) -> NoReturn:
        """Send `piece` again and again, until the peer leaves."""
        many = piece * (_PIECE_BYTES // len(piece) + 1)
        self._heard(piece)
        for _ in range(_ENDLESS_BYTES // len(many)):
            await self._connection.write(many)
        raise Ended

    async def break_off(self, *, reset: bool = False) -> NoReturn:
        """Close the connection once all is on its way: by a reset, or an end (over TLS without a goodbye).

        Raises:
            Ended: always.
        """
        with contextlib.suppress(NetError):
            await self.emptied()
            transport = self._connection._protocol.transport
            if transport is not None and not transport.is_closing():
                transport.set_write_buffer_limits(high=0)  # from now on "drained" means "empty"
                await self._connection._protocol.drained(CLOSE_SECONDS)
                if reset:
                    sock: socket.socket | None = transport.get_extra_info("socket")
                    if sock is not None:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self._connection.abort()
                elif self._connection.is_tls:
                    self._connection.abort()
                else:
                    await self._connection.aclose()
        raise Ended

    # The way out.

    async def _leave(self, data: bytes) -> None:
        fault = self._fault
        if fault is None:
            await self._pass_on(data, 0.0)
            return
        if fault.lose_answer:
            return
        if fault.literal_lie:
            data = _LITERAL.sub(lambda found: b"{%d}\r\n" % max(0, int(found[1]) + fault.literal_lie), data)
        if fault.duplicate:
            data += data
        over = self._left is not None and len(data) >= self._left
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if fault.drip:
            await self._trickle(data, 1, fault.drip)
        elif fault.throttle is not None:
            step = max(1, int(fault.throttle * _TICK))
            await self._trickle(data, step, step / fault.throttle)
        else:
            await self._pass_on(data, fault.delay)
        if over:
            await self.break_off(reset=fault.reset_after is not None)

    async def _trickle(self, data: bytes, step: int, seconds: float) -> None:
        self._heard(data)
        await self.emptied()
        for at in range(0, len(data), step):
            await self._connection.write(data[at : at + step])
            await asyncio.sleep(seconds)

    async def _pass_on(self, data: bytes, delay: float) -> None:
        if not data:
            return
        self._heard(data)
        if not delay and not self._line:
            await self._connection.write(data)
            return
        # The way takes `delay` seconds, and all who are on it travel side by side.
        loop = asyncio.get_running_loop()
        while self._line_bytes > _MAX_DELAYED_BYTES and self._pump is not None and not self._pump.done():
            self._room.clear()
            await self._room.wait()
        self._line.append((loop.time() + delay, data))
        self._line_bytes += len(data)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._travel(loop))

    async def _travel(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._line:
                due, data = self._line[0]
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._connection.write(data)
                self._line.popleft()
                self._line_bytes -= len(data)
                self._room.set()
        except NetError:
            self._line.clear()  # the peer has left: whoever reads from it sees that too
            self._line_bytes = 0
        finally:
            self._room.set()

    async def emptied(self) -> None:
        """Wait until nothing is on its way any more."""
        if self._pump is not None:
            await asyncio.wait({self._pump})

    async def aclose(self, *, wait: bool) -> None:
        """End the way out; with `wait`, once all has arrived. Idempotent."""
        pump, self._pump = self._pump, None
        if pump is not None:
            if not wait:
                pump.cancel()
            try:
                await asyncio.wait({pump})
            except asyncio.CancelledError:
                pump.cancel()
                raise
