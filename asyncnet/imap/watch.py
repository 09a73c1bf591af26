"""watch(): every message that arrives in a mailbox, told once, whatever happens to the connection.

What was told is known by one number: UIDs only grow, so all below UIDNEXT as it was are old and all from there on are
new. Whenever a session begins anew, or the server says that the mailbox has grown, the server is asked for those. IDLE
only saves the waiting; nothing depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AuthenticationError,
    DisconnectedError,
    LimitError,
    NetError,
    ProtocolError,
    RefusedError,
    UsageError,
)
from asyncnet.imap.delivery import HEADER_BYTES, MAX_SIZE, Delivery
from asyncnet.imap.idling import News
from asyncnet.imap.place import Place
from asyncnet.imap.response import Exists
from asyncnet.imap.session import Session
from asyncnet.imap.uid_set import MAX_UID
from asyncnet.message import Message
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry

_log = logging.getLogger(__name__)

_FOR_EVER = Retry(attempts=2**31, first_delay=0.5, max_delay=60.0)

_MAX_BROKEN = 3
"""How often in a row a server may break the protocol, or refuse a login that it accepted, until that is no accident."""

_STATE = re.compile(r"([1-9]\d{0,9}):([1-9]\d{0,9})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class WatchState:
    """How far a watch has come; `str(state)` and `WatchState.parse` carry it over a restart.

    Args:
        uidvalidity: of the mailbox; while it stays the same, a UID names the same message.
        uidnext: all messages below this UID have been told.
    """

    uidvalidity: int
    uidnext: int

    @classmethod
    def parse(cls, text: str) -> WatchState:
        """Read what `str()` wrote.

        Raises:
            UsageError: something else.
        """
        match = _STATE.fullmatch(text)
        if match is None or max(int(match[1]), int(match[2]) - 1) > MAX_UID:
            raise UsageError(f"not the state of a watch: {text[:40]!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """Give it as a short text without blanks."""
        return f"{self.uidvalidity}:{self.uidnext}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that arrived.

    Args:
        message: it, or its header only.
        state: what to hand to the next `watch` once this message has been dealt with.
    """

    message: Message
    state: WatchState


