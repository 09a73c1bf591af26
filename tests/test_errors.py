"""errors.py: the tree, its kinship with the built-ins, what is shown, and that every error travels."""

import copy
import pickle
import traceback
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AllFailed,
    AuthenticationError,
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    InvalidEndpoint,
    LimitError,
    NetError,
    ProtocolError,
    RecipientsRefused,
    RefusedError,
    StatusError,
    TLSError,
    UsageError,
    printable,
)

PLACE = Endpoint.parse("imaps://me@mail.example.org/INBOX?token=secret")

SAMPLES: list[NetError] = [
    NetError("it broke", endpoint=PLACE, operation="NOOP", transient=True),
    UsageError("wrong", endpoint=PLACE),
    InvalidEndpoint("no such scheme"),
    ClosedError("closed", operation="stat"),
    ConnectError("no route", endpoint=PLACE),
    TLSError("expired", endpoint=PLACE, operation="connect"),
    DisconnectedError("gone"),
    IncompleteRead(partial=b"ab\0\xff", expected=9, endpoint=PLACE),
    DeadlineError(seconds=2.5, endpoint=PLACE, operation="RETR"),
    ProtocolError("nonsense"),
    LimitError("too long", limit=8192),
    RefusedError(code="NO", text="later", retry_after=3.0, transient=True),
    AuthenticationError(code=535, text="wrong password", endpoint=PLACE),
    RecipientsRefused(refused={"a@example.org": (450, "later"), "b@example.org": (451, "busy")}),
    StatusError(code=503, text="Service Unavailable", retry_after=120.0, transient=True),
    AllFailed(errors=[ConnectError("no route"), ValueError("foreign")]),
]


def classes(root: type[NetError] = NetError) -> Iterator[type[NetError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == "asyncnet.errors":
            yield from classes(kind)


def test_every_class_has_a_sample_here() -> None:
    assert {type(sample) for sample in SAMPLES} == set(classes())


@pytest.mark.parametrize(
    ("kind", "families"),
    [
        (UsageError, [ValueError]),
        (InvalidEndpoint, [UsageError, ValueError]),
        (ClosedError, [UsageError, ValueError]),
        (ConnectError, [ConnectionError, OSError]),
        (TLSError, [ConnectError, ConnectionError]),
        (DisconnectedError, [ConnectionError, OSError]),
        (IncompleteRead, [DisconnectedError, EOFError, ConnectionError]),
        (DeadlineError, [TimeoutError, OSError]),
        (LimitError, [ProtocolError]),
        (AuthenticationError, [RefusedError]),
        (RecipientsRefused, [RefusedError]),
        (StatusError, [RefusedError]),
    ],
)
def test_an_error_is_caught_by_its_own_family_and_the_built_in_one(
    kind: type[NetError], families: list[type[Exception]]
) -> None:
    assert all(issubclass(kind, family) for family in [*families, NetError])


def test_refusals_and_broken_grammar_are_no_connection_errors() -> None:
    for kind in (ProtocolError, RefusedError, AllFailed, UsageError):
        assert not issubclass(kind, OSError)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_all_its_fields(sample: NetError, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(sample, protocol))
    assert type(back) is type(sample)
    assert str(back) == str(sample)
    assert back.args == sample.args
    assert fields(back) == fields(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_every_error_can_be_copied(sample: NetError) -> None:
    for back in (copy.copy(sample), copy.deepcopy(sample)):
        assert type(back) is type(sample)
        assert fields(back) == fields(sample)


def test_notes_travel_with_the_error() -> None:
    error = ConnectError("no route")
    error.add_note("while warming up")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while warming up"]


def test_a_subclass_of_the_users_own_travels_too() -> None:
    back = pickle.loads(pickle.dumps(HouseRule("no", endpoint=PLACE, extra=7)))
    assert (back.extra, back.endpoint, str(back)) == (7, PLACE.redacted, f"{PLACE.redacted}: no")


class HouseRule(RefusedError):
    def __init__(self, message: str, *, endpoint: object, extra: int) -> None:
        super().__init__(message, endpoint=endpoint)
        self.extra = extra


def fields(error: NetError) -> dict[str, object]:
    # Exceptions compare by identity, so the ones inside are compared by what they say.
    return {name: repr(value) for name, value in vars(error).items()}


def test_an_error_says_operation_place_and_what_happened_in_one_line() -> None:
    error = ConnectError("no route to host", endpoint=Endpoint.parse("tcp://10.0.0.1:80"), operation="connect")
    assert str(error) == "connect tcp://10.0.0.1:80: no route to host"
    assert error.message == "no route to host"
    assert str(ConnectError("no route")) == "no route"
    assert str(NetError()) == "NetError"
    assert str(NetError(operation="RETR")) == "RETR: NetError"


def test_an_error_does_not_show_the_query_of_the_url() -> None:
    error = ConnectError("no route", endpoint=PLACE)
    assert error.endpoint == "imaps://me@mail.example.org/INBOX?..."
    assert "secret" not in repr(vars(error)) + str(error)


def test_a_hostile_text_stays_one_bounded_line_without_controls() -> None:
    hostile = "\r\n\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\0\x9b\ud800\u2028" * 1000
    for error in (
        ProtocolError(hostile),
        ProtocolError(f"bad line {hostile}", endpoint="tcp://h:1", operation=hostile),
        RefusedError(code=550, text=hostile),
        RefusedError(code=550, text=hostile.encode("utf-8", "surrogatepass")),
        RecipientsRefused(refused={"a@example.org": (550, hostile)}),
        AllFailed(errors=[ValueError(hostile)]),
    ):
        shown = str(error)
        assert shown.isprintable()
        assert len(shown) <= 903
        assert all(len(arg) <= 603 and arg.isprintable() for arg in error.args)
        "".join(traceback.format_exception(error)).encode()


def test_a_long_url_does_not_hide_what_happened() -> None:
    place = Endpoint.parse("https://example.org/" + "a" * 60_000)
    assert str(ConnectError("no route to host", endpoint=place, operation="GET")).endswith("...: no route to host")


def test_the_fields_of_a_refusal_are_as_safe_as_its_line() -> None:
    error = RecipientsRefused(refused={"a@example.org": (550, "no\r\n\x1b[31m" + "x" * 9999)})
    code, text = error.refused["a@example.org"]
    assert code == 550
    assert text.isprintable()
    assert len(text) <= 303
    assert error.text == text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectError("x"), True),
        (DisconnectedError("x"), True),
        (IncompleteRead(), True),
        (DeadlineError(seconds=1), True),
        (TLSError("x"), False),
        (UsageError("x"), False),
        (ClosedError("x"), False),
        (ProtocolError("x"), False),
        (LimitError("x"), False),
        (RefusedError(code=450), False),
        (AuthenticationError(), False),
        (ConnectError("x", transient=False), False),
        (TLSError("x", transient=True), True),
        (RecipientsRefused(refused={"a": (450, "later"), "b": (421, "later")}), True),
        (RecipientsRefused(refused={"a": (450, "later"), "b": (550, "never")}), False),
        (RecipientsRefused(refused={}), False),
        (AllFailed(errors=[ProtocolError("x"), ConnectError("x")]), True),
        (AllFailed(errors=[ProtocolError("x"), ValueError("x")]), False),
        (AllFailed(), False),
    ],
)
def test_what_may_be_tried_again_follows_the_class_unless_said_otherwise(error: NetError, expected: bool) -> None:
    assert error.transient is expected


