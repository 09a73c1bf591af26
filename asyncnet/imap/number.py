"""Numbers of the grammar: ASCII digits of bounded length (RFC 9051 §9: number, number64)."""

from __future__ import annotations

import re

from asyncnet.errors import ProtocolError
from asyncnet.imap.tokens import Value

_MAX_DIGITS = 20
_NUMBERS = re.compile(rb" *+(?:[0-9]{1,10}+(?: ++|\Z))*+")


def number(value: Value) -> int:
    """Give a number of up to 20 digits.

    Raises:
        ProtocolError: it is none.
    """
    if not isinstance(value, bytes) or not value.isdigit() or len(value) > _MAX_DIGITS:
        raise ProtocolError("something else in the place of a number")
    return int(value)


def numbers(line: bytes) -> tuple[int, ...]:
    """Give all numbers, of up to 10 digits each, in a line of them.

    Raises:
        ProtocolError: there is something else.
    """
    if not _NUMBERS.fullmatch(line):
        raise ProtocolError("something else among numbers")
    return tuple(map(int, line.split()))
