"""Session: HTTP to one server or to many, over connections that are kept. Any number of calls at once.

Unlike the mail sessions it needs no opening, and a call that ends badly closes its own connection, not the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Collection
from types import TracebackType
from typing import Any, TypeVar

from multidict import CIMultiDict

from asyncnet.credentials import Credentials, check_login
from asyncnet.deadline import Deadline, deadline
from asyncnet.dial import server_name
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, UsageError
from asyncnet.http.connector import Connector
from asyncnet.http.content import Content, Parts, Source
from asyncnet.http.cookies import OriginJar
from asyncnet.http.environment import environment_proxy
from asyncnet.http.exchange import Exchange, response_of
from asyncnet.http.limits import Limits
from asyncnet.http.policy import without
from asyncnet.http.public import is_public
from asyncnet.http.reading import Body
from asyncnet.http.request import (
    Fields,
    Headers,
    Place,
    Request,
    checked_content,
    checked_headers,
    checked_method,
    located,
    place,
)
from asyncnet.http.response import Response
from asyncnet.http.roundtrip import Answer
from asyncnet.http.signing import Digests, Signer
from asyncnet.http.stream import ResponseStream
from asyncnet.http.timings import Stopwatch
from asyncnet.http.transfers import Transfers
from asyncnet.places import Places
from asyncnet.proxy import Proxy
from asyncnet.trace import noted

S = TypeVar("S", bound="Session")

CLOSE_SECONDS = 2.0


class Session(Transfers):
    """A client's side of HTTP/1.1: kept connections, cookies, one policy; closed by `aclose()` or `async with`.

    Args:
        base: the URL that relative URLs of the calls are relative to; None takes absolute ones alone.
        credentials: for the origin of `base` alone: a token goes as Bearer; a password as Basic, or as Digest where the
            server asks for it. With `mechanism="DIGEST"` it is proved and never sent.
        headers: fields that go with each request; the secret ones (`secret_headers`, Authorization, Cookie) only to the
            origin of `base`, if there is a base.
        secret_headers: names of further fields (`X-Token`) that no redirect carries to another origin.
        tls: the context for https; None verifies against the system's authorities.
        timeout: seconds for each call, from the lookup to the last byte of the body; None is no limit.
        proxy: the way there, as in `Proxy.parse`; an HTTP proxy forwards http, and lets https through by CONNECT.
        proxy_from_environment: without `proxy`, take the one that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names, unless
            NO_PROXY excepts the host; this machine itself is always reached directly.
        unix_socket: the path of a Unix socket to connect to in place of every host.
        allow_plaintext_login: send the credentials even where a listener could read them.
        public_only: connect to public addresses alone, on each hop, whatever name stands for them, and directly: a
            proxy would look the name up itself. For URLs of strangers.
        timings: measure each call (`Response.timings`), for about a microsecond a step.
        limits: what a server may cost us.
        max_connections: at once, in all; further calls wait, within their deadline.
        max_connections_per_host: at once to one origin; None is no limit of its own.
        keep_alive: seconds that an idle connection is kept.
        places: what bounds these connections together with others, as a Client does; None bounds them alone.

    Raises:
        UsageError: credentials without a base, a contradiction between URL and credentials, a secret that would travel
            in plaintext, or a field that cannot be sent.

    Cookies are kept and sent back by RFC 6265, but never to another scheme or port. Each session belongs to one loop.
    """

    protocol = "http"

    def __init__(
        self,
        base: str | Endpoint | None = None,
        credentials: Credentials | None = None,
        *,
        headers: Headers | None = None,
        secret_headers: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        proxy_from_environment: bool = True,
        unix_socket: str | None = None,
        allow_plaintext_login: bool = False,
        public_only: bool = False,
        timings: bool = False,
        limits: Limits = Limits(),  # noqa: B008 (a frozen value)
        max_connections: int = 100,
        max_connections_per_host: int | None = None,
        keep_alive: float = 15.0,
        places: Places | None = None,
    ) -> None:
        self._base = None if base is None else place(base)
        self.endpoint = None if self._base is None else self._base.endpoint
        self.credentials = credentials
        self.timeout = timeout
        self.limits = limits
        self._headers = checked_headers(headers)
        self._secret_fields = frozenset(name.lower() for name in secret_headers)
        self._tls = tls
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self._proxy_from_environment = proxy_from_environment and not public_only and unix_socket is None
        self._public_only = public_only
        self._is_timed = timings
        self._unix_socket = unix_socket
        # On a Unix socket nobody listens in.
        self._allow_plaintext_login = allow_plaintext_login or unix_socket is not None
        self._max_connections = max_connections
        self._max_connections_per_host = max_connections_per_host or 0
        self._keep_alive = keep_alive
        self._places = places
        self._digests = Digests()
        self._jar: OriginJar | None = None
        self._connector: Connector | None = None
        self._closed = False
        if (unix_socket is not None) + (proxy is not None) + public_only > 1:
            raise UsageError("one of unix_socket, proxy and public_only: each says where to connect to")
        if max_connections < 1 or self._max_connections_per_host < 0 or keep_alive < 0:
            raise UsageError("a number of connections is at least 1, a time at least 0")
        if self._base is not None:
            self._check_login(self._base.endpoint, credentials)
        elif credentials is not None:
            raise UsageError(
                "credentials belong to a base URL, or to a single call: a session may talk to many servers"
            )

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return not self._closed

    async def request(
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
    ) -> Response:
        """Send one request, follow its redirects, and read the answer to its end.

        Args:
            method: any but CONNECT.
            url: absolute, or relative to the session's base.
            credentials: for this call's own origin; None takes the session's, where they are for this origin.
            params: fields added to the URL's query, without control characters.
            headers: fields of this request; each replaces the session's of that name.
            form: fields sent as `application/x-www-form-urlencoded`.
            json: a value sent as JSON (None is no body; write `body=b"null"`).
            body: bytes, text (as UTF-8), a file opened for bytes, or an async iterable of bytes.
            parts: name -> content, sent as `multipart/form-data`; a content is one of `body`'s, or a tuple
                (filename or None, content[, media type]).
            first_bytes: stop after so many decoded bytes; that is no error, and the connection is closed, not drained.
            max_bytes: the largest body, announced or decoded; None takes the session's limit.
            max_redirects: how many are followed; 0 hands the redirect itself back; None takes the session's limit.
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Returns:
            The answer, whatever its status.

        Raises:
            UsageError: the call itself is wrong: more than one body, a control character, no usable URL.
            ConnectError: never got there (TLSError: the certificate or handshake).
            AuthenticationError: credentials were given, and the answer was 401.
            DisconnectedError: the server hung up (IncompleteRead: in the middle of the body; `.partial` holds what
                came).
            ProtocolError: not HTTP, an ambiguous framing, a broken coding, or a redirect that is not followed
                (LimitError: too long, too many redirects, too high a compression).
            RefusedError: a redirect asks for a body that can be read only once, or the proxy said no.
            DeadlineError: the seconds passed; the connection is aborted.
            ClosedError: the session is closed.

        No request is sent twice, with two exceptions: an idempotent one whose kept connection turned out to be gone
        before any answer, and one that was refused for an outdated token.
        """
        content = checked_content(form, json, body, parts)
        exchange = self._exchange(method, url, credentials, params, headers, content, max_redirects)
        request = exchange.request
        most = self.limits.max_bytes if max_bytes is None else max_bytes
        _check_sizes(most, first_bytes)
        seconds = self.timeout if timeout is None else timeout
        kind = Stopwatch if self._is_timed else Deadline
        with kind(seconds, request.place.endpoint, request.method) as limit:
            async with exchange as answer:
                if first_bytes is None:
                    data, complete = await self._body(answer, exchange.request, most).whole(), True
                else:
                    data, complete = await self._body(answer, exchange.request, None).first(first_bytes)
            if limit.listener is not None:
                noted(f"{len(data)} bytes")
            timings = limit.timings() if isinstance(limit, Stopwatch) else None
        return response_of(answer, exchange.request, data, tuple(exchange.history), complete, timings)

    @contextlib.asynccontextmanager
    async def stream(
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
    ) -> AsyncIterator[ResponseStream]:
        """Send one request and read its answer piece by piece: `async with session.stream("GET", url) as response`.

        Args:
            method: as in `request`, and so are all that are not named here.
            url: see `request`.
            credentials: see `request`.
            params: see `request`.
            headers: see `request`.
            form: see `request`.
            json: see `request`.
            body: see `request`.
            parts: see `request`.
            max_bytes: the most that is read; None is no limit, for nothing is kept.
            max_redirects: see `request`.
            timeout: seconds for the whole block; None takes the session's, `math.inf` is no limit.

        Raises:
            NetError: as `request`; while the body is read, from the reading.

        Leaving the block before the end of the body aborts the connection.
        """
        content = checked_content(form, json, body, parts)
        exchange = self._exchange(method, url, credentials, params, headers, content, max_redirects)
        request = exchange.request
        seconds = self.timeout if timeout is None else timeout
        async with deadline(seconds, request.place.endpoint, request.method), exchange as answer:
            body_of = self._body(answer, exchange.request, max_bytes)
            head = response_of(answer, exchange.request, b"", tuple(exchange.history))
            yield ResponseStream(
                head.status, head.reason, head.headers, head.url, head.method, head.history, body_of.announced, body_of
            )

    async def aclose(self) -> None:
        """Abort what is under way and close every connection, within 2 seconds; idempotent.

        Calls under way elsewhere end by ClosedError.
        """
        self._closed = True
        if self._connector is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connector.close()
        await self._connector.settle()

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = f" {self.endpoint.redacted}" if self.endpoint is not None else ""
        return f"<{type(self).__module__}.{type(self).__name__}{where} {'closed' if self._closed else 'open'}>"

    def _exchange(
        self,
        method: str,
        url: str | Endpoint,
        credentials: Credentials | None,
        params: Fields | None,
        headers: Headers | None,
        content: Content | None,
        max_redirects: int | None,
    ) -> Exchange:
        if max_redirects is not None and max_redirects < 0:
            raise UsageError(f"max_redirects cannot be {max_redirects}")
        method = checked_method(method)
        where = located(self.endpoint, url, params)
        fields = self._fields(where, headers, content)
        credentials = self._credentials_for(where, credentials, fields)
        connector, jar = self._opened(where, method)
        return Exchange(
            connector,
            jar,
            Request(method, where, fields, content),
            max_redirects=self.limits.max_redirects if max_redirects is None else max_redirects,
            signer=None if credentials is None else Signer(credentials, self._digests),
            secret_fields=self._secret_fields,
        )

    def _located(self, url: str | Endpoint, params: Fields | None) -> Place:
        return located(self.endpoint, url, params)

    def _fields(self, where: Place, headers: Headers | None, content: Content | None) -> CIMultiDict[str]:
        is_zoned = "%" in where.endpoint.host
        if headers is None and content is None and not self._headers and not is_zoned:
            return self._headers
        fields = CIMultiDict(self._headers)
        if fields and self._base is not None and where.origin != self._base.origin:
            without(fields, self._secret_fields)
        if headers is not None:
            given = checked_headers(headers)
            for name in given:
                fields.popall(name, None)
            fields.extend(given)
            if "Range" in given:  # a part of something packed cannot be unpacked
                fields.setdefault("Accept-Encoding", "identity")
        if content is not None and content.media_type is not None:
            fields.setdefault("Content-Type", content.media_type)
        if is_zoned:  # RFC 6874 §4: which interface it is concerns this machine alone
            fields.setdefault("Host", f"[{server_name(where.endpoint)}]:{where.endpoint.port}")
        return fields

    def _check_login(self, endpoint: Endpoint, credentials: Credentials | None) -> None:
        allowed, proxied = self._allow_plaintext_login, self._proxy is not None
        check_login(endpoint, credentials, allow_plaintext_login=allowed, proxied=proxied)

    def _credentials_for(
        self, where: Place, credentials: Credentials | None, fields: CIMultiDict[str]
    ) -> Credentials | None:
        if credentials is None and self._base is not None and where.origin == self._base.origin:
            credentials = self.credentials
        if credentials is None and where.endpoint.username is None:
            return None
        self._check_login(where.endpoint, credentials)
        if credentials is not None and "Authorization" in fields:
            raise UsageError("credentials and an Authorization field: one of them", endpoint=where.endpoint)
        return credentials

    def _opened(self, where: Place, method: str) -> tuple[Connector, OriginJar]:
        if self._closed:
            raise ClosedError("the session is closed", endpoint=where.endpoint, operation=method)
        if self._connector is None or self._jar is None:
            self._connector = Connector(
                tls=self._tls,
                proxy=self._proxy_for,
                allow=is_public if self._public_only else None,
                unix_socket=self._unix_socket,
                limits=self.limits,
                max_connections=self._max_connections,
                max_connections_per_host=self._max_connections_per_host,
                keep_alive=self._keep_alive,
                places=self._places,
            )
            self._jar = OriginJar()
        return self._connector, self._jar

    def _proxy_for(self, endpoint: Endpoint) -> Proxy | None:
        if self._proxy is None and self._proxy_from_environment:
            return environment_proxy(endpoint, os.environ)
        return self._proxy

    def _body(self, answer: Answer, request: Request, most: int | None) -> Body:
        raw_allowed = "Accept-Encoding" in request.headers
        return Body(answer, request.place.endpoint, most, self.limits.max_ratio, raw_allowed)


session = Session
"""`http.session(...)` opens one, as in every wing."""


def _check_sizes(max_bytes: int, first_bytes: int | None) -> None:
    if max_bytes < 0 or (first_bytes is not None and not 0 <= first_bytes <= max_bytes):
        raise UsageError(f"first_bytes is 0 to max_bytes ({max_bytes}), not {first_bytes}")