def test_the_default_texts_tell_what_the_fields_hold() -> None:
    assert str(IncompleteRead(partial=b"abc")) == "the peer ended after 3 bytes; more expected"
    assert str(IncompleteRead(partial=b"abc", expected=9)) == "the peer ended after 3 bytes; 9 bytes expected"
    assert str(DeadlineError(seconds=0.25)) == "not done within 0.25 seconds"
    assert str(RefusedError(code="NO", text="not now")) == "refused (NO not now)"
    assert str(RefusedError()) == "refused"
    assert str(RecipientsRefused(refused={"a": (550, "no"), "b": (551, "no")})) == "all 2 recipients refused (550 no)"
    assert str(AllFailed(errors=[ValueError("a"), ValueError("b")])) == "all 2 failed; the last: b"


@given(st.one_of(st.text(), st.binary()), st.integers(1, 40))
def test_printable_gives_one_bounded_printable_line_for_any_text(text: str | bytes, limit: int) -> None:
    shown = printable(text, max_characters=limit)
    assert shown.isprintable()
    assert len(shown) <= limit + 3
    shown.encode()


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_printable_leaves_plain_text_alone(text: str) -> None:
    assert printable(text, max_characters=40) == text
    assert printable(text.encode(), max_characters=40) == text


def test_printable_escapes_what_turns_breaks_or_colours_a_line() -> None:
    assert printable("a\r\nb") == r"a\r\nb"
    assert printable("\x1b[31mred") == r"\x1b[31mred"
    assert printable("a\u202eb") == r"a\u202eb"
    assert printable("\ud800x") == r"\ud800x"
    assert printable(b"caf\xc3\xa9 \xff") == r"café \xff"
    assert printable("  spaced\t") == "spaced"


def test_printable_says_that_it_cut() -> None:
    assert printable("x" * 11, max_characters=10) == "x" * 10 + "..."
    assert printable(b"x" * 11, max_characters=10) == "x" * 10 + "..."
    assert printable("é".encode() * 11, max_characters=10) == "é" * 10 + "..."
    assert printable("\0" * 4, max_characters=10) == r"\x00\x00\x" + "..."
    assert printable(b" " * 99_999 + b"late", max_characters=10) == "late"
