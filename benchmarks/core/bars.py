"""The bars: what the core is held to, as ratios and figures of one run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.core.bench import Figures

_NOISE = 0.15
"""Differences of CPU below this mean nothing: who must be no worse is then even."""


class Verdict(NamedTuple):
    """How one bar was met.

    Args:
        what: is held against what.
        found: the figure.
        bar: as text, with its direction.
        word: "pass", "even" or "missed".
        spread: the least and most of the rounds taken singly, where there are several.
    """

    what: str
    found: float
    bar: str
    word: str
    spread: tuple[float, float] | None = None


class Ratio(NamedTuple):
    """Median of `above` divided by that of `below`, both rows of `column`, must be `least` or more."""

    what: str
    column: str
    above: str
    below: str
    least: float

    def judge(self, figures: Figures) -> Verdict | None:
        """Judge; None where it was not measured."""
        above, below = figures.of(self.column, self.above), figures.of(self.column, self.below)
        if not above or not below or not min(below):
            return None
        found = statistics.median(above) / statistics.median(below)
        singly = [one / other for one, other in zip(above, below, strict=False)]
        word = "pass" if found >= self.least else "missed"
        if word == "missed" and self.least == 1.0 and found >= 1.0 - _NOISE:
            word = "even"
        return Verdict(
            self.what, found, f">= {self.least:g}", word, (min(singly), max(singly)) if len(singly) > 1 else None
        )


class Most(NamedTuple):
    """The median of `row` in `column`, less that of `base` where there is one, must be `most` or less."""

    what: str
    column: str
    row: str
    most: float
    base: str | None = None

    def judge(self, figures: Figures) -> Verdict | None:
        """Judge; None where it was not measured."""
        found = figures.median(self.column, self.row)
        base = 0.0 if self.base is None else figures.median(self.column, self.base)
        if found is None or base is None:
            return None
        value = found - base
        # Counts of two runs differ by what a loop does now and then, not by messages.
        return Verdict(self.what, value, f"<= {self.most:g}", "pass" if value <= self.most * 1.01 else "missed")


def _on_both(what: str, column: str, above: str, below: str, least: float, on_uvloop: float) -> tuple[Ratio, Ratio]:
    return (
        Ratio(what, column, above, below, least),
        Ratio(f"{what}, uvloop", column, _uvloop(above), _uvloop(below), on_uvloop),
    )


def _uvloop(row: str) -> str:
    kind, colon, way = row.partition(":")
    return f"{kind}+uvloop{colon}{way}"


_READ, _EXACT = "asyncnet:read", "asyncnet:read_exactly"
_STREAM_READ, _STREAM_EXACT = "streams:read", "streams:readexactly"

BARS: tuple[Ratio | Most, ...] = (
    Most("system calls a small message", "syscalls", "asyncnet", 3.0),
    Most("system calls a small message, uvloop", "syscalls", "asyncnet+uvloop", 3.0),
    Most("1,000 instructions a message over asyncio.Protocol's", "instructions", "asyncnet", 16.0, "protocol"),
    Most("the same, uvloop", "instructions", "asyncnet+uvloop", 16.0, "protocol+uvloop"),
    *_on_both("50 × 64 B: speed of asyncio.Protocol's", "50x64", "protocol", "asyncnet", 0.72, 0.65),
    Ratio("50 × 64 B: times asyncio streams", "50x64", "streams", "asyncnet", 1.15),
    Ratio("50 × 64 B: times anyio", "50x64", "anyio", "asyncnet", 2.5),
    Ratio("50 × 64 B: times trio", "50x64", "trio", "asyncnet", 1.0),
    Ratio("50 × 64 B: times Twisted", "50x64", "twisted", "asyncnet", 1.0),
    Ratio("50 × 64 B: times Tornado", "50x64", "tornado", "asyncnet", 1.0),
    *_on_both("50 × 64 KiB: times asyncio streams", "50x64k", "streams", "asyncnet", 1.4, 1.4),
    *_on_both("1 GiB, CPU: read, times StreamReader.read", "receive", _STREAM_READ, _READ, 5.0, 4.0),
    *_on_both("1 GiB, CPU: read_exactly, times readexactly", "receive", _STREAM_EXACT, _EXACT, 5.0, 5.0),
    *_on_both("1 GiB, MB/s: read, times StreamReader.read", "receive-rate", _READ, _STREAM_READ, 5.0, 4.0),
    *_on_both("1 GiB, MB/s: read_exactly, times readexactly", "receive-rate", _EXACT, _STREAM_EXACT, 5.0, 5.0),
    *_on_both("churn: times asyncio streams", "churn", "streams", "asyncnet", 1.0, 1.2),
    Most("idle connection, KiB", "idle", "asyncnet", 4.0),
    Most("idle connection, KiB, uvloop", "idle", "asyncnet+uvloop", 3.5),
    *_on_both("TLS 50 × 1 KiB: times asyncio streams", "tls", "streams", "asyncnet", 1.0, 1.0),
)


def verdicts(figures: Figures) -> Iterator[Verdict]:
    """Judge all that was measured."""
    for bar in BARS:
        if (verdict := bar.judge(figures)) is not None:
            yield verdict
