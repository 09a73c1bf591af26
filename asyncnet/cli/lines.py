"""Lines: the URLs of a file or of standard input, one a line, read as they are asked for and never all at once."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

from asyncnet import UsageError
from asyncnet.cli.clerk import Clerk

_PIECE_BYTES = 65_536
_MAX_LINE_BYTES = 1 << 20


Line = tuple[int, str]
"""its number, from 1 on, and what stands in it"""


async def portions(path: str) -> AsyncGenerator[list[Line], None]:
    """Give the lines of a file (`-`: standard input), without blank ones and those that begin with `#`.

    They come as soon as they are there, as many at once as have come: a pipe that stays open is followed.

    Raises:
        UsageError: there is no such file, it cannot be read, or a line of it has no end.
    """
    async with Clerk() as clerk:
        descriptor = await clerk.do(lambda: _opened(path))  # a named pipe waits for somebody to write
        try:
            async for portion in _split(clerk, descriptor, path):
                yield portion
        finally:
            if path != "-":
                os.close(descriptor)


async def _split(clerk: Clerk, descriptor: int, path: str) -> AsyncGenerator[list[Line], None]:
    rest, number = b"", 1
    while piece := await clerk.do(lambda: _read(descriptor, path)):
        whole, newline, piece = piece.rpartition(b"\n")
        if newline:
            yield _wanted(rest + whole, number)
            rest, number = b"", number + whole.count(b"\n") + 1
        rest += piece
        if len(rest) > _MAX_LINE_BYTES:
            raise UsageError(f"a line of more than {_MAX_LINE_BYTES} bytes in {path}: is it a list of URLs?")
    if rest:
        yield _wanted(rest, number)


def _wanted(lines: bytes, first: int) -> list[Line]:
    texts = [line.strip() for line in lines.decode("utf-8", "replace").split("\n")]
    return [(number, text) for number, text in enumerate(texts, first) if text and not text.startswith("#")]


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
