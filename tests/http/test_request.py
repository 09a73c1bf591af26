"""What a request is made of is checked before a byte is sent."""

import pytest

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, UsageError
from asyncnet.http.request import (
    checked_headers,
    checked_method,
    encoded_fields,
    located,
    place,
    redirect_target,
)

HERE = Endpoint.parse("https://example.org/a/b?x=1")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://example.org", "http://example.org/"),
        ("http://EXAMPLE.org:80/a%2Fb?c=d%26e", "http://example.org/a%2Fb?c=d%26e"),
        ("https://alice@example.org:8443/~x/+y?a=b+c#part", "https://example.org:8443/~x/+y?a=b+c"),
        ('http://example.org/{a}|\\^`<>"', "http://example.org/%7Ba%7D%7C%5C%5E%60%3C%3E%22"),
        ("http://example.org/é?ü", "http://example.org/%C3%A9?%C3%BC"),
        ("http://[::1]:8080/a/../b", "http://[::1]:8080/a/../b"),
    ],
)
def test_a_url_is_asked_for_as_it_is_written(url: str, sent: str) -> None:
    here = place(url)
    assert here.text == sent
    assert f"{here.endpoint.scheme}://{here.host}{here.target}" == sent


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "imaps://example.org/",
        "tcp://example.org:80",
        "unix:///run/x.sock",
        "example.org",
        "/relative",
        "http://",
        "http://alice:secret@example.org/",
        "http://example.org/a b",
        "http://example.org/a\r\nX: y",
        "http://example.org/a\0b",
        "http://example.org:99999/",
        7,
        None,
        ["http://example.org/"],
    ],
)
def test_what_is_no_http_url_is_refused(url: object) -> None:
    with pytest.raises(UsageError) as caught:
        located(None, url, None)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "url", "joined"),
    [
        ("http://h/v1/", "users", "http://h/v1/users"),
        ("http://h/v1/", "/users?a=b", "http://h/users?a=b"),
        ("http://h/v1/x", "../y", "http://h/y"),
        ("http://h/v1/", "", "http://h/v1/"),
        ("http://h/v1/", "?q=http://other/", "http://h/v1/?q=http://other/"),
        ("http://h/v1/", "https://other/x", "https://other/x"),
        ("http://h/v1/", "//other/x", "http://other/x"),
    ],
)
def test_a_relative_url_is_relative_to_the_base(base: str, url: str, joined: str) -> None:
    assert located(Endpoint.parse(base), url, None).text == joined


@pytest.mark.parametrize("url", ["a\r\nb", "a\0b", "a\tb"])
def test_a_control_character_in_a_relative_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        located(Endpoint.parse("http://h/"), url, None)  # urljoin would quietly remove it


def test_parameters_are_added_to_the_query() -> None:
    here = located(None, "http://h/p?a=1", {"b": "x y&z", "c": [1, 2.5], "é": "ü"})
    assert here.text == "http://h/p?a=1&b=x+y%26z&c=1&c=2.5&%C3%A9=%C3%BC"
    assert located(None, "http://h/p", [("a", "1"), ("a", "2")]).text == "http://h/p?a=1&a=2"
    assert located(None, "http://h/p?a=1", {}).text == "http://h/p?a=1"


@pytest.mark.parametrize(
    "params",
    [{"a": "x\r\ny"}, {"a\n": "x"}, {"a": "\0"}, {"a": True}, {"a": None}, {"a": b"x"}, {"a": [None]}, {"a": "\ud800"}],
)
def test_a_parameter_that_cannot_be_sent_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        located(None, "http://h/", params)  # type: ignore[arg-type]


def test_the_fields_of_a_form_may_hold_lines() -> None:
    assert encoded_fields({"text": "one\r\ntwo"}, "field", lines_allowed=True) == "text=one%0D%0Atwo"


@pytest.mark.parametrize("method", ["GET", "get", "PROPFIND", "M-SEARCH"])
def test_a_method_is_a_token_in_capitals(method: str) -> None:
    assert checked_method(method) == method.upper()


@pytest.mark.parametrize("method", ["", "GET /x HTTP/1.1\r\n", "A B", "GÉT", "CONNECT", "\0", None, 7])
def test_what_is_no_method_is_refused(method: object) -> None:
    with pytest.raises(UsageError):
        checked_method(method)  # type: ignore[arg-type]


def test_headers_are_a_mapping_or_pairs() -> None:
    assert checked_headers({"X-A": "b\tc", "X-É".replace("É", "E"): "ü"})["x-e"] == "ü"
    assert checked_headers([("X-A", "1"), ("x-a", "2")]).getall("X-A") == ["1", "2"]
    assert not checked_headers(None)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: c"},
        {"X-A": "a\nb"},
        {"X-A": "a\rb"},
        {"X-A": "a\0b"},
        {"X-A": "\x7f"},
        {"X-A": "\ud800"},
        {"X A": "b"},
        {"X-A:": "b"},
        {"": "b"},
        {"X\n": "b"},
        {"Ü": "b"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"X-A": 5},
        {"X-A": b"b"},
        {5: "b"},
    ],
)
def test_a_header_field_that_cannot_be_sent_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        checked_headers(headers)


def test_the_error_about_a_header_field_does_not_repeat_its_value() -> None:
    with pytest.raises(UsageError) as caught:
        checked_headers({"Authorization": "Bearer secret\n"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/c", "https://example.org/c"),
        ("c?y=2", "https://example.org/a/c?y=2"),
        ("?y=2", "https://example.org/a/b?y=2"),
        ("https://other.example.org:8443/", "https://other.example.org:8443/"),
        ("//other.example.org/x", "https://other.example.org/x"),
        ("  /c ", "https://example.org/c"),
        ("/a b", "https://example.org/a%20b"),
        ("/100%", "https://example.org/100%25"),
        ("/é", "https://example.org/%C3%A9"),
        ("/\udce9", "https://example.org/%E9"),
        ("https:/c", "https://example.org/c"),
        ("https://bob@other/x", "https://other/x"),
        ("/c#part", "https://example.org/c"),
    ],
)
def test_a_location_is_read_as_it_is_meant(location: str, target: str) -> None:
    there = redirect_target(HERE, location)
    assert there.text == target
    assert there.endpoint.username is None


@pytest.mark.parametrize(
    "location",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "http://",
        "https://a:b@example.org/",
        "https://[::1/",
        "https://exa mple.org/",
        "/a\0b",
        "/a\rb",
        "tcp://example.org:25",
    ],
)
def test_a_location_that_is_no_place_is_refused(location: str) -> None:
    with pytest.raises(InvalidEndpoint if location[:3] != "tcp" else UsageError):
        redirect_target(HERE, location)
