"""asyncnet fetch as a run: lists of orders, targets, the journal, the failed list, the report, limits, a dry run."""

import hashlib
import json
import sqlite3

import pytest

from asyncnet import UsageError
from asyncnet.cli.options import RATE
from asyncnet.cli.orders import order_of
from tests.cli.running import process, run, started
from tests.cli.test_fetch import PAGE, POP3, answer
from tests.peers import Script

POST = r"""
C: POST /api HTTP/1.1
until \r\n\r\n{{}}
send HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok
"""


# orders


def test_a_line_is_a_url_or_an_object():
    assert order_of("https://a/").url == "https://a/"
    order = order_of('{"method": "post", "url": "https://a/", "body": "x\\u00e4", "headers": {"A": "b"}, "name": "n"}')
    assert (order.method, order.name, order.body, order.get("headers")) == ("POST", "n", "xä".encode(), {"A": "b"})
    assert order_of('{"url": "tcp://a:1", "method": "EXCHANGE", "body_base64": "/wA="}').body == b"\xff\x00"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "neither a URL nor a JSON object"),
        ("{" * 100_000, "neither a URL nor a JSON object"),
        ("{}", 'without a "url"'),
        ('{"url": 7}', 'without a "url"'),
        ('{"url": "https://a/", "method": "BREW"}', "is one of GET"),
        ('{"url": "https://a/", "method": null}', "is one of GET"),
        ('{"url": "https://a/", "body": "x"}', 'GET takes no "body"'),
        ('{"url": "https://a/", "password": "hunter2"}', 'takes no "password"'),
        ('{"url": "https://a/", "sha256": "xyz"}', "64 hexadecimal"),
        ('{"url": "https://a/", "method": "POST", "headers": {"a": 1}}', "holds strings"),
        ('{"url": "https://a/", "method": "POST", "body_base64": "?"}', "not base64"),
        ('{"url": "https://a/", "name": 1}', '"name" is a str'),
    ],
)
def test_a_wrong_object_is_told_without_what_it_holds(line, why):
    with pytest.raises(UsageError, match=why) as raised:
        order_of(line)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "rate"), [("10", 10.0), ("0.5", 0.5), ("10/s", 10.0), ("600/m", 10.0), ("36/h", 0.01)]
)
def test_a_rate_is_read_with_its_unit(text, rate):
    assert RATE.convert(text, None, None) == pytest.approx(rate)


def test_a_list_may_post_and_exchange(capsys, tmp_path):
    with Script("C: ping\nS: pong") as raw, Script(answer("200 OK").replace("GET *", "POST *")) as web:
        lines = [
            {"method": "EXCHANGE", "url": f"tcp://{raw.address}", "body": "ping\r\n", "until": "\r\n", "name": "echo"},
            {"method": "POST", "url": f"http://{web.address}/", "body": "", "idempotency_key": "k7"},
        ]
        (tmp_path / "list").write_text("\n".join(map(json.dumps, lines)))
        ran = run(capsys, "fetch", "-i", tmp_path / "list")
    assert ran.status == 0, ran
    by_name = {record["url"]: record for record in ran.records}
    assert by_name["echo"]["text"] == "pong\r\n"
    assert b"Idempotency-Key: k7" in web.received


def test_what_is_not_what_was_to_be_is_a_failure(capsys, tmp_path):
    good = hashlib.sha256(b"hello").hexdigest()
    with Script(PAGE * 2, repeat=True, check=False) as peer:
        lines = [
            {"url": f"http://{peer.address}/1", "sha256": good.upper()},
            {"url": f"http://{peer.address}/2", "sha256": "0" * 64},
        ]
        (tmp_path / "list").write_text("\n".join(map(json.dumps, lines)))
        ran = run(capsys, "fetch", "-i", tmp_path / "list", "--per-host", "1")
    assert ran.status == 1
    assert {record["url"][-1]: record["ok"] for record in ran.records} == {"1": True, "2": False}
    assert f"SHA-256 is {good}, expected was 000" in ran.err


