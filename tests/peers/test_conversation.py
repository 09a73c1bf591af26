"""The language of the conversations, read without a socket."""

import pytest

from tests.peers.conversation import Step, parse, pattern, render


def test_blank_lines_comments_and_indentation_are_no_steps() -> None:
    text = "\n    # a remark\n    S: +OK\n\n        C: QUIT\n"
    assert parse(text) == [Step("S:", "+OK", 3), Step("C:", "QUIT", 5)]


def test_the_text_after_the_first_blank_is_kept_as_it_is() -> None:
    assert parse("S:  two blanks ")[0].argument == " two blanks "


@pytest.mark.parametrize(("text", "line"), [("S: a\nshout", 2), ("s: a", 1), ("\n\nS:a", 3)])
def test_a_line_that_is_no_step_is_named(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line} of the conversation is no step"):
        parse(text)


def test_a_step_that_is_never_reached_is_refused() -> None:
    with pytest.raises(ValueError, match="stands after its end"):
        parse("S: +OK\nsilence\nC: QUIT")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"a\r\nb", b"a\r\nb"),
        (r"\x00\xfF", b"\x00\xff"),
        (r"\0\t\\", b"\0\t\\"),
        (r"(\Seen \*)", rb"(\Seen \*)"),
        ("{9}", b"{9}"),
        (r"\{tag}", b"{tag}"),
        ("grün", "grün".encode()),
        ("{{#mail}}", b"{4}"),
        ("{tag} OK", b"A1 OK"),
    ],
)
def test_what_a_text_stands_for(text: str, data: bytes) -> None:
    assert render(text, {"tag": b"A1", "#mail": b"4"}) == data


def test_what_was_remembered_is_not_read_again() -> None:
    assert render("{secret}", {"secret": rb"a\r{tag}"}) == rb"a\r{tag}"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="'tag'"):
        render("{tag} OK", {})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("USER alice", b"USER alice"),
        ("PASS *", b"PASS a b"),
        ("PASS *", b"PASS "),
        (r"a\*b", b"a*b"),
        ("/(?i)user .*/", b"uSeR x"),
        ("{tag} FETCH 1:* (UID)", b"A1 FETCH 1:* (UID)"),
        ("{x} {x}", b"a a"),
        (r"FLAGS (\Seen)", rb"FLAGS (\Seen)"),
        ("/", b"/"),
    ],
)
def test_what_matches(written: str, said: bytes) -> None:
    assert pattern(written).fullmatch(said)


@pytest.mark.parametrize(
    ("written", "said"),
    [("USER alice", b"user alice"), ("QUIT", b"QUIT "), (r"a\*b", b"axb"), ("{x} {x}", b"a b"), ("a.c", b"abc")],
)
def test_what_does_not_match(written: str, said: bytes) -> None:
    assert not pattern(written).fullmatch(said)


def test_words_and_groups_are_remembered() -> None:
    assert pattern("{tag} SELECT *").fullmatch(b"A1 SELECT INBOX")["tag"] == b"A1"  # type: ignore[index]
    assert pattern(r"/.*\{(?P<size>\d+)\}/").fullmatch(b"x {310}")["size"] == b"310"  # type: ignore[index]
