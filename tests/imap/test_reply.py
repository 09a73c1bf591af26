"""Responses become values, on any chunking, in linear time; what is none becomes a ProtocolError and nothing else."""

import contextlib
import dataclasses
import itertools
import pickle
import random
import sys
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.errors import LimitError, ProtocolError
from asyncnet.imap.fetched import fetched
from asyncnet.imap.framing import Framer
from asyncnet.imap.limits import Limits
from asyncnet.imap.reply import parsed
from asyncnet.imap.response import Fetched, Reply
from asyncnet.imap.tokens import tokenized
from asyncnet.imap.usual_fetch import usual, usual_line
from tests.imap.replies import EXAMPLES, FETCHES

LIMITS = Limits()
SMALL = Limits(
    max_line_bytes=200, max_literal_bytes=100, max_response_bytes=300, max_nesting=4, max_items=30, max_responses=9
)
STREAM = b"".join(EXAMPLES)
VALUES = list(EXAMPLES.values())


def read(chunks: list[bytes], limits: Limits = LIMITS) -> list[Reply]:
    framer = Framer(limits)
    return [parsed(pieces, limits) for chunk in chunks for pieces in framer.feed(chunk)]


@pytest.mark.parametrize(("text", "value"), EXAMPLES.items(), ids=[repr(text)[:60] for text in EXAMPLES])
def test_each_example_is_its_value_however_it_is_split(text: bytes, value: Reply) -> None:
    assert read([text]) == [value]
    for place in range(1, len(text)):
        assert read([text[:place], text[place:]]) == [value]


def test_a_stream_byte_by_byte_gives_the_same_values() -> None:
    assert read([STREAM]) == VALUES
    assert read([bytes([byte]) for byte in STREAM]) == VALUES


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_in_any_pieces_gives_the_same_values(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read([STREAM[start:end] for start, end in itertools.pairwise(edges)]) == VALUES


def test_values_are_frozen_and_pickle() -> None:
    for value in VALUES:
        assert pickle.loads(pickle.dumps(value)) == value
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, None)


