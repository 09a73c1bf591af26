"""The guides: every block of Python in docs/server.md runs as it stands."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import Authority

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

# The file's text, block by block, with the heading above each.
_TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = {
    re.findall(r"^#+ (.*)$", _TEXT[: found.start()], re.MULTILINE)[-1]: found[1] for found in _BLOCK.finditer(_TEXT)
}


def test_the_blocks_are_found() -> None:
    assert len(BLOCKS) == _TEXT.count("```python") > 3


@pytest.mark.parametrize("heading", BLOCKS)
def test_a_block_runs_as_it_stands(heading: str, tmp_path: Path, authority: Authority) -> None:
    authority.write_server_files(tmp_path)
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[heading])
    with subprocess.Popen(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            if "serve_forever" in BLOCKS[heading]:
                assert child.stdout
                assert "://127.0.0.1:" in child.stdout.readline()
                child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert (child.returncode, err) == (0, ""), out
