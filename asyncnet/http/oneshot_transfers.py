"""The one-shots of more than one answer: `http.download`, `http.events`, `http.ndjson`."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Collection
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.http.download import Download
from asyncnet.http.events import MAX_EVENT_BYTES
from asyncnet.http.feeds import Events, JsonIterator
from asyncnet.http.limits import MAX_REDIRECTS
from asyncnet.http.lines import MAX_LINE_BYTES
from asyncnet.http.oneshot import one_session
from asyncnet.http.request import Fields, Headers
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry


async def download(
    url: str | Endpoint,
    path: str | os.PathLike[str],
    credentials: Credentials | None = None,
    *,
    params: Fields | None = None,
    headers: Headers | None = None,
    sha256: str | None = None,
    resume: bool = True,
    retry: Retry | None = None,
    max_bytes: int | None = None,
    secret_headers: Collection[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> Download:
    """Fetch a file to `path`, going on where an earlier call was cut.

    Arguments and errors as in `Session.download` and `request`; `timeout` bounds the whole of it.
    """
    async with one_session(
        secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
    ) as session:
        return await session.download(
            url,
            path,
            credentials,
            params=params,
            headers=headers,
            sha256=sha256,
            resume=resume,
            retry=retry,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
        )


@contextlib.asynccontextmanager
async def events(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    method: str = "GET",
    params: Fields | None = None,
    headers: Headers | None = None,
    json: Any = None,
    last_event_id: str = "",
    reconnect: Retry | None = None,
    max_event_bytes: int = MAX_EVENT_BYTES,
    max_silence: float | None = None,
    secret_headers: Collection[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> AsyncIterator[Events]:
    """Open a stream of server-sent events: `async with http.events(url) as events: async for event in events`.

    Arguments and errors as in `Session.events` and `request`; `timeout` bounds the whole block, None is no limit.
    """
    async with (
        one_session(
            secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
        ) as session,
        session.events(
            url,
            credentials,
            method=method,
            params=params,
            headers=headers,
            json=json,
            last_event_id=last_event_id,
            reconnect=reconnect,
            max_event_bytes=max_event_bytes,
            max_silence=max_silence,
            max_redirects=max_redirects,
        ) as events,
    ):
        yield events


@contextlib.asynccontextmanager
async def ndjson(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    method: str = "GET",
    params: Fields | None = None,
    headers: Headers | None = None,
    json: Any = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    secret_headers: Collection[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    proxy_from_environment: bool = True,
    allow_plaintext_login: bool = False,
    public_only: bool = False,
) -> AsyncIterator[JsonIterator]:
    """Open a body with one JSON value on each line: `async with http.ndjson(url) as values: async for ...`.

    Arguments and errors as in `Session.ndjson` and `request`; `timeout` bounds the whole block, None is no limit.
    """
    async with (
        one_session(
            secret_headers, tls, timeout, proxy, proxy_from_environment, allow_plaintext_login, public_only
        ) as session,
        session.ndjson(
            url,
            credentials,
            method=method,
            params=params,
            headers=headers,
            json=json,
            max_line_bytes=max_line_bytes,
            max_redirects=max_redirects,
        ) as values,
    ):
        yield values
