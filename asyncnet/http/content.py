"""Content: the body of a request, whole or in pieces, sent once or, where that can be done, again."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import secrets
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import BinaryIO, cast

from asyncnet.daemon import in_daemon
from asyncnet.errors import UsageError, printable

Source = str | bytes | bytearray | memoryview | BinaryIO | AsyncIterable[bytes]
"""text (sent as UTF-8), bytes, a file opened for reading bytes, or an async iterable of bytes"""

Part = Source | tuple[str | None, Source] | tuple[str | None, Source, str]
"""a source, or (filename or None, source[, media type])"""

Parts = Mapping[str, Part] | Iterable[tuple[str, Part]]

_PIECE_BYTES = 262_144
_WHOLE_BYTES = 262_144
"""Up to here a body of bytes is handed over in one piece."""

_SETTLE_TURNS = 100
"""Turns of the loop that a source of the caller's has to take note of its cancellation."""


class Content:
    """A body in the order in which its pieces are sent.

    Args:
        sources: bytes, files and async iterables.
        media_type: its Content-Type, or None.
    """

    __slots__ = ("_begun", "_iterators", "_lock", "_pending", "_places", "failure", "media_type", "size", "sources")

    def __init__(self, sources: list[bytes | BinaryIO | AsyncIterable[bytes]], media_type: str | None) -> None:
        self.sources = sources
        self.media_type = media_type
        self.failure: BaseException | None = None
        self._places = [_place(source) for source in sources]
        sizes = [size for _, size in self._places]
        self.size: int | None = None if None in sizes else sum(cast("list[int]", sizes))
        self._begun = False
        self._pending = False
        self._lock = threading.Lock()
        self._iterators: list[AsyncIterator[bytes]] = []

    @property
    def can_be_sent(self) -> bool:
        """Whether it can be sent (again): bytes and seekable files always, anything else once."""
        return not self._begun or all(start is not None for start, _ in self._places)

    def payload(self) -> bytes | AsyncIterable[bytes]:
        """Give what aiohttp sends: the bytes, or the pieces from the beginning."""
        self._begun = True
        self.failure = None
        if all(isinstance(source, bytes) for source in self.sources) and (self.size or 0) <= _WHOLE_BYTES:
            return b"".join(cast("list[bytes]", self.sources))
        return _Pieces(self)

    async def settle(self) -> None:
        """Wait until whoever was sending has stopped; some turns of the loop."""
        for _ in range(_SETTLE_TURNS):
            if not self._pending:
                break
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """End the caller's iterators that were begun, once whoever was sending from them has stopped."""
        await self.settle()
        iterators, self._iterators = self._iterators, []
        for iterator in iterators:
            close = getattr(iterator, "aclose", None)
            if close is not None and not self._pending:
                await close()


