"""Raw: a client of bare sockets, which sees each byte that a server of the lab puts on the wire, and how it ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tests.clock import MS

PATIENCE = 5000 * MS
QUIET = 50 * MS
"""So long is nothing said by whoever says nothing."""


class Raw:
    """One connected socket, on the loop of the test."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""
        self.was_reset = False
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """All of it."""
        await self._loop.sock_sendall(self.socket, data)

    async def read(self, end: bytes = b"\r\n") -> bytes:
        """What comes up to and including `end`."""
        async with asyncio.timeout(PATIENCE):
            while end not in self.received:
                assert await self._more(), f"the server ended: {self.received!r}"
        at = self.received.index(end) + len(end)
        taken, self.received = self.received[:at], self.received[at:]
        return taken

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes."""
        async with asyncio.timeout(PATIENCE):
            while len(self.received) < count:
                assert await self._more(), f"the server ended: {self.received!r}"
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    async def read_reply(self) -> bytes:
        """A reply of SMTP with all its lines."""
        lines = [await self.read()]
        while lines[-1][3:4] == b"-":
            lines.append(await self.read())
        return b"".join(lines)

    async def ask(self, line: bytes) -> bytes:
        """Send a line, and read one."""
        await self.send(line + b"\r\n")
        return await self.read_reply()

    async def read_to_end(self) -> bytes:
        """All that comes until the server ends; `was_reset` says how."""
        async with asyncio.timeout(PATIENCE):
            while await self._more():
                pass
        taken, self.received = self.received, b""
        return taken

    async def hears_nothing(self) -> bool:
        """Whether nothing comes for a while, and not the end either."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET):
                await self._more()
                return False
        return not self.received

    async def _more(self) -> bool:
        try:
            data = await self._loop.sock_recv(self.socket, 65_536)
        except ConnectionResetError:
            self.was_reset = True
            return False
        self.received += data
        return bool(data)


@contextlib.asynccontextmanager
async def raw(port: int, greeting: bytes = b"\r\n") -> AsyncIterator[Raw]:
    """Connect to a port of this machine, and read the greeting up to `greeting` (b"": do not)."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        client = Raw(sock)
        if greeting:
            await client.read(greeting)
        yield client
