"""examples/mail_ingest.py is tested by examples/test_mail_ingest.py, and the guide shows what stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

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
