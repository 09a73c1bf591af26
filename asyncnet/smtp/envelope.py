"""Envelope: from whom and to whom, given by the caller or taken from the headers (RFC 5322 §3.6.2, §3.6.3, §3.6.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import Message
from email.policy import default
from typing import Any

from asyncnet.errors import UsageError, printable
from asyncnet.smtp import address

_ORIGINAL = (("Sender", "From"), ("To", "Cc", "Bcc"))
_RESENT = (("Resent-Sender", "Resent-From"), ("Resent-To", "Resent-Cc", "Resent-Bcc"))
"""(where the sender stands, first that there is; where the recipients stand, all of them)"""

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, MessageError)
"""What the `email` package raises for what it let be made, or took, and yet cannot read or write."""

_NAME = re.compile(r"[!-9;-~]+")  # ftext, RFC 5322 §2.2
_ENDED = re.compile(r"\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n(?![ \t])|\0")  # a line end that no folding explains, or a NUL
_ENDED_FOR_PYTHON = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What else str.splitlines() splits at: the generator of the `email` package would make line ends of them."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends a message and who is to receive it, checked.

    Args:
        sender: an address; empty for a bounce.
        recipients: addresses, each once.
    """

    sender: str
    recipients: tuple[str, ...]

    @classmethod
    def of(cls, message: object, sender: str | None, recipients: str | Iterable[str] | None) -> Envelope:
        """Take what the caller gave, and what he did not give from the message's headers.

        A message that was resent once (RFC 5322 §3.6.6) is sent to whom it was resent to; one that was resent more
        than once does not say to whom it goes now.

        Raises:
            UsageError: no sender or recipients where they are needed, or one of them is no address; or the message
                is of no known kind, or has a header that would begin another.
        """
        is_stream = hasattr(message, "read") or hasattr(message, "__aiter__")
        if not is_stream and not isinstance(message, (Message, str, bytes, bytearray, memoryview)):
            kinds = "an EmailMessage, bytes, str, an open file or an asynchronous iterable"
            raise UsageError(f"a message is {kinds}, not {type(message).__name__}")
        if isinstance(message, Message):
            check_headers(message)
        if sender is None:
            sender = _sender_in(message)
        if recipients is None:
            recipients = _recipients_in(message)
        elif isinstance(recipients, str):
            recipients = (recipients,)
        everybody = tuple(dict.fromkeys(recipients))
        if not everybody:
            raise UsageError("no recipients", operation="send")
        if sender != "":
            address.check(sender, role="sender")
        for recipient in everybody:
            address.check(recipient, role="recipient")
        return cls(sender, everybody)

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take it."""
        return any(address.needs_utf8(one) for one in (self.sender, *self.recipients) if one)


def check_headers(message: Message[Any, Any]) -> None:
    """Refuse a message with a header that would begin another one, in any of its parts.

    Raises:
        UsageError: a line end or NUL in a header, or a name that is none.
    """
    for part in message.walk():
        for name, value in part.raw_items():
            if not _NAME.fullmatch(name):
                raise UsageError(f"not the name of a header: {printable(name, max_characters=60)!r}")
            text = str(value)
            is_raw = not hasattr(value, "fold")
            if _ENDED.search(text) or (is_raw and _ENDED_FOR_PYTHON.search(text)):
                raise UsageError(f"a line end or NUL in the header {name}")


def addresses_in(message: Message[Any, Any], names: Sequence[str]) -> Iterator[Address]:
    """Give the addresses in all headers of these names, those of groups too.

    Raises:
        UsageError: the `email` package cannot read a header.
    """
    for name in names:
        try:
            for value in message.get_all(name, []):
                yield from parsed(name, value).addresses
        except UNREADABLE as error:
            raise UsageError(f"the header {name} cannot be read: {type(error).__name__}", operation="send") from error


def parsed(name: str, value: Any) -> Any:
    """Give a header of addresses as an object; a message that was not made with the modern policy has text there."""
    return value if hasattr(value, "groups") else default.header_factory(name, "".join(str(value).splitlines()))


def _sender_in(message: object) -> str:
    mail = _headers_of(message, "sender")
    for name in _fields(mail)[0]:
        if name in mail:
            found = [one.addr_spec for one in addresses_in(mail, (name,))]
            if len(found) == 1:
                return found[0]
            raise UsageError(f"{len(found)} addresses in {name}; name the sender", operation="send")
    raise UsageError("the message has no From; name the sender", operation="send")


def _recipients_in(message: object) -> tuple[str, ...]:
    mail = _headers_of(message, "recipients")
    return tuple(one.addr_spec for one in addresses_in(mail, _fields(mail)[1]))


def _headers_of(message: object, wanted: str) -> Message[Any, Any]:
    if isinstance(message, Message):
        return message
    raise UsageError(f"a message of {type(message).__name__} says nothing by itself: name the {wanted}")


def _fields(message: Message[Any, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    times = max(len(message.get_all(name, [])) for name in ("Resent-Date", "Resent-From"))
    if times > 1:
        # Which fields belong together is only a custom (they SHOULD be grouped), and a guess could disclose the mail.
        raise UsageError("the message was resent more than once: name the sender and the recipients", operation="send")
    return _RESENT if times else _ORIGINAL
