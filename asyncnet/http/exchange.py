"""Exchange: one call from its request to the head of its last answer, over redirects and fresh tokens."""

from __future__ import annotations

from types import TracebackType

import aiohttp
from multidict import CIMultiDict

from asyncnet.deadline import phase
from asyncnet.errors import AuthenticationError, ClosedError, LimitError, NetError, ProtocolError
from asyncnet.http.connector import Connector
from asyncnet.http.cookies import OriginJar
from asyncnet.http.failures import TRANSLATIONS
from asyncnet.http.policy import REDIRECTS, redirected
from asyncnet.http.request import IDEMPOTENT, Request
from asyncnet.http.response import Response
from asyncnet.http.roundtrip import Answer, roundtrip
from asyncnet.http.signing import Signer
from asyncnet.http.timings import Timings
from asyncnet.http.wire import StaleConnection
from asyncnet.proxy import UNAUTHORIZED
from asyncnet.translation import translation

_MAX_ATTEMPTS = 3
"""How many kept connections in a row may have gone stale: after that it is no coincidence."""

_DRAINED_BYTES = 16_384
"""A redirect's own body up to here is read, which is cheaper than another connection."""


class Exchange:
    """One call, as `async with`: it gives the last answer, and at the end lets go of the connection.

    Args:
        connector: gives the connections.
        jar: gives the cookies.
        request: what to ask, and where first.
        max_redirects: how many are followed; 0 gives the redirect itself.
        signer: signs for the first origin alone.
        secret_fields: further header fields (lower case) that are for the first origin alone.
    """

    __slots__ = (
        "_answer",
        "_connector",
        "_first",
        "_jar",
        "_max_redirects",
        "_secret_fields",
        "_signer",
        "history",
        "request",
    )

    def __init__(
        self,
        connector: Connector,
        jar: OriginJar,
        request: Request,
        *,
        max_redirects: int,
        signer: Signer | None,
        secret_fields: frozenset[str],
    ) -> None:
        self.request = request
        self.history: list[Response] = []
        self._connector = connector
        self._jar = jar
        self._first = request
        self._max_redirects = max_redirects
        self._signer = signer
        self._secret_fields = secret_fields
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        try:
            while True:
                if self._signer is not None:
                    self.request = await self._signer.sign(self.request)
                answer = self._answer = await self._sent()
                self._check_framing(answer)
                if answer.status == 401 and self._signer is not None:
                    again: Request | None = await self._signed_again(self._signer, answer)
                else:
                    again = self._redirected(answer)
                if again is None:
                    return answer
                await _put_back(answer)
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
        is_over = self._answer is None or self._answer.is_over
        if not is_over or self._connector.closing or self._first.content is not None:
            await self._let_go()

    async def _let_go(self) -> None:
        """Give a connection with a finished answer back, abort any other, and wait until nothing of it is left."""
        if self._answer is not None:
            self._answer.close()
        if self._connector.closing:
            await self._connector.settle()
        if self._first.content is not None:
            await self._first.content.aclose()

    async def _sent(self) -> Answer:
        request = self.request
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                if self._connector.closed:
                    raise ClosedError("the session was closed meanwhile")
                answer = await roundtrip(self._connector, self._jar, request)
                here = phase("reading the body")
                if here is not None:
                    here.answered(answer.status)
                return answer
            except NetError as error:
                _named(error, request)
                raise
            except Exception as error:
                failure = None if request.content is None else request.content.failure
                if failure is not None:
                    raise failure from failure.__cause__  # the caller's own source failed
                if attempt < _MAX_ATTEMPTS and _was_stale(error) and _may_be_repeated(request):
                    continue
                ours = translation(error, TRANSLATIONS, request.place.endpoint, request.method)
                if ours is None:
                    raise
                raise ours from error
        raise AssertionError("the last attempt returns or raises")

    def _redirected(self, answer: Answer) -> Request | None:
        """Give the request that this answer makes necessary, or None if it is the last."""
        if self._signer is not None:
            self._signer.learn(self.request, answer.headers)
        if answer.status == 407 and (proxy := self._connector.forwarding(self.request.place.endpoint)) is not None:
            raise AuthenticationError(code=407, text=UNAUTHORIZED, endpoint=proxy, operation=self.request.method)
        location = answer.headers.get("Location")
        if answer.status not in REDIRECTS or location is None or not self._max_redirects:
            return None
        request = self.request
        if len(self.history) >= self._max_redirects:
            raise LimitError(
                f"more than {self._max_redirects} redirects",
                limit=self._max_redirects,
                endpoint=request.place.endpoint,
                operation=request.method,
            )
        again = redirected(request, answer.status, location, self._secret_fields)
        if again.place.origin != request.place.origin:
            self._signer = None
        self.history.append(response_of(answer, request, complete=False))
        return again

    def _check_framing(self, answer: Answer) -> None:
        coding = answer.headers.get("Transfer-Encoding")
        if coding is not None:
            # RFC 9112 §6.1: nothing but "chunked" was offered, and HTTP/1.0 knows none. llhttp takes the body of any
            # other for what comes until the end, and the coding for done.
            codings = answer.headers.getall("Transfer-Encoding")
            if [name.strip().lower() for name in codings] != ["chunked"] or answer.version < (1, 1):
                raise self._protocol_error(f"a transfer coding that was not offered: {', '.join(codings)!r}")
        if answer.status == 101:
            raise self._protocol_error("it switches to a protocol that was not asked for")

    def _protocol_error(self, text: str) -> ProtocolError:
        return ProtocolError(text, endpoint=self.request.place.endpoint, operation=self.request.method)

    async def _signed_again(self, signer: Signer, answer: Answer) -> Request:
        content = self.request.content
        if await signer.answer(self.request, answer.headers) and (content is None or content.can_be_sent):
            return self.request
        raise AuthenticationError(
            code=401,
            text=signer.masked(readable(answer.reason or "")),
            endpoint=self.request.place.endpoint,
            operation=self.request.method,
        )


def _named(error: NetError, request: Request) -> NetError:
    if error.endpoint is None:
        error.endpoint, error.operation = request.place.endpoint.redacted, request.method
    return error


def response_of(
    answer: Answer,
    request: Request,
    body: bytes = b"",
    history: tuple[Response, ...] = (),
    complete: bool = True,
    timings: Timings | None = None,
) -> Response:
    """Make a Response of an answer and what came of its body."""
    headers = answer.headers
    if not all(map(str.isascii, headers.values())):
        headers = type(headers)(CIMultiDict((name, readable(value)) for name, value in headers.items()))
    return Response(
        answer.status,
        answer.reason if answer.reason and answer.reason.isascii() else readable(answer.reason or ""),
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


def _was_stale(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, StaleConnection)


def _may_be_repeated(request: Request) -> bool:
    return request.method in IDEMPOTENT and (request.content is None or request.content.can_be_sent)


async def _put_back(answer: Answer) -> None:
    """Read the rest of a small body, so that the connection can be used again; abort it otherwise."""
    read = 0
    try:
        while read <= _DRAINED_BYTES and (block := await answer.content.readany()):
            read += len(block)
    except (aiohttp.ClientError, OSError, RuntimeError):
        pass  # nobody wants this body
    answer.close()
