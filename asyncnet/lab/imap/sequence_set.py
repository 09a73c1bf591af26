"""SequenceSet: `1:4,7,9:*` (RFC 9051 §9: sequence-set), and which messages it names. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asyncnet.lab.imap.refusal import Bad

MAX_NUMBER = 0xFFFF_FFFF

_STAR = 0


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Numbers or UIDs as a client wrote them.

    Args:
        ranges: pairs; 0 is `*`, the largest number in use.
        is_saved: it is `$`: what the last search kept (RFC 5182).
    """

    ranges: tuple[tuple[int, int], ...] = ()
    is_saved: bool = False

    @classmethod
    def parse(cls, text: str) -> SequenceSet:
        """Read it.

        Raises:
            Bad: it is none.
        """
        if text == "$":
            return cls(is_saved=True)
        return cls(tuple(_range(part) for part in text.split(",")))

    def highest_named(self) -> int:
        """Give the largest number in it that is no `*`; 0 if there is none."""
        return max((max(pair) for pair in self.ranges), default=0)

    def spans(self, largest: int) -> list[tuple[int, int]]:
        """Give it ascending, nothing twice, with `largest` for `*`."""
        pairs = sorted(
            (min(low, high), max(low, high))
            for low, high in ((low or largest, high or largest) for low, high in self.ranges)
        )
        merged: list[tuple[int, int]] = []
        for low, high in pairs:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged

    def places(self, uids: Sequence[int]) -> list[int]:
        """Give the places (from 0) of those UIDs, ascending, that it names; `uids` is ascending."""
        if not uids:
            return []
        found: list[int] = []
        for low, high in self.spans(uids[-1]):
            found.extend(range(bisect_left(uids, low), bisect_right(uids, high)))
        return found

    def among(self, uids: Sequence[int], largest: int) -> list[int]:
        """Give those of `uids`, which are ascending, that it names, with `largest` for `*`."""
        found: list[int] = []
        for low, high in self.spans(largest):
            found.extend(uids[bisect_left(uids, low) : bisect_right(uids, high)])
        return found

    def numbers(self, count: int) -> list[int]:
        """Give the places (from 0) that it names by sequence numbers among `count` messages.

        Raises:
            Bad: it names a number that no message has.
        """
        return [place for low, high in self.number_spans(count) for place in range(low - 1, high)]

    def number_spans(self, count: int) -> list[tuple[int, int]]:
        """Give its numbers as `spans` does, where there are `count` messages.

        Raises:
            Bad: it names a number that no message has.
        """
        if self.highest_named() > count:
            raise Bad(f"there are {count} messages only")
        return self.spans(count) if count else []


def written(numbers: Iterable[int]) -> str:
    """Write ascending numbers as a set: `1:4,7`."""
    parts: list[str] = []
    low = high = None
    for number in numbers:
        if high is not None and number == high + 1:
            high = number
            continue
        if high is not None:
            parts.append(f"{low}" if low == high else f"{low}:{high}")
        low = high = number
    if high is not None:
        parts.append(f"{low}" if low == high else f"{low}:{high}")
    return ",".join(parts)


def _range(part: str) -> tuple[int, int]:
    low, colon, high = part.partition(":")
    first = _number(low)
    return first, (_number(high) if colon else first)


def _number(text: str) -> int:
    if text == "*":
        return _STAR
    if not (text.isdecimal() and text.isascii() and len(text) <= 10) or not 0 < int(text) <= MAX_NUMBER:
        raise Bad("not a sequence set")
    return int(text)
