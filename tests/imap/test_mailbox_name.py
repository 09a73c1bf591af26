"""Mailbox names: text here, modified UTF-7 there, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.errors import UsageError
from asyncnet.imap.mailbox_name import decoded_name, encoded_name

# RFC 3501 §5.1.3, and names that users have
PAIRS = {
    "INBOX": "INBOX",
    "Sent Items": "Sent Items",
    "Entwürfe": "Entw&APw-rfe",
    "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
    "a & b": "a &- b",
    "&": "&-",
    "Tom & Jérôme": "Tom &- J&AOk-r&APQ-me",
    'x"y\\z': 'x"y\\z',
    "a* b%": "a* b%",
    "\N{PILE OF POO}": "&2D3cqQ-",
    "ÀÁ&Â": "&AMAAwQ-&-&AMI-",
}

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@pytest.mark.parametrize(("name", "wire"), PAIRS.items())
def test_names_are_written_as_the_rfc_says(name: str, wire: str) -> None:
    assert encoded_name(name) == wire
    assert decoded_name(wire.encode()) == name


@given(NAMES)
def test_every_name_comes_back(name: str) -> None:
    wire = encoded_name(name)
    assert wire.isascii()
    assert wire.isprintable()
    assert decoded_name(wire.encode()) == name


@given(st.binary(max_size=40))
def test_whatever_a_server_sends_is_text_that_can_be_shown(wire: bytes) -> None:
    decoded_name(wire).encode()


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"gr\xc3\xbcn", "grün"),  # UTF-8, as UTF8=ACCEPT and careless servers have it
        (b"gr\xfcn", "gr\ufffdn"),
        (b"a & b", "a & b"),  # no shift sequence at all
        (b"&AP-", "&AP-"),  # not a whole number of UTF-16 units
        (b"&2D0-", "&2D0-"),  # half a surrogate pair
        (b"&A!-", "&A!-"),
        (b"&", "&"),
        (b"", ""),
    ],
)
def test_what_is_no_modified_utf_7_is_kept(wire: bytes, name: str) -> None:
    assert decoded_name(wire) == name


@pytest.mark.parametrize("name", ["", "a\r\nb", "a\0b", "a\tb", "\x7f", "\x85", "\ud800"])
def test_what_could_break_a_line_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        encoded_name(name)
