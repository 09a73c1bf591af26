r"""SyncFolder: the files of a synchronised mailbox, and what their names say.

The names are the record of what is there: UIDVALIDITY, UID and size of a message stand in the name of its file, and the
file comes to its name whole, by a rename. So a process that is killed at any moment leaves no message twice and none in
halves, and the next one reads from the folder what it has.

    Maildir   cur/V7U42,S=1234:2,FS     flags as Maildir has them: D draft, F flagged, P passed on, R replied, S seen,
                                        T deleted
    .eml      7.42.1234.eml             without flags

Beside them lie the state of the last synchronisation and a folder for what is under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from asyncnet.errors import UsageError

Layout = Literal["maildir", "eml"]

_MAILDIR = re.compile(r"V(\d{1,10})U(\d{1,10}),S=(\d{1,19})(?::2,([A-Za-z]*))?", re.ASCII)
_EML = re.compile(r"(\d{1,10})\.(\d{1,10})\.(\d{1,19})\.eml()", re.ASCII)
_LETTERS = {
    "\\draft": "D",
    "\\flagged": "F",
    "$forwarded": "P",
    "\\answered": "R",
    "\\seen": "S",
    "\\deleted": "T",
}
_STATE = ".asyncnet-sync.json"
_LOCK = ".asyncnet-sync.lock"


@dataclass(frozen=True, slots=True)
class SyncState:
    """What the last synchronisation that came to its end knew of the mailbox.

    Args:
        mailbox: which one: the URL without a password.
        uidvalidity: while it stays the same, a UID names the same message.
        uidnext: the UID that the next message was to have.
        highestmodseq: grows with every change; None where the server keeps none.
        exists: how many messages there were.
        kept: the UIDs of messages that had gone and whose files were kept.
    """

    mailbox: str
    uidvalidity: int
    uidnext: int | None
    highestmodseq: int | None
    exists: int
    kept: tuple[int, ...] = ()


class SyncFolder:
    """One folder on disk; every method blocks.

    Args:
        path: the folder; it is made if it is not there.
        layout: how the files are named.

    Attributes:
        files: the path of each message that is there, by UIDVALIDITY and UID.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        self._pattern = _MAILDIR if layout == "maildir" else _EML
        self._home = path / "cur" if layout == "maildir" else path
        self._tmp = path / "tmp" if layout == "maildir" else path / ".tmp"
        self.files: dict[tuple[int, int], Path] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep others from synchronising into it; the lock ends with the process at the latest.

        Raises:
            UsageError: another process synchronises into it now, or it holds files of the other layout.
            OSError: it cannot be written to.
        """
        if self._layout == "eml" and (self.path / "cur").is_dir():
            raise UsageError(f"a Maildir, and not a folder of .eml files: {self.path}")
        parts = ("cur", "new", "tmp") if self._layout == "maildir" else (".tmp",)
        for part in parts:
            (self.path / part).mkdir(parents=True, exist_ok=True)
        with open(self.path / _LOCK, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"another process synchronises into this folder now: {self.path}") from error
            yield

    def load(self, mailbox: str) -> SyncState | None:
        """Look at what is there, and give the state of the last synchronisation, if one came to its end.

        Raises:
            UsageError: the folder is of another mailbox.
        """
        homes = [self._home, self.path / "new"] if self._layout == "maildir" else [self._home]
        self.files = {key: path for home in homes for key, path in self._whole(home)}
        try:
            told = json.loads((self.path / _STATE).read_bytes())
            state = SyncState(**{**told, "kept": tuple(told.get("kept", ()))})
        except (FileNotFoundError, ValueError, TypeError):
            return None  # the names of the files are enough
        if state.mailbox != mailbox:
            raise UsageError(f"the folder is of another mailbox, {state.mailbox}: {self.path}")
        return state

    def _whole(self, home: Path) -> Iterator[tuple[tuple[int, int], Path]]:
        with os.scandir(home) as entries:
            for entry in entries:
                match = self._pattern.fullmatch(entry.name)
                # A loss of power may leave less of a file than its name says: it is fetched again.
                if match is not None and entry.stat().st_size == int(match[3]):
                    yield (int(match[1]), int(match[2])), home / entry.name

    def save(self, state: SyncState) -> None:
        """Replace the state, whole or not at all, even if power is lost; then forget what was under way."""
        path = self._tmp / "state"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
            file.flush()
            os.fsync(file.fileno())
        path.replace(self.path / _STATE)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.clean(keep=())

    def clean(self, keep: Iterable[Path]) -> None:
        """Remove what was under way, but for these."""
        kept = set(keep)
        for path in self._tmp.iterdir():
            if path not in kept and path.name.startswith("V"):
                path.unlink(missing_ok=True)

    # Messages

    def add(self, uidvalidity: int, messages: Iterable[tuple[int, bytes, frozenset[str]]]) -> None:
        """Put messages in: their UIDs, bytes and flags."""
        for uid, raw, flags in messages:
            path = self._tmp / f"V{uidvalidity}U{uid}"
            path.write_bytes(raw)
            self.settle(uidvalidity, uid, path, len(raw), flags)

    def under_way(self, uidvalidity: int, uid: int) -> Path:
        """Give where a big message grows; after a restart of the machine, which may tear a file, another place."""
        return self._tmp / f"V{uidvalidity}U{uid}.{_boot()}"

    def settle(self, uidvalidity: int, uid: int, path: Path, size: int, flags: frozenset[str]) -> None:
        """Let a file that is whole be the message."""
        home = self._home / self._name(uidvalidity, uid, size, flags)
        path.replace(home)
        self.files[uidvalidity, uid] = home

    def flag(self, uidvalidity: int, flags: dict[int, frozenset[str]]) -> int:
        """Give files the flags of their messages; how many had others."""
        changed = 0
        if self._layout == "eml":
            return changed
        for uid, now in flags.items():
            path = self.files.get((uidvalidity, uid))
            if path is None:
                continue
            home = self._home / f"{path.name.partition(':')[0]}:2,{_letters(now)}"
            if home.name != path.name:
                path.replace(home)
                self.files[uidvalidity, uid] = home
                changed += 1
        return changed

    def remove(self, keys: Iterable[tuple[int, int]]) -> None:
        """Remove the files of messages."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                self.files.pop(key).unlink()

    def _name(self, uidvalidity: int, uid: int, size: int, flags: frozenset[str]) -> str:
        if self._layout == "eml":
            return f"{uidvalidity}.{uid}.{size}.eml"
        return f"V{uidvalidity}U{uid},S={size}:2,{_letters(flags)}"


def _letters(flags: frozenset[str]) -> str:
    return "".join(sorted(_LETTERS[flag.lower()] for flag in flags if flag.lower() in _LETTERS))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return str(os.getpid())  # where that is not told, nothing is resumed