class _Pieces:
    """The pieces of a Content, one by one. Not a generator: given up in the middle, it leaves nothing to finalise."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._number = 0
        self._offset = 0
        self._iterator: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        content = self._content
        content._pending = True
        try:
            while self._number < len(content.sources):
                piece = await self._next_of(self._number)
                if piece:
                    self._offset += len(piece)
                    return piece
                self._number, self._offset, self._iterator = self._number + 1, 0, None
            raise StopAsyncIteration
        except StopAsyncIteration:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # it is the source that was cancelled, not who sends
                content.failure = UsageError("the body's source was cancelled")
                content.failure.__cause__ = error
            raise
        except BaseException as error:
            content.failure = error  # aiohttp reports it as a lost connection; the caller hears the truth
            raise
        finally:
            content._pending = False

    async def _next_of(self, number: int) -> bytes:
        source = self._content.sources[number]
        start, size = self._content._places[number]
        if isinstance(source, bytes):
            return source[self._offset : self._offset + _PIECE_BYTES]
        if isinstance(source, AsyncIterable):
            return await self._iterated(source)
        return await self._read(source, start, size)

    async def _iterated(self, source: AsyncIterable[bytes]) -> bytes:
        if self._iterator is None:
            self._iterator = aiter(source)
            self._content._iterators.append(self._iterator)
        while True:
            try:
                piece = await anext(self._iterator)
            except StopAsyncIteration:
                return b""
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise UsageError(f"the body's iterable gave {type(piece).__name__}, not bytes")
            if piece := bytes(piece):
                return piece

    async def _read(self, file: BinaryIO, start: int | None, size: int | None) -> bytes:
        wanted = _PIECE_BYTES if size is None else min(_PIECE_BYTES, size - self._offset)
        if not wanted:
            return b""
        place = None if start is None else start + self._offset

        def read() -> bytes:
            # An earlier sending may have left a read behind: one at a time, and each at a place of its own.
            with self._content._lock:
                if place is not None:
                    file.seek(place)
                return file.read(wanted)

        piece = await in_daemon(read)
        if not isinstance(piece, bytes):
            raise UsageError("the file is not open for bytes; open it with mode 'rb'")
        if size is not None and len(piece) > wanted:  # beyond the length, the rest would pass for the next request
            raise UsageError(f"the file gave {len(piece)} bytes where {wanted} were asked for")
        if size is not None and not piece:
            raise UsageError(f"the file became shorter while it was sent: {self._offset} of {size} bytes")
        return piece


def content_of(
    *, form: str | None = None, json_value: object = None, body: Source | None = None, parts: Parts | None = None
) -> Content | None:
    """Make the body of a request from the one argument that is given; None from none.

    Args:
        form: fields, already encoded.
        json_value: anything `json.dumps` takes.
        body: the bytes themselves.
        parts: `multipart/form-data` (RFC 7578).

    Raises:
        UsageError: more than one, or one that cannot be sent.
    """
    given = [value for value in (form, json_value, body, parts) if value is not None]
    if len(given) > 1:
        raise UsageError("one of form, json, body and parts, not several")
    if form is not None:
        return Content([form.encode("ascii")], "application/x-www-form-urlencoded")
    if json_value is not None:
        return Content([_as_json(json_value)], "application/json")
    if body is not None:
        return Content([_source(body)], "text/plain; charset=utf-8" if isinstance(body, str) else None)
    return None if parts is None else _multipart(parts)


def _as_json(value: object) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not to be written as JSON: {printable(str(error))}") from error


def _source(given: Source) -> bytes | BinaryIO | AsyncIterable[bytes]:
    if isinstance(given, str):
        try:
            return given.encode()
        except UnicodeEncodeError as error:
            raise UsageError("half a surrogate pair in the body") from error
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)  # a copy of what can change: it may still be on its way when the caller reuses it
    if isinstance(given, AsyncIterable) or callable(getattr(given, "read", None)):
        return given
    raise UsageError(f"a body is bytes, str, a file or an async iterable of bytes, not {type(given).__name__}")


def _place(source: bytes | BinaryIO | AsyncIterable[bytes]) -> tuple[int | None, int | None]:
    """Where the source begins, or None if it cannot be read twice; how long it is, or None if nobody knows."""
    if isinstance(source, bytes):
        return 0, len(source)
    if isinstance(source, AsyncIterable):
        return None, None
    try:
        start = source.tell()
        end = source.seek(0, os.SEEK_END)
        source.seek(start)
    except (OSError, AttributeError, ValueError):  # a pipe, or something that only reads
        return None, None
    return start, max(0, end - start)


def _multipart(parts: Parts) -> Content:
    boundary = secrets.token_hex(16)
    sources: list[bytes | BinaryIO | AsyncIterable[bytes]] = []
    for name, part in parts.items() if isinstance(parts, Mapping) else parts:
        sources += [f"--{boundary}\r\n{_part_header(name, part)}\r\n\r\n".encode(), _part_source(part), b"\r\n"]
    sources.append(f"--{boundary}--\r\n".encode())
    return Content(sources, f"multipart/form-data; boundary={boundary}")


def _part_source(part: Part) -> bytes | BinaryIO | AsyncIterable[bytes]:
    if isinstance(part, tuple):
        if len(part) not in (2, 3):
            raise UsageError("a part is a source, (filename, source) or (filename, source, media type)")
        return _source(part[1])
    return _source(part)


def _part_header(name: str, part: Part) -> str:
    filename: str | None = None
    media_type: str | None = None
    if isinstance(part, tuple):
        filename = part[0]
        media_type = part[2] if len(part) == 3 else None
    elif not isinstance(part, (str, bytes, bytearray, memoryview)):
        path = getattr(part, "name", None)
        filename = os.path.basename(path) if isinstance(path, str) else None
    header = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        header += f'; filename="{_quoted(filename)}"'
        media_type = media_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    return header if media_type is None else f"{header}\r\nContent-Type: {_checked(media_type)}"


def _quoted(text: str) -> str:
    # As browsers do it (RFC 7578 §4.2 leaves it open): UTF-8, and a quote as %22.
    return _checked(text).replace('"', "%22")


def _checked(text: str) -> str:
    if not isinstance(text, str) or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise UsageError("a control character in the name, filename or media type of a part")
    return text
