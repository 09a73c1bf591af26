"""Whatever a message holds, and wherever it is cut, what goes out has CRLF line ends and one lone dot, at its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.smtp.stuffing import Stuffing
from tests.smtp.talks import pieces, stuffed

# What matters is how line ends, dots and NUL meet; the rest is one letter.
_ODD = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"x", b"\xff", b".\r\n", b"\r\n."])).map(b"".join)


def _sent(*parts: bytes) -> bytes:
    stuffing = Stuffing()
    return b"".join([*map(stuffing.feed, parts), stuffing.finish()])


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a\n", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n.\r\n"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"..", b"...\r\n.\r\n"),
        (b"a.b", b"a.b\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\nMAIL FROM:<x>\r\n", b"a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"),
        (b"\0.\0", b"\0.\0\r\n.\r\n"),
    ],
)
def test_line_ends_become_crlf_and_dots_are_doubled(message: bytes, wire: bytes) -> None:
    assert _sent(message) == wire
    assert stuffed(message) == wire


@given(_ODD)
def test_it_sends_what_a_reference_made_byte_by_byte_sends(message: bytes) -> None:
    assert _sent(message) == stuffed(message)


@given(_ODD)
def test_where_the_message_is_cut_makes_no_difference(message: bytes) -> None:
    whole = _sent(message)
    for cut in range(len(message) + 1):
        assert _sent(message[:cut], message[cut:]) == whole
    assert _sent(*(bytes([byte]) for byte in message)) == whole


@given(_ODD, st.sets(st.integers(0, 40)))
def test_the_end_comes_once_and_at_the_end(message: bytes, cuts: set[int]) -> None:
    wire = _sent(*pieces(message, {min(cut, len(message)) for cut in cuts}))
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) + 2 - 5
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")


@given(_ODD, st.sets(st.integers(0, 40)))
def test_it_counts_octets_as_size_wants_them(message: bytes, cuts: set[int]) -> None:
    stuffing = Stuffing()
    for piece in pieces(message, {min(cut, len(message)) for cut in cuts}):
        stuffing.feed(piece)
    stuffing.finish()
    lines = stuffed(message)[:-3].split(b"\r\n")  # undone again: RFC 1870 counts no doubled dots
    assert stuffing.octets == len(b"\r\n".join(line.removeprefix(b".") for line in lines))
