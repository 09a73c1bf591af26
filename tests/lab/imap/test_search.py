"""SEARCH: keys read by a stack, texts found decoded, and bounds on what may be asked."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.imap.arguments import Arguments, Literal
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.search import Place, Program, program, returned
from asyncnet.lab.mailbox import StoredMessage

NOW = datetime.now(UTC)
MESSAGES = [
    StoredMessage(
        "From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r\nTo: me@example.org\r\nSubject: Grüße\r\n"
        "Date: Wed, 1 Jan 2020 23:59:00 -1200\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nS8O2bG4gYW0gUmhlaW4K\r\n".encode(),
        3,
        frozenset({"\\Seen", "$Work"}),
        datetime(2020, 1, 2, 12, tzinfo=UTC),
        5,
    ),
    StoredMessage(
        b"From: bob@example.org\r\nCc: carol@example.org\r\nX-Key: value\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n"
        b"hidden\r\n"
        b"--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>sch\xf6n</p>\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\ndeep\r\n--b--\r\n",
        5,
        frozenset({"\\Flagged", "\\Deleted"}),
        NOW - timedelta(hours=1),
        9,
    ),
    # Of an hour to come: young, however slow the tests are.
    StoredMessage(b"Subject: small\r\n\r\n.\r\n", 9, frozenset(), NOW + timedelta(hours=1), 12),
]
PLACE = Place([3, 5, 9], {9}, {5})


def read(text: str | bytes, *more: bytes | Literal) -> Program:
    raw = text.encode() if isinstance(text, str) else text
    arguments = Arguments([b" " + raw, *more])
    returns = returned(arguments)
    return program(arguments, PLACE, returns)


def found(text: str | bytes, *more: bytes | Literal) -> list[int]:
    test = read(text, *more).test
    return [message.uid for message in MESSAGES if test(message)]


@pytest.mark.parametrize(
    ("text", "uids"),
    [
        ("ALL", [3, 5, 9]),
        ("SEEN", [3]),
        ("unseen", [5, 9]),
        ("FLAGGED DELETED", [5]),
        ("UNFLAGGED UNDELETED UNDRAFT UNANSWERED", [3, 9]),
        ("KEYWORD $work", [3]),
        ("UNKEYWORD $Work", [5, 9]),
        ("NEW", [9]),
        ("OLD", [3, 5]),
        ("RECENT", [9]),
        ("1", [3]),
        ("2:*", [5, 9]),
        ("*", [9]),
        ("UID 3,9", [3, 9]),
        ("UID 1:4294967295", [3, 5, 9]),
        ("$", [5]),
        ("UID $", [5]),
        ("FROM zoë", [3]),
        ("FROM ZOË", [3]),
        ('FROM "zoe@"', [3]),
        ("TO me", [3]),
        ("CC carol", [5]),
        ("BCC x", []),
        ("SUBJECT GRÜSSE", [3]),  # casefold: ß is ss
        ("SUBJECT within", []),
        ("HEADER X-Key value", [5]),
        ('HEADER X-Key ""', [5]),
        ("HEADER X-Key other", []),
        ('BODY "köln am"', [3]),
        ("BODY schön", [5]),
        ("BODY hidden", []),  # no text
        ("BODY deep", [5]),
        ("TEXT within", [5]),
        ("TEXT small", [9]),
        ("BODY small", []),
        ("LARGER 30", [3, 5]),
        ("SMALLER 30", [9]),
        ("BEFORE 3-Jan-2020", [3]),
        ("ON 2-Jan-2020", [3]),
        ("SINCE 3-Jan-2020", [5, 9]),
        ("SENTON 1-Jan-2020", [3]),
        ("SENTBEFORE 1-Jan-2020", []),
        ("SENTSINCE 1-Jan-2020", [3]),
        ("OLDER 60", [3, 5]),
        ("YOUNGER 86400", [5, 9]),
        ("MODSEQ 9", [5, 9]),
        ('MODSEQ "/flags/\\\\Seen" all 12', [9]),
        ("NOT SEEN", [5, 9]),
        ("NOT NOT SEEN", [3]),
        ("OR SEEN FLAGGED", [3, 5]),
        ("OR OR SEEN FLAGGED 3", [3, 5, 9]),
        ("OR (SEEN SMALLER 1) NOT (FLAGGED)", [3, 9]),
        ("(SEEN)", [3]),
        ("((OR (1) (3)) UNSEEN)", [9]),
        ("CHARSET UTF-8 ALL", [3, 5, 9]),
        ("charset us-ascii SEEN", [3]),
    ],
)
def test_keys_find_what_they_say(text: str, uids: list[int]) -> None:
    quoted = text if text.isascii() else text.replace("zoë", '"zoë"').replace("ZOË", '"ZOË"')
    quoted = quoted.replace("GRÜSSE", '"GRÜSSE"').replace("BODY schön", 'BODY "schön"')
    assert found(quoted) == uids


def test_a_text_may_be_a_literal() -> None:
    assert found("CHARSET UTF-8 SUBJECT ", Literal("grüße".encode()), b" SEEN") == [3]


@pytest.mark.parametrize(
    "text",
    ["", "FOO", "NOT", "OR", "OR SEEN", "OR SEEN SEEN)", "(", "()", "(SEEN", "SEEN)", "SEEN  SEEN", "SEEN ", "0", "4",
     "1:x", "UID", "UID x", "SUBJECT", "HEADER X", "LARGER x", "LARGER -1", "ON 32-Jan-2020", "MODSEQ", "MODSEQ x",
     "(NOT )", "(OR SEEN)", "KEYWORD", "KEYWORD (", "OLDER 0", "RETURN (FOO) ALL", "RETURN ALL", "RETURN (MIN)",
     "SUBJECT \"\xff\""],
)  # fmt: skip
def test_what_is_no_search_is_bad(text: str) -> None:
    with pytest.raises(Bad):
        read(text.encode("latin-1"))


def test_a_charset_that_is_not_known_is_named() -> None:
    with pytest.raises(No) as refused:
        read("CHARSET KOI8-R ALL")
    assert refused.value.code == "BADCHARSET (UTF-8 US-ASCII)"


@pytest.mark.parametrize(
    "text", ["NOT " * 5_000 + "ALL", "OR " * 5_000 + "ALL " * 5_001, "(" * 5_000, "ALL " * 5_000 + "ALL"]
)
def test_nesting_and_number_of_keys_are_bounded(text: str) -> None:
    with pytest.raises(Bad):
        read(text)


def test_all_messages_named_a_thousand_times_take_no_memory() -> None:
    place = Place(list(range(1, 100_001)), set(), set())
    keys = Arguments([b" " + b" ".join([b"UID 1:*", b"1:*"] * 500)])
    tracemalloc.start()
    try:
        test = program(keys, place).test
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert test(MESSAGES[0])


def test_as_deep_as_is_allowed_still_works() -> None:
    assert found("(" * 40 + "SEEN" + ")" * 40) == [3]
    assert found("NOT " * 40 + "SEEN") == [3]


def test_what_is_to_be_returned_is_read() -> None:
    assert read("RETURN (MIN max COUNT) SEEN").returns == {"MIN", "MAX", "COUNT"}
    assert read("RETURN () SEEN").returns == {"ALL"}
    assert read("SEEN").returns is None
    assert read("SEEN MODSEQ 1").by_modseq
    assert not read("SEEN").by_modseq


_KEYS = st.lists(
    st.sampled_from(
        ["ALL", "NOT", "OR", "(", ")", "1", "$", "UID 1:*", "SUBJECT x", "MODSEQ 1", "HEADER a b", '"', "{", ""]
    ),
    max_size=12,
)


@given(_KEYS)
def test_keys_in_any_order_are_read_or_bad(keys: list[str]) -> None:
    try:
        test = read(" ".join(keys).replace("( ", "(").replace(" )", ")")).test
    except Bad:
        return
    for message in MESSAGES:
        assert test(message) in (True, False)
