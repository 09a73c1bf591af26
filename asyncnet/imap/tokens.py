"""Tokens: the text of a response as nested lists (RFC 9051 §9). Pure, iterative, linear.

A word, a quoted string and a literal are all `bytes`; a list in parentheses is a list; NIL is None. In a FETCH,
`BODY[...]<n>`, which may hold spaces and parentheses, is one word.
"""

from __future__ import annotations

import re

from asyncnet.errors import LimitError, ProtocolError
from asyncnet.imap.framing import Pieces
from asyncnet.imap.limits import Limits

Value = bytes | None | list["Value"]

_WORD, _QUOTED, _OPEN, _CLOSE, _END = 1, 2, 3, 4, 5

# Every repetition is possessive: no input makes the matcher go back, so the time is linear in the text.
# A word is taken as it comes: servers put characters there that the grammar does not know (8-bit names, `[` in a flag).
_WORDS = rb"""[^ ()"]++"""
_SECTIONS = rb"""
    (?i:BODY|BINARY(?:\.SIZE)?)\[ (?:[^\]"]++|"(?:[^"\\]++|\\.)*+")*+ \] (?:<\d++>)?+
  | (?!(?i:BODY|BINARY(?:\.SIZE)?)\[) [^ ()"]++
"""


def _tokens(words: bytes) -> re.Pattern[bytes]:
    strings = rb'"((?:[^"\\]++|\\.)*+)"'
    return re.compile(rb"\ *+(?:(%b)|%b|(\()|(\))|(\Z)|(.))" % (words, strings), re.VERBOSE | re.DOTALL)


_TOKEN = _tokens(_WORDS)
_FETCH_TOKEN = _tokens(_SECTIONS)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def tokenized(pieces: Pieces, start: int, limits: Limits, *, of_fetch: bool = False) -> list[Value]:
    """Give the values in `pieces` from offset `start` of the first one; in a FETCH, names of sections are words.

    Raises:
        ProtocolError: parentheses or quotes that do not match.
        LimitError: nested too deep, or too many values.
    """
    values: list[Value] = []
    outer: list[list[Value]] = []
    room = limits.max_items
    tokens = (_FETCH_TOKEN if of_fetch else _TOKEN).finditer
    for number, piece in enumerate(pieces):
        if number % 2:
            values.append(piece)
            continue
        for match in tokens(piece, 0 if number else start):
            kind = match.lastindex
            if kind == _WORD:
                word = match[1]
                values.append(None if len(word) == 3 and word.upper() == b"NIL" else word)
            elif kind == _QUOTED:
                text = match[2]
                values.append(_ESCAPE.sub(rb"\1", text) if b"\\" in text else text)
            elif kind == _OPEN:
                outer.append(values)
                if len(outer) > limits.max_nesting:
                    raise LimitError("parentheses nested too deep", limit=limits.max_nesting)
                values = []
                outer[-1].append(values)
            elif kind == _CLOSE:
                if not outer:
                    raise ProtocolError("a closing parenthesis too many")
                values = outer.pop()
            elif kind != _END:
                raise ProtocolError("a quoted string or the name of a section without an end")
            room -= 1
            if room < 0:
                raise LimitError("a response of too many values", limit=limits.max_items)
    if outer:
        raise ProtocolError("a parenthesis that is not closed")
    return values
