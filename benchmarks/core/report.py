"""Figures as text, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.core import memory, receiving
from benchmarks.core.bars import Verdict
from benchmarks.core.bench import Column, Figures
from benchmarks.core.counts import INSTRUCTIONS, MORE_INSTRUCTIONS, SYSCALLS
from benchmarks.core.exchanges import EXCHANGES
from benchmarks.core.kinds import KINDS, LIMIT

_NONE = "–"

SERVERS = (*(exchange.column for exchange in EXCHANGES), memory.IDLE, memory.TALKED, SYSCALLS, INSTRUCTIONS)
CLIENTS = (receiving.COST, receiving.RATE)


class Table(NamedTuple):
    """A table; the first column is text, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Draw it for a terminal."""
        widths = [max(len(line[i]) for line in (self.head, *self.rows)) for i in range(len(self.head))]
        lines = [
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in (self.head, *self.rows)
        ]
        return "\n".join([self.title, "", *(line.rstrip() for line in lines), ""])

    def markdown(self) -> str:
        """Draw it for Markdown."""
        lines = [self.head, ["---", *["--:"] * (len(self.head) - 1)], *self.rows]
        return "\n".join([self.title, "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def tables(figures: Figures, verdicts: Iterable[Verdict]) -> list[Table]:
    """Make every table that has figures."""
    cost = "Server CPU in µs a request; KiB, system calls and 1,000 instructions. Medians; less is better."
    made = [
        _figures(cost, figures, SERVERS, KINDS),
        _figures("1,000 user instructions a request, in other patterns of load.", figures, MORE_INSTRUCTIONS, KINDS),
        _figures("A client receives 1 GiB: CPU (less is better) and speed. Medians.", figures, CLIENTS, receiving.ROWS),
        _nearness(figures),
        judgement("The bars", verdicts),
    ]
    return [table for table in made if table.rows]


def judgement(title: str, verdicts: Iterable[Verdict]) -> Table:
    """Make the table of what was met and missed."""
    rows = [
        [verdict.what, _number(verdict.found), verdict.bar, verdict.word, _spread(verdict.spread)]
        for verdict in verdicts
    ]
    return Table(title, ["what", "found", "bar", "verdict", "single rounds"], rows)


def _figures(title: str, figures: Figures, columns: Sequence[Column], labels: Mapping[str, str]) -> Table:
    measured = [column for column in columns if figures.has(column.name)]
    rows = [
        [label, *(_number(figures.median(column.name, row)) for column in measured)]
        for row, label in labels.items()
        if any(figures.of(column.name, row) for column in measured)
    ]
    return Table(title, ["", *(column.title for column in measured)], rows)


def _nearness(figures: Figures) -> Table:
    """How near asyncnet is to the walls, C and the bare callbacks, and how far ahead of streams."""
    rows = []
    for exchange in EXCHANGES:
        name = exchange.column.name
        pairs = [
            (LIMIT, "asyncnet"),
            ("protocol", "asyncnet"),
            ("streams", "asyncnet"),
            (LIMIT, "asyncnet+uvloop"),
            ("protocol+uvloop", "asyncnet+uvloop"),
            ("streams+uvloop", "asyncnet+uvloop"),
        ]
        cells = [_quotient(figures.median(name, above), figures.median(name, below)) for above, below in pairs]
        if set(cells) != {_NONE}:
            rows.append([exchange.column.title, *cells])
    head = ["", "of C", "of Protocol", "× streams", "uvloop: of C", "of Protocol", "× streams"]
    return Table("How near the wall: asyncnet's speed as a share of C's and of asyncio.Protocol's", head, rows)


def _quotient(above: float | None, below: float | None) -> str:
    return f"{above / below:.2f}" if above and below else _NONE


def _number(value: float | None) -> str:
    if value is None:
        return _NONE
    return (
        f"{value:,.0f}"
        if value >= 1_000 or isinstance(value, int)
        else f"{value:.1f}"
        if value >= 20
        else f"{value:.2f}"
    )


def _spread(spread: tuple[float, float] | None) -> str:
    return _NONE if spread is None else f"{_number(spread[0])} to {_number(spread[1])}"


def as_json(figures: Figures, verdicts: Iterable[Verdict], facts: Mapping[str, str], taken: Mapping[str, str]) -> str:
    """Write all raw figures; `taken` says of each column when."""
    columns = {
        column.name: {"title": column.title, "unit": column.unit} for column in (*SERVERS, *MORE_INSTRUCTIONS, *CLIENTS)
    }
    content = {
        "facts": dict(facts),
        "columns": {
            name: columns[name] | {"taken": taken[name], "rounds": rows} for name, rows in figures.rounds.items()
        },
        "faults": asdict(figures)["faults"],
        "bars": [verdict._asdict() for verdict in verdicts],
    }
    return json.dumps(content, indent=1) + "\n"


def listed(facts: Mapping[str, str]) -> str:
    """Write the facts as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n"


def put_between(path: Path, mark: str, text: str) -> None:
    """Replace what a document says between `<!-- mark -->` and `<!-- end of mark -->`.

    Raises:
        ValueError: the marks are not there.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise ValueError(f"{path} has no place for {mark}")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
