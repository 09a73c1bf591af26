"""Outputs: observers that keep outcomes: as JSON lines, as rows of sqlite, with or without files beside them.

An output is written in the loop, as outcomes come, into the system's cache: that takes microseconds, and is what lets
a Journal say that an outcome is kept. It outlives the process at once, and the power when the run has ended (or the
journal was merged).
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from abc import ABC, abstractmethod
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncnet.daemon import in_daemon
from asyncnet.errors import ClosedError, UsageError
from asyncnet.jobs.folder import Placing
from asyncnet.jobs.job import Outcome
from asyncnet.jobs.observer import Recorder
from asyncnet.jobs.records import content, is_response, json_line, line, record
from asyncnet.jobs.saving import Saver

if TYPE_CHECKING:
    from asyncnet.jobs.job import Job


_number = struct.Struct(">q").unpack


def hashed(key: str) -> int:
    """Give the 64 bits that a job is known by on disk; they are a number of sqlite's, which has a sign."""
    made: int = _number(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest())[0]
    return made


_MAX_NOTED_BYTES = 65_536
"""Lines that are noted and not written: more are written at once, for a single one may be megabytes."""


class Output(Recorder, ABC):
    """What keeps outcomes; given to a run as an observer, or to a Journal, which then writes it.

    Attributes:
        position: how long it is, in bytes, once it is settled; 0 where it is not cut back.
    """

    position: int = 0

    @abstractmethod
    def put(self, key: int, outcome: Outcome[Any], placing: Placing | None = None) -> None:
        """Keep an outcome: write it, at the latest when it is told to `settle`.

        Args:
            key: of its job, `hashed`.
            outcome: what came of it.
            placing: told of each file before it gets its name.

        Raises:
            OSError: it could not be written.
        """

    def start(self) -> None:
        """Begin it.

        Raises:
            UsageError: it holds something already.
        """

    def recover(self, position: int) -> None:
        """Be as long as it was at `position`: what came after it was not journalled. Blocking.

        Raises:
            UsageError: it is shorter than that, so it is another one.
        """

    def sync(self) -> None:
        """Bring it to the disk. Blocking."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def note(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Keep the outcome."""
        self.put(hashed(job.key), outcome)

    async def aclose(self) -> None:
        """Bring it to the disk, and let go of it."""
        try:
            self.settle()
            await in_daemon(self.sync)
        finally:
            self.close()


class JsonLines(Output):
    """Outcomes as lines of JSON (see `asyncnet.jobs.record`), in the order in which they ended.

    Args:
        path: the file. Without a journal it is not written into a file that holds something.
        files: where bodies and messages are saved; None puts them into the lines.
        descriptor: an open file to write to instead; it is not closed.

    Raises:
        UsageError: it cannot be written, or holds something and is not a journal's (told when the first line comes).
    """

    def __init__(self, path: str | os.PathLike[str], *, files: Saver | None = None, descriptor: int = -1) -> None:
        self._path = Path(path)
        self._files = files
        self._owned = descriptor < 0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o666) if self._owned else descriptor
            self.position = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise UsageError(f"cannot write into {path}: {error.strerror}") from error
        self._started = False
        self._noted: list[bytes] = []
        self._noted_bytes = 0
        self._is_torn = False

    def start(self) -> None:
        """Refuse a file that holds something; what is written to a descriptor follows what is there."""
        if self.position and self._owned:
            raise UsageError(f"there is something in {self._path} already; only a journal that resumes goes on with it")
        self._started = True

    def note(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Make a line; a key is of no use here."""
        self.put(0, outcome)

    def put(self, key: int, outcome: Outcome[Any], placing: Placing | None = None) -> None:
        """Make a line, which is written with the next ones."""
        if not self._started:
            self.start()
        made = line(outcome, None if self._files is None else self._files.save(outcome, placing))
        if self._descriptor < 0:
            raise ClosedError("the output was closed")
        self._noted.append(made)
        self.position += len(made)
        self._noted_bytes += len(made)
        if self._noted_bytes > _MAX_NOTED_BYTES:
            self.settle()

    def settle(self) -> None:
        """Write the lines; after an error no more are written, and a journal that resumes cuts the torn one off."""
        if self._is_torn:
            raise OSError(errno.EIO, "the output could not be written", str(self._path))
        if not self._noted:
            return
        made = b"".join(self._noted)
        self._noted.clear()
        self._noted_bytes = 0
        self._is_torn = True
        written = os.write(self._descriptor, made)
        while written < len(made):
            written += os.write(self._descriptor, memoryview(made)[written:])
        self._is_torn = False

    def recover(self, position: int) -> None:
        """Cut it back."""
        if self.position < position:
            what = "standard output" if not self._owned else str(self._path)
            raise UsageError(f"{what} is shorter ({self.position} bytes) than the journal says ({position}): another?")
        os.ftruncate(self._descriptor, position)
        self.position = os.lseek(self._descriptor, position, os.SEEK_SET)
        self._started = True
        if self._files is not None:
            self._files.sweep()

    def sync(self) -> None:
        """Bring it to the disk."""
        if self._descriptor >= 0:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of it; twice is once."""
        if self._owned and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (key INTEGER PRIMARY KEY, url TEXT NOT NULL, ok INTEGER NOT NULL, status INTEGER,
    attempts INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT, record TEXT NOT NULL, body BLOB);
"""


class Sqlite(Output):
    """Outcomes as rows of the table `outcomes`, by their keys: a job that is done again takes the place of its row.

    Bodies of http and bytes stand in `body`, all else in `record` as JSON. Each outcome is a transaction of its own,
    which costs about 20 microseconds.

    Args:
        path: the database; made if it is not there.
        files: where bodies and messages are saved; None puts them into the rows.

    Raises:
        UsageError: it is no such database, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, files: Saver | None = None) -> None:
        import sqlite3  # which no other output needs

        self._files = files
        self._error = sqlite3.Error
        try:
            with contextlib.ExitStack() as undone:
                self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                undone.callback(self._database.close)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = NORMAL")
                self._database.executescript(_SCHEMA)
                undone.pop_all()
        except sqlite3.Error as error:
            raise UsageError(f"cannot write into {path}: {error}") from error

    def put(self, key: int, outcome: Outcome[Any], placing: Placing | None = None) -> None:
        """Write a row."""
        files = None if self._files is None else self._files.save(outcome, placing)
        made = record(outcome, files)
        value: Any = outcome.value
        body = value.body if is_response(value) else value if isinstance(value, bytes) else None
        if files is not None:
            body = None
        if body is not None:
            for name in content(body):
                made.pop(name, None)
        error = made.get("error", {}).get("type")
        row = (key, outcome.name, outcome.ok, made.get("status"), outcome.attempts, outcome.seconds, error)
        self._write(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, json_line(made)[:-1], body)
        )

    def recover(self, position: int) -> None:
        """Sweep the files; a row that was not journalled is written over when its job is done again."""
        if self._files is not None:
            self._files.sweep()

    def sync(self) -> None:
        """Bring it to the disk."""
        self._write("PRAGMA wal_checkpoint(FULL)")

    def _write(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._database.execute(statement, values)
        except self._error as error:
            raise OSError(5, f"the outcomes cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of it; twice is once."""
        self._database.close()
