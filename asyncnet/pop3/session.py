"""Session: a maildrop, opened, worked in and left. poplib in a thread of its own, its socket dialled on the loop.

What is marked as deleted goes when the session is left in order, with QUIT, and not otherwise (RFC 1939 §6).
"""

from __future__ import annotations

import operator
import poplib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DisconnectedError, LimitError, NetError, ProtocolError, UsageError
from asyncnet.message import Message
from asyncnet.pop3.link import Link
from asyncnet.pop3.reply import Listing, Stat, refusal
from asyncnet.pop3.wire import Limits, Wire
from asyncnet.proxy import Proxy
from asyncnet.session import Session as MailSession
from asyncnet.translation import TALKING, Translations

P = ParamSpec("P")
T = TypeVar("T")
Numbers = list[int]  # both spelled out here: in the class, `list` is a command
Listings = list[Listing]

_MAX_NUMBER = 999_999_999


def _refused(error: Exception, endpoint: object, operation: str | None) -> NetError:
    # poplib's error_proto holds bytes when the server spoke, a str when poplib itself had something to say.
    said = error.args[0] if error.args else ""
    if isinstance(said, bytes):
        return refusal(said, endpoint, operation)
    return ProtocolError(str(said), endpoint=endpoint, operation=operation)


_TRANSLATIONS: Translations = ((poplib.error_proto, _refused), *TALKING)


class Session(MailSession):
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

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, or a secret that would
            travel in plaintext.

    Every call raises, beside what it names itself: RefusedError where the server says -ERR (transient by the response
    codes of RFC 2449 and RFC 3206), ProtocolError, LimitError, DisconnectedError, DeadlineError, and ClosedError once
    the session is closed, which all but a refusal do.
    """

    protocol = "pop3"
    translations = _TRANSLATIONS

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
        self._link = Link(self.endpoint, Limits(max_line_bytes, max_reply_bytes, max_lines))
        self._sizes: dict[int, int] = {}
        self._uids: dict[int, str] = {}
        self._deleted: set[int] = set()

    async def stat(self, *, timeout: float | None = None) -> Stat:
        """Count the messages and their bytes (STAT)."""
        async with self._call("STAT", timeout):
            return await self._run(self._wire.statistics)

    async def list(self, number: int | None = None, *, timeout: float | None = None) -> Listings:
        """List the number and size of each message (LIST), or of one.

        Raises:
            RefusedError: there is no such message, or it is marked as deleted.
        """
        asked = None if number is None else _number(number)
        async with self._call("LIST", timeout):
            found = await self._run(self._wire.listings, asked)
            self._sizes.update(found)
            return found

    async def uidl(self, number: int | None = None, *, timeout: float | None = None) -> dict[int, str]:
        """Map the number of each message, or of one, to its unique-id, which is its own in every session (UIDL).

        Raises:
            RefusedError: there is no such message, or the server has no unique-ids.
        """
        asked = None if number is None else _number(number)
        async with self._call("UIDL", timeout):
            found = await self._run(self._wire.unique_ids, asked)
            self._uids.update(found)
            return found

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
        asked = _number(number)
        limit = self._max_message_bytes if max_bytes is None else max_bytes
        self._check_open("RETR")
        size = self._sizes.get(asked, 0)
        if size > limit:
            text = f"a message of {size} bytes; at most {limit} are taken"
            raise LimitError(text, limit=limit, endpoint=self.endpoint, operation="RETR")
        async with self._call("RETR", timeout):
            announced, raw = await self._run(self._wire.message, f"RETR {asked}", limit)
            size = announced if announced is not None else size
            if size and not raw:
                raise ProtocolError(f"message {asked} is of {size} bytes, and came empty")
        return Message(raw=raw, uid=self._uids.get(asked), number=asked, size=size or len(raw))

    async def top(self, number: int, lines: int, *, timeout: float | None = None) -> Message:
        """Fetch the header of a message and the first `lines` lines of its body (TOP).

        Returns:
            A Message of that part; its `size` is the whole message's where `list()` was asked, else the part's.

        Raises:
            RefusedError: there is no such message, or the server has no TOP.
        """
        asked, count = _number(number), _number(lines, least=0)
        async with self._call("TOP", timeout):
            _, raw = await self._run(self._wire.message, f"TOP {asked} {count}", self._max_message_bytes)
        return Message(raw=raw, uid=self._uids.get(asked), number=asked, size=self._sizes.get(asked) or len(raw))

    async def delete(self, number: int, *, timeout: float | None = None) -> None:
        """Mark a message as deleted (DELE); it goes when the session ends with QUIT.

        Raises:
            RefusedError: there is no such message, or it is marked already.
        """
        asked = _number(number)
        async with self._call("DELE", timeout):
            await self._run(self._wire.dele, asked)
            self._deleted.add(asked)

    async def reset(self, *, timeout: float | None = None) -> None:
        """Take back every deletion of this session (RSET)."""
        async with self._call("RSET", timeout):
            await self._run(self._wire.rset)
            self._deleted.clear()

    async def noop(self, *, timeout: float | None = None) -> None:
        """Ask for nothing but a sign of life (NOOP)."""
        async with self._call("NOOP", timeout):
            await self._run(self._wire.noop)

    async def capabilities(self, *, timeout: float | None = None) -> dict[str, tuple[str, ...]]:
        """Ask what the server can do: names in upper case, with their arguments (CAPA).

        Raises:
            RefusedError: the server has no CAPA.
        """
        async with self._call("CAPA", timeout):
            return await self._run(self._wire.capabilities)

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
        if self.credentials is not None:
            await self._link.sign_in(self.credentials)

    async def _goodbye(self) -> None:
        await self._run(self._wire.leave)

    def _abort(self) -> None:
        self._link.abort()

    async def _settle(self) -> None:
        await self._link.settle()

    @property
    def _wire(self) -> Wire:
        return self._link.wire

    async def _run(self, call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        return await self._link.run(call, *arguments, **keywords)


def _number(number: int, *, least: int = 1) -> int:
    """Check a message number or a count of lines: whatever else it is would become a part of the command."""
    try:
        checked = int(operator.index(number))
    except TypeError:
        checked = -1
    if not least <= checked <= _MAX_NUMBER:
        raise UsageError(f"not a number from {least} to {_MAX_NUMBER}: {number!r}")
    return checked


session = Session
"""The verb: `async with pop3.session(...) as maildrop`."""
