"""check(): is this endpoint well? One look at one place, step by step, that changes nothing there."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asyncnet.credentials import Credentials
from asyncnet.deadline import Deadline, deadline
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import NetError, RefusedError, UsageError, printable
from asyncnet.proxy import Proxy
from asyncnet.streams.connect import connect
from asyncnet.streams.tls_info import TLSInfo, tls_info
from asyncnet.tls import Handshake
from asyncnet.trace import heard_by, noted

_STEPS = {
    "TLS handshake": "tls",
    "STLS": "starttls",
    "STARTTLS": "starttls",
    "EHLO": "capabilities",
    "LHLO": "capabilities",
    "CAPABILITY": "capabilities",
    "CAPA": "capabilities",
    "AUTH": "login",
    "HEAD": "request",
    "GET": "request",
}
"""what a protocol waits for -> the step that it is; what is not named here is a step of that name"""
_WITHIN = frozenset({"waiting for a connection", "waiting for the answer", "reading the body"})
"""no steps, but parts of one"""
_MAX_DETAIL = 200
_DAY = 86_400.0


class Step(NamedTuple):
    """A part of a check.

    Args:
        name: `resolve`, `connect`, `proxy`, `tls`, `greeting`, `starttls`, `capabilities`, `login` or `request`; a
            check goes through those that its scheme needs, and after STARTTLS asks for the capabilities once more.
        seconds: how long it took.
        detail: what came of it, bounded and printable: an address, the TLS version, the greeting, the mechanism, the
            status.
    """

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found.

    Args:
        endpoint: where, as a URL without its query.
        steps: what was done, in order; where there is an error, the last one is the step that failed.
        seconds: how long all of it took, without the goodbye.
        error: why it is not well, or None.
        tls: what the handshake agreed on, with the certificate; None without TLS, or where it failed.
        capabilities: what a mail server says it can do, after TLS and login, sorted; empty for others.
    """

    endpoint: str
    steps: tuple[Step, ...]
    seconds: float
    error: NetError | None = None
    tls: TLSInfo | None = None
    capabilities: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all steps went well."""
        return self.error is None

    @property
    def failed(self) -> str | None:
        """The step that failed, or None."""
        return self.steps[-1].name if self.error is not None and self.steps else None

    @property
    def greeting(self) -> str:
        """What the server said first; of HTTP the status: `200 OK`."""
        return next((step.detail for step in reversed(self.steps) if step.name in ("greeting", "request")), "")

    @property
    def expires(self) -> datetime | None:
        """When the certificate ends; None without one, or where nobody verified it (a context of the caller's)."""
        found = self.tls.certificate if self.tls is not None else None
        end = found.get("notAfter") if found else None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None

    @property
    def days_left(self) -> float | None:
        """How many days from now that is; None as for `expires`."""
        return (self.expires.timestamp() - time.time()) / _DAY if self.expires is not None else None

    @property
    def subject(self) -> str:
        """Whom the certificate names, its common name or else its first alternative name; empty without one."""
        found = self.tls.certificate if self.tls is not None else None
        return _name(found, "subject") if found else ""

    @property
    def issuer(self) -> str:
        """Who signed it: the organization, or else the common name; empty without one."""
        found = self.tls.certificate if self.tls is not None else None
        return _name(found, "issuer") if found else ""


async def check(
    url: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 10.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Health:
    """Look whether an endpoint is well: its name, its port, its TLS and certificate, its greeting, and a login.

    A check is no use of the service. Mail servers are greeted, asked what they can do, and left; no mailbox is opened,
    no maildrop locked (unless by a login), no mail begun. HTTP is asked by HEAD, or by GET for the first byte where
    that is refused; no redirect is followed, for this is about one place. A socket is opened and closed, and nothing
    is sent over it.

    Args:
        url: of any scheme. A user in it matters only where there are credentials.
        credentials: sign in as well; POP3 locks the maildrop meanwhile.
        tls: the context where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit. A goodbye may take 2 more.
        proxy: the way there, as in `Proxy.parse`; without one, HTTP takes what the environment names.
        allow_plaintext_login: send the secret even where a listener could read it.

    Returns:
        A value, also where the endpoint is not well: `.ok`, `.error` (any NetError: ConnectError, TLSError,
        DeadlineError, RefusedError..., a StatusError for an HTTP status of 400 or more), `.steps`.

    Raises:
        UsageError: the call itself is wrong: no such scheme, or a secret that would travel in plaintext.

    Cancelled, it leaves no connection behind.
    """
    where = Endpoint.parse(url)
    if credentials is None and where.username is not None:
        where = replace(where, username=None)
    way = _Way(where, credentials, tls, None if proxy is None else Proxy.parse(proxy), allow_plaintext_login)
    ear = _Ear()
    capabilities: tuple[str, ...] = ()
    error: NetError | None = None
    try:
        async with AsyncExitStack() as stack:
            with heard_by(ear):
                async with deadline(timeout, where, "check"):
                    capabilities = await _TALKS[where.protocol](stack, way)
            ear.end_step()
    except UsageError:
        raise
    except NetError as failure:
        ear.end_step()
        error = failure
    return Health(where.redacted, tuple(ear.steps), ear.seconds, error, ear.tls, capabilities)


class _Way(NamedTuple):
    """Where to, and how."""

    where: Endpoint
    credentials: Credentials | None
    tls: ssl.SSLContext | None
    proxy: Proxy | None
    allow_plaintext_login: bool

    async def opened(self, stack: AsyncExitStack, kind: Callable[..., Any]) -> Any:
        """Open a mail session, which the stack closes."""
        return await stack.enter_async_context(
            kind(
                replace(self.where, path="", query=""),
                self.credentials,
                tls=self.tls,
                timeout=None,
                proxy=self.proxy,
                allow_plaintext_login=self.allow_plaintext_login,
            )
        )


# How each protocol is looked at; each gives the server's capabilities.


async def _socket(stack: AsyncExitStack, way: _Way) -> tuple[str, ...]:
    if way.credentials is not None:
        raise UsageError("nobody signs in at a socket", endpoint=way.where)
    context = way.tls if way.where.security is Security.TLS else None
    await stack.enter_async_context(connect(way.where, tls=context, timeout=None, proxy=way.proxy))
    return ()


async def _http(stack: AsyncExitStack, way: _Way) -> tuple[str, ...]:
    from asyncnet.http.session import Session

    session = await stack.enter_async_context(
        Session(tls=way.tls, timeout=None, proxy=way.proxy, allow_plaintext_login=way.allow_plaintext_login)
    )
    for method, first_bytes in (("HEAD", None), ("GET", 1)):
        answer = await session.request(method, way.where, way.credentials, max_redirects=0, first_bytes=first_bytes)
        noted(f"{answer.status} {answer.reason}".strip())
        if answer.ok:
            break
    answer.raise_for_status()
    return ()


async def _imap(stack: AsyncExitStack, way: _Way) -> tuple[str, ...]:
    from asyncnet.imap.session import Session

    mailbox = await way.opened(stack, Session)
    return tuple(sorted(mailbox.capabilities))


async def _pop3(stack: AsyncExitStack, way: _Way) -> tuple[str, ...]:
    from asyncnet.pop3.session import Session

    maildrop = await way.opened(stack, Session)
    try:
        offered = await maildrop.capabilities()
    except RefusedError:  # it is of before RFC 2449, and well
        return ()
    return tuple(sorted(" ".join((name, *words)) for name, words in offered.items()))


async def _smtp(stack: AsyncExitStack, way: _Way) -> tuple[str, ...]:
    from asyncnet.smtp.session import Session

    outgoing = await way.opened(stack, Session)
    return tuple(sorted(f"{name} {words}".strip() for name, words in outgoing.extensions.items()))


_TALKS: dict[str, Callable[[AsyncExitStack, _Way], Awaitable[tuple[str, ...]]]] = {
    "tcp": _socket,
    "http": _http,
    "imap": _imap,
    "pop3": _pop3,
    "smtp": _smtp,
}


class _Ear:
    """Listens to what the sessions wait for, and makes steps of it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.tls: TLSInfo | None = None
        self._began = self._since = time.monotonic()
        self._name: str | None = None
        self._detail = ""

    @property
    def seconds(self) -> float:
        """From the beginning to the end of the last step."""
        return self._since - self._began

    def enter(self, limit: Deadline) -> _Ear:
        return self

    def leave(self, limit: Deadline, error: BaseException | None) -> None:
        pass

    def phase(self, name: str) -> None:
        if name not in _WITHIN:
            self.end_step()
            self._name = _STEPS.get(name, name)

    def asked(self, operation: str) -> None:
        self.phase(operation)

    def answered(self, detail: object) -> None:
        pass

    def noted(self, detail: object) -> None:
        if isinstance(detail, Handshake):
            self.tls = tls_info(detail.tls)
        self._detail = printable(str(detail), max_characters=_MAX_DETAIL)

    def end_step(self) -> None:
        """End the step that is going on."""
        now = time.monotonic()
        if self._name is not None:
            self.steps.append(Step(self._name, now - self._since, self._detail))
        self._name, self._detail, self._since = None, "", now


def _name(certificate: dict[str, Any], whose: str) -> str:
    """Give the one name that tells most; `certificate` is as `ssl.SSLSocket.getpeercert()` gives it."""
    fields = {key: value for group in certificate.get(whose, ()) for key, value in group}
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    known = fields.get("commonName")
    if whose == "issuer":
        known = fields.get("organizationName") or known
    elif known is None and names:
        known = names[0]
    return printable(known or fields.get("organizationName") or "")
