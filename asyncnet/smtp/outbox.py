"""Outbox: mail that is on disk before anything else, and is sent until the server has said what becomes of it.

What was accepted is never sent again. One window is left, which nobody can close: from the moment when the last byte
of a message may have left until its answer is here, only the server knows whether it has it. A message that a crash, or
a lost connection, catches there is sent again, for losing it would be worse; it is marked before (in the folder
`sending/`) and counted after (`maybe_twice`, `twice.log`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, NetError, UsageError
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry
from asyncnet.smtp.agenda import Agenda
from asyncnet.smtp.content import content_of, headers_need_utf8
from asyncnet.smtp.delivery import Delivery, uncut
from asyncnet.smtp.mail import Mail, Source
from asyncnet.smtp.pool import Pool
from asyncnet.smtp.spool import Spool
from asyncnet.smtp.stream import Stream

_log = logging.getLogger(__name__)

_PATIENCE = Retry(attempts=30, first_delay=30.0, factor=2.0, max_delay=7200.0)
"""Greylisting wants minutes, a full mailbox a day: two days in all (RFC 5321 §4.5.4.1 asks for 30 minutes or more)."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message in an outbox.

    Args:
        name: what the outbox calls it; its file bears that name.
        message_id: its Message-ID with angle brackets, or None if it has none.
        recipients: to whom it was to go.
        pending: who has not got it yet.
        refused: recipient -> (code, text) of who never will.
    """

    name: str
    message_id: str | None
    recipients: tuple[str, ...]
    pending: tuple[str, ...]
    refused: Mapping[str, tuple[int, str]]


class Outbox:
    """A folder of mail to send, and who sends it; opened by `async with`, closed by `aclose()`.

    One process at a time has a folder. What a process that was killed has left there is sent by the next.

    Args:
        folder: where; made if it is not there.
        endpoint: the server, as for `Session`.
        credentials: who signs in.
        size: how many connections there are at the most.
        max_messages_per_connection: after so many, a connection is closed and another opened.
        rate: messages a second; None is no limit.
        retry: how often, and after what waits, whom the server refuses for now is tried again; the default is 30
            tries in about two days. A server that cannot be reached is waited for as long as it takes.
        tls: as for `Session`.
        timeout: seconds for each try; None is no limit.
        proxy: as for `Session`.
        allow_plaintext_login: as for `Session`.
        unix_socket: as for `Session`.

    Raises:
        UsageError: as for `Session`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        size: int = 4,
        max_messages_per_connection: int = 100,
        rate: float | None = None,
        retry: Retry = _PATIENCE,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 60.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
        unix_socket: str | os.PathLike[str] | None = None,
    ) -> None:
        self._spool = Spool(folder)
        self._pool = Pool(
            endpoint,
            credentials,
            size=size,
            max_messages_per_connection=max_messages_per_connection,
            rate=rate,
            retry=Retry(attempts=1),  # whatever fails is in the folder, and comes again by itself
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
            unix_socket=unix_socket,
        )
        self.endpoint = self._pool.endpoint
        self._delivery = Delivery(self._spool, self._pool, retry)
        self._agenda = Agenda()
        self._hands: list[asyncio.Task[None]] = []
        self._is_open = False

    # What users call.

    async def put(
        self,
        message: Source,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        notify: str | Iterable[str] = (),
        ret: str | None = None,
        envid: str | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
    ) -> Spooled:
        """Take a message: when this returns it is on disk, and will be sent.

        Args:
            message: as for `Session.send`; a stream is read to its end now.
            sender: as for `Session.send`; so are the others.
            recipients: to whom.
            notify: when to be told.
            ret: what a report returns.
            envid: what reports shall call the message.
            orcpt: recipient -> the address that the message was for at first.
            require_tls: every server on the way must use TLS.

        Raises:
            UsageError: as for `Session.send`, or the disk does not take it. ClosedError: the outbox is not open.

        After a failure or a cancellation nothing of it is sent, unless the cancellation came with the very end.
        """
        if not self._is_open:
            raise ClosedError("the outbox is not open; use async with", endpoint=self.endpoint, operation="put")
        mail = Mail(message, sender, recipients, None, notify, ret, envid, orcpt, require_tls)
        envelope = mail.envelope()
        mail.wishes(envelope)
        utf8 = headers_need_utf8(message)
        # Whatever the server will be able to take: it is written out as any can take it.
        content = Stream(message) if mail.is_stream else await content_of(message, utf8=utf8, eight_bit=False)
        head: dict[str, Any] = {
            "sender": envelope.sender,
            "recipients": list(envelope.recipients),
            "message_id": content.message_id,
            "utf8": utf8,
            "notify": mail.notify,
            "ret": ret,
            "envid": envid,
            "orcpt": dict(orcpt or {}),
            "require_tls": require_tls,
        }
        name = await self._written(head, content)
        self._agenda.add(name, 0.0)
        everybody = envelope.recipients
        return Spooled(name, content.message_id, everybody, everybody, {})

    async def drain(self) -> None:
        """Wait until nothing is left to send: all is accepted, or refused for good. Under your own `asyncio.timeout`.

        Raises:
            ClosedError: the outbox is not open, or was closed meanwhile.
        """
        await self._agenda.emptied()
        if not self._is_open:
            raise ClosedError("the outbox is not open", endpoint=self.endpoint, operation="drain")

    @property
    def trouble(self) -> NetError | None:
        """Why nothing goes out at the moment (no connection, no login), or None."""
        return self._delivery.trouble

    @property
    def pending(self) -> int:
        """How many messages are yet to be sent."""
        return len(self._agenda)

    @property
    def maybe_twice(self) -> int:
        """How many messages were sent again although they may have been taken, since the folder was made."""
        return self._spool.maybe_twice

    async def refused(self) -> list[Spooled]:
        """Give the messages that somebody will never get, with the reasons; they lie in the folder `refused/`."""
        found = await in_daemon(lambda: list(self._spool.refused()))
        return [
            Spooled(name, head["message_id"], tuple(head["recipients"]), tuple(state.pending), state.refused)
            for name, head, state in found
        ]

    async def open(self) -> Outbox:
        """Take the folder and begin to send what is in it; what `async with` does on entry.

        Raises:
            UsageError: another process has the folder, or it cannot be used.
        """
        names = await uncut(in_daemon(self._spool.open))
        self._is_open = True
        for name in names:
            self._agenda.add(name, 0.0)
        hands = self._pool.size
        self._hands = [
            asyncio.create_task(self._work(), name=f"asyncnet smtp outbox {number}") for number in range(hands)
        ]
        return self

    async def aclose(self) -> None:
        """Stop sending and give the folder free, within a few seconds; what is not sent stays in it. Idempotent."""
        self._is_open = False
        self._agenda.close()
        try:
            await self._pool.aclose()
        finally:
            for hand in self._hands:
                hand.cancel()
            await asyncio.gather(*self._hands, return_exceptions=True)
            self._hands = []
            self._spool.close()

    async def __aenter__(self) -> Outbox:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # How it is done.

    async def _written(self, head: dict[str, Any], content: Any) -> str:
        try:
            name, file = await uncut(in_daemon(lambda: self._spool.create(head)))
        except OSError as error:
            raise UsageError(f"the message cannot be spooled: {error.strerror}") from error
        try:
            async with contextlib.aclosing(content.blocks()) as blocks:
                async for block in blocks:
                    await uncut(in_daemon(functools.partial(file.write, block)))
            await uncut(in_daemon(functools.partial(self._spool.commit, name, file)))
        except BaseException as error:
            if not file.closed:
                self._spool.discard(name, file)
            if isinstance(error, OSError) and not isinstance(error, NetError):
                raise UsageError(f"the message cannot be spooled: {error.strerror}") from error
            raise
        return name

    async def _work(self) -> None:
        while (name := await self._agenda.next()) is not None:
            try:
                again = await self._delivery.attempt(name)
            except asyncio.CancelledError:
                raise
            except Exception:  # a file that somebody took away or spoilt; the others go on
                _log.exception("outbox: %s stays in its folder until the next start", name)
                again = None
            if again is None:
                self._agenda.done(name)
            else:
                self._agenda.add(name, again)


outbox = Outbox
"""The verb: `async with smtp.outbox(folder, ...) as mail`."""
