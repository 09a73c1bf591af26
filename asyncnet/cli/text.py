"""Numbers and foreign words as text for people: short, in one line, without control characters."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Give a number of bytes with three digits: `512 B`, `1.20 kB`, `34.5 MB`."""
    if count < 1000:
        return f"{count} B"
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    return f"{amount:.{max(0, 2 - (amount >= 9.995) - (amount >= 99.95))}f} {_UNITS[unit]}"


def seconds(amount: float) -> str:
    """Give a time: `0.012 s`, `1.2 s`, `75 s`."""
    return f"{amount:.3f} s" if amount < 1 else f"{amount:.1f} s" if amount < 10 else f"{amount:.0f} s"


def number(count: int, noun: str) -> str:
    """Give `1 message`, `12 messages`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shown(words: str, *, most: int = 2000) -> str:
    """Give foreign words as they may be shown on a terminal: one line, bounded, control characters escaped."""
    cut = words[:most]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return cut + "..." if len(words) > most else cut
