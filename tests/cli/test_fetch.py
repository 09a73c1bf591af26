"""asyncnet fetch: many URLs of many protocols, to standard output or into a folder."""

import json
import os
import signal
import subprocess
import time

from tests.cli.running import PATIENCE, Terminal, environment, process, run, started
from tests.peers import Script

PAGE = r"""
C: GET {path} HTTP/1.1
until \r\n\r\n
send HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello
"""
POP3 = r"""
S: +OK ready
C: CAPA
S: +OK
S: UIDL
S: USER
S: .
C: USER alice
S: +OK
C: PASS secret
S: +OK
C: STAT
S: +OK 2 28
C: LIST
S: +OK
S: 1 14
S: 2 14
S: .
C: UIDL
S: +OK
S: 1 ../a/b
S: 2 c
S: .
C: RETR 1
S: +OK
S: Subject: 1
S:
S: .
C: RETR 2
S: +OK
S: Subject: 2
S:
S: .
C: QUIT
S: +OK
"""


def answer(status: str, *fields: str) -> str:
    head = r"\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *fields])
    return f"C: GET * HTTP/1.1\nuntil \\r\\n\\r\\n\nsend {head}\\r\\n\\r\\n\n"


def test_a_page_is_a_json_line_with_its_text(capsys):
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/a?b=1")
    assert ran.status == 0, ran
    (record,) = ran.records
    assert (record["url"], record["ok"], record["status"]) == (f"http://{peer.address}/a?b=1", True, 200)
    assert record["text"] == "hello"
    assert ran.err == ""


def test_four_protocols_at_once(capsys, monkeypatch, authority, authority_pem):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with (
        Script(PAGE, tls=authority.server) as web,
        Script(POP3) as mail,
        Script("send \\xff\\x00") as raw,
        Script("S: hello", tls=authority.server) as secure,
    ):
        urls = [f"https://{web.address}/", f"pop3://alice@{mail.address}", f"tcp://{raw.address}"]
        ran = run(capsys, "fetch", *urls, f"tls://{secure.address}", "--ca", authority_pem, "--limit", "2")
    assert ran.status == 0, ran
    by_scheme = {record["url"].partition("://")[0]: record for record in ran.records}
    assert by_scheme["https"]["text"] == "hello"
    assert [message["text"] for message in by_scheme["pop3"]["messages"]] == [f"Subject: {n}\r\n\r\n" for n in (1, 2)]
    assert by_scheme["tcp"]["base64"] == "/wA="
    assert by_scheme["tls"]["text"] == "hello\r\n"


# exit status and errors


def test_what_fails_for_good_is_status_1_and_a_line_on_standard_error(capsys):
    with Script(answer("404 Not Found")) as bad, Script(PAGE) as good:
        ran = run(capsys, "fetch", f"http://{bad.address}/x", f"http://{good.address}/")
    assert ran.status == 1
    assert ran.err == f"error: http://{bad.address}/x: GET: refused (404 Not Found)\n"
    failed = next(record for record in ran.records if not record["ok"])
    assert failed["error"]["type"] == "StatusError"
    assert failed["error"]["code"] == 404
    assert len(ran.records) == 2


def test_what_is_worth_trying_again_is_status_3(capsys):
    with Script(answer("503 Busy")) as busy:
        ran = run(capsys, "fetch", f"http://{busy.address}/", "tcp://127.0.0.1:1")
    assert ran.status == 3
    assert all(record["error"]["transient"] for record in ran.records)
    assert "nobody listens there" in ran.err


def test_one_for_good_among_many_for_now_is_status_1(capsys):
    with Script(answer("404 Not Found")) as bad:
        assert run(capsys, "fetch", f"http://{bad.address}/", "tcp://127.0.0.1:1").status == 1


