"""Lines: the URLs of a file or of standard input, one a line, read as they are asked for and never all at once."""

from __future__ import annotations

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
    async with Clerk() as clerk:
        descriptor = await clerk.do(lambda: _opened(path))  # a named pipe waits for somebody to write
        try:
            async for line in _split(clerk, descriptor, path):
                yield line
        finally:
            if path != "-":
                os.close(descriptor)


async def _split(clerk: Clerk, descriptor: int, path: str) -> AsyncGenerator[str, None]:
    rest = b""
    while piece := await clerk.do(lambda: _read(descriptor, path)):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if text := _wanted(line):
                yield text
        if len(rest) > _MAX_LINE_BYTES:
            raise UsageError(f"a line of more than {_MAX_LINE_BYTES} bytes in {path}: is it a list of URLs?")
    if text := _wanted(rest):
        yield text


def _wanted(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return "" if text.startswith("#") else text


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
