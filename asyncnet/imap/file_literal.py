"""FileLiteral: a message on disk as an argument, read while it is sent, so that it takes no memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import BinaryIO

from asyncnet.daemon import in_daemon
from asyncnet.errors import UsageError
from asyncnet.imap.line_ends import with_crlf

_BLOCK_BYTES = 256 * 1024


class FileLiteral:
    """The bytes of a file, with CRLF for every line end.

    Args:
        path: which file.
        size: how many bytes that are, line ends counted as they are sent.
    """

    __slots__ = ("_path", "_size")

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def __len__(self) -> int:
        """How many bytes will be sent."""
        return self._size

    @classmethod
    async def of(cls, path: Path) -> FileLiteral:
        """Look through a file, in a thread.

        Raises:
            OSError: it cannot be read.
            UsageError: a NUL in it.
        """
        return cls(path, await in_daemon(lambda: _measured(path)))

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Give its bytes, read in a thread.

        Raises:
            UsageError: the file is not what it was when it was looked through, or cannot be read any more.
        """
        left = self._size
        try:
            # Not in a thread: there, a cancellation would lose the open file.
            with open(self._path, "rb") as file:  # noqa: ASYNC230
                converted = _blocks(file)
                while (block := await in_daemon(lambda: next(converted, None))) is not None:
                    left -= len(block)
                    if left < 0:
                        break
                    yield block
        except OSError as error:
            raise UsageError("the file could not be read to its end", operation="APPEND") from error
        if left:
            raise UsageError("the file changed while it was being sent", operation="APPEND")


def _measured(path: Path) -> int:
    size = 0
    with open(path, "rb") as file:
        for block in _blocks(file):
            if b"\0" in block:
                raise UsageError("a NUL in the message, which IMAP cannot carry", operation="APPEND")
            size += len(block)
    return size


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    held = b""  # a CR at the end of a block: what it is depends on the next
    while block := file.read(_BLOCK_BYTES):
        block = held + block
        held = b"\r" if block.endswith(b"\r") else b""
        yield with_crlf(block[: len(block) - len(held)])
    if held:
        yield b"\r\n"
