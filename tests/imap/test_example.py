"""The recipe of examples/imap_fetch.py does what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imap.talks import GREETED, LEFT, SELECTED, SIGNED_IN
from tests.peers import Script

ROOT = Path(__file__).parent.parent.parent

TALK = r"""
    C: {tag} UID SEARCH ALL
    S: * SEARCH 7
    S: {tag} OK
    C: {tag} UID FETCH 7 *
    S: * 1 FETCH (UID 7 RFC822.SIZE 21 BODY[] {21}
    send Subject: hello\r\n\r\nyes)\r\n
    S: {tag} OK
"""
DELETED = r"""
    C: {tag} UID STORE 7 +FLAGS (\Deleted)
    S: * 1 FETCH (UID 7 FLAGS (\Deleted))
    S: {tag} OK
    C: {tag} EXPUNGE
    S: * 1 EXPUNGE
    S: {tag} OK
"""
CLOSED = "C: {tag} CLOSE\nS: {tag} OK\n"


@pytest.mark.parametrize("delete", [False, True])
def test_it_reads_a_mailbox_and_deletes_only_where_asked(delete: bool) -> None:
    selected = SELECTED if delete else SELECTED.replace("SELECT ", "EXAMINE ", 1)
    with Script(GREETED + SIGNED_IN + selected + TALK + DELETED * delete + CLOSED + LEFT) as peer:
        command = [sys.executable, "-W", "error", "examples/imap_fetch.py", f"imap://alice@{peer.address}/INBOX"]
        environment = {**os.environ, "ASYNCNET_PASSWORD": "correct horse", "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            command + ["--delete"] * delete, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "INBOX: 3 messages",
        "7: 21 bytes, hello",
        *["gone for good: 1"] * delete,
    ]
