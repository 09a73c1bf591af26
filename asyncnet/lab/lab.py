r"""Lab: throw-away servers on 127.0.0.1 to test against, one memory behind them, faults on demand.

async with asyncnet.Lab() as lab:
    lab.deliver("Subject: hello\n\nworld")
    [message] = await asyncnet.imap.fetch(lab.imap.url, lab.credentials)
    lab.faults.on("imap", "FETCH", cut_after=1000)
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from types import TracebackType
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.errors import UsageError
from asyncnet.lab.authority import authority
from asyncnet.lab.chaos import USUAL, Chaos
from asyncnet.lab.content import as_crlf
from asyncnet.lab.dialogue import Dialogue
from asyncnet.lab.echo import EchoService
from asyncnet.lab.faults import PROTOCOLS, Faults
from asyncnet.lab.imap.session import talk_imap
from asyncnet.lab.mailbox import Change, Mailbox, StoredMessage
from asyncnet.lab.manner import IMAP, POP3, SMTP
from asyncnet.lab.pop3 import talk_pop3
from asyncnet.lab.sent import Sent, SentMail
from asyncnet.lab.service import LineService, Service
from asyncnet.lab.smtp import talk_smtp
from asyncnet.lab.store import Account, Store
from asyncnet.lab.web import WebService

DOMAIN = "example.org"
_MAX_KEPT = 10_000
"""Requests that are kept; beyond, the earliest are forgotten."""
_MAX_DIALOGUES = 200


class Lab:
    """Servers to test against; `async with` starts and stops them.

    Args:
        accounts: usernames and secrets; None is one account, `me` with the secret `secret`. The address of an account
            is `<username>@<domain>`, or the username itself where that is an address.
        domain: the domain whose mail the lab takes in. Mail to other domains is accepted too, and kept in `sent` alone.
        host: where to listen.
        ports: fixed ports by scheme (`{"smtp": 2525, "imaps": 9993}`); all others are free ones.
        require_login: SMTP takes mail only after AUTH.
        require_tls: no server takes a secret before TLS.
        max_message_bytes: what SMTP and APPEND take at most.
        max_bytes, max_messages: what the store holds at most; over it, servers say so (452, NO [OVERQUOTA]).
        services: more to start and stop with the lab, in order, last.

    Attributes:
        store: the memory behind all servers.
        faults: what goes wrong, and when.
        smtp, pop3, imap, http, echo: the services, with `url`, `starttls_url`, `tls_url`, `port`, `tls_port`.
        sent: mails that came by SMTP, with their envelopes.
        requests: what HTTP clients asked for.
        dialogues: the conversations, 200 at most; the earliest that is over is forgotten first.

    Raises:
        UsageError: two accounts of one name, one without a name, no domain, an unknown scheme in `ports`.
        ConnectError: on entering; a port is taken. Nothing is left running.

    Left by an error or not, it stops at once: clients are cut off. Started again, it has the same mail and ports.
    """

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = None,
        domain: str = DOMAIN,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        require_login: bool = False,
        require_tls: bool = False,
        max_message_bytes: int = 52_428_800,
        max_bytes: int = 268_435_456,
        max_messages: int = 100_000,
        services: Iterable[Service] = (),
    ) -> None:
        if not domain or not domain.isprintable() or "@" in domain or " " in domain:
            raise UsageError(f"a domain is a name such as {DOMAIN}: not {domain!r}")
        self.domain = domain.lower()
        self.host = host
        self.require_login = require_login
        self.require_tls = require_tls
        self.max_message_bytes = max_message_bytes
        self.store = Store(max_bytes=max_bytes, max_messages=max_messages)
        self.faults = Faults()
        self.sent = SentMail(max_bytes=max_bytes)
        self.requests: deque[Any] = deque(maxlen=_MAX_KEPT)
        self.dialogues: deque[Dialogue] = deque(maxlen=_MAX_DIALOGUES)
        for username, secret in (accounts or {"me": "secret"}).items():
            self.add_account(username, secret)
        given = dict(ports or {})
        self.smtp = LineService(SMTP, talk_smtp, port=given.pop("smtp", 0), tls_port=given.pop("smtps", 0))
        self.pop3 = LineService(POP3, talk_pop3, port=given.pop("pop3", 0), tls_port=given.pop("pop3s", 0))
        self.imap = LineService(IMAP, talk_imap, port=given.pop("imap", 0), tls_port=given.pop("imaps", 0))
        self.http = WebService(port=given.pop("http", 0), tls_port=given.pop("https", 0))
        self.echo = EchoService(port=given.pop("tcp", 0), tls_port=given.pop("tls", 0))
        if given:
            raise UsageError(f"no server of the lab listens for {', '.join(sorted(given))}")
        self.services: list[Service] = [self.smtp, self.pop3, self.imap, self.http, self.echo, *services]
        self._running = False
        self._news = asyncio.Event()
        self.store.listen(self._changed)

    # Who is there.

    def add_account(self, username: str, secret: str) -> Account:
        """Make another account, at once.

        Raises:
            UsageError: the name or its address is taken, or it is no name.
        """
        address = username if "@" in username else f"{username}@{self.domain}"
        return self.store.add_account(username, secret, address)

    def account(self, username: str | None = None) -> Account:
        """Give an account by its username or address; None is the first.

        Raises:
            UsageError: there is none.
        """
        accounts = self.store.accounts
        if username is None:
            return next(iter(accounts.values()))
        found = accounts.get(username) or self.store.account_for(username)
        if found is None:
            raise UsageError(f"the lab has no account {username!r}; it has {', '.join(accounts)}")
        return found

    def mailbox(self, username: str | None = None, name: str = "INBOX") -> Mailbox:
        """Give a mailbox of an account; its messages are in `mailbox.messages`.

        Raises:
            UsageError: no such account, or no such mailbox.
        """
        return self.account(username).mailbox(name)

    @property
    def credentials(self) -> Credentials:
        """The first account's, for our own clients."""
        return self.credentials_of()

    def credentials_of(
        self, username: str | None = None, *, token: bool = False, mechanism: str | None = None
    ) -> Credentials:
        """Give an account's credentials for our own clients.

        Args:
            username: whose; None is the first account.
            token: as a callable that returns a bearer token (which here is the secret).
            mechanism: as in `Credentials`.
        """
        account = self.account(username)
        secret = account.secret
        return Credentials(account.username, (lambda: secret) if token else secret, mechanism=mechanism)

    # What it does.

    def deliver(
        self,
        message: EmailMessage | bytes | str,
        to: str | None = None,
        *,
        mailbox: str = "INBOX",
        flags: Iterable[str] = (),
        received: datetime | None = None,
    ) -> StoredMessage:
        """Put a message into a mailbox at once, past SMTP; those who watch it see it come.

        Args:
            message: an EmailMessage, or its bytes or text with any line ends.
            to: the account's username or address; None is the first account.
            mailbox: which of its mailboxes.
            flags: what it is marked with from the start.
            received: when it came in; None is now.

        Raises:
            UsageError: no such account or mailbox.
            OverQuota: the store is full.
        """
        return self.mailbox(to, mailbox).append(as_crlf(message), flags, received)

    def accept(self, mail: Sent, trace: bytes = b"") -> None:
        """Take a mail that came in by SMTP: into `sent`, and into the INBOX of each recipient who has one here.

        Args:
            mail: the mail.
            trace: the lines that stand before it in a mailbox (RFC 5321 §4.4).

        Raises:
            OverQuota: the store cannot hold it; nobody has got it.
        """
        accounts = {id(one): one for name in mail.recipients if (one := self.store.account_for(name)) is not None}
        raw = trace + mail.raw
        self.store.check(len(raw) * len(accounts), len(accounts))
        for account in accounts.values():
            account.inbox.append(raw, received=mail.received)
        self.sent.append(mail)
        self.wake()

    def chaos(
        self,
        seed: int = 0,
        rate: float = 0.1,
        *,
        protocols: Iterable[str] = PROTOCOLS,
        kinds: Sequence[str] = USUAL,
    ) -> Chaos:
        """Let commands go wrong by lot from now on, until `faults.clear()`; the same for the same seed.

        Args:
            seed: what the lot follows from, with the number of the conversation and of the command in it.
            rate: from 0 to 1, the share of commands that go wrong.
            protocols: where.
            kinds: what may happen: names of `chaos.KINDS`; by default all that ends by itself.

        Raises:
            UsageError: a rate that is none, an unknown protocol or kind.
        """
        self.faults.chaos = Chaos(seed, rate, frozenset(protocols), tuple(kinds))
        return self.faults.chaos

    async def until(self, condition: Callable[[], object], timeout: float | None = 5.0) -> None:
        """Wait until `condition()` is true; it is asked after each change of a mailbox, mail, request, end of a talk.

        Raises:
            DeadlineError: it has not come true within `timeout` seconds.
        """
        async with deadline(timeout, None, "until"):
            while not condition():
                self._news.clear()
                await self._news.wait()

    # TLS.

    @property
    def tls(self) -> ssl.SSLContext:
        """A fresh client's context that trusts the lab, and nobody else; see `ca_pem` for clients of other languages.

        Raises:
            UsageError: `trustme` is not installed (the extra `lab`).
        """
        return authority().client()

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the lab's authority, as PEM."""
        return authority().pem

    # Its life.

    async def start(self) -> None:
        """Start all services; `async with` calls this.

        Raises:
            ConnectError: a port is taken; nothing is left running.
            UsageError: it runs already.
        """
        if self._running:
            raise UsageError("this lab runs already")
        self._running = True
        self._news = asyncio.Event()  # an event belongs to one loop, and this may be another than last time
        try:
            for service in self.services:
                await service.start(self)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop all services at once, the last one first; mail stays to be looked at. Idempotent."""
        self._running = False
        async with contextlib.AsyncExitStack() as stack:  # each of them, whatever happens to the others
            for service in self.services:
                stack.push_async_callback(service.aclose)

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and not closed since."""
        return self._running

    async def restart(self, protocol: str) -> None:
        """Cut off all clients of a service and start it again at the same ports.

        Raises:
            UsageError: there is no such service, or it cannot be restarted.
        """
        for service in self.services:
            if service.name == protocol and isinstance(service, LineService):
                await service.restart()
                return
        raise UsageError(f"the lab has no {protocol!r} to restart")

    async def __aenter__(self) -> Lab:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def remember(self, dialogue: Dialogue) -> None:
        """Keep the record of a conversation; a service calls this when one begins."""
        if len(self.dialogues) == _MAX_DIALOGUES:  # one that is open is not forgotten before those that are over
            over = next((place for place, one in enumerate(self.dialogues) if one.ended), 0)
            del self.dialogues[over]
        self.dialogues.append(dialogue)

    def record(self, request: object) -> None:
        """Keep what an HTTP client asked for; the web service calls this."""
        self.requests.append(request)
        self.wake()

    def _changed(self, _: Change) -> None:
        self.wake()

    def wake(self) -> None:
        """Let whoever waits in `until` look again; services call this when something has happened."""
        self._news.set()

    def __repr__(self) -> str:
        return f"<asyncnet.Lab {'running' if self._running else 'stopped'}, {self.store.count} messages>"
