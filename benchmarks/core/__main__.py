"""Measure the core against its peers: `python -m benchmarks.core`, or `make bench-core`.

Servers have the first core and the load the last; every byte that comes back is checked. A whole run takes about
twenty minutes and writes docs/; a partial one (`--quick`, `--only`, `--kind`, few rounds) writes build/bench-core/.
`--only churn --merge` measures one section, and puts it into what docs/ holds: a whole run in parts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.core import bench, counts, exchanges, memory, parts, receiving
from benchmarks.core.bars import verdicts
from benchmarks.core.build import ROOT, SCRATCH, NotBuilt, program
from benchmarks.core.kinds import KINDS
from benchmarks.core.machine import Watch, facts
from benchmarks.core.plot import picture
from benchmarks.core.report import Table, as_json, listed, put_between, tables

BENCHES = (*exchanges.BENCHES, receiving.BENCH, memory.BENCH, *counts.BENCHES)

_ROUNDS = 5
_DOCUMENT = "benchmarks-core.md"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__.partition("\n")[0])
    names = [one.columns[0].name for one in BENCHES]
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds (default {_ROUNDS})")
    only = list(dict.fromkeys([*parts.SECTIONS, *names]))
    parser.add_argument("--only", action="append", metavar="PART", choices=only, help=f"one of {', '.join(only)}")
    parser.add_argument("--kind", action="append", metavar="KIND", choices=KINDS, help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--quick", action="store_true", help="one round of a tenth: does it all work?")
    parser.add_argument("--out", type=Path, help="the folder to write to")
    parser.add_argument("--merge", action="store_true", help="put what is found into what docs/ (--out) holds")
    asked = parser.parse_args()
    if asked.merge and (asked.quick or asked.kind or (asked.rounds or _ROUNDS) < _ROUNDS):
        parser.error(f"--merge takes all kinds, {_ROUNDS} rounds or more, and no --quick: it is a part of a whole run")
    return asked


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def kept(rows: tuple[str, ...], kinds: list[str] | None) -> list[str]:
    """Give the rows of the kinds that are asked for."""
    return [row for row in rows if not kinds or row.partition(":")[0] in kinds]


def write(folder: Path, made: list[Table], svg: str, raw: str, about: str) -> None:
    """Write the tables, the picture and the raw figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench-core.json").write_text(raw, encoding="utf-8")
    (folder / "bench-core.svg").write_text(svg, encoding="utf-8")
    text = "\n".join([about, *(table.markdown() for table in made)])
    if (folder / _DOCUMENT).exists():
        put_between(folder / _DOCUMENT, "figures", text)
    else:
        (folder / "bench-core.md").write_text(text, encoding="utf-8")
    say(f"written to {folder}")


def measured(asked: argparse.Namespace, rounds: int) -> bench.Figures:
    """Measure what is asked for."""
    figures, only = bench.Figures(), parts.columns(asked.only or [])
    for one in BENCHES:
        if not only or one.columns[0].name in only:
            bench.run(one, kept(one.rows, asked.kind), rounds, asked.quick, figures, say)
    return figures


def main() -> int:
    """Measure, print, write; the exit status is 0 if all was measured, whatever the figures are."""
    asked, watch = arguments(), Watch()
    rounds = asked.rounds or (1 if asked.quick else _ROUNDS)
    whole = asked.merge or not (asked.quick or asked.only or asked.kind or rounds < _ROUNDS)
    folder = asked.out or (ROOT / "docs" if whole else SCRATCH)
    try:
        program("load"), program("limit")
        if asked.merge:
            parts.merged(folder, bench.Figures(), {})
    except (NotBuilt, ValueError) as error:
        say(str(error))
        return 2
    figures = measured(asked, rounds)
    failed = bool(figures.faults)
    about = facts(watch.others()) | {
        "rounds": str(rounds),
        "command": f"python -m benchmarks.core {' '.join(sys.argv[1:])}".strip(),
    }
    when = parts.taken(figures, about)
    if asked.merge:
        figures, when = parts.merged(folder, figures, when)
        about |= {"parts": text} if (text := parts.told(when)) else {}
    if figures.faults:
        about["not measured"] = "; ".join(
            f"{column}, {row}: {fault}" for column, rows in figures.faults.items() for row, fault in rows.items()
        )
    judged = list(verdicts(figures))
    made = tables(figures, judged)
    print("\n".join([listed(about), *(table.text() for table in made)]))
    write(folder, made, picture(figures, about), as_json(figures, judged, about, when), listed(about))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
