"""Strings as the server writes them (RFC 9051 §4.3): quoted where that is enough, else a literal. Pure."""

from __future__ import annotations

import re

# What fits between quotes: ASCII without NUL, CR and LF; a client's line has its bound too, so not too much of it.
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")
_SPECIAL = re.compile(rb'(["\\])')
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')


def string(data: bytes) -> bytes:
    """Write a string."""
    if _QUOTABLE.fullmatch(data):
        return b'"' + (_SPECIAL.sub(rb"\\\1", data) if b'"' in data or b"\\" in data else data) + b'"'
    data = without_nul(data)
    return b"{%d}\r\n" % len(data) + data


def nstring(data: bytes | None) -> bytes:
    """Write a string, or NIL for None."""
    return b"NIL" if data is None else string(data)


def astring(data: bytes) -> bytes:
    """Write an atom where that is enough, else a string."""
    return data if _ATOM.fullmatch(data) else string(data)


def without_nul(data: bytes) -> bytes:
    """Give what a literal may hold (CHAR8: no NUL); the size stays the same, as Dovecot has it."""
    return data.replace(b"\0", b"\x80") if b"\0" in data else data
