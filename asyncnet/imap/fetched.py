"""What a FETCH response says of one message (RFC 9051 §7.5.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from asyncnet.errors import ProtocolError
from asyncnet.imap.date_time import parsed_date_time
from asyncnet.imap.envelope import envelope
from asyncnet.imap.number import number
from asyncnet.imap.quick_value import maker
from asyncnet.imap.response import Fetched
from asyncnet.imap.structure import structure
from asyncnet.imap.tokens import Value
from asyncnet.message import Message

_new_message = maker(Message)

# RFC 3501's older names of sections (§6.4.5)
_OLD_NAMES = {"RFC822": "BODY[]", "RFC822.HEADER": "BODY[HEADER]", "RFC822.TEXT": "BODY[TEXT]"}


def fetched(count: int, values: list[Value]) -> Fetched:
    """Make a Fetched of what stands after FETCH; `count` is the sequence number.

    Raises:
        ProtocolError: it is no list of names and values, or the UID is no number.
    """
    if len(values) != 1 or not isinstance(values[0], list) or len(values[0]) % 2:
        raise ProtocolError("a FETCH that is no list of names and values")
    pairs = iter(values[0])
    known: dict[str, object] = {}
    sections: dict[str, bytes | None] = {}
    others: dict[str, Value] = {}
    skipped: list[str] = []
    for key, value in zip(pairs, pairs, strict=True):
        if not isinstance(key, bytes):
            raise ProtocolError("a FETCH with a list in the place of a name")
        name = key.decode("ascii", "replace").upper()
        reader = _READERS.get(name)
        if reader is not None:
            try:
                known[reader[0]] = reader[1](value)
            except ProtocolError:
                if name == "UID":  # what names the message is no matter for tolerance
                    raise
                skipped.append(name)
        elif ("[" in name or name in _OLD_NAMES) and not isinstance(value, list):
            sections[_OLD_NAMES.get(name, name)] = value
        else:
            others[name] = value
    return Fetched(count, sections=sections, others=others, skipped=tuple(skipped), **known)  # type: ignore[arg-type]


def message(one: Fetched, name: str) -> Message | None:
    """Make a Message of what FETCH gave, if the section `name` (`BODY[]`...) is there; NIL and absent are not.

    Raises:
        ProtocolError: a whole message is said to have a size, and none of its bytes came.
    """
    raw = one.sections.get(name)
    if raw is None:
        return None
    if not raw and one.size and name == "BODY[]":
        raise ProtocolError(f"a message of {one.size} bytes came without any of them")
    size = len(raw) if one.size is None else one.size
    return _new_message(raw, one.uid, one.number, one.flags or frozenset(), size, one.received)


def _flags(value: Value) -> frozenset[str]:
    if not isinstance(value, list):
        raise ProtocolError("FLAGS that are no list")
    return frozenset(flag.decode("utf-8", "replace") for flag in value if isinstance(flag, bytes))


def _received(value: Value) -> datetime:
    if not isinstance(value, bytes):
        raise ProtocolError("an INTERNALDATE that is no date")
    return parsed_date_time(value)


def _modseq(value: Value) -> int:
    return number(value[0] if isinstance(value, list) and value else value)


_READERS: dict[str, tuple[str, Callable[[Value], object]]] = {
    "UID": ("uid", number),
    "FLAGS": ("flags", _flags),
    "RFC822.SIZE": ("size", number),
    "INTERNALDATE": ("received", _received),
    "ENVELOPE": ("envelope", envelope),
    "BODYSTRUCTURE": ("structure", structure),
    "BODY": ("structure", structure),
    "MODSEQ": ("modseq", _modseq),
}
