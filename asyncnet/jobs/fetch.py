"""fetch: a URL becomes a Job. Of the jobs, this file alone knows the protocols."""

from __future__ import annotations

import contextlib
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Union

from asyncnet.credentials import Credentials, check_login
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import LimitError, UsageError, printable
from asyncnet.jobs.job import Job, Leaf, digest
from asyncnet.message import Message
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry

if TYPE_CHECKING:
    from asyncnet.http.request import Headers
    from asyncnet.http.response import Response
    from asyncnet.http.session import Session as HttpSession
    from asyncnet.jobs.crew import Crew
    from asyncnet.jobs.worker import Worker
    from asyncnet.streams.connection import Connection

MAX_BYTES = 64 * 1024 * 1024
MAX_MESSAGES = 1000
MAX_TOTAL_BYTES = 256 * 1024 * 1024

FETCHED = ("http", "imap", "pop3", "tcp")
"""the protocols of which something can be fetched"""

SECRET_FIELDS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"})
"""header fields (lower case) that go to no other origin by a redirect, and to no other machine in a lease"""


class Fetcher(Protocol):
    """What fetches by a policy of its own: its TLS, proxy, limits and warm sessions in place of each job's.

    To take `post`, `send` and `exchange` jobs, too, it has `post(url, credentials, *, headers, form, json, body)`,
    `send(message, url, credentials, *, sender, recipients)` and `connect(url)`, as asyncnet.Client has them; to take
    fetches with `headers`, `get(url, credentials, *, headers)`.
    """

    async def fetch(self, endpoint: Endpoint, credentials: Credentials | None = None, /) -> Any:
        """Give what is at `endpoint`."""


Client = Union[Fetcher, "HttpSession"]
"""what `client=` takes; an http.Session is used for http alone"""


