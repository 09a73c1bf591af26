"""A server of one file that keeps to RFC 9110's ranges, or breaks them as a test says; raw, so that it may lie."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_PIECE = 65_536


@dataclass
class Asked:
    """One request: its fields, in lower case, and which one it was, from 0."""

    number: int
    fields: dict[str, str]

    @property
    def first(self) -> int | None:
        """Where the Range begins, or None."""
        found = re.fullmatch(r"bytes=(\d+)-", self.fields.get("range", ""))
        return int(found[1]) if found else None


@dataclass
class Reply:
    """What the server says: status line, fields, body; and whether it hangs up after `cut` bytes of the body."""

    status: str
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""
    cut: int | None = None
    is_silent: bool = False


Answering = Callable[[Asked], Reply]


class FileServer:
    """A file on 127.0.0.1; `asked` notes the requests.

    Args:
        content: the file.
        etag: its ETag, or None.
        cut: after how many bytes of a body to hang up, by the number of the request; None where it does not.
        answering: what to say in place of all that.
    """

    def __init__(
        self,
        content: bytes = b"",
        etag: str | None = '"1"',
        *,
        cut: Callable[[int], int | None] = lambda number: None,
        answering: Answering | None = None,
    ) -> None:
        self.content = content
        self.etag = etag
        self.cut = cut
        self.answering = answering or self.good
        self.asked: list[Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/file"

    @property
    def ranges(self) -> list[int | None]:
        return [asked.first for asked in self.asked]

    def good(self, asked: Asked) -> Reply:
        """Answer as it should be."""
        etag = {} if self.etag is None else {"ETag": self.etag}
        cut, size = self.cut(asked.number), len(self.content)
        if asked.first is None or asked.fields.get("if-range") != self.etag:
            return Reply("200 OK", {"Content-Length": str(size), **etag}, self.content, cut)
        if asked.first >= size:
            return Reply("416 Range Not Satisfiable", {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        return self.part(asked.first, size, cut, **etag)

    def part(self, first: int, end: int, cut: int | None = None, **fields: str) -> Reply:
        """Give a 206 of these bytes."""
        where = f"bytes {first}-{end - 1}/{len(self.content)}"
        body = memoryview(self.content)[first:end]
        head = {"Content-Range": where, "Content-Length": str(len(body)), "ETag": self.etag or "", **fields}
        return Reply("206 Partial Content", head, body, cut)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            if not writer.transport.is_closing():
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        asked = Asked(len(self.asked), fields)
        self.asked.append(asked)
        reply = self.answering(asked)
        head = "".join(f"{name}: {value}\r\n" for name, value in reply.fields.items() if value)
        writer.write(f"HTTP/1.1 {reply.status}\r\n{head}\r\n".encode("latin-1"))
        body = memoryview(reply.body)[: reply.cut]
        for start in range(0, len(body), _PIECE):
            writer.write(body[start : start + _PIECE])
            await writer.drain()
        if reply.is_silent:
            await asyncio.Event().wait()
        if reply.cut is None:
            return "Content-Length" in reply.fields
        writer.close()
        await writer.wait_closed()
        return False
