"""The usual FETCH: what most of a mailbox comes in, read without going through tokens, which is four times as fast.

It takes exactly what it knows and gives the same value as the long way would; anything else goes the long way.
"""

from __future__ import annotations

import functools
import re

from asyncnet.errors import ProtocolError
from asyncnet.imap.date_time import parsed_date_time
from asyncnet.imap.framing import Pieces
from asyncnet.imap.response import Fetched

_UID, _FLAGS, _SIZE, _RECEIVED, _MODSEQ, _SECTION = range(1, 7)
_item = re.compile(
    rb"""UID\ ([0-9]{1,10}+)
    | FLAGS\ \(([^()"]{0,128}+)\)
    | RFC822\.SIZE\ ([0-9]{1,19}+)
    | INTERNALDATE\ "([^"\\]{26})"
    | MODSEQ\ \(([0-9]{1,19}+)\)
    | (BODY\[[A-Z0-9.]*+\])\ """,
    re.VERBOSE,
).match


def usual(count: int, pieces: Pieces, start: int) -> Fetched | None:
    """Read what stands after FETCH from offset `start` on, or give None where it is not all of the usual form."""
    text, literal, position = pieces[0], 1, start + 1
    if text[start:position] != b"(":
        return None
    uid = flags = size = received = modseq = None
    sections: dict[str, bytes | None] = {}
    while (item := _item(text, position)) is not None:
        position, kind = item.end(), item.lastindex
        if kind == _UID:
            uid = int(item[_UID])
        elif kind == _FLAGS:
            flags = _flags(item[_FLAGS])
        elif kind == _SIZE:
            size = int(item[_SIZE])
        elif kind == _RECEIVED:
            try:
                received = parsed_date_time(item[_RECEIVED])
            except ProtocolError:
                return None
        elif kind == _MODSEQ:
            modseq = int(item[_MODSEQ])
        else:
            if position != len(text) or literal == len(pieces):
                return None  # its text is no literal
            sections[item[_SECTION].decode("ascii")] = pieces[literal]
            text, literal, position = pieces[literal + 1], literal + 2, 0
        following = text[position : position + 1]
        if following == b")":
            if position + 1 != len(text) or literal != len(pieces):
                return None
            return Fetched(count, uid, flags, size, received, None, None, modseq, sections)
        if following != b" ":
            return None
        position += 1
    return None


@functools.lru_cache(maxsize=256)
def _flags(text: bytes) -> frozenset[str]:
    # A mailbox has few different sets of flags; its messages share them.
    return frozenset(word.decode("utf-8", "replace") for word in text.split(b" ") if word and word.upper() != b"NIL")
