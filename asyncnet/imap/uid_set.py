"""UID sets: many numbers in few characters, `1:4,7` (RFC 9051 §9: sequence-set)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from asyncnet.errors import ProtocolError, UsageError

MAX_UID = 0xFFFF_FFFF  # nz-number: 32 bits

_MAX_CHARACTERS = 7000  # RFC 7162 §4: a command line of 8192 bytes is safe

_SET = re.compile(rb"[1-9][0-9]{0,9}(?::[1-9][0-9]{0,9})?+(?:,[1-9][0-9]{0,9}(?::[1-9][0-9]{0,9})?+)*+")


@dataclass(frozen=True, slots=True)
class UidSet:
    """Ranges of UIDs in a server's order, ends included; it takes memory for its ranges only.

    Iterating gives each UID: look at `count` first, for a server may say `1:4294967295`.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: bytes) -> UidSet:
        """Read what a server wrote.

        Raises:
            ProtocolError: not a set of numbers.
        """
        if not _SET.fullmatch(text):
            raise ProtocolError("not a set of UIDs")
        ranges = []
        for part in text.split(b","):
            first, _, last = part.partition(b":")
            low, high = int(first), int(last or first)
            if max(low, high) > MAX_UID:
                raise ProtocolError("a UID beyond 32 bits")
            ranges.append((min(low, high), max(low, high)))  # RFC 9051 §9: 4:2 is 2:4
        return cls(tuple(ranges))

    @property
    def count(self) -> int:
        """How many UIDs it holds."""
        return sum(high - low + 1 for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)


NO_UIDS = UidSet()


def checked_uids(uids: int | Iterable[int]) -> list[int]:
    """Give one UID or many as a list.

    Raises:
        UsageError: none at all, or one that is no number from 1 to 4,294,967,295.
    """
    given = [uids] if isinstance(uids, int) else list(uids)
    if not given:
        raise UsageError("no UID")
    for uid in given:
        if isinstance(uid, bool) or not isinstance(uid, int) or not 1 <= uid <= MAX_UID:
            raise UsageError(f"not a UID: {uid!r} (1 to {MAX_UID})")
    return given


def written_sets(uids: Iterable[int]) -> Iterator[tuple[str, int]]:
    """Write UIDs as sets that each fit into a command line, and say how many UIDs each holds.

    Neighbours in the given order become ranges; nothing that was not given is in them.
    """
    parts: list[str] = []
    length = count = 0
    for low, high in _runs(uids):
        part = str(low) if low == high else f"{low}:{high}"
        if parts and length + len(part) > _MAX_CHARACTERS:
            yield ",".join(parts), count
            parts, length, count = [], 0, 0
        parts.append(part)
        length += len(part) + 1
        count += high - low + 1
    if parts:
        yield ",".join(parts), count


def written_set(uids: Iterable[int]) -> str:
    """Write UIDs as one set, however long."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in _runs(uids))


def _runs(uids: Iterable[int]) -> Iterator[tuple[int, int]]:
    low = high = 0
    for uid in uids:
        if low and uid == high + 1:
            high = uid
            continue
        if low:
            yield low, high
        low = high = uid
    if low:
        yield low, high
