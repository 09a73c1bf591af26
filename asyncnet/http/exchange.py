"""Exchange: one call from its request to the head of its last answer, over redirects and fresh tokens."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import aiohttp
from multidict import CIMultiDict

from asyncnet.deadline import phase
from asyncnet.errors import AuthenticationError, ClosedError, LimitError, NetError, ProtocolError
from asyncnet.http.connector import Carried, Connector, StaleConnection
from asyncnet.http.content import Content
from asyncnet.http.failures import TRANSLATIONS
from asyncnet.http.policy import REDIRECTS, redirected
from asyncnet.http.request import IDEMPOTENT, Request
from asyncnet.http.response import Response
from asyncnet.http.signing import Signer
from asyncnet.http.timings import Timings
from asyncnet.proxy import UNAUTHORIZED
from asyncnet.translation import translation

_MAX_ATTEMPTS = 3
"""How many kept connections in a row may have gone stale: after that it is no coincidence."""

_DRAINED_BYTES = 16_384
"""A redirect's own body up to here is read, which is cheaper than another connection."""


class Exchange:
    """One call, as `async with`: it gives the last answer, and at the end lets go of the connection.

    Args:
        client: aiohttp's session.
        connector: the one under it.
        request: what to ask, and where first.
        max_redirects: how many are followed; 0 gives the redirect itself.
        signer: signs for the first origin alone.
        secret_fields: further header fields (lower case) that are for the first origin alone.
    """

    __slots__ = (
        "_client",
        "_connector",
        "_first",
        "_max_redirects",
        "_response",
        "_secret_fields",
        "_signer",
        "history",
        "request",
    )

    def __init__(
        self,
        client: aiohttp.ClientSession,
        connector: Connector,
        request: Request,
        *,
        max_redirects: int,
        signer: Signer | None,
        secret_fields: frozenset[str],
    ) -> None:
        self.request = request
        self.history: list[Response] = []
        self._client = client
        self._connector = connector
        self._first = request
        self._max_redirects = max_redirects
        self._signer = signer
        self._secret_fields = secret_fields
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            while True:
                if self._signer is not None:
                    self.request = await self._signer.sign(self.request)
                response = self._response = await self._sent()
                self._check_framing(response)
                if response.status == 401 and self._signer is not None:
                    again: Request | None = await self._signed_again(self._signer, response)
                else:
                    again = self._redirected(response)
                if again is None:
                    return response
                await _put_back(response)
                if self.request.content is not None:
                    await self.request.content.settle()
                self.request = again
        except BaseException:
            await self._let_go()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Most answers have been read to their end, and nothing is left to do.
        is_over = self._response is None or self._response.connection is None
        if not is_over or self._connector.closing or self._first.content is not None:
            await self._let_go()

    async def _let_go(self) -> None:
        """Give a connection with a finished answer back, abort any other, and wait until nothing of it is left."""
        if self._response is not None and self._response.connection is not None:
            self._response.close()
        if self._connector.closing:
            await self._connector.settle()
        if self._first.content is not None:
            await self._first.content.aclose()

    async def _sent(self) -> aiohttp.ClientResponse:
        request = self.request
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                if self._connector.closed:
                    raise ClosedError("the session was closed meanwhile")
                headers, data = request.headers, None
                if request.content is not None:
                    headers, data = await _prepared(request.content, headers)
                response = await self._client.request(
                    request.method, request.place.url, headers=headers or None, data=data, allow_redirects=False
                )
                here = phase("reading the body")
                if here is not None:
                    here.answered(response.status)
                return response
            except Carried as carried:
                raise _named(carried.error, request) from carried.error.__cause__
            except NetError as error:
                _named(error, request)
                raise
            except Exception as error:
                failure = None if request.content is None else request.content.failure
                if failure is not None:
                    raise failure from failure.__cause__  # the caller's own source failed, and aiohttp hid it
                if attempt < _MAX_ATTEMPTS and _was_stale(error) and _may_be_repeated(request):
                    continue
                ours = translation(error, TRANSLATIONS, request.place.endpoint, request.method)
                if ours is None:
                    raise
                # This one bears our header fields and the whole URL: out here it is no context either.
                cause = error.__cause__ if isinstance(error, aiohttp.ClientResponseError) else error
            raise ours from cause
        raise AssertionError("the last attempt returns or raises")

    def _redirected(self, response: aiohttp.ClientResponse) -> Request | None:
        """Give the request that this answer makes necessary, or None if it is the last."""
        if self._signer is not None:
            self._signer.learn(self.request, response.headers)
        if response.status == 407 and (proxy := self._connector.forwarding(self.request.place.endpoint)) is not None:
            raise AuthenticationError(code=407, text=UNAUTHORIZED, endpoint=proxy, operation=self.request.method)
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or location is None or not self._max_redirects:
            return None
        request = self.request
        if len(self.history) >= self._max_redirects:
            raise LimitError(
                f"more than {self._max_redirects} redirects",
                limit=self._max_redirects,
                endpoint=request.place.endpoint,
                operation=request.method,
            )
        again = redirected(request, response.status, location, self._secret_fields)
        if again.place.origin != request.place.origin:
            self._signer = None
        self.history.append(response_of(response, request, complete=False))
        return again

    def _check_framing(self, response: aiohttp.ClientResponse) -> None:
        coding = response.headers.get("Transfer-Encoding")
        if coding is not None:
            # RFC 9112 §6.1: nothing but "chunked" was offered, and HTTP/1.0 knows none. llhttp takes the body of any
            # other for what comes until the end, and the coding for done.
            codings = response.headers.getall("Transfer-Encoding")
            if [name.strip().lower() for name in codings] != ["chunked"] or response.version < (1, 1):  # type: ignore[operator]
                raise self._protocol_error(f"a transfer coding that was not offered: {', '.join(codings)!r}")
        if response.status == 101:
            raise self._protocol_error("it switches to a protocol that was not asked for")

    def _protocol_error(self, text: str) -> ProtocolError:
        return ProtocolError(text, endpoint=self.request.place.endpoint, operation=self.request.method)

    async def _signed_again(self, signer: Signer, response: aiohttp.ClientResponse) -> Request:
        content = self.request.content
        if await signer.answer(self.request, response.headers) and (content is None or content.can_be_sent):
            return self.request
        raise AuthenticationError(
            code=401,
            text=signer.masked(readable(response.reason or "")),
            endpoint=self.request.place.endpoint,
            operation=self.request.method,
        )


