"""SEARCH: what a client looks for, read by a stack and made into one test of a message (RFC 9051 §6.4.4). Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.moment import parsed_day
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.search_text import in_body, in_header, in_message, sent_on
from asyncnet.lab.imap.sequence_set import SequenceSet
from asyncnet.lab.mailbox import StoredMessage

_RETURN = re.compile(rb" RETURN (?=\()", re.IGNORECASE)
_CHARSET = re.compile(rb"CHARSET ", re.IGNORECASE)

MAX_KEYS = 1000
MAX_NESTING = 50
"""Tests call tests that stand within them, so deep at most."""

MAX_MODSEQ = 2**63 - 1

Test = Callable[[StoredMessage], bool]
"""whether a message fits"""


class Place(NamedTuple):
    """What a search is made in.

    Args:
        uids: of the messages that the client knows, ascending.
        recent: those of them that are recent in this session.
        saved: what `$` stands for.
    """

    uids: list[int]
    recent: Collection[int]
    saved: Collection[int]


@dataclass(slots=True)
class Program:
    """A search that was read.

    Args:
        test: what each message is put to.
        returns: what RETURN asks for; None where the old answer is wanted.
        by_modseq: whether mod-sequences are looked at, so that the answer tells the highest (RFC 7162 §3.1.5).
        texts: how many of its keys read a whole message.
        headers: how many read its header.
    """

    test: Test
    returns: frozenset[str] | None = None
    by_modseq: bool = False
    texts: int = 0
    headers: int = 0


@dataclass(slots=True)
class _Frame:
    """Keys that are being read: in parentheses, or what follows NOT and OR."""

    kind: str
    tests: list[Test] = field(default_factory=list)


def program(arguments: Arguments, place: Place, returns: frozenset[str] | None = None) -> Program:
    """Take all of what follows SEARCH, and RETURN where that is there; `returns` is what it asks for.

    Raises:
        Bad: it breaks the grammar, or is beyond the bounds.
        No: a charset that the server does not know ([BADCHARSET]).
    """
    arguments.space()
    if arguments.optional(_CHARSET) is not None:
        charset = arguments.astring().upper()
        if charset not in (b"UTF-8", b"US-ASCII", b"ASCII", b"UTF8"):
            raise No("no such charset here", code="BADCHARSET (UTF-8 US-ASCII)")
        arguments.space()
    reader = _Reader(arguments, place)
    return Program(reader.read(), returns, reader.by_modseq, reader.texts, reader.headers)


def returned(arguments: Arguments) -> frozenset[str] | None:
    """Take RETURN, which may follow SEARCH, and give what it asks for; None where the old answer is wanted.

    Raises:
        Bad: it asks for what there is not.
    """
    if arguments.optional(_RETURN) is None:
        return None
    options = frozenset(arguments.words())
    if options - {"MIN", "MAX", "ALL", "COUNT", "SAVE"}:
        raise Bad("there is no such option of RETURN")
    # RFC 4731 §3.1: () is (ALL); RFC 5182 §2.1: SAVE alone wants no answer but OK
    return options or frozenset({"ALL"})


class _Reader:
    """Reads keys with a stack of its own: nothing here calls itself."""

    def __init__(self, arguments: Arguments, place: Place) -> None:
        self._arguments = arguments
        self._place = place
        self._stack = [_Frame("all")]
        self.by_modseq = False
        self.texts = 0
        self.headers = 0

    def read(self) -> Test:
        arguments, count = self._arguments, 0
        while True:
            count += 1
            if count > MAX_KEYS or len(self._stack) > MAX_NESTING:
                raise Bad("a search beyond all bounds")
            if arguments.skip(b"("):
                self._stack.append(_Frame("paren"))
                continue
            if arguments.next_is(b"$") or arguments.next_is(b"*") or _is_digit(arguments):
                key = self._numbers()
            else:
                name = arguments.word("a key")
                if name in ("NOT", "OR"):
                    arguments.space()
                    self._stack.append(_Frame(name))
                    continue
                key = self._key(name)
            self._done(key)
            while arguments.skip(b")"):
                frame = self._stack.pop()
                if frame.kind != "paren":
                    raise Bad("a parenthesis too many, or a key too few")
                self._done(_every(frame.tests))
            if arguments.is_done:
                break
            arguments.space()
        if len(self._stack) != 1:
            raise Bad("a parenthesis or a key is missing")
        return _every(self._stack[0].tests)

    def _done(self, test: Test) -> None:
        """Put a test where it belongs, and finish the NOTs and ORs that waited for it."""
        while (frame := self._stack[-1]).kind in ("NOT", "OR"):
            if frame.kind == "OR" and not frame.tests:
                frame.tests.append(test)
                return
            self._stack.pop()
            test = _negated(test) if frame.kind == "NOT" else _either(frame.tests[0], test)
        frame.tests.append(test)

    def _numbers(self) -> Test:
        chosen = SequenceSet.parse(self._arguments.sequence_set())
        if chosen.is_saved:
            return _among(self._place.saved)
        uids = self._place.uids
        return _within([(uids[low - 1], uids[high - 1]) for low, high in chosen.number_spans(len(uids))])

    def _key(self, name: str) -> Test:
        if name in _FLAGS:
            return _FLAGS[name]
        if name in ("NEW", "OLD", "RECENT"):
            return self._recent(name)
        read = _READERS.get(name)
        if read is not None:
            self.texts += name in ("BODY", "TEXT")
            self.headers += name in _HEADER_KEYS
            self._arguments.space()
            return read(self._arguments)
        if name == "MODSEQ":
            self._arguments.space()
            return self._modseq()
        if name == "UID":
            self._arguments.space()
            chosen = SequenceSet.parse(self._arguments.sequence_set())
            if chosen.is_saved:
                return _among(self._place.saved)
            uids = self._place.uids
            return _within(chosen.spans(uids[-1]) if uids else [])
        raise Bad("there is no such key")

    def _recent(self, name: str) -> Test:
        recent = self._place.recent
        if name == "OLD":
            return lambda message: message.uid not in recent
        if name == "RECENT":
            return lambda message: message.uid in recent
        return lambda message: message.uid in recent and "\\Seen" not in message.flags

    def _modseq(self) -> Test:
        arguments = self._arguments
        if arguments.next_is(b'"'):  # RFC 7162 §3.1.5: which flag is meant; we know of the message only
            arguments.string()
            arguments.space()
            arguments.word("priv, shared or all")
            arguments.space()
        least = arguments.number(most=MAX_MODSEQ)
        self.by_modseq = True
        return lambda message: message.modseq >= least


def _is_digit(arguments: Arguments) -> bool:
    return any(arguments.next_is(b"%d" % digit) for digit in range(10))


def _every(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda message: all(test(message) for test in tests)


def _either(first: Test, second: Test) -> Test:
    return lambda message: first(message) or second(message)


def _negated(test: Test) -> Test:
    return lambda message: not test(message)


def _among(uids: Collection[int]) -> Test:
    return lambda message: message.uid in uids


def _within(spans: list[tuple[int, int]]) -> Test:
    """Whether a UID is in ascending spans. One search may name all messages a thousand times: no key lists them."""
    lows = [low for low, _ in spans]

    def test(message: StoredMessage) -> bool:
        place = bisect_right(lows, message.uid) - 1
        return place >= 0 and message.uid <= spans[place][1]

    return test


def _has(flag: str) -> Test:
    return lambda message: flag in message.flags


def _keyword(arguments: Arguments) -> Test:
    wanted = arguments.flag().lower()
    return lambda message: any(flag.lower() == wanted for flag in message.flags)


def _wanted(arguments: Arguments) -> str:
    try:
        return arguments.astring().decode().casefold()
    except UnicodeDecodeError:
        raise Bad("a text that is not UTF-8") from None


def _field(name: bytes) -> Callable[[Arguments], Test]:
    def read(arguments: Arguments) -> Test:
        wanted = _wanted(arguments)
        return lambda message: in_header(message, name, wanted)

    return read


def _header(arguments: Arguments) -> Test:
    name = arguments.astring().lower()
    arguments.space()
    wanted = _wanted(arguments)
    return lambda message: in_header(message, name, wanted)


def _body(arguments: Arguments) -> Test:
    wanted = _wanted(arguments)
    return lambda message: in_body(message, wanted)


def _text(arguments: Arguments) -> Test:
    wanted = _wanted(arguments)
    return lambda message: in_message(message, wanted)


def _received(fits: Callable[[date, date], bool]) -> Callable[[Arguments], Test]:
    def read(arguments: Arguments) -> Test:
        day = parsed_day(arguments.astring())
        return lambda message: fits(message.received.date(), day)

    return read


def _sent(fits: Callable[[date, date], bool]) -> Callable[[Arguments], Test]:
    def read(arguments: Arguments) -> Test:
        day = parsed_day(arguments.astring())

        def test(message: StoredMessage) -> bool:
            sent = sent_on(message)
            return sent is not None and fits(sent, day)

        return test

    return read


def _size(fits: Callable[[int, int], bool]) -> Callable[[Arguments], Test]:
    def read(arguments: Arguments) -> Test:
        size = arguments.number(most=MAX_MODSEQ)
        return lambda message: fits(len(message.raw), size)

    return read


def _age(*, younger: bool) -> Callable[[Arguments], Test]:
    def read(arguments: Arguments) -> Test:
        seconds = arguments.number()
        if not seconds:
            raise Bad("an interval of nothing")
        since = datetime.now(UTC) - timedelta(seconds=seconds)
        return lambda message: (message.received >= since) is younger

    return read


_FLAGS: dict[str, Test] = {"ALL": lambda message: True}
for _name in ("Answered", "Deleted", "Draft", "Flagged", "Seen"):
    _FLAGS[_name.upper()] = _has(f"\\{_name}")
    _FLAGS[f"UN{_name.upper()}"] = _negated(_has(f"\\{_name}"))

_ADDRESSED = ("BCC", "CC", "FROM", "SUBJECT", "TO")
_HEADER_KEYS = {*_ADDRESSED, "HEADER"}
_READERS: dict[str, Callable[[Arguments], Test]] = {
    **{name: _field(name.lower().encode()) for name in _ADDRESSED},
    "BEFORE": _received(lambda received, day: received < day),
    "ON": _received(lambda received, day: received == day),
    "SINCE": _received(lambda received, day: received >= day),
    "SENTBEFORE": _sent(lambda sent, day: sent < day),
    "SENTON": _sent(lambda sent, day: sent == day),
    "SENTSINCE": _sent(lambda sent, day: sent >= day),
    "LARGER": _size(lambda size, wanted: size > wanted),
    "SMALLER": _size(lambda size, wanted: size < wanted),
    "OLDER": _age(younger=False),
    "YOUNGER": _age(younger=True),
    "HEADER": _header,
    "BODY": _body,
    "TEXT": _text,
    "KEYWORD": _keyword,
    "UNKEYWORD": lambda arguments: _negated(_keyword(arguments)),
}
