"""Partial: a file on its way to the disk. `name.part` grows; `name.part.etag` says of which version its bytes are.

All of it blocks, so it runs in daemon threads; the order of the steps is such that whoever is killed between two of
them leaves either a part that can be continued or one that is begun again, never a mixture.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asyncnet.daemon import in_daemon
from asyncnet.errors import UsageError
from asyncnet.http.ranges import Kept, strong_etag

if TYPE_CHECKING:
    from hashlib import _Hash

T = TypeVar("T")

_READ_BYTES = 1024 * 1024
_MAX_NOTE_BYTES = 4096

_MAX_VECTOR = 1024
"""Pieces that one call may write: Linux's IOV_MAX."""


class Partial:
    """The part of one file, open and locked.

    Args:
        path: where the whole file shall be.
        source: what its bytes belong to: parts of another URL are not continued.
        is_hashed: whether its SHA-256 is taken as it grows.

    Attributes:
        size: how many bytes it has.
    """

    def __init__(self, path: Path, source: str, *, is_hashed: bool) -> None:
        self.path = path
        self.size = 0
        self._part = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.etag")
        self._source = hashlib.sha256(source.encode()).hexdigest()  # a URL may hold a secret
        self._hash: _Hash | None = hashlib.sha256() if is_hashed else None
        self._file: Any = None  # io.FileIO, while it is open
        self._lock = threading.Lock()
        self._closed = False
        self._version: tuple[str, int | None] | None = None  # ETag and whole size; None: it cannot be continued
        self._finished = False

    @property
    def kept(self) -> Kept | None:
        """What can be continued, or None."""
        return Kept(self.size, *self._version) if self._version is not None and self.size else None

    async def open(self) -> None:
        """Open and lock it, and see what is there.

        Raises:
            OSError: the folder is not there, or may not be written.
            UsageError: the path is a folder, or another download is writing there.
        """
        await self._run(self._open)

    def _open(self) -> None:
        if self.path.is_dir():
            raise UsageError(f"{self.path} is a folder; a download goes to a file")
        self._file = _opened(self._part)
        size = os.fstat(self._file.fileno()).st_size
        version = self._noted() if size else None
        if version is None:
            self._empty()
        else:
            self._version, self.size = version, size

    def _noted(self) -> tuple[str, int | None] | None:
        try:
            with open(self._note, "rb") as file:
                note = json.loads(file.read(_MAX_NOTE_BYTES))
            etag, total, source = note["etag"], note["total"], note["source"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        is_sound = isinstance(etag, str) and strong_etag({"ETag": etag}) == etag and isinstance(total, int | None)
        return (etag, total) if is_sound and source == self._source else None

    async def restart(self, etag: str | None, total: int | None) -> None:
        """Begin at the first byte, of the version that `etag` names; None if it could not be continued later."""

        def restart() -> None:
            self._empty()
            if etag is not None:
                note = {"etag": etag, "total": total, "source": self._source}
                self._note.write_text(json.dumps(note), encoding="ascii")
                self._version = (etag, total)

        await self._run(restart)

    def _empty(self) -> None:
        # The note goes first: a part without one is begun again.
        self._note.unlink(missing_ok=True)
        self._file.truncate(0)
        self._version, self.size = None, 0
        if self._hash is not None:
            self._hash = hashlib.sha256()

    async def digest_kept(self) -> None:
        """Take what is there into the SHA-256, where one is asked for."""
        if self._hash is None:
            return
        digest = self._hash = hashlib.sha256()
        self._file.seek(0)

        def step() -> bool:  # one MiB at a time, so that whoever gives up is not waited for
            block = self._file.read(_READ_BYTES)
            digest.update(block)
            return bool(block)

        while await self._run(step):
            pass

    async def append(self, pieces: list[bytes]) -> None:
        """Write the pieces behind what is there.

        Raises:
            OSError: the disk is full or broken.
        """
        await self._run(lambda: self._append(pieces))

    def _append(self, pieces: list[bytes]) -> None:
        # All in one call where the system can: each call would wait for the loop's thread to let it go on.
        rest = [memoryview(piece) for piece in pieces]
        while rest:
            written = _written(self._file.fileno(), rest[:_MAX_VECTOR])
            self.size += written
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]
        if self._hash is not None:
            for piece in pieces:
                self._hash.update(piece)

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of all bytes so far, in hex; None where none is asked for."""
        return None if self._hash is None else self._hash.hexdigest()

    async def finish(self) -> None:
        """Put the file in its place, at once and whole, and forget the note."""

        def finish() -> None:
            os.replace(self._part, self.path)
            self._note.unlink(missing_ok=True)
            self._finished = True

        await self._run(finish)

    async def discard(self) -> None:
        """Remove what cannot be trusted."""
        await self._run(self._empty)

    def close(self) -> None:
        """Close it; what cannot be continued is removed. A write that is under way ends first, in its own thread."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            self._release()
            self._lock.release()

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if not self._finished and (self._version is None or not self.size):
            for path in (self._note, self._part):
                with contextlib.suppress(OSError):
                    path.unlink()
        file.close()  # and with it goes the lock

    async def _run(self, step: Callable[[], T]) -> T:
        def run() -> T:
            with self._lock:
                try:
                    if self._closed:
                        raise OSError("the download was given up")
                    return step()
                finally:
                    if self._closed:
                        self._release()

        return await in_daemon(run)


def _written(descriptor: int, pieces: list[memoryview]) -> int:
    return os.writev(descriptor, pieces) if hasattr(os, "writev") else os.write(descriptor, pieces[0])


def _opened(path: Path) -> io.FileIO:
    """Open the part and lock it; links are not followed, for the folder may be everybody's."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        file = io.FileIO(os.open(path, flags, 0o666), "r+")
        try:
            _lock(file.fileno(), path)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # another download has just finished, or given it up: what we hold is not the part any more
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on this system: two downloads to one file are then the caller's care
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UsageError(f"another download is writing to {path}") from error
