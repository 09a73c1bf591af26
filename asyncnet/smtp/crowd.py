"""Crowd: many messages over many connections; each connection takes from one queue as it has room."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from email.message import EmailMessage
from typing import Protocol

from asyncnet.endpoint import Endpoint
from asyncnet.errors import DisconnectedError, NetError
from asyncnet.retry import Retry
from asyncnet.smtp.bulk import Sent
from asyncnet.smtp.mail import Mail
from asyncnet.smtp.session import Session


class Lender(Protocol):
    """What a crowd needs of its pool."""

    endpoint: Endpoint
    size: int
    retry: Retry

    def lend(self) -> AbstractAsyncContextManager[Session]:
        """Give a connection for the length of a block."""

    def room_on(self, session: Session) -> int:
        """How many messages may still go over a connection."""

    def count(self, session: Session) -> None:
        """Take note of a message that goes over it."""

    async def keep_pace(self) -> None:
        """Wait until another message may go."""


class _Queued:
    """A message with its number, and how often it was tried."""

    __slots__ = ("attempts", "mail", "number")

    def __init__(self, number: int, mail: Mail) -> None:
        self.number = number
        self.mail = mail
        self.attempts = 0


class Crowd:
    """Sends messages over the connections of a pool.

    Args:
        pool: whose connections.
        messages: what to send.
        window: how many may be without their answer on one connection.
    """

    def __init__(
        self,
        pool: Lender,
        messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage],
        window: int,
    ) -> None:
        self._pool = pool
        self._window = window
        self._messages = messages
        self._source: AsyncIterator[Mail | EmailMessage] | None = None
        self._turn = asyncio.Lock()
        self._again: deque[_Queued] = deque()
        self._number = 0
        self._hopeless: NetError | None = None
        self._results: asyncio.Queue[Sent | BaseException | None] = asyncio.Queue(maxsize=2 * pool.size * window)

    async def outcomes(self) -> AsyncGenerator[Sent, None]:
        """Send, and give what became of each as it becomes known."""
        async with aclosing(_each(self._messages)) as source:
            self._source = source
            workers = [
                asyncio.create_task(self._worker(), name=f"asyncnet smtp pool {number}")
                for number in range(self._pool.size)
            ]
            try:
                working = len(workers)
                while working:
                    result = await self._results.get()
                    if isinstance(result, BaseException):
                        raise result
                    if result is None:
                        working -= 1
                    else:
                        yield result
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self) -> None:
        try:
            while (first := await self._next()) is not None:
                await self._over_one_connection(first)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await self._results.put(error)
            return
        await self._results.put(None)

    async def _over_one_connection(self, first: _Queued) -> None:
        if self._hopeless is not None:
            await self._results.put(_failed(first, self._hopeless))
            return
        is_lent = False
        waiting: deque[_Queued] = deque([first])
        try:
            async with self._pool.lend() as session, aclosing(self._taken(first, session, waiting)) as taken:
                is_lent = True
                async with aclosing(session.send_many(taken, window=self._window)) as outcomes:
                    async for sent in outcomes:
                        await self._settle(waiting.popleft(), sent)
        except NetError as error:
            if is_lent:
                raise
            if not error.transient:
                self._hopeless = error
            await self._results.put(_failed(first, error))

    async def _taken(
        self, first: _Queued, session: Session, waiting: deque[_Queued]
    ) -> AsyncGenerator[Mail | EmailMessage, None]:
        """Give a connection its messages, until it has had enough."""
        queued: _Queued | None = first
        while queued is not None:
            queued.attempts += 1
            if queued is not first:
                waiting.append(queued)
            self._pool.count(session)
            await self._pool.keep_pace()
            yield queued.mail
            queued = await self._next() if self._pool.room_on(session) > 0 and session.is_open else None

    async def _next(self) -> _Queued | None:
        async with self._turn:
            if self._again:
                return self._again.popleft()
            assert self._source is not None
            try:
                message = await anext(self._source)
            except StopAsyncIteration:
                return None
            self._number += 1
            return _Queued(self._number - 1, Mail.of(message))

    async def _settle(self, queued: _Queued, sent: Sent) -> None:
        error = sent.error
        is_lost = isinstance(error, DisconnectedError) and not error.outcome_unknown and not queued.mail.is_stream
        if error is not None and is_lost and self._pool.retry.delay(error, queued.attempts) is not None:
            self._again.append(queued)  # surely not taken
        else:
            await self._results.put(replace(sent, number=queued.number))


def _failed(queued: _Queued, error: NetError) -> Sent:
    ours = copy.copy(error)
    ours.__cause__ = error.__cause__
    return Sent(queued.number, queued.mail, None, ours)


async def _each(
    messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage],
) -> AsyncGenerator[Mail | EmailMessage, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
