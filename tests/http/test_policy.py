"""What is followed, and what goes with it."""

import io

import pytest
from multidict import CIMultiDict

from asyncnet.errors import ProtocolError, RefusedError, UsageError
from asyncnet.http.content import content_of
from asyncnet.http.policy import authorization, redirected, without
from asyncnet.http.request import Request, checked_headers, place

SECRETS = {
    "Authorization": "Basic x",
    "Cookie": "a=b",
    "Proxy-Authorization": "y",
    "X-Api-Key": "z",
    "Host": "virtual",
    "X-Plain": "p",
    "Content-Type": "text/plain",
}


def asked(method: str = "GET", url: str = "https://example.org/a", body: object = None) -> Request:
    content = content_of(body=body)  # type: ignore[arg-type]
    return Request(method, place(url), checked_headers(SECRETS), content)


@pytest.mark.parametrize("location", ["http://bob:hunter2@[/", "ftp://bob:hunter2@example.org/?hunter2"])
def test_a_redirect_that_is_not_followed_is_told_without_secrets(location: str) -> None:
    with pytest.raises(ProtocolError, match=r"//\*\*\*@") as caught:
        redirected(asked(), 302, location)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "method", "followed_by"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_each_status_has_its_rule_for_the_method(status: int, method: str, followed_by: str) -> None:
    request = asked(method, body=b"abc" if method in ("POST", "PUT", "PATCH") else None)
    again = redirected(request, status, "/b")
    assert again.method == followed_by
    kept = followed_by == method
    assert (again.content is request.content) == kept or not kept
    if not kept:
        assert again.content is None
        assert "Content-Type" not in again.headers
    else:
        assert again.headers["Content-Type"] == "text/plain"


def test_within_an_origin_everything_goes_along() -> None:
    again = redirected(asked(), 302, "/b", {"x-api-key"})
    assert dict(again.headers) == SECRETS
    assert again.place.text == "https://example.org/b"


@pytest.mark.parametrize(
    "location",
    ["https://other.example.org/", "https://example.org:8443/", "https://example.org.evil.example/", "//evil.example/"],
)
def test_to_another_origin_no_secret_goes(location: str) -> None:
    request = asked()
    again = redirected(request, 302, location, {"x-api-key"})
    assert dict(again.headers) == {"X-Plain": "p", "Content-Type": "text/plain"}
    assert dict(request.headers) == SECRETS  # the first request is as it was


def test_from_http_to_https_is_another_origin() -> None:
    again = redirected(asked(url="http://example.org/"), 301, "https://example.org/", {"x-api-key"})
    assert set(again.headers) == {"X-Plain", "Content-Type"}


def test_a_host_that_the_caller_wrote_stays_with_its_origin() -> None:
    assert redirected(asked(), 302, "/b").headers["Host"] == "virtual"
    assert "Host" not in redirected(asked(), 302, "https://other/").headers


@pytest.mark.parametrize("location", ["http://example.org/", "http://other/", "//other/"])
def test_https_never_leads_to_http(location: str) -> None:
    if location.startswith("//"):
        assert redirected(asked(), 302, location).place.endpoint.scheme == "https"
        return
    with pytest.raises(ProtocolError, match="from https to"):
        redirected(asked("POST", body=b"secret"), 307, location)


@pytest.mark.parametrize("location", ["ftp://example.org/", "file:///etc/passwd", "javascript:x", "", "http://["])
def test_only_http_is_followed(location: str) -> None:
    request = asked(url="http://example.org/a")
    if not location:
        assert redirected(request, 302, location).place == request.place
        return
    with pytest.raises(ProtocolError, match="redirect"):
        redirected(request, 302, location)


def test_the_error_about_a_redirect_shows_no_query_and_no_control_character() -> None:
    with pytest.raises(ProtocolError) as caught:
        redirected(asked(), 302, "ftp://example.org/\x1b[31m?token=secret")
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_body_goes_again_only_if_it_can_be_read_again() -> None:
    async def pieces():
        yield b"x"

    for body, can in ((b"abc", True), (io.BytesIO(b"abc"), True), (pieces(), False)):
        request = asked("POST", body=body)
        assert request.content is not None
        request.content.payload()
        if can:
            assert redirected(request, 307, "/b").content is request.content
        else:
            with pytest.raises(RefusedError) as caught:
                redirected(request, 308, "/b")
            assert caught.value.code == 308
            assert redirected(request, 303, "/b").method == "GET"  # which needs no body


def test_secret_fields_are_dropped_whatever_their_case() -> None:
    headers = CIMultiDict([("COOKIE", "a"), ("x-API-key", "b"), ("X-Api-Key", "c"), ("Accept", "d")])
    without(headers, {"x-api-key"})
    assert list(headers.items()) == [("Accept", "d")]


def test_a_password_is_basic_and_a_token_is_bearer() -> None:
    # RFC 7617 §2 and §2.1
    assert authorization("Aladdin", "open sesame", is_token=False) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert authorization("test", "123£", is_token=False) == "Basic dGVzdDoxMjPCow=="
    assert authorization("alice", "abc.def", is_token=True) == "Bearer abc.def"


@pytest.mark.parametrize(
    ("username", "secret", "is_token"), [("a:b", "x", False), ("a", "x y", True), ("a", "é", True)]
)
def test_what_the_scheme_cannot_send_is_refused(username: str, secret: str, is_token: bool) -> None:
    with pytest.raises(UsageError) as caught:
        authorization(username, secret, is_token=is_token)
    assert secret not in str(caught.value) or secret == "x"
