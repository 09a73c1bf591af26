"""Replies: whole responses in, values out (RFC 3501 and RFC 9051 §7, §9). Pure, iterative, linear.

What we do not know becomes an `Unknown`; an item of a FETCH whose value breaks its own grammar is left out and named in
`skipped`; a response that cannot be read at all is a ProtocolError, and never another exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from asyncnet.errors import ProtocolError, printable
from asyncnet.imap.envelope import text
from asyncnet.imap.fetched import fetched
from asyncnet.imap.framing import Pieces
from asyncnet.imap.limits import Limits
from asyncnet.imap.mailbox import Mailbox, MailboxStatus
from asyncnet.imap.mailbox_name import decoded_name
from asyncnet.imap.number import number, numbers
from asyncnet.imap.response import (
    Capabilities,
    Code,
    Continuation,
    Enabled,
    Exists,
    Expunged,
    ExtendedFound,
    Flags,
    Found,
    Listed,
    Namespace,
    Namespaces,
    Recent,
    Reply,
    ServerId,
    Status,
    StatusItems,
    Unknown,
    Vanished,
)
from asyncnet.imap.tokens import Value, tokenized
from asyncnet.imap.uid_set import UidSet
from asyncnet.imap.usual_fetch import usual, usual_line

_UNTAGGED = re.compile(rb"\* (?:([0-9]{1,10}) )?([A-Za-z0-9!-~]++)(?: |\Z)")
_TAGGED = re.compile(rb"([A-Za-z0-9.]{1,64}) (OK|NO|BAD)(?: |\Z)", re.IGNORECASE)
# Anything may stand in a code but "]", unless it is quoted (BADCHARSET).
_CODE = re.compile(rb'\[([^ \]"]++)(?: ((?:[^\]"]++|"(?:[^"\\]++|\\.)*+")*+))?\] ?')

Decoder = Callable[[bytes], str]
"""makes text of the name of a mailbox"""

_MODSEQ = re.compile(rb"\( *+MODSEQ ++([0-9]{1,20}) *+\)", re.IGNORECASE)

_STATUSES = frozenset({"OK", "NO", "BAD", "BYE", "PREAUTH"})


def parsed(pieces: Pieces, limits: Limits, *, utf8: bool = False) -> Reply:
    """Give the value of one response.

    Args:
        pieces: its text and literals.
        limits: how much of it is taken.
        utf8: whether UTF8=ACCEPT is on, so that no name of a mailbox is modified UTF-7 (RFC 6855 §3).

    Raises:
        ProtocolError: it breaks the grammar.
        LimitError: it is nested too deep, or holds too many values.
    """
    line = pieces[0]
    if (quick := usual_line(pieces)) is not None:
        return quick
    if not line.startswith(b"* "):
        return _tagged_or_continuation(line)
    match = _UNTAGGED.match(line)
    if match is None:
        raise ProtocolError(f"an untagged response that is none: {printable(line, max_characters=80)!r}")
    name = match[2].decode("ascii").upper()
    if match[1] is not None:
        return _numbered(int(match[1]), name, pieces, match.end(), limits)
    if name in _STATUSES:
        return _status(name, line[match.end() :], None)
    if name == "SEARCH" and len(pieces) == 1:
        return _found(line[match.end() :])
    if name in _NAMED:
        return _NAMED[name](tokenized(pieces, match.end(), limits), _utf8_name if utf8 else decoded_name)
    read = _READERS.get(name)
    if read is None:
        return Unknown(name, line[match.end() :])
    return read(tokenized(pieces, match.end(), limits))


def _tagged_or_continuation(line: bytes) -> Reply:
    if line.startswith(b"+"):  # some servers leave the blank out
        return Continuation(line[2:] if line.startswith(b"+ ") else line[1:])
    match = _TAGGED.match(line)
    if match is None:
        raise ProtocolError(f"neither a tagged nor an untagged response: {printable(line, max_characters=80)!r}")
    return _status(match[2].decode("ascii").upper(), line[match.end() :], match[1].decode("ascii"))


def _numbered(count: int, name: str, pieces: Pieces, start: int, limits: Limits) -> Reply:
    if name == "FETCH":
        quick = usual(count, pieces, start)
        return quick if quick is not None else fetched(count, tokenized(pieces, start, limits, of_fetch=True))
    kinds: dict[str, Callable[[int], Reply]] = {"EXISTS": Exists, "EXPUNGE": Expunged, "RECENT": Recent}
    kind = kinds.get(name)
    return Unknown(name, pieces[0][2:]) if kind is None else kind(count)


# Status responses


def _status(kind: str, rest: bytes, tag: str | None) -> Status:
    match = _CODE.match(rest)
    code = None if match is None else _code(match[1].decode("ascii", "replace").upper(), match[2] or b"")
    words = rest if match is None else rest[match.end() :]
    return Status(kind, words.decode("utf-8", "replace"), code, tag)


def _code(name: str, rest: bytes) -> Code:
    said = rest.decode("utf-8", "replace")
    try:
        if name in ("UIDVALIDITY", "UIDNEXT", "UNSEEN", "HIGHESTMODSEQ"):
            return Code(name, said, number=number(rest.strip()))
        if name == "CAPABILITY":
            return Code(name, said, words=tuple(said.upper().split()))
        if name in ("PERMANENTFLAGS", "BADCHARSET"):
            return Code(name, said, words=tuple(sorted(_words(tokenized([rest], 0, Limits())))))
        if name == "APPENDUID":
            validity, target = rest.split()
            return Code(name, said, number(validity), target=UidSet.parse(target))
        if name == "COPYUID":
            validity, source, target = rest.split()
            return Code(name, said, number(validity), source=UidSet.parse(source), target=UidSet.parse(target))
    except (ProtocolError, ValueError):
        pass  # a hint that cannot be read is no hint; the status itself stands
    return Code(name, said)


# Data


def _found(rest: bytes) -> Found:
    # Yahoo ends the line with a blank; RFC 7162 §3.1.5 with "(MODSEQ n)".
    match = _MODSEQ.search(rest)
    if match is None:
        return Found(numbers(rest))
    return Found(numbers(rest[: match.start()] + b" " + rest[match.end() :]), number(match[1]))


def _capabilities(values: list[Value]) -> Reply:
    return Capabilities(frozenset(word.upper() for word in _words(values)))


def _enabled(values: list[Value]) -> Reply:
    return Enabled(frozenset(word.upper() for word in _words(values)))


def _flags(values: list[Value]) -> Reply:
    return Flags(frozenset(_words(values)))


def _utf8_name(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _listed(values: list[Value], decoded: Decoder) -> Reply:
    if len(values) < 3 or not isinstance(values[0], list) or not isinstance(values[2], bytes):
        raise ProtocolError("a LIST without attributes, delimiter and name")
    return Listed(Mailbox(decoded(values[2]), text(values[1]) or None, frozenset(_words(values[:1]))))


def _status_items(values: list[Value], decoded: Decoder) -> Reply:
    if len(values) < 2 or not isinstance(values[0], bytes) or not isinstance(values[-1], list):
        raise ProtocolError("a STATUS without name and numbers")
    items = values[-1]
    told: dict[str, int] = {}
    for key, value in zip(items[::2], items[1::2], strict=False):
        if isinstance(key, bytes) and isinstance(value, bytes) and value.isdigit():
            told[key.upper().decode("ascii", "replace")] = number(value)
    return StatusItems(
        MailboxStatus(
            decoded(values[0]),
            messages=told.get("MESSAGES"),
            unseen=told.get("UNSEEN"),
            uidnext=told.get("UIDNEXT"),
            uidvalidity=told.get("UIDVALIDITY"),
            highestmodseq=told.get("HIGHESTMODSEQ"),
            size=told.get("SIZE"),
        )
    )


def _extended_found(values: list[Value]) -> Reply:
    tag: str | None = None
    if values and isinstance(values[0], list):
        tag = text(values[0][1]) if len(values[0]) > 1 else None
        values = values[1:]
    by_uid = bool(values) and isinstance(values[0], bytes) and values[0].upper() == b"UID"
    told: dict[bytes, bytes] = {}
    rest = values[by_uid:]
    for key, value in zip(rest[::2], rest[1::2], strict=False):
        if isinstance(key, bytes) and isinstance(value, bytes):
            told[key.upper()] = value
    minimum, maximum, count, modseq = (
        number(told[key]) if key in told else None for key in (b"MIN", b"MAX", b"COUNT", b"MODSEQ")
    )
    every = UidSet.parse(told[b"ALL"]) if b"ALL" in told else None
    return ExtendedFound(tag, by_uid, minimum, maximum, count, every, modseq)


def _namespaces(values: list[Value], decoded: Decoder) -> Reply:
    if len(values) < 3:
        raise ProtocolError("a NAMESPACE without its three kinds")
    return Namespaces(*(_places(value, decoded) for value in values[:3]))


def _places(value: Value, decoded: Decoder) -> tuple[Namespace, ...]:
    if value is None:
        return ()
    places = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, list) or len(one) < 2 or not isinstance(one[0], bytes):
            raise ProtocolError("a NAMESPACE without prefix and delimiter")
        places.append(Namespace(decoded(one[0]), text(one[1]) or None))
    return tuple(places)


def _server_id(values: list[Value]) -> Reply:
    fields = values[0] if values and isinstance(values[0], list) else []
    pairs = zip(fields[::2], fields[1::2], strict=False)
    return ServerId({name: text(value) for key, value in pairs if (name := text(key)) is not None})


def _vanished(values: list[Value]) -> Reply:
    if not values or not isinstance(values[-1], bytes):
        raise ProtocolError("a VANISHED without UIDs")
    return Vanished(UidSet.parse(values[-1]), earlier=isinstance(values[0], list))


def _words(values: list[Value]) -> list[str]:
    """Give the words of a list, or of a list in parentheses."""
    inner = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return [word for value in inner if (word := text(value)) is not None]


_READERS: dict[str, Callable[[list[Value]], Reply]] = {
    "CAPABILITY": _capabilities,
    "ENABLED": _enabled,
    "FLAGS": _flags,
    "ESEARCH": _extended_found,
    "ID": _server_id,
    "VANISHED": _vanished,
}

_NAMED: dict[str, Callable[[list[Value], Decoder], Reply]] = {
    "LIST": _listed,
    "LSUB": _listed,
    "STATUS": _status_items,
    "NAMESPACE": _namespaces,
}
