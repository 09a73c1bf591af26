"""examples/mail_ingest.py is tested by examples/test_mail_ingest.py, and the guide shows what stands there."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from asyncnet import Lab, smtp
from examples.mail_ingest import Ingest
from tests.clock import MS

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "lab-pytest.md").read_text(encoding="utf-8")


def test_the_tests_of_the_example_pass_as_the_guide_says() -> None:
    command = "-m pytest -q -p no:cacheprovider -p asyncnet.lab.pytest_plugin -W error -c /dev/null --rootdir=examples"
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    ran = subprocess.run(
        [sys.executable, *command.split(), "examples/test_mail_ingest.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


async def test_the_example_goes_on_where_it_was(tmp_path: Path) -> None:
    state = tmp_path / "made" / "by itself" / "state"
    async with Lab() as lab:
        service = Ingest(lab.imap.url, f"{lab.http.url}/webhook/mail", lab.smtp.url, state.parent, lab.credentials)
        for subject in ("one", "two"):
            lab.deliver(smtp.compose("ada@example.com", "me@example.org", subject, "Nothing is attached."))
            before = state.read_text() if state.exists() else ""
            running = asyncio.create_task(service.run())
            async with asyncio.timeout(10_000 * MS):
                while not running.done() and (not state.exists() or state.read_text() == before):  # noqa: ASYNC110
                    await asyncio.sleep(2 * MS)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert [request.json()["subject"] for request in lab.requests] == ["one", "two"]
    assert list(state.parent.iterdir()) == [state]


def test_the_guide_quotes_the_example_as_it_is() -> None:
    sources = [(ROOT / "examples" / name).read_text() for name in ("mail_ingest.py", "test_mail_ingest.py")]
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    quoted = [block for block in blocks if "# examples/" in block]
    assert len(quoted) >= 5
    for block in quoted:
        assert any(block.split("\n", 1)[1].strip() in source for source in sources), block


def test_every_fixture_is_in_the_guide() -> None:
    plugin = (ROOT / "asyncnet" / "lab" / "pytest_plugin.py").read_text()
    names = re.findall(r"@pytest\.fixture\ndef (\w+)", plugin)
    assert len(names) == 5
    assert [name for name in names if f"`{name}`" not in GUIDE] == []
