"""Session: a maildrop, opened, worked in and left. poplib in a thread of its own, its socket dialled on the loop.

What is marked as deleted goes when the session is left in order, with QUIT, and not otherwise (RFC 1939 §6).
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Container, Iterable
from types import TracebackType

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DisconnectedError, LimitError, NetError
from asyncnet.message import Message
from asyncnet.pop3.commands import Commands, checked_number
from asyncnet.pop3.link import Link
from asyncnet.pop3.messages import Messages
from asyncnet.pop3.retrieve import Got, Retrieval, Wanted, made
from asyncnet.pop3.saving import NotSaved, Path, Sink, save
from asyncnet.pop3.take import Seen, Taking
from asyncnet.pop3.wire import Limits
from asyncnet.proxy import Proxy

Numbers = list[int]
Batch = list[Got]


class Session(Commands):
    """A session with one maildrop, which the server keeps locked until it ends; calls run in a thread of its own.

    Messages bear the numbers 1 to `stat().count`, which stay theirs for the whole session. What was deleted is gone
    for good when `async with` is left in order, or by `quit()`; leaving by an exception or a cancellation says no
    QUIT, and the server keeps everything.

    Args:
        endpoint: `pop3s://host`, `pop3+starttls://host` or, for servers without TLS, `pop3://host`.
        credentials: who signs in: a password by SASL (SCRAM-SHA-256, PLAIN, LOGIN), APOP or USER and PASS, a token by
            OAUTHBEARER or XOAUTH2. None signs in nowhere.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for the opening (lookup, connect, TLS, greeting, login), and then for each call afresh; None
            is no limit.
        proxy: the way there, as in `Proxy.parse`; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        max_message_bytes: the longest message to take.
        max_reply_bytes: the longest other reply to take: LIST and UIDL of a whole maildrop.
        max_lines: the most lines of such a reply.
        max_line_bytes: the longest line outside of messages, its line end included.
        utf8: have headers and names in UTF-8, where the server would else re-write them (RFC 6856); opening raises
            RefusedError where it does not offer that.
        places: shared by sessions, it bounds how many there are: opening waits for a place, within its own timeout, and
            the place is given back once thread and socket are gone.

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, or a secret that would
            travel in plaintext.

    Every call raises, beside what it names itself: RefusedError where the server says -ERR (transient by the response
    codes of RFC 2449 and RFC 3206), ProtocolError, LimitError, DisconnectedError, DeadlineError, and ClosedError once
    the session is closed, which all but a refusal do.
    """

    def __init__(
        self,
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
        max_message_bytes: int = 256 * 1024 * 1024,
        max_reply_bytes: int = 16 * 1024 * 1024,
        max_lines: int = 250_000,
        max_line_bytes: int = 1024 * 1024,
        utf8: bool = False,
        places: asyncio.Semaphore | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
        )
        self._max_message_bytes = max_message_bytes
        self._link = Link(self.endpoint, Limits(max_line_bytes, max_reply_bytes, max_lines), places)
        self._utf8 = utf8
        self._sizes: dict[int, int] = {}
        self._uids: dict[int, str] = {}
        self._deleted: set[int] = set()

    async def retrieve(self, number: int, *, max_bytes: int | None = None, timeout: float | None = None) -> Message:
        """Fetch a whole message (RETR), byte for byte as the server holds it.

        Args:
            number: its number, from 1.
            max_bytes: the longest to take; None is the session's `max_message_bytes`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            LimitError: it is longer. The session stays open if `list()` had told, and nothing was asked for.
            IncompleteRead: the server left in the middle of it; `.partial` holds what came.
            RefusedError: there is no such message, or it is marked as deleted.
        """
        asked = self._asked(number)
        limit = self._limit(asked, max_bytes)
        async with self._call("RETR", timeout):
            announced, raw = await self._run(self._wire.message, f"RETR {asked.number}", limit)
            return made(asked, announced, raw)

    async def retrieve_to(
        self, number: int, target: Path | Sink, *, max_bytes: int | None = None, timeout: float | None = None
    ) -> int:
        """Stream a whole message into a file (RETR), in constant memory however long it is.

        Args:
            number: its number, from 1.
            target: a path: the file appears there, or replaces what is there, in one step when it is whole and on the
                disk; for its owner alone to read. Or an object with `write(bytes)`, which is called in the session's
                thread, may block, and holds a part of the message after a failure.
            max_bytes: the longest to take; None is the session's `max_message_bytes`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            How many bytes the message has, line ends CRLF.

        Raises:
            UsageError: there can be no file of that path; nothing was asked for.
            OSError: it cannot be written (the disk is full), or whatever `write` raised; the session is closed.
            LimitError, IncompleteRead, RefusedError: as for `retrieve`.

        After a failure or a cancellation there is no file, and what was there before is untouched.
        """
        asked = self._asked(number)
        limit = self._limit(asked, max_bytes)
        try:
            async with self._call("RETR", timeout):
                return await self._run(save, self._wire, asked.number, target, limit)
        except NotSaved as failure:
            raise failure.error from None

    def messages(
        self,
        numbers: Iterable[int] | None = None,
        *,
        new_since: Container[str] | None = None,
        max_bytes: int | None = None,
        max_total_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Messages:
        """Go over many messages: `async for message in maildrop.messages()`, asked for ahead where the server lets us.

        Args:
            numbers: which; None is all there are when the loop begins.
            new_since: unique-ids that are known already: the messages that bear them are left out.
            max_bytes: the longest to take; None is the session's `max_message_bytes`.
            max_total_bytes: the most to take in all; None is no limit.
            timeout: seconds for each wait of the loop; None takes the session's, `math.inf` is no limit.

        Raises (in the loop):
            RefusedError, LimitError: there is no such message any more, or LIST says that it is too long. The session
                stays open, and going on with the same iterator gives the next one.
            ProtocolError, LimitError, DisconnectedError, DeadlineError: the session is closed; what came whole before
                has been given.

        Within the loop every other command can be called: it waits for the answers that are under way (at most 12 MiB
        as LIST counts), which the loop gets afterwards. Left early, the loop leaves the session as it should be; the
        next command reads off what was under way. A reader that takes minutes over a batch of 1 MiB may find that the
        server's patience has ended.
        """
        asked = None if numbers is None else [checked_number(number) for number in numbers]
        begin = functools.partial(self._begin, asked, new_since, max_bytes, max_total_bytes, timeout)
        return Messages(begin, functools.partial(self._next_batch, timeout=timeout))

    def take(self, *, seen: Seen | None = None, max_bytes: int | None = None, timeout: float | None = None) -> Taking:
        """Download and delete, each message only once it was confirmed; see `Taking`.

        Args:
            seen: what was confirmed before, a `SeenFile` say: a message is then taken once, whatever happens between.
            max_bytes: the longest to take; None is the session's `max_message_bytes`.
            timeout: seconds for each call; None takes the session's, `math.inf` is no limit.
        """
        return Taking(self, seen=seen, max_bytes=max_bytes, timeout=timeout)

    async def quit(self, *, timeout: float | None = None) -> Numbers:
        """End the session (QUIT): what is marked as deleted goes now. It is closed then, whatever happens.

        Returns:
            The numbers of the messages that are gone for good, ascending.

        Raises:
            RefusedError: the server says that it could not delete all of them.
            DisconnectedError, DeadlineError, ProtocolError: there was no answer, so they may be gone or not.

        Without deletions a failed goodbye takes nothing back, and is no error.
        """
        self._check_open("QUIT")
        try:
            async with self._call("QUIT", timeout):
                marked = sorted(self._deleted)
                await self._run(self._wire.leave)
        except ClosedError:
            raise
        except NetError as error:
            if self._deleted:
                error.add_note(f"{len(self._deleted)} messages were marked as deleted; not all of them may be gone")
                raise
            marked = []
        finally:
            self._deleted.clear()
            await self._spoil("quit() was called")
        return marked

    async def aclose(self) -> None:
        """Say QUIT and close; idempotent, and safe after a failure.

        Where messages are marked as deleted this is `quit()`, within the session's timeout and with its errors; else
        a goodbye of 2 seconds at most, whose failure is no error. Cancelled, the connection is dropped at once.
        """
        if self.is_open and self._deleted:
            await self.quit()
        else:
            await super().aclose()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        forgotten = len(self._deleted) if error is None and not self.is_open else 0
        await super().__aexit__(kind, error, traceback)
        if forgotten:  # the caller went on after the error that closed the session; this he would not notice
            raise DisconnectedError(
                f"{forgotten} deletions were not done: the session was closed before QUIT{self._why}",
                endpoint=self.endpoint,
                operation="QUIT",
            )

    # What the ground asks for.

    async def _open(self) -> None:
        await self._link.open(self.context, self._proxy)
        if self._utf8:
            await self._link.speak_utf8()
        if self.credentials is not None:
            await self._link.sign_in(self.credentials)

    async def _goodbye(self) -> None:
        await self._run(self._wire.leave)

    def _abort(self) -> None:
        self._link.abort()

    async def _settle(self) -> None:
        await self._link.settle()

    # What the methods above share.

    async def _begin(
        self,
        numbers: Numbers | None,
        new_since: Container[str] | None,
        max_bytes: int | None,
        max_total_bytes: int | None,
        timeout: float | None,
    ) -> Retrieval:
        """Find out which messages there are to retrieve, as far as that is not known."""
        async with self._call("LIST", timeout):
            is_pipelining = await self._is_pipelining()
            if numbers is None or new_since is not None or not self._sizes.keys() >= set(numbers):
                listed, uids = await self._run(
                    self._wire.contents, needs_uids=new_since is not None, is_pipelining=is_pipelining
                )
                self._sizes.update(listed)
                self._uids.update(uids)
                numbers = [number for number, _ in listed] if numbers is None else numbers
        return Retrieval(
            self._wire,
            [self._asked(number) for number in numbers if new_since is None or self._uids.get(number) not in new_since],
            is_pipelining=is_pipelining,
            max_bytes=self._max_message_bytes if max_bytes is None else max_bytes,
            max_total_bytes=max_total_bytes,
            endpoint=self.endpoint,
        )

    async def _next_batch(self, retrieval: Retrieval, *, timeout: float | None) -> Batch:
        async with self._call("RETR", timeout):
            return await self._run(retrieval.batch)

    def _asked(self, number: int) -> Wanted:
        asked = checked_number(number)
        return Wanted(asked, self._sizes.get(asked, 0), self._uids.get(asked))

    def _limit(self, asked: Wanted, max_bytes: int | None) -> int:
        limit = self._max_message_bytes if max_bytes is None else max_bytes
        self._check_open("RETR")
        if asked.size > limit:
            text = f"a message of {asked.size} bytes; at most {limit} are taken"
            raise LimitError(text, limit=limit, endpoint=self.endpoint, operation="RETR")
        return limit


session = Session
"""The verb: `async with pop3.session(...) as maildrop`."""