def test_a_wrong_line_is_told_by_its_place_and_not_by_what_it_holds(capsys, tmp_path):
    wrong = [
        '{"url": 7, "password": "hunter2"}',
        '{"headers": {"Cookie": "hunter2"}',
        '{"url": "http://a/", "x": "hunter2"}',
    ]
    (tmp_path / "list").write_text("# a list\n\n" + "\n".join(wrong))
    for options in ((), ("--dry-run",), ("--journal", tmp_path / "run")):
        ran = run(capsys, "fetch", "-i", tmp_path / "list", *options)
        assert ran.status == 1
        for number in (3, 4, 5):
            assert f"error: line {number} of {tmp_path / 'list'}: " in ran.err
        assert "hunter2" not in ran.out + ran.err
    assert all(b"hunter2" not in path.read_bytes() for path in (tmp_path / "run").iterdir())


def test_a_resumed_run_with_nothing_left_to_do_says_why_its_status_is_not_0(capsys, tmp_path):
    fetch = ["fetch", "tcp://127.0.0.1:1", "--journal", tmp_path / "run", "--resume"]
    assert run(capsys, *fetch).status == 3
    again = run(capsys, *fetch)
    assert (again.status, again.err) == (3, "1 job left out that failed in earlier runs\n")


# header fields


def test_header_fields_go_with_each_request_and_a_line_may_have_its_own(capsys, tmp_path):
    (tmp_path / "fields").write_text("X-Api-Key: hunter2\n")
    with Script(PAGE, repeat=True, check=False) as peer, Script("S: hi") as raw:
        base = f"http://{peer.address}"
        lines = [f"{base}/plain", json.dumps({"url": f"{base}/own", "headers": {"x-trace": "8", "Accept": "a/b"}})]
        (tmp_path / "list").write_text("\n".join(lines))
        fields = ["-H", "X-Trace: 7", "--header", f"@{tmp_path / 'fields'}"]
        ran = run(capsys, "fetch", f"tcp://{raw.address}", "-i", tmp_path / "list", *fields, "--limit", "1")
    assert ran.status == 0, ran
    plain, own = (head for head in bytes(peer.received).split(b"\r\n\r\n") if head)
    assert b"X-Trace: 7" in plain
    assert b"x-trace: 8" in own
    assert b"X-Trace: 7" not in own
    assert b"Accept: a/b" in own
    assert plain.count(b"hunter2") == own.count(b"hunter2") == 1
    assert "hunter2" not in ran.out


def test_header_fields_go_with_posts_too(capsys, tmp_path):
    with Script(answer("200 OK").replace("GET *", "POST *")) as peer:
        line = {"method": "POST", "url": f"http://{peer.address}/api", "body": ""}
        (tmp_path / "list").write_text(json.dumps(line))
        assert run(capsys, "fetch", "-i", tmp_path / "list", "-H", "X-Trace: 7").status == 0
    assert b"X-Trace: 7\r\n" in peer.received


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-H", "Cookie: hunter2"], "no secret on the command line"),
        (["-H", "X"], "NAME: VALUE"),
        (["-H", "X: a\rb"], "control character"),
        (["-H", "@{secret}", "--cluster", "local"], "X-Api-Key is a secret, which does not travel"),
    ],
)
def test_wrong_header_fields_are_told_before_anything_is_sent(capsys, tmp_path, arguments, line):
    (tmp_path / "secret").write_text("X-Api-Key: hunter2\n")
    arguments = [argument.format(secret=tmp_path / "secret") for argument in arguments]
    with Script() as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", *arguments)
    assert ran.status == 2
    assert line in ran.err
    assert "hunter2" not in ran.err


def test_where_none_are_sent_a_lines_header_fields_are_its_failure(capsys, tmp_path):
    (tmp_path / "list").write_text('{"url": "tcp://127.0.0.1:1", "headers": {"A": "b"}}\n')
    ran = run(capsys, "fetch", "-i", tmp_path / "list")
    assert ran.status == 1
    assert "has no header fields" in ran.err


def test_with_other_header_fields_it_is_another_job_and_no_journal_holds_a_secret(capsys, tmp_path):
    (tmp_path / "secret").write_text("X-Api-Key: hunter2\n")
    with Script(PAGE, repeat=True, check=False) as peer:
        fetch = ["fetch", f"http://{peer.address}/", "--journal", tmp_path / "run", "--resume"]
        assert len(run(capsys, *fetch).records) == 1
        assert len(run(capsys, *fetch, "-H", "Accept: a/b").records) == 1
        assert len(run(capsys, *fetch, "-H", f"@{tmp_path / 'secret'}").records) == 1
        assert run(capsys, *fetch, "-H", "accept: a/b").records == []
        assert run(capsys, *fetch, "-H", f"@{tmp_path / 'secret'}").records == []
    for path in (tmp_path / "run").iterdir():
        assert b"hunter2" not in path.read_bytes()


