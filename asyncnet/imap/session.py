r"""Session: mailboxes, opened, searched, read and changed. On aioimaplib, whose parser never runs (see `wire`).

Messages are named by their UIDs in every call and every result; sequence numbers, which others' expunges shift, are
never used.
"""

from __future__ import annotations

from asyncnet.errors import ProtocolError, RefusedError, UsageError
from asyncnet.imap.changes import Uids
from asyncnet.imap.command import fetch_items, partial, request, section
from asyncnet.imap.delivery import HEADER_BYTES, MAX_SIZE, Delivery
from asyncnet.imap.fetched import message
from asyncnet.imap.idling import Change, News, idle
from asyncnet.imap.reading import Reading
from asyncnet.imap.response import Fetched
from asyncnet.imap.search import Criteria
from asyncnet.imap.searching import found, search_request
from asyncnet.imap.uid_set import checked_uids
from asyncnet.message import Message


class Session(Reading):
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

    async def search(self, criteria: str | Criteria = "ALL", *, timeout: float | None = None) -> list[int]:
        """Give the UIDs of the messages in the open mailbox that fit, ascending.

        Args:
            criteria: as in RFC 9051 §6.4.4: `UNSEEN SINCE 1-Jan-2026 SUBJECT "Grüße"`; or built by the functions of
                `imap.search`: `search.unseen & search.since(day) & search.subject("Grüße")`.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            UsageError: criteria with a control character, a `{`, or quotes or parentheses that do not match.
            RefusedError: the server does not understand them, or not their characters ([BADCHARSET]).
        """
        asked = search_request(criteria, utf8=self._is_utf8)
        async with self._call("SEARCH", timeout):
            return await found(self, asked)

    async def fetch(
        self,
        uid: int,
        *,
        part: str | None = None,
        headers_only: bool = False,
        offset: int = 0,
        max_bytes: int | None = None,
        mark_seen: bool = False,
        timeout: float | None = None,
    ) -> Message:
        r"""Fetch one message, or one part of it.

        Args:
            uid: which one.
            part: `1`, `2.1`, `TEXT`, `2.MIME`... as in `Part.number`; None is the whole message.
            headers_only: only the header.
            offset: leave out so many bytes of it.
            max_bytes: take so many bytes of it at most.
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
        items = fetch_items(name + partial(offset, max_bytes), mark_seen=mark_seen)
        asked = request("FETCH", str(checked), items, by_uid=True)
        name += f"<{offset}>" if offset or max_bytes is not None else ""
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
        criteria: str | Criteria = "ALL",
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
        if uids is not None and not (isinstance(criteria, str) and criteria == "ALL"):
            raise UsageError("messages() takes criteria or uids, not both")
        return Delivery(
            self,
            search_request(criteria, utf8=self._is_utf8) if uids is None else sorted(set(checked_uids(uids))),
            name,
            mark_seen=mark_seen,
            may_vanish=uids is None,
            max_weight=HEADER_BYTES if headers_only else MAX_SIZE,
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

    async def idle(self, seconds: float = 300.0, *, timeout: float | None = None) -> list[Change]:
        """Wait until the server tells of a change in the open mailbox, at most so many seconds (IDLE).

        A call that another task makes meanwhile ends it at once (DONE), and comes next.

        Args:
            seconds: how long; servers end a session that is silent for 30 minutes, routers often one of 5.
            timeout: seconds beyond those, for the server's answers; None takes the session's, `math.inf` is no limit.

        Returns:
            What it told: `Exists` (there are so many messages now), `Expunged`, `Vanished`, `Fetched` (flags changed);
            empty where nothing happened.

        Raises:
            RefusedError: the server has no IDLE.
        """
        news = News(self.limits.max_responses)
        self._check_open("IDLE")
        with self._wire.incoming.heard_by(news):
            await self._idle(news, seconds, timeout)
        return news.changes

    async def _idle(self, news: News, seconds: float, timeout: float | None = None) -> None:
        beyond = self.timeout if timeout is None else timeout
        async with self._call("IDLE", None if beyond is None else seconds + beyond):
            if not self._can("IDLE", "IMAP4REV2"):
                raise RefusedError("the server has no IDLE", endpoint=self.endpoint, operation="IDLE")
            await self._wire.idle()
            self._idling = news.wake
            try:
                self._granted(await idle(self._wire, news.wake, seconds), "IDLE")
            finally:
                self._idling = None


session = Session