class Watch:
    """Messages as they arrive: `async for arrival in imap.watch(...)`; made by `watch()`.

    Leaving the loop and dropping the Watch ends it; `async with` or `aclose()` does so at once.
    """

    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher
        self._arrivals = watcher.arrivals()
        self._scope: asyncio.Timeout | None = None
        self._returned = asyncio.Event()
        self._is_closed = False

    @property
    def state(self) -> WatchState | None:
        """How far it has come; None until the mailbox was opened, where no state was handed in."""
        return self._watcher.state

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Arrival:
        """Wait for the next message.

        Raises:
            NetError: what waiting does not heal; see `watch`.
            StopAsyncIteration: it was closed.

        Cancelled, it ends the connection; a message that was not handed out is told by the next call, or by the next
        watch from the same state.
        """
        if self._is_closed:
            raise StopAsyncIteration
        if self._scope is not None:
            raise UsageError("another task already waits for the next arrival")
        try:
            async with asyncio.timeout(None) as self._scope:
                return await self._next()
        except TimeoutError:
            if self._is_closed:
                raise StopAsyncIteration from None
            raise
        finally:
            self._scope = None
            self._returned.set()

    async def _next(self) -> Arrival:
        try:
            return await anext(self._arrivals)
        except StopAsyncIteration:
            # An error or a cancellation has ended the generator; the watch goes on from its state.
            self._arrivals = self._watcher.arrivals()
            return await anext(self._arrivals)

    async def aclose(self) -> None:
        """End it at once, without a goodbye; whoever waits for an arrival sees the end of the iteration. Idempotent."""
        self._is_closed = True
        if self._scope is not None:
            self._returned.clear()
            self._scope.reschedule(asyncio.get_running_loop().time())
            await self._returned.wait()
        await self._arrivals.aclose()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def watch(
    endpoint: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    since: WatchState | str | None = None,
    headers_only: bool = True,
    renew_seconds: float = 240.0,
    poll_seconds: float = 30.0,
    retry: Retry = _FOR_EVER,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Watch:
    """Tell each message that arrives in a mailbox, once, in the order of arrival.

        async for arrival in imap.watch("imaps://mail.example.org/INBOX", alice, since=load()):
            ...
            save(str(arrival.state))

    It owns its session: waits by IDLE (by NOOP where there is none), connects again when the connection is lost, says
    nothing for too long or is said goodbye to, and then asks for what came meanwhile. The mailbox is opened read-only.

    Args:
        endpoint: where, and which mailbox, as for `fetch`.
        credentials: who signs in; a callable secret is asked anew for each connection.
        since: the state of the last arrival that was dealt with, or its text: what came after that is told first. None
            tells only what arrives from now on.
        headers_only: fetch only the headers of messages.
        renew_seconds: how long one IDLE lasts, below the 29 minutes of RFC 2177 §3. A connection that is dead without a
            sign is noticed after these and `timeout` at the latest.
        poll_seconds: how often to ask where the server has no IDLE.
        retry: how long to wait before each new connection, and how often to try in a row; the default never gives up.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for connecting and signing in, and for each answer of the server; None is no limit.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Raises:
        UsageError: at once, where the call is wrong. All else comes from the iteration, which then may be gone on with:
        AuthenticationError, RefusedError: the login or the mailbox is refused, for good; a login that worked before is
            tried three times in a row.
        TLSError: the certificate is not trusted.
        ProtocolError: the server breaks the protocol three times in a row, or withholds a message that it has.
        ConnectError, DisconnectedError, DeadlineError: `retry` has given up.

    If the mailbox was made anew (its UIDVALIDITY is another), its UIDs say nothing about what was told: all that is in
    it is told, and the states of those arrivals show the new UIDVALIDITY.
    """
    where = Endpoint.parse(endpoint)
    place = Place.of(where)
    if place.uid is not None or place.search is not None:
        raise UsageError("a watch is for all that arrives, not for one message or a search", endpoint=where)
    if not (renew_seconds > 0 and poll_seconds > 0):
        raise UsageError("renew_seconds and poll_seconds are above 0", endpoint=where)

    def new_session() -> Session:
        return Session(
            where,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
        )

    new_session()  # refuses what can be refused before anything is awaited
    state = WatchState.parse(since) if isinstance(since, str) else since
    return Watch(_Watcher(new_session, place, state, headers_only, renew_seconds, poll_seconds, retry))


class _Watcher:
    """What a Watch does; it does not know the Watch, so that a dropped one ends."""

    def __init__(
        self,
        new_session: Callable[[], Session],
        place: Place,
        state: WatchState | None,
        headers_only: bool,
        renew_seconds: float,
        poll_seconds: float,
        retry: Retry,
    ) -> None:
        self._new_session = new_session
        self._place = place
        self.state = state
        self._headers_only = headers_only
        self._renew_seconds = renew_seconds
        self._poll_seconds = poll_seconds
        self._retry = retry
        self._failures = self._oddities = 0
        self._has_been_let_in = False

    async def arrivals(self) -> AsyncGenerator[Arrival, None]:
        """Tell all arrivals, over as many connections as it takes."""
        while True:
            try:
                async with self._new_session() as session, aclosing(self._told(session)) as told:
                    async for arrival in told:
                        yield arrival
            except NetError as error:
                self._failures += 1
                delay = self._delay(error)
                if delay is None:
                    self._start_anew()
                    raise
                _log.info("watch: %s; connecting again in %.1f s", error, delay)
                await asyncio.sleep(delay)

    def _start_anew(self) -> None:
        self._failures = self._oddities = 0

    def _delay(self, error: NetError) -> float | None:
        is_broken = isinstance(error, ProtocolError) and not isinstance(error, LimitError)
        # A server that is starting or stopping refuses logins that it accepts before and after.
        is_refused = isinstance(error, AuthenticationError) and self._has_been_let_in
        if is_broken or is_refused:
            self._oddities += 1
            if self._oddities < _MAX_BROKEN:
                error = DisconnectedError(error.message)
        return self._retry.delay(error, self._failures)

    async def _told(self, session: Session) -> AsyncGenerator[Arrival, None]:
        await self._open(session)
        news = News(session.limits.max_responses)
        with session._wire.incoming.heard_by(news):
            while True:
                news.forget()
                uids = await self._new_uids(session)
                async for message in self._fetched(session, uids):
                    assert self.state is not None
                    assert isinstance(message.uid, int)
                    self.state = WatchState(self.state.uidvalidity, message.uid + 1)
                    self._start_anew()
                    yield Arrival(message, self.state)
                self._start_anew()
                if uids:  # those of them that have gone are behind us too
                    assert self.state is not None
                    self.state = WatchState(self.state.uidvalidity, uids[-1] + 1)
                while not _has_grown(news):
                    news.forget()
                    if not await self._wait(session, news):
                        break

    async def _open(self, session: Session) -> None:
        self._has_been_let_in = True
        selected = await session.select(self._place.name, read_only=True)
        validity = selected.uidvalidity
        if not validity or self._place.uidvalidity not in (None, validity):
            text = f"the mailbox is not the one of the URL: its UIDVALIDITY is {validity}"
            raise RefusedError(text, endpoint=session.endpoint, operation="watch")
        if self.state is None:
            uidnext = selected.uidnext or max(await session.search(), default=0) + 1
            self.state = WatchState(validity, uidnext)
        elif self.state.uidvalidity != validity:
            self.state = WatchState(validity, 1)

    async def _new_uids(self, session: Session) -> list[int]:
        assert self.state is not None
        if self.state.uidnext > MAX_UID:
            return []
        # RFC 9051 §9: "n:*" always holds the last message, however low its UID.
        return [uid for uid in await session.search(f"UID {self.state.uidnext}:*") if uid >= self.state.uidnext]

    async def _fetched(self, session: Session, uids: list[int]) -> AsyncGenerator[Message, None]:
        """Fetch these, ascending; all that are left out have gone."""
        if not uids:
            return
        expected = iter(uids)
        name, weight = ("BODY[HEADER]", HEADER_BYTES) if self._headers_only else ("BODY[]", MAX_SIZE)
        delivery = Delivery(session, uids, name, max_weight=weight)
        async for message in delivery:
            assert isinstance(message.uid, int)
            skipped = []
            for uid in expected:
                if uid >= message.uid:
                    break
                skipped.append(uid)
            if skipped:
                await _make_sure(session, skipped)
            yield message

    async def _wait(self, session: Session, news: News) -> bool:
        """Wait for news; False where it is time to ask, whether there are any or not."""
        if session._can("IDLE", "IMAP4REV2"):
            await session._idle(news, self._renew_seconds)
            return bool(news.changes)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await news.wake.wait()
        await session.noop()
        return True


def _has_grown(news: News) -> bool:
    return any(isinstance(change, Exists) for change in news.changes)


async def _make_sure(session: Session, uids: list[int]) -> None:
    """Go on only if these messages have gone: what is fetched ahead may come although the one before it did not.

    Raises:
        DisconnectedError: they were on their way when the connection was lost.
        ProtocolError: the server has them, and does not give them.
    """
    still = set(await session.search(f"UID {uids[0]}:{uids[-1]}")).intersection(uids)
    if still:
        raise ProtocolError(
            f"the server has the message with UID {min(still)}, and does not give it",
            endpoint=session.endpoint,
            operation="watch",
        )
