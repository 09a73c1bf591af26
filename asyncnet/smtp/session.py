"""Session: mail handed over to one server, message after message."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from email.message import EmailMessage

import aiosmtplib
from aiosmtplib.esmtp import parse_esmtp_extensions

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline, phase
from asyncnet.dial import attach, dial, server_name
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import DisconnectedError, NetError, ProtocolError, TLSError, UsageError
from asyncnet.proxy import Proxy
from asyncnet.session import Session as MailSession
from asyncnet.smtp.bulk import Bulk, Sent
from asyncnet.smtp.exchange import Exchange, client_over
from asyncnet.smtp.login import sign_in
from asyncnet.smtp.mail import Mail, Source
from asyncnet.smtp.offers import Offers
from asyncnet.smtp.parcel import pack
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import Reply, refusal
from asyncnet.smtp.transaction import Hook, Transaction
from asyncnet.smtp.unknown import mark_unknown
from asyncnet.translation import CONNECTING, TALKING, Translations, translated


def _refused(error: Exception, endpoint: object, operation: str | None) -> NetError:
    assert isinstance(error, aiosmtplib.SMTPResponseException)
    return refusal(Reply(error.code, error.message), endpoint, operation)


_TRANSLATIONS: Translations = (
    (aiosmtplib.SMTPResponseException, _refused),
    (aiosmtplib.SMTPServerDisconnected, DisconnectedError),
    (aiosmtplib.SMTPException, ProtocolError),
    *TALKING,
)
_DONE = 250
_TURNS = 16
"""Turns of the loop within which a dropped connection closes its socket; it takes three at the most."""


class Session(MailSession):
    """A session with a server that takes mail: a submission server (RFC 6409) or any other.

    A refusal leaves it usable. A deadline, a cancellation, a lost server or a broken reply closes it at once.

    Args:
        endpoint: `smtps://host`, `smtp+starttls://host` or, without TLS, `smtp://host`; `lmtp://host` delivers
            locally (RFC 2033). TLS is never tried in hope: a server that does not offer a required STARTTLS is left
            before it has heard anything.
        credentials: who signs in: a password by SCRAM-SHA-256, PLAIN, LOGIN, or CRAM-MD5 if named; a token by
            OAUTHBEARER or XOAUTH2, asked for again after a refusal. None signs in nowhere.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for the opening (lookup, connect, TLS, greeting, login), and then for each call afresh; None
            is no limit.
        proxy: the way there, as in `Proxy.parse`; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        unix_socket: the path of a Unix socket to connect to, in the place of the endpoint's host and port.

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, or a secret that would
            travel in plaintext.
    """

    protocol = "smtp"
    translations = _TRANSLATIONS
    _sock: socket.socket | None = None
    _exchange: Exchange | None = None
    _client: aiosmtplib.SMTP | None = None
    _transaction: Transaction | None = None
    _offers = Offers()

    def __init__(
        self,
        endpoint: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float | None = 30.0,
        proxy: str | Proxy | None = None,
        allow_plaintext_login: bool = False,
        unix_socket: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
        )
        self._place = self.endpoint
        if unix_socket is not None:
            if proxy is not None:
                raise UsageError("a Unix socket is not reached through a proxy", endpoint=self.endpoint)
            self._place = Endpoint("unix", "", 0, path=os.fspath(unix_socket))

    @property
    def is_open(self) -> bool:
        """Whether calls can be made; not, if the server has hung up in the meantime."""
        return super().is_open and (self._exchange is None or self._exchange.is_usable)

    @property
    def extensions(self) -> Mapping[str, str]:
        """What the server offers (RFC 5321 §4.1.1.1): `{"SIZE": "10240000", "8BITMIME": ""}`, names in upper case.

        Asked for anew after STARTTLS. Empty before the session is open, after it was closed, and where the server
        knows only HELO.
        """
        return dict(self._offers.extensions) if self.is_open else {}

    async def send(
        self,
        message: Source,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        size: int | None = None,
        notify: str | Iterable[str] = (),
        ret: str | None = None,
        envid: str | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a message to everybody whom the server accepts.

        Args:
            message: an EmailMessage, which is not changed, and whose Bcc is not sent; or a whole message, headers
                first, as bytes, or as text that goes out as UTF-8; or a stream: an open file of bytes, which is read
                from where it stands (in a thread), or an asynchronous iterable of bytes. Line ends may be of any
                kind, CRLF is what is sent. Bytes and text are otherwise sent as they are; an EmailMessage is encoded
                for what the server can take.
            sender: the bare address that bounces go to, `""` for none. Required unless the message is an
                EmailMessage: there, None takes it from Sender, or else From.
            recipients: bare addresses, or one. None takes To, Cc and Bcc of an EmailMessage. A message that was
                resent once has all of these in its Resent- fields (RFC 5322 §3.6.6).
            size: how many bytes a stream has, so that the server's limit is checked before it is read; None asks a
                file that can tell, and else leaves it open.
            notify: when to be told (DSN, RFC 3461): `never`, or any of `success`, `failure`, `delay`.
            ret: what of the message a report returns: `full` or `headers`.
            envid: what reports shall call the message, up to 100 printable ASCII characters.
            orcpt: recipient -> the address that the message was for at first.
            require_tls: every server on the way must use TLS, or return the message (RFC 8689).
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Returns:
            Who was accepted and who refused; given only when the server has said yes to the whole message (LMTP: to
            the whole message for somebody).

        Raises:
            RecipientsRefused: nobody was accepted; transient if all may be later.
            RefusedError: the server refused the sender or the message (transient if 4xx), the message is bigger than
                it says it takes (552), or something needs SMTPUTF8, DSN or REQUIRETLS, which it does not offer.
            UsageError: an address is none, or the message says nothing of sender or recipients: nothing was sent. Or
                a stream failed: what was sent of it was taken back.
            DisconnectedError: the server left or said goodbye (421). DeadlineError: the seconds passed.
            ProtocolError: it broke the protocol.
            ClosedError: the session is closed.

        An error that comes when the whole message was written and no answer had come leaves open whether the server
        took it: it then has `outcome_unknown` set to True, `.receipt` with what is known of each recipient, and is
        not transient, for a second try could send twice. Nothing is ever sent twice by itself.
        """
        mail = Mail(message, sender, recipients, size, notify, ret, envid, orcpt, require_tls)
        return await self.send_mail(mail, timeout=timeout)

    async def send_mail(self, mail: Mail, *, timeout: float | None = None, before_end: Hook | None = None) -> Receipt:
        """Send a Mail, as `send` does with its arguments.

        Args:
            mail: what to send.
            timeout: as for `send`.
            before_end: called, and awaited, before the last byte of the message is written: what it raises comes out
                here, and the message is not taken.
        """
        envelope = mail.envelope()
        wishes = mail.wishes(envelope)
        with self._outcome():
            async with self._call("send", timeout):
                self._transaction = None
                try:
                    parcel = await pack(mail, envelope, wishes, self._offers, self.endpoint)
                    self._transaction = Transaction(
                        self._known_exchange, self._offers, self.endpoint, parcel, before_end
                    )
                    return await self._transaction.send()
                except NetError:
                    if not self._known_exchange.is_usable:  # a refusal alone would leave the session open
                        await self._spoil("sending ended with a lost connection")
                    raise

    def mark_outcome(self, error: NetError) -> None:
        """Make an error that ended `send` from outside (a deadline around it) say whether the message may be taken."""
        if self._transaction is not None and not error.outcome_unknown:
            mark_unknown(error, self._transaction.unknown)

    async def send_many(
        self,
        messages: Iterable[Mail | EmailMessage] | AsyncIterable[Mail | EmailMessage],
        *,
        window: int = 10,
        timeout: float | None = None,
    ) -> AsyncGenerator[Sent, None]:
        """Send message after message without waiting for each, where the server offers that.

        With PIPELINING and CHUNKING up to `window` messages are on their way at once; with PIPELINING alone one is
        written while the one before is being taken; without, they go one by one.

        Args:
            messages: what to send, taken as it is needed. A message that cannot be sent is an outcome like any other.
            window: how many may be without their answer.
            timeout: seconds for each message, from when it is its turn to be written or answered; None takes the
                session's, `math.inf` is no limit.

        Yields:
            What became of each message, in order: `Sent`, with a receipt or an error. When the connection is lost,
            those that were on their way have an error of their own (`outcome_unknown` where all of one was sent), and
            all that follow a transient DisconnectedError: they were not sent.

        Raises:
            ClosedError: the session is closed. UsageError: `window` is no positive number. What `messages` raises.

        The session is the caller's again after the last outcome: other calls wait until then. Cancelled, or closed
        before its end (`contextlib.aclosing` does that where `break` alone would not), it closes the session if
        anything was on its way.
        """
        if window < 1:
            raise UsageError(f"a window holds at least 1 message: not {window}", endpoint=self.endpoint)
        self._check_open("send")
        seconds = self.timeout if timeout is None else timeout
        async with deadline(seconds, self.endpoint, "send"):
            await self._turn.acquire()
        try:
            self._check_open("send")
            bulk = Bulk(self._known_exchange, self._offers, self.endpoint, window, seconds, self.translations)
            try:
                async with aclosing(bulk.outcomes(messages)) as outcomes:
                    async for sent in outcomes:
                        yield sent
            finally:
                if bulk.is_spoilt:
                    await self._spoil("sending many was cut short")
        finally:
            self._turn.release()

    async def noop(self, *, timeout: float | None = None) -> None:
        """Ask the server to do nothing: it is there if it answers.

        Raises:
            RefusedError, DisconnectedError, DeadlineError, ProtocolError, ClosedError: as for `send`.
        """
        async with self._call("NOOP", timeout):
            await self._known_client.noop()

    async def reset(self, *, timeout: float | None = None) -> None:
        """Make the server forget a transaction that was begun; `send` does so itself after a refusal.

        Raises:
            RefusedError, DisconnectedError, DeadlineError, ProtocolError, ClosedError: as for `send`.
        """
        async with self._call("RSET", timeout):
            await self._known_client.rset()

    async def quit(self, *, timeout: float | None = None) -> None:
        """Say goodbye and close; `aclose()` does the same and keeps a failure of it to itself.

        Raises:
            RefusedError, DisconnectedError, DeadlineError, ProtocolError, ClosedError: as for `send`; the session is
                closed nevertheless.
        """
        self._check_open("QUIT")
        try:
            async with self._call("QUIT", timeout):
                await self._known_client.quit()
        finally:
            await self._spoil("quit() was called")

    # What the ground asks for.

    async def _open(self) -> None:
        self._sock = await dial(self._place, proxy=self._proxy)
        name = self._sock.getsockname()
        here = name[0] if isinstance(name, tuple) else "127.0.0.1"  # a Unix socket has no address
        context = self.context if self.endpoint.security is Security.TLS else None
        _, self._exchange = await attach(self._sock, lambda: Exchange(self.endpoint), context, self.endpoint)
        phase("greeting")
        await self._exchange.greeted()
        # A name of ours would have to be looked up, and is of use to nobody (RFC 5321 §4.1.4): the address will do.
        self._client = client_over(
            self._exchange, hostname=server_name(self.endpoint), local_hostname=_address_literal(here)
        )
        await self._hello(self._client)
        if self.endpoint.security is Security.STARTTLS:
            await self._upgrade(self._client)
        if self.credentials is not None:
            phase("AUTH")
            await sign_in(self._client, self.credentials)

    async def _goodbye(self) -> None:
        await self._known_client.quit()

    async def _tidy(self) -> bool:
        await self.reset()
        return True

    def _abort(self) -> None:
        if self._exchange is not None:
            self._exchange.abort()
        elif self._sock is not None:
            self._sock.close()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            if self._sock is None or self._sock.fileno() < 0:
                return
            await asyncio.sleep(0)

    # The steps.

    @property
    def _known_client(self) -> aiosmtplib.SMTP:
        assert self._client is not None
        return self._client

    @property
    def _known_exchange(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    async def _hello(self, client: aiosmtplib.SMTP) -> None:
        if self.endpoint.scheme == "lmtp":
            offered = await self._lhlo(client)
        else:
            await self._ehlo(client)
            offered = client.esmtp_extensions
        self._offers = Offers(
            {name.upper(): parameters for name, parameters in offered.items()},
            is_lmtp=self.endpoint.scheme == "lmtp",
            is_encrypted=self._known_exchange.is_encrypted,
        )

    async def _ehlo(self, client: aiosmtplib.SMTP) -> None:
        phase("EHLO")
        try:
            with translated(self.translations, self.endpoint, "EHLO"):
                await client.ehlo()
        except NetError as error:
            if getattr(error, "code", None) is None or error.transient:
                raise
            with translated(self.translations, self.endpoint, "HELO"):  # RFC 5321 §3.2: a server of before 1995
                await client.helo()

    async def _lhlo(self, client: aiosmtplib.SMTP) -> dict[str, str]:
        phase("LHLO")
        reply = await self._known_exchange.command(b"LHLO " + str(client.local_hostname).encode("ascii"), "LHLO")
        if reply.code != _DONE:
            raise refusal(reply, self.endpoint, "LHLO")
        offered, mechanisms = parse_esmtp_extensions(reply.text)
        client.server_auth_methods = mechanisms
        return offered

    async def _upgrade(self, client: aiosmtplib.SMTP) -> None:
        phase("STARTTLS")
        if "STARTTLS" not in self._offers:
            raise TLSError("the server does not offer STARTTLS", endpoint=self.endpoint, operation="STARTTLS")
        with translated(CONNECTING, self.endpoint, "STARTTLS"):
            await client.starttls(server_hostname=server_name(self.endpoint), tls_context=self.context)
        await self._hello(client)  # what was said before is forgotten (RFC 3207 §4.2)

    @contextmanager
    def _outcome(self) -> Iterator[None]:
        """Mark an error of the block that leaves open whether the message was taken."""
        try:
            yield
        except NetError as error:
            self.mark_outcome(error)
            raise


def _address_literal(host: str) -> str:
    name = host.partition("%")[0]
    return f"[IPv6:{name}]" if ":" in name else f"[{name}]"


session = Session
"""The verb: `async with smtp.session(...) as outgoing`."""
