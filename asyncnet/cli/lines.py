"""Lines: the URLs of a file or of standard input, one a line, read as they are asked for and never all at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator

from asyncnet import UsageError
from asyncnet.cli.clerk import Clerk

_PIECE_BYTES = 65_536
_MAX_LINE_BYTES = 1 << 20


async def lines(path: str) -> AsyncGenerator[str, None]:
    """Give the lines of a file (`-`: standard input), without blank ones and those that begin with `#`.

    A line comes as soon as it is there: a pipe that stays open is followed.

    Raises:
        UsageError: there is no such file, it cannot be read, or a line of it has no end.
    """
    async with contextlib.aclosing(portions(path)) as found:
        async for portion in found:
            for line in portion:
                yield line


async def portions(path: str) -> AsyncGenerator[list[str], None]:
    """Give the same, as many at once as have come; errors are those of `lines`."""
    async with Clerk() as clerk:
        descriptor = await clerk.do(lambda: _opened(path))  # a named pipe waits for somebody to write
        try:
            async for portion in _split(clerk, descriptor, path):
                yield portion
        finally:
            if path != "-":
                os.close(descriptor)


async def _split(clerk: Clerk, descriptor: int, path: str) -> AsyncGenerator[list[str], None]:
    rest = b""
    while piece := await clerk.do(lambda: _read(descriptor, path)):
        whole, newline, piece = piece.rpartition(b"\n")
        if newline:
            yield _wanted(rest + whole)
            rest = b""
        rest += piece
        if len(rest) > _MAX_LINE_BYTES:
            raise UsageError(f"a line of more than {_MAX_LINE_BYTES} bytes in {path}: is it a list of URLs?")
    yield _wanted(rest)


def _wanted(lines: bytes) -> list[str]:
    texts = [line.strip() for line in lines.decode("utf-8", "replace").split("\n")]
    return [text for text in texts if text and not text.startswith("#")]


def _opened(path: str) -> int:
    if path == "-":
        return 0
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _read(descriptor: int, path: str) -> bytes:
    try:
        return os.read(descriptor, _PIECE_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
