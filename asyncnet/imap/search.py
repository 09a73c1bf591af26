r"""Criteria: what to search for, put together of small pieces. Pure.

    from asyncnet.imap import search

    await mailbox.search(search.unseen & search.since(date(2026, 1, 1)) & ~search.from_("Zoë"))

`&` is both, `|` is either, `~` is not. Every text is an argument and never syntax; what is not ASCII goes as UTF-8.
Dates are days as the server counts them; a datetime counts by its own day, its zone is not looked at.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date as Day

from asyncnet.errors import UsageError
from asyncnet.imap.command import Segment, astring, criteria, refuse_controls
from asyncnet.imap.date_time import written_day
from asyncnet.imap.uid_set import checked_uids, written_set

# RFC 9051 §9: flag-keyword = atom
_KEYWORD = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")
_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Criteria:
    """What messages must be like; made by the functions of this module, put together by `&`, `|` and `~`.

    Args:
        segments: the keys as they stand in the command: text, and literals between texts.
        count: how many keys stand side by side; one that is to be a single argument gets parentheses.
    """

    segments: tuple[Segment, ...]
    count: int = 1

    def __and__(self, other: Criteria) -> Criteria:
        if not isinstance(other, Criteria):
            return NotImplemented
        return Criteria(_joined(self.segments, " ", other.segments), self.count + other.count)

    def __or__(self, other: Criteria) -> Criteria:
        if not isinstance(other, Criteria):
            return NotImplemented
        return Criteria(_joined("OR ", self._single(), " ", other._single()))

    def __invert__(self) -> Criteria:
        return Criteria(_joined("NOT ", self._single()))

    def __bool__(self) -> bool:
        """Refuse: `and`, `or` and `not` would drop a part of it in silence."""
        raise TypeError("criteria are put together by &, | and ~, not by and, or and not")

    def __str__(self) -> str:
        """Give it for a reader: literals as quoted text."""
        return "".join(f'"{one.decode()}"' if isinstance(one, bytes) else str(one) for one in self.segments)

    def _single(self) -> tuple[Segment, ...]:
        return self.segments if self.count == 1 else _joined("(", self.segments, ")")


def _joined(*parts: str | tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Put texts and segments into a row in which no two texts are neighbours."""
    return tuple(_merged(segment for part in parts for segment in ((part,) if isinstance(part, str) else part)))


def _merged(segments: Iterable[Segment]) -> Iterator[Segment]:
    texts: list[str] = []
    for segment in segments:
        if isinstance(segment, str):
            texts.append(segment)
            continue
        yield "".join(texts)
        yield segment
        texts = []
    if texts:
        yield "".join(texts)


def _key(name: str, *arguments: Segment) -> Criteria:
    parts: list[str | tuple[Segment, ...]] = [name]
    for argument in arguments:
        parts += [" ", (argument,)]
    return Criteria(_joined(*parts))


everything = _key("ALL")
answered, unanswered = _key("ANSWERED"), _key("UNANSWERED")
deleted, undeleted = _key("DELETED"), _key("UNDELETED")
draft, undraft = _key("DRAFT"), _key("UNDRAFT")
flagged, unflagged = _key("FLAGGED"), _key("UNFLAGGED")
seen, unseen = _key("SEEN"), _key("UNSEEN")
recent, new, old = _key("RECENT"), _key("NEW"), _key("OLD")  # only in IMAP4rev1 (RFC 3501 §6.4.4)


def raw(text: str) -> Criteria:
    """Take criteria as RFC 9051 §6.4.4 has them.

    Raises:
        UsageError: empty, a control character, a `{`, quotes or parentheses that do not match.
    """
    return Criteria(_joined(tuple(criteria(text))), count=2)


def keyword(name: str) -> Criteria:
    """Have a flag that is no system flag: `$Work`.

    Raises:
        UsageError: no such flag can be.
    """
    if not _KEYWORD.fullmatch(name):
        raise UsageError(f"not a keyword: {name!r}")
    return _key("KEYWORD", name)


