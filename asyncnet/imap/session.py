r"""Session: mailboxes, opened, searched, read and changed. On aioimaplib, whose parser never runs (see `wire`).

Messages are named by their UIDs in every call and every result; sequence numbers, which others' expunges shift, are
never used.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from asyncnet.errors import ProtocolError, RefusedError, UsageError
from asyncnet.imap.command import (
    fetch_items,
    flag_list,
    quoted_name,
    request,
    section,
    with_crlf,
)
from asyncnet.imap.date_time import written_date_time
from asyncnet.imap.delivery import MAX_SIZE, Delivery
from asyncnet.imap.fetched import message
from asyncnet.imap.mailbox_commands import MailboxCommands
from asyncnet.imap.response import Code, Expunged, Fetched, Status
from asyncnet.imap.searching import found, search_request
from asyncnet.imap.uid_set import checked_uids, written_sets
from asyncnet.message import Message

Uids = int | Iterable[int]
"""one UID or several"""

_HEADER_BYTES = 16 * 1024
"""What the header of a message counts where batches are made: most have less, few have more."""


class Session(MailboxCommands):
    r"""A signed-in conversation with one IMAP server; opened by `async with`, closed by `aclose()` (LOGOUT).

        async with imap.session("imaps://mail.example.org", alice) as mailbox:
            await mailbox.select("INBOX")
            async for message in mailbox.messages("UNSEEN"):
                ...

    Names of mailboxes are text, in and out. Every search and every call names messages by UID. Fetching marks nothing
    as seen unless `mark_seen=True`.

    Args:
        endpoint: `imaps://host`, `imap+starttls://host` or `imap://host`; its path is not looked at.
        credentials: who signs in, by SCRAM-SHA-256, PLAIN, LOGIN, OAUTHBEARER or XOAUTH2 as the server offers, and by
            CRAM-MD5 if they name it; None signs in nowhere. Where the server says that it knows us already (PREAUTH,
            by a client's certificate say), they are not used.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for the opening (lookup, connect, TLS, greeting, login), and then for each call afresh; None
            is no limit.
        proxy: the way there, as in `Proxy.parse`; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        limits: how much of the server's talk is taken.

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, a secret that would travel
            in plaintext; on opening, aioimaplib is not installed.

    Every call raises, beside what it names itself: RefusedError where the server says NO (`.code` is "NO"; transient
    by the codes of RFC 5530) or BAD ("BAD", never transient), after which the session goes on; UsageError before a byte
    is sent, also where no mailbox is open; ProtocolError, LimitError, DisconnectedError (also for BYE) and
    DeadlineError, which close the session, as a cancellation does; ClosedError from then on.
    """

    async def search(self, criteria: str = "ALL", *, timeout: float | None = None) -> list[int]:
        """Give the UIDs of the messages in the open mailbox that fit, ascending.

        Args:
            criteria: as in RFC 9051 §6.4.4: `UNSEEN SINCE 1-Jan-2026 SUBJECT "Grüße"`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            UsageError: criteria with a control character, a `{`, or quotes or parentheses that do not match.
            RefusedError: the server does not understand them, or not their characters ([BADCHARSET]).
        """
        asked = search_request(criteria)
        async with self._call("SEARCH", timeout):
            return await found(self, asked)

    async def fetch(
        self,
        uid: int,
        *,
        part: str | None = None,
        headers_only: bool = False,
        mark_seen: bool = False,
        timeout: float | None = None,
    ) -> Message:
        r"""Fetch one message, or one part of it.

        Args:
            uid: which one.
            part: `1`, `2.1`, `TEXT`, `2.MIME`... as in `Part.number`; None is the whole message.
            headers_only: only the header.
            mark_seen: set `\Seen`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            The message; `raw` holds what was asked for, the rest describes all of it.

        Raises:
            RefusedError: there is no such message, or it has no such part (some servers call that one empty instead).
            ProtocolError: the server says how big the message is, and gives none of it.
        """
        name = f"BODY[{section(part, headers_only=headers_only)}]"
        (checked,) = checked_uids([uid])
        asked = request("FETCH", str(checked), fetch_items(name, mark_seen=mark_seen), by_uid=True)
        async with self._call("FETCH", timeout):
            replies = [one for one in await self._ask(asked, Fetched) if one.uid == uid]
            for one in replies:
                if (came := message(one, name)) is not None:
                    return came
            if any(name in one.sections for one in replies):  # NIL
                if part is None:
                    raise ProtocolError(f"the server has the message with UID {uid}, and gives nothing of it")
                raise RefusedError(f"the message has no part {part} (UID {uid})", operation="UID FETCH")
            raise RefusedError(f"no such message (UID {uid})", operation="UID FETCH")

    def messages(
        self,
        criteria: str = "ALL",
        *,
        uids: Uids | None = None,
        headers_only: bool = False,
        mark_seen: bool = False,
        timeout: float | None = None,
    ) -> Delivery:
        r"""Give the messages that fit, one by one, ascending by UID, fetched ahead at flat memory.

        Args:
            criteria: as for `search`; those that others expunge meanwhile are left out.
            uids: these messages instead; the ones that do not come are a RefusedError after the last that did.
            headers_only: only their headers.
            mark_seen: set `\Seen`, also on messages that were fetched ahead and not handed out.
            timeout: seconds for each message; None takes the session's, `math.inf` is no limit.

        Other calls may be made in between; they are answered behind what is under way.
        """
        name = f"BODY[{section(None, headers_only=headers_only)}]"
        if uids is not None and criteria != "ALL":
            raise UsageError("messages() takes criteria or uids, not both")
        return Delivery(
            self,
            search_request(criteria) if uids is None else sorted(set(checked_uids(uids))),
            name,
            mark_seen=mark_seen,
            may_vanish=uids is None,
            max_weight=_HEADER_BYTES if headers_only else MAX_SIZE,
            timeout=timeout,
        )

    async def fetch_many(
        self, uids: Uids, *, headers_only: bool = False, mark_seen: bool = False, timeout: float | None = None
    ) -> list[Message]:
        """Fetch many messages at once, ascending by UID; see `messages`.

        Raises:
            RefusedError: not all of them are there.
        """
        came: list[Message] = []
        chosen = [uids] if isinstance(uids, int) else list(uids)
        if chosen:
            delivery = self.messages(uids=chosen, headers_only=headers_only, mark_seen=mark_seen, timeout=timeout)
            await delivery.rest(came.append)
        return came

    async def sizes(self, uids: Uids, *, timeout: float | None = None) -> dict[int, int]:
        """Give the sizes of messages in bytes, as the server tells them, by UID; one that has gone is not in it."""
        sizes: dict[int, int] = {}
        chosen = checked_uids(uids)
        async with self._call("FETCH", timeout):
            for text, _ in written_sets(chosen):
                for one in await self._ask(request("FETCH", text, "(UID RFC822.SIZE)", by_uid=True), Fetched):
                    if one.uid is not None and one.size is not None:
                        sizes[one.uid] = one.size
        return {uid: sizes[uid] for uid in chosen if uid in sizes}

    async def store(
        self,
        uids: Uids,
        *,
        add: Iterable[str] | None = None,
        remove: Iterable[str] | None = None,
        replace: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> dict[int, frozenset[str]]:
        r"""Change the flags of messages: `await mailbox.store(uid, add={r"\Seen"})`.

        Args:
            uids: whose.
            add: flags to set.
            remove: flags to clear.
            replace: the only flags they shall have; excludes `add` and `remove`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            The flags that they have now, by UID; a message that has gone is not in it.

        Raises:
            UsageError: not a flag, nothing to change, or `replace` beside another.
        """
        if (replace is not None) == (add is not None or remove is not None):
            raise UsageError("store() takes add and remove, or replace")
        changes = [
            f"{sign}FLAGS {flag_list(flags)}"
            for sign, flags in (("+", add), ("-", remove), ("", replace))
            if flags is not None
        ]
        now: dict[int, frozenset[str]] = {}
        chosen = checked_uids(uids)
        async with self._call("STORE", timeout):
            for change in changes:
                for text, _ in written_sets(chosen):
                    for one in await self._ask(request("STORE", text, change, by_uid=True), Fetched):
                        if one.uid is not None and one.flags is not None:
                            now[one.uid] = one.flags
        return {uid: now[uid] for uid in chosen if uid in now}

    async def copy(self, uids: Uids, mailbox: str, *, timeout: float | None = None) -> dict[int, int]:
        """Copy messages into another mailbox.

        Returns:
            Their UIDs there by their UIDs here; empty where the server does not tell (it has no UIDPLUS).

        Raises:
            RefusedError: there is no such mailbox ([TRYCREATE]), or no room; then nothing was copied.
        """
        chosen, target = checked_uids(uids), quoted_name(mailbox)
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
        chosen, target = checked_uids(uids), quoted_name(mailbox)
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
        raw: bytes,
        mailbox: str = "INBOX",
        *,
        flags: Iterable[str] = (),
        received: datetime | None = None,
        timeout: float | None = None,
    ) -> int | None:
        r"""Put a message into a mailbox.

        Args:
            raw: the message; whatever its line ends, CRLF is sent.
            mailbox: its name, as text.
            flags: the flags that it gets; `\Seen` is not among them unless it is here.
            received: its INTERNALDATE; None is now.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            Its UID there, or None where the server does not tell.

        Raises:
            UsageError: a NUL in the message, or not a flag.
            RefusedError: there is no such mailbox ([TRYCREATE]), or no room; then nothing was added.
        """
        if b"\0" in raw:
            raise UsageError("a NUL in the message, which IMAP cannot carry", operation="APPEND")
        described = [flag_list(chosen)] if (chosen := list(flags)) else []
        described += [written_date_time(received)] if received is not None else []
        asked = request("APPEND", quoted_name(mailbox), *described, with_crlf(raw))
        async with self._call("APPEND", timeout):
            code = (await self._run(asked)).code
            if code is None or code.name != "APPENDUID" or code.target.count != 1:
                return None
            return next(iter(code.target))

    # How it is done

    async def _copy(self, command: str, uids: list[int], target: str) -> dict[int, int]:
        moved: dict[int, int] = {}
        for text, count in written_sets(uids):
            # RFC 6851 §4.3: MOVE tells COPYUID in an untagged OK.
            for status in await self._ask(request(command, text, target, by_uid=True), Status):
                moved.update(_copied(status.code, count))
        return moved

    async def _expunge(self, uids: list[int] | None) -> int:
        if uids is None:
            return len(await self._ask(request("EXPUNGE"), Expunged))
        gone = 0
        for text, _ in written_sets(uids):
            gone += len(await self._ask(request("EXPUNGE", text, by_uid=True), Expunged))
        return gone

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


session = Session
