"""Other programs that fetch: how each is told to, and what it said."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.jobs.askers import ASKERS
from benchmarks.jobs.gets import AT_ONCE, urls_of
from benchmarks.jobs.process import Ended
from benchmarks.jobs.telling import MOST_BYTES, PATIENCE

ASYNCNET = [sys.executable, "-m", "asyncnet"]
SPIDER = "benchmarks.jobs.spider"
_LIST, _CONFIG = "urls", "config"
_ARIA2 = ["aria2c", "--file-allocation=none", "--max-tries=1", "--deferred-input=true", "--enable-color=false"]
_ARIA2 += ["--allow-overwrite=true", "--auto-file-renaming=false", f"--max-concurrent-downloads={AT_ONCE}"]
_CURL = ["curl", "-sZ", "--parallel-max", str(AT_ONCE)]
_WGET2 = ["wget2", "--no-robots", "--tries=1", f"--max-threads={AT_ONCE}"]


def missing(program: str) -> bool:
    """Whether a program, or a module of Python's, is not installed here."""
    return importlib.util.find_spec("scrapy") is None if program == "Scrapy" else shutil.which(program) is None


# Many GETs of one file, each URL another.


def _curl(url: str, count: int, folder: Path) -> list[str]:
    return [*_CURL, "-f", "-o", "/dev/null", f"{url}?n=[1-{count}]"]


def _aria2(url: str, count: int, folder: Path) -> list[str]:
    """It cannot but write files; each goes over one that is done long since."""
    _write(folder, (f"{one}\n out={number % 1024}\n" for number, one in enumerate(urls_of(url, count))))
    return [*_ARIA2, "-q", "-d", str(folder / "out"), "-i", str(folder / _LIST)]


def _wget2(url: str, count: int, folder: Path) -> list[str]:
    _write(folder, (f"{one}\n" for one in urls_of(url, count)))
    return [*_WGET2, "-q", "-O", "/dev/null", "-i", str(folder / _LIST)]


