"""Folder: results as files, named after where they came from; whole or not at all, and never in place of another."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import string
import tempfile
from collections.abc import Callable, Mapping

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, UsageError

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 150
"""Characters of a name; file systems take 255 bytes, and a number and a suffix are added."""
_MAX_SUFFIX = 20
_MAX_DEPTH = 32
_MAX_KNOWN = 10_000
"""Names, and folders, that are remembered: so many are in memory, however many files there are."""
_MAX_TRIES = 32
"""Numbers that are tried for a name that is taken before a random one ends the search."""

FIELDS = ("scheme", "host", "port", "path", "name", "stem", "suffix", "query", "hash", "uid")
"""what a template may name"""

Placing = Callable[[str, int], object]
"""told of a path and the inode of the file that is about to get it"""


def name_for(url: str) -> str:
    """Name a file after a URL: host, port and path, in letters, digits, `.`, `_` and `-` alone.

    A query, which may hold a token, and what is too long are told apart by a few digits of their hash.
    """
    endpoint = Endpoint.parse(url)
    default = Endpoint.parse(f"{endpoint.scheme}://x").port if endpoint.protocol != "tcp" else 0
    port = "" if endpoint.is_unix or endpoint.port == default else f"_{endpoint.port}"
    stem, suffix = os.path.splitext(endpoint.path)
    name, ending = clean(f"{endpoint.host}{port}{stem}"), _UNSAFE.sub("_", suffix)
    if len(name) + len(ending) > _MAX_NAME:
        name, ending = f"{name[:_MAX_NAME]}-{_digits(url)}", ending[:_MAX_SUFFIX]
    elif endpoint.query:
        name = f"{name}-{_digits(endpoint.query)}"
    return f"{name}{ending}".rstrip(".")


def clean(text: str) -> str:
    """Give text as a part of a file name that means nothing to any file system or shell."""
    return _UNSAFE.sub("_", text).strip("._-") or "index"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Template:
    """A path with fields, such as `{host}/{name}`, that is filled in for each URL and never leads out of its folder.

    Fields are `{scheme}`, `{host}`, `{port}`, `{path}` (its folders too), `{name}` (the last part of the path),
    `{stem}` and `{suffix}` (what stands before and behind its dot), `{query}`, `{hash}` (eight digits of the whole
    URL's) and `{uid}` (of a message, or its number). What fills them is letters, digits, `.`, `_` and `-`; no part
    becomes empty, `.` or `..`.

    Raises:
        UsageError: a field that there is not, or a template that begins at the root or climbs.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
        except ValueError as error:
            raise UsageError(f"not a template of a file name: {text!r}: {error}") from error
        if unknown := [field for field in fields if field not in FIELDS]:
            known = ", ".join(FIELDS)
            raise UsageError(f"no field {unknown[0]!r} in a template of a file name; there are {known}")
        parts = text.split("/")
        if not text or text.startswith("/") or ".." in parts or len(parts) > _MAX_DEPTH:
            raise UsageError(f"a template of a file name lies below its folder: not {text!r}")
        self.tells_messages_apart = "uid" in fields

    def filled(self, url: str, uid: str = "") -> str:
        """Give the path for a URL, or for one message of it."""
        path = self._text.format_map(_fields(url, uid))
        parts = [part[:_MAX_NAME] for part in path.split("/") if part not in ("", ".", "..")]
        return "/".join(parts[-_MAX_DEPTH:]) or "index"


def _fields(url: str, uid: str) -> Mapping[str, str]:
    made = {"hash": _digits(url), "uid": clean(uid) if uid else "0"}
    try:
        endpoint = Endpoint.parse(url)
    except InvalidEndpoint:  # a job of another kind: its name is all that there is
        name = clean(url)
        stem, suffix = os.path.splitext(name)
        empty = dict.fromkeys(("scheme", "host", "port", "query"), "none")
        return made | empty | {"path": name, "name": name, "stem": stem, "suffix": suffix}
    parts = [clean(part) for part in endpoint.path.split("/") if part] or ["index"]
    if endpoint.path.endswith("/") and endpoint.path != "/":
        parts.append("index")
    stem, suffix = os.path.splitext(parts[-1])
    return made | {
        "scheme": clean(endpoint.scheme),
        "host": clean(endpoint.host or "local"),
        "port": str(endpoint.port),
        "path": "/".join(parts),
        "name": parts[-1],
        "stem": stem,
        "suffix": suffix,
        "query": clean(endpoint.query) if endpoint.query else "none",
    }


class Folder:
    """A folder that takes files; not for two threads at once.

    Args:
        path: of the folder; made if it is not there.
        sync: bring each file to the disk before it gets its name, so that it outlives the power too; without, it
            outlives the process.

    Raises:
        UsageError: it cannot be made, or written to.
    """

    def __init__(self, path: str, *, sync: bool = False) -> None:
        self._path = path
        self._sync = sync
        self._next: dict[str, int] = {}
        self._made: set[str] = set()
        try:
            os.makedirs(path, exist_ok=True)
            descriptor, probe = self._temporary()
            os.close(descriptor)
            os.unlink(probe)
        except OSError as error:
            raise UsageError(f"cannot write into {path}: {error.strerror}") from error
        mask = os.umask(0)
        os.umask(mask)
        self._mode = 0o666 & ~mask

    def save(self, name: str, data: bytes, placing: Placing | None = None) -> str:
        """Write a file and give its path; a name that is taken gets a number: `page-2.html`.

        Args:
            name: below the folder; with `/` in it, folders are made.
            data: all of it.
            placing: told of each path that is tried before the file gets it.

        Raises:
            OSError: it could not be written; nothing of it is left.
        """
        descriptor, temporary = self._temporary()
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(data)
                file.flush()
                inode = os.fstat(file.fileno()).st_ino
                if self._sync:
                    os.fsync(file.fileno())
            return self._settle(temporary, name, inode, placing)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _temporary(self) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=".asyncnet-", suffix=".part", dir=self._path)

    def _settle(self, temporary: str, name: str, inode: int, placing: Placing | None) -> str:
        """Give the file its name, in one step that fails where there is one of that name."""
        self._make_folder(os.path.dirname(name))
        stem, suffix = os.path.splitext(name)
        number = self._next.get(name, 1)
        for tried in range(_MAX_TRIES + 1):
            mark = str(number) if tried < _MAX_TRIES else os.urandom(8).hex()
            path = os.path.join(self._path, name if number == 1 else f"{stem}-{mark}{suffix}")
            number += 1
            if placing is not None:
                placing(path, inode)
            with contextlib.suppress(FileExistsError):
                _link(temporary, path)
                break
        else:
            raise FileExistsError(17, "no free name", path)
        if len(self._next) >= _MAX_KNOWN:
            self._next.clear()
        self._next[name] = number
        if self._sync:
            _sync_folder(os.path.dirname(path))
        return path

    def _make_folder(self, folder: str) -> None:
        if folder and folder not in self._made:
            os.makedirs(os.path.join(self._path, folder), exist_ok=True)
            if len(self._made) >= _MAX_KNOWN:
                self._made.clear()
            self._made.add(folder)

    def sweep(self) -> None:
        """Remove what a killed process left half written; for who knows that no other writes here."""
        for entry in os.scandir(self._path):
            if entry.name.startswith(".asyncnet-") and entry.name.endswith(".part"):
                os.unlink(entry.path)


def _link(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first, and the file put in its place then
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, path)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
