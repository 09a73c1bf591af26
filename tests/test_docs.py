"""The guides: every block of Python in those that are programs runs as it stands, against servers of its own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import Authority

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
GUIDES = ("client.md", "jobs.md", "server.md")
"""lab.md has a test of its own; the others show lines of a program, not programs"""

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(guide: str) -> dict[str, str]:
    """The text of each block, by its guide, the heading above it, and where there are several its number."""
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in _BLOCK.finditer(text):
        heading = re.findall(r"^#+ (.*)$", text[: block.start()], re.MULTILINE)[-1]
        name = f"{guide}, {heading}"
        found[name if name not in found else f"{name}, {len(found)}"] = block[1]
    assert len(found) == text.count("```python")
    return found


BLOCKS = {name: block for guide in GUIDES for name, block in blocks(guide).items()}


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_has_blocks(guide: str) -> None:
    assert blocks(guide)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs_as_it_stands(name: str, tmp_path: Path, authority: Authority) -> None:
    authority.write_server_files(tmp_path)
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[name])
    with subprocess.Popen(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            if "serve_forever" in BLOCKS[name]:
                assert child.stdout
                assert "://127.0.0.1:" in child.stdout.readline()
                child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert (child.returncode, err) == (0, ""), out
