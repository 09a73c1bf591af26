"""Addresses of a header field, as ENVELOPE tells them (RFC 5322 §3.4, RFC 9051 §7.5.2). Pure, iterative, linear.

Nothing fails: of what is no address, the text stands where the mailbox name would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_TOKEN = re.compile(
    rb"""(?P<space>[ \t\r\n]++)
       | (?P<quoted>"(?:[^"\\]|\\.)*+"?+)
       | (?P<literal>\[(?:[^\]\\]|\\.)*+\]?+)
       | (?P<special>[(),:;<>@])
       | (?P<atom>[^ \t\r\n"\[(),:;<>@]++)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_PARENTHESIS = re.compile(rb"\\.|[()]", re.DOTALL)
MAX_ADDRESSES = 5_000
"""More of them in one field are left out of what is told."""


class Address(NamedTuple):
    """One address, or the begin or end of a group: a begin has a mailbox and no host, an end has neither."""

    name: bytes | None = None
    route: bytes | None = None
    mailbox: bytes | None = None
    host: bytes | None = None


@dataclass(slots=True)
class _Words:
    """What was read since the last address ended."""

    phrase: list[bytes] = field(default_factory=list)
    bare: list[bytes] = field(default_factory=list)
    comment: bytes | None = None
    angle: list[bytes] | None = None

    def take(self, word: bytes, *, spaced: bool) -> None:
        """Take a word, an `@` or a `.`, as part of a name or of an address, whichever it will be."""
        if self.angle is not None:
            self.angle.append(word)
            return
        if self.phrase and spaced:
            self.phrase.append(b" ")
        self.phrase.append(_unquoted(word))
        self.bare.append(word)

    def address(self) -> Address | None:
        """Give the address that they are, or None where there are none."""
        if self.angle is not None:
            route, mailbox, host = _split(self.angle)
            return Address(b"".join(self.phrase) or self.comment, route, mailbox, host)
        if not self.bare:
            return None
        _, mailbox, host = _split(self.bare)
        return Address(self.comment, None, mailbox, host)


def addresses(value: bytes) -> list[Address]:
    """Give the addresses of a field's value, and where groups begin and end."""
    found: list[Address] = []
    words, in_group = _Words(), False

    def end() -> None:
        nonlocal words
        if (address := words.address()) is not None:
            found.append(address)
        words = _Words()

    for kind, token, spaced in _tokens(value):
        if kind == "comment":
            words.comment = token
        elif kind == "special" and token == b"<" and words.angle is None:
            words.angle = []
        elif kind == "special" and token == b",":
            if words.angle is None or b"@" not in words.angle[:1]:
                end()  # else it stands in a route: <@a,@b:name@host>
            else:
                words.angle.append(token)
        elif kind == "special" and token == b":" and words.angle is None and not in_group:
            found.append(Address(mailbox=b"".join(words.phrase)))
            words, in_group = _Words(), True
        elif kind == "special" and token == b";" and in_group:
            end()
            found.append(Address())
            in_group = False
        elif token not in (b"<", b">"):
            words.take(token, spaced=spaced)
        if len(found) >= MAX_ADDRESSES:
            break
    end()
    if in_group:
        found.append(Address())
    return found


def _tokens(value: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Give each token's kind, its bytes, and whether a blank stood before it; of a comment, what is in it."""
    position, spaced = 0, False
    while position < len(value):
        match = _TOKEN.match(value, position)
        assert match is not None  # every byte begins a token
        position = match.end()
        kind, token = match.lastgroup or "", match[0]
        if kind == "space":
            spaced = True
            continue
        if token == b"(":
            kind = "comment"
            token, position = _comment(value, position)
        yield kind, token, spaced
        spaced = kind == "comment"


def _comment(value: bytes, start: int) -> tuple[bytes, int]:
    """Give a comment that begins before `start`, and where it ends; they nest (RFC 5322 §3.2.2)."""
    depth = 1
    for match in _PARENTHESIS.finditer(value, start):
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if not depth:
            return _ESCAPE.sub(rb"\1", value[start : match.start()]).strip(), match.end()
    return _ESCAPE.sub(rb"\1", value[start:]).strip(), len(value)


def _split(words: list[bytes]) -> tuple[bytes | None, bytes, bytes]:
    """Give route, mailbox and host; the host is empty where there is none, for NIL would mean a group."""
    route = None
    if words[:1] == [b"@"] and b":" in words:
        colon = words.index(b":")
        route, words = b"".join(words[:colon]), words[colon + 1 :]
    at = len(words) - 1 - words[::-1].index(b"@") if b"@" in words else len(words)
    joint = b"" if b"@" in words else b" "
    return route, joint.join(map(_unquoted, words[:at])), b"".join(words[at + 1 :])


def _unquoted(word: bytes) -> bytes:
    if not word.startswith(b'"'):
        return word
    inner = word[1:-1] if len(word) > 1 and word.endswith(b'"') else word[1:]
    return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner
