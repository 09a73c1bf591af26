r"""Storing: flags of many messages changed without waiting for each answer (RFC 9051 §6.4.6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from asyncnet.errors import NetError, RefusedError, UsageError, printable
from asyncnet.imap.command import flag_list, request
from asyncnet.imap.conversation import Conversation
from asyncnet.imap.refusal import refusal
from asyncnet.imap.uid_set import checked_uids, written_sets

if TYPE_CHECKING:
    from asyncnet.imap.changes import Uids
    from asyncnet.imap.response import Status
    from asyncnet.imap.wire import Pending

_MAX_UNDER_WAY = 256
"""Commands sent and not answered: enough for 5,000 a second over 50 ms."""


def flag_changes(
    add: Iterable[str] | None,
    remove: Iterable[str] | None,
    replace: Iterable[str] | None,
    *,
    silent: bool = False,
    unchanged_since: int | None = None,
) -> list[str]:
    r"""Give what stands behind the UIDs, one for each command: `+FLAGS (\Seen)`.

    Raises:
        UsageError: not a flag, nothing to change, or what excludes each other.
    """
    if (replace is not None) == (add is not None or remove is not None):
        raise UsageError("store() takes add and remove, or replace")
    if unchanged_since is not None and add is not None and remove is not None:
        raise UsageError("with unchanged_since, store() adds or removes: the second change would see the first")
    condition = "" if unchanged_since is None else f"(UNCHANGEDSINCE {unchanged_since:d}) "
    name = "FLAGS.SILENT" if silent else "FLAGS"
    return [
        f"{condition}{sign}{name} {flag_list(flags)}"
        for sign, flags in (("+", add), ("-", remove), ("", replace))
        if flags is not None
    ]


class Storing:
    """Changes of flags on their way; made by `Session.storing`, used by `async with`."""

    def __init__(self, session: Conversation, timeout: float | None) -> None:
        self._session = session
        self._timeout = timeout
        self._under_way: deque[tuple[Pending, str]] = deque()
        self._generation = session._state.generation

    async def store(
        self,
        uids: Uids,
        *,
        add: Iterable[str] | None = None,
        remove: Iterable[str] | None = None,
        replace: Iterable[str] | None = None,
    ) -> None:
        """Send a change of flags, behind what is under way, and wait for its answer only if 256 are unanswered.

        Args:
            uids: whose; a message that has gone is passed over.
            add: flags to set.
            remove: flags to clear.
            replace: the only flags they shall have; excludes `add` and `remove`.

        Raises:
            UsageError: not a flag, nothing to change, `replace` beside another; or another mailbox was opened.
            RefusedError: the server refused one that was sent before, and the error names its UIDs; what is left of
                this call is not sent.
            DeadlineError, DisconnectedError, ProtocolError: as in every call; the session is closed.
        """
        changes = flag_changes(add, remove, replace, silent=True)
        chosen = checked_uids(uids)
        async with self._session._call("STORE", self._timeout):
            if self._generation != self._session._state.generation:
                raise UsageError("another mailbox was opened, or this one left, while its flags were being changed")
            self._review()
            for change in changes:
                for text, _ in written_sets(chosen):
                    if len(self._under_way) >= _MAX_UNDER_WAY:
                        await self._settle(1)
                    pending = self._session._wire.issue(request("STORE", text, change, by_uid=True))
                    self._under_way.append((pending, text))

    async def __aenter__(self) -> Storing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to all; where the block failed, leave them to come by themselves.

        A refusal that was answered is raised also where the session is lost or closed before all have come; that is its
        cause then.
        """
        if kind is not None or not self._under_way:
            return
        try:
            async with self._session._call("STORE", self._timeout):
                await self._settle(len(self._under_way))
        except RefusedError:
            raise
        except NetError as failure:
            try:
                self._review()
            except RefusedError as refused:
                raise refused from failure
            raise

    async def _settle(self, count: int) -> None:
        """Wait for the answers to the first so many."""
        with self._session._wire.tap.open_for_now():
            for pending, _ in [self._under_way[place] for place in range(count)]:
                await pending.answer()
        self._review()

    def _review(self) -> None:
        """Look at what has been answered; raise the first refusal, with the UIDs of all."""
        refused: list[tuple[Status, str]] = []
        while self._under_way and (status := self._under_way[0][0].status) is not None:
            _, text = self._under_way.popleft()
            if status.kind != "OK":
                refused.append((status, text))
        if refused:
            uids = printable(",".join(text for _, text in refused), max_characters=80)
            raise refusal(refused[0][0], self._session.endpoint, f"UID STORE {uids}")
