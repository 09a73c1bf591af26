"""Keeping: what `-o` names: a file of JSON lines, a database, a folder, a template of file names, a Maildir."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from typing import Any

from asyncnet import jobs

_LINES = (".jsonl", ".ndjson", ".json")
_DATABASES = (".sqlite", ".sqlite3", ".db")


@dataclass(frozen=True, slots=True)
class Target:
    """Where results go.

    Args:
        saver: what makes files of bodies and messages, or None.
        output: what keeps the outcomes, or None: they are printed.
        shown: how it is called in a row.
    """

    saver: jobs.Files | jobs.Maildir | None = None
    output: jobs.JsonLines | jobs.Sqlite | None = None
    shown: str = ""


def target(text: str | None) -> Target:
    """Read `-o`, and make what it names.

    Raises:
        UsageError: it cannot be written.
    """
    if text is None:
        return Target()
    suffix = os.path.splitext(text)[1].lower()
    if text.startswith("maildir:"):
        return Target(jobs.Maildir(text.removeprefix("maildir:")), shown=text)
    if "{" in text:
        folder, template = _split(text)
        return Target(jobs.Files(folder, template), shown=folder)
    if suffix in _LINES and not os.path.isdir(text):
        return Target(output=jobs.JsonLines(text))
    if suffix in _DATABASES and not os.path.isdir(text):
        return Target(output=jobs.Sqlite(text))
    return Target(jobs.Files(text), shown=text)


def _split(text: str) -> tuple[str, str]:
    """Part a template from the folder that it lies in."""
    parts = text.split("/")
    first = next(at for at, part in enumerate(parts) if "{" in part)
    return "/".join(parts[:first]) or ("/" if text.startswith("/") else "."), "/".join(parts[first:])


def journalled(made: Target) -> Target:
    """Give the target of a run with a journal: standard output, if it is a file, is kept in step as any other."""
    if made.output is not None or not _is_file():
        return made
    return Target(made.saver, jobs.JsonLines("standard output", files=made.saver, descriptor=1), made.shown)


def _is_file() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode) and sys.stdout.fileno() == 1
    except (OSError, ValueError):  # it is closed, or nothing of the system's
        return False


class Saved(jobs.Output):
    """Files of outcomes that are printed elsewhere: saves them, and knows the paths until they are asked for."""

    def __init__(self, saver: jobs.Files | jobs.Maildir) -> None:
        self._saver = saver
        self._paths: dict[int, list[str]] = {}

    def put(self, key: int, outcome: jobs.Outcome[Any], placing: jobs.Placing | None = None) -> None:
        """Save it."""
        self._paths[id(outcome)] = self._saver.save(outcome, placing)

    def paths(self, outcome: jobs.Outcome[Any]) -> list[str]:
        """Give the paths, once."""
        return self._paths.pop(id(outcome), [])

    def recover(self, position: int) -> None:
        """Remove what a killed process left half written."""
        self._saver.sweep()

    def close(self) -> None:
        """Nothing is held open."""
