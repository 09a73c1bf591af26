"""Commands: the commands of POP3 one by one, as methods of a session (RFC 1939, RFC 2449)."""

from __future__ import annotations

import operator
import poplib
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from asyncnet.errors import NetError, ProtocolError, UsageError
from asyncnet.message import Message
from asyncnet.pop3.link import Link
from asyncnet.pop3.reply import Listing, Stat, refusal
from asyncnet.pop3.retrieve import WINDOW_COUNT, delete
from asyncnet.pop3.wire import Wire
from asyncnet.session import Session as MailSession
from asyncnet.translation import TALKING, Translations

P = ParamSpec("P")
T = TypeVar("T")
Listings = list[Listing]  # spelled out here: in the class, `list` is a command

_MAX_NUMBER = 999_999_999


def _refused(error: Exception, endpoint: object, operation: str | None) -> NetError:
    # poplib's error_proto holds bytes when the server spoke, a str when poplib itself had something to say.
    said = error.args[0] if error.args else ""
    if isinstance(said, bytes):
        return refusal(said, endpoint, operation)
    return ProtocolError(str(said), endpoint=endpoint, operation=operation)


_TRANSLATIONS: Translations = ((poplib.error_proto, _refused), *TALKING)


class Commands(MailSession):
    """What a session can be told, command by command; the session itself opens and closes it.

    Every command waits first for the answers of a `messages()` loop that are under way.
    """

    protocol = "pop3"
    translations = _TRANSLATIONS

    _link: Link
    _max_message_bytes: int
    _sizes: dict[int, int]
    _uids: dict[int, str]
    _deleted: set[int]

    async def stat(self, *, timeout: float | None = None) -> Stat:
        """Count the messages and their bytes (STAT)."""
        async with self._call("STAT", timeout):
            return await self._run(self._wire.statistics)

    async def list(self, number: int | None = None, *, timeout: float | None = None) -> Listings:
        """List the number and size of each message (LIST), or of one.

        Raises:
            RefusedError: there is no such message, or it is marked as deleted.
        """
        asked = None if number is None else checked_number(number)
        async with self._call("LIST", timeout):
            found = await self._run(self._wire.listings, asked)
            self._sizes.update(found)
            return found

    async def uidl(self, number: int | None = None, *, timeout: float | None = None) -> dict[int, str]:
        """Map the number of each message, or of one, to its unique-id, which is its own in every session (UIDL).

        Raises:
            RefusedError: there is no such message, or the server has no unique-ids.
        """
        asked = None if number is None else checked_number(number)
        async with self._call("UIDL", timeout):
            found = await self._run(self._wire.unique_ids, asked)
            self._uids.update(found)
            return found

    async def top(self, number: int, lines: int, *, timeout: float | None = None) -> Message:
        """Fetch the header of a message and the first `lines` lines of its body (TOP).

        Returns:
            A Message of that part; its `size` is the whole message's where `list()` was asked, else the part's.

        Raises:
            RefusedError: there is no such message, or the server has no TOP.
        """
        asked, count = checked_number(number), checked_number(lines, least=0)
        async with self._call("TOP", timeout):
            _, raw = await self._run(self._wire.message, f"TOP {asked} {count}", self._max_message_bytes)
        return Message(raw=raw, uid=self._uids.get(asked), number=asked, size=self._sizes.get(asked) or len(raw))

    async def delete(self, number: int, *, timeout: float | None = None) -> None:
        """Mark a message as deleted (DELE); it goes when the session ends with QUIT.

        Raises:
            RefusedError: there is no such message, or it is marked already.
        """
        asked = checked_number(number)
        async with self._call("DELE", timeout):
            await self._run(self._wire.dele, asked)
            self._deleted.add(asked)

    async def delete_all(self, numbers: Iterable[int], *, timeout: float | None = None) -> None:
        """Mark many messages as deleted, all commands at once where the server has PIPELINING.

        Args:
            numbers: which; those that this session has marked already are passed over.
            timeout: seconds for each 512 of them; None takes the session's, `math.inf` is no limit.

        Raises:
            RefusedError: for some of them; all the others are marked. `.numbers` is a list of those.
        """
        waiting = [number for number in map(checked_number, numbers) if number not in self._deleted]
        refused: dict[int, bytes] = {}
        while waiting:
            batch, waiting = waiting[:WINDOW_COUNT], waiting[WINDOW_COUNT:]
            async with self._call("DELE", timeout):
                step = WINDOW_COUNT if await self._is_pipelining() else 1
                for start in range(0, len(batch), step):
                    part = batch[start : start + step]
                    said = await self._run(delete, self._wire, part)
                    self._deleted.update(number for number in part if number not in said)
                    refused.update(said)
        if refused:
            error = refusal(next(iter(refused.values())), self.endpoint, "DELE")
            error.numbers = list(refused)  # type: ignore[attr-defined]
            raise error

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
            self._link.offered = await self._run(self._wire.capabilities)
            return dict(self._link.offered)

    # What the commands share.

    async def _is_pipelining(self) -> bool:
        # Without a login nobody has asked for CAPA, and nothing is said that this could save.
        if self.credentials is not None:
            await self._link.known_capabilities()
        return "PIPELINING" in (self._link.offered or ())

    @property
    def _wire(self) -> Wire:
        return self._link.wire

    async def _run(self, call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        return await self._link.run(call, *arguments, **keywords)


def checked_number(number: int, *, least: int = 1) -> int:
    """Check a message number or a count of lines: whatever else it is would become a part of the command."""
    try:
        checked = int(operator.index(number))
    except TypeError:
        checked = -1
    if not least <= checked <= _MAX_NUMBER:
        raise UsageError(f"not a number from {least} to {_MAX_NUMBER}: {number!r}")
    return checked