def from_(text: str) -> Criteria:
    """Contain the text in From."""
    return _key("FROM", astring(text))


def to(text: str) -> Criteria:
    """Contain the text in To."""
    return _key("TO", astring(text))


def cc(text: str) -> Criteria:
    """Contain the text in Cc."""
    return _key("CC", astring(text))


def bcc(text: str) -> Criteria:
    """Contain the text in Bcc."""
    return _key("BCC", astring(text))


def subject(text: str) -> Criteria:
    """Contain the text in the subject."""
    return _key("SUBJECT", astring(text))


def body(text: str) -> Criteria:
    """Contain the text in the body."""
    return _key("BODY", astring(text))


def text(text: str) -> Criteria:
    """Contain the text in header or body."""
    return _key("TEXT", astring(text))


def header(name: str, text: str = "") -> Criteria:
    """Have a header field that contains the text; "" is in every field.

    Raises:
        UsageError: no name of a header field (RFC 5322 §2.2), or a control character in the text.
    """
    refuse_controls(name, "the name of a header field")
    if not name.isascii() or not name or set(name) & {":", " "}:
        raise UsageError(f"not the name of a header field: {name!r}")
    return _key("HEADER", astring(name), astring(text))


def before(day: Day) -> Criteria:
    """Have come to the mailbox before that day."""
    return _key("BEFORE", written_day(day))


def on(day: Day) -> Criteria:
    """Have come to the mailbox on that day."""
    return _key("ON", written_day(day))


def since(day: Day) -> Criteria:
    """Have come to the mailbox on that day or after."""
    return _key("SINCE", written_day(day))


def sent_before(day: Day) -> Criteria:
    """Have a Date header before that day."""
    return _key("SENTBEFORE", written_day(day))


def sent_on(day: Day) -> Criteria:
    """Have a Date header of that day."""
    return _key("SENTON", written_day(day))


def sent_since(day: Day) -> Criteria:
    """Have a Date header of that day or after."""
    return _key("SENTSINCE", written_day(day))


def larger(size_bytes: int) -> Criteria:
    """Be larger than so many bytes."""
    return _key("LARGER", _number(size_bytes))


def smaller(size_bytes: int) -> Criteria:
    """Be smaller than so many bytes."""
    return _key("SMALLER", _number(size_bytes))


def older(seconds: int) -> Criteria:
    """Have come longer ago than that (RFC 5032: the server must have WITHIN)."""
    return _key("OLDER", _number(seconds, 1))


def younger(seconds: int) -> Criteria:
    """Have come within the last so many seconds (RFC 5032: the server must have WITHIN)."""
    return _key("YOUNGER", _number(seconds, 1))


def changed_since(modseq: int) -> Criteria:
    """Have changed since then, or then (RFC 7162: the server must have CONDSTORE)."""
    return _key("MODSEQ", _number(modseq))


def uids(uids: int | Iterable[int]) -> Criteria:
    """Be one of these.

    Raises:
        UsageError: none at all, or one that is no UID.
    """
    return _key("UID", written_set(sorted(set(checked_uids(uids)))))


def all_of(parts: Iterable[Criteria]) -> Criteria:
    """Fit all of them; with none, anything fits."""
    chosen = list(parts)
    return functools.reduce(operator.and_, chosen) if chosen else everything


def any_of(parts: Iterable[Criteria]) -> Criteria:
    """Fit one of them at least.

    Raises:
        UsageError: there are none, and nothing would fit.
    """
    chosen = list(parts)
    if not chosen:
        raise UsageError("any_of() needs at least one of which one could fit")
    return functools.reduce(operator.or_, chosen)


def _number(value: int, least: int = 0) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_NUMBER:
        raise UsageError(f"not a number that can be searched by: {value!r}")
    return str(value)