# targets


def test_results_become_json_lines_in_a_file(capsys, tmp_path):
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/", "tcp://127.0.0.1:1", "-o", tmp_path / "out.jsonl")
    assert (ran.status, ran.out) == (3, "")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(record["ok"] for record in records) == [False, True]
    assert "nobody listens there" in ran.err
    again = run(capsys, "fetch", "tcp://127.0.0.1:1", "-o", tmp_path / "out.jsonl")
    assert again.status == 2
    assert "there is something in" in again.err


def test_results_become_rows_of_a_database(capsys, tmp_path):
    with Script(PAGE) as peer:
        assert run(capsys, "fetch", f"http://{peer.address}/", "-o", tmp_path / "out.sqlite").status == 0
    database = sqlite3.connect(tmp_path / "out.sqlite")
    assert database.execute("SELECT ok, status, body FROM outcomes").fetchall() == [(1, 200, b"hello")]
    database.close()


def test_files_are_named_by_a_template_and_stay_in_their_folder(capsys, tmp_path):
    with Script(PAGE * 2) as peer:
        urls = [f"http://{peer.address}/a/b.html", f"http://{peer.address}/../../etc/passwd"]
        target = f"{tmp_path}/out/{{host}}/{{path}}"
        assert run(capsys, "fetch", *urls, "-o", target, "--per-host", "1").status == 0
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["out/127.0.0.1/a/b.html", "out/127.0.0.1/index/index/etc/passwd"]
    wrong = run(capsys, "fetch", "tcp://127.0.0.1:1", "-o", f"{tmp_path}/{{wrong}}")
    assert wrong.status == 2
    assert "no field 'wrong'" in wrong.err


