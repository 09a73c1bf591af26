"""Recovery: what the logs of a journal say after a crash, line by line. It changes no log, but removes torn files.

A log may have been damaged, by a power cut or by hand. A line that is none of ours may have told of an end, so the
output counts only as far as the last end before it, and what ended behind that is done again; unless it must not be.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncnet.jobs.ledger import Ledger

_logger = logging.getLogger(__name__)

ASKED, BEGAN, ENDED, COMMITTED, PLACED = range(5)
_MOST = 1 << 63
"""Numbers of sqlite's end below this."""

_HEAD = re.compile(rb"\[[0-4],-?\d{1,19}[],]")  # exactly as it is written, for a merge looks no closer
_NAMELESS = "a job whose line in the journal is damaged"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_flag(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 1


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


_DONE = (_is_text, _is_flag, _is_count, _is_time, _is_count)
_FAILED = (*_DONE, _is_text, _is_text, _is_flag)
_FIELDS: dict[int, tuple[Callable[[Any], bool], ...]] = {
    ASKED: (_is_text,),
    BEGAN: (_is_count,),
    COMMITTED: (),
    PLACED: (_is_text, _is_count),
}
"""what stands behind kind and key; of an end that depends on how it ended"""


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
        self._damaged = False

    def read(self, data: bytes, number: int) -> bytes:
        """Read a log; gives the lines that count."""
        kept: list[bytes] = []
        lines = data.split(b"\n")
        torn = lines.pop()  # what was under way when the process was killed
        for at, line in enumerate(lines):
            event = _event(line)
            if event is None:
                if not self._damaged:
                    _logger.warning(
                        "line %d of log.%d is damaged: what was kept in the output behind it is done again",
                        at + 1,
                        number,
                    )
                self._damaged = True
            elif self._take(event):
                kept.append(line + b"\n")
        if torn:
            _logger.info("log.%d ends in %d bytes of a line that was not written to its end", number, len(torn))
        return b"".join(kept)

    def _take(self, event: list[Any]) -> bool:
        kind, key = event[0], event[1]
        if kind != ENDED and key in self._ended:
            pass  # of a log that was edited
        elif kind == ASKED:
            self._names.setdefault(key, event[2])
        elif kind == BEGAN:
            self._attempts[key] = event[2]
        elif kind == COMMITTED:
            self._committed.add(key)
        elif kind == PLACED:
            self._placed.setdefault(key, []).append((event[2], event[3]))
        elif self._is_cut_off(event[6]):
            return False
        else:
            self._found.position = max(self._found.position, event[6])
            self._end(key)
        return True

    def _is_cut_off(self, position: int) -> bool:
        """Whether an end with so much output does not count."""
        if self._length is not None and position > self._length:
            return True
        return self._damaged and position > self._found.position

    def _end(self, key: int) -> None:
        self._ended.add(key)
        self._names.pop(key, None)
        self._attempts.pop(key, None)
        self._placed.pop(key, None)
        self._committed.discard(key)

    def conclude(self) -> None:
        """Tell apart what can be done again, and remove the files of what has not ended."""
        for key in sorted(self._committed - self._names.keys()):
            self._names[key] = _NAMELESS
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
    with contextlib.suppress(OSError, ValueError):  # a NUL in it, or half a surrogate pair
        if os.stat(path, follow_symlinks=False).st_ino == inode:
            os.unlink(path)


def _event(line: bytes) -> list[Any] | None:
    """Read a line; None if it is none of ours."""
    if not _HEAD.match(line) or not line.isascii():
        return None
    try:
        event: list[Any] = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kind, key, *rest = event
    fields = _FIELDS[kind] if kind != ENDED else _FAILED if len(rest) > len(_DONE) else _DONE
    if not -_MOST <= key < _MOST or len(rest) != len(fields):
        return None
    if not all(is_one(value) for is_one, value in zip(fields, rest, strict=True)):
        return None
    return None if kind == ENDED and rest[1] != (fields is _DONE) else event
