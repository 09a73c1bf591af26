"""saving: a message on its way into a file, with constant memory. Blocks, in the session's thread.

A file is whole or not there: it is written beside its place, brought to the disk, and put there in one step.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from asyncnet.errors import ProtocolError, UsageError
from asyncnet.pop3.wire import Wire
from asyncnet.translation import described

Path = str | os.PathLike[str]


class Sink(Protocol):
    """Whatever takes bytes: a file opened with "wb", a hash behind a function of that name."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`; may block."""


class NotSaved(Exception):
    """The sink raised, in mid-message; private to the wing, so that a full disk is not taken for a lost line.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def save(wire: Wire, number: int, target: Path | Sink, max_bytes: int) -> int:
    """Retrieve a message into `target`; gives its length.

    Raises:
        UsageError: there can be no such file; nothing was asked for.
        NotSaved: `target` did not take it.
        Exception: as `Wire.retrieve_to`.
    """
    if not isinstance(target, (str, os.PathLike)):
        return _pour(wire, number, target.write, max_bytes)
    with _placed(os.fspath(target)) as write:
        return _pour(wire, number, write, max_bytes)


def _pour(wire: Wire, number: int, write: Callable[[bytes], object], max_bytes: int) -> int:
    def take(piece: bytes) -> None:
        try:
            write(piece)
        except Exception as error:
            raise NotSaved(error) from error

    announced, size = wire.retrieve_to(number, take, max_bytes)
    if announced and not size:
        raise ProtocolError(f"message {number} is of {announced} bytes, and came empty")
    return size


@contextlib.contextmanager
def _placed(path: str) -> Iterator[Callable[[bytes], object]]:
    import tempfile  # loads hashes and archives, which a session shall not pay for

    folder, name = os.path.split(path)
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(21, "a folder")
        # Mail is its owner's: mkstemp's file is for him alone to read.
        descriptor, beside = tempfile.mkstemp(dir=folder or ".", prefix=f".{name[:100]}.", suffix=".part")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write to {path}: {described(error)}", operation="RETR") from error
    try:
        with open(descriptor, "wb", buffering=0) as file:
            yield functools.partial(_write_all, file)
            _to_disk(file.fileno())
        with _failing():
            os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(folder)


def _write_all(file: io.FileIO, data: bytes) -> None:
    # Unbuffered: what a buffer could not write when the disk was full, its closing would try to write once more.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync_folder(folder: str) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _to_disk(descriptor: int) -> None:
    with _failing():
        os.fsync(descriptor)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotSaved(error) from error
