"""Attack the core: `python -m benchmarks.core.attacks`, or `make bench-core-attacks`; about three minutes.

A whole run writes its tables into docs/; `--quick`, `--only` and `--uvloop` print, and write to build/bench-core/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.core.attacks import crowd, descriptors, honest, team
from benchmarks.core.attacks.room import Victim
from benchmarks.core.bars import Verdict
from benchmarks.core.build import ROOT, SCRATCH, NotBuilt, program
from benchmarks.core.machine import Watch, facts
from benchmarks.core.process import Failed
from benchmarks.core.report import Table, judgement, listed, put_between

Found = tuple[Table, list[Verdict], object]


def _attacks(uvloop: bool, quick: bool) -> Found:
    with Victim(uvloop) as victim:
        seen = []
        for one in honest.watch(victim, 3.0 if quick else 15.0):
            print(f"attacks: {one.what}", file=sys.stderr, flush=True)
            seen.append(one)
    return honest.table(seen), list(honest.verdicts(seen)), [one._asdict() for one in seen]


def _crowd(uvloop: bool, quick: bool) -> Found:
    found = crowd.gather(uvloop, quick)
    return crowd.table(found), list(crowd.verdicts(found)), found._asdict()


def _descriptors(uvloop: bool, quick: bool) -> Found:
    found = descriptors.endure(uvloop, quick)
    return descriptors.table(found), list(descriptors.verdicts(found)), found._asdict()


def _workers(uvloop: bool, quick: bool) -> Found:
    found = team.see(uvloop, quick)
    return team.table(found), list(team.verdicts(found)), found._asdict()


TESTS: dict[str, Callable[[bool, bool], Found]] = {
    "attacks": _attacks,
    "crowd": _crowd,
    "descriptors": _descriptors,
    "workers": _workers,
}


def main() -> int:
    """Attack, print, write; the exit status is 0 if every bar was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core.attacks")
    parser.add_argument("--only", action="append", choices=TESTS)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: does it all work?")
    parser.add_argument("--uvloop", action="store_true", help="attack a server on uvloop")
    parser.add_argument("--out", type=Path, help="the folder to write to")
    asked, watch = parser.parse_args(), Watch()
    tables: list[Table] = []
    verdicts: list[Verdict] = []
    raw: dict[str, object] = {}
    try:
        program("load")
        for name in asked.only or TESTS:
            print(name, file=sys.stderr, flush=True)
            table, judged, raw[name] = TESTS[name](asked.uvloop, asked.quick)
            tables.append(table)
            verdicts += judged
    except (NotBuilt, Failed) as error:
        print(error, file=sys.stderr)
        return 2
    about = facts(watch.others()) | {"command": f"python -m benchmarks.core.attacks {' '.join(sys.argv[1:])}".strip()}
    tables.append(judgement("The bars", verdicts))
    print("\n".join([listed(about), *(table.text() for table in tables)]))
    whole = not (asked.quick or asked.only or asked.uvloop)
    _write(asked.out or (ROOT / "docs" if whole else SCRATCH), tables, about, {"facts": about, **raw})
    return 0 if all(verdict.word != "missed" for verdict in verdicts) else 1


def _write(folder: Path, tables: list[Table], about: dict[str, str], raw: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench-core-attacks.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    if (document := folder / "benchmarks-core.md").exists():
        put_between(document, "attacks", "\n".join([listed(about), *(table.markdown() for table in tables)]))
    print(f"written to {folder}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
