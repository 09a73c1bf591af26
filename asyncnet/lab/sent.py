"""Sent: a mail that came in over SMTP, with its envelope."""

from __future__ import annotations

import email
import email.message
import email.policy
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that a client has sent and the lab has taken.

    Args:
        sender: the reverse-path of MAIL FROM; "" is the null sender.
        recipients: the forward-paths that were accepted, in order.
        raw: the message as it came, line ends CRLF, dots unstuffed, before the lab's trace lines.
        username: who had signed in, or None.
        is_tls: whether TLS was on.
        helo: what the client called itself.
        options: the parameters of MAIL FROM by upper-case name (`SMTPUTF8`, `BODY`, `ENVID`...).
        recipient_options: those of RCPT TO (`NOTIFY`, `ORCPT`), by recipient.
        received: when.
    """

    sender: str
    recipients: tuple[str, ...]
    raw: bytes = field(repr=False)
    username: str | None = None
    is_tls: bool = False
    helo: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    recipient_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    def parse(self) -> email.message.EmailMessage:
        """Parse the raw bytes with the standard library's modern policy."""
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, email.message.EmailMessage)
        return parsed


class SentMail:
    """The mails that came, in order, the latest 10,000 within `max_bytes`; the earliest are forgotten beyond."""

    _MAX_COUNT = 10_000

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._mails: deque[Sent] = deque()
        self._bytes = 0
        self.total = 0

    def append(self, mail: Sent) -> None:
        """Put one at the end; `total` counts those that are forgotten too."""
        self._mails.append(mail)
        self._bytes += len(mail.raw)
        self.total += 1
        while len(self._mails) > self._MAX_COUNT or (self._bytes > self._max_bytes and len(self._mails) > 1):
            self._bytes -= len(self._mails.popleft().raw)

    def clear(self) -> None:
        """Forget all."""
        self._mails.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._mails)

    def __iter__(self) -> Iterator[Sent]:
        return iter(tuple(self._mails))

    def __getitem__(self, index: int) -> Sent:
        """Give one by its place; below 0 from the end."""
        return self._mails[index]

    def __repr__(self) -> str:
        return f"<{len(self._mails)} mails sent>"
