"""What the page of the benchmark says of its figures: when, how and with what they were measured."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection
from importlib import metadata

from benchmarks.core.machine import facts
from benchmarks.core.report import listed

_LIBRARIES = ("asyncnet", "aiohttp", "aiosmtplib", "aioimaplib", "Scrapy")
_PROGRAMS = {"curl": "--version", "aria2c": "--version", "wget2": "--version", "nginx": "-v"}
_VERSION = re.compile(r"\d+\.\d[\d.]*")


def head(*columns: str, texts: Collection[str] = ()) -> str:
    """Give the head of a table in Markdown; the first column is text, and `texts` are, the others are figures."""
    rule = "|".join("---" if column in texts else "--:" for column in columns[1:])
    return f"| {' | '.join(columns)} |\n|---|{rule}|"


def stamp(others: float, seconds: float, section: str) -> str:
    """Say when a section was measured, how long that took, by what command, and what else the machine did.

    Args:
        others: the share of the machine that others used meanwhile.
        seconds: that it took.
        section: its name.
    """
    about = facts(others)
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return f"`python -m benchmarks.jobs --only {section}`, {about['date']}, {took}; {about['noise']}"


def versions() -> str:
    """List the machine, and what was measured with what."""
    about = facts(0.0)
    found = [f"{name} {metadata.version(name)}" for name in _LIBRARIES if _is_there(name)]
    found += [f"{name} {_version(name)}" for name in _PROGRAMS if _path(name)]
    return listed({"machine": about["machine"], "python": about["python"], "measured": ", ".join(found)})


def _is_there(library: str) -> bool:
    try:
        metadata.version(library)
    except metadata.PackageNotFoundError:
        return False
    return True


def _path(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def _version(program: str) -> str:
    words = [_path(program) or program, _PROGRAMS[program]]
    said = subprocess.run(words, capture_output=True, text=True, timeout=30.0, check=False)
    found = _VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "of an unknown version"
