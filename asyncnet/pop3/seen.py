"""SeenFile: the unique-ids that were seen, in a file that a crash cannot spoil.

A line is a change: `+uid` or `-uid`, appended and brought to the disk. A line without its end is what a crash left,
and counts for nothing. When most lines are history, the file is written anew beside its place and put there in one
step. One process has it at a time, by a lock on the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from types import TracebackType

from asyncnet.daemon import in_daemon
from asyncnet.errors import ClosedError, UsageError
from asyncnet.pop3.reply import is_unique_id
from asyncnet.pop3.saving import Path, sync_folder
from asyncnet.translation import described

_SPARE_LINES = 1000
"""History below this is never worth writing the file anew."""


class SeenFile:
    """A set of unique-ids on disk; opened by `async with`. One file for each maildrop: the ids are the server's own.

    Args:
        path: where; it is made if it is not there, for its owner alone to read.

    Raises (on entry):
        UsageError: it cannot be opened, is held by another process, or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = os.path.abspath(path)
        self._uids: dict[str, None] = {}
        self._lines = 0
        self._descriptor = -1
        self._lock = threading.Lock()

    def __contains__(self, uid: object) -> bool:
        return uid in self._uids

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._uids))

    def __len__(self) -> int:
        return len(self._uids)

    async def add(self, *uids: str) -> None:
        """Remember these; when it returns they are on the disk, all of them by one write.

        Raises:
            UsageError: not a unique-id (RFC 1939 §7: visible ASCII).
            ClosedError: the file is not open.
            OSError: they could not be written; they are not remembered.

        Cancelled, it may or may not have remembered them.
        """
        for uid in uids:
            if not is_unique_id(uid):
                raise UsageError(f"not a unique-id: {uid!r}")
        await in_daemon(lambda: self._change(b"+", [uid for uid in uids if uid not in self._uids]))

    async def discard(self, *uids: str) -> None:
        """Forget these, if they are there; as `add` otherwise."""
        await in_daemon(lambda: self._change(b"-", [uid for uid in uids if uid in self._uids]))

    async def __aenter__(self) -> SeenFile:
        await in_daemon(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what it holds can still be looked at. Idempotent."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    # All below blocks, and runs in a thread.

    def _open(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                raise UsageError(f"open already: {self.path}")
            try:
                self._descriptor = _locked(self.path)
            except OSError as error:
                raise UsageError(f"cannot open {self.path}: {described(error)}") from error
            try:
                self._load()
            except BaseException:
                os.close(self._descriptor)
                self._descriptor = -1
                raise

    def _load(self) -> None:
        self._uids.clear()
        with open(self._descriptor, "rb", closefd=False) as file:
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        for line in lines:
            change, uid = line[:1], line[1:].decode("ascii", "replace")
            if change not in (b"+", b"-") or not is_unique_id(uid):
                raise UsageError(f"not a file of unique-ids: {self.path}")
            self._apply(change, uid)
        self._lines = len(lines)
        if len(whole) < len(data):
            os.ftruncate(self._descriptor, len(whole))

    def _change(self, change: bytes, uids: list[str]) -> None:
        with self._lock:
            if self._descriptor < 0:
                raise ClosedError(f"not open: {self.path}")
            if not uids:
                return
            _append(self._descriptor, b"".join(b"%b%b\n" % (change, uid.encode("ascii")) for uid in uids))
            for uid in uids:
                self._apply(change, uid)
            self._lines += len(uids)
            if self._lines > 2 * len(self._uids) + _SPARE_LINES:
                with contextlib.suppress(OSError):  # what was asked for is done; the history can wait for a better day
                    self._write_anew()

    def _apply(self, change: bytes, uid: str) -> None:
        if change == b"+":
            self._uids[uid] = None
        else:
            self._uids.pop(uid, None)

    def _write_anew(self) -> None:
        import tempfile  # loads hashes and archives, which a session shall not pay for

        folder, name = os.path.split(self.path)
        fresh, beside = tempfile.mkstemp(dir=folder, prefix=f".{name[:100]}.", suffix=".part")
        try:
            fcntl.flock(fresh, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before it has a name that others know
            _append(fresh, b"".join(b"+%b\n" % uid.encode("ascii") for uid in self._uids))
            os.replace(beside, self.path)
        except BaseException:
            os.close(fresh)
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        sync_folder(folder)
        os.close(self._descriptor)
        self._descriptor = fresh
        self._lines = len(self._uids)


def _append(descriptor: int, data: bytes) -> None:
    """Write all of it to the disk, or leave the file as it was."""
    before = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def _locked(path: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # written anew between opening and locking: this is the old one
