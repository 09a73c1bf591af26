"""Taking: download and delete, where nothing is deleted that the caller has not confirmed.

The order is what makes it safe: the caller stores a message, confirms it, the memory has it on disk, and only then it
is deleted, by a QUIT that said +OK. Wherever that breaks off, the message is still there, or stored, or both; and if
both, the memory knows.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from asyncnet.errors import RefusedError, UsageError
from asyncnet.message import Message

if TYPE_CHECKING:
    from asyncnet.pop3.session import Session


class Seen(Protocol):
    """A memory of unique-ids; `SeenFile` is one on disk."""

    def __contains__(self, uid: object, /) -> bool:
        """Whether it has the unique-id."""

    async def add(self, *uids: str) -> None:
        """Remember these; they are safe when it returns."""

    async def discard(self, *uids: str) -> None:
        """Forget these, if they are there."""


class Taking:
    """Takes the messages of a maildrop away; made by `Session.take()`, and the last thing done in a session.

        async with pop3.session(url, alice) as maildrop, pop3.SeenFile("taken") as seen:
            async with maildrop.take(seen=seen) as taking:
                async for message in taking:
                    store(message.raw)
                    await taking.confirm(message)
            print(len(taking.deleted), "are gone from the server")

    Left in order, the block deletes what was confirmed and says QUIT: it ends well only after the server's +OK, and
    the session is closed then. Left by an exception or a cancellation it deletes nothing.

    With a memory, a message that was confirmed but not deleted, because something broke between, is not given again in
    the next run but deleted. What the server has deleted is forgotten. So there are two moments in which a crash
    shows: between the caller's own storing and the end of `confirm()` (the message comes once more), and between the
    server's +OK and the forgetting (a unique-id too many is remembered, which does nothing, as RFC 1939 §7 lets no
    server give it to another message).

    Attributes:
        deleted: the numbers of the messages that are gone for good; None until the block has ended well.

    Raises (at the end of the block):
        RefusedError: the server did not delete some of them; or has no unique-ids, and there is a memory.
        DisconnectedError, DeadlineError, ProtocolError: there was no answer to QUIT, so they may be gone or not.
    """

    def __init__(self, maildrop: Session, *, seen: Seen | None, max_bytes: int | None, timeout: float | None) -> None:
        self._maildrop = maildrop
        self._seen = seen
        self._timeout = timeout
        self._messages = maildrop.messages(new_since=seen, max_bytes=max_bytes, timeout=timeout)
        self._given: dict[int, Message] = {}
        self._confirmed: set[int] = set()
        self.deleted: list[int] | None = None

    def __aiter__(self) -> Taking:
        return self

    async def __anext__(self) -> Message:
        message = await anext(self._messages)
        assert message.number is not None
        self._given[message.number] = Message(raw=b"", uid=message.uid, number=message.number)
        return message

    async def confirm(self, *messages: Message) -> None:
        """Say that these are stored: they may be deleted. With a memory, it has them on disk when this returns.

        Raises:
            UsageError: not a message that this block gave.
        """
        numbers = [message.number for message in messages]
        known = [self._given.get(number or 0) for number in numbers]
        for message, given in zip(messages, known, strict=True):
            if given is None or given.uid != message.uid:
                raise UsageError("not a message that was taken here", endpoint=self._maildrop.endpoint)
        if self._seen is not None:
            await self._seen.add(*(str(message.uid) for message in messages))
        self._confirmed.update(number for number in numbers if number is not None)

    async def __aenter__(self) -> Taking:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._messages.abandon()
        if error is None:
            await self._finish()

    async def _finish(self) -> None:
        uids = await self._gone_with_quit()
        refused: RefusedError | None = None
        try:
            await self._maildrop.delete_all(sorted(self._confirmed | uids.keys()), timeout=self._timeout)
        except RefusedError as error:
            refused = error
        deleted = await self._maildrop.quit(timeout=self._timeout)
        if self._seen is not None:
            uids.update((number, str(message.uid)) for number, message in self._given.items())
            await self._seen.discard(*(uids[number] for number in deleted if number in uids))
        if refused is not None:
            raise refused
        self.deleted = deleted

    async def _gone_with_quit(self) -> dict[int, str]:
        """What the memory has and the server still holds: confirmed now, or in a run that did not get to its end."""
        if self._seen is None:
            return {}
        known = await self._maildrop.uidl(timeout=self._timeout)
        return {number: uid for number, uid in known.items() if uid in self._seen}
