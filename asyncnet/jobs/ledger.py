"""Ledger: the jobs of a journal that have ended, in sqlite: written in batches by a thread, asked by key in the loop.

    folder/
        lock           held by the one process that runs
        ledger.sqlite  what has ended: the view `jobs` shows it to people
        log.1 log.2    what has happened since, an event a line; a log that was merged is removed

A line of a log is a JSON array that begins with its kind and with the job's key, hashed to 64 bits:

    [0,key,name]                asked
    [1,key,attempt]             an attempt begins
    [2,key,name,ok,attempts,seconds,position,error,text,transient]    ended; `position` is the length of the output then
    [3,key]                     what must not be done twice is about to be sent
    [4,key,path,inode]          the file with this inode is about to get this name

A merge is a statement for a thousand lines at once, so that the thread hardly competes for the interpreter with the
loop: they lie in one row as they are, with their keys as 64-bit numbers beside them, which is what a run that goes on
reads. Blocking, but for `has` and `passes`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import itertools
import json
import os
import re
import sqlite3
from array import array
from collections.abc import Iterator
from pathlib import Path

from asyncnet.errors import UsageError

_LOG = re.compile(r"log\.(\d{1,9})", re.ASCII)
_CHUNK = 4096
_ROWS = 8
_PORTION = 1000
"""Lines of one row: whoever reads one of them reads all."""
_SORTED = 10_000
"""Keys that go into their tree at once, in their order: one walk over it, page by page."""
_FORMAT = 2
_MOST = 1 << 62
"""Numbers beyond this are none of ours, and nearly none of sqlite's."""
_MERGING_KIB, _ASKING_KIB = 1000, 200
"""Pages that sqlite keeps: of a tree of a million random keys next to none would be met again."""

# json_extract and not ->>, which sqlite has since 3.38: Python takes the system's, which may be older.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ended (number INTEGER PRIMARY KEY, keys BLOB NOT NULL, lines TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS known (key INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS merged
    (log INTEGER NOT NULL, position INTEGER NOT NULL, failed INTEGER NOT NULL, later INTEGER NOT NULL);
INSERT INTO merged SELECT 0, 0, 0, 0 WHERE NOT EXISTS (SELECT * FROM merged);
CREATE VIEW IF NOT EXISTS jobs AS SELECT ended.number * 1000 + key AS number,
    json_extract(value, '$[2]') AS name,
    CASE json_extract(value, '$[3]') WHEN 1 THEN 'done' ELSE 'failed' END AS state,
    json_extract(value, '$[4]') AS attempts, json_extract(value, '$[5]') AS seconds,
    json_extract(value, '$[7]') AS error, json_extract(value, '$[8]') AS text, json_extract(value, '$[9]') AS transient
    FROM ended, json_each('[' || rtrim(replace(lines, char(10), ','), ',') || ']');
