"""Carrier: the transport that aiohttp's protocol is given: it leads through a conversation of the lab.

So HTTP goes through the same way out as all other protocols, and every fault does to it what it does to them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiohttp.web_protocol import RequestHandler

from asyncnet.errors import NetError
from asyncnet.lab.conversation import Conversation
from asyncnet.lab.wire import Ended

_HIGH_BYTES = 262_144
"""More than that waiting to leave, and whoever answers has to wait."""

Bytes = bytes | bytearray | memoryview


class Carrier(asyncio.Transport):
    """One client of the web server, between aiohttp and a conversation.

    Args:
        conversation: where bytes come from and go to.
        protocol: aiohttp's; it is told of what comes, and writes here.
    """

    def __init__(self, conversation: Conversation, protocol: RequestHandler) -> None:
        super().__init__()
        self.conversation = conversation
        self._protocol = protocol
        self._out: list[bytes] = []
        self._size = 0
        self._closing = False
        self._paused = False
        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until either side ends; whatever happens, no task of it is left.

        Raises:
            Ended: the client has left, or a fault has ended the conversation.
        """
        self._protocol.connection_made(self)
        answering = self._protocol._task_handler
        writing = asyncio.get_running_loop().create_task(self._write_on())
        self._read_on()
        try:
            await self._over.wait()
        finally:
            self._closing = True
            self._protocol.connection_lost(None)
            await _ended([task for task in (writing, self._reading, answering) if task is not None])
        raise Ended

    # Faults.

    async def begin(self, verb: str, line: str, also: str) -> bool:
        """Ask before a request is answered whether something goes wrong with the answer; as `Conversation.begin`."""
        await self._idle.wait()
        faults = self.conversation.lab.faults
        if not faults.rules and faults.chaos is None:
            return await self.conversation.begin(verb, line, also=also)
        if self._reading is not None:  # a fault may read by itself; a cancelled read loses nothing
            await _ended([self._reading])
        try:
            return await self.conversation.begin(verb, line, also=also)
        finally:
            self._read_on()

    async def settle(self) -> None:
        """Wait until the answer has left, and do what its fault does at its end.

        Raises:
            Ended: that was the end of the conversation.
            NetError: the client has left.
        """
        await self._idle.wait()
        if not self._closing:
            await self.conversation.flush()
            await self.conversation.settle()

    # In.

    def _read_on(self) -> None:
        if not self._over.is_set():
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._may_read.wait()
                data = await self.conversation.connection.read()
                if not data:
                    break
                self._protocol.data_received(data)
        except NetError:
            pass
        self._over.set()

    def pause_reading(self) -> None:
        """Take no more from the client for now."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Go on taking."""
        self._may_read.set()

    def is_reading(self) -> bool:
        """Whether more is taken."""
        return self._may_read.is_set()

    # Out.

    def write(self, data: Bytes) -> None:
        """Have it leave."""
        if self._closing or not data:
            return
        self._out.append(bytes(data))
        self._size += len(data)
        self._idle.clear()
        self._news.set()
        if self._size > _HIGH_BYTES and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def writelines(self, pieces: Iterable[Bytes]) -> None:
        """Have them leave, together."""
        self.write(b"".join(pieces))

    async def _write_on(self) -> None:
        try:
            while True:
                await self._leave()
                self._idle.set()
                if self._closing:
                    break
                self._news.clear()
                await self._news.wait()
        except (Ended, NetError):
            self._closing = True
        finally:
            self._idle.set()
            self._over.set()

    async def _leave(self) -> None:
        while self._out:
            data = b"".join(self._out)
            self._out.clear()
            await self.conversation.write(data)
            await self.conversation.flush()
            self._size -= len(data)
            if self._paused and not self._out:
                self._paused = False
                self._protocol.resume_writing()

    # The end.

    def close(self) -> None:
        """End it once all that was written has left."""
        self._closing = True
        self._news.set()

    def abort(self) -> None:
        """End it at once."""
        self._closing = True
        self._out.clear()
        self._over.set()

    def is_closing(self) -> bool:
        """Whether it is over, or soon."""
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what aiohttp asks for: who the client is, and whether TLS is on."""
        connection = self.conversation.connection
        if name == "peername":
            return (connection.peer.host, connection.peer.port)
        if name == "sslcontext":
            return connection.tls  # it asks only whether there is one
        return default


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them, and wait until they have ended."""
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)
    for task in waiting:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()
