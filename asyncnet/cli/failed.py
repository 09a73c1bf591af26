"""FailedList: the lines of what failed, as they were given, so that the file can be given again."""

from __future__ import annotations

import os
from typing import Any

from asyncnet import UsageError, jobs


class FailedList(jobs.Observer):
    """Writes the line of each job that failed; the last of a run's observers, so that it hears of wanted jobs alone.

    Args:
        path: of the file; what is in it stays only where a run is resumed.
        resume: whether one is.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: str, *, resume: bool) -> None:
        self._lines: dict[jobs.Job[Any], str] = {}
        self._given = ""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if resume else os.O_TRUNC)
            self._file = os.open(path, flags, 0o600)  # a line may hold what is nobody else's business
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def given(self, line: str) -> None:
        """The next job that is asked for was made of this line."""
        self._given = line

    def asked(self, job: jobs.Job[Any]) -> bool:
        """Keep its line, and leave none out."""
        self._lines[job] = self._given
        return True

    def ended(self, job: jobs.Job[Any], outcome: jobs.Outcome[Any]) -> None:
        """Write its line, if it failed."""
        line = self._lines.pop(job)
        if outcome.error is not None:
            self.write(line)

    def write(self, line: str) -> None:
        """Write a line."""
        os.write(self._file, f"{line}\n".encode("utf-8", "surrogateescape"))

    async def aclose(self) -> None:
        """Let go of the file."""
        os.close(self._file)
