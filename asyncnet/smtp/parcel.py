"""Parcel: a mail made ready for one server: what it takes is known, what it cannot take was refused unsent."""

from __future__ import annotations

from dataclasses import dataclass

from asyncnet.endpoint import Endpoint
from asyncnet.errors import RefusedError
from asyncnet.smtp import address
from asyncnet.smtp.content import Content, Measure, content_of, headers_need_utf8
from asyncnet.smtp.dsn import Wishes
from asyncnet.smtp.envelope import Envelope
from asyncnet.smtp.mail import Mail
from asyncnet.smtp.offers import Offers
from asyncnet.smtp.stream import Stream
from asyncnet.smtp.stuffing import Lines

_TOO_BIG = 552


@dataclass(slots=True)
class Parcel:
    """A mail, ready to go.

    Args:
        envelope: from whom and to whom.
        content: the message.
        whole: a small message in one piece, with CRLF line ends; None for others, which go block by block.
        mail: the command MAIL.
        rcpts: the command RCPT for each recipient.
        max_octets: how much the server takes, or None.
    """

    envelope: Envelope
    content: Content | Stream
    whole: bytes | None
    mail: bytes
    rcpts: tuple[bytes, ...]
    max_octets: int | None


async def pack(mail: Mail, envelope: Envelope, wishes: Wishes, offers: Offers, endpoint: Endpoint) -> Parcel:
    """Make a mail ready.

    Raises:
        RefusedError: the server cannot take it: it is too big (552), or needs an extension that is not offered.
        UsageError: the message cannot be written out.
    """
    utf8 = envelope.needs_utf8 or headers_need_utf8(mail.message)
    _check_offers(mail, wishes, offers, endpoint, utf8=utf8)
    content: Content | Stream
    if mail.is_stream:
        content = Stream(mail.message, mail.size)
    else:
        content = await content_of(mail.message, utf8=utf8, eight_bit="8BITMIME" in offers)
    whole = content.whole
    if whole is None:
        measure = await content.measure()
    else:
        lines = Lines()
        whole = lines.feed(whole)
        whole += lines.finish()
        measure = Measure(lines.octets, whole.isascii())
    limit = offers.max_octets
    # RFC 1870 §6.1: a client that knows the limit need not have the message refused.
    if limit is not None and measure.octets is not None and measure.octets > limit:
        raise too_big(measure.octets, limit, endpoint)
    return Parcel(
        envelope,
        content,
        whole,
        _mail(envelope.sender, measure, wishes, offers, utf8=utf8, require_tls=mail.require_tls),
        tuple(
            b"RCPT TO:<" + address.on_the_wire(one, utf8=utf8) + b">" + wishes.of_rcpt(one, utf8=utf8)
            for one in envelope.recipients
        ),
        limit,
    )


def too_big(octets: int, limit: int, endpoint: Endpoint) -> RefusedError:
    """Make the error of a message that the server would not take."""
    text = f"a message of {octets} octets; the server takes {limit}"
    return RefusedError(text, code=_TOO_BIG, endpoint=endpoint, operation="send")


def _check_offers(mail: Mail, wishes: Wishes, offers: Offers, endpoint: Endpoint, *, utf8: bool) -> None:
    if utf8 and "SMTPUTF8" not in offers:
        text = "an address is not ASCII, and the server has no SMTPUTF8"
    elif wishes and "DSN" not in offers:
        text = "the server has no DSN: it would not report as wished"
    elif mail.require_tls and not ("REQUIRETLS" in offers and offers.is_encrypted):
        text = "the server has no REQUIRETLS: it would not keep the message under TLS"
    else:
        return
    raise RefusedError(text, endpoint=endpoint, operation="send")


def _mail(sender: str, measure: Measure, wishes: Wishes, offers: Offers, *, utf8: bool, require_tls: bool) -> bytes:
    line = b"MAIL FROM:<" + (address.on_the_wire(sender, utf8=utf8) if sender else b"") + b">"
    if "SIZE" in offers and measure.octets is not None:
        line += b" SIZE=%d" % measure.octets
    if "8BITMIME" in offers and not measure.is_ascii:
        line += b" BODY=8BITMIME"
    if utf8:
        line += b" SMTPUTF8"
    return line + wishes.of_mail() + (b" REQUIRETLS" if require_tls else b"")
