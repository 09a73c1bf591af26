"""message.py: bytes first, parsing on request, and no mail that makes it raise anything of its own."""

import contextlib
import dataclasses
import datetime
import email.message
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import LimitError
from asyncnet.message import Message

RAW = (
    b"From: Alice <alice@example.org>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b"Gr\xc3\xbc\xc3\x9fe\r\n"
)


def test_a_message_holds_its_bytes_and_parses_them_on_request() -> None:
    message = Message(RAW, uid=7, flags=frozenset({r"\Seen"}), size=len(RAW))
    assert message.raw == RAW
    parsed = message.parse()
    assert isinstance(parsed, email.message.EmailMessage)
    assert parsed["subject"] == "Grüße"
    assert parsed.get_content() == "Grüße\r\n"


def test_a_message_is_a_value() -> None:
    received = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    message = Message(RAW, uid="a1", number=3, size=9, received=received)
    assert pickle.loads(pickle.dumps(message)) == message
    assert hash(message) == hash(dataclasses.replace(message))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.raw = b""  # type: ignore[misc]


def test_a_message_is_shown_without_its_content() -> None:
    assert "alice" not in repr(Message(RAW, uid=7))
    assert "uid=7" in repr(Message(RAW, uid=7))


@given(
    st.one_of(st.binary(), st.binary().map(lambda junk: RAW.replace(b"text/plain", junk)), st.text().map(str.encode))
)
def test_no_bytes_make_the_parser_raise(raw: bytes) -> None:
    assert isinstance(Message(raw).parse(), email.message.EmailMessage)


def test_parts_within_parts_without_end_are_a_limit_error_and_no_recursion_error() -> None:
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1500))
    with pytest.raises(LimitError, match="nested too deeply") as caught:
        Message(head).parse()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no header at all", b":\r\n\r\n", b"\xff\xfe\x00", b"A" * 100_000])
def test_a_message_that_is_none_has_defects_or_a_body_and_raises_nothing(raw: bytes) -> None:
    with contextlib.suppress(KeyError):
        parsed = Message(raw).parse()
        assert parsed.get_payload() is not None