"""
_ENDED = "INSERT INTO ended (keys, lines) VALUES (?, ?)"
_KNOWN = "INSERT OR IGNORE INTO known SELECT value FROM json_each(?)"
_MERGED = "UPDATE merged SET log = ?, position = max(position, ?), failed = failed + ?, later = later + ?"


class Ledger:
    """The folder of a journal, taken by this process alone.

    Args:
        folder: made, for its owner alone, if it is not there.

    Raises:
        UsageError: another process has it, it cannot be used, or a newer asyncnet has written it.

    What cannot be read or written later on is an OSError, whichever method meets it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = _locked(folder)
        with contextlib.ExitStack() as undone:
            undone.callback(os.close, self._lock)
            try:
                self._asking = self._connected(_ASKING_KIB)
                undone.callback(self._asking.close)
                self._asking.executescript(_SCHEMA)
                found = self._asking.execute("PRAGMA user_version").fetchone()[0]
                if found not in (0, _FORMAT):
                    raise UsageError(f"a journal of another version of asyncnet: {folder}")
                self._asking.execute(f"PRAGMA user_version = {_FORMAT}")
            except sqlite3.Error as error:
                raise UsageError(f"the journal cannot be used: {folder}: {error}") from error
            undone.pop_all()
        self._ahead: set[int] = set()
        self._walked = -1

    def _connected(self, cache_kib: int) -> sqlite3.Connection:
        made = sqlite3.connect(self.folder / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        try:
            for setting in ("journal_mode = WAL", "synchronous = FULL", f"cache_size = -{cache_kib}"):
                made.execute(f"PRAGMA {setting}")
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Give the folder free."""
        if self._lock >= 0:
            self._asking.close()
            os.close(self._lock)
            self._lock = -1

    # Logs.

    def log(self, number: int) -> Path:
        """Where a log lies."""
        return self.folder / f"log.{number}"

    def logs(self) -> list[int]:
        """Give the numbers of the logs that are not merged, oldest first; those that are merged are removed."""
        merged = self.last_log
        found = sorted(int(match[1]) for name in os.listdir(self.folder) if (match := _LOG.fullmatch(name)))
        for number in found:
            if number <= merged:
                self.log(number).unlink()
        return [number for number in found if number > merged]

    @property
    def last_log(self) -> int:
        """The number of the last log that was merged; 0 if none was."""
        return self._numbers("SELECT log FROM merged")[0]

    @property
    def position(self) -> int:
        """How long the output was when the last job ended that is merged."""
        return self._numbers("SELECT position FROM merged")[0]

    @property
    def failures(self) -> tuple[int, int]:
        """How many have failed for good, and how many for now."""
        failed, later = self._numbers("SELECT failed, later FROM merged")
        return failed, later

    def merge(self, number: int, whole: bytes | None = None) -> None:
        """Take in what has ended by a log, and remove the log; a crash in between does no harm.

        Args:
            number: which log.
            whole: the whole lines in it; None reads it.
        """
        with _told(self.folder):
            self._merge(number, whole)
        self.log(number).unlink()

    def _merge(self, number: int, whole: bytes | None) -> None:
        position = failed = later = 0
        connection, fresh = self._connected(_MERGING_KIB), array("q")
        try:
            with self.log(number).open("rb") if whole is None else io.BytesIO(whole) as lines:
                connection.execute("BEGIN IMMEDIATE")
                ended = (line for line in lines if line.startswith(b"[2,"))
                while portion := list(itertools.islice(ended, _PORTION)):
                    text = b"".join(portion)
                    keys = array("q", [int(line[3 : line.index(b",", 3)]) for line in portion])
                    connection.execute(_ENDED, (keys.tobytes(), text.decode("ascii")))
                    fresh += keys
                    if len(fresh) >= _SORTED:
                        _know(connection, fresh)
                        fresh = array("q")
                    position = json.loads(portion[-1])[6]
                    failed += text.count(b'",0]\n')
                    later += text.count(b'",1]\n')
            _know(connection, fresh)
            connection.execute(_MERGED, (number, position, failed, later))
            connection.execute("COMMIT")
        finally:
            connection.close()

    # Keys.

    def _numbers(self, query: str) -> list[int]:
        """Give the numbers of the one row that there is."""
        with _told(self.folder):
            numbers = [int(number) for number in self._asking.execute(query).fetchone()]
            if not all(0 <= number < _MOST for number in numbers):
                raise ValueError("a number that is none of ours")
        return numbers

    def ended_keys(self) -> Iterator[int]:
        """Give the keys of all that has ended."""
        return itertools.chain.from_iterable(self._portions())

    def _portions(self) -> Iterator[array[int]]:
        with _told(self.folder):
            for (keys,) in self._asking.execute("SELECT keys FROM ended"):
                yield array("q", keys)

    def has(self, key: int) -> bool:
        """Whether this one has ended, by what is merged."""
        if self.passes(key):
            return True
        with _told(self.folder):
            return self._asking.execute("SELECT 1 FROM known WHERE key = ?", (key,)).fetchone() is not None

    def passes(self, key: int) -> bool:
        """Whether this is one of those that ended next, in an earlier run; once for each.

        A run that goes on asks for what has ended in about the order of its ending: so the next few thousand are held
        ready, for a search by key costs ten times as much.
        """
        if key in self._ahead:
            self._ahead.discard(key)
            if len(self._ahead) < _CHUNK:
                self._read_on()
            return True
        return False

    def walk(self) -> None:
        """Begin to hold ready what has ended, from its first on."""
        self._walked = 0
        self._read_on()

    def _read_on(self) -> None:
        if self._walked < 0:
            return
        query = "SELECT number, keys FROM ended WHERE number > ? ORDER BY number LIMIT ?"
        with _told(self.folder):
            found = self._asking.execute(query, (self._walked, _ROWS)).fetchall()
            self._walked = found[-1][0] if found else -1
            for _, keys in found:
                self._ahead.update(array("q", keys))


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Raise what sqlite raises as the failure of a disk, which it is: full, gone or damaged; and so what is no row."""
    try:
        yield
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        raise OSError(errno.EIO, f"the journal cannot be used: {error}", str(folder)) from error


def _know(connection: sqlite3.Connection, keys: array[int]) -> None:
    """Take in keys of what has ended."""
    connection.execute(_KNOWN, (str(sorted(keys)),))


def _locked(folder: Path) -> int:
    """Take the folder for this process; gives the descriptor that holds the lock."""
    lock = -1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        is_taken = lock >= 0 and error.errno in (errno.EAGAIN, errno.EACCES)
        why = "another process has the journal" if is_taken else f"the journal cannot be used: {error.strerror}"
        raise UsageError(f"{why}: {folder}") from error
    return lock
