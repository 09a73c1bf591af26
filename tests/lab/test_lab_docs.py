"""Every block of Python in docs/lab.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "lab.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(3))
def test_a_block_runs_as_it_stands(number: int) -> None:
    assert len(BLOCKS) == 3
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[number]],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
