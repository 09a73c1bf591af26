"""A multi-line reply comes out the same wherever its pieces were cut, and ends at its end mark alone."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.pop3.dots import Dotted, cut
from tests.pop3.talks import stuffed


def undone(pieces: Iterable[bytes]) -> tuple[bytes, bytes | None]:
    """The text and what follows it, of pieces that are fed until the end is seen."""
    dotted, text, behind = Dotted(), b"", b""
    for piece in pieces:
        if dotted.rest is None:
            text += dotted.feed(piece)
        else:
            behind += piece
    return text, None if dotted.rest is None else dotted.rest + behind


TEXTS = [
    b"",
    b"\r\n",
    b".\r\n",
    b"..\r\n",
    b"a\r\n.b\r\n",
    b".\r\n.\r\n...\r\n",
    b"\r\n\r\n.\r\n\r\n",
    b"Subject: 8 bit \xff\x00\x80\r\n\r\n\xe4.\r\n",
    b"bare\n.\nand\n..\r\n",
    b"half\n.\r\n..x\r\n",
    b"\r.\r\r\n",
    b"\r\r\n..\r\r\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_whole_wherever_it_is_cut(text: bytes) -> None:
    sent = stuffed(text) + b"+OK next\r\n"
    for first, second in itertools.combinations_with_replacement(range(len(sent) + 1), 2):
        assert undone([sent[:first], sent[first:second], sent[second:]]) == (text, b"+OK next\r\n")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_whole_byte_by_byte(text: bytes) -> None:
    assert undone(bytes([byte]) for byte in stuffed(text)) == (text, b"")


@given(st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"x", b"\0", b"\xff"])), st.data())
def test_any_text_comes_whole_in_any_pieces(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts) + b"\r\n"
    sent = stuffed(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    pieces = [sent[start:end] for start, end in itertools.pairwise([0, *cuts, len(sent)])]
    assert undone(pieces) == (text, b"")


@pytest.mark.parametrize(
    "sent", [b"", b"a\r\n", b"a\n.\n", b"a\n.\r\n", b"a\r.\r\n", b"a\r\n.\n", b"a\r\n.", b".", b".\r"]
)
def test_nothing_but_a_lone_dot_between_crlf_is_an_end(sent: bytes) -> None:
    assert undone([sent])[1] is None


def test_a_dot_that_the_server_forgot_to_double_is_kept() -> None:
    assert undone([b".hidden\r\nx\r\n.y\r\n.\r\n"]) == (b".hidden\r\nx\r\n.y\r\n", b"")


def test_what_is_held_back_is_never_more_than_an_unfinished_end() -> None:
    dotted, given_out, fed = Dotted(), 0, 0
    for piece in (b"x" * 100, b"\r", b"\n", b".", b"\r", b"x", b"\r\n.", b"y" * 50):
        given_out += len(dotted.feed(piece))
        fed += len(piece)
        assert fed - given_out <= 4
    assert fed == given_out


STATUS = b"+OK\r\n"


@pytest.mark.parametrize("text", [*TEXTS, b".a\r\nb\r\n", b"x\r\n.hidden\r\n"])
def test_a_text_is_cut_out_of_a_block_that_holds_all_of_it(text: bytes) -> None:
    sent = stuffed(text)
    block = b"+OK before\r\n.\r\n" + STATUS + sent
    at = len(block) - len(sent)
    assert cut(block + b"+OK next\r\nx\r\n.\r\n", at) == (text, len(block))
    for length in range(at, len(block)):
        assert cut(block[:length], at) is None


@given(st.lists(st.sampled_from([b"\r\n", b".", b"..", b"\r", b"\n", b"x"])))
def test_any_text_is_cut_out_as_its_pieces_would_give_it(parts: list[bytes]) -> None:
    sent = b"".join(parts)
    text, behind = undone([sent])
    expected = None if behind is None else (text, len(STATUS) + len(sent) - len(behind))
    assert cut(STATUS + sent, len(STATUS)) == expected


def test_without_its_status_line_a_block_is_for_the_other_way() -> None:
    assert cut(b"x\r\n.\r\n", 0) is None
    assert cut(b"\n.\r\n", 1) is None
    assert cut(b"+OK\n.\r\n", 4) is None
