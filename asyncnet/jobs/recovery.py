"""Recovery: what the logs of a journal say after a crash, line by line. It changes no log, but removes torn files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncnet.jobs.ledger import Ledger

_logger = logging.getLogger(__name__)

ASKED, BEGAN, ENDED, COMMITTED, PLACED = range(5)
_LENGTHS = {ASKED: (3, 3), BEGAN: (3, 3), ENDED: (7, 10), COMMITTED: (2, 2), PLACED: (4, 4)}


@dataclass(slots=True)
class Lost:
    """A job whose end nobody knows and that must not be done again.

    Args:
        key: its key.
        name: how it is shown.
        attempts: how often it was begun.
    """

    key: int
    name: str
    attempts: int = 1


@dataclass(slots=True)
class Recovery:
    """What is known after a crash.

    Args:
        unfinished: key -> name of what was asked for and has not ended, and can be done again.
        lost: what cannot.
        lines: log -> the whole lines of it, for what stands behind them is of no meaning.
        position: how long the output was when the last job ended that counts.
    """

    unfinished: dict[int, str] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    lines: dict[int, bytes] = field(default_factory=dict)
    position: int = 0


def recovered(ledger: Ledger, logs: list[int], length: int | None) -> Recovery:
    """Read the logs that are not merged.

    Args:
        ledger: whose they are.
        logs: their numbers, oldest first.
        length: of the output now, in bytes; None where there is none. After a power cut it may have lost what the logs
            say it holds: what ended behind its end has not.
    """
    found = Recovery(position=ledger.position)
    reading = _Reading(found, length)
    for number in logs:
        found.lines[number] = reading.read(ledger.log(number).read_bytes(), number)
    reading.conclude()
    return found


class _Reading:
    """The state of all jobs, event by event."""

    def __init__(self, found: Recovery, length: int | None) -> None:
        self._found = found
        self._length = length
        self._names: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._committed: set[int] = set()
        self._placed: dict[int, list[tuple[str, int]]] = {}
        self._ended: set[int] = set()

    def read(self, data: bytes, number: int) -> bytes:
        """Read a log; gives the lines that count."""
        kept: list[bytes] = []
        lines = data.split(b"\n")
        torn = lines.pop()  # what was under way when the process was killed
        for at, line in enumerate(lines):
            event = _event(line)
            if event is None:  # the power was cut, and a part of the log never came to the disk
                _logger.warning("line %d of log.%d is damaged: what follows it is taken for not happened", at, number)
                break
            if self._take(event):
                kept.append(line + b"\n")
        if torn:
            _logger.info("log.%d ends in %d bytes of a line that was not written to its end", number, len(torn))
        return b"".join(kept)

    def _take(self, event: list[Any]) -> bool:
        kind, key = event[0], event[1]
        if kind == ASKED:
            if key not in self._ended:
                self._names.setdefault(key, event[2])
        elif kind == BEGAN:
            self._attempts[key] = event[2]
        elif kind == COMMITTED:
            self._committed.add(key)
        elif kind == PLACED:
            self._placed.setdefault(key, []).append((event[2], event[3]))
        elif self._length is not None and event[6] > self._length:
            return False
        else:
            self._found.position = max(self._found.position, event[6])
            self._end(key)
        return True

    def _end(self, key: int) -> None:
        self._ended.add(key)
        self._names.pop(key, None)
        self._attempts.pop(key, None)
        self._placed.pop(key, None)
        self._committed.discard(key)

    def conclude(self) -> None:
        """Tell apart what can be done again, and remove the files of what has not ended."""
        for key, name in self._names.items():
            if key in self._committed:
                self._found.lost.append(Lost(key, name, self._attempts.get(key, 1)))
            else:
                self._found.unfinished[key] = name
        for places in self._placed.values():
            for path, inode in places:
                _remove(path, inode)


def _remove(path: str, inode: int) -> None:
    """Remove a file that was put there for a job that has not ended; not one of that name that is another's."""
    with contextlib.suppress(OSError):
        if os.stat(path, follow_symlinks=False).st_ino == inode:
            os.unlink(path)


def _event(line: bytes) -> list[Any] | None:
    """Read a line; None if it is none of ours."""
    try:
        event = json.loads(line)
        shortest, longest = _LENGTHS[event[0]]
    except (ValueError, LookupError, TypeError):
        return None
    if not isinstance(event, list) or not shortest <= len(event) <= longest or not isinstance(event[1], int):
        return None
    return event
