r"""The commands that change messages: flags, copies, moves, removals, and new messages put in (RFC 9051 §6.4)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from asyncnet.errors import RefusedError, UsageError
from asyncnet.imap.command import Request, Segment, flag_list, request
from asyncnet.imap.date_time import written_date_time
from asyncnet.imap.file_literal import FileLiteral
from asyncnet.imap.incoming import Collector
from asyncnet.imap.line_ends import with_crlf
from asyncnet.imap.mailbox_commands import MailboxCommands
from asyncnet.imap.response import Code, Expunged, Fetched, Status, Vanished
from asyncnet.imap.searching import found
from asyncnet.imap.storing import Storing, flag_changes
from asyncnet.imap.uid_set import UidSet, checked_uids, written_sets

Uids = int | Iterable[int]
"""one UID or several"""


class Changes(MailboxCommands):
    """The part of an IMAP session that changes messages; see `Session`."""

    async def store(
        self,
        uids: Uids,
        *,
        add: Iterable[str] | None = None,
        remove: Iterable[str] | None = None,
        replace: Iterable[str] | None = None,
        unchanged_since: int | None = None,
        timeout: float | None = None,
    ) -> dict[int, frozenset[str]]:
        r"""Change the flags of messages: `await mailbox.store(uid, add={r"\Seen"})`.

        Args:
            uids: whose.
            add: flags to set.
            remove: flags to clear.
            replace: the only flags they shall have; excludes `add` and `remove`.
            unchanged_since: leave alone a message that changed after this mod-sequence (RFC 7162: CONDSTORE); it is
                not in the result then.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            The flags that they have now, by UID; a message that has gone is not in it.

        Raises:
            UsageError: not a flag, nothing to change, or `replace` beside another.
        """
        changes = flag_changes(add, remove, replace, unchanged_since=unchanged_since)
        now: dict[int, frozenset[str]] = {}
        chosen = checked_uids(uids)
        async with self._call("STORE", timeout):
            for change in changes:
                for text, _ in written_sets(chosen):
                    now.update(await self._store(request("STORE", text, change, by_uid=True)))
        return {uid: now[uid] for uid in chosen if uid in now}

    def storing(self, *, timeout: float | None = None) -> Storing:
        r"""Change flags one by one, as `store` does, without waiting for each answer.

            async with mailbox.storing() as flags:
                async for message in mailbox.messages():
                    await flags.store(message.uid, add={r"\Seen"})

        The block ends when all are answered, and raises RefusedError for the first that was refused (a call of `store`
        within it raises it too, once it is known). Left by an exception, it does not wait: what was sent, the server
        does. Other calls may be made in between; a `fetch` sees the flags as changed by then.

        Args:
            timeout: seconds for each call, and for the end of the block; None takes the session's, `math.inf` is no
                limit.
        """
        return Storing(self, timeout)

    async def copy(self, uids: Uids, mailbox: str, *, timeout: float | None = None) -> dict[int, int]:
        """Copy messages into another mailbox.

        Returns:
            Their UIDs there by their UIDs here; empty where the server does not tell (it has no UIDPLUS).

        Raises:
            RefusedError: there is no such mailbox ([TRYCREATE]), or no room; then nothing was copied.
        """
        chosen, target = checked_uids(uids), self._named(mailbox)
        async with self._call("COPY", timeout):
            return await self._copy("COPY", chosen, target)

    async def move(self, uids: Uids, mailbox: str, *, timeout: float | None = None) -> dict[int, int]:
        r"""Move messages into another mailbox.

        A server without MOVE (RFC 6851) is asked to copy, flag as `\Deleted` and expunge them.

        Returns:
            Their UIDs there by their UIDs here; empty where the server does not tell.

        Raises:
            RefusedError: as for `copy`; or the server has neither MOVE nor UIDPLUS, and other messages are flagged
                `\Deleted`, which would be expunged too: then nothing was done.
        """
        chosen, target = checked_uids(uids), self._named(mailbox)
        async with self._call("MOVE", timeout):
            if self._can("MOVE", "IMAP4REV2"):
                return await self._copy("MOVE", chosen, target)
            if not self._can("UIDPLUS"):
                await self._check_expunge(chosen)
            copied = await self._copy("COPY", chosen, target)
            for text, _ in written_sets(chosen):
                await self._run(request("STORE", text, r"+FLAGS.SILENT (\Deleted)", by_uid=True))
            await self._expunge(chosen if self._can("UIDPLUS") else None)
            return copied

    async def expunge(self, uids: Uids | None = None, *, timeout: float | None = None) -> int:
        r"""Remove for good the messages that are flagged `\Deleted`: all, or those of `uids`.

        Returns:
            How many went, as far as the server told.

        Raises:
            RefusedError: the mailbox is open read-only; or `uids` were given and the server has no UIDPLUS (RFC 4315),
                without which it would expunge others too: then nothing was done.
        """
        chosen = None if uids is None else checked_uids(uids)
        async with self._call("EXPUNGE", timeout):
            if chosen is not None and not self._can("UIDPLUS", "IMAP4REV2"):
                raise RefusedError("the server cannot expunge by UID", endpoint=self.endpoint, operation="UID EXPUNGE")
            return await self._expunge(chosen)

    async def append(
        self,
        raw: bytes | Path,
        mailbox: str = "INBOX",
        *,
        flags: Iterable[str] = (),
        received: datetime | None = None,
        timeout: float | None = None,
    ) -> int | None:
        r"""Put a message into a mailbox.

        Args:
            raw: the message, or the file in which it is: that is read while it is sent, and takes no memory. Whatever
                its line ends, CRLF is sent.
            mailbox: its name, as text.
            flags: the flags that it gets; `\Seen` is not among them unless it is here.
            received: its INTERNALDATE; None is now.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            Its UID there, or None where the server does not tell.

        Raises:
            UsageError: a NUL in the message, or not a flag; or the file changed while it was sent, which ends the
                session.
            OSError: the file cannot be read; nothing was sent.
            RefusedError: there is no such mailbox ([TRYCREATE]), or no room; then nothing was added.
        """
        if isinstance(raw, bytes) and b"\0" in raw:
            raise UsageError("a NUL in the message, which IMAP cannot carry", operation="APPEND")
        described = [flag_list(chosen)] if (chosen := list(flags)) else []
        described += [written_date_time(received)] if received is not None else []
        literal = with_crlf(raw) if isinstance(raw, bytes) else await FileLiteral.of(raw)
        asked = request("APPEND", self._named(mailbox), *described, literal)
        async with self._call("APPEND", timeout):
            try:
                code = (await self._run(asked)).code
            except UsageError:
                self._abort()  # part of the message may have gone out, and the server waits for the rest
                raise
            if code is None or code.name != "APPENDUID" or code.target.count != 1:
                return None
            return next(iter(code.target))

    # How it is done

    async def _store(self, asked: Request) -> dict[int, frozenset[str]]:
        told = Collector(Fetched, self.limits.max_responses)
        with self._wire.incoming.heard_by(told):
            code = (await self._run(asked)).code
        now = {one.uid: one.flags for one in told.replies if one.uid is not None and one.flags is not None}
        if code is not None and code.name == "MODIFIED":  # RFC 7162 §3.1.3: these were left alone
            for low, high in UidSet.parse(code.text.encode()).ranges:
                now = {uid: flags for uid, flags in now.items() if not low <= uid <= high}
        return now

    async def _copy(self, command: str, uids: list[int], target: Segment) -> dict[int, int]:
        moved: dict[int, int] = {}
        for text, count in written_sets(uids):
            # RFC 6851 §4.3: MOVE tells COPYUID in an untagged OK.
            for status in await self._ask(request(command, text, target, by_uid=True), Status):
                moved.update(_copied(status.code, count))
        return moved

    async def _expunge(self, uids: list[int] | None) -> int:
        if uids is None:
            return await self._count_gone(request("EXPUNGE"))
        return sum([await self._count_gone(request("EXPUNGE", text, by_uid=True)) for text, _ in written_sets(uids)])

    async def _count_gone(self, asked: Request) -> int:
        # RFC 7162 §3.2.10: with QRESYNC on, VANISHED stands for EXPUNGE.
        counts: Collector[Expunged | Vanished] = Collector((Expunged, Vanished), self.limits.max_responses)
        with self._wire.incoming.heard_by(counts):
            await self._run(asked)
        return sum(reply.uids.count if isinstance(reply, Vanished) else 1 for reply in counts.replies)

    async def _check_expunge(self, uids: list[int]) -> None:
        others = set(await found(self, request("SEARCH", "DELETED", by_uid=True))).difference(uids)
        if others:
            raise RefusedError(
                rf"the server has neither MOVE nor UIDPLUS, and {len(others)} other messages are flagged \Deleted, "
                "which its EXPUNGE would remove too",
                endpoint=self.endpoint,
                operation="MOVE",
            )


def _copied(code: Code | None, count: int) -> dict[int, int]:
    if code is None or code.name != "COPYUID" or not code.source.count == code.target.count <= count:
        return {}
    return dict(zip(code.source, code.target, strict=True))
