"""A bench fills columns of figures, row by row, in interleaved rounds: what drifts, drifts for all rows alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.core.process import Failed

Measure = Callable[[str], dict[str, float]]
"""Measure a row once: its figures by the names of their columns."""


class Column(NamedTuple):
    """One column.

    Args:
        name: what `--only` calls it.
        title: its head in tables.
        unit: what its figures are.
        more_is_better: a rate rather than a cost.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool = False


class Bench(NamedTuple):
    """What is started once, and then measured round by round.

    Args:
        columns: what it fills.
        rows: who is measured.
        prepare: starts what is needed (quickly, if told so) and gives what measures.
        rounds: at most so many: exact counts need one.
    """

    columns: tuple[Column, ...]
    rows: tuple[str, ...]
    prepare: Callable[[bool], AbstractContextManager[Measure]]
    rounds: int = 1_000


@dataclass
class Figures:
    """All that was found.

    Args:
        rounds: by column and row, a figure for each round.
        faults: by column and row, why there is none.
    """

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    faults: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, column: str, row: str) -> list[float]:
        """Give the figures of all rounds; none if it was not measured."""
        return self.rounds.get(column, {}).get(row, [])

    def median(self, column: str, row: str) -> float | None:
        """Give the median of all rounds."""
        found = self.of(column, row)
        return statistics.median(found) if found else None

    def has(self, column: str) -> bool:
        """Whether there is anything in this column."""
        return bool(self.rounds.get(column))

    def take(self, row: str, found: dict[str, float]) -> None:
        """Take what one measurement gave."""
        for column, value in found.items():
            self.rounds.setdefault(column, {}).setdefault(row, []).append(value)


def run(
    bench: Bench, kept: Sequence[str], rounds: int, quick: bool, figures: Figures, say: Callable[[str], None]
) -> None:
    """Measure; what fails once is left out from then on, and its fault is told."""
    rows = [row for row in bench.rows if row in kept]
    name, count = bench.columns[0].name, min(rounds, bench.rounds)
    try:
        with bench.prepare(quick) as measure:
            for number in range(count):
                say(f"{name}: round {number + 1} of {count}")
                # Another one begins each time, so that nobody always comes after the same neighbour.
                turn = number % len(rows) if rows else 0
                for row in rows[turn:] + rows[:turn]:
                    found = _tried(bench, measure, row, figures, say)
                    if found is None:
                        rows = [other for other in rows if other != row]
                    else:
                        figures.take(row, found)
    except Failed as error:
        for row in rows:
            figures.faults.setdefault(name, {})[row] = str(error)
        say(f"{name}: {error}")


def _tried(
    bench: Bench, measure: Measure, row: str, figures: Figures, say: Callable[[str], None]
) -> dict[str, float] | None:
    try:
        return measure(row)
    except Failed as error:
        for column in bench.columns:
            figures.rounds.get(column.name, {}).pop(row, None)
            figures.faults.setdefault(column.name, {})[row] = str(error)
        say(f"{bench.columns[0].name}: {row}: {error}")
        return None
