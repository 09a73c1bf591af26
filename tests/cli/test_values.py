"""What options read, what records and rows say, and messages that are composed."""

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import click
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from asyncnet import Message, UsageError, http
from asyncnet.cli.compose import compose
from asyncnet.cli.options import SIZE
from asyncnet.cli.output import HEADING, row
from asyncnet.errors import ConnectError, StatusError
from asyncnet.jobs import Outcome, json_line, record, weight
from asyncnet.jobs.records import line


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("5000", 5000), ("64k", 64_000), ("64ki", 65_536), ("10M", 10**7), ("64MiB", 2**26), ("2GiB", 2**31)],
)
def test_a_size_is_read_with_its_unit(text, count):
    assert SIZE.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "10 XB", "x", "1T", "1e3", "٣", "9" * 20])
def test_anything_else_is_no_size(text):
    with pytest.raises(click.BadParameter, match="no number of bytes"):
        SIZE.convert(text, None, None)


def response(body: bytes, status: int = 200) -> http.Response:
    headers = CIMultiDictProxy(CIMultiDict([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    return http.Response(status, "OK\x1b[2J", headers, "http://a/end", "GET", body)


MESSAGE = Message(b"Subject: x\r\n\r\n", uid=7, flags=frozenset({"\\Seen"}), received=datetime(2024, 1, 2, tzinfo=UTC))


def test_a_page_is_a_record_with_its_text():
    assert record(Outcome("http://a/", response(b"hello"), None, 2, 0.1234567)) == {
        "url": "http://a/",
        "ok": True,
        "attempts": 2,
        "seconds": 0.123457,
        "status": 200,
        "reason": "OK\x1b[2J",
        "final_url": "http://a/end",
        "headers": [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]],
        "bytes": 5,
        "text": "hello",
    }


def test_what_is_no_utf_8_is_base64():
    made = record(Outcome("tcp://a:1", b"\xff\x00"))
    assert (made["bytes"], made["base64"]) == (2, "/wA=")
    assert "text" not in made


def test_messages_are_records_of_their_own():
    made = record(Outcome("imaps://a/", [MESSAGE]))
    assert made["messages"] == [
        {
            "uid": 7,
            "bytes": 14,
            "flags": ["\\Seen"],
            "received": "2024-01-02T00:00:00+00:00",
            "text": "Subject: x\r\n\r\n",
        }
    ]


def test_what_was_saved_is_named_and_not_repeated():
    assert "text" not in record(Outcome("http://a/", response(b"hello")), ["dir/a"])
    assert record(Outcome("tcp://a:1", b"x"), ["dir/a"])["file"] == "dir/a"
    assert record(Outcome("imaps://a/", [MESSAGE]), ["dir/a.eml"])["messages"][0]["file"] == "dir/a.eml"
    assert record(Outcome("imaps://a/", []), [])["messages"] == []


def test_a_failure_is_a_record_with_its_class():
    error = StatusError(code=503, retry_after=7.0, transient=True)
    assert record(Outcome("http://a/", None, error))["error"] == {
        "type": "StatusError",
        "message": "refused (503)",
        "transient": True,
        "code": 503,
        "retry_after": 7.0,
    }
    assert record(Outcome("x", None, KeyError("y")))["error"] == {"type": "KeyError", "message": "'y'"}


def test_a_json_line_is_ascii_and_reads_back():
    made = record(Outcome("http://a/", response("ä\u2028\x9b\x1b\n".encode())))
    line = json_line(made)
    assert line.isascii()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line) == made


def test_rows_stand_under_their_heading():
    rows = [
        row(Outcome("http://a/", response(b"x" * 12_345), None, 1, 0.5)),
        row(Outcome("imaps://a/\x1b[2J", [MESSAGE, MESSAGE], None, 1, 2.0)),
        row(Outcome("tcp://a:1", b"", None, 1, 100.0)),
        row(Outcome("tcp://a:2", None, ConnectError("no"), 1, 0.001)),
    ]
    assert rows == [
        "200 OK\\x1b[2J    12.3 kB   0.500 s  http://a/",
        "2 messages          28 B     2.0 s  imaps://a/\\x1b[2J",
        "whole                0 B     100 s  tcp://a:1",
        "failed                 -   0.001 s  tcp://a:2",
    ]
    assert HEADING.index("from") == rows[0].index("http://a/")


def test_the_weight_of_a_value_is_its_bytes():
    assert [weight(value) for value in (b"12", [MESSAGE, MESSAGE], response(b"123"))] == [2, 28, 3]


# compose


def test_a_message_is_composed_of_headers_text_and_attachments(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "data.tar.gz").write_bytes(b"\x1f\x8b")
    made = compose(
        "Älice <alice@example.org>",
        ["bob@example.org", "Carol <carol@example.org>"],
        "Grüße",
        "Hallo,\nWelt\n",
        [str(tmp_path / "picture.png"), str(tmp_path / "data.tar.gz")],
    )
    read = message_from_bytes(bytes(made), policy=default)
    assert read["From"] == "Älice <alice@example.org>"
    assert [address.addr_spec for address in read["To"].addresses] == ["bob@example.org", "carol@example.org"]
    assert read["Subject"] == "Grüße"
    assert read["Message-ID"].endswith("@example.org>")
    assert read["Date"].datetime is not None
    assert read.get_body().get_content() == "Hallo,\nWelt\n"
    assert [(part.get_content_type(), part.get_filename(), part.get_content()) for part in read.iter_attachments()] == [
        ("image/png", "picture.png", b"\x89PNG"),
        ("application/octet-stream", "data.tar.gz", b"\x1f\x8b"),
    ]


@pytest.mark.parametrize("value", [None, True, 7, -1.5, "t\u00e4xt\n\x1b", {"a": 1}, [1], b"x", object])
@pytest.mark.parametrize("error", [None, ConnectError("refused")])
def test_the_line_of_an_outcome_is_that_of_its_record(value, error):
    outcome = Outcome('http://a/"\u20ac', value, error, 3, 1e-7)
    assert line(outcome) == json_line(record(outcome)).encode("ascii")


@pytest.mark.parametrize(
    ("sender", "to", "subject"),
    [("a@b", ["c@d"], "two\nlines"), ("a@b\r\nBcc: x@y", ["c@d"], ""), ("a@b", ["c@d\nBcc: x@y"], "")],
)
def test_a_header_with_a_line_end_is_refused(sender, to, subject):
    with pytest.raises(UsageError, match="no message"):
        compose(sender, to, subject, "")


def test_an_attachment_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        compose("a@b", ["c@d"], "", "", [str(tmp_path / "missing")])
