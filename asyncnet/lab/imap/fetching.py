"""FETCH: what a client asks of messages, made into functions that write it (RFC 9051 §6.4.5, §7.5.2). Pure.

A command is read once, and each message then passes through a few functions that append bytes to a list: no text of a
message is copied on its way, but for parts of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import cast

from asyncnet.lab.imap import moment
from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.mime import Part, parsed
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.section import Section
from asyncnet.lab.imap.strings import without_nul
from asyncnet.lab.imap.structure import body, envelope
from asyncnet.lab.mailbox import StoredMessage

Writer = Callable[[StoredMessage, list[bytes]], None]
"""appends an item of a message to what goes out"""

_MACROS = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_NAME = re.compile(rb"[A-Za-z0-9.]{1,20}")
_MAX_ITEMS = 256

_RECENT = frozenset({"\\Recent"})


@dataclass(frozen=True, slots=True)
class Item:
    r"""One thing that a client wants to know of each message.

    Args:
        name: as an answer names it, upper case; of sections the word before the bracket.
        section: what BODY[...] and BINARY[...] name.
        marks_seen: whether to ask for it sets `\Seen`.
    """

    name: str
    section: Section | None = None
    marks_seen: bool = False


def items(arguments: Arguments) -> list[Item]:
    """Take what FETCH is to tell: a macro, an item, or items in parentheses.

    Raises:
        Bad: something else.
    """
    if not arguments.skip(b"("):
        first = _item(arguments)
        return [first] if isinstance(first, Item) else [Item(name) for name in first]
    wanted: list[Item] = []
    while not arguments.skip(b")"):
        if wanted:
            arguments.space()
        one = _item(arguments)
        if not isinstance(one, Item):
            raise Bad("a macro stands alone")
        wanted.append(one)
        if len(wanted) > _MAX_ITEMS:
            raise Bad("too many items")
    if not wanted:
        raise Bad("an item expected")
    return wanted


def flags_item(flags: frozenset[str]) -> bytes:
    r"""Write `FLAGS (\Seen)`."""
    return _flags(flags)


def writers(wanted: list[Item], recent: Container[int]) -> list[Writer]:
    r"""Give what writes them, in their order, with blanks in between.

    Args:
        wanted: the items; nothing in them twice.
        recent: the UIDs of messages that are `\Recent` in this session.
    """
    return [_writer(item, b" " if place else b"", recent) for place, item in enumerate(wanted)]


def structure_of(message: StoredMessage) -> Part:
    """Give the parts of a message; worked out once."""
    part = message.memo.get("parts")
    if part is None:
        part = message.memo["parts"] = parsed(message.raw)
    return cast(Part, part)


def _item(arguments: Arguments) -> Item | tuple[str, ...]:
    name = arguments.match(_NAME, "an item")[0].decode("ascii").upper()
    if name in _MACROS and not arguments.next_is(b"["):
        return _MACROS[name]
    if name in _SECTIONED and arguments.next_is(b"["):
        plain = name.replace(".PEEK", "")
        section = Section.read(arguments, only_path=plain.startswith("BINARY"))
        if name == "BINARY.SIZE" and section.partial is not None:
            raise Bad("a size is that of all of it")
        return Item(plain, section, marks_seen=name in ("BODY", "BINARY"))
    if name in _OF_RFC822:
        return Item(name, _OF_RFC822[name], marks_seen=name != "RFC822.HEADER")
    if name not in _PLAIN:
        raise Bad("there is no such item")
    return Item(name)


def _writer(item: Item, blank: bytes, recent: Container[int]) -> Writer:
    if item.section is not None:
        return _section_writer(item, item.section, blank)
    if item.name == "FLAGS":

        def write_flags(message: StoredMessage, out: list[bytes]) -> None:
            flags = message.flags if message.uid not in recent else message.flags | _RECENT
            out.append(blank + _flags(flags))

        return write_flags
    tell = _PLAIN[item.name]
    return lambda message, out: out.append(blank + tell(message))


def _section_writer(item: Item, section: Section, blank: bytes) -> Writer:
    if item.name == "BINARY.SIZE":
        name = blank + b"BINARY.SIZE[%b] " % section.name

        def write_size(message: StoredMessage, out: list[bytes]) -> None:
            out.append(name + b"%d" % len(section.decoded(structure_of(message)) or b""))

        return write_size
    is_binary = item.name == "BINARY"
    shown = (
        item.name.encode()
        if item.name in _OF_RFC822
        else b"%b[%b]%b"
        % (
            item.name.encode(),
            section.name,
            section.origin,
        )
    )
    nothing, literal, literal8 = (blank + shown + rest for rest in (b" NIL", b" {%d}\r\n", b" ~{%d}\r\n"))
    is_whole = section.is_whole and section.partial is None

    def write(message: StoredMessage, out: list[bytes]) -> None:
        data: bytes | None
        if is_whole:
            data = message.raw
        else:
            parts = structure_of(message)
            data = section.decoded(parts) if is_binary else section.of(parts)
        if data is None:
            out.append(nothing)
        elif is_binary:
            out.append((literal8 if b"\0" in data else literal) % len(data))
            out.append(data)
        else:
            out.append(literal % len(data))
            out.append(without_nul(data))

    return write


@functools.lru_cache(maxsize=1024)
def _flags(flags: frozenset[str]) -> bytes:
    return f"FLAGS ({' '.join(sorted(flags))})".encode()


def _received(message: StoredMessage) -> bytes:
    written = message.memo.get("received")
    if written is None or written[0] != message.received:
        written = message.memo["received"] = (
            message.received,
            f'INTERNALDATE "{moment.written(message.received)}"'.encode(),
        )
    return cast(bytes, written[1])


def _memoized(key: str, make: Callable[[StoredMessage], bytes]) -> Callable[[StoredMessage], bytes]:
    def tell(message: StoredMessage) -> bytes:
        known = message.memo.get(key)
        if known is None:
            known = message.memo[key] = make(message)
        return cast(bytes, known)

    return tell


_PLAIN: dict[str, Callable[[StoredMessage], bytes]] = {
    "UID": lambda message: b"UID %d" % message.uid,
    "FLAGS": lambda message: _flags(message.flags),
    "RFC822.SIZE": lambda message: b"RFC822.SIZE %d" % len(message.raw),
    "INTERNALDATE": _received,
    "MODSEQ": lambda message: b"MODSEQ (%d)" % message.modseq,
    "ENVELOPE": _memoized("envelope", lambda message: b"ENVELOPE " + envelope(structure_of(message).header)),
    "BODY": _memoized("body", lambda message: b"BODY " + body(structure_of(message), extended=False)),
    "BODYSTRUCTURE": _memoized(
        "structure", lambda message: b"BODYSTRUCTURE " + body(structure_of(message), extended=True)
    ),
}
_SECTIONED = {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE"}
_OF_RFC822 = {"RFC822": Section(), "RFC822.HEADER": Section(kind="HEADER"), "RFC822.TEXT": Section(kind="TEXT")}
