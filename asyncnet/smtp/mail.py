"""Mail: a message and how it is to be sent, for whatever sends more than one."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol, TypeAlias

from asyncnet.errors import UsageError
from asyncnet.smtp.dsn import Wishes
from asyncnet.smtp.envelope import Envelope


class Readable(Protocol):
    """A file of bytes, open for reading."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, none at the end."""


Source: TypeAlias = EmailMessage | bytes | str | Readable | AsyncIterable[bytes]
"""what a message may be given as"""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message and how it is to be sent; the arguments are those of `Session.send`.

    Args:
        message: an EmailMessage, a whole message as bytes or text, or a stream of bytes: an open file, which is read
            from where it stands, or an asynchronous iterable.
        sender: the bare address that bounces go to, `""` for none; None takes it from an EmailMessage.
        recipients: bare addresses, or one; None takes them from an EmailMessage.
        size: how many bytes a stream has, so that SIZE is checked before it is read; None asks a file that can tell,
            and else leaves it open.
        notify: when to be told (RFC 3461): `never`, or any of `success`, `failure`, `delay`.
        ret: what of the message a report returns, `full` or `headers`.
        envid: what reports shall call the message, up to 100 printable ASCII characters.
        orcpt: recipient -> the address that the message was for at first.
        require_tls: every server on the way must use TLS, or return the message (RFC 8689).
    """

    message: Source
    sender: str | None = None
    recipients: str | Iterable[str] | None = None
    size: int | None = None
    notify: str | Iterable[str] = ()
    ret: str | None = None
    envid: str | None = None
    orcpt: Mapping[str, str] | None = None
    require_tls: bool = False

    def __post_init__(self) -> None:
        # Looked at more than once.
        if self.recipients is not None and not isinstance(self.recipients, str):
            object.__setattr__(self, "recipients", tuple(self.recipients))
        if not isinstance(self.notify, str):
            object.__setattr__(self, "notify", tuple(self.notify))
        if self.size is not None and (not isinstance(self.size, int) or self.size < 0):
            raise UsageError(f"size is a number of bytes: not {self.size!r}")

    @classmethod
    def of(cls, mail: Mail | EmailMessage) -> Mail:
        """Give a Mail as it is, an EmailMessage as one that says itself from whom and to whom it is."""
        return mail if isinstance(mail, Mail) else cls(mail)

    @property
    def is_stream(self) -> bool:
        """Whether it is read while it is sent."""
        return hasattr(self.message, "read") or hasattr(self.message, "__aiter__")

    def envelope(self) -> Envelope:
        """Give from whom and to whom, checked.

        Raises:
            UsageError: as in `Envelope.of`.
        """
        return Envelope.of(self.message, self.sender, self.recipients)

    def wishes(self, envelope: Envelope) -> Wishes:
        """Give what the sender wishes to hear, checked.

        Raises:
            UsageError: as in `Wishes.of`.
        """
        if not self.notify and self.ret is None and self.envid is None and not self.orcpt:
            return _NONE
        return Wishes.of(self.notify, self.ret, self.envid, self.orcpt, envelope.recipients)


_NONE = Wishes()
