"""Commands: cut into words and literals by the grammar, whatever a client sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.imap.arguments import Arguments, Literal
from asyncnet.lab.imap.command import Announced, announced, command, name_of, tag_of
from asyncnet.lab.imap.refusal import Bad


def arguments(text: bytes, *more: bytes | Literal) -> Arguments:
    return Arguments([text, *more])


def test_a_command_has_a_tag_a_name_and_arguments() -> None:
    asked = command([b"a1 select INBOX"])
    assert (asked.tag, asked.name) == ("a1", "SELECT")
    asked.arguments.space()
    assert asked.arguments.astring() == b"INBOX"
    asked.arguments.end()


def test_uid_is_part_of_the_name() -> None:
    asked = command([b"x uid fetch 1 FLAGS"])
    assert asked.name == "UID FETCH"
    asked.arguments.space()
    assert asked.arguments.sequence_set() == "1"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"a1",
        b"a1 ",
        b" a1 NOOP",
        b"+ NOOP",
        b"a+b NOOP",
        b"a{ NOOP",
        b"a\0 NOOP",
        b"a1  NOOP",
        b"a1 (",
        b"\xff x",
    ],
)
def test_what_is_no_command_is_bad(line: bytes) -> None:
    with pytest.raises(Bad):
        command([line])


def test_tag_and_name_are_known_before_the_literals_have_come() -> None:
    assert tag_of(b"A7 APPEND x {3}") == "A7"
    assert name_of(b"A7 uid  x") == "UID"
    assert name_of(b"A7 append x {3}") == "APPEND"
    assert tag_of(b"(x") is None
    assert name_of(b"(x") == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a LOGIN {3}", Announced(3, True, False, 8)),
        (b"a LOGIN {3+}", Announced(3, False, False, 8)),
        (b"a APPEND x ~{9999999999}", Announced(9_999_999_999, True, True, 11)),
        (b"a APPEND x ~{10+}", Announced(10, False, True, 11)),
        (b"a LOGIN {99999999999}", None),
        (b"a LOGIN {}", None),
        (b"a LOGIN {-3}", None),
        (b"a LOGIN {3} ", None),
        (b"a LOGIN \xb2}", None),
        (b"{3}", Announced(3, True, False, 0)),
    ],
)
def test_a_literal_is_announced_at_the_end_of_a_line(line: bytes, expected: Announced | None) -> None:
    assert announced(line) == expected


def test_a_nul_is_allowed_in_a_literal_of_its_own_kind_only() -> None:
    command([b"a APPEND x ", Literal(b"a\0b", is_binary=True), b""])
    with pytest.raises(Bad, match="NUL"):
        command([b"a APPEND x ", Literal(b"a\0b"), b""])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"INBOX", b"INBOX"),
        (b'"a b"', b"a b"),
        (b'"a \\"b\\" \\\\"', b'a "b" \\'),
        (b'""', b""),
        (b"a]b", b"a]b"),
        (b'"\xc3\xbc"', "ü".encode()),
    ],
)
def test_a_string_is_an_atom_or_quoted(text: bytes, expected: bytes) -> None:
    given = arguments(text)
    assert given.astring() == expected
    given.end()


@pytest.mark.parametrize("text", [b'"', b'"a', b'"a\\x"', b'"a\\', b"", b"(", b"{", b"%", b"\xc3\xbc"])
def test_what_is_no_string_is_bad(text: bytes) -> None:
    with pytest.raises(Bad):
        arguments(text).astring()


def test_a_literal_stands_where_its_text_ends() -> None:
    given = arguments(b" ", Literal(b'any " ( bytes'), b" tail")
    given.space()
    assert given.astring() == b'any " ( bytes'
    given.space()
    assert given.atom() == "tail"
    assert given.is_done


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"()", []), (b"(\\Seen)", ["\\Seen"]), (b"(\\Seen $Work x)", ["\\Seen", "$Work", "x"])],
)
def test_flags_stand_in_parentheses(text: bytes, expected: list[str]) -> None:
    assert arguments(text).flags() == expected


@pytest.mark.parametrize("text", [b"(", b"(\\Seen", b"(\\Seen  x)", b"( x)", b"(x )", b"(\\)", b"(x(y))", b"(%d)"])
def test_what_are_no_flags_is_bad(text: bytes) -> None:
    with pytest.raises(Bad):
        arguments(text).flags()


def test_numbers_have_bounds() -> None:
    assert arguments(b"4294967295").number() == 4_294_967_295
    for text in (b"4294967296", b"9" * 21, b"9" * 4000, b"x", b"-1", b"\xb2", b"\xd9\xa1"):
        with pytest.raises(Bad):
            arguments(text).number()


def test_lists_have_bounds() -> None:
    with pytest.raises(Bad, match="too many"):
        arguments(b"(" + b" ".join([b"x"] * 10_000) + b")").flags()
    with pytest.raises(Bad, match="too many"):
        arguments(b"(" + b" ".join([b"x"] * 10_000) + b")").words()


_READ = ["atom", "word", "number", "sequence_set", "flag", "literal", "string", "astring", "list_mailbox", "nstring"]
_READ += ["text", "flags", "words", "space", "end"]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.lists(st.sampled_from(_READ), max_size=8))
def test_any_bytes_are_read_or_bad(texts: list[bytes], calls: list[str]) -> None:
    pieces: list[bytes | Literal] = [texts[0]]
    for text in texts[1:]:
        pieces += [Literal(text), text]
    given = Arguments(pieces)
    for call in calls:
        try:
            getattr(given, call)()
        except Bad:
            break


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\0")))
def test_whatever_is_quoted_is_read_back(text: str) -> None:
    raw = text.encode()
    quoted = b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    assert arguments(quoted).string() == raw
