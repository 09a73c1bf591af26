"""What each makes of the same URLs, good and bad: what came whole, and what was said of the rest."""

from __future__ import annotations

import hashlib
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.jobs.gets import SIZE
from benchmarks.jobs.page import head
from benchmarks.jobs.process import Failed, run, scratch, serving
from benchmarks.jobs.programs import LISTS, Program, Said, missing
from tests.real.nginx import Nginx

_SECONDS = 120.0

_WHOLE, _NAMED, _UNNAMED, _TAKEN, _SILENT = range(5)
_WORDS = ("whole", "said", "said, but not why", "taken for good", "not a word")


class Kind(NamedTuple):
    """A kind of URL.

    Args:
        name: what is wrong with it; "" for a good one.
        url: without the number that makes each another.
        cause: how one says what is wrong with it, in whatever words.
    """

    name: str
    url: str
    cause: re.Pattern[str]


def _kinds(nginx: str, awkward: str, closed: str, good: str) -> list[Kind]:
    """Of twenty URLs twelve are good, and one each is bad in another way."""

    def kind(name: str, url: str, cause: str) -> Kind:
        return Kind(name, url, re.compile(cause, re.IGNORECASE))

    bad = [
        kind("404", f"{nginx}/status/404", "404|not found"),
        kind("500", f"{nginx}/status/500", "500"),
        kind("refused", f"{closed}/", "refused|connect"),
        kind("no URL", "http://127.0.0.1:x/", "url|uri|port|endpoint|malformed|scheme"),
        kind("cut short", f"{awkward}/cut", "incomplete|partial|payload|dataloss|remaining|expected|left|end of|EOF"),
        kind("too large", f"{awkward}/huge", "limit|large|size|exceed|ratio|bomb"),
        kind("redirect loop", f"{awkward}/loop", "redirect|loop"),
        kind("stalled", f"{awkward}/stall", "time|deadline|seconds"),
    ]
    whole, left = kind("", good, "$"), iter(bad)
    return [next(left) if number % 5 in (1, 3) else whole for number in range(20)]


def judged(kind: Kind, number: int, said: Said, sha256: str) -> int:
    """Say how a program did with one URL."""
    if not kind.name:
        return _WHOLE if said.bodies.get(number) == sha256 else _SILENT
    if text := said.texts.get(number):
        return _NAMED if kind.cause.search(text.replace(kind.url, "")) else _UNNAMED
    return _TAKEN if number in said.bodies else _SILENT


def bad(quick: bool) -> Iterator[str]:
    """What each makes of the same URLs, good and bad."""
    count = 100 if quick else 1000
    with ExitStack() as stack:
        nginx = stack.enter_context(Nginx())
        port = stack.enter_context(serving("awkward"))
        unused = stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        path = nginx.file(SIZE)
        kinds = _kinds(nginx.http, f"http://127.0.0.1:{port}", closed, nginx.http + path)
        asked = [kinds[number % len(kinds)] for number in range(count)]
        urls = [f"{kind.url}?n={number}" for number, kind in enumerate(asked)]
        sha256 = hashlib.sha256(nginx.on_disk(path).read_bytes()).hexdigest()
        good = sum(not kind.name for kind in asked)
        columns = ("whole", "failures said, with the cause", "exit status", "s", "peak MiB", "what went wrong")
        yield head(f"{count} URLs, {good} of them good", *columns, texts=columns[-1:])
        for name, program in LISTS.items():
            yield f"| {name} | {_row(program, urls, asked, sha256)} |"


def _row(program: Program, urls: list[str], asked: list[Kind], sha256: str) -> str:
    if missing(program.needs):
        return "is not installed: left out | | | | |"
    with scratch() as folder:
        (folder / "out").mkdir()
        try:
            ended = run(program.words(urls, folder), _SECONDS)
        except Failed as failed:
            return f"{failed} | | | | |"
        said = program.heard(ended, folder)
    found = Counter((judged(kind, number, said, sha256), kind.name) for number, kind in enumerate(asked))
    totals = Counter({how: sum(n for (one, _), n in found.items() if one == how) for how in range(5)})
    figures = f"{totals[_WHOLE]} | {totals[_NAMED]} | {ended.status} | {ended.seconds:.1f} | {ended.rss:.0f}"
    return f"{figures} | {_wrong(found)}"


def _wrong(found: Counter[tuple[int, str]]) -> str:
    """Say what was not as it should be."""
    told = []
    if lost := found[_SILENT, ""]:
        told.append(f"{lost} good ones lost")
    for how, words in enumerate(_WORDS):
        kinds = [f"{kind} ({number})" for (one, kind), number in sorted(found.items()) if one == how and kind]
        if how > _NAMED and kinds:
            told.append(f"{words}: {', '.join(kinds)}")
    return "; ".join(told)
