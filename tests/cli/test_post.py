"""asyncnet post: forms, JSON and bodies, sent once."""

import signal

import pytest

from tests.cli.running import PATIENCE, Terminal, process, run, started
from tests.peers import Script


def taking(body: str, status: str = "200 OK") -> str:
    """A server that takes exactly this body, once."""
    head = rf"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n"
    return f"C: POST /api HTTP/1.1\nuntil \\r\\n\\r\\n\nexpect {body}\nsend {head}ok\n"


def test_a_form_is_sent_as_a_form(capsys):
    with Script(taking("a=1&b=%C3%A4+%26&a=2")) as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", "--form", "a=1", "--form", "b=ä &", "--form", "a=2")
    assert ran.status == 0, ran
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in peer.received
    (record,) = ran.records
    assert (record["ok"], record["status"], record["text"]) == (True, 200, "ok")


def test_json_is_sent_as_it_was_given(capsys):
    with Script(taking('\\{ "a": 1.0, "a": [] }')) as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", "--json", '{ "a": 1.0, "a": [] }')
    assert ran.status == 0, ran
    assert b"Content-Type: application/json\r\n" in peer.received


def test_json_may_bear_a_type_of_its_own(capsys):
    with Script(taking("null")) as peer:
        arguments = ["--json", "null", "-H", "content-type: application/merge-patch+json", "-H", "X-Trace: 7"]
        assert run(capsys, "post", f"http://{peer.address}/api", *arguments).status == 0
    assert b"application/merge-patch+json\r\n" in peer.received
    assert b"X-Trace: 7\r\n" in peer.received
    assert peer.received.lower().count(b"content-type:") == 1


def test_a_secret_field_comes_from_a_file(capsys, tmp_path):
    (tmp_path / "fields").write_text("X-Api-Key: hunter2\n\nX-Trace: 7\n")
    with Script(taking("")) as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", "-H", f"@{tmp_path / 'fields'}")
    assert ran.status == 0, ran
    assert b"X-Api-Key: hunter2\r\n" in peer.received
    assert b"X-Trace: 7\r\n" in peer.received
    (tmp_path / "fields").write_text("hunter2\n")
    ran = run(capsys, "post", "http://127.0.0.1:1/", "-H", f"@{tmp_path / 'fields'}")
    assert (ran.status, "hunter2" in ran.err) == (2, False)
    assert "a line of" in ran.err


def test_a_body_comes_from_a_file_as_it_is(capsys, tmp_path):
    (tmp_path / "body").write_bytes(b"\xff\x00\r\n")
    with Script(taking(r"\xff\x00\r\n")) as peer:
        assert run(capsys, "post", f"http://{peer.address}/api", "--body", f"@{tmp_path / 'body'}").status == 0


def test_a_body_comes_from_standard_input():
    with Script(taking("hello")) as peer:
        assert process("post", f"http://{peer.address}/api", "--body", "@-", input="hello").status == 0


def test_there_may_be_no_body_at_all(capsys):
    with Script(taking("")) as peer:
        assert run(capsys, "post", f"http://{peer.address}/api").status == 0
    assert b"Content-Length: 0\r\n" in peer.received


def test_the_answer_alone_is_printed_if_wanted(capsys):
    with Script(taking("", "201 Created")) as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", "--output", "body")
    assert (ran.out, ran.err) == ("ok", "201 Created\n")


def test_on_a_terminal_the_answer_alone_is_printed():
    with Script(taking("")) as peer, Terminal("post", f"http://{peer.address}/api") as terminal:
        assert terminal.wait() == 0
    assert "200 OK" in terminal.shown
    assert terminal.shown.endswith("ok")


@pytest.mark.parametrize(("status", "expected"), [("400 Bad", 1), ("500 Oops", 1), ("503 Busy", 3), ("429 Slow", 3)])
def test_the_status_of_the_answer_is_the_exit_status(capsys, status, expected):
    with Script(taking("", status)) as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api")
    assert ran.status == expected
    assert ran.records[0]["ok"] is False
    assert ran.records[0]["text"] == "ok", "what the server said is printed all the same"
    assert f"refused ({status})" in ran.err


def test_nothing_is_sent_twice(capsys):
    with Script("C: POST /api HTTP/1.1\nuntil \\r\\n\\r\\n\ncut") as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", "--form", "a=1")
    assert ran.status == 3
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--form", "a"], "NAME=VALUE"),
        (["--form", "a=1", "--body", "x"], "one of them"),
        (["--json", "{a}"], "no JSON"),
        (["--json", "[" * 100_000], "no JSON"),
        (["--body", "@/nonexistent"], "cannot read /nonexistent"),
        (["-H", "X"], "NAME: VALUE"),
        (["-H", "X: a\nb"], "control character"),
        (["-H", "Authorization: Bearer hunter2"], "no secret on the command line"),
        (["-H", "x-api-key:hunter2"], "put the line of x-api-key into a file, and give -H @FILE"),
        (["-H", "@/nonexistent"], "cannot read /nonexistent"),
        (["-H", ": x"], "NAME: VALUE"),
        (["-H", "Content-Length: 5"], "follows from the body"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(capsys, arguments, line):
    with Script() as peer:
        ran = run(capsys, "post", f"http://{peer.address}/api", *arguments)
    assert ran.status == 2
    assert line in ran.err
    assert "hunter2" not in ran.err


def test_who_is_named_signs_in(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(taking("")) as peer:
        assert run(capsys, "post", f"http://{peer.address}/api", "--username", "alice").status == 0
    assert b"Authorization: Basic YWxpY2U6c2VjcmV0\r\n" in peer.received


def test_a_token_goes_as_bearer(capsys):
    with Script(taking("")) as peer:
        url = f"http://alice@{peer.address}/api"
        assert run(capsys, "post", url, "--token-command", "echo t0k").status == 0
    assert b"Authorization: Bearer t0k\r\n" in peer.received


def test_an_interrupt_is_status_130():
    with Script("C: POST /api HTTP/1.1\nuntil \\r\\n\\r\\n\nsilence", check=False) as peer:
        with started("post", f"http://{peer.address}/api") as child:
            peer.wait_until(b"POST")
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE) == 130
            assert child.stderr.read() == ""
