"""What an option of the form `TEXT|@FILE` stands for."""

from __future__ import annotations

import sys

from asyncnet import UsageError


def given(value: str) -> bytes:
    """Give the bytes of `TEXT`, of the file in `@FILE`, or of standard input for `@-`.

    Raises:
        UsageError: the file cannot be read.
    """
    if not value.startswith("@"):
        return value.encode("utf-8", "surrogateescape")  # as it was typed
    path = value[1:]
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
