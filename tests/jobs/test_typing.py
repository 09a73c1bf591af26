"""The types of jobs: mypy knows what each gives, and what cannot be."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

GOOD = """
from typing import assert_type
from asyncnet import jobs
from asyncnet.http import Response
from asyncnet.smtp import Receipt

async def number(text: str) -> int: return int(text)
async def text(number: int) -> str: return str(number)

n, t = jobs.call(number, "1"), jobs.call(text, 1)
assert_type(n, jobs.Job[int])
assert_type(jobs.all_of(n, n, n, n), jobs.Job[list[int]])
assert_type(jobs.all_of(n, t), jobs.Job[list[int | str]])
assert_type(jobs.first_of(n, t), jobs.Job[int | str])
assert_type(n.then(lambda value: jobs.call(text, value)), jobs.Job[str])
assert_type(n.then(lambda value: [jobs.call(text, value)]), jobs.Job[list[str]])
assert_type(n.or_else(t), jobs.Job[int | str])
assert_type(n.timeout(1.0).retry(jobs.Retry()), jobs.Job[int])
assert_type(jobs.post("http://a/", body=b""), jobs.Job[Response])
assert_type(jobs.send(b"", "smtp://a"), jobs.Job[Receipt])
assert_type(jobs.exchange("tcp://a:1", b""), jobs.Job[bytes])

async def main() -> None:
    (outcome,) = await jobs.run([n], rate=10, per_host=jobs.Adaptive())
    assert_type(outcome, jobs.Outcome[int])
    assert_type(outcome.result(), int)
    async for one in jobs.as_completed(iter([t]), breaker=jobs.Breaker(), rate=jobs.Rate(per_host={"a": 1.0})):
        assert_type(one.value, str | None)
"""
BAD = """
from asyncnet import jobs

async def number(text: str) -> int: return int(text)

jobs.call(number, 1)
jobs.call(number, "1").then(lambda value: value)
jobs.all_of(1)
jobs.exchange("tcp://a:1", "text")
"""


def mypy(folder: Path, code: str) -> list[str]:
    path = folder / "snippet.py"
    path.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    return [line for line in done.stdout.splitlines() if "snippet.py" in line and "error" in line]


@pytest.mark.slow
def test_mypy_knows_the_results(tmp_path):
    assert mypy(tmp_path, GOOD) == []


@pytest.mark.slow
def test_mypy_refuses_what_cannot_be(tmp_path):
    assert {line.split(":")[1] for line in mypy(tmp_path, BAD)} == {"6", "7", "8", "9"}