def test_mail_goes_into_a_maildir(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ASYNCNET_PASSWORD", "secret")
    with Script(POP3) as mail:
        ran = run(capsys, "fetch", f"pop3://alice@{mail.address}", "-o", f"maildir:{tmp_path / 'mail'}")
    assert ran.status == 0, ran
    assert sorted(path.read_bytes() for path in (tmp_path / "mail" / "new").iterdir()) == [
        b"Subject: 1\r\n\r\n",
        b"Subject: 2\r\n\r\n",
    ]
    assert list((tmp_path / "mail" / "tmp").iterdir()) == []


# the journal


def test_a_killed_run_goes_on_and_nothing_is_doubled(tmp_path):
    with Script(PAGE * 3 + "until \\r\\n\\r\\n\nsilence", check=False) as peer:
        urls = [f"http://{peer.address}/{number}" for number in range(6)]
        (tmp_path / "list").write_text("\n".join(urls))
        arguments = ["fetch", "-i", tmp_path / "list", "--journal", tmp_path / "run", "-o", tmp_path / "out.jsonl"]
        with started(*arguments, "--per-host", "1") as child:
            peer.wait_until(b"GET /3")
            child.kill()
            child.wait()
    rest = PAGE * 3
    with Script(rest, check=False) as second:
        (tmp_path / "list").write_text(
            "\n".join(urls[:3] + [url.replace(peer.address, second.address) for url in urls[3:]])
        )
        ran = process(*arguments, "--per-host", "1")
        assert ran.status == 2
        assert "resume it" in ran.err
        ran = process(*arguments, "--per-host", "1", "--resume")
    assert ran.status == 0, ran
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(record["url"][-1] for record in records) == ["0", "1", "2", "3", "4", "5"]


def test_standard_output_that_is_a_file_is_kept_in_step(tmp_path):
    out = tmp_path / "out"
    with Script(PAGE, PAGE) as peer:
        for number, urls in enumerate(([f"http://{peer.address}/1"], [f"http://{peer.address}/{n}" for n in (1, 2)])):
            with open(out, "ab") as file:
                if number:
                    file.write(b'{"url": "what was written when it was killed')
                    file.flush()
                arguments = ["fetch", *urls, "--journal", tmp_path / "run", "--resume", "--per-host", "1"]
                with started(*arguments, stdout=file) as child:
                    assert child.wait(30) == 0, child.stderr.read()
    assert [json.loads(line)["url"][-1] for line in out.read_text().splitlines()] == ["1", "2"]


def test_the_exit_status_is_that_of_the_whole_run(capsys, tmp_path):
    (tmp_path / "list").write_text("tcp://127.0.0.1:1\nnonsense\n")
    arguments = ["fetch", "-i", tmp_path / "list", "--journal", tmp_path / "run", "--resume"]
    first = run(capsys, *arguments)
    assert (first.status, len(first.records)) == (1, 2)
    again = run(capsys, *arguments)
    assert (again.status, again.records) == (1, [])


def test_what_is_asked_for_twice_is_left_out_or_refused(capsys, tmp_path):
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", *[f"http://{peer.address}/"] * 3, "--dedup", "skip")
    assert (ran.status, len(ran.records)) == (0, 1)
    with Script(PAGE, check=False) as peer:
        ran = run(capsys, "fetch", *[f"http://{peer.address}/"] * 3, "--dedup", "refuse")
    assert ran.status == 2
    assert "asked for twice" in ran.err


def test_no_key_holds_what_a_query_says(capsys):
    ran = run(capsys, "fetch", "http://a.example.org/?token=abc", "https://a.example.org/x", "--dry-run")
    assert [made["key"].partition(" #")[0] for made in ran.records] == [
        "GET http://a.example.org/?...",
        "GET https://a.example.org/x",
    ]


def test_resume_needs_a_journal(capsys):
    ran = run(capsys, "fetch", "tcp://127.0.0.1:1", "--resume")
    assert ran.status == 2
    assert "--journal DIR" in ran.err


# what failed


def test_what_failed_is_a_list_that_can_be_given_again(capsys, tmp_path):
    order = json.dumps({"url": "tcp://127.0.0.1:1", "name": "closed"})
    with Script(PAGE) as peer:
        (tmp_path / "list").write_text(f"http://{peer.address}/\n{order}\nnonsense\n")
        ran = run(capsys, "fetch", "-i", tmp_path / "list", "--failed", tmp_path / "failed")
    assert ran.status == 1
    assert sorted((tmp_path / "failed").read_text().splitlines()) == sorted([order, "nonsense"])
    again = run(capsys, "fetch", "-i", tmp_path / "failed", "--failed", tmp_path / "failed-again")
    assert (again.status, len(again.records)) == (1, 2)


# and the rest


def test_a_report_is_written(capsys, tmp_path):
    with Script(PAGE) as peer:
        ran = run(capsys, "fetch", f"http://{peer.address}/x?token=hunter2", "--report", tmp_path / "run.html")
    assert ran.status == 0, ran
    text = (tmp_path / "run.html").read_text()
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert data["done"] == 1
    (track,) = data["tracks"]
    assert {step[0] for step in track[8]} >= {"connect", "request"}
    assert "hunter2" not in text


def test_a_dry_run_sends_nothing(capsys, tmp_path):
    (tmp_path / "list").write_text(
        'http://a.example/1\n{"method":"POST","url":"http://a.example/","body":"x"}\nnonsense\n'
    )
    ran = run(capsys, "fetch", "-i", tmp_path / "list", "--dry-run", "-o", tmp_path / "out.jsonl")
    assert ran.status == 1
    assert [(record["method"], record["host"]) for record in ran.records] == [
        ("GET", "a.example"),
        ("POST", "a.example"),
    ]
    assert "2 jobs would be done, 1 lines are wrong" in ran.err


def test_a_run_ends_when_its_time_is_up(capsys):
    with Script("silence", check=False) as peer:
        ran = run(capsys, "fetch", f"tcp://{peer.address}", "--total-timeout", "0.2")
    assert ran.status == 3
    assert "the run was not done within 0.2 seconds" in ran.err


def test_rates_and_adaptive_limits_are_taken(capsys):
    with Script(PAGE * 3) as peer:
        urls = [f"http://{peer.address}/{number}" for number in range(3)]
        ran = run(
            capsys,
            "fetch",
            *urls,
            "--rate",
            "1000",
            "--rate-per-host",
            "6000/m",
            "--adaptive",
            "--per-host",
            "1",
            "--limit",
            "1",
        )
    assert ran.status == 0, ran
