"""What is followed, and what goes with it: redirects and secrets. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection

from multidict import CIMultiDict

from asyncnet.endpoint import Security
from asyncnet.errors import ProtocolError, RefusedError, UsageError, printable
from asyncnet.http.request import Request, redirect_target

REDIRECTS = frozenset({301, 302, 303, 307, 308})

SECRET_FIELDS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"})
"""Fields that never go to another scheme, host or port than the one they were meant for."""

_USERINFO = re.compile(r"//[^/]*@")

# RFC 9110 §15.4: what described the body goes with it.
_BODY_FIELDS = (
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Type",
    "Digest",
    "Content-Digest",
    "Repr-Digest",
    "Last-Modified",
)


def redirected(request: Request, status: int, location: str, secret_fields: Collection[str] = ()) -> Request:
    """Give the request that a redirect asks for (RFC 9110 §15.4).

    A 303 is asked for by GET, and so is what a 301 or 302 makes of a POST; everything else keeps method and body. To
    another origin go no `SECRET_FIELDS`, none of `secret_fields` (lower case), and no Host of the caller's.

    Raises:
        ProtocolError: the Location is no http or https URL, or leads from https to http.
        RefusedError: the body would have to be sent again, and can be read only once.
    """
    here = request.place
    try:
        there = redirect_target(here.endpoint, location)
    except UsageError as error:
        raise ProtocolError(
            f"a redirect to {_shown(location)!r}: {error.message}",
            endpoint=here.endpoint,
            operation=request.method,
        ) from error
    if here.endpoint.security is Security.TLS and there.endpoint.security is not Security.TLS:
        raise ProtocolError(
            f"a redirect from https to {printable(there.endpoint.redacted, max_characters=80)} is not followed",
            endpoint=here.endpoint,
            operation=request.method,
        )
    headers = CIMultiDict(request.headers)
    if there.origin != here.origin:
        without(headers, secret_fields)
        headers.popall("Host", None)
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        for name in _BODY_FIELDS:
            headers.popall(name, None)
        return Request("GET", there, headers)
    if request.content is not None and not request.content.can_be_sent:
        raise RefusedError(
            "the redirect asks for the body again, which can be read only once",
            code=status,
            endpoint=here.endpoint,
            operation=request.method,
        )
    return request._replace(place=there, headers=headers)


def _shown(location: str) -> str:
    """Give a Location for people: a query or a userinfo may hold secrets."""
    return printable(_USERINFO.sub("//***@", location.partition("?")[0]), max_characters=80)


def without(headers: CIMultiDict[str], secret_fields: Collection[str]) -> None:
    """Drop the fields that are secret, by name (lower case)."""
    for name in {name for name in headers if name.lower() in SECRET_FIELDS or name.lower() in secret_fields}:
        headers.popall(name, None)


def authorization(username: str, secret: str, *, is_token: bool) -> str:
    """Give the value of Authorization: Basic (RFC 7617, as UTF-8), or Bearer (RFC 6750) for a token.

    Raises:
        UsageError: a colon in the username, or a token that is not ASCII.
    """
    if is_token:
        if not secret.isascii() or " " in secret:
            raise UsageError("the token holds a space or a character beyond ASCII; Bearer has no way to send it")
        return f"Bearer {secret}"
    if ":" in username:
        raise UsageError("a username with a colon; Basic has no way to send it")
    return f"Basic {base64.b64encode(f'{username}:{secret}'.encode()).decode()}"
