"""A client by hand: lines out, whole responses in, on the standard library's streams alone."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from asyncnet.lab.lab import Lab
from tests.clock import MS

PATIENCE = 10_000 * MS
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")


class Raw:
    """One connection to the lab's IMAP server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._count = 0

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data if isinstance(data, bytes) else data.encode())
        await self.writer.drain()

    async def response(self) -> bytes:
        """One response with its literals; b"" where the server has left."""
        async with asyncio.timeout(PATIENCE):
            whole = line = await self._reader.readline()
            while (found := _LITERAL.search(line)) is not None:
                whole += await self._reader.readexactly(int(found[1]))
                line = await self._reader.readline()
                whole += line
            return whole

    async def ask(self, command: str | bytes) -> list[bytes]:
        """Send a command under a new tag; the responses until its end, each without its line end, the tag taken off."""
        self._count += 1
        tag = b"t%d " % self._count
        await self.send(tag + (command.encode() if isinstance(command, str) else command) + b"\r\n")
        return await self.until(tag)

    async def until(self, tag: bytes) -> list[bytes]:
        responses = []
        while True:
            response = await self.response()
            if not response:
                return [*responses, b"(the end)"]
            if response.startswith((tag, b"+")):
                return [*responses, response.removeprefix(tag).removesuffix(b"\r\n")]
            responses.append(response.removesuffix(b"\r\n"))

    async def ok(self, command: str | bytes) -> list[bytes]:
        """As `ask`, for a command that must be done; what came before its OK."""
        *told, last = await self.ask(command)
        assert last.startswith(b"OK "), last
        return told

    async def refused(self, command: str | bytes) -> bytes:
        """As `ask`, for a command that must fail and tell nothing; the line that says so."""
        told = await self.ask(command)
        assert len(told) == 1, told
        assert told[0].startswith((b"NO ", b"BAD ")), told
        return told[0]


async def until(condition: Callable[[], object]) -> None:
    """Look again and again, until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (nothing tells of a server's inner life)
            await asyncio.sleep(MS)


@asynccontextmanager
async def connected(lab: Lab, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """A connection that has been greeted."""
    port = lab.imap.port if tls is None else lab.imap.tls_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        raw = Raw(reader, writer)
        assert (await raw.response()).startswith(b"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 ")
        yield raw
    finally:
        writer.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


@asynccontextmanager
async def signed_in(lab: Lab, username: str = "me", secret: str = "secret") -> AsyncIterator[Raw]:
    async with connected(lab) as raw:
        await raw.ok(f"LOGIN {username} {secret}")
        yield raw


@asynccontextmanager
async def opened(lab: Lab, name: str = "INBOX", command: str = "SELECT") -> AsyncIterator[Raw]:
    """INBOX, opened."""
    async with signed_in(lab) as raw:
        await raw.ok(f'{command} "{name}"')
        yield raw
