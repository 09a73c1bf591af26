"""Stream: a message that is read while it is sent, so that its size costs no memory."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from asyncnet.daemon import in_daemon
from asyncnet.errors import NetError, UsageError
from asyncnet.smtp.content import CHUNK, Measure, message_id_in

Block = bytes | memoryview

_READ_BYTES = 1_048_576
"""Bytes of a file that are read at a stretch, in a thread; the hop there and back costs as much as reading 100 KiB."""


class Stream:
    """A file of bytes, or an asynchronous iterable, as the content of a message; can be sent once.

    Args:
        source: where the bytes come from.
        size: how many they are, or None if nobody has said so.

    Attributes:
        message_id: the Message-ID with its angle brackets, once the first bytes were read, or None.
    """

    def __init__(self, source: Any, size: int | None = None) -> None:
        self.message_id: str | None = None
        self._source = source
        self._size = size

    @property
    def whole(self) -> None:
        """Nothing: how much there is shows at the end."""

    async def measure(self) -> Measure:
        """Give the size so far as it is known; what is not read yet may be anything but ASCII."""
        size = self._size
        if size is None and hasattr(self._source, "read"):
            size = await in_daemon(lambda: _size_left(self._source))
        return Measure(size, False)

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Give the message in blocks of at most `CHUNK` bytes.

        Raises:
            UsageError: the source failed, or gave something else than bytes.
        """
        is_first = True
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if is_first:
                    is_first, self.message_id = False, message_id_in(piece[:CHUNK])
                view = memoryview(piece)
                for start in range(0, len(view), CHUNK):
                    yield view[start : start + CHUNK]

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        pieces = aiter(_read(self._source) if hasattr(self._source, "read") else self._source)
        while True:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except NetError:
                raise
            except Exception as error:  # else an OSError of the source would pass for one of the connection
                raise UsageError(f"the source of the message raised {type(error).__name__}") from error
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise UsageError(f"the source of the message gave {type(piece).__name__}, not bytes")
            yield piece if isinstance(piece, bytes) else bytes(piece)


async def _read(file: Any) -> AsyncGenerator[bytes, None]:
    while block := await in_daemon(lambda: file.read(_READ_BYTES)):
        yield block


def _size_left(file: Any) -> int | None:
    """How many bytes a file has from where it stands on, or None if it cannot tell."""
    try:
        here = file.tell()
        end: int = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, AttributeError, ValueError, TypeError):
        return None
    return max(0, end - int(here))
