"""post, send, exchange: jobs that give something to a peer, and so must not be done twice unawares.

After a failure that leaves open whether the peer has it, the error says so (`outcome_unknown`) and is not transient: no
retry follows. Where doing it twice does no harm, for the peer knows the second by its key, the caller says so, and it
is tried again like a fetch.
"""

from __future__ import annotations

import contextlib
import json as json_
import math
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, TypeVar

from asyncnet.credentials import Credentials, check_login
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ConnectError, NetError, StatusError, UsageError
from asyncnet.jobs.fetch import MAX_BYTES, Sessions, identity, read_to_end
from asyncnet.jobs.job import Job, Leaf
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry

if TYPE_CHECKING:
    from asyncnet.http.request import Fields, Headers
    from asyncnet.http.response import Response
    from asyncnet.jobs.worker import Worker
    from asyncnet.smtp.receipt import Receipt
    from asyncnet.streams.connection import Connection

T = TypeVar("T")


def post(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    form: Fields | None = None,
    json: Any = None,
    body: str | bytes | None = None,
    headers: Headers | None = None,
    idempotency_key: str | None = None,
    timeout: float | None = 30.0,
    retry: Retry | None = None,
    name: str | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Job[Response]:
    """Make a job of a POST; its value is the Response, and a status of 400 or more its failure, a StatusError.

    Args:
        url: where, `http` or `https`.
        credentials: who signs in there.
        form: fields sent as `application/x-www-form-urlencoded`; exactly one of `form`, `json` and `body` is given.
        json: a value sent as JSON.
        body: bytes, or text sent as UTF-8.
        headers: fields of the request.
        idempotency_key: sent as Idempotency-Key: the server does once what it is asked with one key, however often.
            None sends none, and then the request is not sent again once it may have been received. It is after a
            ConnectError, and after a transient status below 500 (429, 408, 425): that says that nothing was done.
        timeout: seconds for each attempt; None is no limit.
        retry: when to try again after a transient failure; None never does.
        name: what its outcome is called; None takes the URL.
        tls: the context to use for https; None verifies against the system's authorities.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        max_bytes: the longest body of the answer; more is a LimitError.

    Raises:
        InvalidEndpoint: not a URL, or a password in it.
        UsageError: no http, no body or more than one, credentials that contradict the URL or would travel in plaintext,
            or a negative number.
    """
    endpoint = _checked("http", url, credentials, timeout, proxy, allow_plaintext_login)
    if sum(part is not None for part in (form, json, body)) != 1:
        raise UsageError("a POST takes exactly one of form, json and body", endpoint=endpoint)
    if max_bytes < 0:
        raise UsageError("a limit is at least 0", endpoint=endpoint)
    job = _Post(name, endpoint, credentials, timeout, tls, proxy, allow_plaintext_login)
    job.content = (None if form is None else _pairs(form), json, body)  # it may be sent more than once
    job.headers = _pairs(headers or ())
    job.once = idempotency_key
    job.max_bytes = max_bytes
    return job if retry is None else job.retry(retry)


def send(
    message: EmailMessage | bytes | str,
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    sender: str | None = None,
    recipients: str | Iterable[str] | None = None,
    timeout: float | None = 30.0,
    retry: Retry | None = None,
    name: str | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Job[Receipt]:
    """Make a job of a mail: its value is the Receipt, as of `smtp.send`.

    Args:
        message: an EmailMessage, or a whole message as bytes or text.
        url: where, `smtp+starttls://mail.example.org`, or `lmtp`.
        credentials: who signs in there.
        sender: the bare address that bounces go to; None takes it from an EmailMessage.
        recipients: bare addresses, or one; None takes them from an EmailMessage.
        timeout: seconds for each attempt; None is no limit.
        retry: when to try again after a transient failure (a refusal with 4xx, a host that is not reached); None never
            does. A message that may have been accepted is not sent again.
        name: what its outcome is called; None takes the URL.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Raises:
        InvalidEndpoint: not a URL, or a password in it.
        UsageError: no smtp, credentials that contradict the URL or would travel in plaintext, or a negative number.
            What is wrong with the message itself is the failure of the job.
    """
    endpoint = _checked("smtp", url, credentials, timeout, proxy, allow_plaintext_login)
    job = _Send(name, endpoint, credentials, timeout, tls, proxy, allow_plaintext_login)
    job.message = message
    job.sender = sender
    job.recipients = recipients if recipients is None or isinstance(recipients, str) else tuple(recipients)
    return job if retry is None else job.retry(retry)


def exchange(
    url: str | Endpoint,
    payload: bytes,
    *,
    until: bytes | None = None,
    repeatable: bool = False,
    max_bytes: int = MAX_BYTES,
    timeout: float | None = 30.0,
    retry: Retry | None = None,
    name: str | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | Proxy | None = None,
) -> Job[bytes]:
    """Make a job of one question and its answer on a socket: connect, write `payload`, read, close.

    Args:
        url: where, `tcp`, `tls` or `unix`.
        payload: what is written.
        until: what the answer ends with; it is part of the value. None reads until the peer ends, and tells it first
            that nothing more is written (but not over TLS, which has no such half).
        repeatable: whether it may be sent again after a failure that leaves open whether the peer had it.
        max_bytes: the longest answer; more is a LimitError.
        timeout: seconds for each attempt; None is no limit.
        retry: when to try again after a transient failure; None never does.
        name: what its outcome is called; None takes the URL.
        tls: the context to use for `tls`; None verifies against the system's authorities.
        proxy: the way there; None goes directly.

    Raises:
        InvalidEndpoint: not a URL.
        UsageError: no socket, an empty `until`, or a negative number.
    """
    endpoint = _checked("tcp", url, None, timeout, proxy, False)
    if max_bytes < 0 or until == b"":
        raise UsageError("a limit is at least 0, and an end has at least one byte", endpoint=endpoint)
    job = _Exchange(name, endpoint, None, timeout, tls, proxy, False)
    job.payload, job.until, job.repeatable, job.max_bytes = bytes(payload), until, repeatable, max_bytes
    return job if retry is None else job.retry(retry)


def _pairs(fields: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple(fields.items() if isinstance(fields, Mapping) else fields)


def _checked(
    protocol: str,
    url: str | Endpoint,
    credentials: Credentials | None,
    timeout: float | None,
    proxy: str | Proxy | None,
    allow_plaintext_login: bool,
) -> Endpoint:
    endpoint = Endpoint.parse(url)
    if endpoint.protocol != protocol:
        raise UsageError(f"{endpoint.scheme}:// speaks no {protocol}", endpoint=endpoint)
    check_login(endpoint, credentials, allow_plaintext_login=allow_plaintext_login, proxied=proxy is not None)
    deadline(timeout, endpoint)  # refuses what is no number of seconds
    return endpoint


class _Delivery(Leaf[T]):
    """What the three have in common."""

    __slots__ = ("_allow", "_credentials", "_endpoint", "_proxy", "_timeout", "_tls")

    def __init__(
        self,
        name: str | None,
        endpoint: Endpoint,
        credentials: Credentials | None,
        timeout: float | None,
        tls: ssl.SSLContext | None,
        proxy: str | Proxy | None,
        allow_plaintext_login: bool,
    ) -> None:
        super().__init__(name or str(endpoint), endpoint.host or endpoint.path, name)
        self._endpoint = endpoint
        self._credentials = credentials
        self._timeout = timeout
        self._tls = tls
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self._allow = allow_plaintext_login

    @property
    def _shown(self) -> str:
        return self._endpoint.redacted

    def _method(self, worker: Worker, verb: str) -> Callable[..., Any] | None:
        """Give the method of the run's client that does this, or None if there is no such client."""
        client = worker.crew.client
        method: Callable[..., Any] | None = getattr(client, verb, None)
        if method is None and hasattr(client, "fetch"):  # not to be done by another policy than its own
            raise UsageError(f"the client of this run has no {verb}()", endpoint=self._endpoint)
        return method


class _Post(_Delivery["Response"]):
    __slots__ = ("content", "headers", "max_bytes", "once")

    content: tuple[Any, Any, str | bytes | None]
    headers: tuple[tuple[str, str], ...]
    once: str | None
    max_bytes: int

    def _identity(self) -> str:
        form, json, body = self.content
        sent = repr(form) if form is not None else _told(json) if body is None else body
        return identity("POST", self._endpoint, self._credentials, sent, self.once)

    async def _perform(self, worker: Worker) -> Response:
        form, json, body = self.content
        headers = self.headers
        if self.once is None:
            worker.commit()
        else:
            headers = (*headers, ("Idempotency-Key", self.once))
        content = {"form": form, "json": json, "body": body}
        try:
            async with deadline(self._timeout, self._endpoint, "POST"):
                value = await self._sent(worker, headers=headers, **content)
            worker.sent += len(body or "")
            worker.received += len(value.body)
            value.raise_for_status()
        except NetError as error:
            if self.once is None and error.transient and not _is_harmless(error):
                _mark_unknown(error)
            raise
        return value

    def _sent(self, worker: Worker, **content: Any) -> Awaitable[Response]:
        by_client = self._method(worker, "post")
        if by_client is not None:
            return by_client(self._endpoint, self._credentials, **content)  # type: ignore[no-any-return]
        session = worker.crew.shared(Sessions).get(self._tls, self._proxy, self._allow)
        return session.post(self._endpoint, self._credentials, max_bytes=self.max_bytes, timeout=math.inf, **content)


class _Send(_Delivery["Receipt"]):
    __slots__ = ("message", "recipients", "sender")

    message: EmailMessage | bytes | str
    sender: str | None
    recipients: str | tuple[str, ...] | None

    def _identity(self) -> str:
        to = self.recipients if isinstance(self.recipients, str) else " ".join(self.recipients or ())
        message = _raw(self.message) if isinstance(self.message, EmailMessage) else self.message
        return identity("SEND", self._endpoint, self._credentials, message, self.sender or "", to)

    async def _perform(self, worker: Worker) -> Receipt:
        worker.commit()
        by_client = self._method(worker, "send")
        who = {"sender": self.sender, "recipients": self.recipients}
        if by_client is not None:
            async with deadline(self._timeout, self._endpoint, "send"):
                return await by_client(self.message, self._endpoint, self._credentials, **who)  # type: ignore[no-any-return]
        from asyncnet.smtp.oneshot import send as send_mail

        return await send_mail(
            self.message,
            self._endpoint,
            self._credentials,
            sender=self.sender,
            recipients=self.recipients,
            tls=self._tls,
            timeout=self._timeout,
            proxy=self._proxy,
            allow_plaintext_login=self._allow,
        )


class _Exchange(_Delivery[bytes]):
    __slots__ = ("max_bytes", "payload", "repeatable", "until")

    payload: bytes
    until: bytes | None
    repeatable: bool
    max_bytes: int

    def _identity(self) -> str:
        return identity("EXCHANGE", self._endpoint, None, self.payload)

    async def _perform(self, worker: Worker) -> bytes:
        from asyncnet.streams.connect import connect

        if not self.repeatable:
            worker.commit()
        by_client = self._method(worker, "connect")
        begun = False
        # Closed after the deadline, and in bounded time: an answer is not given up for a goodbye.
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with deadline(self._timeout, self._endpoint, "exchange"):
                    if by_client is not None:
                        connection = await stack.enter_async_context(by_client(self._endpoint))
                    else:
                        opening = connect(self._endpoint, tls=self._tls, timeout=None, proxy=self._proxy)
                        connection = await stack.enter_async_context(opening)
                    begun = True
                    await connection.write(self.payload)
                    worker.sent += len(self.payload)
                    answer = await self._answer(connection)
            except NetError as error:
                if begun and error.transient and not self.repeatable:
                    _mark_unknown(error)
                raise
            worker.received += len(answer)
        return answer

    async def _answer(self, connection: Connection) -> bytes:
        if self.until is not None:
            return await connection.read_until(self.until, max_bytes=self.max_bytes)
        if self._endpoint.security is not Security.TLS:
            await connection.write_eof()
        return await read_to_end(connection, self.max_bytes, self._endpoint, "exchange")


def _told(json: Any) -> str:
    try:
        return json_.dumps(json, sort_keys=True)
    except (TypeError, ValueError, RecursionError):  # names of several types; or no JSON, which is for the job to say
        return repr(json)


def _raw(message: EmailMessage) -> bytes | str:
    try:
        return message.as_bytes()
    except Exception:  # a message that cannot be written, which is for the job to say; `email` raises anything
        return repr(message.items())


def _is_harmless(error: NetError) -> bool:
    """Whether it shows that the peer has done nothing."""
    return isinstance(error, ConnectError) or (
        isinstance(error, StatusError) and isinstance(error.code, int) and error.code < 500
    )


def _mark_unknown(error: NetError) -> None:
    error.args = (f"{error.message}; it may have been done nevertheless, so it is not done again",)
    error.transient = False
    error.outcome_unknown = True
