"""Loans: the sessions of a Client: made by its policy, lent by its Lender, and what is fetched over them."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from asyncnet.credentials import Credentials, check_login
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DisconnectedError, UsageError
from asyncnet.lending import Lender, Lent
from asyncnet.message import Message
from asyncnet.proxy import Proxy
from asyncnet.session import Session
from asyncnet.trace import noted

if TYPE_CHECKING:
    from asyncnet.imap.session import Session as ImapSession
    from asyncnet.pop3.session import Session as Pop3Session

T = TypeVar("T")
Work = Callable[[Lent[Any]], Awaitable[T]]
"""what is done over a session"""


class Loans:
    """Lends sessions of every mail protocol.

    Args:
        lender: who keeps them.
        tls: as for each session, and so are all the others.
        proxy: the way there.
        allow_plaintext_login: send the secret even where a listener could read it.
    """

    def __init__(
        self, lender: Lender, tls: ssl.SSLContext | None, proxy: Proxy | None, allow_plaintext_login: bool
    ) -> None:
        self._lender = lender
        self._tls = tls
        self._proxy = proxy
        self._allow_plaintext_login = allow_plaintext_login

    def lend(
        self, where: Endpoint, credentials: Credentials | None, *, fresh: bool = False
    ) -> AbstractAsyncContextManager[Lent[Any]]:
        """Lend a session with a place; its timeout is none, for its user's deadline is around it.

        Raises:
            UsageError: a contradiction between URL and credentials, or a secret that would travel in plaintext.
            NetError: as the opening of the session.
        """
        proxied = self._proxy is not None
        check_login(where, credentials, allow_plaintext_login=self._allow_plaintext_login, proxied=proxied)
        make = functools.partial(
            _session_of(where),
            replace(where, username=None, path="", query=""),
            credentials,
            tls=self._tls,
            timeout=None,
            proxy=self._proxy,
            allow_plaintext_login=self._allow_plaintext_login,
        )
        return self._lender.lend(where.origin, (where.origin, credentials), make, fresh=fresh)

    async def over(
        self,
        stack: AsyncExitStack,
        where: Endpoint,
        credentials: Credentials | None,
        work: Work[T],
        *,
        may_repeat: bool = True,
    ) -> T:
        """Do one thing over a session, which the stack gives back; once more if a warm one turns out to be gone.

        Args:
            stack: left after the caller's deadline: what has come is not given up for a goodbye.
            where: the place.
            credentials: who signs in.
            work: what to do.
            may_repeat: whether it can be done again after a loss that left nothing done.
        """
        was_warm = False
        try:
            async with AsyncExitStack() as own:
                lent = await own.enter_async_context(self.lend(where, credentials))
                was_warm = lent.was_warm
                result = await work(lent)
                stack.push_async_exit(own.pop_all())
                return result
        except DisconnectedError as error:
            if not (was_warm and may_repeat) or error.outcome_unknown:
                raise
        # Others of its age may be gone as well.
        return await work(await stack.enter_async_context(self.lend(where, credentials, fresh=True)))


def imap_messages(where: Endpoint, max_messages: int, max_total_bytes: int) -> Work[list[Message]]:
    """Give what fetches the messages that an IMAP URL names.

    Raises:
        UsageError: the URL is not one of RFC 5092.
    """
    from asyncnet.imap.oneshot import fetch_over, wanted

    place, search = wanted(where)

    async def work(lent: Lent[ImapSession]) -> list[Message]:
        return _counted(await fetch_over(lent.session, place, search, False, max_messages, max_total_bytes))

    return work


def pop3_messages(max_messages: int, max_total_bytes: int) -> Work[list[Message]]:
    """Give what fetches a whole maildrop."""
    from asyncnet.pop3.oneshot import retrieve_all

    async def work(lent: Lent[Pop3Session]) -> list[Message]:
        return _counted(await retrieve_all(lent.session, max_messages, max_total_bytes))

    return work


def _counted(messages: list[Message]) -> list[Message]:
    noted(f"{len(messages)} messages")
    return messages


def _session_of(where: Endpoint) -> Callable[..., Session]:
    if where.protocol == "imap":
        from asyncnet.imap.session import Session as Imap

        return Imap
    if where.protocol == "smtp":
        from asyncnet.smtp.session import Session as Smtp

        return Smtp
    if where.protocol == "pop3":
        from asyncnet.pop3.session import Session as Pop3

        return Pop3
    raise UsageError(f"{where.scheme}:// has no sessions to lend", endpoint=where)
