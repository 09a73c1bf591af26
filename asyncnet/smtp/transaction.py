"""One mail transaction: MAIL, RCPT for each recipient, the message (RFC 5321 §3.3), and what each reply means for whom.

Where PIPELINING is offered (RFC 2920), the envelope goes out in one piece, and a small message by BDAT (RFC 3030)
right behind it, before anything is known of its recipients: whoever refuses it still says so to the command that it
refuses. A message that is not small waits until somebody will receive it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from asyncnet.deadline import deadline, phase
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, ProtocolError, RecipientsRefused, RefusedError, UsageError
from asyncnet.smtp.exchange import Exchange
from asyncnet.smtp.offers import Offers
from asyncnet.smtp.parcel import Parcel, too_big
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import GOODBYE, Reply, refusal
from asyncnet.smtp.stuffing import Lines, Stuffing

Hook = Callable[[], Awaitable[None]]

_GO_AHEAD = 354


class Transaction:
    """A parcel on its way over one connection: `begin` writes it, `end` waits for what becomes of it.

    Args:
        exchange: the connection.
        offers: what the server can do.
        endpoint: for the errors.
        parcel: what is to be sent, made ready for this server.
        before_end: called, and awaited, before the last byte of the message is written: until then the server cannot
            have taken it.
    """

    def __init__(
        self, exchange: Exchange, offers: Offers, endpoint: Endpoint, parcel: Parcel, before_end: Hook | None = None
    ) -> None:
        self._before_end = before_end
        self._exchange = exchange
        self._offers = offers
        self._endpoint = endpoint
        self._parcel = parcel
        self._reset: asyncio.Future[Reply] | None = None
        self._mail: asyncio.Future[Reply] | None = None
        self._rcpts: list[asyncio.Future[Reply]] = []
        self._finals: list[asyncio.Future[Reply]] = []
        self._accepted: list[str] = []
        self._refused: dict[str, Reply] = {}
        self._refusal: RefusedError | None = None
        self._is_judged = False
        self._checked = 0
        self._end = 0

    async def send(self) -> Receipt:
        """Have the message sent to all whom the server accepts.

        Raises:
            RecipientsRefused: the server accepts nobody.
            RefusedError: it refuses the sender or the message.
            UsageError: a stream failed.
            DisconnectedError, ProtocolError: as in `Exchange`.

        After a refusal the connection is as before: RSET was sent if need be, and if that failed, it was dropped.
        """
        try:
            await self.begin()
            return await self.end()
        except (RefusedError, UsageError):
            await self.reset()
            raise

    async def begin(self, *, after_another: bool = False) -> None:
        """Write as much as can be written: all of it, or up to where the server is heard to refuse it.

        Args:
            after_another: whether something was sent before that may have been refused: forget that first.

        Raises:
            RefusedError, UsageError: as in `send`; the connection has to be reset, or was dropped.
            DisconnectedError, ProtocolError: as in `Exchange`.
        """
        if after_another:
            self._reset = await self._ask(b"RSET", "RSET")
        self._mail = await self._ask(self._parcel.mail, "MAIL")
        if not self._offers.pipelining:
            self._check(self._mail.result(), "MAIL")
        for line in self._parcel.rcpts:
            self._rcpts.append(await self._ask(line, "RCPT"))
        if not self._offers.chunking:
            await self._by_data()
        elif self._parcel.whole is not None and self._offers.pipelining:
            await self._last_chunk(self._parcel.whole)
        else:
            await self._by_chunks()

    async def end(self) -> Receipt:
        """Wait for the last reply.

        Raises:
            RecipientsRefused, RefusedError, DisconnectedError, ProtocolError: as in `send`.
        """
        await self._judge()
        replies = await self._last_replies()
        if self._offers.is_lmtp:
            return self._receipt_by_recipient(replies)
        for reply in replies:
            self._check(reply, "BDAT" if self._offers.chunking else "DATA")
        final = replies[-1]
        return Receipt(tuple(self._accepted), self._refused, final.code, final.text, self._parcel.content.message_id)

    @property
    def unknown(self) -> Receipt | None:
        """If the connection was lost so that nobody knows whether the message was taken: what is known; else None."""
        if not self._exchange.may_have(self._end) or self._refusal is not None:
            return None
        if not self._offers.is_lmtp and self._is_answered:
            return None
        accepted, refused, unknown = [], dict(self._refused), []
        answers = dict(zip(self._accepted, self._finals, strict=False)) if self._offers.is_lmtp else {}
        for one, rcpt in zip(self._parcel.envelope.recipients, self._rcpts, strict=True):
            reply, final = _result(rcpt), _result(answers.get(one))
            if reply is not None and reply.is_negative:
                refused[one] = reply
            elif final is None:
                unknown.append(one)
            elif final.is_positive:
                accepted.append(one)
            else:
                refused[one] = final
        if not unknown or (self._mail is not None and (mail := _result(self._mail)) and mail.is_negative):
            return None
        return Receipt(tuple(accepted), refused, 0, "", self._parcel.content.message_id, tuple(unknown))

    @property
    def _is_answered(self) -> bool:
        replies = [_result(asked) for asked in self._finals]
        return replies[-1:] != [None] or any(reply is not None and not reply.is_positive for reply in replies)

    async def reset(self) -> None:
        """Make the server forget what was begun; where that fails, the connection is dropped."""
        if self._mail is None or not self._exchange.is_usable:
            return
        try:
            async with deadline(CLOSE_SECONDS, self._endpoint, "RSET"):
                reply = await self._exchange.command(b"RSET", "RSET")
        except NetError:
            pass
        else:
            if reply.is_positive:
                return
        self._exchange.abort()  # the refusal is what counts; the connection is of no more use

    # The envelope.

    async def _ask(self, line: bytes, verb: str) -> asyncio.Future[Reply]:
        """Ask, and wait for the reply if the next command has to wait for it."""
        phase(verb)
        reply = self._exchange.ask(line, verb)
        if not self._offers.pipelining and (await self._exchange.answer(reply)).code == GOODBYE:
            raise refusal(reply.result(), self._endpoint, verb)
        return reply

    async def _judge(self) -> None:
        """Take the replies to the envelope; a refusal is kept for when all others have come."""
        if self._is_judged:
            return
        answer = self._exchange.answer
        if self._reset is not None and not (reset := await answer(self._reset)).is_positive:
            raise refusal(reset) if reset.code == GOODBYE else ProtocolError(f"RSET was refused: {reset}")
        assert self._mail is not None
        mail = await answer(self._mail)
        if not mail.is_positive:
            self._refuse(refusal(mail, self._endpoint, "MAIL"))
        for one, rcpt in zip(self._parcel.envelope.recipients, self._rcpts, strict=True):
            reply = await answer(rcpt)
            if reply.is_positive:
                self._accepted.append(one)
            elif reply.is_negative and reply.code != GOODBYE:
                self._refused[one] = reply
            else:
                raise refusal(reply, self._endpoint, "RCPT")
        if not self._accepted:
            self._refuse(RecipientsRefused(refused=self._refused, endpoint=self._endpoint, operation="RCPT"))
        self._is_judged = True

    def _refuse(self, error: NetError) -> None:
        if not isinstance(error, RefusedError):
            raise error
        self._refusal = self._refusal or error

    def _check(self, reply: Reply, verb: str) -> None:
        if not reply.is_positive:
            raise refusal(reply, self._endpoint, verb)

    # The message after DATA.

    async def _by_data(self) -> None:
        if not self._offers.pipelining:
            await self._judged()
        phase("DATA")
        asked = self._exchange.ask(b"DATA", "DATA")  # the last of its group (RFC 2920 §3.1)
        await self._judge()
        reply = await self._exchange.answer(asked)
        if self._refusal is not None:
            if reply.code == _GO_AHEAD:  # it wants a message for nobody: an empty one (RFC 2920 §3.1)
                await self._empty_message()
            raise self._refusal
        if reply.code != _GO_AHEAD:
            raise refusal(reply, self._endpoint, "DATA")
        try:
            await self._write_stuffed()
        except BaseException:
            self._exchange.abort()  # half a message cannot be taken back
            raise

    async def _judged(self) -> None:
        await self._judge()
        if self._refusal is not None:
            raise self._refusal

    async def _empty_message(self) -> None:
        if self._offers.is_lmtp:
            raise ProtocolError("the server wants a message for nobody, and would answer it for nobody")
        self._exchange.push(b".\r\n")
        reply = await self._exchange.answer(self._exchange.expect("DATA"))
        if not reply.is_negative:
            raise ProtocolError(f"a message for nobody was taken: {reply}")

    async def _write_stuffed(self) -> None:
        exchange, stuffing = self._exchange, Stuffing()
        exchange.in_message = True
        if self._parcel.whole is not None:
            exchange.push(stuffing.feed(self._parcel.whole))
        else:
            async with aclosing(self._parcel.content.blocks()) as blocks:
                async for block in blocks:
                    await exchange.flow()
                    exchange.push(stuffing.feed(bytes(block)))
                    self._check_size(stuffing.octets)
        await exchange.flow()
        if self._before_end is not None:
            await self._before_end()
            await exchange.flow()  # what was said meanwhile is no answer
        exchange.in_message = False
        exchange.push(stuffing.finish())
        self._end = exchange.written
        count = len(self._accepted) if self._offers.is_lmtp else 1
        self._finals = [exchange.expect("DATA") for _ in range(count)]
        exchange.flush()

    # The message by BDAT.

    async def _by_chunks(self) -> None:
        await self._judged()
        phase("BDAT")
        lines, waiting = Lines(), b""
        try:
            async with aclosing(self._parcel.content.blocks()) as blocks:
                async for block in blocks:
                    await self._exchange.flow()
                    self._check_chunks()
                    if waiting:
                        await self._chunk(waiting)
                    waiting = lines.feed(bytes(block))
                    self._check_size(lines.octets)
        except (RefusedError, UsageError):
            # There is no last chunk yet, so what went before can be forgotten.
            for asked in self._finals:
                await self._exchange.answer(asked)
            raise
        except BaseException:
            self._exchange.abort()
            raise
        await self._last_chunk(waiting + lines.finish())

    async def _chunk(self, data: bytes) -> None:
        asked = self._exchange.ask(b"BDAT %d" % len(data), "BDAT", data, is_chunk=True)
        self._finals.append(asked)
        if not self._offers.pipelining:
            await self._exchange.answer(asked)
            self._check_chunks()

    async def _last_chunk(self, data: bytes) -> None:
        if self._before_end is not None:
            await self._before_end()
        asked = self._exchange.ask(b"BDAT %d LAST" % len(data), "BDAT", data, is_chunk=bool(self._finals))
        self._finals.append(asked)
        self._end = self._exchange.written

    def _check_chunks(self) -> None:
        """Look at the replies that have come: after a refused chunk no other may follow (RFC 3030 §2)."""
        while self._checked < len(self._finals) and (reply := _result(self._finals[self._checked])) is not None:
            self._check(reply, "BDAT")
            self._checked += 1

    def _check_size(self, octets: int) -> None:
        limit = self._parcel.max_octets
        if limit is not None and octets > limit:  # a stream that had said less, or nothing
            raise too_big(octets, limit, self._endpoint)

    # The end.

    async def _last_replies(self) -> list[Reply]:
        replies: list[Reply] = []
        try:
            for asked in self._finals:
                replies.append(await self._exchange.answer(asked))
        except NetError:
            if self._refusal is None:
                raise  # else: what became of the connection, whoever uses it next will see
        if self._refusal is None:
            return replies
        if any(reply.is_positive for reply in replies):
            raise ProtocolError(f"a message for nobody was taken: {replies[-1]}")
        raise self._refusal

    def _receipt_by_recipient(self, replies: list[Reply]) -> Receipt:
        """RFC 2033 §4.2: after the message, one reply for each recipient that was accepted, in order."""
        final = next((reply for reply in replies if reply.is_positive), replies[-1])
        for one, reply in zip(tuple(self._accepted), replies, strict=True):
            if reply.is_negative and reply.code != GOODBYE:
                self._accepted.remove(one)
                self._refused[one] = reply
            else:
                self._check(reply, "DATA")
        if not self._accepted:
            raise RecipientsRefused(refused=self._refused, endpoint=self._endpoint, operation="DATA")
        return Receipt(tuple(self._accepted), self._refused, final.code, final.text, self._parcel.content.message_id)


def _result(reply: asyncio.Future[Reply] | None) -> Reply | None:
    """What was replied, if anything was."""
    is_there = reply is not None and reply.done() and not reply.cancelled() and reply.exception() is None
    return reply.result() if reply is not None and is_there else None
