"""The benchmark of the jobs judges rightly, ends what it starts, and has a place for each figure."""

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from benchmarks.jobs.__main__ import PAGE, SECTIONS
from benchmarks.jobs.awkward import Kind, judged
from benchmarks.jobs.process import Ended, Failed, TooLong, done, highest_rss, run, serving
from benchmarks.jobs.programs import LISTS, Said

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmark is for Linux")

PATIENCE = 20.0


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_each_section_has_a_place_on_the_page():
    places = re.findall(r"<!-- (\w+) -->", PAGE.read_text())
    assert [name for name in places if name != "versions"] == list(SECTIONS)
    assert [name for name in places if f"<!-- end of {name} -->" not in PAGE.read_text()] == []


def test_what_a_program_took_is_its_own():
    held = b"x" * (64 << 20)
    ended = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), PATIENCE)
    assert (ended.status, ended.out, ended.err) == (3, "out\n", "err\n")
    assert ended.rss < 40, "not what this process holds"
    assert run(python("a = b'x' * (64 << 20)"), PATIENCE).rss > 64
    assert highest_rss() > len(held) >> 20


def test_a_program_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    child = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(TooLong):
        run(python(code), 1.0, folder=tmp_path)
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + PATIENCE
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(pid)


def test_a_program_that_fails_is_told_with_what_it_wrote():
    with pytest.raises(Failed, match="why"):
        done(python("import sys; sys.exit('why')"), PATIENCE)
    with pytest.raises(Failed, match="did not start"):
        run(["/nonexistent/program"], PATIENCE)


def test_a_server_ends_with_its_block():
    with serving("fast") as port:
        assert port.isdecimal()


@pytest.mark.parametrize(
    ("kind", "said", "verdict"),
    [
        ("", Said({1: "good"}), 0),
        ("", Said({1: "other"}), 4),
        ("", Said(), 4),
        ("404", "The requested URL returned error: 404", 1),
        ("404", "it failed", 2),
        ("404", "http://host/404?n=1: it failed", 2),
        ("404", Said({1: "page"}), 3),
        ("404", Said(), 4),
    ],
)
def test_a_program_is_judged_by_what_it_kept_and_said(kind, said, verdict):
    if isinstance(said, str):
        text, said = said, Said({1: "page"})
        said.texts[1] = text
    assert judged(Kind(kind, "http://host/404", re.compile("404")), 1, said, "good") == verdict


def test_what_programs_say_is_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "3").write_bytes(b"body")
    (tmp_path / "out" / "page?n=4").write_bytes(b"body")
    curl = "0 http://h/?n=3 \n22 http://h/?n=5 The requested URL returned error: 404\n"
    aria2 = "\n12/01 [ERROR] CUID#7 - Download aborted. URI=http://h/?n=5\n  -> status=404\n12/01 [ERROR] other ?n=6"
    wget2 = "HTTP ERROR response 404 Not Found [http://h/?n=5]\n"
    for name, out in (("curl -Z", curl), ("aria2", aria2), ("wget2", wget2)):
        said = LISTS[name].heard(Ended(0, 0.0, 0.0, 0.0, out, ""), tmp_path)
        assert set(said.bodies) == {3, 4}
        assert "404" in said.texts[5], name
        assert 3 not in said.texts
    lines = [
        {"url": "http://h/?n=1", "ok": True, "text": "body"},
        {"url": "http://h/?n=2", "ok": False, "error": {"type": "StatusError", "message": "404"}},
    ]
    said = LISTS["`asyncnet fetch`"].heard(Ended(0, 0.0, 0.0, 0.0, "\n".join(map(json.dumps, lines)), ""), tmp_path)
    assert set(said.bodies) == {1}
    assert said.texts == {2: "StatusError: 404"}


def test_what_was_kept_is_known_by_its_number(tmp_path: Path):
    words = LISTS["aria2"].words(["http://h/?n=1", "http://h/?n=2"], tmp_path)
    assert (tmp_path / "urls").read_text() == "http://h/?n=1\n out=1\nhttp://h/?n=2\n out=2\n"
    assert words[-1] == str(tmp_path / "urls")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, ProcessLookupError):
        return False
