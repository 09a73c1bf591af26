"""The head of a request: what is sent word for word, and what never is."""

import pytest
from multidict import CIMultiDict

from asyncnet.http.coding import ACCEPTED
from asyncnet.http.content import content_of
from asyncnet.http.head import body_fields, cookie_fields, head

USUAL = f"User-Agent: asyncnet\r\nAccept: */*\r\nAccept-Encoding: {ACCEPTED}\r\n"


def test_most_heads_are_the_usual_one() -> None:
    assert head("GET", "/a?b", "example.org", CIMultiDict()).decode() == (
        f"GET /a?b HTTP/1.1\r\nHost: example.org\r\n{USUAL}\r\n"
    )


def test_the_usual_fields_are_the_same_beside_others() -> None:
    plain = head("GET", "/", "h", CIMultiDict()).removesuffix(b"\r\n")
    assert head("GET", "/", "h", CIMultiDict({"X-A": "1"})) == plain + b"X-A: 1\r\n\r\n"


def test_the_fields_of_a_request_replace_the_usual_ones() -> None:
    fields = CIMultiDict([("host", "other"), ("USER-AGENT", "me"), ("Accept", "a/b"), ("Accept", "c/d"), ("X", "é")])
    assert head("GET", "/", "h", fields).decode() == (
        "GET / HTTP/1.1\r\nHost: other\r\n"
        f"Accept-Encoding: {ACCEPTED}\r\nUSER-AGENT: me\r\nAccept: a/b\r\nAccept: c/d\r\nX: é\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["a\rb", "a\nb: c", "a\0b"])
def test_no_line_is_broken_whoever_failed_to_look(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the library's words)
        head("GET", "/", "h", CIMultiDict({"X": value}))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"])
def test_a_method_without_use_for_a_body_says_nothing_of_one(method: str) -> None:
    assert body_fields(None, method, CIMultiDict()) == ()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_method_with_use_for_a_body_says_that_there_is_none(method: str) -> None:
    assert body_fields(None, method, CIMultiDict()) == (("Content-Length", "0"),)


def test_a_body_says_how_long_it_is_and_of_what_kind() -> None:
    content = content_of(body=b"abc")
    length, kind = ("Content-Length", "3"), ("Content-Type", "application/octet-stream")
    assert body_fields(content, "POST", CIMultiDict()) == (length, kind)
    assert body_fields(content, "GET", CIMultiDict({"content-type": "a/b"})) == (length,)


async def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    class Source:
        def __aiter__(self) -> "Source":
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

    fields = body_fields(content_of(body=Source()), "POST", CIMultiDict({"Content-Type": "a/b"}))
    assert fields == (("Transfer-Encoding", "chunked"),)


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ([], "a=1; b=2"),
        ([("cookie", "c=3")], "c=3; a=1; b=2"),
        ([("Cookie", "a=0; c=3;")], "c=3; a=1; b=2"),
        ([("Cookie", "c=3"), ("Cookie", "d=x=y")], "c=3; d=x=y; a=1; b=2"),
    ],
)
def test_cookies_of_the_jar_stand_beside_the_callers(own: list[tuple[str, str]], sent: str) -> None:
    given = CIMultiDict([*own, ("X", "1")])
    before = given.copy()
    merged = cookie_fields("a=1; b=2", given)
    assert merged.getall("Cookie") == [sent]
    assert merged["X"] == "1"
    assert given == before
