"""Pool: warm connections to one server, for many senders at once.

A connection that a deadline, a cancellation or a lost peer has spoilt is dropped, never lent again. What is tried again
is what was surely not taken: a goodbye (421) or a lost connection before the last byte. All else is the caller's to
decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from email.message import EmailMessage
from types import TracebackType

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, ConnectError, DisconnectedError, NetError, UsageError
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry
from asyncnet.smtp.bulk import Sent
from asyncnet.smtp.crowd import Crowd
from asyncnet.smtp.mail import Mail, Source
from asyncnet.smtp.pace import Pace
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.session import Session
from asyncnet.smtp.transaction import Hook

_IDLE_SECONDS = 5.0
"""A connection that was idle for longer is asked whether it is still there before it is used."""
_STALE_SECONDS = 240.0
"""A connection that was idle for longer is not asked any more: most servers hang up after five minutes."""
_CHECK_SECONDS = 5.0


class Pool:
    """Warm connections to one server; opened by `async with`, closed by `aclose()`.

    Args:
        endpoint: where, as for `Session`.
        credentials: who signs in, on each connection.
        size: how many connections there are at the most; they are opened as they are needed.
        max_messages_per_connection: after so many, a connection is closed and another opened.
        rate: messages a second, all connections together; None is no limit.
        retry: how often, and after what waits, a message that was surely not taken is tried again, and a connection
            that could not be made; `Retry(attempts=1)` never.
        tls: as for `Session`.
        timeout: seconds for each `send`: waiting for a connection and for the rate, opening it, and all tries.
        proxy: as for `Session`.
        allow_plaintext_login: as for `Session`.
        unix_socket: as for `Session`.

    Raises:
        UsageError: as for `Session`, or a number that is not positive.
    """

    def __init__(
        self,
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        size: int = 8,
        max_messages_per_connection: int = 100,
        rate: float | None = None,
        retry: Retry | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
        unix_socket: str | os.PathLike[str] | None = None,
    ) -> None:
        if size < 1 or max_messages_per_connection < 1:
            raise UsageError("a pool has at least one connection, and each takes at least one message")
        self.timeout = timeout
        self.size = size
        self.max_messages_per_connection = max_messages_per_connection
        self.retry = Retry() if retry is None else retry
        self._new: Callable[[], Session] = lambda: Session(
            endpoint,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
            unix_socket=unix_socket,
        )
        self.endpoint = self._new().endpoint  # and all arguments are checked now
        self._pace = Pace(rate)
        self._slots = asyncio.Semaphore(size)
        self._idle: list[tuple[Session, float]] = []
        self._busy: set[Session] = set()
        self._used: dict[Session, int] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()
        self._all_free = asyncio.Event()
        self._all_free.set()

    async def send(
        self,
        message: Source,
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
        """Send a message over one of the connections; the arguments, the result and the errors of `Session.send`.

        A goodbye or a lost connection is an error only if it came again and again, or if it came after the last byte
        (`outcome_unknown`), or if the message is a stream. A message refused for now (4xx) is a
        transient RefusedError with its code, never tried again here. Cancelled, or at its deadline, it drops its
        connection, and the pool goes on.
        """
        mail = Mail(message, sender, recipients, size, notify, ret, envid, orcpt, require_tls)
        return await self.send_mail(mail, timeout=timeout)

    async def send_mail(self, mail: Mail, *, timeout: float | None = None, before_end: Hook | None = None) -> Receipt:
        """Send a Mail, as `send` does with its arguments.

        Args:
            mail: what to send.
            timeout: seconds; None takes the pool's, `math.inf` is no limit.
            before_end: called, and awaited, each time before the last byte of the message is written.
        """
        mail.wishes(mail.envelope())
        last: list[Session] = []
        try:
            async with deadline(self.timeout if timeout is None else timeout, self.endpoint, "send"):
                return await self._sent(mail, before_end, last)
        except NetError as error:
            for session in last:  # that of the pool's deadline does not know yet how far the message had come
                session.mark_outcome(error)
            raise

    async def _sent(self, mail: Mail, before_end: Hook | None, last: list[Session]) -> Receipt:
        attempt = 0
        while True:
            attempt += 1
            was_warm = False
            last.clear()
            try:
                async with self.lend() as session:
                    last.append(session)
                    was_warm = self.room_on(session) < self.max_messages_per_connection
                    await self.keep_pace()
                    self.count(session)
                    return await session.send_mail(mail, timeout=math.inf, before_end=before_end)
            except DisconnectedError as error:
                wait = self.retry.delay(error, attempt)
                if wait is None or not last or mail.is_stream:
                    raise
                if not (was_warm and attempt == 1):  # the server may just have been tired of a warm one
                    await self.rest(wait)

    async def send_many(
        self, messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage], *, window: int = 10
    ) -> AsyncGenerator[Sent, None]:
        """Send many messages over all connections, several on their way on each, as `Session.send_many` does.

        Args:
            messages: what to send, taken as it is needed.
            window: how many may be without their answer on one connection.

        Yields:
            What became of each message, as it becomes known: `Sent.number` says which it is.

        Raises:
            ClosedError: the pool is closed. What `messages` raises.

        Left early, it drops the connections that messages were on. A login that was refused, or a certificate that is
        not trusted, is the outcome of all messages that are left: it is not tried for each.
        """
        self._check_open()
        async with aclosing(Crowd(self, messages, window).outcomes()) as outcomes:
            async for sent in outcomes:
                yield sent

    # What the crowd calls as well.

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Session]:
        """Give a connection that stands, for the length of a block; waits until one is free.

        Raises:
            ConnectError, AuthenticationError, DisconnectedError, RefusedError: none could be opened.
            ClosedError: the pool is closed.
        """
        async with self._slots:
            self._check_open()
            session = await self._warm() or await self._opened()
            try:
                yield session
            finally:
                self._give_back(session)

    async def keep_pace(self) -> None:
        """Wait until another message may go."""
        await self.rest(self._pace.wait(asyncio.get_running_loop().time()))

    async def rest(self, seconds: float) -> None:
        """Wait; ClosedError if the pool is closed meanwhile."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._closed.wait()
        self._check_open()

    def room_on(self, session: Session) -> int:
        """How many messages may still go over a connection."""
        return self.max_messages_per_connection - self._used.get(session, 0)

    def count(self, session: Session) -> None:
        """Take note of a message that goes over a connection."""
        self._used[session] = self._used.get(session, 0) + 1

    async def _warm(self) -> Session | None:
        """Give an idle connection that is still there."""
        while self._idle:
            session, since = self._idle.pop()
            idle = asyncio.get_running_loop().time() - since
            self._take(session)
            if session.is_open and idle < _STALE_SECONDS:
                try:
                    if idle > _IDLE_SECONDS:
                        await session.noop(timeout=_CHECK_SECONDS)
                    return session
                except NetError:
                    pass  # another one will do
                except BaseException:
                    self._forget(session)
                    raise
            self._forget(session)
            await session._spoil("it was idle for too long")
        return None

    async def _opened(self) -> Session:
        attempt = 0
        while True:
            attempt += 1
            session = self._new()
            self._take(session)
            try:
                return await session.open()
            except (ConnectError, DisconnectedError) as error:
                self._forget(session)
                wait = self.retry.delay(error, attempt)
                if wait is None:
                    raise
                await self.rest(wait)
            except BaseException:
                self._forget(session)
                raise

    def _take(self, session: Session) -> None:
        self._busy.add(session)
        self._all_free.clear()

    def _forget(self, session: Session) -> None:
        self._busy.discard(session)
        self._used.pop(session, None)
        if not self._busy:
            self._all_free.set()

    def _give_back(self, session: Session) -> None:
        if session.is_open and self.room_on(session) > 0 and not self._closed.is_set():
            self._busy.discard(session)
            self._idle.append((session, asyncio.get_running_loop().time()))
            if not self._busy:
                self._all_free.set()
            return
        self._forget(session)
        if not session.is_open:
            session._abort()
            return
        # Nobody has to wait for a goodbye.
        task = asyncio.get_running_loop().create_task(session.aclose(), name="asyncnet smtp goodbye")
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ClosedError("the pool is closed", endpoint=self.endpoint, operation="send")

    # Opening and closing.

    async def aclose(self, *, grace: float = CLOSE_SECONDS) -> None:
        """Close: no message begins any more, those that have begun get `grace` seconds, then are cut off; idempotent.

        It takes at most `grace` and 2 seconds.
        """
        self._closed.set()
        idle, self._idle = self._idle, []
        try:
            async with asyncio.TaskGroup() as group:
                for session, _ in idle:
                    group.create_task(session.aclose())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self._all_free.wait()
                for session in list(self._busy):
                    group.create_task(session._spoil("the pool was closed"))
            if self._goodbyes:
                await asyncio.wait(set(self._goodbyes))
        finally:
            for task in set(self._goodbyes):
                task.cancel()
            for session in [*self._busy, *(one for one, _ in idle)]:
                session._abort()
            self._used.clear()

    async def __aenter__(self) -> Pool:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose(grace=CLOSE_SECONDS if error is None else 0.0)

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "open"
        return f"<{type(self).__module__}.Pool {self.endpoint.redacted} {state}, {len(self._busy)} busy>"


pool = Pool
"""The verb: `async with smtp.pool(...) as outgoing`."""
