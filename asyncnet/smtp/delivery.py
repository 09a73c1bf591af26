"""Delivery: one try of one message of an outbox, and what each answer means for what is on disk."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from typing import Any, BinaryIO, TypeVar

from asyncnet.daemon import in_daemon
from asyncnet.errors import ClosedError, NetError, RecipientsRefused, RefusedError, UsageError
from asyncnet.retry import Retry
from asyncnet.smtp.content import CHUNK
from asyncnet.smtp.mail import Mail, Source
from asyncnet.smtp.pool import Pool
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.spool import Spool, State
from asyncnet.smtp.unknown import receipt_of

_log = logging.getLogger("asyncnet.smtp.outbox")
T = TypeVar("T")

_ABOUT_THE_MESSAGE = frozenset({"MAIL", "RCPT", "DATA", "BDAT", "send"})
"""Operations whose refusal is the message's own; any other (a login) is the connection's."""


class Delivery:
    """Tries the messages of a spool.

    Args:
        spool: where they are.
        pool: whom they go out by.
        retry: after what waits to try those again whom the server refuses for now.

    Attributes:
        trouble: why nothing goes out at the moment, or None.
    """

    def __init__(self, spool: Spool, pool: Pool, retry: Retry) -> None:
        self.trouble: NetError | None = None
        self._spool = spool
        self._pool = pool
        self._retry = retry
        self._failures = 0

    async def attempt(self, name: str) -> float | None:
        """Try to send a message; gives when to try again, or None if it is settled.

        Cancelled when its last byte may have left, it leaves the mark: the next start of the outbox counts it. What is
        being written down is written to its end first: nothing of it may meet the next owner of the folder.
        """
        head, state, file = await in_daemon(lambda: self._loaded(name))
        with file:
            if state.due > time.time():
                return state.due
            attempt = _Attempt(self._spool, name)
            try:
                mail = await in_daemon(lambda: _mail(head, state, file))
                receipt = await self._pool.send_mail(mail, before_end=attempt.mark)
            except NetError as error:
                return await self._failed(attempt, state, error)
        self.trouble, self._failures = None, 0
        return await self._settle(attempt, state, receipt)

    def _loaded(self, name: str) -> tuple[dict[str, Any], State, BinaryIO]:
        head, file = self._spool.load(name)
        return head, self._spool.state(name) or State(list(head["recipients"])), file

    async def _failed(self, attempt: _Attempt, state: State, error: NetError) -> float | None:
        if error.outcome_unknown:
            known = receipt_of(error)
            if known is not None and known.accepted:  # LMTP: some had answered
                state.pending = [one for one in state.pending if one not in known.accepted]
                await uncut(in_daemon(lambda: self._spool.save(attempt.name, state)))
            await uncut(in_daemon(lambda: self._spool.unsure(attempt.name)))
            return time.time() + self._backoff()
        if isinstance(error, RecipientsRefused):
            self.trouble, self._failures = None, 0
            return await self._settle(attempt, state, Receipt((), _replies(error.refused)))
        if isinstance(error, RefusedError) and error.operation in _ABOUT_THE_MESSAGE:
            self.trouble, self._failures = None, 0
            code = error.code if isinstance(error.code, int) else 550
            text = error.text or error.message
            return await self._settle(attempt, state, Receipt((), _replies(dict.fromkeys(state.pending, (code, text)))))
        if isinstance(error, UsageError) and not isinstance(error, ClosedError):
            replies = _replies(dict.fromkeys(state.pending, (554, f"not to be sent: {error.message}")))
            return await self._settle(attempt, state, Receipt((), replies))
        # No connection, no login: no fault of the message.
        if not isinstance(error, ClosedError):
            self.trouble = error
            _log.warning("outbox: %s", error)
        await attempt.unmark()
        return time.time() + self._backoff()

    def _backoff(self) -> float:
        self._failures += 1
        waits = Retry(
            attempts=self._failures + 1,
            first_delay=min(1.0, self._retry.first_delay),
            factor=2.0,
            max_delay=min(60.0, self._retry.max_delay),
        )
        return waits.delay(NetError(transient=True), min(self._failures, 20)) or 0.0

    async def _settle(self, attempt: _Attempt, state: State, receipt: Receipt) -> float | None:
        """Write down what the server has said; gives when to try those whom it refuses for now, if there are any."""
        state.attempts += 1
        state.refused |= {
            one: (reply.code, reply.text) for one, reply in receipt.refused.items() if not reply.is_transient
        }
        later = {one: reply for one, reply in receipt.refused.items() if reply.is_transient}
        wait = self._retry.delay(NetError(transient=True), state.attempts) if later else None
        if wait is None:  # it was refused for now too often
            state.refused |= {one: (reply.code, reply.text) for one, reply in later.items()}
            later = {}
        state.pending = list(later)
        name = attempt.name
        if later:
            state.due = time.time() + (wait or 0.0)
            await uncut(in_daemon(lambda: self._spool.save(name, state)))
            await attempt.unmark()
            return state.due
        if state.refused:
            await uncut(in_daemon(lambda: self._spool.refuse(name, state)))
        else:
            await uncut(in_daemon(lambda: self._spool.done(name)))
        return None


class _Attempt:
    """One try of one message, and whether the mark of its window stands."""

    def __init__(self, spool: Spool, name: str) -> None:
        self.name = name
        self.is_marked = False
        self._spool = spool

    async def mark(self) -> None:
        """The last byte is about to go."""
        if not self.is_marked:
            self.is_marked = True
            await uncut(in_daemon(lambda: self._spool.mark(self.name)))

    async def unmark(self) -> None:
        """The server has answered, or has surely not got it."""
        if self.is_marked:
            await uncut(in_daemon(lambda: self._spool.unmark(self.name)))
            self.is_marked = False


def _mail(head: dict[str, Any], state: State, file: BinaryIO) -> Mail:
    here = file.tell()
    size = os.fstat(file.fileno()).st_size - here
    message: Source = file
    if head["utf8"]:  # the addresses in its headers have to be looked at
        parsed = message_from_bytes(file.read(), policy=SMTPUTF8)
        assert isinstance(parsed, EmailMessage)
        message = parsed
    elif size <= CHUNK:
        message = file.read()
    orcpt = {one: original for one, original in head["orcpt"].items() if one in state.pending}
    wishes = (tuple(head["notify"]) if isinstance(head["notify"], list) else head["notify"], head["ret"], head["envid"])
    stream_size = size if message is file else None
    return Mail(message, head["sender"], state.pending, stream_size, *wishes, orcpt, head["require_tls"])


def _replies(refused: Mapping[str, tuple[int, str]]) -> dict[str, Reply]:
    return {one: Reply(code, text) for one, (code, text) in refused.items()}


async def uncut(work: Awaitable[T]) -> T:
    """Wait for a step on the disk to its end, cancelled or not, for half of it would be told to nobody."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