def _scrapy(url: str, count: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", SPIDER, "gets", url, str(count)]


def _write(folder: Path, lines: Iterable[str]) -> None:
    with open(folder / _LIST, "w") as file:
        file.writelines(lines)


GETS: dict[str, Callable[[str, int, Path], list[str]]] = {
    "curl": _curl,
    "aria2c": _aria2,
    "wget2": _wget2,
    "Scrapy": _scrapy,
}


# A list of URLs, good and bad: bodies are kept, or told by their hashes, and failures are to be said.


@dataclass
class Said:
    """What a program made of each URL, by the number in it: the hash of a body, and what it said otherwise."""

    bodies: dict[int, str] = field(default_factory=dict)
    texts: defaultdict[int, str] = field(default_factory=lambda: defaultdict(str))


class Program(NamedTuple):
    """One that is given a list of URLs.

    Args:
        needs: what must be installed.
        words: makes its command for a list of URLs, in a folder.
        heard: reads what it said.
    """

    needs: str
    words: Callable[[list[str], Path], list[str]]
    heard: Callable[[Ended, Path], Said]


_NUMBER = re.compile(r"[?]n=(\d+)")


def number_of(url: str) -> int | None:
    """Give the number in a URL, or in a text with one."""
    found = _NUMBER.search(url)
    return None if found is None else int(found[1])


def _told(ended: Ended, folder: Path) -> Said:
    """Lines of JSON, and a traceback perhaps."""
    said = Said()
    for line in ended.out.splitlines():
        told = json.loads(line)
        if (number := number_of(told["url"])) is None:
            continue
        if "sha256" in told:
            said.bodies[number] = told["sha256"]
        elif told.get("ok"):
            said.bodies[number] = hashlib.sha256(_content(told)).hexdigest()
        else:
            error = told["error"]
            said.texts[number] = error if isinstance(error, str) else f"{error['type']}: {error['message']}"
    return _with_texts(said, ended.err.splitlines())


def _content(told: dict[str, str]) -> bytes:
    return told["text"].encode() if "text" in told else base64.b64decode(told["base64"])


def _with_texts(said: Said, pieces: Iterable[str]) -> Said:
    for piece in pieces:
        if (number := number_of(piece)) is not None:
            said.texts[number] += piece
    return said


def _with_files(said: Said, folder: Path) -> Said:
    """Take the files that it left; each is called by a number, or by its URL."""
    for file in folder.iterdir():
        number = int(file.name) if file.name.isdecimal() else number_of(file.name)
        if number is not None:
            said.bodies[number] = hashlib.sha256(file.read_bytes()).hexdigest()
    return said


def _own(way: str) -> Program:
    def words(urls: list[str], folder: Path) -> list[str]:
        _write(folder, (f"{url}\n" for url in urls))
        return [sys.executable, "-m", "benchmarks.jobs.askers", way, str(folder / _LIST)]

    return Program(sys.executable, words, _told)


def _fetch_words(urls: list[str], folder: Path) -> list[str]:
    _write(folder, (f"{url}\n" for url in urls))
    limits = ["--timeout", str(PATIENCE), "--max-bytes", str(MOST_BYTES), "--per-host", str(AT_ONCE)]
    return [*ASYNCNET, "fetch", "-i", str(folder / _LIST), "--output", "json", "-q", *limits]


def _curl_words(urls: list[str], folder: Path) -> list[str]:
    config = folder / _CONFIG
    config.write_text("".join(f'url = "{url}"\noutput = "{folder}/out/{number_of(url)}"\n' for url in urls))
    said = r"%{exitcode} %{url} %{errormsg}\n"
    limits = ["--max-time", str(PATIENCE), "--max-filesize", str(MOST_BYTES)]
    return [*_CURL, "-fL", "--compressed", "--create-dirs", "-w", said, *limits, "-K", str(config)]


def _curl_heard(ended: Ended, folder: Path) -> Said:
    failed = (line for line in ended.out.splitlines() if not line.startswith("0 "))
    return _with_files(_with_texts(Said(), [*failed, *ended.err.splitlines()]), folder / "out")


def _aria2_words(urls: list[str], folder: Path) -> list[str]:
    _write(folder, (f"{url}\n out={number_of(url)}\n" for url in urls))
    limits = [f"--timeout={PATIENCE:.0f}", f"--connect-timeout={PATIENCE:.0f}", "--console-log-level=error"]
    return [*_ARIA2, *limits, "--summary-interval=0", "-d", str(folder / "out"), "-i", str(folder / _LIST)]


def _aria2_heard(ended: Ended, folder: Path) -> Said:
    pieces = f"{ended.out}\n{ended.err}".split("[ERROR]")[1:]
    return _with_files(_with_texts(Said(), pieces), folder / "out")


def _wget2_words(urls: list[str], folder: Path) -> list[str]:
    _write(folder, (f"{url}\n" for url in urls))
    limits = [f"--timeout={PATIENCE:.0f}", "-v", "--progress=none", "--compression=gzip"]
    return [*_WGET2, *limits, "-P", str(folder / "out"), "-i", str(folder / _LIST)]


def _wget2_heard(ended: Ended, folder: Path) -> Said:
    failed = (line for line in f"{ended.out}\n{ended.err}".splitlines() if "error" in line.lower())
    return _with_files(_with_texts(Said(), failed), folder / "out")


def _spider_words(urls: list[str], folder: Path) -> list[str]:
    _write(folder, (f"{url}\n" for url in urls))
    return [sys.executable, "-m", SPIDER, "list", str(folder / _LIST)]


LISTS: dict[str, Program] = {
    "asyncnet, `jobs.run`": _own("asyncnet, `jobs.run`"),
    "`asyncnet fetch`": Program(sys.executable, _fetch_words, _told),
    **{way: _own(way) for way in ASKERS if not way.startswith("asyncnet")},
    "curl -Z": Program("curl", _curl_words, _curl_heard),
    "aria2": Program("aria2c", _aria2_words, _aria2_heard),
    "wget2": Program("wget2", _wget2_words, _wget2_heard),
    "Scrapy": Program("Scrapy", _spider_words, _told),
}
