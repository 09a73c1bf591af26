"""Session: mail handed over to one server, message after message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage

import aiosmtplib

from asyncnet.deadline import phase
from asyncnet.dial import attach, dial, server_name
from asyncnet.endpoint import Security
from asyncnet.errors import DisconnectedError, NetError, ProtocolError, TLSError
from asyncnet.session import Session as MailSession
from asyncnet.smtp.envelope import Envelope
from asyncnet.smtp.exchange import Exchange, client_over
from asyncnet.smtp.login import sign_in
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.reply import Reply, refusal
from asyncnet.smtp.transaction import Transaction
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
_READY = 220
_TURNS = 16
"""Turns of the loop within which a dropped connection closes its socket; it takes three at the most."""


class Session(MailSession):
    """A session with a server that takes mail: a submission server (RFC 6409) or any other.

    A refusal leaves it usable. A deadline, a cancellation, a lost server or a broken reply closes it at once.

    Args:
        endpoint: `smtps://host`, `smtp+starttls://host` or, without TLS, `smtp://host`. TLS is never tried in hope:
            a server that does not offer a required STARTTLS is left before it has heard anything.
        credentials: who signs in: a password by SCRAM-SHA-256, PLAIN, LOGIN, or CRAM-MD5 if named; a token by
            OAUTHBEARER or XOAUTH2, asked for again after a refusal. None signs in nowhere.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for the opening (lookup, connect, TLS, greeting, login), and then for each call afresh; None
            is no limit.
        proxy: the way there, as in `Proxy.parse`; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Raises:
        UsageError: another protocol's endpoint, a contradiction between URL and credentials, or a secret that would
            travel in plaintext.
    """

    protocol = "smtp"
    translations = _TRANSLATIONS
    _sock: socket.socket | None = None
    _exchange: Exchange | None = None
    _client: aiosmtplib.SMTP | None = None

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
        offered = {} if self._client is None or not self.is_open else self._client.esmtp_extensions
        return {name.upper(): parameters for name, parameters in offered.items()}

    async def send(
        self,
        message: EmailMessage | bytes | str,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a message to everybody whom the server accepts.

        Args:
            message: an EmailMessage, which is not changed, and whose Bcc is not sent; or a whole message, headers
                first, as bytes, or as text that goes out as UTF-8. Line ends may be of any kind, CRLF is what is
                sent. Bytes and text are otherwise sent as they are; an EmailMessage is encoded for what the server
                can take.
            sender: the bare address that bounces go to, `""` for none. Required unless the message is an
                EmailMessage: there, None takes it from Sender, or else From.
            recipients: bare addresses, or one. None takes To, Cc and Bcc of an EmailMessage. A message that was
                resent once has all of these in its Resent- fields (RFC 5322 §3.6.6).
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Returns:
            Who was accepted and who refused; given only when the server has said yes to the whole message.

        Raises:
            RecipientsRefused: nobody was accepted; transient if all may be later.
            RefusedError: the server refused the sender or the message (transient if 4xx), the message is bigger than
                it says it takes (552), or an address needs SMTPUTF8, which it does not offer.
            UsageError: an address is none, or the message says nothing of sender or recipients; nothing was sent.
            DisconnectedError: the server left or said goodbye (421). DeadlineError: the seconds passed.
            ProtocolError: it broke the protocol.
            ClosedError: the session is closed.

        An error that comes when the whole message was written and no answer had come leaves open whether the server
        took it: it then has `outcome_unknown` set to True, and is not transient, for a second try could send twice.
        Nothing is ever sent twice by itself.
        """
        envelope = Envelope.of(message, sender, recipients)
        with self._outcome():
            async with self._call("send", timeout):
                assert self._exchange is not None
                transaction = Transaction(self._exchange, self.extensions, self.endpoint)
                try:
                    return await transaction.send(message, envelope)
                except NetError:
                    if not self._exchange.is_usable:  # a refusal alone would leave the session open
                        await self._spoil("sending ended with a lost connection")
                    raise

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
        self._sock = await dial(self.endpoint, proxy=self._proxy)
        here = self._sock.getsockname()[0]
        context = self.context if self.endpoint.security is Security.TLS else None
        _, self._exchange = await attach(self._sock, lambda: Exchange(self.endpoint), context, self.endpoint)
        phase("greeting")
        greeting = await self._exchange.greeting
        if greeting.code != _READY:
            raise refusal(greeting, self.endpoint, "greeting")
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

    async def _hello(self, client: aiosmtplib.SMTP) -> None:
        phase("EHLO")
        try:
            with translated(self.translations, self.endpoint, "EHLO"):
                await client.ehlo()
        except NetError as error:
            if getattr(error, "code", None) is None or error.transient:
                raise
            with translated(self.translations, self.endpoint, "HELO"):  # RFC 5321 §3.2: a server of before 1995
                await client.helo()

    async def _upgrade(self, client: aiosmtplib.SMTP) -> None:
        phase("STARTTLS")
        if "STARTTLS" not in self.extensions:
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
            if self._exchange is not None and self._exchange.is_sent and not error.outcome_unknown:
                error.args = (f"{error.message}; all of the message was sent, so it may or may not have been accepted",)
                error.transient = False
                error.outcome_unknown = True
            raise


def _address_literal(host: str) -> str:
    name = host.partition("%")[0]
    return f"[IPv6:{name}]" if ":" in name else f"[{name}]"


session = Session
"""The verb: `async with smtp.session(...) as outgoing`."""
