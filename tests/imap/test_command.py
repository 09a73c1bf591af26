"""Commands: nothing that a caller hands over can become syntax."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import UsageError
from asyncnet.imap.command import (
    astring,
    criteria,
    fetch_items,
    flag_list,
    quoted,
    quoted_name,
    request,
    section,
)
from asyncnet.imap.limits import Limits
from asyncnet.imap.line_ends import with_crlf
from asyncnet.imap.tokens import tokenized

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
CONTROLS = ["a\rb", "a\nb", "a\0b", "a\tb", "\x7f", "\x1b[0m"]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_quoted_text_is_one_string_and_comes_back(text: str) -> None:
    assert tokenized([quoted(text).encode()], 0, Limits()) == [text.encode()]


@given(TEXT)
def test_any_text_is_one_argument(text: str) -> None:
    argument = astring(text)
    if isinstance(argument, bytes):
        assert argument == text.encode()
        assert not text.isascii()
    else:
        assert tokenized([argument.encode()], 0, Limits()) == [text.encode()]


@given(TEXT.filter(bool))
def test_a_mailbox_is_always_one_quoted_string(name: str) -> None:
    argument = quoted_name(name)
    assert argument.isascii()
    assert len(tokenized([argument.encode()], 0, Limits())) == 1


@pytest.mark.parametrize("text", CONTROLS)
def test_control_characters_are_refused_everywhere(text: str) -> None:
    for refuse in (astring, quoted_name, criteria, section, lambda text: flag_list([text])):
        with pytest.raises(UsageError):
            refuse(text)


def test_half_a_surrogate_pair_is_refused_everywhere() -> None:
    for refuse in (astring, quoted_name, criteria, lambda text: flag_list([text])):
        with pytest.raises(UsageError):
            refuse("\ud800")


def test_arguments_are_joined_by_blanks_around_their_literals() -> None:
    assert request("LOGIN", '"a"', '"b"').segments == ('"a" "b"',)
    assert request("LOGIN", b"\xc3", '"b"').segments == ("", b"\xc3", ' "b"')
    assert request("APPEND", '"x"', "()", b"m").segments == ('"x" () ', b"m")
    assert request("LOGIN", b"u", b"p").segments == ("", b"u", " ", b"p")
    assert request("NOOP").segments == ()
    assert request("COPY", by_uid=True).full_name == "UID COPY"


def test_flags_are_words() -> None:
    assert flag_list([]) == "()"
    assert flag_list([r"\Seen", "$Work", "a}b"]) == r"(\Seen $Work a}b)"
    for wrong in ("", "\\", r"\*", "a b", "(a", "a)", 'a"', "a%", "a]", "{3}", "ü", "a\\b"):
        with pytest.raises(UsageError):
            flag_list([wrong])
    with pytest.raises(UsageError):
        flag_list(r"\Seen")


def test_parts_have_numbers() -> None:
    assert section(None) == ""
    assert section(None, headers_only=True) == "HEADER"
    assert [section(part) for part in ("1", "1.22.3", "1.mime", "2.Header", "text", "HEADER")] == [
        "1",
        "1.22.3",
        "1.MIME",
        "2.HEADER",
        "TEXT",
        "HEADER",
    ]
    for wrong in ("", "0", "1.", ".1", "MIME", "1]", "1 2", "HEADER.FIELDS (X)", "²", "1.0"):
        with pytest.raises(UsageError):
            section(wrong)
    with pytest.raises(UsageError):
        section("1", headers_only=True)


def test_a_message_is_looked_at_without_marking_it() -> None:
    assert fetch_items("BODY[]", mark_seen=False) == "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"
    assert fetch_items("BODY[1]", mark_seen=True) == "(UID FLAGS INTERNALDATE RFC822.SIZE BODY[1])"


def test_criteria_go_out_as_they_are_if_they_are_ascii() -> None:
    for text in ("ALL", 'OR (FROM "a b") (NOT SUBJECT x})', r'BODY "a\"b\\"', "UID 1:*"):
        assert criteria(text) == [text]
    assert criteria("  UNSEEN ") == ["UNSEEN"]


def test_criteria_beyond_ascii_become_literals() -> None:
    assert criteria("SUBJECT Grüße UNSEEN") == ["SUBJECT ", "Grüße".encode(), " UNSEEN"]
    assert criteria(r'(OR SUBJECT "ü \"x\" \\" BODY é)') == [
        "(OR SUBJECT ",
        'ü "x" \\'.encode(),
        " BODY ",
        "é".encode(),
        ")",
    ]
    assert criteria("TEXT 日本") == ["TEXT ", "日本".encode()]


@pytest.mark.parametrize(
    "text", ["", "  ", "(ALL", "ALL)", ")(", '"x', 'SUBJECT "x', "SUBJECT {5}", "{5", 'x" y', '"a\\x"', "ü \x00"]
)
def test_criteria_that_would_break_the_line_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        criteria(text)


@given(TEXT)
def test_criteria_are_refused_or_keep_to_their_line(text: str) -> None:
    try:
        segments = criteria(text)
    except UsageError:
        return
    words = [segment for segment in segments if isinstance(segment, str)]
    assert all(word.isascii() and word.isprintable() and "{" not in word.split('"')[0] for word in words)
    pieces = [segment if isinstance(segment, bytes) else segment.encode() for segment in segments]
    tokenized(pieces, 0, Limits())


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b".", b"\xff"])).map(b"".join))
def test_line_ends_become_crlf(raw: bytes) -> None:
    sent = with_crlf(raw)
    assert b"\r" not in sent.replace(b"\r\n", b"")
    assert b"\n" not in sent.replace(b"\r\n", b"")
    assert with_crlf(sent) is sent
    assert sent.replace(b"\r\n", b"") == raw.replace(b"\r", b"").replace(b"\n", b"")


def test_limits_are_at_least_one() -> None:
    with pytest.raises(UsageError, match="max_nesting"):
        Limits(max_nesting=0)
