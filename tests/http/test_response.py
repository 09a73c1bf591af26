"""A Response is a value: it pickles, and reads as bytes, text or JSON."""

import pickle
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from asyncnet.errors import ProtocolError, StatusError, UsageError
from asyncnet.http import Response
from asyncnet.http.response import parsed_retry_after


def response(body: bytes = b"", status: int = 200, **fields: str) -> Response:
    headers = CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()})
    return Response(status, "Reason", CIMultiDictProxy(headers), "https://h/x?token=secret", "GET", body)


def test_it_pickles_with_everything() -> None:
    inner = response(b"", 302, Location="/x")
    headers = CIMultiDict([("Set-Cookie", "a"), ("set-cookie", "b"), ("X", "\udce9")])
    whole = Response(200, "OK", CIMultiDictProxy(headers), "http://h/", "POST", b"body", (inner,), False)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(whole, protocol))
        assert again == whole
        assert again.headers.getall("SET-COOKIE") == ["a", "b"]
        assert again.history == (inner,)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        response().status = 500  # type: ignore[misc]
    assert hash(response()) == hash(response())


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("é".encode("latin-1"), 'text/plain;charset="latin-1"; x=y', "é"),
        ("é".encode("utf-16"), "text/plain; charset=utf-8", "é"),
        (b"\xef\xbb\xbfx", "", "x"),
        (b"a\xffb", "text/plain", "a\ufffdb"),
        (b"x", "text/plain; charset=nonsense", "x"),
        (b"x", "text/plain; charset=zip", "x"),
        (b"x", "text/plain; charset=idna", "x"),
        (b"x", "text/plain; charset=unicode-escape", "x"),
        (b"x", "text/plain; charset=\0", "x"),
        (b"x", "text/plain; charset=", "x"),
        (b"\0\xf0", "application/octet-stream", "\0\ufffd"),
    ],
)
def test_text_is_decoded_as_the_server_says_and_never_fails(body: bytes, content_type: str, text: str) -> None:
    assert response(body, Content_Type=content_type).text() == text


def test_the_caller_may_know_the_encoding_better() -> None:
    assert response(b"\xe9", Content_Type="text/plain; charset=utf-8").text("latin-1") == "é"
    with pytest.raises(UsageError):
        response(b"x").text("nonsense")


def test_json_is_parsed_whatever_its_type() -> None:
    assert response(b' {"a": [1, null]} ', Content_Type="text/html").json() == {"a": [1, None]}
    assert response('{"a": "é"}'.encode("utf-16")).json() == {"a": "é"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000, b"9" * 10_000, b"nope"])
def test_what_is_no_json_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="not JSON") as caught:
        response(body).json()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 399])
def test_below_400_nothing_is_raised(status: int) -> None:
    given = response(status=status)
    assert given.ok
    assert given.raise_for_status() is given


@pytest.mark.parametrize(
    ("status", "transient"),
    [(status, False) for status in (400, 401, 404, 500, 501, 505, 999)]
    + [(status, True) for status in (408, 425, 429, 502, 503, 504)],
)
def test_a_status_is_raised_when_it_is_asked_for(status: int, transient: bool) -> None:
    given = response(b"body", status)
    assert not given.ok
    with pytest.raises(StatusError) as caught:
        given.raise_for_status()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.code, error.text, error.transient, error.retry_after) == (status, "Reason", transient, None)
    assert str(error) == f"GET https://h/x?...: refused ({status} Reason)"


def test_a_time_to_come_back_makes_any_refusal_transient() -> None:
    with pytest.raises(StatusError) as caught:
        response(status=413, Retry_After="7").raise_for_status()
    assert (caught.value.retry_after, caught.value.transient) == (7.0, True)
    assert response(Retry_After="7").retry_after == 7.0
    assert response().retry_after is None


NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120.0),
        (format_datetime(NOW.replace(year=2029), usegmt=True), 0.0),
        ("Tue Jan  1 00:02:00 2030", 120.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("٣", None),
        ("Tue, 99 Jan 2030 00:00:00 GMT", None),
        ("Tue, 01 Jan 99999999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parsed_retry_after(value, now=NOW.timestamp) == seconds
