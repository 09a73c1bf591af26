"""Sequence sets, names of mailboxes, moments and patterns: small grammars, both ways."""

import contextlib
import time
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.imap import mailbox_name, moment
from asyncnet.lab.imap.pattern import Pattern
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.sequence_set import SequenceSet, written


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("1", [0]),
        ("*", [4]),
        ("2:3", [1, 2]),
        ("3:2", [1, 2]),
        ("4:*", [3, 4]),
        ("*:4", [3, 4]),
        ("1,3,5", [0, 2, 4]),
        ("5,1:2,2", [0, 1, 4]),
        ("1:*", [0, 1, 2, 3, 4]),
    ],
)
def test_numbers_are_places(text: str, places: list[int]) -> None:
    assert SequenceSet.parse(text).numbers(5) == places


@pytest.mark.parametrize(
    ("text", "uids"),
    [
        ("1:4294967295", [3, 5, 9]),
        ("4", []),
        ("4:6", [5]),
        ("10:*", [9]),  # RFC 9051 §9: * is the last there is, and a range has no direction
        ("*", [9]),
        ("9,3", [3, 9]),
    ],
)
def test_uids_need_not_be_there(text: str, uids: list[int]) -> None:
    known = [3, 5, 9]
    assert [known[place] for place in SequenceSet.parse(text).places(known)] == uids


def test_in_an_empty_mailbox_nothing_is_named() -> None:
    assert SequenceSet.parse("1:*").places([]) == []
    assert SequenceSet.parse("*").numbers(0) == []
    with pytest.raises(Bad):
        SequenceSet.parse("1").numbers(0)


@pytest.mark.parametrize(
    "text", ["", "0", "1:", ":1", "1,,2", ",", "a", "4294967296", "1:2:3", "²", "-1", "+1", " 1", "$,1"]
)
def test_what_is_no_set_is_bad(text: str) -> None:
    with pytest.raises(Bad):
        SequenceSet.parse(text)


def test_a_number_that_no_message_has_is_bad() -> None:
    with pytest.raises(Bad):
        SequenceSet.parse("1:6").numbers(5)


@given(st.sets(st.integers(1, 60), max_size=30))
def test_what_is_written_is_read_back(numbers: set[int]) -> None:
    text = written(sorted(numbers))
    assert [place + 1 for place in SequenceSet.parse(text).numbers(60)] == sorted(numbers) if numbers else text == ""


def test_a_set_of_all_numbers_costs_no_memory() -> None:
    assert SequenceSet.parse(",".join(["1:4294967295"] * 5_000)).places(list(range(1, 100))) == list(range(99))


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", "INBOX"),
        ("Entwürfe", "Entw&APw-rfe"),
        ("a & b", "a &- b"),
        ("日本語", "&ZeVnLIqe-"),
        ("\N{PILE OF POO}", "&2D3cqQ-"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 9051 §A.1
    ],
)
def test_names_are_written_in_modified_utf7(name: str, wire: str) -> None:
    assert mailbox_name.encoded(name) == wire
    assert mailbox_name.decoded(wire.encode()) == name
    assert mailbox_name.decoded(name.encode().replace(b"&", b"&-")) == name  # UTF-8 is understood as well


@pytest.mark.parametrize("wire", [b"&", b"&AGE-", b"a&U,BTF", b"&ZeV-", b"&!-", b"\xff", b"&AOQ-&AOQ-", b"&2D0-"])
def test_a_name_has_one_spelling(wire: bytes) -> None:
    with pytest.raises(Bad):
        mailbox_name.decoded(wire)


@given(st.text(st.characters(codec="utf-8", min_codepoint=0x20), max_size=20))
def test_names_come_back(name: str) -> None:
    assert mailbox_name.decoded(mailbox_name.encoded(name).encode()) == name


@given(st.binary(max_size=30))
def test_any_bytes_are_a_name_or_bad(wire: bytes) -> None:
    with contextlib.suppress(Bad):
        mailbox_name.decoded(wire)


@given(st.datetimes(min_value=datetime(1970, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_moments_come_back(when: datetime, minutes: int) -> None:
    when = when.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert moment.parsed(moment.written(when).encode()) == when


def test_a_moment_is_written_as_the_grammar_has_it() -> None:
    assert moment.written(datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)) == " 1-Mar-2026 04:05:06 +0000"
    assert moment.parsed(b"17-jul-1996 02:44:25 -0700").utcoffset() == timedelta(hours=-7)


@pytest.mark.parametrize(
    "text", [b"", b"1-Jan-2026 00:00:00 +0000", b"31-Feb-2026 00:00:00 +0000", b"01-Xxx-2026 00:00:00 +0000",
             b"01-Jan-2026 24:00:00 +0000", b"01-Jan-2026 00:00:00 +9999", b"01-Jan-0000 00:00:00 +0000", b"\xff" * 26]
)  # fmt: skip
def test_what_is_no_moment_is_bad(text: bytes) -> None:
    with pytest.raises(Bad):
        moment.parsed(text)


def test_days_are_read() -> None:
    assert moment.parsed_day(b"1-Jan-2026") == moment.parsed_day(b"01-JAN-2026") == date(2026, 1, 1)
    for text in (b"1-Jan", b"32-Jan-2026", b"1-Foo-2026", b"1-Jan-26", b"\xff"):
        with pytest.raises(Bad):
            moment.parsed_day(text)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "a/b/c", True),
        ("%", "a", True),
        ("%", "a/b", False),
        ("a/%", "a/b", True),
        ("a/%", "a/b/c", False),
        ("a*c", "a/b/c", True),
        ("%/%", "a/b", True),
        ("INBOX", "INBOX", True),
        ("INBOX", "INBOX/x", False),
        ("a%b", "ab", True),
        ("*%*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_patterns_fit(pattern: str, name: str, expected: bool) -> None:
    assert Pattern(pattern).fits(name) is expected


def test_a_pattern_that_would_be_tried_for_ever_is_not() -> None:
    began = time.process_time()
    assert not Pattern("*a" * 400).fits("a" * 399 + "b")
    assert not Pattern("*%" * 400 + "b").fits("a" * 400)
    assert time.process_time() - began < 5


def test_a_set_picks_from_uids_what_it_names() -> None:
    assert SequenceSet.parse("9:*,1,3:4").among([1, 2, 4, 8], 10) == [1, 4]
    assert SequenceSet.parse("*:7").among([1, 2, 4, 8, 10], 10) == [8, 10]
    assert SequenceSet.parse("*").among([], 10) == []
    # Each span is looked up, not each pair of a span and a UID.
    many = SequenceSet.parse(",".join(map(str, range(1, 60_000, 2))))
    assert many.among(range(1, 100_001), 100_001) == list(range(1, 60_000, 2))
