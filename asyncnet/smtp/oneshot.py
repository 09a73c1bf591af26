"""send(): one message in one call and one deadline."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DeadlineError
from asyncnet.proxy import Proxy
from asyncnet.smtp.envelope import Envelope
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.session import Session


async def send(
    message: EmailMessage | bytes | str,
    endpoint: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    sender: str | None = None,
    recipients: str | Iterable[str] | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Receipt:
    """Send one message: connect, sign in, send, say goodbye.

    Args:
        message: as for `Session.send`.
        endpoint: where, as for `Session`: `smtp+starttls://mail.example.org`.
        credentials: who signs in; None signs in nowhere.
        sender: the bare address that bounces go to; None takes it from an EmailMessage.
        recipients: bare addresses, or one; None takes them from an EmailMessage.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Returns:
        Who was accepted and who refused; given only when the server has said yes to the whole message.

    Raises:
        RecipientsRefused: nobody was accepted; transient if all may be later.
        RefusedError: the server refused, as for `Session.send` (AuthenticationError: the login).
        UsageError: the call is wrong, and nothing was connected to.
        ConnectError, DisconnectedError, DeadlineError, ProtocolError: as for `Session.open` and `Session.send`; with
            `outcome_unknown` set to True if the message may have been accepted nevertheless.

    On failure or cancellation nothing stays open. A goodbye that fails takes the receipt back no more.
    """
    if recipients is not None and not isinstance(recipients, str):
        recipients = tuple(recipients)  # looked at twice
    Envelope.of(message, sender, recipients)
    outgoing = Session(
        endpoint, credentials, tls=tls, timeout=None, proxy=proxy, allow_plaintext_login=allow_plaintext_login
    )
    with outgoing._outcome():
        async with deadline(timeout, outgoing.endpoint, "send") as limit:
            await outgoing.open()
            try:
                receipt = await outgoing.send(message, sender=sender, recipients=recipients)
            except BaseException:
                await outgoing._spoil("sending failed")
                raise
            left = limit.remaining()
    with contextlib.suppress(DeadlineError):
        async with deadline(left, outgoing.endpoint, "close"):
            await outgoing.aclose()
    return receipt