BROKEN = [
    b"\r\n",
    b"garbage\r\n",
    b"*\r\n",
    b"*OK no blank\r\n",
    b"A1 MAYBE\r\n",
    b"A1\r\n",
    b"* OK bare LF\n",
    b"* OK bare \r CR\r\n",
    b"* 1 FETCH\r\n",
    b"* 1 FETCH ()()\r\n",
    b"* 1 FETCH (UID)\r\n",
    b"* 1 FETCH (UID x)\r\n",
    b"* 1 FETCH (UID 123456789012345678901)\r\n",
    b"* 1 FETCH (() 1)\r\n",
    b"* 1 FETCH (UID 1\r\n",
    b"* 1 FETCH (UID 1))\r\n",
    b'* 1 FETCH (BODY[] "x)\r\n',
    b"* 1 FETCH (BODY[] {3+}\r\nabc)\r\n",
    b"* 1 FETCH (BODY[] {3x}\r\n",
    b"* 1 FETCH (BODY[] {0x10}\r\n",
    b"* LIST () NIL\r\n",
    b"* LIST () NIL ()\r\n",
    b"* LIST NIL NIL x\r\n",
    b"* STATUS INBOX\r\n",
    b"* STATUS (MESSAGES 1)\r\n",
    b"* SEARCH 1 x\r\n",
    b"* SEARCH -1\r\n",
    b"* SEARCH 1_0\r\n",
    b"* SEARCH 12345678901\r\n",
    b"* ESEARCH ALL 1:x\r\n",
    b"* ESEARCH ALL 4294967296\r\n",
    b"* NAMESPACE NIL\r\n",
    b"* NAMESPACE (x) NIL NIL\r\n",
    b"* VANISHED\r\n",
    b"* VANISHED 0\r\n",
    b"* CAPABILITY (IMAP4rev1\r\n",
    b"* FLAGS ((\\Seen))\r\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_breaks_the_grammar_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        read([text])
    with pytest.raises(ProtocolError):
        read([bytes([byte]) for byte in text])


BEYOND = {
    "line": b"* OK " + b"x" * 196 + b"\r\n",
    "line without an end": b"* OK " + b"x" * 1000,
    "literal": b"* 1 FETCH (BODY[] {101}\r\n",
    "literal of many digits": b"* 1 FETCH (BODY[] {" + b"9" * 100 + b"}\r\n",
    "response": b"* 1 FETCH (BODY[1] {100}\r\n%b BODY[2] {100}\r\n%b BODY[3] {100}\r\n" % (b"x" * 100, b"x" * 100),
    "nesting": b"* 1 FETCH (((((\r\n",
    "items": b"* 1 FETCH (" + b"x " * 31 + b")\r\n",
    "items of an outer level": b"* FLAGS " + b"() " * 31 + b"\r\n",
    "empty literals": b"* X " + b"{0}\r\n" * 60,
}


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
def test_what_is_beyond_a_limit_is_a_limit_error_at_any_split(text: bytes) -> None:
    with pytest.raises(LimitError) as raised:
        read([text], SMALL)
    assert raised.value.limit
    with pytest.raises(LimitError):
        read([bytes([byte]) for byte in text], SMALL)


def test_what_is_just_within_the_limits_is_taken() -> None:
    within = b"* OK " + b"x" * 195 + b"\r\n* 1 FETCH (BODY[] {100}\r\n" + b"x" * 100 + b")\r\n* 1 FETCH ((((\r\n"
    framer = Framer(SMALL)
    assert len(list(framer.feed(within))) == 3


def test_an_announced_literal_takes_no_memory_before_it_comes() -> None:
    framer = Framer(LIMITS)
    assert list(framer.feed(b"* 1 FETCH (BODY[] {268435456}\r\nabc")) == []
    assert framer.missing_bytes == 268435453
    assert framer._literal is not None
    assert framer._literal.tell() == 3


@given(st.binary(max_size=300))
def test_random_bytes_give_values_or_a_protocol_error(data: bytes) -> None:
    survive(data)


ALPHABET = [bytes([byte]) for byte in b'*+A1 ()[]{}<>"\\~.-:,/=&\0\xff\r\n'] + [
    b"\r\n", b"* ", b"{3}\r\nabc", b" FETCH (", b"UID ", b"BODY[", b"BODYSTRUCTURE ", b"ENVELOPE ", b"NIL", b"OK ",
    b"[COPYUID ", b'"a" ', b"* LIST () NIL ", b"* SEARCH ", b"* ESEARCH ", b"* STATUS ", b"INTERNALDATE ", b"FLAGS (",
    b"* NAMESPACE ", b"* VANISHED ", b"* ID ", b"message ", b"text ", b"&AOQ-", b"99999999999 ",
]  # fmt: skip


@given(st.lists(st.sampled_from(ALPHABET), max_size=60).map(b"".join))
@example(b"* 1 FETCH (BODYSTRUCTURE ((((((((((((((((((((()))))))))))))))))))))\r\n")
def test_words_of_the_grammar_in_any_order_give_values_or_a_protocol_error(data: bytes) -> None:
    survive(b"* 1 FETCH (" + data)
    survive(data)


@given(st.sampled_from(list(EXAMPLES)), st.data())
def test_a_changed_example_gives_values_or_a_protocol_error(text: bytes, data: st.DataObject) -> None:
    changed = bytearray(text)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        what = data.draw(st.sampled_from(ALPHABET))
        changed[place : place + data.draw(st.integers(0, 3))] = what
    survive(bytes(changed))


def survive(data: bytes) -> None:
    for limits in (LIMITS, SMALL):
        framer = Framer(limits)
        try:
            for pieces in framer.feed(data):
                value = parsed(pieces, limits)
                repr(value)
                if isinstance(value, Fetched) and value.structure:
                    assert len(list(value.structure.walk())) > 0
        except ProtocolError:
            pass


ITEMS = st.sampled_from(
    [b"UID 7", b"FLAGS ()", b"FLAGS (\\Seen NIL  $x)", b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"', b"RFC822.SIZE 9",
     b'INTERNALDATE "31-Feb-1996 02:44:25 -0700"', b"MODSEQ (5)", b"BODY[] {3}\r\n(\n)", b'BODY[1.2] "x"',
     b"BODY[] NIL", b"BODY[TEXT] {0}\r\n", b"X-NEW (a b)", b"UID", b"UID 123456789012", b"body[] {1}\r\nx",
     b"BODY[]{1}\r\nx", b")", b"(", b'BODY[]<5> {1}\r\nx']
)  # fmt: skip

TEXTS = st.sampled_from([b"NIL", b'""', b'"a"', b'"(\\"\\\\"', b'"NIL"', b'"\xff"', b"x", b"{1}\r\nx", b'"a', b"nil"])
PEOPLE = st.sampled_from(
    [b"NIL", b'((NIL NIL "a" "b"))', b'(("x (y" NIL "a" "b")(NIL NIL NIL NIL))', b"()", b'((NIL NIL "a" NIL))',
     b'((NIL "@r" "a" "b") ("n" NIL "c" "d"))', b'("x" NIL "a" "b")', b"((NIL NIL NIL))", b"(NIL)", b'""']
)  # fmt: skip
ENVELOPES = st.tuples(TEXTS, TEXTS, *[PEOPLE] * 6, TEXTS, TEXTS).map(
    lambda parts: b"ENVELOPE (" + b" ".join(parts) + b")"
)
DATE = b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"'


@given(ENVELOPES, st.booleans())
def test_an_envelope_is_the_same_by_the_short_way_and_the_long_way(envelope: bytes, alone: bool) -> None:
    items = b"UID 7 FLAGS (\\Seen) " + (b"" if alone else DATE + b" ") + b"RFC822.SIZE 9 "
    (pieces,) = Framer(LIMITS).feed(b"* 12 FETCH (" + items + envelope + b")\r\n")
    try:
        long = fetched(12, tokenized(pieces, 11, LIMITS, of_fetch=True))
    except ProtocolError:
        assert usual(12, pieces, 11) is usual_line(pieces) is None
        return
    assert usual(12, pieces, 11) in (None, long)
    assert usual_line(pieces) in (None, long)


@given(st.lists(ITEMS, max_size=6), st.sampled_from([b" ", b"  ", b""]))
def test_the_short_way_and_the_long_way_give_the_same(items: list[bytes], between: bytes) -> None:
    text = b"* 12 FETCH (" + between.join(items) + b")\r\n"
    try:
        (pieces,) = Framer(LIMITS).feed(text)
    except (ProtocolError, ValueError):
        return
    short = usual(12, pieces, 11)
    for one in (short, usual_line(pieces)):
        if one is not None:
            assert one == fetched(12, tokenized(pieces, 11, LIMITS, of_fetch=True))


@pytest.mark.parametrize("text", FETCHES)
def test_the_short_way_gives_the_examples_or_nothing(text: bytes) -> None:
    (pieces,) = Framer(LIMITS).feed(text)
    start = text.index(b"FETCH ") + 6
    assert usual(int(text.split()[1]), pieces, start) in (None, FETCHES[text])


def test_what_a_mailbox_mostly_comes_in_goes_the_short_way() -> None:
    date = b'INTERNALDATE " 7-Jul-1996 02:44:25 -0700"'
    for items in (
        b"UID 7 RFC822.SIZE 9",
        b"FLAGS (\\Seen) UID 7",
        b"UID 7 FLAGS () BODY[] {2}\r\n\r\n",
        b"UID 1 FLAGS () " + date + b" RFC822.SIZE 2 BODY[HEADER] {2}\r\n\r\n",
    ):
        (pieces,) = Framer(LIMITS).feed(b"* 12 FETCH (" + items + b")\r\n")
        assert usual(12, pieces, 11) is not None
    envelope = b'ENVELOPE ("d" "s (" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL "<x>")'
    for items in (
        b"UID 7 RFC822.SIZE 9",
        b"UID 7 FLAGS (\\Seen)",
        b"UID 1 FLAGS () " + date + b" RFC822.SIZE 2 BODY[HEADER] {2}\r\n\r\n",
        b"UID 1 FLAGS () " + date + b" RFC822.SIZE 2 " + envelope,
        b"UID 1 FLAGS () RFC822.SIZE 2 " + envelope,
        b"UID 1 FLAGS () RFC822.SIZE 2",
        b"UID 1 FLAGS () RFC822.SIZE 2 BODY[] {2}\r\n\r\n",
    ):
        (pieces,) = Framer(LIMITS).feed(b"* 12 FETCH (" + items + b")\r\n")
        assert usual_line(pieces) is not None


@pytest.mark.slow
def test_ten_million_fuzzed_bytes_give_values_or_a_protocol_error() -> None:
    chance = random.Random(20260101)
    examples = list(EXAMPLES)
    total = 0
    while total < 10_000_000:
        text = bytearray(b"".join(chance.choices(examples, k=3)))
        for _ in range(chance.randint(0, 6)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 2)] = chance.choice(ALPHABET)
        total += len(text)
        survive(bytes(text))