def fetch(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    headers: Headers | None = None,
    timeout: float | None = 30.0,
    retry: Retry | None = None,
    name: str | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
    max_bytes: int = MAX_BYTES,
    max_messages: int = MAX_MESSAGES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> Job[Any]:
    """Make a job of a URL, whose scheme tells what it gives.

    - `http`, `https`: the Response, after redirects. A status of 400 or more is its failure, a StatusError.
    - `imap`, `pop3` and their secure forms: the messages of the mailbox, a list of Message; none is marked or deleted.
    - `tcp`, `tls`, `unix`: the bytes that the peer sends until it ends; nothing is sent to it.

    Args:
        url: where.
        credentials: who signs in there.
        headers: fields of an http request, such as Accept. They are a part of the job's key, as a hash: with another
            token in them it is another job, unless it has a `name`. Authorization, Cookie, Proxy-Authorization,
            X-Api-Key and X-Auth-Token go to no other origin by a redirect, and to no other machine of a cluster.
        timeout: seconds for each attempt, from the lookup to the last byte; None is no limit.
        retry: when to try again after a transient failure; None never does.
        name: what its outcome is called; None takes the URL.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        max_bytes: the longest body of http, and the most bytes of tcp; more is a LimitError.
        max_messages: the most messages of a mailbox; more is a LimitError.
        max_total_bytes: the most bytes that they may have together.

    Raises:
        InvalidEndpoint: not a URL, or a password in it.
        UsageError: a scheme that nothing is fetched from (smtp), headers where none are sent or that are no text,
            credentials that contradict the URL or would travel in plaintext, or a negative number.

    The http jobs of a run share connections and cookies: one session for the whole run.
    """
    endpoint = Endpoint.parse(url)
    if endpoint.protocol not in FETCHED:
        raise UsageError(f"nothing is fetched from {endpoint.scheme}://", endpoint=endpoint)
    if credentials is not None or endpoint.username is not None:
        check_login(endpoint, credentials, allow_plaintext_login=allow_plaintext_login, proxied=proxy is not None)
    if max_bytes < 0 or max_messages < 0 or max_total_bytes < 0:
        raise UsageError("a limit is at least 0", endpoint=endpoint)
    if timeout is not None and not timeout >= 0:
        deadline(timeout, endpoint)  # refuses what is no number of seconds
    job = _Fetch(
        name,
        endpoint,
        credentials,
        timeout,
        tls,
        None if proxy is None else Proxy.parse(proxy),
        allow_plaintext_login,
        (max_bytes, max_messages, max_total_bytes),
        () if headers is None else _fields(headers, endpoint),
    )
    return job if retry is None else job.retry(retry)


def _fields(headers: Headers, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """Give the fields of a request, which may be sent more than once."""
    if endpoint.protocol != "http":
        raise UsageError(f"{endpoint.scheme}:// has no header fields", endpoint=endpoint)
    fields = []
    for field in headers.items() if isinstance(headers, Mapping) else headers:
        match field:
            case (str(name), str(value)):
                fields.append((name, value))
            case _:  # not shown: it may be a secret
                raise UsageError("a header field is a name and a value, both str", endpoint=endpoint)
    return tuple(fields)


def shown(url: str | Endpoint) -> str:
    """Name a URL that cannot be used, without what might be a password in it."""
    text = printable(str(url))
    scheme, separator, rest = text.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if separator and "@" in rest else text


def identity(
    verb: str, endpoint: Endpoint, credentials: Credentials | None = None, *content: str | bytes | None
) -> str:
    """Make the key of a leaf: what it does, and where; query, user and content as a hash, if there are any."""
    user = "" if credentials is None or credentials.username == endpoint.username else credentials.username
    told = [endpoint.query, user, *(part for part in content if part is not None)]
    return f"{verb} {endpoint.redacted} #{digest(*told)}" if any(told) else f"{verb} {endpoint}"


class _Fetch(Leaf[Any]):
    __slots__ = ("_allow", "_credentials", "_endpoint", "_limits", "_proxy", "_timeout", "_tls", "headers")

    def __init__(
        self,
        name: str | None,
        endpoint: Endpoint,
        credentials: Credentials | None,
        timeout: float | None,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
        allow_plaintext_login: bool,
        limits: tuple[int, int, int],
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        # Not by super(): in a run of a million URLs each is made into one of these.
        self._key = name
        self.name = name or str(endpoint)
        self.host = endpoint.host or endpoint.path
        self._endpoint = endpoint
        self._credentials = credentials
        self._timeout = timeout
        self._tls = tls
        self._proxy = proxy
        self._allow = allow_plaintext_login
        self._limits = limits
        self.headers = headers

    @property
    def _shown(self) -> str:
        return self._endpoint.redacted

    def _identity(self) -> str:
        if self._endpoint.protocol != "http":
            return identity("FETCH", self._endpoint, self._credentials)
        fields = sorted((name.lower(), value) for name, value in self.headers)
        told = digest(*(part for field in fields for part in field)) if fields else None
        return identity("GET", self._endpoint, self._credentials, told)

    def _perform(self, worker: Worker) -> Awaitable[Any]:
        client = worker.crew.client
        if client is not None and hasattr(client, "fetch"):
            return self._by_client(worker, client)
        if self._endpoint.protocol == "http":
            return self._page(worker, client or worker.crew.shared(Sessions).get(self._tls, self._proxy, self._allow))
        return self._other(worker)

    async def _by_client(self, worker: Worker, client: Fetcher) -> Any:
        async with deadline(self._timeout, self._endpoint, "fetch"):
            if self.headers:
                value = await self._page_by(client)
            else:
                value = await client.fetch(self._endpoint, self._credentials)
        worker.received += _weight(value)
        if self._endpoint.protocol == "http":
            value.raise_for_status()
        return value

    def _page_by(self, client: Any) -> Awaitable[Response]:
        if not hasattr(client, "get"):
            raise UsageError("the client of this run has no get(), which takes headers", endpoint=self._endpoint)
        return client.get(self._endpoint, self._credentials, headers=self.headers)  # type: ignore[no-any-return]

    async def _page(self, worker: Worker, session: HttpSession) -> Response:
        value = await session.request(
            "GET",
            self._endpoint,
            self._credentials,
            headers=self.headers or None,
            max_bytes=self._limits[0],
            timeout=math.inf if self._timeout is None else self._timeout,
        )
        worker.received += len(value.body)
        return value.raise_for_status()

    async def _other(self, worker: Worker) -> Any:
        protocol = self._endpoint.protocol
        value = await (self._bytes() if protocol == "tcp" else self._messages(protocol))
        worker.received += _weight(value)
        return value

    async def _messages(self, protocol: str) -> list[Message]:
        fetch_mail: Callable[..., Awaitable[list[Message]]]
        if protocol == "pop3":
            from asyncnet.pop3.oneshot import fetch as fetch_mail
        else:
            from asyncnet.imap.oneshot import fetch as fetch_mail
        return await fetch_mail(
            self._endpoint,
            self._credentials,
            max_messages=self._limits[1],
            max_total_bytes=self._limits[2],
            tls=self._tls,
            timeout=self._timeout,
            proxy=self._proxy,
            allow_plaintext_login=self._allow,
        )

    async def _bytes(self) -> bytes:
        from asyncnet.streams.connect import connect

        # Closed after the deadline, and in bounded time: what has come is not given up for a goodbye.
        async with contextlib.AsyncExitStack() as stack, deadline(self._timeout, self._endpoint, "fetch"):
            opening = connect(self._endpoint, tls=self._tls, timeout=None, proxy=self._proxy)
            connection = await stack.enter_async_context(opening)
            return await read_to_end(connection, self._limits[0], self._endpoint, "fetch")


def _weight(value: object) -> int:
    """Count the bytes of what was fetched; a client may have given anything."""
    if isinstance(value, list):
        return sum(len(message.raw) for message in value if isinstance(message, Message))
    body = getattr(value, "body", value)
    return len(body) if isinstance(body, bytes) else 0


async def read_to_end(connection: Connection, most: int, endpoint: Endpoint, operation: str) -> bytes:
    """Give what a peer sends until it ends.

    Raises:
        LimitError: that is more than `most` bytes.
        DisconnectedError: the connection broke.
    """
    received = bytearray()
    while chunk := await connection.read():
        received += chunk
        if len(received) > most:
            raise LimitError(f"more than {most} bytes", limit=most, endpoint=endpoint, operation=operation)
    return bytes(received)


class Sessions:
    """The http sessions of one run: one, unless its jobs differ in TLS, proxy or what they allow."""

    def __init__(self, crew: Crew) -> None:
        self._limit = crew.limit
        self._sessions: dict[tuple[ssl.SSLContext | None, Proxy | None, bool], HttpSession] = {}

    def get(self, tls: ssl.SSLContext | None, proxy: Proxy | None, allow_plaintext_login: bool) -> HttpSession:
        """Give the session for this way."""
        key = (tls, proxy, allow_plaintext_login)
        if key not in self._sessions:
            from asyncnet.http.session import Session

            # As many connections as slots: the run is the only gate.
            self._sessions[key] = Session(
                secret_headers=SECRET_FIELDS,
                tls=tls,
                proxy=proxy,
                allow_plaintext_login=allow_plaintext_login,
                max_connections=self._limit,
            )
        return self._sessions[key]

    async def aclose(self) -> None:
        """Close them."""
        for session in self._sessions.values():
            await session.aclose()
