"""The one-shots by the name of their method: `http.get(url)` and its like."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.http.content import Parts, Source
from asyncnet.http.limits import MAX_BYTES, MAX_REDIRECTS
from asyncnet.http.oneshot import one_session
from asyncnet.http.request import Fields, Headers
from asyncnet.http.response import Response
from asyncnet.proxy import Proxy


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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """GET: give what is at a URL.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """HEAD: give the head of what GET would give; its body is empty.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """OPTIONS: ask what may be done there.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """DELETE what is there.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """POST a body: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """PUT a body in the place of what is there: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Response:
    """PATCH what is there by a body: exactly one of `form`, `json`, `body` and `parts`.

    Arguments and errors as in `request`.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
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
