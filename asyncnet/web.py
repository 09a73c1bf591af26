"""Web: the HTTP of a Client: the calls of an http.Session, each with the credentials for its place, and traced."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from multidict import CIMultiDict

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.http.content import Parts, Source
from asyncnet.http.request import Fields, Headers, Place, checked_headers, located
from asyncnet.http.response import Response
from asyncnet.http.session import Session
from asyncnet.http.stream import ResponseStream
from asyncnet.http.transfers import Transfers
from asyncnet.keys import Keys
from asyncnet.trace import Trace, tracing


class Web(Transfers):
    """HTTP with a policy over it; see `Client`."""

    _http: Session
    _keys: Keys | None
    _trace: Trace | None

    @property
    def timeout(self) -> float | None:
        """Seconds for each call; None is no limit."""
        return self._http.timeout  # which is asked without a step between, and so has to know

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        deadline(seconds)  # refuses what is no number of seconds
        self._http.timeout = seconds

    def request(
        self,
        method: str,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        first_bytes: int | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """Send one HTTP request, follow its redirects, and read the answer to its end.

        Arguments, result and errors as in `http.Session.request`; the URL is absolute, and without `credentials` those
        of the Client for this place are used, unless the headers have an Authorization.
        """
        where, fields = self._once(url, params, headers)
        return self._request(
            functools.partial(
                self._http.request,
                method,
                where,
                headers=fields,
                form=form,
                json=json,
                body=body,
                parts=parts,
                first_bytes=first_bytes,
                max_bytes=max_bytes,
                max_redirects=max_redirects,
                timeout=timeout,
            ),
            method,
            where,
            credentials,
            fields,
            timeout,
        )

    def stream(
        self,
        method: str,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Send one HTTP request and read its answer piece by piece, as `http.Session.stream`."""
        where, fields = self._once(url, params, headers)
        return self._stream(
            functools.partial(
                self._http.stream,
                method,
                where,
                headers=fields,
                form=form,
                json=json,
                body=body,
                parts=parts,
                max_bytes=max_bytes,
                max_redirects=max_redirects,
                timeout=timeout,
            ),
            method,
            where,
            credentials,
            fields,
            timeout,
        )

    def _located(self, url: str | Endpoint, params: Fields | None) -> Place:
        return located(None, url, params)

    def _once(
        self, url: str | Endpoint, params: Fields | None, headers: Headers | None
    ) -> tuple[Endpoint, CIMultiDict[str] | None]:
        """Read the arguments that may be iterators, which can be read once."""
        return self._located(url, params).endpoint, None if headers is None else checked_headers(headers)

    async def _request(
        self,
        ask: Callable[[Credentials | None], Awaitable[Response]],
        method: str,
        where: Endpoint,
        credentials: Credentials | None,
        headers: CIMultiDict[str] | None,
        timeout: float | None,
    ) -> Response:
        with tracing(self._trace):
            async with deadline(self.timeout if timeout is None else timeout, where, method):
                return await ask(await self._credentials(where, credentials, headers))

    @asynccontextmanager
    async def _stream(
        self,
        ask: Callable[[Credentials | None], AbstractAsyncContextManager[ResponseStream]],
        method: str,
        where: Endpoint,
        credentials: Credentials | None,
        headers: CIMultiDict[str] | None,
        timeout: float | None,
    ) -> AsyncIterator[ResponseStream]:
        with tracing(self._trace):
            async with (
                deadline(self.timeout if timeout is None else timeout, where, method),
                ask(await self._credentials(where, credentials, headers)) as response,
            ):
                yield response

    async def _credentials(
        self, where: Endpoint, given: Credentials | None, headers: CIMultiDict[str] | None = None
    ) -> Credentials | None:
        if given is not None or self._keys is None:
            return given
        if headers is not None and "Authorization" in headers:
            return None
        return await self._keys.of(where)
