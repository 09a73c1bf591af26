"""The report: one page that says what a run did, in bounded size, and does not believe what peers say."""

import json
import re

import pytest

from asyncnet.errors import ConnectError, StatusError, UsageError
from asyncnet.jobs import Job, Outcome, call, run
from asyncnet.jobs.page import page
from asyncnet.jobs.report import Durations, Report, Timeline
from asyncnet.jobs.tracks import Sample, Track
from asyncnet.trace import TraceEvent
from tests.jobs.work import Site

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


async def nothing() -> None:
    """Work of no kind."""


def job(name: str, host: str | None = "a.example.org") -> Job:
    return call(nothing, name=name, host=host)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(report: Report, clock: Clock, one: Job, seconds: float = 0.1, error: Exception | None = None) -> None:
    report.asked(one)
    report.began(one, 1)
    clock.now += seconds
    report.ended(one, Outcome(one.name, None, error, 1, seconds, 1000))


def embedded(text: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


async def test_a_run_becomes_a_page_with_all_that_happened(tmp_path):
    site = Site()
    report = Report(tmp_path / "run.html", "nightly")
    with report.listening():
        await run(
            [site.leaf("a", host="one"), site.leaf("b", host="two", error=ConnectError("refused"))], observers=[report]
        )
    data = embedded((tmp_path / "run.html").read_text())
    assert (data["title"], data["done"], data["failed"], data["seen"]) == ("nightly", 1, 1, 2)
    assert data["errors"] == [["ConnectError", 1, 1, ["refused"]]]
    assert sorted(row[0] for row in data["hosts"]) == ["one", "two"]
    assert sorted(row[0] for row in data["tracks"]) == ["a", "b"]
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def test_what_is_hostile_is_data_and_never_markup(tmp_path):
    clock = Clock()
    report = Report(tmp_path / "x", HOSTILE, clock=clock)
    told(report, clock, job(HOSTILE, HOSTILE), error=StatusError(code=500, text=HOSTILE))
    text = page(report.data())
    assert len(re.findall(r"<script", text)) == 2, "the data and ours"
    assert len(re.findall(r"<img", text)) == 0
    data = embedded(text)
    assert data["title"] == HOSTILE
    assert HOSTILE[:20] in data["tracks"][0][0]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_a_title_of_half_a_character_is_written_too(tmp_path):
    await Report(tmp_path / "run.html", "of \udc80").aclose()
    assert embedded((tmp_path / "run.html").read_text())["title"] == "of \\udc80"


def test_the_page_asks_the_network_for_nothing(tmp_path):
    text = page(Report(tmp_path / "x", clock=Clock()).data())
    addresses = set(re.findall(r"https?://[^\s\"'`<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "that is the name of SVG, and no address"
    assert not re.search(r"\b(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttp|innerHTML|document\.write|\beval\(", text)


def test_a_long_run_makes_no_long_page(tmp_path):
    clock = Clock()
    report = Report(tmp_path / "x", clock=clock)
    for number in range(5000):
        error = ConnectError(f"refused {number}") if number % 3 == 0 else None
        told(report, clock, job(f"https://h{number}.example.org/{number}", f"h{number}.example.org"), error=error)
    data = report.data()
    assert data["seen"] == 5000
    assert len(data["tracks"]) <= 450
    assert len(data["hosts"]) == 1001
    assert sum(row[1] + row[2] for row in data["hosts"]) == 5000
    assert len(data["errors"][0][3]) == 5
    assert len(data["timeline"]["ticks"]) <= 240
    assert sum(done + failed for done, failed, _ in data["timeline"]["ticks"]) == 5000
    assert not report._tracks, "nothing is kept of what has ended"
    assert len(page(data)) < 500_000


def test_the_steps_of_a_job_are_those_of_the_trace():
    track = Track("a", "h", 1.0)
    for kind, at, seconds in [("resolve", 1.1, 0.1), ("connect", 1.3, 0.2), ("tls", 1.6, 0.3), ("request", 1.6, 0.0)]:
        track.add(TraceEvent(kind, at, 1, "https://h", "GET", "", seconds))
    track.add(TraceEvent("first_byte", 2.0, 1, "https://h", "GET", "200", 0.4))
    track.add(TraceEvent("done", 2.5, 1, "https://h", "GET", "", 1.5))
    assert [(kind, round(at, 3), round(seconds, 3)) for kind, at, seconds, _ in track.steps] == [
        ("resolve", 1.0, 0.1),
        ("connect", 1.1, 0.2),
        ("tls", 1.3, 0.3),
        ("request", 1.6, 0.4),
        ("transfer", 2.0, 0.5),
    ]


def test_a_job_without_end_keeps_no_endless_list_of_steps():
    track = Track("a", "h", 0.0)
    for number in range(1000):
        track.add(TraceEvent("resolve", float(number), 1, "https://h", "GET", "", 0.1))
    assert len(track.steps) == 60


def test_a_sample_is_fair_and_has_the_slowest_and_the_first_that_failed():
    sample = Sample(fair=100, slowest=5, failed=3, seed=1)
    for number in range(10_000):
        seconds = 100.0 if number in (17, 9_000) else 1.0
        error = "no" if number >= 5_000 else ""
        sample.add(Track(f"{number}", "", float(number), float(number), number + seconds, 1, 0, error))
    names = {track.name for track in sample.tracks()}
    assert {"17", "9000", "5000", "5001", "5002"} <= names
    assert 100 <= len(names) <= 108
    halves = sum(int(name) < 5_000 for name in names)
    assert 30 <= halves <= 70
    assert [track.asked for track in sample.tracks()] == sorted(track.asked for track in sample.tracks())


def test_quantiles_are_right_to_a_few_percent():
    durations = Durations()
    for number in range(1, 1001):
        durations.add(number / 1000)
    assert durations.quantile(0.5) == pytest.approx(0.5, rel=0.06)
    assert durations.quantile(0.99) == pytest.approx(0.99, rel=0.06)
    assert durations.quantile(1.0) <= durations.longest == 1.0
    assert Durations().quantile(0.5) == 0.0
    extreme = Durations()
    for seconds in (0.0, -1.0, 1e-9, 1e9):
        extreme.add(seconds)
    assert sum(extreme.bars()) == 4


def test_the_chart_over_time_halves_itself():
    timeline = Timeline()
    for number in range(10_000):
        timeline.add(number * 1.0, failed=number % 2 == 0, received=1)
    assert len(timeline.ticks) <= 240
    assert [sum(column) for column in zip(*timeline.ticks, strict=True)] == [5000, 5000, 10_000]


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path):
    with pytest.raises(UsageError, match="cannot write the report"):
        Report(tmp_path / "missing" / "run.html")
    with pytest.raises(UsageError, match="cannot write the report"):
        Report(tmp_path)
