"""What a request is made of, checked before a byte is sent: method, place, header fields, query. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_plus, urljoin

from multidict import CIMultiDict

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, UsageError, printable
from asyncnet.http.content import Content, Parts, Source, content_of

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""header fields; a list of pairs may name one more than once"""

Scalar = str | int | float
Fields = Mapping[str, Scalar | Sequence[Scalar]] | Iterable[tuple[str, Scalar]]
"""the fields of a query or a form; a sequence is the same name several times"""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 §5.6.2
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_FIELD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5: a tab may stand in a field
_UNSAFE = re.compile(r"[\"<>\\^`{|}]")  # RFC 3986 allows these nowhere; the Endpoint has seen to the rest
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")

# What marks where our message ends is not the caller's: two opinions about it are how requests are smuggled.
_OURS = frozenset({"content-length", "transfer-encoding"})

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 §9.2.2


class Place(NamedTuple):
    """Where a request goes.

    Args:
        endpoint: as our Endpoint.
        host: the authority, without user.
        target: path and query, as the server is asked for them (RFC 9112 §3.2.1).
        text: all of it as text, without user and fragment.
    """

    endpoint: Endpoint
    host: str
    target: str
    text: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: whom secrets are for."""
        return self.endpoint.origin


class Request(NamedTuple):
    """One request, ready to be sent; its headers are not changed in place."""

    method: str
    place: Place
    headers: CIMultiDict[str]
    content: Content | None = None


@lru_cache(maxsize=256)
def place(url: str | Endpoint) -> Place:
    """Take the URL of a request apart.

    Raises:
        InvalidEndpoint: not a URL.
        UsageError: neither http nor https.
    """
    endpoint = Endpoint.parse(url)
    if endpoint.protocol != "http":
        raise UsageError("not an http or https URL", endpoint=endpoint)
    bare = endpoint if endpoint.username is None else replace(endpoint, username=None)
    path = bare.path or "/"  # it stands for no path
    target = _escaped(f"{path}?{bare.query}" if bare.query else path)
    host = bare.authority
    return Place(endpoint, host, target, f"{bare.scheme}://{host}{target}")


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda unsafe: f"%{ord(unsafe[0]):02X}", text) if _UNSAFE.search(text) else text


def located(base: Endpoint | None, url: str | Endpoint, params: Fields | None) -> Place:
    """Give the place of `url`, relative to `base` if it is relative (RFC 3986 §5), with `params` after its query.

    Raises:
        UsageError: no usable URL, or a control character in a parameter.
    """
    if not isinstance(url, (str, Endpoint)):
        raise InvalidEndpoint(f"a URL is a str or an Endpoint, not {type(url).__name__}")
    if base is not None and isinstance(url, str) and not _ABSOLUTE.match(url):
        if not url.isprintable():
            raise InvalidEndpoint("a control character in the URL")
        url = urljoin(str(base), url)
    here = place(url)
    if params is None:
        return here
    added = encoded_fields(params, "parameter", lines_allowed=False)
    query = "&".join(part for part in (here.endpoint.query, added) if part)
    return place(replace(here.endpoint, query=query))


@lru_cache(maxsize=64)
def checked_method(method: str) -> str:
    """Give the method in capitals.

    Raises:
        UsageError: not a token, or CONNECT, which is the proxy's business.
    """
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise UsageError(f"not a method: {printable(str(method), max_characters=40)!r}")
    if method.upper() == "CONNECT":
        raise UsageError("CONNECT is not sent by hand; use proxy=")
    return method.upper()


def checked_headers(headers: Headers | None) -> CIMultiDict[str]:
    """Give the header fields as a multi-mapping.

    Raises:
        UsageError: a name that is no token, a control character or half a surrogate pair in a value, or a field that
            says where the body ends.
    """
    checked: CIMultiDict[str] = CIMultiDict()
    if headers is None:
        return checked
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise UsageError(f"not the name of a header field: {printable(str(name), max_characters=40)!r}")
        if name.lower() in _OURS:
            raise UsageError(f"{name} follows from the body and is not given by hand")
        if not isinstance(value, str):
            raise UsageError(f"the header field {name} is {type(value).__name__}, not str")
        if _CONTROL_IN_FIELD.search(value) or not _is_encodable(value):
            raise UsageError(f"a control character in the header field {name}")  # the value may be a secret
        checked.add(name, value)
    return checked


def checked_content(form: Fields | None, json: object, body: Source | None, parts: Parts | None) -> Content | None:
    """Make the body of a request of the one argument that is given; None of none.

    Raises:
        UsageError: more than one, or one that cannot be sent.
    """
    if form is None and json is None and body is None and parts is None:
        return None
    encoded = None if form is None else encoded_fields(form, "field of the form", lines_allowed=True)
    return content_of(form=encoded, json_value=json, body=body, parts=parts)


def encoded_fields(fields: Fields, what: str, *, lines_allowed: bool) -> str:
    """Encode fields as `application/x-www-form-urlencoded`, as a form does it: a space is `+`.

    Args:
        fields: names and values.
        what: what they are called in errors.
        lines_allowed: whether a value may hold control characters, as the text of a form may hold lines.

    Raises:
        UsageError: neither text nor number, or a control character where none is allowed.
    """
    pairs = []
    for name, given in fields.items() if isinstance(fields, Mapping) else fields:
        values = given if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) else (given,)
        for value in values:
            texts = (_text(name, what), _text(value, what))
            if not lines_allowed and any(_CONTROL.search(text) for text in texts):
                raise UsageError(
                    f"a control character in the {what} {printable(texts[0], max_characters=40)!r}: "
                    "post it as a form, or write it into the URL as %0A"
                )
            pairs.append("=".join(quote_plus(text) for text in texts))
    return "&".join(pairs)


def redirect_target(here: Endpoint, location: str) -> Place:
    """Give the place that a Location names (RFC 9110 §10.2.2), which may be relative and sloppily written.

    Raises:
        UsageError: it is none that can be asked.
    """
    if _CONTROL.search(location):
        raise InvalidEndpoint("a control character in it")
    # Header fields are bytes: what is no UTF-8 came as surrogates. A lone "%" is meant as itself.
    raw = re.sub(rb"%(?![0-9A-Fa-f]{2})", b"%25", location.strip().encode("utf-8", "surrogateescape"))
    text = quote(raw, safe="%/!$&'()*+,;=:@?#[]~-._")
    try:
        target = urljoin(str(replace(here, username=None)), text)
    except ValueError as error:
        raise InvalidEndpoint(str(error)) from error
    there = place(target)
    return there if there.endpoint.username is None else place(replace(there.endpoint, username=None))


def _text(value: object, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"a {what} is text or a number, not {type(value).__name__}")
    text = value if isinstance(value, str) else str(value)
    if not _is_encodable(text):
        raise UsageError(f"half a surrogate pair in a {what}")
    return text


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
