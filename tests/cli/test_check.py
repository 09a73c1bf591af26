"""asyncnet check: one look at each endpoint, a row or a JSON line for each, and an exit status that says it all."""

import os
import subprocess
import sys

import pytest

from asyncnet.cli.main import main
from tests.cli.running import PATIENCE, ROOT, Terminal, process, run
from tests.peers import Authority, Script

IMAP = "S: * OK [CAPABILITY IMAP4rev1] at your service\n"
LOGIN = 'C: {tag} LOGIN "alice" "secret"\nS: {tag} OK [CAPABILITY IMAP4rev1] hello\n'
LEFT = "C: {tag} LOGOUT\nS: * BYE\nS: {tag} OK bye\n"
GONE = "tcp://127.0.0.1:1"


def test_what_is_well_is_told_as_json_in_the_order_given(capsys):
    with Script(IMAP + LEFT) as mail, Script("", check=False) as plain:
        ran = run(capsys, "check", f"imap://{mail.address}", f"tcp://{plain.address}")
    assert ran.status == 0, ran
    assert ran.err == ""
    first, second = ran.records
    assert (first["url"], first["ok"]) == (f"imap://{mail.address}", True)
    assert first["greeting"] == "at your service"
    assert first["capabilities"] == ["IMAP4REV1"]
    assert [step["name"] for step in first["steps"]] == ["resolve", "connect", "greeting"]
    assert all(step["seconds"] >= 0 for step in first["steps"])
    assert second["url"] == f"tcp://{plain.address}"
    assert "tls" not in second
    assert "error" not in second


def test_what_may_pass_ends_by_3_and_what_will_not_by_1(capsys):
    with Script("S: hello\n", "S: hello\n", check=False) as broken:
        wrong = f"imap://{broken.address}"
        assert run(capsys, "check", GONE).status == 3
        assert run(capsys, "check", wrong).status == 1
        ran = run(capsys, "check", GONE, wrong)
    assert ran.status == 1
    assert [record["ok"] for record in ran.records] == [False, False]
    assert [record["failed"] for record in ran.records] == ["connect", "greeting"]
    assert ran.records[0]["error"]["type"] == "ConnectError"
    assert ran.err.count("error:") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("gopher://localhost",),
        ("imap://alice:secret@localhost",),
        (GONE, "--warn-days", "-1"),
        (GONE, "--timeout", "nan"),
        (GONE, "--proxy", "http://alice:secret@localhost:1"),
        ("tcp://:4242",),
    ],
)
def test_a_wrong_call_ends_by_2(capsys, arguments):
    ran = run(capsys, "check", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert "secret" not in ran.err


def test_nobody_signs_in_unless_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(IMAP + LEFT, IMAP + LOGIN + LEFT) as mail:
        url = f"imap://alice@{mail.address}"
        assert run(capsys, "check", url).status == 0
        ran = run(capsys, "check", url, "--login")
    assert ran.status == 0, ran
    assert ran.records[0]["steps"][-1]["name"] == "login"
    assert "secret" not in ran.out


def test_a_refused_login_is_a_failure(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(IMAP + 'C: {tag} LOGIN "alice" "secret"\nS: {tag} NO wrong\n', check=False) as mail:
        ran = run(capsys, "check", f"imap://alice@{mail.address}", "--login")
    assert (ran.status, ran.records[0]["failed"]) == (1, "login")
    assert "secret" not in ran.out + ran.err


@pytest.mark.parametrize(("days", "status"), [(14, 0), (0, 0), (1_000_000, 1)])
def test_a_certificate_that_ends_soon_is_a_failure(capsys, authority: Authority, authority_pem, days: int, status: int):
    with Script("", tls=authority.server, check=False) as peer:
        ran = run(capsys, "check", f"tls://{peer.address}", "--ca", authority_pem, "--warn-days", days)
    assert ran.status == status, ran
    (record,) = ran.records
    assert record["ok"] is (status == 0)
    assert record["tls"]["version"].startswith("TLSv1")
    assert record["tls"]["days_left"] > 14
    assert record["tls"]["issuer"] == "tests of asyncnet"
    assert ("certificate ends" in record.get("warning", "")) is (status == 1)
    assert ("warning: " in ran.err) is (status == 1)


def test_a_certificate_that_is_not_trusted_is_a_failure_for_good(capsys, authority: Authority):
    with Script("", tls=authority.server, check=False) as peer:
        ran = run(capsys, "check", f"tls://{peer.address}")
    assert (ran.status, ran.records[0]["failed"]) == (1, "tls")
    assert "--ca" in ran.err


def test_on_a_terminal_it_is_a_table():
    with Script(IMAP + LEFT) as mail:
        url = f"imap://{mail.address}"
        with Terminal("check", url, GONE, environ={"NO_COLOR": "1"}) as terminal:
            assert terminal.wait() == 3
    lines = terminal.shown.splitlines()
    assert lines[0].startswith("health")
    assert any(line.startswith("well") and "at your service" in line and url in line for line in lines)
    assert any(line.startswith("failed") and "ConnectError in connect" in line and GONE in line for line in lines)


def test_a_table_in_a_pipe_has_no_colours():
    ran = process("check", GONE, "--output", "table")
    assert ran.status == 3
    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[1].startswith("failed")


def test_whoever_reads_the_rows_may_have_had_enough():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = process("check", GONE, GONE, stdout=writing)
    finally:
        os.close(writing)
    assert (ran.status, ran.err) == (1, "")


def test_closed_streams_leave_the_exit_status_to_tell():
    closed = 'exec "$0" -m asyncnet check tcp://127.0.0.1:1 >&- 2>&-'
    assert subprocess.run(["sh", "-c", closed, sys.executable], cwd=ROOT, timeout=PATIENCE).returncode == 3


def test_quiet_leaves_the_exit_status_to_tell(capsys):
    ran = run(capsys, "check", GONE, "-q", "--output", "table")
    assert (ran.status, ran.err) == (3, "")


def test_the_help_tells_of_the_exit_status(capsys):
    assert main(["check", "--help"]) == 0
    assert "Exit status" in capsys.readouterr().out
