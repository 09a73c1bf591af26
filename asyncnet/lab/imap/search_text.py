"""Text of messages as SEARCH looks at it: decoded, and without regard to case (RFC 9051 §6.4.4). Pure."""

from __future__ import annotations

import contextlib
import email.utils
from datetime import date

from asyncnet.lab.imap.fetching import structure_of
from asyncnet.lab.imap.header import decoded, text, unencoded, unfolded
from asyncnet.lab.imap.mime import Part
from asyncnet.lab.mailbox import StoredMessage


def in_header(message: StoredMessage, name: bytes, wanted: str) -> bool:
    """Whether a field of that name (lower case) contains the text; "" is in each."""
    return any(wanted in text(value).casefold() for value in structure_of(message).header.all(name))


def in_body(message: StoredMessage, wanted: str) -> bool:
    """Whether a part that is text contains it, or the header of a message within the message."""
    waiting = [structure_of(message)]
    while waiting:
        part = waiting.pop()
        waiting.extend(part.children)
        if part.embedded is not None:
            waiting.append(part.embedded)
            if wanted in _header(part.embedded):
                return True
        elif not part.children and part.kind[0].lower() == b"text" and wanted in _text(part):
            return True
    return not wanted


def in_message(message: StoredMessage, wanted: str) -> bool:
    """Whether header or body contain the text."""
    return wanted in _header(structure_of(message)) or in_body(message, wanted)


def sent_on(message: StoredMessage) -> date | None:
    """Give the day of the Date field, as the sender had it; None where there is none that can be read."""
    value = structure_of(message).header.get(b"date")
    if value is None:
        return None
    # The standard library's parser has several ways to fail on what is no date.
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        cut = email.utils.parsedate(value[:200].decode("ascii", "replace"))
        if cut is not None:
            return date(cut[0], cut[1], cut[2])
    return None


def _header(part: Part) -> str:
    return text(unfolded(part.header.raw)).casefold()


def _text(part: Part) -> str:
    data = part.raw[part.body : part.end]
    plain = unencoded(data, part.encoding)
    charset = (part.parameter(b"charset") or b"utf-8").decode("ascii", "replace")
    return decoded(data if plain is None else plain, charset).casefold()
