"""fetch(): the whole maildrop in one call, one deadline and two limits."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import LimitError, NetError, ProtocolError, RefusedError
from asyncnet.message import Message
from asyncnet.pop3.session import Session
from asyncnet.proxy import Proxy

Messages = list[Message]


async def fetch(
    endpoint: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    delete: bool = False,
    max_messages: int = 1000,
    max_total_bytes: int = 256 * 1024 * 1024,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
    places: asyncio.Semaphore | None = None,
) -> Messages:
    """Fetch every message of a maildrop.

    Args:
        endpoint: where, as for `Session`.
        credentials: who signs in.
        delete: delete them on the server once all have come.
        max_messages: how many messages may be there.
        max_total_bytes: how many bytes they may have in all.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        places: bounds how many sessions there are at once, as for `Session`; waiting for one counts to the timeout.

    Returns:
        The messages in the server's order, each with its number, its size and, where the server has them, its uid.

    Raises:
        LimitError: there are more messages or bytes than allowed; none was deleted.
        ProtocolError: fewer, other or empty messages came than were announced.
        AuthenticationError, RefusedError, ConnectError, DisconnectedError, DeadlineError: as for `Session`.

    With `delete`, an error of the last step (QUIT) bears what was fetched as its `.messages`, a list: the server may
    or may not have deleted them. Any other error, or a cancellation, leaves the maildrop as it was.
    """
    place = Endpoint.parse(endpoint)
    async with AsyncExitStack() as stack:
        async with deadline(timeout, place, "fetch") as limit:
            maildrop = Session(
                place,
                credentials,
                tls=tls,
                timeout=None,
                proxy=proxy,
                allow_plaintext_login=allow_plaintext_login,
                max_message_bytes=max_total_bytes,
                places=places,
            )
            await stack.enter_async_context(maildrop)
            messages = await retrieve_all(maildrop, max_messages, max_total_bytes)
            if delete and messages:
                await maildrop.delete_all([message.number or 0 for message in messages])
            left = limit.remaining()
        await _leave(maildrop, messages, left, delete=delete)
    return messages


async def retrieve_all(maildrop: Session, max_messages: int, max_total_bytes: int) -> Messages:
    """Fetch every message over a session that stands; limits and errors as in `fetch`."""
    count, _ = await maildrop.stat()
    if count > max_messages:
        raise _beyond(maildrop, f"{count} messages; at most {max_messages} are taken", max_messages)
    if not count:
        return []
    listed = await maildrop.list()
    if len(listed) != count:
        raise _broken(maildrop, f"STAT counts {count} messages, LIST {len(listed)}")
    total = sum(size for _, size in listed)
    if total > max_total_bytes:
        raise _beyond(maildrop, f"{total} bytes in all; at most {max_total_bytes} are taken", max_total_bytes)
    await _ask_for_uids(maildrop, {number for number, _ in listed})
    # Sizes are the server's word; the limit of what comes is ours.
    numbers = [number for number, _ in listed]
    return [message async for message in maildrop.messages(numbers, max_total_bytes=max_total_bytes)]


async def _ask_for_uids(maildrop: Session, numbers: set[int]) -> None:
    try:
        uids = await maildrop.uidl()  # the session remembers them for the messages to come
    except RefusedError:
        return  # RFC 1939 §7: UIDL is optional
    if uids.keys() != numbers:
        raise _broken(maildrop, f"LIST names {len(numbers)} messages, and UIDL not the same ones")


async def _leave(maildrop: Session, messages: Messages, left: float, *, delete: bool) -> None:
    try:
        # Outside of the deadline, and yet within it: what has been received is not given up for a goodbye.
        await maildrop.quit(timeout=left if delete and messages else min(left, CLOSE_SECONDS))
    except NetError as error:
        error.messages = messages  # type: ignore[attr-defined]
        raise


def _beyond(maildrop: Session, text: str, limit: int) -> LimitError:
    return LimitError(text, limit=limit, endpoint=maildrop.endpoint, operation="fetch")


def _broken(maildrop: Session, text: str) -> ProtocolError:
    return ProtocolError(text, endpoint=maildrop.endpoint, operation="fetch")
