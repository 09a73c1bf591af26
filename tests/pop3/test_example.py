"""The recipe of examples/pop3_fetch.py does what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import Script
from tests.pop3.talks import GREETED, SIGNED_IN

ROOT = Path(__file__).parent.parent.parent

TALK = r"""
    C: STAT
    S: +OK 1 22
    C: LIST
    S: +OK
    S: 1 22
    S: .
    C: RETR 1
    S: +OK
    send Subject: hello\r\n\r\nyes\r\n.\r\n
"""


@pytest.mark.parametrize("delete", [False, True])
def test_it_looks_into_a_maildrop_and_deletes_only_where_asked(delete: bool) -> None:
    deletion = "C: DELE 1\nS: +OK\n" if delete else ""
    with Script(GREETED + SIGNED_IN + TALK + deletion + "C: QUIT\nS: +OK") as peer:
        command = [sys.executable, "-W", "error", "examples/pop3_fetch.py", f"pop3://alice@{peer.address}"]
        environment = {**os.environ, "ASYNCNET_PASSWORD": "correct horse", "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            command + ["--delete"] * delete, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "1 messages, 22 bytes",
        "1: 22 bytes, hello",
        f"gone for good: {[1] if delete else []}",
    ]
