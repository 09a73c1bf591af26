"""Criteria are put together of pieces, and whatever text is in them stays text."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import UsageError
from asyncnet.imap import search
from asyncnet.imap.limits import Limits
from asyncnet.imap.search import Criteria
from asyncnet.imap.searching import search_request
from asyncnet.imap.tokens import Value, tokenized

DAY = date(2026, 2, 1)

KEYS = {
    "UNSEEN": search.unseen,
    "ALL": search.everything,
    "KEYWORD $Work": search.keyword("$Work"),
    'FROM "alice"': search.from_("alice"),
    'TO "a"': search.to("a"),
    'CC "a"': search.cc("a"),
    'BCC "a"': search.bcc("a"),
    'SUBJECT "x\\"y\\\\z"': search.subject('x"y\\z'),
    'BODY "(a"': search.body("(a"),
    'TEXT ""': search.text(""),
    'HEADER "List-Id" ""': search.header("List-Id"),
    "BEFORE 1-Feb-2026": search.before(DAY),
    "ON 1-Feb-2026": search.on(DAY),
    "SINCE 29-Feb-2024": search.since(datetime(2024, 2, 29, 23, 59, tzinfo=UTC)),
    "SENTBEFORE 1-Feb-2026": search.sent_before(DAY),
    "SENTON 1-Feb-2026": search.sent_on(DAY),
    "SENTSINCE 1-Feb-2026": search.sent_since(DAY),
    "LARGER 5": search.larger(5),
    "SMALLER 0": search.smaller(0),
    "OLDER 60": search.older(60),
    "YOUNGER 60": search.younger(60),
    "MODSEQ 9": search.changed_since(9),
    "UID 1:3,7": search.uids([7, 3, 1, 2]),
    'UNSEEN SINCE 1-Feb-2026 FROM "x"': search.unseen & search.since(DAY) & search.from_("x"),
    "OR SEEN DRAFT": search.seen | search.draft,
    "OR OR SEEN DRAFT OLD": search.seen | search.draft | search.old,
    "OR (SEEN DRAFT) OLD": search.seen & search.draft | search.old,
    "NOT SEEN": ~search.seen,
    "NOT (SEEN DRAFT)": ~(search.seen & search.draft),
    "NOT OR SEEN DRAFT": ~(search.seen | search.draft),
    "NOT (OR SEEN DRAFT OLD)": ~search.raw("OR SEEN DRAFT OLD"),
    "SEEN DRAFT OLD": search.all_of([search.seen, search.draft, search.old]),
    "OR OR SEEN DRAFT RECENT": search.any_of([search.seen, search.draft, search.recent]),
}


@pytest.mark.parametrize(("text", "criteria"), KEYS.items(), ids=KEYS)
def test_each_key_is_written_as_the_grammar_has_it(text: str, criteria: Criteria) -> None:
    assert criteria.segments == (text,)
    assert str(criteria) == text


def test_what_is_not_ascii_is_a_literal_and_the_command_says_that_it_is_utf8() -> None:
    criteria = (search.unseen | search.subject("Grüße")) & ~search.from_("Zoë")
    literals = (" NOT FROM ", "Zoë".encode())
    assert criteria.segments == ("OR UNSEEN SUBJECT ", "Grüße".encode(), *literals)
    told = search_request(criteria).segments
    assert told == ("CHARSET UTF-8 OR UNSEEN SUBJECT ", "Grüße".encode(), *literals)
    assert search_request(criteria, utf8=True).segments == criteria.segments  # RFC 6855 §3 forbids to say it then
    assert str(search.subject("Grüße")) == 'SUBJECT "Grüße"'
    assert search_request(search.unseen).segments == ("UNSEEN",)
    assert search_request('SUBJECT "Grüße" SEEN').segments == ("CHARSET UTF-8 SUBJECT ", "Grüße".encode(), " SEEN")


TEXTS: list[Callable[[str], Criteria]] = [
    search.from_,
    search.subject,
    lambda text: search.header("X", text),
    search.raw,
    search.keyword,
    lambda text: search.header(text, "x"),
]


@pytest.mark.parametrize("make", TEXTS)
@pytest.mark.parametrize("text", ["a\r\nA1 LOGOUT", "\n", "\0", "a\tb", "\x7f"])
def test_control_characters_are_refused(make: Callable[[str], Criteria], text: str) -> None:
    with pytest.raises(UsageError):
        make(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: search.keyword(r"\Seen"),
        lambda: search.keyword("a b"),
        lambda: search.keyword(""),
        lambda: search.header("a b"),
        lambda: search.header("Sübject"),
        lambda: search.header(""),
        lambda: search.larger(-1),
        lambda: search.larger(True),
        lambda: search.older(0),
        lambda: search.uids([]),
        lambda: search.uids([0]),
        lambda: search.since("yesterday"),  # type: ignore[arg-type]
        lambda: search.any_of([]),
        lambda: search.subject("\ud800"),
        lambda: search.raw(""),
    ],
)
def test_what_cannot_be_searched_for_is_refused(make: Callable[[], Criteria]) -> None:
    with pytest.raises(UsageError):
        make()


def test_words_of_the_language_that_would_drop_a_part_are_refused() -> None:
    with pytest.raises(TypeError, match="&"):
        search.seen and search.draft  # noqa: B018
    with pytest.raises(TypeError):
        search.seen & "DRAFT"  # type: ignore[operator]
    with pytest.raises(TypeError):
        search.seen | "DRAFT"  # type: ignore[operator]
    assert search.all_of([]) == search.everything


# Whatever is put together, the grammar reads it back as the same tree.

LEAVES = st.one_of(
    st.sampled_from([(search.seen, [b"SEEN"]), (search.draft, [b"DRAFT"])]),
    st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(
        lambda text: (search.subject(text), [b"SUBJECT", text.encode()])
    ),
)


def both(pair: tuple[tuple[Criteria, list[Value]], tuple[Criteria, list[Value]]]) -> tuple[Criteria, list[Value]]:
    return pair[0][0] & pair[1][0], ["&", pair[0][1], pair[1][1]]  # type: ignore[list-item]


def either(pair: tuple[tuple[Criteria, list[Value]], tuple[Criteria, list[Value]]]) -> tuple[Criteria, list[Value]]:
    return pair[0][0] | pair[1][0], ["|", pair[0][1], pair[1][1]]  # type: ignore[list-item]


def neither(one: tuple[Criteria, list[Value]]) -> tuple[Criteria, list[Value]]:
    return ~one[0], ["~", one[1]]  # type: ignore[list-item]


TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.tuples(inner, inner).map(both), st.tuples(inner, inner).map(either), inner.map(neither)),
    max_leaves=12,
)


def key(values: list[Value]) -> object:
    """Read one key off the front, as a server would."""
    first = values.pop(0)
    if isinstance(first, list):
        return keys(first)
    if first == b"OR":
        return ("|", key(values), key(values))
    if first == b"NOT":
        return ("~", key(values))
    if first == b"SUBJECT":
        return (first, values.pop(0))
    return (first,)


def keys(values: list[Value]) -> object:
    found = [key(values)]
    while values:
        found.append(key(values))
    return found[0] if len(found) == 1 else ("&", *_flat(found))


def _flat(found: list[object]) -> list[object]:
    flat: list[object] = []
    for one in found:
        flat.extend(one[1:] if isinstance(one, tuple) and one[0] == "&" else [one])
    return flat


def meant(tree: list[Value]) -> object:
    if tree[0] == "&":
        return ("&", *_flat([meant(tree[1]), meant(tree[2])]))  # type: ignore[arg-type]
    if tree[0] == "|":
        return ("|", meant(tree[1]), meant(tree[2]))  # type: ignore[arg-type]
    if tree[0] == "~":
        return ("~", meant(tree[1]))  # type: ignore[arg-type]
    return tuple(tree)


@given(TREES)
def test_whatever_is_put_together_is_read_back_as_it_was_meant(tree: tuple[Criteria, list[Value]]) -> None:
    criteria, wanted = tree
    pieces = [one.encode() if isinstance(one, str) else one for one in criteria.segments]
    assert all(isinstance(one, str) == (place % 2 == 0) for place, one in enumerate(criteria.segments))
    if len(pieces) % 2 == 0:
        pieces.append(b"")  # a line ends in text
    text = b"".join(pieces[::2])
    assert not re.search(rb"[\x00-\x1f\x7f]", text)
    quoted_nil = [b'"NIL"' if piece == b"NIL" else piece for piece in pieces]
    assert keys(tokenized(quoted_nil, 0, Limits())) == meant(wanted)  # type: ignore[arg-type]
