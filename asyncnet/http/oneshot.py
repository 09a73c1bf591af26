"""The one-shots: a session is opened, does one thing, and is closed."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Collection
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.http.content import Parts, Source
from asyncnet.http.limits import MAX_BYTES, MAX_REDIRECTS
from asyncnet.http.request import Fields, Headers
from asyncnet.http.response import Response
from asyncnet.http.session import Session
from asyncnet.http.stream import ResponseStream
from asyncnet.proxy import Proxy


async def request(
    method: str,
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    form: Fields | None = None,
    json: Any = None,
    body: Source | None = None,
    parts: Parts | None = None,
    first_bytes: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """Send one request over a connection of its own, follow its redirects, and read the answer to its end.

    Args:
        method: any but CONNECT.
        url: an absolute URL.
        credentials: for the URL's own origin, and no redirect's: a password goes as Basic, a token as Bearer.
        params: fields added to the URL's query, without control characters.
        headers: header fields.
        secret_headers: names of fields (`X-Token`) that, as Authorization and Cookie, no redirect carries to another
            origin.
        form: fields sent as `application/x-www-form-urlencoded`.
        json: a value sent as JSON.
        body: bytes, text (as UTF-8), a file opened for bytes, or an async iterable of bytes.
        parts: name -> content, sent as `multipart/form-data`, as in `Session.request`.
        first_bytes: stop after so many decoded bytes, which is no error.
        max_bytes: the largest body, announced or decoded.
        max_redirects: how many are followed; 0 hands the redirect itself back.
        tls: the context for https; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit.
        proxy: the way there, as in `Proxy.parse`.
        proxy_from_environment: without `proxy`, take the one that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names.
        allow_plaintext_login: send the credentials even where a listener could read them.
        public_only: refuse every address that is not public, on each hop; for URLs of strangers.

    Returns:
        The answer, whatever its status.

    Raises:
        NetError: as in `Session.request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
        return await session.request(
            method,
            url,
            credentials,
            params=params,
            headers=headers,
            form=form,
            json=json,
            body=body,
            parts=parts,
            first_bytes=first_bytes,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        )


@contextlib.asynccontextmanager
async def stream(
    method: str,
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    form: Fields | None = None,
    json: Any = None,
    body: Source | None = None,
    parts: Parts | None = None,
    max_bytes: int | None = None,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> AsyncIterator[ResponseStream]:
    """Send one request and read its answer piece by piece: `async with http.stream("GET", url) as response`.

    Arguments and errors as in `request`; `timeout` bounds the whole block, and `max_bytes=None` is no limit.
    """
    async with (
        one_session(
            secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
        ) as session,
        session.stream(
            method,
            url,
            credentials,
            params=params,
            headers=headers,
            form=form,
            json=json,
            body=body,
            parts=parts,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        ) as response,
    ):
        yield response


def one_session(
    secret_headers: Collection[str],
    tls: ssl.SSLContext | None,
    timeout: float | None,
    proxy: str | Proxy | None,
    proxy_from_environment: bool,
    allow_plaintext_login: bool,
    public_only: bool,
) -> Session:
    """Make the session of one call."""
    return Session(
        secret_headers=secret_headers,
        tls=tls,
        timeout=timeout,
        proxy=proxy,
        proxy_from_environment=proxy_from_environment,
        allow_plaintext_login=allow_plaintext_login,
        public_only=public_only,
    )
