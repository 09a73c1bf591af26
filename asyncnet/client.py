"""Client: one policy over every protocol, and sessions that are kept warm; a service holds one for its life."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import ClosedError, NetError, UsageError
from asyncnet.http.limits import MAX_BYTES
from asyncnet.http.session import Session as HttpSession
from asyncnet.http.shared import SharedSession
from asyncnet.keys import CredentialsFor, Keys
from asyncnet.lending import Lender, Lent
from asyncnet.loans import Loans, Work, imap_messages, pop3_messages
from asyncnet.places import Places
from asyncnet.proxy import Proxy
from asyncnet.streams.connect import connect
from asyncnet.streams.connection import Connection
from asyncnet.streams.whole import read_to_end
from asyncnet.trace import Trace, noted, tracing
from asyncnet.web import Web

if TYPE_CHECKING:
    from asyncnet.smtp.mail import Source as MailSource
    from asyncnet.smtp.receipt import Receipt
    from asyncnet.smtp.session import Session as SmtpSession

T = TypeVar("T")

MAX_MESSAGES = 1000
MAX_TOTAL_BYTES = 256 * 1024 * 1024


class Client(Web):
    """One policy over all protocols, and warm sessions; closed by `aclose()` or `async with`.

    `get`, `post` and the other verbs, `request`, `stream`, `download`, `events` and `ndjson` are those of
    `http.Session`; `fetch` gives what is at any URL, `send` sends a message, `session` lends a session, and `connect`
    opens a plain connection. HTTP connections are kept, and so are IMAP and SMTP sessions, for the same place and user:
    one is asked whether it is still there if it was idle for some seconds, comes back tidied, and is dropped after a
    cancellation, a deadline or an error. POP3 opens one session for each use, for its maildrop is locked meanwhile.

    Args:
        timeout: seconds for each call, waiting for a place among the connections included; of `session` and `connect`
            for the opening and then for each call afresh. None is no limit.
        per_host: how many connections may be in use at once at one scheme, host and port; further calls wait.
        max_sessions: how many there may be in all, over all protocols; idle ones give way.
        tls: the context wherever a scheme asks for TLS; None verifies against the system's authorities.
        credentials: who signs in where: a mapping from hosts or URLs to Credentials, or a function that finds those for
            an Endpoint, such as `netrc_credentials` and `keyring_credentials`; see `Keys`. What a call is given goes
            before. None signs in nowhere.
        proxy: the way to everything, as in `Proxy.parse`.
        proxy_from_environment: for HTTP without `proxy`, take the one that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names.
        trace: hears of each step of each call; see `TraceEvent`.
        allow_plaintext_login: send secrets even where a listener could read them.
        keep_alive: seconds that an idle connection or session is kept.

    Raises:
        UsageError: a number below its least, or credentials without a place.

    Each Client belongs to one loop. `timeout` may be set anew, for the calls and sessions from then on.
    """

    def __init__(
        self,
        *,
        timeout: float | None = 30.0,
        per_host: int = 8,
        max_sessions: int = 100,
        tls: ssl.SSLContext | None = None,
        credentials: CredentialsFor | None = None,
        proxy: str | Proxy | None = None,
        proxy_from_environment: bool = True,
        trace: Trace | None = None,
        allow_plaintext_login: bool = False,
        keep_alive: float = 30.0,
    ) -> None:
        deadline(timeout)  # refuses what is no number of seconds
        self._tls = tls
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self._keys = None if credentials is None else Keys(credentials)
        self._trace = trace
        self._places = Places(max_sessions, per_host)
        self._lender = Lender(self._places, keep_alive)
        self._loans = Loans(self._lender, tls, self._proxy, allow_plaintext_login)
        self._http = HttpSession(
            tls=tls,
            timeout=timeout,
            proxy=self._proxy,
            proxy_from_environment=proxy_from_environment,
            allow_plaintext_login=allow_plaintext_login,
            max_connections=max_sessions,
            max_connections_per_host=per_host,
            keep_alive=keep_alive,
            places=self._places,
        )
        if self._keys is None and trace is None and type(self).request is Web.request:
            # No step between: this is where most calls pass.
            self.request = self._http.request  # type: ignore[method-assign]
        self._connections: set[Connection] = set()
        self._closed = False

    # Any protocol.

    async def fetch(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        max_messages: int = MAX_MESSAGES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
        timeout: float | None = None,
    ) -> Any:
        """Give what is at a URL.

        - `http`, `https`: the Response, after redirects, whatever its status.
        - `imap`, `pop3` and their secure forms: the messages of the mailbox, a list of Message; none is marked or
          deleted. An IMAP URL may name the mailbox, one message, or a search, as for `imap.fetch`.
        - `tcp`, `tls`, `unix`: the bytes that the peer sends until it ends; nothing is sent to it.

        Args:
            url: where.
            credentials: who signs in; None takes the Client's for this place.
            max_bytes: the longest body of http, and the most bytes of tcp.
            max_messages: the most messages of a mailbox.
            max_total_bytes: the most bytes that they may have together.
            timeout: seconds for all of it; None takes the Client's, `math.inf` is no limit.

        Raises:
            UsageError: a scheme that nothing is fetched from (smtp), or a secret that would travel in plaintext.
            LimitError: there is more; nothing is cut silently.
            NetError: as for `http.Session.get`, `imap.fetch`, `pop3.fetch` and `Connection.read`.
            ClosedError: the Client is closed.
        """
        where = Endpoint.parse(url)
        if where.protocol == "http":
            return await self.get(where, credentials, max_bytes=max_bytes, timeout=timeout)
        if where.protocol == "imap":
            messages = imap_messages(where, max_messages, max_total_bytes)
            return await self._over(where, credentials, "fetch", timeout, messages)
        if where.protocol == "pop3":
            messages = pop3_messages(max_messages, max_total_bytes)
            return await self._over(where, credentials, "fetch", timeout, messages)
        if where.protocol == "tcp":
            return await self._fetch_bytes(where, max_bytes, timeout)
        raise UsageError(f"nothing is fetched from {where.scheme}://", endpoint=where)

    async def send(
        self,
        message: MailSource,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        size: int | None = None,
        notify: str | Iterable[str] = (),
        ret: str | None = None,
        envid: str | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a message over a warm SMTP session, or a new one.

        Arguments, result and errors as in `smtp.send`; `timeout` is for all of it, None takes the Client's.

        A warm session that turns out to be gone before the last byte of the message was written is replaced once,
        unless the message is a stream; nothing else is ever tried again.
        """
        from asyncnet.smtp.mail import Mail

        where = Endpoint.parse(url)
        if where.protocol != "smtp":
            raise UsageError("a message is sent to smtp or lmtp", endpoint=where, operation="send")
        mail = Mail(message, sender, recipients, size, notify, ret, envid, orcpt, require_tls)
        mail.wishes(mail.envelope())
        used: list[SmtpSession] = []

        async def work(lent: Lent[SmtpSession]) -> Receipt:
            used.append(lent.session)
            receipt = await lent.session.send_mail(mail)
            lent.is_clean = True
            return receipt

        try:
            return await self._over(where, credentials, "send", timeout, work, may_repeat=not mail.is_stream)
        except NetError as error:
            if used:  # a deadline's error does not know yet how far the message had come
                used[-1].mark_outcome(error)
            raise

    @asynccontextmanager
    async def session(
        self, url: str | Endpoint, credentials: Credentials | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[Any]:
        """Lend a session of the URL's protocol: `async with client.session("imaps://mail.example.org") as mailbox`.

        Args:
            url: where; for HTTP, the base that relative URLs are relative to.
            credentials: who signs in; None takes the Client's for this place.
            timeout: seconds for getting the session, and then for each call afresh; None takes the Client's.

        Yields:
            An `imap.Session`, `smtp.Session`, `pop3.Session` or `http.Session`, for the length of the block alone.

        Raises:
            UsageError: a scheme without sessions (tcp; see `connect`).
            NetError: as the opening of the session.

        A block that ends well, or by a refusal, gives an IMAP or SMTP session back: a mailbox that is open is left, and
        nothing in it expunged (UNSELECT); a message that was begun is forgotten (RSET). After any other end it is
        dropped. A session on which an IMAP extension was enabled is closed, for there is no way back.
        """
        where = Endpoint.parse(url)
        seconds = self.timeout if timeout is None else timeout
        if where.protocol == "tcp":
            raise UsageError("connect() is for tcp, tls and unix; session() for what signs in", endpoint=where)
        with tracing(self._trace):
            async with AsyncExitStack() as stack:
                async with deadline(seconds, where, "open"):
                    self._check_open("open", where)
                    who = await self._credentials(where, credentials)
                    if where.protocol == "http":
                        session: Any = await stack.enter_async_context(SharedSession(self._http, where, who))
                    else:
                        session = (await stack.enter_async_context(self._loans.lend(where, who))).session
                    session.timeout = seconds
                yield session

    @asynccontextmanager
    async def connect(self, url: str | Endpoint, *, timeout: float | None = None) -> AsyncIterator[Connection]:
        """Open a plain connection, for the length of a block, as `asyncnet.connect`; it counts among the connections.

        Args:
            url: `tcp://host:port`, `tls://host:port` or `unix:///path`.
            timeout: seconds for a place and the opening together, and then for each read and write; None takes the
                Client's, `math.inf` is no limit.

        Raises:
            NetError: as `asyncnet.connect`.
        """
        where = Endpoint.parse(url)
        seconds = self.timeout if timeout is None else timeout
        with tracing(self._trace):
            async with AsyncExitStack() as stack:
                async with deadline(seconds, where, "connect"):
                    connection = await self._connected(stack, where, seconds)
                yield connection

    # The end.

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return not self._closed

    async def aclose(self) -> None:
        """Close every connection and session, within 2 seconds; idempotent.

        Calls under way elsewhere end by a ClosedError or a DisconnectedError, and lent sessions are closed.
        """
        self._closed = True
        self._places.close()
        for connection in list(self._connections):
            connection.abort()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._http.aclose())
            group.create_task(self._lender.aclose())

    async def __aenter__(self) -> Client:
        self._check_open("open")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.Client {'closed' if self._closed else 'open'}>"

    # How it is done.

    async def _fetch_bytes(self, where: Endpoint, max_bytes: int, timeout: float | None) -> bytes:
        seconds = self.timeout if timeout is None else timeout
        with tracing(self._trace):
            # Closed after the deadline, and in bounded time: what has come is not given up for a goodbye.
            async with AsyncExitStack() as stack, deadline(seconds, where, "fetch"):
                connection = await self._connected(stack, where, None)
                received = await read_to_end(connection, max_bytes)
                noted(f"{len(received)} bytes")
                return received

    async def _connected(self, stack: AsyncExitStack, where: Endpoint, timeout: float | None) -> Connection:
        """Open a connection that the stack closes."""
        opening = connect(
            where, tls=self._tls if where.security is Security.TLS else None, timeout=timeout, proxy=self._proxy
        )
        self._check_open("connect", where)
        await stack.enter_async_context(self._places.at(where.origin))
        await self._places.open()
        stack.callback(self._places.leave)
        self._check_open("connect", where)
        async with self._lender.opening():
            connection = await stack.enter_async_context(opening)
        self._connections.add(connection)
        stack.callback(self._connections.discard, connection)
        return connection

    async def _over(
        self,
        where: Endpoint,
        credentials: Credentials | None,
        operation: str,
        timeout: float | None,
        work: Work[T],
        *,
        may_repeat: bool = True,
    ) -> T:
        seconds = self.timeout if timeout is None else timeout
        with tracing(self._trace):
            async with AsyncExitStack() as stack, deadline(seconds, where, operation):
                self._check_open(operation, where)
                who = await self._credentials(where, credentials)
                return await self._loans.over(stack, where, who, work, may_repeat=may_repeat)

    def _check_open(self, operation: str, where: Endpoint | None = None) -> None:
        if self._closed:
            raise ClosedError("the client is closed", endpoint=where, operation=operation)
