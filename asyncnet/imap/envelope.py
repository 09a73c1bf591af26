"""Envelope: the header fields that a server gives parsed (RFC 9051 §7.5.2, RFC 5322)."""

from __future__ import annotations

from dataclasses import dataclass

from asyncnet.errors import ProtocolError
from asyncnet.imap.tokens import Value


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox of a person, or the name of a group of them.

    Args:
        name: as in the header, encoded words (RFC 2047) not decoded; None where there is none.
        mailbox: what stands before the "@"; the name of the group where `host` is None.
        host: what stands after it; None for a group.
    """

    name: str | None
    mailbox: str
    host: str | None

    def __str__(self) -> str:
        """Give `mailbox@host`, or the group's name."""
        return self.mailbox if self.host is None else f"{self.mailbox}@{self.host}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Header fields as the server read them; encoded words (RFC 2047) are not decoded.

    Bytes beyond ASCII are read as UTF-8, broken UTF-8 as U+FFFD.
    """

    date: str | None = None
    subject: str | None = None
    sent_from: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    in_reply_to: str | None = None
    message_id: str | None = None


def envelope(value: Value) -> Envelope:
    """Make an Envelope of what stands after ENVELOPE.

    Raises:
        ProtocolError: it has not the form of one.
    """
    if not isinstance(value, list) or len(value) < 10:
        raise ProtocolError("an ENVELOPE without its ten fields")
    date, subject, sent_from, sender, reply_to, to, cc, bcc, in_reply_to, message_id = value[:10]
    return Envelope(
        text(date),
        text(subject),
        _addresses(sent_from),
        _addresses(sender),
        _addresses(reply_to),
        _addresses(to),
        _addresses(cc),
        _addresses(bcc),
        text(in_reply_to),
        text(message_id),
    )


def text(value: Value) -> str | None:
    """Give a string of the grammar as text.

    Raises:
        ProtocolError: it is a list.
    """
    if isinstance(value, list):
        raise ProtocolError("a list in the place of a string")
    return None if value is None else value.decode("utf-8", "replace")


def _addresses(value: Value) -> tuple[Address, ...]:
    if value is None or value == b"":  # some servers write "" for no address
        return ()
    if not isinstance(value, list):
        raise ProtocolError("addresses that are no list")
    return tuple(address for one in value if (address := _address(one)) is not None)


def _address(value: Value) -> Address | None:
    if value is None:
        return None  # some servers write NIL for an address that they cannot read
    if not isinstance(value, list) or len(value) < 4:
        raise ProtocolError("an address without its four fields")
    name, _, mailbox, host = (text(field) for field in value[:4])
    if mailbox is None:
        return None  # RFC 9051 §7.5.2: the end of a group
    return Address(name, mailbox, host)
