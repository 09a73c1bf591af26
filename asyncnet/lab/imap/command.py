"""Command: one line of a client's with its literals, cut into tag, name and arguments (RFC 9051 §2.2.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asyncnet.lab.imap.arguments import Arguments, Literal
from asyncnet.lab.imap.refusal import Bad

# tag = 1*<any ASTRING-CHAR except "+">
_TAG = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,128}+)(?: |\Z)')
_NAME = re.compile(rb"([A-Za-z0-9]{1,32}+)(?= |\Z)")
_UID_NAME = re.compile(rb" ([A-Za-z]{1,32}+)(?= |\Z)")
# literal = "{" number ["+"] "}" CRLF; "~" before it: literal8 (RFC 3516); "-" is that of RFC 7888 in its first draft
_LITERAL = re.compile(rb"(~?)\{([0-9]{1,10})(\+?)\}\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """What a client asks for.

    Args:
        tag: names the answer.
        name: upper case; `UID FETCH` is one name.
        arguments: what follows; a blank stands first, if anything does.
    """

    tag: str
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Announced:
    """A literal that a line announces at its end.

    Args:
        size: how many bytes.
        waits: whether the client waits for `+` before it sends them.
        is_binary: whether a NUL may be among them.
        start: where in the line the announcement begins.
    """

    size: int
    waits: bool
    is_binary: bool
    start: int


def announced(line: bytes) -> Announced | None:
    """Give the literal that a line without its line end announces, or None."""
    if not line.endswith(b"}"):
        return None
    match = _LITERAL.search(line, max(0, len(line) - 14))
    if match is None:
        return None
    return Announced(int(match[2]), not match[3], bool(match[1]), match.start())


def tag_of(line: bytes) -> str | None:
    """Give the tag of a command's first line, or None where there is none."""
    match = _TAG.match(line)
    return None if match is None else match[1].decode("ascii")


def name_of(line: bytes) -> str:
    """Give the name in a command's first line, in upper case; empty where there is none."""
    match = _TAG.match(line)
    name = None if match is None else _NAME.match(line, match.end())
    if name is None:
        return ""
    if name[1].upper() == b"UID" and (more := _UID_NAME.match(line, name.end())) is not None:
        return f"UID {more[1].decode('ascii').upper()}"
    return name[1].decode("ascii").upper()


def command(pieces: Sequence[bytes | Literal]) -> Command:
    """Make a command of its text and literals.

    Raises:
        Bad: it has no tag or no name, or a control character stands in its text.
    """
    first = pieces[0]
    assert isinstance(first, bytes)
    match = _TAG.match(first)
    if match is None:
        raise Bad("a command begins with a tag")
    for piece in pieces:
        if isinstance(piece, bytes) and (b"\0" in piece or b"\r" in piece or b"\n" in piece):
            raise Bad("NUL, CR or LF within a command")
        if isinstance(piece, Literal) and not piece.is_binary and b"\0" in piece.data:
            raise Bad("a NUL in a literal that is not one of RFC 3516")
    name = name_of(first)
    if not name:
        raise Bad("a name of a command expected")
    rest = first[match.end() + len(name) :]
    return Command(match[1].decode("ascii"), name, Arguments([rest, *pieces[1:]]))
