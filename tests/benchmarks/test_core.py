"""The benchmark of the core judges rightly: wrong bytes are noticed, bars fall both ways, what it draws is whole."""

import shutil
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks.core import bench, parts
from benchmarks.core.__main__ import BENCHES
from benchmarks.core.bars import Most, Ratio
from benchmarks.core.bench import Bench, Column, Figures
from benchmarks.core.build import NotBuilt, program
from benchmarks.core.counts import _calls
from benchmarks.core.plot import picture
from benchmarks.core.process import Failed, Generator, Server
from benchmarks.core.receivers import pattern
from benchmarks.core.report import Table, as_json, put_between, tables

FACTS = {"machine": "m", "python": "p, q", "date": "2026-01-01 00:00 UTC"}
PATIENCE = 20.0

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("gcc"), reason="the benchmark is for Linux, and needs gcc"
)


@pytest.fixture(scope="session", autouse=True)
def built(tmp_path_factory) -> Iterator[None]:
    """Compile into a folder of the tests' own: workers of a parallel run do not wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.core.build.SCRATCH", tmp_path_factory.mktemp("bench"))
        program.cache_clear()
        try:
            program("load"), program("limit")
        except NotBuilt as error:
            pytest.skip(str(error))
        yield
        program.cache_clear()


@contextmanager
def echo(change: Callable[[bytes], bytes]) -> Iterator[str]:
    """A server for one client, which changes what it sends back; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, suppress(ConnectionError):  # a load that is not content leaves at once
                while chunk := client.recv(65_536):
                    client.sendall(change(chunk))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(listener.getsockname()[1])
        finally:
            thread.join(PATIENCE)


