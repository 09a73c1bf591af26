"""Folder: results as files, named after where they came from; whole or not at all, and never in place of another."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections import defaultdict

from asyncnet import Endpoint, UsageError

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 150
"""Characters of a name; file systems take 255 bytes, and a number and a suffix are added."""
_MAX_SUFFIX = 20


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
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Folder:
    """A folder that takes files; not for two threads at once.

    Args:
        path: of the folder; made if it is not there.

    Raises:
        UsageError: it cannot be made, or written to.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken: defaultdict[str, int] = defaultdict(int)
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

    def save(self, name: str, data: bytes) -> str:
        """Write a file and give its path; a name that is taken gets a number: `page-2.html`.

        Raises:
            OSError: it could not be written; nothing of it is left.
        """
        descriptor, temporary = self._temporary()
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(data)
            return self._settle(temporary, name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _temporary(self) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=".asyncnet-", suffix=".part", dir=self._path)

    def _settle(self, temporary: str, name: str) -> str:
        """Give the file its name, in one step that fails where there is one of that name."""
        stem, suffix = os.path.splitext(name)
        while True:
            self._taken[name] += 1
            number = self._taken[name]
            path = os.path.join(self._path, name if number == 1 else f"{stem}-{number}{suffix}")
            with contextlib.suppress(FileExistsError):
                _link(temporary, path)
                return path


def _link(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first, and the file put in its place then
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, path)
