"""The usual FETCH: what most of a mailbox comes in, read without going through tokens, which is many times as fast.

It takes exactly what it knows and gives the same value as the long way would; anything else goes the long way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from asyncnet.errors import ProtocolError
from asyncnet.imap.date_time import parsed_date_time
from asyncnet.imap.envelope import Address, Envelope
from asyncnet.imap.framing import Pieces
from asyncnet.imap.quick_value import maker
from asyncnet.imap.response import Fetched

_new_fetched = maker(Fetched)
_new_envelope = maker(Envelope)

_STRING = rb'(?:NIL|"(?:[^"\\]++|\\.)*+")'
_ADDRESS = rb"\(%b\ %b\ %b\ %b\)" % ((_STRING,) * 4)
_LIST = rb"(?:NIL|\((?:%b)++\))" % _ADDRESS
_ENVELOPE_ITEM = rb"ENVELOPE\ (\(%b\))" % rb"\ ".join(
    [b"(%b)" % one for one in [_STRING] * 2 + [_LIST] * 6 + [_STRING] * 2]
)

_NOTHING: Mapping[str, Any] = {}  # one for all, and nobody writes into it

_UID, _FLAGS, _SIZE, _RECEIVED, _MODSEQ, _SECTION, _ENVELOPE = range(1, 8)
_item = re.compile(
    rb"""UID\ ([0-9]{1,10}+)
    | FLAGS\ \(([^()"]{0,128}+)\)
    | RFC822\.SIZE\ ([0-9]{1,19}+)
    | INTERNALDATE\ "([^"\\]{26})"
    | MODSEQ\ \(([0-9]{1,19}+)\)
    | (BODY\[[A-Z0-9.]*+\](?:<[0-9]{1,10}+>)?+)[ ]
    | """
    + _ENVELOPE_ITEM,
    re.VERBOSE | re.DOTALL,
).match
# What is asked for most, in the order in which it is asked for and most servers give it.
_line = re.compile(
    rb"""\*\ ([0-9]{1,10}+)\ FETCH\ \(UID\ ([0-9]{1,10}+)\ (?:
      RFC822\.SIZE\ ([0-9]{1,19}+)\)\Z
    | FLAGS\ \(([^()"]{0,128}+)\)(?:
        \)\Z
      | (?:\ INTERNALDATE\ "([^"\\]{26})")?+\ RFC822\.SIZE\ ([0-9]{1,19}+)(?:
          \)\Z
        | \ (BODY\[[A-Z0-9.]*+\])\ \Z
        | \ """
    + _ENVELOPE_ITEM
    + rb"\)\Z)))",
    re.VERBOSE | re.DOTALL,
).match
_addresses = re.compile(rb"\((%b) (%b) (%b) (%b)\)" % ((_STRING,) * 4), re.DOTALL).findall
_escape = re.compile(rb"\\(.)", re.DOTALL).sub


def usual_line(pieces: Pieces) -> Fetched | None:
    """Read a response of one of the most frequent forms, or give None where it is another."""
    line = _line(pieces[0])
    if line is None:
        return None
    count, uid, size, flags, received, size_too, name = line.groups()[:7]
    if name is not None:
        if len(pieces) != 3 or pieces[2] != b")":
            return None
        sections: Mapping[str, bytes | None] = {_name(name): pieces[1]}
    elif len(pieces) != 1:
        return None
    else:
        sections = _NOTHING
    if size is not None:
        return _new_fetched(int(count), int(uid), None, int(size), None, None, None, None, _NOTHING, _NOTHING, ())
    now = _flags(flags)
    if size_too is None:
        return _new_fetched(int(count), int(uid), now, None, None, None, None, None, _NOTHING, _NOTHING, ())
    try:
        moment = None if received is None else parsed_date_time(received)
    except ProtocolError:
        return None
    envelope = None if line[8] is None else _envelope(line.groups()[8:])
    return _new_fetched(int(count), int(uid), now, int(size_too), moment, envelope, None, None, sections, _NOTHING, ())


def usual(count: int, pieces: Pieces, start: int) -> Fetched | None:
    """Read what stands after FETCH from offset `start` on, or give None where it is not all of the usual form."""
    text, literal, position = pieces[0], 1, start + 1
    if text[start:position] != b"(":
        return None
    uid = flags = size = received = modseq = envelope = None
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
        elif kind == _ENVELOPE:
            envelope = _envelope(item.groups()[_ENVELOPE:])
        else:
            if position != len(text) or literal == len(pieces):
                return None  # its text is no literal
            sections[_name(item[_SECTION])] = pieces[literal]
            text, literal, position = pieces[literal + 1], literal + 2, 0
        following = text[position : position + 1]
        if following == b")":
            if position + 1 != len(text) or literal != len(pieces):
                return None
            return Fetched(count, uid, flags, size, received, envelope, None, modseq, sections)
        if following != b" ":
            return None
        position += 1
    return None


@functools.lru_cache(maxsize=256)
def _flags(text: bytes) -> frozenset[str]:
    # A mailbox has few different sets of flags; its messages share them.
    return frozenset(word.decode("utf-8", "replace") for word in text.split(b" ") if word and word.upper() != b"NIL")


@functools.lru_cache(maxsize=64)
def _name(text: bytes) -> str:
    return text.decode("ascii")


def _envelope(fields: tuple[bytes, ...]) -> Envelope:
    date, subject, sent_from, sender, reply_to, to, cc, bcc, in_reply_to, message_id = fields
    return _new_envelope(
        _text(date),
        _text(subject),
        _people(sent_from),
        _people(sender),
        _people(reply_to),
        _people(to),
        _people(cc),
        _people(bcc),
        _text(in_reply_to),
        _text(message_id),
    )


def _text(string: bytes) -> str | None:
    if string == b"NIL":
        return None
    inner = string[1:-1]
    return (_escape(rb"\1", inner) if b"\\" in inner else inner).decode("utf-8", "replace")


@functools.lru_cache(maxsize=1024)
def _people(text: bytes) -> tuple[Address, ...]:
    # From, Sender and Reply-To are mostly the same, and so are the people.
    if text == b"NIL":
        return ()
    people = ((_text(name), _text(mailbox), _text(host)) for name, _, mailbox, host in _addresses(text))
    return tuple(Address(name, mailbox, host) for name, mailbox, host in people if mailbox is not None)