def load(*words: object) -> subprocess.CompletedProcess:
    command = [program("load"), *map(str, words)]
    return subprocess.run(command, input="go\n", capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_load_counts_what_comes_back_right():
    with echo(lambda chunk: chunk) as port:
        done = load("echo", port, 1, 1000, 50)
    ready, result = done.stdout.splitlines()
    assert (done.returncode, ready) == (0, "ready")
    assert (result.split()[0], result.split()[-1]) == ("50", "0")


@pytest.mark.parametrize("wrong", [0, 1, 7])
def test_one_wrong_byte_stops_the_load(wrong):
    left = [wrong]

    def change(chunk: bytes) -> bytes:
        left[0] -= 1
        return chunk if left[0] >= 0 else chunk[:-1] + bytes([chunk[-1] ^ 1])

    with echo(change) as port:
        done = load("echo", port, 1, 64, 50)
    assert (done.returncode, done.stderr) == (1, "wrong bytes\n")


def test_an_old_reply_is_a_wrong_one():
    first = []

    def change(chunk: bytes) -> bytes:
        first.append(chunk)
        return first[0]

    with echo(change) as port:
        assert load("echo", port, 1, 64, 50).stderr == "wrong bytes\n"


def test_more_than_was_sent_is_wrong():
    with echo(lambda chunk: chunk + b"!") as port:
        assert load("echo", port, 1, 64, 50).returncode == 1


def test_c_and_python_agree_on_the_pattern():
    size = 300_000
    with Server("pour", command=[program("limit"), "pour", str(size)]) as pour:
        with socket.create_connection(("127.0.0.1", int(pour.port)), timeout=PATIENCE) as client:
            crc = 0
            while chunk := client.recv(65_536):
                crc = zlib.crc32(chunk, crc)
    assert crc == zlib.crc32(pattern(size))


def test_the_clock_of_a_process_counts_what_it_does():
    with Server("c") as server:
        before = server.cpu()
        with Generator("echo", server.port, 1, 64, 2_000) as generator:
            assert generator.run().requests == 2_000
        assert server.cpu() > before
        assert server.rss() > 100


def test_a_silent_process_is_a_fault():
    with Server("c") as server, pytest.raises(Failed, match="silent"):
        server.line(0.01)


def figures(**columns: dict[str, list[float]]) -> Figures:
    return Figures({name.replace("_", "-"): rows for name, rows in columns.items()})


@pytest.mark.parametrize(
    ("theirs", "least", "word"),
    [(12.0, 1.15, "pass"), (11.0, 1.15, "missed"), (9.0, 1.0, "even"), (8.0, 1.0, "missed"), (10.0, 1.0, "pass")],
)
def test_a_ratio_is_judged_by_medians(theirs, least, word):
    found = figures(a={"streams": [theirs, 0.1, 99.0], "asyncnet": [10.0, 1.0, 99.0]})
    verdict = Ratio("r", "a", "streams", "asyncnet", least).judge(found)
    assert verdict is not None
    assert (verdict.found, verdict.word) == (theirs / 10.0, word)


@pytest.mark.parametrize(("found", "word"), [(3.0, "pass"), (3.02, "pass"), (3.5, "missed")])
def test_a_count_is_judged_by_its_bar(found, word):
    verdict = Most("m", "a", "asyncnet", 3.0).judge(figures(a={"asyncnet": [found]}))
    assert verdict is not None
    assert verdict.word == word


def test_what_was_not_measured_is_not_judged():
    assert Ratio("r", "a", "streams", "asyncnet", 1.0).judge(figures(a={"streams": [1.0]})) is None


def test_rounds_are_interleaved_and_a_fault_ends_one_row_alone():
    seen = []

    @contextmanager
    def prepare(quick):
        def measure(row):
            seen.append(row)
            if row == "b" and len(seen) > 3:
                raise Failed("gone")
            return {"n": float(len(seen))}

        yield measure

    found = Figures()
    one = Bench((Column("n", "n", "n"),), ("a", "b", "c"), prepare)
    bench.run(one, ["a", "b", "c"], 3, False, found, lambda text: None)
    assert seen == ["a", "b", "c", "b", "c", "a", "a", "c"]
    assert found.faults == {"n": {"b": "gone"}}
    assert (len(found.of("n", "a")), len(found.of("n", "b")), len(found.of("n", "c"))) == (3, 0, 3)


def test_strace_s_table_is_read_with_and_without_errors():
    log = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.001676           2       629        57 newfstatat
 40.00    0.000000           0         3           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.006889           4       632        57 total
"""
    assert _calls(log) == 632


def test_the_picture_is_whole_and_escaped():
    found = figures(**{"50x64": {"asyncnet": [10.0], "streams": [20.0]}, "idle": {"asyncnet": [0.0]}})
    svg = picture(found, FACTS | {"machine": "a <b> & c"})
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a <b> & c; p; 2026-01-01; medians" in texts
    widths = [
        float(bar.get("width")) for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("class") != "ground"
    ]
    assert widths[0] * 2 == pytest.approx(widths[1], abs=0.1)


def test_nothing_measured_is_no_table():
    assert tables(Figures(), []) == []


def test_a_table_lines_up():
    table = Table("T", ["", "x"], [["long name", "1"], ["a", "22"]])
    assert table.text() == "T\n\n            x\nlong name   1\na          22\n"
    assert table.markdown() == "T\n\n|  | x |\n| --- | --: |\n| long name | 1 |\n| a | 22 |\n"


def test_figures_replace_older_ones_in_a_page(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    for text in ("one\n", "two\n"):
        put_between(page, "figures", text)
    assert page.read_text() == "before\n<!-- figures -->\n\ntwo\n\n<!-- end of figures -->\nafter\n"
    with pytest.raises(ValueError, match="no place for attacks"):
        put_between(page, "attacks", "x")


def test_a_part_takes_the_place_of_the_columns_that_it_measured(tmp_path: Path):
    old = figures(churn={"asyncnet": [1.0], "c": [2.0]}, idle={"asyncnet": [3.0]})
    old.faults = {"churn": {"trio": "old"}, "tls": {"trio": "old"}}
    early = parts.taken(old, {"date": "monday", "noise": "none"})
    (tmp_path / "bench-core.json").write_text(as_json(old, [], {"date": "monday"}, early))
    new = figures(churn={"asyncnet": [4.0]})
    found, when = parts.merged(tmp_path, new, parts.taken(new, {"date": "tuesday", "noise": "much"}))
    assert found.rounds == {"churn": {"asyncnet": [4.0]}, "idle": {"asyncnet": [3.0]}}
    assert found.faults == {"tls": {"trio": "old"}}
    assert parts.told(when) == "churn: tuesday (much); idle: monday (none)"
    assert parts.told(early) == ""


def test_the_first_part_needs_nothing_before_it(tmp_path: Path):
    new = figures(churn={"asyncnet": [4.0]})
    assert parts.merged(tmp_path, new, {"churn": "today"}) == (new, {"churn": "today"})


@pytest.mark.parametrize("text", ["", "[]", '{"columns": {"churn": 1}}', '{"columns": {}}'])
def test_what_is_no_record_is_not_written_over(text: str, tmp_path: Path):
    (tmp_path / "bench-core.json").write_text(text)
    with pytest.raises(ValueError, match="no record of this benchmark"):
        parts.merged(tmp_path, Figures(), {})


def test_the_sections_are_all_there_is():
    names = [one.columns[0].name for one in BENCHES]
    assert sorted(name for section in parts.SECTIONS.values() for name in section) == sorted(names)
    assert parts.columns(["bulk", "churn", "1x64"]) == {"50x64k", "churn", "1x64"}
