"""What a server says becomes values, and whatever is no reply becomes a ProtocolError, never another exception."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import AuthenticationError, ProtocolError, RefusedError
from asyncnet.pop3 import reply
from asyncnet.pop3.reply import Listing, Stat


@pytest.mark.parametrize("line", [b"+OK", b"+OK ", b"+OK bye", b"+OK\tbye", b"+OK \xff\x00"])
def test_a_positive_status_is_known(line: bytes) -> None:
    assert reply.is_positive(line)
    assert not reply.is_negative(line)


@pytest.mark.parametrize("line", [b"-ERR", b"-ERR no", b"-ERR [AUTH] no", b"-ERR \xff"])
def test_a_negative_status_is_known(line: bytes) -> None:
    assert reply.is_negative(line)
    assert not reply.is_positive(line)


@pytest.mark.parametrize(
    "line", [b"", b"+", b"+ ", b"+ok", b"+OKAY", b"-", b"-ERROR", b" +OK", b"* OK", b"HTTP/1.1 400"]
)
def test_anything_else_is_neither(line: bytes) -> None:
    assert not reply.is_positive(line)
    assert not reply.is_negative(line)


@pytest.mark.parametrize("line", [b"+OK 2 320", b"+OK  2\t320", b"+OK 2 320 octets, \xe4 3 deleted"])
def test_stat_is_read(line: bytes) -> None:
    assert reply.stat(line) == Stat(count=2, size=320)


GARBAGE = [
    b"",
    b"2",
    b"two 320",
    b"2 -1",
    b"-2 320",
    b"2 3_0",
    b"2 320x",
    b"1" * 10 + b" 2",
    b"2 " + b"1" * 16,
    b"2,320",
]
GARBAGE += ["٢ ٣".encode(), b"2 0x10", b"+2 320", b"2\x00320", b"2 3.5"]


@pytest.mark.parametrize("line", GARBAGE)
def test_a_stat_that_is_not_two_numbers_breaks_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="not two numbers"):
        reply.stat(b"+OK " + line)


@pytest.mark.parametrize("line", GARBAGE)
def test_a_listing_that_is_not_two_numbers_breaks_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="not two numbers"):
        reply.listings([b"1 100", line])


def test_listings_are_read_in_the_order_of_the_server() -> None:
    assert reply.listings([b"3 30", b"1 10 extra"]) == [Listing(number=3, size=30), Listing(number=1, size=10)]


@pytest.mark.parametrize("lines", [[b"1 5", b"1 6"], [b"0 5"], [b"1 5", b"01 5"]])
def test_a_number_twice_or_none_is_no_listing(lines: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="message"):
        reply.listings(lines)
    with pytest.raises(ProtocolError, match="message"):
        reply.unique_ids(lines)


def test_a_listing_of_another_message_breaks_the_protocol() -> None:
    assert reply.one_listing(b"+OK 2 200", 2) == Listing(2, 200)
    with pytest.raises(ProtocolError, match="message 2 was asked for, 3 was listed"):
        reply.one_listing(b"+OK 3 200", 2)


def test_unique_ids_are_read() -> None:
    assert reply.unique_ids([b"1 whqtswO00WBw418f9t5JxYwZ", b"2 a.b~! "]) == {1: "whqtswO00WBw418f9t5JxYwZ", 2: "a.b~!"}
    assert reply.one_unique_id(b"+OK 2 QhdPYR:00WBw1Ph7x7", 2) == {2: "QhdPYR:00WBw1Ph7x7"}


@pytest.mark.parametrize("line", [b"", b"1", b"1 ", b"x y", b"1 a b", b"1 \xe4", b"1 a\x00b", b"1 a\x7f", b"1a"])
def test_a_unique_id_that_is_none_breaks_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="unique-id"):
        reply.unique_ids([line])


def test_a_unique_id_of_another_message_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="message 2 was asked for, 1 was listed"):
        reply.one_unique_id(b"+OK 1 abc", 2)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"+OK 120 octets", 120),
        (b"+OK 120 Octets follow", 120),
        (b"+OK 7 bytes", 7),
        (b"+OK", None),
        (b"+OK message follows", None),
        (b"+OK 120", None),
        (b"+OK " + b"1" * 16 + b" octets", None),
    ],
)
def test_the_size_of_a_message_is_read_where_it_is_told(line: bytes, size: int | None) -> None:
    assert reply.octets(line) == size


def test_capabilities_are_read_by_name() -> None:
    lines = [b"top", b"SASL PLAIN  XOAUTH2", b"", b"IMPLEMENTATION \xff 1.0"]
    assert reply.capabilities(lines) == {
        "TOP": (),
        "SASL": ("PLAIN", "XOAUTH2"),
        "IMPLEMENTATION": ("\N{REPLACEMENT CHARACTER}", "1.0"),
    }


@pytest.mark.parametrize(
    ("greeting", "stamp"),
    [
        (b"+OK POP3 ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"),
        (b"+OK <a@b> <c@d>", "<a@b>"),
        (b"+OK ready", None),
        (b"+OK <no at>", None),
        (b"+OK <a@b\x80>", None),
        (b"+OK <a b@c>", None),
        (b"+OK <@>", None),
    ],
)
def test_a_timestamp_is_a_message_id_and_nothing_laxer(greeting: bytes, stamp: str | None) -> None:
    assert reply.stamp(greeting) == stamp


@pytest.mark.parametrize(
    ("line", "transient"),
    [
        (b"-ERR no such message", False),
        (b"-ERR", False),
        (b"-ERR [SYS/TEMP] try later", True),
        (b"-ERR [sys/temp/disk] try later", True),
        (b"-ERR [SYS/PERM] gone", False),
        (b"-ERR [IN-USE] locked", True),
        (b"-ERR [LOGIN-DELAY] too soon", True),
        (b"-ERR said [IN-USE] later on", False),
        (b"-ERR [IN-USEFUL] something else", False),
    ],
)
def test_a_refusal_is_transient_by_its_response_code(line: bytes, transient: bool) -> None:
    error = reply.refusal(line)
    assert (error.code, error.transient) == ("-ERR", transient)
    assert error.text == line[4:].strip().decode()


@pytest.mark.parametrize(
    ("line", "kind", "transient"),
    [
        (b"-ERR [AUTH] no", AuthenticationError, False),
        (b"-ERR no", AuthenticationError, False),
        (b"-ERR [IN-USE] locked", RefusedError, True),
        (b"-ERR [LOGIN-DELAY] too soon", RefusedError, True),
        (b"-ERR [SYS/TEMP] trouble", RefusedError, True),
        (b"-ERR [SYS/PERM] your maildrop is gone", RefusedError, False),
    ],
)
def test_a_refused_login_is_about_the_secret_unless_the_code_says_not(
    line: bytes, kind: type[RefusedError], transient: bool
) -> None:
    error = reply.login_refusal(line, "secret")
    assert (type(error), error.transient) == (kind, transient)


def test_a_secret_that_the_server_repeats_is_in_no_field_of_the_error() -> None:
    error = reply.login_refusal(b"-ERR bad password: hunter2", "hunter2", reason="hunter2 has expired")
    assert "hunter2" not in f"{error!s}{error!r}{error.args}{error.__dict__}"
    assert "***" in error.text
    assert reply.login_refusal(b"-ERR no", "").text == "no"


PARSERS = [reply.stat, reply.listing, reply.unique_id, reply.octets, reply.stamp, reply.refusal, reply.is_positive]


@given(
    st.one_of(
        st.binary(),
        st.lists(st.sampled_from([b"+OK", b"-ERR", b" ", b"1", b"<", b"@", b"[", b"/", b"\t"])).map(b"".join),
    )
)
def test_no_line_raises_anything_but_our_own(line: bytes) -> None:
    for parse in PARSERS:
        with contextlib.suppress(ProtocolError):
            parse(line)


@pytest.mark.parametrize(
    "line", [b"<" * 500_000, b"+OK " + b"<a" * 300_000, b"+OK <" + b"a" * 500_000 + b"@" + b"b" * 500_000]
)
def test_a_long_greeting_is_searched_in_linear_time(line: bytes) -> None:
    assert reply.stamp(line) is None
