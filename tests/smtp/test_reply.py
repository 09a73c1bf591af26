"""Replies are read strictly, wherever they are cut, and within bounds."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import DisconnectedError, LimitError, ProtocolError, RefusedError
from asyncnet.smtp import Reply
from asyncnet.smtp.reply import MAX_LINE_BYTES, MAX_REPLY_BYTES, MAX_REPLY_LINES, ReplyReader, refusal
from tests.smtp.talks import pieces


def _read(*data: bytes) -> list[Reply]:
    reader = ReplyReader()
    return [reply for piece in data for reply in reader.feed(piece)]


def test_a_reply_is_its_code_and_its_text() -> None:
    assert _read(b"250 2.0.0 Ok\r\n") == [Reply(250, "2.0.0 Ok")] == [(250, "2.0.0 Ok")]


def test_the_lines_of_a_reply_are_joined() -> None:
    assert _read(b"250-one\r\n250-two\r\n250 three\r\n") == [(250, "one\ntwo\nthree")]


@pytest.mark.parametrize("line", [b"250\r\n", b"250 \r\n", b"250 \n"])
def test_a_text_may_be_missing_and_the_line_may_end_in_lf_alone(line: bytes) -> None:
    assert _read(line) == [(250, "")]


def test_replies_in_one_piece_come_one_by_one() -> None:
    assert _read(b"250 a\r\n354 b\r\n421 c\r\n") == [(250, "a"), (354, "b"), (421, "c")]


@given(st.sets(st.integers(0, 60)))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: set[int]) -> None:
    data = b"220-hi\r\n220 there\r\n250-a\r\n250-SIZE 10\r\n250 gr\xc3\xbcn\r\n550 no\r\n"
    assert _read(*pieces(data, cuts)) == [(220, "hi\nthere"), (250, "a\nSIZE 10\ngrün"), (550, "no")]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"25 0",
        b"2500",
        b"250_x",
        b"+25 x",
        b" 250 x",
        b"2\xb25 x",
        b"199 x",
        b"600 x",
        b"abc",
        b"\x00\xff",
        b"HTTP",
    ],
)
def test_what_is_no_reply_breaks_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a reply") as caught:
        _read(line + b"\r\n")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"250-a\r\n251 b\r\n", b"250-a\r\n550 b\r\n", b"250-a\r\nb\r\n"])
def test_lines_of_one_reply_that_disagree_break_the_protocol(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        _read(data)


def test_what_is_complete_before_the_fault_is_given_first() -> None:
    reader = ReplyReader()
    found = reader.feed(b"250 ok\r\nnonsense\r\n")
    assert next(found) == (250, "ok")
    with pytest.raises(ProtocolError):
        next(found)


def test_a_line_has_a_limit_whether_it_ends_or_not() -> None:
    for end in (b"", b"\r\n"):
        with pytest.raises(LimitError) as caught:
            _read(b"250 " + b"x" * MAX_LINE_BYTES + end)
        assert caught.value.limit == MAX_LINE_BYTES
    assert len(_read(b"250 " + b"x" * (MAX_LINE_BYTES - 10) + b"\r\n")[0].text) == MAX_LINE_BYTES - 10


def test_a_reply_has_a_limit_of_lines_and_of_bytes() -> None:
    with pytest.raises(LimitError):
        _read(b"250-x\r\n" * (MAX_REPLY_LINES + 1))
    line = b"250-" + b"x" * 8000 + b"\r\n"
    with pytest.raises(LimitError):
        _read(line * (MAX_REPLY_BYTES // len(line) + 1))
    assert len(_read(b"250-x\r\n" * (MAX_REPLY_LINES - 1) + b"250 x\r\n")) == 1
    assert len(_read(*[b"250-x\r\n250 x\r\n"] * MAX_REPLY_LINES)) == MAX_REPLY_LINES  # each counts anew


def test_no_byte_of_a_text_is_a_control_character() -> None:
    [reply] = _read(b"250-\x1b[2J\x00\r\x07\r\n250 \xff\xfe\r\n")
    assert all(line.isprintable() for line in reply.text.split("\n"))
    assert str(reply).isprintable()


def test_it_says_whether_a_reply_has_begun_and_not_ended() -> None:
    reader = ReplyReader()
    assert not reader.is_amid
    for piece, amid in [(b"2", True), (b"50-a\r\n", True), (b"250 b\r", True), (b"\n", False)]:
        assert list(reader.feed(piece)) == ([] if amid else [(250, "a\nb")])
        assert reader.is_amid == amid


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 unknown", "5.1.1"),
        ("2.0.0", "2.0.0"),
        ("4.7.123\nmore", "4.7.123"),
        ("5.1 unknown", None),
        ("3.1.1 x", None),
        ("5.1.1234 x", None),
        ("5.1.1x", None),
        ("\u0665.\u0661.\u0661 x", None),
        ("", None),
    ],
)
def test_the_enhanced_code_is_what_stands_in_front(text: str, code: str | None) -> None:
    assert Reply(550, text).enhanced == code


@pytest.mark.parametrize(("code", "transient"), [(450, True), (452, True), (550, False), (554, False)])
def test_a_negative_reply_is_a_refusal_transient_by_its_code(code: int, transient: bool) -> None:
    error = refusal(Reply(code, "no\nway"), "smtp://x", "MAIL")
    assert isinstance(error, RefusedError)
    assert (error.code, error.text, error.transient) == (code, "no way", transient)
    assert str(error) == f"MAIL smtp://x: refused ({code} no way)"


def test_421_is_a_goodbye_and_a_positive_reply_in_the_wrong_place_is_nonsense() -> None:
    assert isinstance(refusal(Reply(421, "busy")), DisconnectedError)
    assert "421 busy" in str(refusal(Reply(421, "busy")))
    for code in (200, 250, 354):
        assert isinstance(refusal(Reply(code, "ok")), ProtocolError)


def test_a_reply_survives_pickling() -> None:
    reply = pickle.loads(pickle.dumps(Reply(550, "5.1.1 no")))
    assert (reply, reply.enhanced, reply.is_negative, reply.is_transient) == ((550, "5.1.1 no"), "5.1.1", True, False)
