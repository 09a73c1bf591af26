"""asyncnet demo: all of it in a few seconds, with what is installed, and nothing left but the page."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnet import ConnectError, Lab, jobs, pop3
from asyncnet.cli.demonstration import Demonstration
from asyncnet.cli.tally import FAILED
from tests.cli.running import PATIENCE, ROOT, Terminal, environment, process


def test_it_ends_well_in_time_and_leaves_the_page_alone(tmp_path: Path) -> None:
    ran = process("demo", cwd=tmp_path, env=environment(tmp_path, PYTHONPATH=str(ROOT), PYTHONWARNINGS="error"))
    assert (ran.status, ran.err) == (0, ""), ran
    for step in ("SMTP", "IMAP IDLE", "POP3", "HTTP", "sockets", "200 jobs"):
        assert f"ok      {step}" in ran.out
    assert "200 of 200 done" in ran.out
    assert "failed" not in ran.out
    assert "Next:" in ran.out
    assert [path.name for path in tmp_path.iterdir()] == ["asyncnet-demo.html"]
    page = (tmp_path / "asyncnet-demo.html").read_text()
    assert "default-src 'none'" in page
    assert "a page and a mailbox, 7" in page


# As an import hook of a fresh environment: what is named there is not installed.
_WITHOUT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from asyncnet.cli.main import main
sys.exit(main(["demo"]))
"""


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (["trustme", "nh3", "rich"], ["TLS, for trustme"]),
        (["aioimaplib", "trustme", "uvloop"], ["TLS,", "IMAP, for aio"]),
    ],
)
def test_it_works_without_the_extras_and_says_what_is_left_out(
    absent: list[str], told: list[str], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(absent=absent)],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert [word for word in told if f"left out: {word}" not in ended.stdout] == []
    assert "200 of 200 done" in ended.stdout


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    with Terminal("demo", "--report", tmp_path / "page.html") as terminal:
        assert terminal.wait() == 0
        assert "what came of it" in terminal.shown
        assert "200 of 200 done" in terminal.shown
    assert os.path.exists(tmp_path / "page.html")


def test_a_report_that_cannot_be_written_is_wrong_usage_and_said_first(tmp_path: Path) -> None:
    ran = process("demo", "--report", tmp_path / "nowhere" / "page.html")
    assert ran.status == 2
    assert "nowhere" in ran.err


async def test_a_step_that_fails_is_a_row_and_the_demo_goes_on(tmp_path: Path, monkeypatch, capsys) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise ConnectError("nobody is there")

    monkeypatch.setattr(pop3, "fetch", refused)
    monkeypatch.setattr(Demonstration, "_jobs", lambda *_: asyncio.sleep(0))
    assert await Demonstration(tmp_path / "page.html").run() == FAILED
    said = capsys.readouterr().out
    for row in ("failed  POP3", "ok      HTTP", "ok      sockets"):
        assert row in said
    assert "nobody is there" in said


async def test_jobs_that_cannot_be_run_are_a_row_too(tmp_path: Path, monkeypatch, capsys) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise ConnectError("nobody is there")

    monkeypatch.setattr(jobs, "run", refused)
    assert await Demonstration(tmp_path / "page.html").run() == FAILED
    said = capsys.readouterr().out
    assert "failed  200 jobs" in said
    assert "ConnectError: nobody is there" in said


async def test_servers_that_do_not_come_up_end_it_with_that_row(tmp_path: Path, monkeypatch, capsys) -> None:
    async def taken(self: Lab) -> None:
        raise ConnectError("the port is taken")

    monkeypatch.setattr(Lab, "__aenter__", taken)
    assert await Demonstration(tmp_path / "page.html").run() == FAILED
    said = capsys.readouterr().out
    assert "failed  servers" in said
    assert "the port is taken" in said
    assert "SMTP" not in said.partition("All of it")[0]
