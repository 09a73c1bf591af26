"""Saving: what was fetched as files: bodies and messages by a template, or mail in a Maildir. Blocking, and quick."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Any, Protocol

from asyncnet.errors import UsageError
from asyncnet.jobs.folder import Folder, Placing, Template, clean, name_for
from asyncnet.jobs.job import Outcome
from asyncnet.jobs.records import is_mail, is_response
from asyncnet.message import Message

_LETTERS = {"\\draft": "D", "\\flagged": "F", "\\answered": "R", "\\seen": "S", "\\deleted": "T"}


class Saver(Protocol):
    """What makes files of outcomes."""

    def save(self, outcome: Outcome[Any], placing: Placing | None = None) -> list[str]:
        """Save the body, or each message, and give the paths; nothing of a failure."""

    def sweep(self) -> None:
        """Remove what a killed process left half written."""


class Files:
    """Each body and each message as a file of its own, whole or not at all, and never in place of another.

    Args:
        folder: where; made if it is not there.
        template: the path below it, such as `{host}/{name}` (see `asyncnet.jobs.folder.Template`); None makes one name
            of host, port and path. A message gets its UID into the name, and ends in `.eml`.
        sync: bring each file to the disk before it gets its name; without, it outlives the process and not the power.

    Raises:
        UsageError: the folder cannot be written to, or the template names what there is not.
    """

    def __init__(self, folder: str, template: str | None = None, *, sync: bool = False) -> None:
        self._template = None if template is None else Template(template)
        self._folder = Folder(folder, sync=sync)

    def save(self, outcome: Outcome[Any], placing: Placing | None = None) -> list[str]:
        """Save the body, or each message, and give the paths; nothing of a failure."""
        value: Any = outcome.value
        if outcome.error is not None:
            return []
        if is_mail(value):
            return [self._message(outcome.name, message, placing) for message in value]
        if is_response(value):
            value = value.body
        data = value if isinstance(value, bytes) else repr(value).encode()
        return [self._folder.save(self._name(outcome.name), data, placing)]

    def _message(self, url: str, message: Message, placing: Placing | None) -> str:
        uid = mark(message)
        if self._template is not None and self._template.tells_messages_apart:
            return self._folder.save(self._template.filled(url, uid), message.raw, placing)
        return self._folder.save(f"{self._name(url)}-{clean(uid)}.eml", message.raw, placing)

    def _name(self, url: str) -> str:
        if self._template is not None:
            return self._template.filled(url)
        try:
            return name_for(url)
        except UsageError:  # a job of another kind
            return clean(url)[:150]

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        self._folder.sweep()


class Maildir:
    """Each message in a Maildir, by a name that says where it came from: the same message twice is one file.

    Args:
        folder: made, with `cur`, `new` and `tmp`, if it is not there.
        sync: bring each message to the disk before it gets its name.

    Raises:
        UsageError: it cannot be written to.

    What is no mail is not taken: a body of http among the outcomes is a UsageError that ends the run.
    """

    def __init__(self, folder: str, *, sync: bool = False) -> None:
        self._folder = folder
        self._sync = sync
        try:
            for part in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(folder, part), mode=0o700, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write into {folder}: {error.strerror}") from error

    def save(self, outcome: Outcome[Any], placing: Placing | None = None) -> list[str]:
        """Save each message and give the paths; nothing of a failure."""
        if outcome.error is not None:
            return []
        value: Any = outcome.value
        if not is_mail(value):
            raise UsageError(f"a Maildir takes mail alone, and {outcome.name} gave none")
        return [self._deliver(outcome.name, message) for message in value]

    def _deliver(self, url: str, message: Message) -> str:
        source = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{source}.{clean(mark(message))[:100]},S={len(message.raw)}"
        flags = "".join(sorted(letter for flag, letter in _LETTERS.items() if _has(message, flag)))
        # A message that nobody has seen belongs into `new`, where there are no flags.
        home = os.path.join("cur", f"{name}:2,{flags}") if flags else os.path.join("new", name)
        path, temporary = os.path.join(self._folder, home), os.path.join(self._folder, "tmp", name)
        try:
            with open(temporary, "wb", opener=_private) as file:
                file.write(message.raw)
                if self._sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        return path

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for entry in os.scandir(os.path.join(self._folder, "tmp")):
            os.unlink(entry.path)


def mark(message: Message) -> str:
    """What tells a message from the others of its mailbox: its UID, else its number."""
    return str(next(mark for mark in (message.uid, message.number, "message") if mark is not None))


def _has(message: Message, flag: str) -> bool:
    return any(known.lower() == flag for known in message.flags)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
