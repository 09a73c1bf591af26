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
    allow_plaintext_login: bool = False,
) -> Response:
    """Send one request over a connection of its own, follow its redirects, and read the answer to its end.

    Args:
        method: any but CONNECT.
        url: an absolute URL.
        credentials: for the URL's own origin, and no redirect's: a password goes as Basic, a token as Bearer.
        params: fields added to the URL's query, without control characters.
        headers: header fields.
        secret_headers: names of fields (`X-Api-Key`) that, as Authorization and Cookie, no redirect carries to another
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
        allow_plaintext_login: send the credentials even where a listener could read them.

    Returns:
        The answer, whatever its status.

    Raises:
        NetError: as in `Session.request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
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
    allow_plaintext_login: bool = False,
) -> AsyncIterator[ResponseStream]:
    """Send one request and read its answer piece by piece: `async with http.stream("GET", url) as response`.

    Arguments and errors as in `request`; `timeout` bounds the whole block, and `max_bytes=None` is no limit.
    """
    async with (
        _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session,
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


async def get(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    first_bytes: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """GET: give what is at a URL.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.get(
            url,
            credentials,
            params=params,
            headers=headers,
            first_bytes=first_bytes,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        )


async def head(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """HEAD: give the head of what GET would give; its body is empty.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.head(
            url,
            credentials,
            params=params,
            headers=headers,
            max_redirects=max_redirects,
        )


async def options(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """OPTIONS: ask what may be done there.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.options(
            url,
            credentials,
            params=params,
            headers=headers,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        )


async def delete(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    secret_headers: Collection[str] = (),
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """DELETE what is there.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.delete(
            url,
            credentials,
            params=params,
            headers=headers,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        )


async def post(
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
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """POST a body: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.post(
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
        )


async def put(
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
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """PUT a body in the place of what is there: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.put(
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
        )


async def patch(
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
    max_bytes: int = MAX_BYTES,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Response:
    """PATCH what is there by a body: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with _session(secret_headers, tls, timeout, proxy, allow_plaintext_login) as session:
        return await session.patch(
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
        )


def _session(
    secret_headers: Collection[str],
    tls: ssl.SSLContext | None,
    timeout: float | None,
    proxy: str | Proxy | None,
    allow_plaintext_login: bool,
) -> Session:
    return Session(
        secret_headers=secret_headers,
        tls=tls,
        timeout=timeout,
        proxy=proxy,
        allow_plaintext_login=allow_plaintext_login,
    )
