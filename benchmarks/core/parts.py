"""A whole run in parts: what is measured anew takes the place of what an earlier run found of the same columns.

A ratio compares rows of one column, and a column is always taken anew as a whole: what is compared is of one run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.core.bench import Figures

SECTIONS: dict[str, Sequence[str]] = {
    "echo": ("1x64", "50x64"),
    "bulk": ("50x64k",),
    "churn": ("churn",),
    "tls": ("tls",),
    "receive": ("receive",),
    "idle": ("idle",),
    "counts": ("syscalls", "instructions", "instructions-50x64", "instructions-churn", "instructions-tls"),
}
"""What `--only` takes besides the names of columns; each takes some minutes."""

_Taken = dict[str, str]
"""By column, when it was taken and how busy the machine was"""


def columns(words: Sequence[str]) -> set[str]:
    """Give the columns that are meant by sections and columns."""
    return {name for word in words for name in SECTIONS.get(word, (word,))}


def taken(figures: Figures, facts: Mapping[str, str]) -> _Taken:
    """Note of every column when this run took it."""
    return dict.fromkeys([*figures.rounds, *figures.faults], f"{facts['date']} ({facts['noise']})")


def merged(folder: Path, new: Figures, when: _Taken) -> tuple[Figures, _Taken]:
    """Put what was found into what `folder` holds of earlier runs.

    Raises:
        ValueError: what is there was not written by this benchmark.
    """
    path = folder / "bench-core.json"
    if not path.exists():
        return new, when
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        found = {name: column["rounds"] for name, column in old["columns"].items()}
        before = {name: column.get("taken", old["facts"]["date"]) for name, column in old["columns"].items()}
        faults = old["faults"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no record of this benchmark: {error!r}") from error
    kept = {name: rows for name, rows in faults.items() if name not in when}
    return Figures(found | new.rounds, kept | new.faults), before | when


def told(when: _Taken) -> str:
    """Say which columns were taken when; "" where all are of one run."""
    runs: dict[str, list[str]] = {}
    for name, moment in when.items():
        runs.setdefault(moment, []).append(name)
    return "; ".join(f"{', '.join(names)}: {moment}" for moment, names in runs.items()) if len(runs) > 1 else ""
