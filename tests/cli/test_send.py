"""asyncnet send: many messages over one session, and what became of each."""

import signal

import pytest

from tests.cli.running import PATIENCE, Terminal, process, run, started
from tests.peers import Script

HELLO = r"""
S: 220 mail.example.org ESMTP
C: EHLO *
S: 250-mail.example.org
S: 250-AUTH PLAIN
S: 250 SIZE 30000000
"""
SENT = r"""
C: MAIL FROM:<alice@example.org>*
S: 250 ok
C: RCPT TO:<bob@example.org>
S: 250 ok
C: DATA
S: 354 go on
until \r\n.\r\n
S: 250 2.0.0 queued as 42
"""
QUIT = r"""
C: QUIT
S: 221 bye
"""
WHO = ("--from", "alice@example.org", "--to", "bob@example.org")


@pytest.fixture
def mails(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.eml").write_bytes(b"Subject: %d\r\n\r\n\xff\r\n.dot\r\n" % number)
    return [tmp_path / f"{number}.eml" for number in range(3)]


def test_many_files_go_over_one_session_as_they_are(capsys, mails):
    with Script(HELLO + SENT * 3 + QUIT) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", *mails, *WHO)
    assert ran.status == 0, ran
    assert [record["file"] for record in ran.records] == [str(mail) for mail in mails]
    assert ran.records[0] == {
        "file": str(mails[0]),
        "ok": True,
        "accepted": ["bob@example.org"],
        "refused": {},
        "reply": "250 2.0.0 queued as 42",
        "message_id": None,
    }
    assert b"Subject: 1\r\n\r\n\xff\r\n..dot\r\n.\r\n" in peer.received
    assert peer.connections == 1
    assert ran.err == ""


def test_the_url_may_come_last(capsys, mails):
    with Script(HELLO + SENT + QUIT) as peer:
        assert run(capsys, "send", mails[0], *WHO, f"smtp://{peer.address}").status == 0


def test_a_message_comes_from_standard_input():
    with Script(HELLO + SENT + QUIT) as peer:
        ran = process("send", f"smtp://{peer.address}", "-", *WHO, input="Subject: x\n\nhello\n")
    assert ran.status == 0, ran
    assert b"Subject: x\r\n\r\nhello\r\n.\r\n" in peer.received


def test_a_message_is_composed(capsys, tmp_path):
    (tmp_path / "text").write_text("Hallo\n")
    (tmp_path / "a.txt").write_text("attached")
    with Script(HELLO + SENT + QUIT) as peer:
        arguments = ["--subject", "Hi", "--text", f"@{tmp_path / 'text'}", "--attach", tmp_path / "a.txt"]
        ran = run(capsys, "send", f"smtp://{peer.address}", *WHO, *arguments)
    assert ran.status == 0, ran
    assert b"Subject: Hi\r\n" in peer.received
    assert b"Hallo\r\n" in peer.received
    assert b'filename="a.txt"' in peer.received
    assert ran.records[0]["message_id"].endswith("@example.org>")


def test_who_is_named_signs_in(capsys, mails):
    signing_in = "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 ok\n"
    with Script(HELLO + signing_in + SENT + QUIT) as peer:
        ran = run(capsys, "send", f"smtp://alice@{peer.address}", mails[0], *WHO, "--password-command", "echo secret")
    assert ran.status == 0, ran


def test_a_refused_message_stops_no_other(capsys, mails):
    refused = "C: MAIL *\nS: 550 5.7.1 no\n"
    with Script(HELLO + SENT + refused + "C: RSET\nS: 250 ok\n" + SENT + QUIT, check=False) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", *mails, *WHO)
    assert ran.status == 1
    assert [record["ok"] for record in ran.records] == [True, False, True]
    assert ran.records[1]["error"]["code"] == 550
    assert "5.7.1 no" in ran.err


def test_a_message_that_is_refused_for_now_is_status_3(capsys, mails):
    with Script(HELLO + "C: MAIL *\nS: 451 later\n", check=False) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", mails[0], *WHO)
    assert ran.status == 3
    assert "it may be accepted later" in ran.err


@pytest.mark.parametrize(("reply", "status"), [("550 no such user", 1), ("450 greylisted", 3)])
def test_a_recipient_who_is_refused_is_told(capsys, mails, reply, status):
    partly = SENT.replace("C: DATA", f"C: RCPT TO:<carol@example.org>\nS: {reply}\nC: DATA")
    with Script(HELLO + partly + QUIT) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", mails[0], *WHO, "--to", "carol@example.org")
    assert ran.status == status
    assert ran.records[0]["accepted"] == ["bob@example.org"]
    assert list(ran.records[0]["refused"]) == ["carol@example.org"]
    assert f"carol@example.org: refused ({reply})" in ran.err


def test_after_a_lost_connection_the_rest_goes_over_a_new_one(capsys, mails):
    lost = SENT.partition("S: 250 2.0.0")[0] + "cut"
    with Script(HELLO + lost, HELLO + SENT * 2 + QUIT) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", *mails, *WHO)
    assert [record["ok"] for record in ran.records] == [False, True, True]
    assert ran.records[0]["outcome_unknown"] is True
    assert "look before you send it again" in ran.err
    assert ran.status == 1
    assert peer.connections == 2


def test_where_there_is_no_server_nothing_is_tried_again_and_again(capsys, mails):
    ran = run(capsys, "send", "smtp://127.0.0.1:1", *mails, *WHO)
    assert ran.status == 3
    assert len(ran.records) == 3
    assert ran.err.count("error:") == 1


def test_a_file_that_cannot_be_read_stops_no_other(capsys, mails, tmp_path):
    with Script(HELLO + SENT + QUIT) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", tmp_path / "missing.eml", mails[0], *WHO)
    assert ran.status == 1
    assert [record["ok"] for record in ran.records] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["smtp://a"], "give the files"),
        (["smtp://a", "x.eml", "--subject", "x", *WHO], "give the files"),
        (["smtp://a", "x.eml", "--from", "a@b.c"], "--to ADDRESS"),
        (["smtp://a", "smtp://b", "x.eml", *WHO], "give one URL"),
        (["smtp://a", "--text", "x", "--from", "a\nb@c", "--to", "b@c"], "no message"),
        (["smtp://alice@a", "x.eml", *WHO, "--password-command", "echo x"], "plaintext"),
    ],
)
def test_wrong_usage_is_status_2(capsys, arguments, line):
    ran = run(capsys, "send", *arguments)
    assert ran.status == 2
    assert line in ran.err


def test_a_broken_address_is_a_failure_before_it_is_sent(capsys, mails):
    with Script(HELLO + QUIT, check=False) as peer:
        ran = run(capsys, "send", f"smtp://{peer.address}", mails[0], "--from", "alice@example.org", "--to", "a b")
    assert ran.status == 1
    assert b"RCPT" not in peer.received


def test_on_a_terminal_there_are_rows(mails):
    with Script(HELLO + SENT * 2 + QUIT) as peer:
        with Terminal("send", f"smtp://{peer.address}", *mails[:2], *WHO) as terminal:
            assert terminal.wait() == 0, terminal.shown
    assert terminal.shown.count("sent to 1 recipient") == 2


def test_an_interrupt_says_how_far_it_came(mails):
    with Script(HELLO + SENT + "C: MAIL *\nsilence", check=False) as peer:
        with started("send", f"smtp://{peer.address}", *mails, *WHO) as child:
            assert '"ok":true' in child.stdout.readline()
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE) == 130
            assert child.stderr.read() == "interrupted: 1 done of 3\n"