# Linear time, by counting what is done instead of seconds


def steps(data: bytes, size: int) -> int:
    """Count the lines of Python that reading `data` in chunks of `size` takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(chunks)
    finally:
        sys.settrace(before)
    return count


GROWING = {
    "many responses": lambda n: b"* 1 EXISTS\r\n" * n,
    "many messages": lambda n: b"* 1 FETCH (UID 1 BODY[] {3}\r\n(((\n)\r\n".replace(b"\n)", b")") * n,
    "a long line": lambda n: b"* OK " + b"x" * 100 * n + b"\r\n",
    "a long search": lambda n: b"* SEARCH" + b" 1234567" * n + b"\r\n",
    "many flags": lambda n: b"* FLAGS (" + b"\\Seen " * n + b")\r\n",
    "a long literal": lambda n: b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n" % (100 * n, b"x" * 100 * n),
    "many parts": lambda n: b"* 1 FETCH (BODYSTRUCTURE (" + b'("a" "b" NIL NIL NIL "7bit" 1)' * n + b'"mixed"))\r\n',
    "many literals": lambda n: b"* FLAGS (" + b"{1}\r\na " * n + b")\r\n",
}


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("size", [7, 1024, 1 << 20])
def test_twice_the_bytes_take_twice_the_steps(make: "type[object]", size: int) -> None:
    small, large = make(100), make(200)  # type: ignore[call-arg]
    assert steps(large, size) <= 2.1 * steps(small, size) + 100  # type: ignore[arg-type]


class Watched(bytes):
    """Bytes that count how many of them are looked at or copied."""

    seen = 0

    def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
        place = super().find(what, start)
        Watched.seen += (len(self) if place < 0 else place) - start
        return place

    def __getitem__(self, key: "int | slice") -> "bytes | int":  # type: ignore[override]
        got = super().__getitem__(key)
        Watched.seen += 1 if isinstance(got, int) else len(got)
        return got


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_no_byte_is_looked_at_more_than_a_few_times(size: int) -> None:
    data = b"* 1 EXISTS\r\n" * 500 + b"* OK " + b"x" * 20_000 + b"\r\n" + b"* FLAGS (" + b"{1}\r\na " * 500 + b")\r\n"
    Watched.seen = 0
    framer = Framer(LIMITS)
    for start in range(0, len(data), size):
        for _ in framer.feed(Watched(data[start : start + size])):
            pass
    assert Watched.seen <= 4 * len(data)


HOSTILE = [
    b'* 1 FETCH (X "' + b"\\" * 999_999 + b"\r\n",
    b"* 1 FETCH (X " + b'BODY["' * 100_000 + b"\r\n",
    b"* 1 FETCH (" + b"BODY[ " * 100_000 + b"\r\n",
    b"* 1 FETCH (X" + b" " * 1_000_000 + b"\r\n",
    b"* SEARCH" + b" " * 1_000_000 + b"x\r\n",
    b"* SEARCH" + b" 1" * 500_000 + b"x\r\n",
    b"* OK [X " + b'"' * 999_999 + b"\r\n",
    b"* OK " + b"[X" * 400_000 + b"\r\n",
    b"* VANISHED " + b"1:2," * 200_000 + b"\r\n",
    b"* " + b"9" * 1_000_000 + b"\r\n",
    b"A" * 1_000_000 + b"\r\n",
    b"* 1 FETCH (X " + b"{" * 1_000_000 + b"}\r\n",
    b'* LIST () "/" ' + b"&" * 1_000_000 + b"\r\n",
    b"* 1 FETCH (INTERNALDATE " + b"1" * 1_000_000 + b")\r\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:30]) for text in HOSTILE])
def test_a_hostile_line_of_a_megabyte_comes_to_an_end(text: bytes) -> None:
    # Were the time quadratic, this would take hours.
    with contextlib.suppress(ProtocolError):
        read([text])


def test_messages_within_messages_to_the_limit_are_built_without_recursion() -> None:
    depth = LIMITS.max_nesting - 2
    text = b'("text" "plain" NIL NIL NIL "7bit" 1 1)'
    for _ in range(depth - 1):
        text = b"(" + text + b' "mixed")'
    (value,) = read([b"* 1 FETCH (BODYSTRUCTURE " + text + b")\r\n"])
    assert isinstance(value, Fetched)
    assert value.structure
    assert len(list(value.structure.walk())) == depth
    assert "text/plain" in repr(value)
    with pytest.raises(LimitError):
        read([b"* 1 FETCH (BODYSTRUCTURE ((" + text + b' "mixed") "mixed"))\r\n'])
