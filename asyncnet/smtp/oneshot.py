"""send(): one message in one call and one deadline."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterable, Mapping

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DeadlineError
from asyncnet.proxy import Proxy
from asyncnet.smtp.mail import Mail, Source
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.session import Session


async def send(
    message: Source,
    endpoint: str | Endpoint,
    credentials: Credentials | None = None,
    *,
    sender: str | None = None,
    recipients: str | Iterable[str] | None = None,
    size: int | None = None,
    notify: str | Iterable[str] = (),
    ret: str | None = None,
    envid: str | None = None,
    orcpt: Mapping[str, str] | None = None,
    require_tls: bool = False,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
    unix_socket: str | os.PathLike[str] | None = None,
) -> Receipt:
    """Send one message: connect, sign in, send, say goodbye.

    Args:
        message: as for `Session.send`.
        endpoint: where, as for `Session`: `smtp+starttls://mail.example.org`, or `lmtp://localhost`.
        credentials: who signs in; None signs in nowhere.
        sender: the bare address that bounces go to; None takes it from an EmailMessage.
        recipients: bare addresses, or one; None takes them from an EmailMessage.
        size: how many bytes a stream has; None asks a file that can tell.
        notify: when to be told, as for `Session.send`.
        ret: what a report returns, as for `Session.send`.
        envid: what reports shall call the message.
        orcpt: recipient -> the address that the message was for at first.
        require_tls: every server on the way must use TLS (RFC 8689).
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for all of it; None is no limit.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.
        unix_socket: the path of a Unix socket to connect to, in the place of the endpoint's host and port.

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
    mail = Mail(message, sender, recipients, size, notify, ret, envid, orcpt, require_tls)
    mail.wishes(mail.envelope())
    outgoing = Session(
        endpoint,
        credentials,
        tls=tls,
        timeout=None,
        proxy=proxy,
        allow_plaintext_login=allow_plaintext_login,
        unix_socket=unix_socket,
    )
    with outgoing._outcome():
        async with deadline(timeout, outgoing.endpoint, "send") as limit:
            await outgoing.open()
            try:
                receipt = await outgoing.send_mail(mail)
            except BaseException:
                await outgoing._spoil("sending failed")
                raise
            left = limit.remaining()
    with contextlib.suppress(DeadlineError):
        async with deadline(left, outgoing.endpoint, "close"):
            await outgoing.aclose()
    return receipt