def _named(error: NetError, request: Request) -> NetError:
    if error.endpoint is None:
        error.endpoint, error.operation = request.place.endpoint.redacted, request.method
    return error


def response_of(
    response: aiohttp.ClientResponse,
    request: Request,
    body: bytes = b"",
    history: tuple[Response, ...] = (),
    complete: bool = True,
    timings: Timings | None = None,
) -> Response:
    """Make our Response of aiohttp's."""
    headers = response.headers
    if not all(map(str.isascii, headers.values())):
        headers = type(headers)(CIMultiDict((name, readable(value)) for name, value in headers.items()))
    return Response(
        response.status,
        response.reason if response.reason and response.reason.isascii() else readable(response.reason or ""),
        headers,
        request.place.text,
        request.method,
        body,
        history,
        complete,
        timings,
    )


def readable(text: str) -> str:
    """Give a field's text without half surrogate pairs, which nobody can print: what is not UTF-8 is Latin-1."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


async def _prepared(content: Content, headers: CIMultiDict[str]) -> tuple[CIMultiDict[str], Any]:
    """Give the headers and the data of one sending."""
    await content.settle()
    data = content.payload()
    if content.size is not None and not isinstance(data, bytes):
        headers = CIMultiDict(headers)
        headers["Content-Length"] = str(content.size)  # else it would be sent in chunks
    return headers, data


def _was_stale(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, StaleConnection)


def _may_be_repeated(request: Request) -> bool:
    return request.method in IDEMPOTENT and (request.content is None or request.content.can_be_sent)


async def _put_back(response: aiohttp.ClientResponse) -> None:
    """Read the rest of a small body, so that the connection can be used again; abort it otherwise."""
    read = 0
    try:
        while read <= _DRAINED_BYTES and (block := await response.content.readany()):
            read += len(block)
    except (aiohttp.ClientError, OSError, RuntimeError):
        pass  # nobody wants this body
    response.close()