def test_a_remedy_is_told_once(capsys):
    ran = run(capsys, "fetch", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1")
    assert ran.err.count("error: ") == 3
    assert ran.err.count("nobody listens there") == 1


def test_quiet_says_nothing_on_standard_error(capsys):
    ran = run(capsys, "fetch", "-q", "tcp://127.0.0.1:1")
    assert ran.status == 3
    assert ran.err == ""
    assert len(ran.records) == 1


def test_an_untrusted_certificate_is_told_with_its_remedy(capsys, authority):
    with Script(PAGE, tls=authority.server, check=False) as peer:
        ran = run(capsys, "fetch", f"https://{peer.address}/")
    assert ran.status == 1
    assert "certificate not trusted" in ran.err
    assert "--ca FILE" in ran.err


def test_retries_try_again(capsys):
    with Script(answer("503 Busy", "Retry-After: 0") + PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", "--retries", "1")
    assert ran.status == 0, ran
    assert ran.records[0]["attempts"] == 2


def test_a_timeout_is_told_with_its_remedy(capsys):
    with Script("silence", check=False) as peer:
        ran = run(capsys, "fetch", f"tcp://{peer.address}", "--timeout", "0.05")
    assert ran.status == 3
    assert "not done within 0.05 seconds" in ran.err
    assert "--timeout SECONDS" in ran.err


def test_limits_are_obeyed(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script("send 12345", check=False) as raw, Script(POP3, repeat=True, check=False) as mail:
        ran = run(capsys, "fetch", f"tcp://{raw.address}", "--max-bytes", "4")
        few = run(capsys, "fetch", f"pop3://alice@{mail.address}", "--max-messages", "1")
        small = run(capsys, "fetch", f"pop3://alice@{mail.address}", "--max-total-bytes", "27")
    assert [one.status for one in (ran, few, small)] == [1, 1, 1]
    assert [one.records[0]["error"]["type"] for one in (ran, few, small)] == ["LimitError"] * 3


def test_hostile_words_of_a_peer_move_no_cursor(capsys):
    hostile = r"S: -ERR \x1b[2J\x9b31m gone"
    with Script(hostile, check=False) as peer:
        ran = run(capsys, "fetch", f"pop3://alice@{peer.address}", "--output", "table", "--password-command", "echo x")
    assert ran.status != 0
    assert "\x1b" not in ran.out + ran.err
    assert "\x9b" not in ran.out + ran.err


# lists


def test_urls_come_from_a_file(capsys, tmp_path):
    with Script(PAGE * 3) as peer:
        file = tmp_path / "urls"
        file.write_text(f"# three pages\nhttp://{peer.address}/1\n\nhttp://{peer.address}/2\nhttp://{peer.address}/3")
        ran = run(capsys, "fetch", "-i", file, "--per-host", "1")
    assert ran.status == 0, ran
    assert sorted(record["url"][-1] for record in ran.records) == ["1", "2", "3"]


def test_urls_come_from_standard_input_only_when_asked_for():
    with Script(PAGE) as peer:
        ran = process("fetch", "-i", "-", input=f"http://{peer.address}/1\n")
    assert ran.status == 0, ran
    with Script(PAGE) as peer, started("fetch", f"http://{peer.address}/", stdin=subprocess.PIPE) as child:
        assert child.wait(PATIENCE) == 0, "it waited for a standard input that nobody closed"


def test_a_bad_line_in_a_list_is_a_failure_of_its_own(capsys, tmp_path):
    with Script(PAGE) as peer:
        file = tmp_path / "urls"
        lines = ["nonsense", "https://alice:hunter2@a/", "smtp://a", "imaps://127.0.0.1:1", f"http://{peer.address}/"]
        file.write_text("\n".join(lines))
        ran = run(capsys, "fetch", "-i", file, "--password-command", "false")
    assert ran.status == 1
    assert len(ran.records) == 5
    assert [record["ok"] for record in ran.records].count(True) == 1
    assert "hunter2" not in ran.out + ran.err


def test_a_list_that_cannot_be_read_loses_nothing_that_came_before(capsys):
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", "-i", "/nonexistent/urls")
    assert ran.status == 2
    assert "cannot read /nonexistent/urls" in ran.err
    assert [record["text"] for record in ran.records] == ["hello"]


def test_outcomes_come_while_the_list_still_goes_on():
    with Script(PAGE) as peer, started("fetch", "-i", "-", stdin=subprocess.PIPE) as child:
        child.stdin.write(f"http://{peer.address}/1\n")
        child.stdin.flush()
        assert '"text":"hello"' in child.stdout.readline()
        child.stdin.close()
        assert child.wait(PATIENCE) == 0


# secrets


def test_a_secret_is_sent_and_never_shown(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(POP3) as peer:
        ran = run(capsys, "fetch", "-vv", f"pop3://alice@{peer.address}")
    assert ran.status == 0, ran
    assert b"PASS secret" in peer.received
    assert "secret" not in ran.out + ran.err


def test_without_a_secret_and_without_a_terminal_it_is_wrong_usage():
    ran = process("fetch", "imaps://alice@127.0.0.1:1/INBOX")
    assert ran.status == 2
    assert "no password for 'alice'" in ran.err
    assert "ASYNCNET_PASSWORD" in ran.err


def test_a_password_is_asked_for_on_the_terminal_without_echo():
    with Script(POP3) as peer, Terminal("fetch", f"pop3://alice@{peer.address}") as terminal:
        terminal.until("Password of alice")
        terminal.type("secret\n")
        assert terminal.wait() == 0, terminal.shown
    assert "secret" not in terminal.shown
    assert "2 messages" in terminal.shown


def test_an_interrupted_question_leaves_the_terminal_as_it_was():
    with Terminal("fetch", "imaps://alice@127.0.0.1:1/") as terminal:
        terminal.until("Password of alice")
        assert not terminal.echoes
        terminal.type("\x03")
        assert terminal.child.wait(PATIENCE) == 130
        assert terminal.echoes


def test_no_progress_is_drawn_over_a_question(tmp_path):
    with Script(PAGE, POP3) as peer:
        (tmp_path / "urls").write_text(f"http://{peer.address}/\npop3://alice@{peer.address}")
        with Terminal("fetch", "-i", tmp_path / "urls", "--per-host", "1") as terminal:
            terminal.until("Password of alice")
            time.sleep(0.3)  # a progress line would be drawn three times by then
            question = terminal.shown.rpartition("Password of alice")[2]
            terminal.type("secret\n")
            assert terminal.wait() == 0, terminal.shown
    assert "done" not in question


def test_a_name_of_the_environment_gives_no_secret_to_pages(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_USERNAME", "alice")
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(PAGE) as peer:
        assert run(capsys, "fetch", f"http://{peer.address}/").status == 0
    assert b"uthorization" not in peer.received


def test_a_page_that_names_its_user_gets_the_secret(capsys, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(PAGE) as peer:
        assert run(capsys, "fetch", f"http://alice@{peer.address}/").status == 0
    assert b"Authorization: Basic YWxpY2U6c2VjcmV0" in peer.received


# a folder


def test_bodies_and_messages_become_files(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(PAGE * 2, repeat=True, check=False) as web, Script(POP3) as mail, Script("send \\xff\\x00") as raw:
        page = f"http://{web.address}/a/b.html"
        urls = [page, page, f"pop3://alice@{mail.address}/", f"tcp://{raw.address}"]
        ran = run(capsys, "fetch", *urls, "-o", tmp_path / "out", "--per-host", "2")
    assert ran.status == 0, ran
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files == {
        f"127.0.0.1_{web.port}_a_b.html": b"hello",
        f"127.0.0.1_{web.port}_a_b-2.html": b"hello",
        f"127.0.0.1_{mail.port}-a_b.eml": b"Subject: 1\r\n\r\n",
        f"127.0.0.1_{mail.port}-c.eml": b"Subject: 2\r\n\r\n",
        f"127.0.0.1_{raw.port}": b"\xff\x00",
    }
    named = [record.get("file") or [message["file"] for message in record["messages"]] for record in ran.records]
    assert sorted(
        os.path.basename(name) for names in named for name in ([names] if isinstance(names, str) else names)
    ) == (sorted(files))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_fetched(capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with Script() as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", "-o", tmp_path / "file")
    assert ran.status == 2
    assert "cannot write into" in ran.err


def test_a_disk_that_is_full_ends_the_run(capsys, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    folder = tmp_path / "out"
    with Script(PAGE) as peer:
        monkeypatch.setattr("asyncnet.jobs.folder.Folder.save", full)
        ran = run(capsys, "fetch", f"http://{peer.address}/", "-o", folder)
    assert ran.status == 1
    assert "No space left on device" in ran.err


# ending early


def test_an_interrupt_keeps_what_came_and_is_status_130():
    with Script(PAGE + PAGE + "silence", check=False) as peer:
        urls = [f"http://{peer.address}/{number}" for number in range(3)]
        with started("fetch", *urls, "--per-host", "1") as child:
            lines = [child.stdout.readline() for _ in range(2)]
            child.send_signal(signal.SIGINT)
            rest, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert all('"ok":true' in line for line in lines)
    assert rest == ""
    assert err == "interrupted: 2 done\n"


def test_an_interrupt_while_nobody_reads_still_ends_it():
    body = {"body": b"x" * 1_000_000}
    page = "until \\r\\n\\r\\n\nS: HTTP/1.1 200 OK\nS: Content-Length: {#body}\nS:\ndump body\n"
    with Script(page + "silence", bodies=body, check=False) as peer:
        with started("fetch", f"http://{peer.address}/1", f"http://{peer.address}/2", "--per-host", "1") as child:
            peer.wait_until(b"GET /2")
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE) == 130
            assert child.stderr.read() == "interrupted: 1 done\n"


def test_what_had_come_when_it_was_interrupted_is_still_written_to_whoever_reads_it():
    body = {"body": b"x" * 1_000_000}
    page = "until \\r\\n\\r\\n\nS: HTTP/1.1 200 OK\nS: Content-Length: {#body}\nS:\ndump body\n"
    with Script(page + "until \\r\\n\\r\\n\nsilence", bodies=body, check=False) as peer:
        with started("fetch", f"http://{peer.address}/1", f"http://{peer.address}/2", "--per-host", "1") as child:
            peer.wait_until(b"GET /2")
            child.send_signal(signal.SIGINT)
            time.sleep(0.1)  # one that does not wait for its reader has ended by then
            out, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert len(json.loads(out)["text"]) == 1_000_000


def test_whoever_closes_the_pipe_has_had_enough():
    many = PAGE.replace("5\\r\\n\\r\\nhello", "100000\\r\\n\\r\\n" + "x" * 100_000)
    with Script(many * 20, check=False) as peer:
        urls = [f"http://{peer.address}/{number}" for number in range(20)]
        with started("fetch", *urls, "--per-host", "1") as child:
            child.stdout.read(1)
            child.stdout.close()
            assert child.wait(PATIENCE) == 1
            assert child.stderr.read() == ""


# on a terminal


def test_on_a_terminal_there_are_rows_a_progress_line_and_a_summary():
    with Script("wait go\n" + PAGE.lstrip()) as slow, Script(PAGE) as quick:
        with Terminal("fetch", f"http://{quick.address}/q", f"http://{slow.address}/s") as terminal:
            terminal.until("1 of 2 done")  # the progress line
            slow.release("go")
            assert terminal.wait() == 0, terminal.shown
    assert "result" in terminal.shown
    assert f"http://{quick.address}/q" in terminal.shown
    assert "200 OK" in terminal.shown
    assert "\r\x1b[K" in terminal.shown, "the progress line is taken away"
    assert "2 done, 10 B in" in terminal.shown.splitlines()[-1]


def test_with_no_color_there_is_none():
    with Script(answer("404 Not Found")) as peer:
        with Terminal("fetch", f"http://{peer.address}/", environ={"NO_COLOR": "1"}) as terminal:
            assert terminal.wait() == 1
    assert "\x1b[3" not in terminal.shown
    assert "failed" in terminal.shown


def test_results_in_a_pipe_are_json_though_progress_is_on_a_terminal():
    with Script(PAGE) as peer, Terminal("fetch", f"http://{peer.address}/", stdout=subprocess.PIPE) as terminal:
        assert terminal.child.stdout.read().startswith(b'{"url"')
        assert terminal.wait() == 0
    assert "1 done" in terminal.shown
    assert "hello" not in terminal.shown


def test_without_rich_there_is_a_plain_table(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", "--output", "table")
    assert ran.out.splitlines()[0].split() == ["result", "size", "time", "from"]
    assert ran.out.splitlines()[1].startswith("200 OK")


def test_verbose_says_what_happens():
    ran = process("fetch", "-vv", "tcp://127.0.0.1:1", env=environment(PYTHONASYNCIODEBUG="0"))
    assert ran.status == 3
