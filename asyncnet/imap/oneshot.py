"""fetch(): the messages of one mailbox in one call, one deadline and two limits."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from contextlib import AsyncExitStack

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import LimitError, RefusedError, UsageError
from asyncnet.imap.delivery import Delivery
from asyncnet.imap.limits import Limits
from asyncnet.imap.place import Place
from asyncnet.imap.searching import search_request
from asyncnet.imap.session import Session
from asyncnet.message import Message
from asyncnet.proxy import Proxy


async def fetch(
    endpoint: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    search: str = "ALL",
    mark_seen: bool = False,
    max_messages: int = 1000,
    max_total_bytes: int = 256 * 1024 * 1024,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> list[Message]:
    r"""Fetch the messages of a mailbox: `await imap.fetch("imaps://mail.example.org/INBOX", alice, search="UNSEEN")`.

    Args:
        endpoint: where, and which mailbox: the path is its name, INBOX if there is none. `;UIDVALIDITY=7` after it
            demands that, `/;UID=4` names one message, `?UNSEEN` is a search (RFC 5092).
        credentials: who signs in.
        search: which messages, as for `Session.search`.
        mark_seen: set `\Seen` on them; else the mailbox is opened read-only.
        max_messages: how many may be found.
        max_total_bytes: how many bytes they may have in all.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Returns:
        The messages, ascending by UID; those that others expunged meanwhile are left out.

    Raises:
        LimitError: there are more messages or bytes than allowed; no message was fetched.
        RefusedError: there is no such mailbox or message, or the UIDVALIDITY is another.
        ProtocolError: the server withheld a message that it has, or gave an empty one.
        UsageError, AuthenticationError, ConnectError, DisconnectedError, DeadlineError: as for `Session`.
    """
    where = Endpoint.parse(endpoint)
    place, search = wanted(where, search)
    session = Session(
        where,
        credentials,
        tls=tls,
        timeout=None,
        proxy=proxy,
        allow_plaintext_login=allow_plaintext_login,
        limits=_limits(max_total_bytes),
    )
    async with AsyncExitStack() as stack:
        async with deadline(timeout, where, "fetch") as limit:
            await stack.enter_async_context(session)
            messages = await fetch_over(session, place, search, mark_seen, max_messages, max_total_bytes)
            left = limit.remaining()
        # Outside of the deadline, and yet within it: what has been received is not given up for a goodbye.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, CLOSE_SECONDS)):
                await session.aclose()
    return messages


def wanted(where: Endpoint, search: str = "ALL") -> tuple[Place, str]:
    """Give the mailbox that a URL names, and the search for what is wanted of it.

    Raises:
        UsageError: the URL is not one of RFC 5092, both it and `search` say which messages, or that is no search.
    """
    place = Place.of(where)
    if place.search is not None or place.uid is not None:
        if search != "ALL" or (place.search is not None and place.uid is not None):
            raise UsageError("the URL says which messages, and so does `search` or the URL again", endpoint=where)
        search = place.search or f"UID {place.uid}"
    search_request(search)  # refused before a byte is sent
    return place, search


async def fetch_over(
    session: Session, place: Place, search: str, mark_seen: bool, max_messages: int, max_total_bytes: int
) -> list[Message]:
    """Open a mailbox in a session that stands, and fetch what is wanted of it; arguments and errors as in `fetch`."""
    await _open(session, place, read_only=not mark_seen)
    return await _messages(session, place, search, mark_seen, max_messages, max_total_bytes)


def _limits(max_total_bytes: int) -> Limits:
    room = Limits()
    beside = room.max_response_bytes - room.max_literal_bytes
    most = max(max_total_bytes, 1)
    return Limits(max_literal_bytes=most, max_response_bytes=most + beside)


async def _open(session: Session, place: Place, *, read_only: bool) -> None:
    opened = await session.select(place.name, read_only=read_only)
    if place.uidvalidity not in (None, opened.uidvalidity):
        raise RefusedError(
            f"the mailbox is not the one of the URL: its UIDVALIDITY is {opened.uidvalidity}",
            endpoint=session.endpoint,
            operation="fetch",
        )


async def _messages(
    session: Session, place: Place, search: str, mark_seen: bool, max_messages: int, max_total_bytes: int
) -> list[Message]:
    uids = await session.search(search)
    if place.uid is not None and not uids:
        raise RefusedError(f"no such message (UID {place.uid})", endpoint=session.endpoint, operation="fetch")
    if len(uids) > max_messages:
        raise _beyond(session, f"{len(uids)} messages; at most {max_messages} are taken", max_messages)
    if not uids:
        return []
    sizes = await session.sizes(uids)
    if (total := sum(sizes.values())) > max_total_bytes:
        raise _beyond(session, f"{total} bytes in all; at most {max_total_bytes} are taken", max_total_bytes)
    came: list[Message] = []
    room = max_total_bytes

    def take(message: Message) -> None:
        nonlocal room
        room -= len(message.raw)  # sizes are the server's word; this is ours
        if room < 0:
            raise _beyond(session, "more bytes than the server had announced", max_total_bytes)
        came.append(message)

    # One without a size has gone meanwhile, or the server says why not when it is fetched.
    sizes = {uid: sizes.get(uid, 0) for uid in uids}
    await Delivery(session, uids, "BODY[]", mark_seen=mark_seen, sizes=sizes).rest(take)
    return came


def _beyond(session: Session, text: str, limit: int) -> LimitError:
    return LimitError(text, limit=limit, endpoint=session.endpoint, operation="fetch")
