"""The report in a real browser: it draws, in light and dark, narrow and wide, and nothing that a peer said runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from asyncnet.errors import StatusError
from asyncnet.jobs import Outcome, call
from asyncnet.jobs.page import page
from asyncnet.jobs.report import Report
from asyncnet.jobs.tracks import heard
from asyncnet.trace import TraceEvent

pytestmark = pytest.mark.real
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("ASYNCNET_REQUIRE_REAL") == "1":
            pytest.fail("ASYNCNET_REQUIRE_REAL=1, and there is no chromium")
        pytest.skip("there is no chromium")
    return path


async def nothing() -> None:
    """Work of no kind."""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    now = [0.0]
    made = Report(tmp_path / "x", HOSTILE, clock=lambda: now[0])
    for number in range(200):
        name = f"{HOSTILE} {number}" if number % 10 == 0 else f"https://h{number % 7}.example.org/{number}"
        job = call(nothing, name=name, host=HOSTILE if number % 10 == 0 else f"h{number % 7}.example.org")
        made.asked(job)
        now[0] += 0.01
        made.began(job, 1)
        for kind, seconds in (("resolve", 0.004), ("connect", 0.01), ("tls", 0.02), ("first_byte", 0.03)):
            now[0] += seconds
            heard(TraceEvent(kind, now[0], number, "https://h", "GET", HOSTILE, seconds))
        now[0] += 0.01
        heard(TraceEvent("done", now[0], number, "https://h", "GET", "", 0.074))
        error = StatusError(code=503, text=HOSTILE, transient=True) if number % 9 == 0 else None
        made.ended(job, Outcome(name, None, error, 1, 0.074, 5000))
    path = tmp_path / "report.html"
    path.write_text(page(made.data()))
    return path


def browse(tmp_path: Path, *arguments: str) -> bytes:
    command = [
        *(chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--disable-background-networking", "--virtual-time-budget=3000"),
        *("--enable-logging=stderr", *arguments),
    ]
    ran = subprocess.run(command, capture_output=True, timeout=120)
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")[-2000:]
    console = [line for line in ran.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    assert console == [], "no error, and nothing that the policy had to stop"
    return ran.stdout


def test_the_page_is_drawn_and_nothing_hostile_runs(report, tmp_path):
    dom = browse(tmp_path, "--dump-dom", report.as_uri()).decode()
    drawn = dom.partition('<main id="page">')[2].partition("</main>")[0]
    assert len(re.findall(r'class="fall(?: bad)?"', drawn)) >= 100
    for kind in ("queue", "resolve", "connect", "tls", "request", "transfer"):
        assert re.search(rf'<i class="{kind}"', drawn), kind
    assert len(re.findall("<svg", drawn)) == 2
    assert "<img" not in drawn
    assert "owned" not in dom.partition("<title>")[2].partition("</title>")[0].replace("document.title='owned'", "")


@pytest.mark.parametrize(("look", "size"), [("light", "1280,1800"), ("dark", "1280,1800"), ("dark", "500,2000")])
def test_a_screenshot_shows_a_page_full_of_things(report, tmp_path, look, size):
    shot = tmp_path / "shot.png"
    browse(tmp_path, f"--window-size={size}", f"--screenshot={shot}", f"{report.as_uri()}#{look}")
    if folder := os.environ.get("ASYNCNET_SCREENSHOTS"):
        shutil.copy(shot, Path(folder) / f"report-{look}-{size.partition(',')[0]}.png")
    data = shot.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 60_000, "an empty page is small"
