"""Spool: mail on disk, so written that a crash at any moment leaves each message whole, in one place, and known.

    folder/
        lock        held by the one process that sends
        new/        being written; of no meaning after a crash
        queue/      to be sent: NAME.mail, with what the server has said so far in NAME.state
        sending/    the last byte may be on its way: after a crash nobody knows whether the server has it
        refused/    refused for good, with the reasons in NAME.state
        twice.log   what was sent again although it may have been taken, a line each

A `.mail` is a line of JSON, which says from whom and to whom, and the message. Each step is one rename; what has to
outlive the power is synced before the next step. Blocking, for threads.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from asyncnet.errors import UsageError

_MAX_HEAD = 16_777_216
"""Bytes of the first line: more recipients than any server takes."""


@dataclass(slots=True)
class State:
    """What is known of a message beyond what it was spooled with.

    Args:
        pending: who has not got it yet.
        refused: recipient -> (code, text) of who never will.
        attempts: how often the server was asked.
        due: when to try again, seconds since the epoch.
        maybe_twice: how often it was sent again although it may have been taken.
    """

    pending: list[str]
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    attempts: int = 0
    due: float = 0.0
    maybe_twice: int = 0


class Spool:
    """The folder and its steps.

    Args:
        folder: where; made if it is not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._lock: int | None = None

    def _path(self, place: str, name: str, kind: str = "mail") -> Path:
        return self.folder / place / f"{name}.{kind}"

    def open(self) -> list[str]:
        """Take the folder for this process and put right what a crash left; gives the names in the queue.

        Raises:
            UsageError: another process has it, or it cannot be used.
        """
        try:
            for place in ("new", "queue", "sending", "refused"):
                (self.folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            is_taken = error.errno in (errno.EAGAIN, errno.EACCES) and self.folder.is_dir()
            why = "another outbox has the folder" if is_taken else f"the folder cannot be used: {error.strerror}"
            raise UsageError(f"{why}: {self.folder}") from error
        for path in (self.folder / "new").iterdir():
            path.unlink()
        for name in self._names("sending"):
            self.unsure(name)
        for place in ("queue", "refused"):  # what was known of a message that is gone, or has gone on
            for path in (self.folder / place).glob("*.state"):
                if not path.with_suffix(".mail").exists():
                    path.unlink()
        return self._names("queue")

    def close(self) -> None:
        """Give the folder free."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _names(self, place: str) -> list[str]:
        return sorted(path.stem for path in (self.folder / place).glob("*.mail"))

    # A message comes in.

    def create(self, head: dict[str, Any]) -> tuple[str, BinaryIO]:
        """Begin a message; gives its name, and the file that its bytes go to."""
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"  # in order of their coming
        file = open(self._path("new", name), "xb", opener=_private)  # noqa: SIM115 (commit or discard close it)
        file.write(json.dumps(head, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n")
        return name, file

    def commit(self, name: str, file: BinaryIO) -> None:
        """End a message: from here on it outlives a crash."""
        with file:
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._path("new", name), self._path("queue", name))
        self._sync("queue")

    def discard(self, name: str, file: BinaryIO) -> None:
        """Forget a message that was begun."""
        file.close()
        self._path("new", name).unlink(missing_ok=True)

    # It is looked at.

    def load(self, name: str, place: str = "queue") -> tuple[dict[str, Any], BinaryIO]:
        """Give what a message was spooled with, and a file that stands at its first byte; the caller closes it."""
        file = open(self._path(place, name), "rb")  # noqa: SIM115 (the caller's)
        try:
            head = json.loads(file.readline(_MAX_HEAD))
        except BaseException:
            file.close()
            raise
        return head, file

    def state(self, name: str, place: str = "queue") -> State | None:
        """Give what is known beyond that, or None if nothing is."""
        try:
            found = json.loads(self._path(place, name, "state").read_bytes())
        except FileNotFoundError:
            return None
        found["refused"] = {one: tuple(reply) for one, reply in found["refused"].items()}
        return State(**found)

    def refused(self) -> Iterator[tuple[str, dict[str, Any], State]]:
        """Give what was refused for good."""
        for name in self._names("refused"):
            state = self.state(name, "refused")
            with contextlib.suppress(FileNotFoundError):
                head, file = self.load(name, "refused")
                file.close()
                yield name, head, state or State([])

    @property
    def maybe_twice(self) -> int:
        """How many messages were sent again although they may have been taken."""
        try:
            return self._log.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    # It goes on.

    def save(self, name: str, state: State) -> None:
        """Write down what is known now, in the place of what was."""
        self._save(name, state, "queue")

    def mark(self, name: str) -> None:
        """The last byte is about to go."""
        os.rename(self._path("queue", name), self._path("sending", name))
        self._sync("sending")

    def unmark(self, name: str) -> None:
        """The server has answered: nothing is open any more, and something is left to do."""
        os.rename(self._path("sending", name), self._path("queue", name))
        self._sync("queue")

    def unsure(self, name: str) -> None:
        """Nobody knows whether the server has it: it goes to the queue again, and is counted."""
        head, file = self.load(name, "sending")
        file.close()
        state = self.state(name) or State(list(head["recipients"]))
        state.maybe_twice += 1
        self.save(name, state)
        line = json.dumps({"name": name, "message_id": head.get("message_id"), "recipients": state.pending})
        with open(self._log, "ab", opener=_private) as log:
            log.write(line.encode("ascii") + b"\n")
            log.flush()
            os.fsync(log.fileno())
        self.unmark(name)

    def done(self, name: str) -> None:
        """Everybody has it."""
        for place in ("sending", "queue"):
            self._path(place, name).unlink(missing_ok=True)
        self._path("queue", name, "state").unlink(missing_ok=True)
        self._sync("sending")

    def refuse(self, name: str, state: State) -> None:
        """Somebody will never get it: it is kept, with the reasons."""
        self._save(name, state, "refused")
        for place in ("sending", "queue"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path(place, name), self._path("refused", name))
        self._path("queue", name, "state").unlink(missing_ok=True)
        self._sync("refused")

    # How it is done.

    @property
    def _log(self) -> Path:
        return self.folder / "twice.log"

    def _save(self, name: str, state: State, place: str) -> None:
        new = self._path("new", name, "state")
        with open(new, "wb", opener=_private) as file:
            file.write(json.dumps(asdict(state), separators=(",", ":")).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self._path(place, name, "state"))
        self._sync(place)

    def _sync(self, place: str) -> None:
        folder = os.open(self.folder / place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
