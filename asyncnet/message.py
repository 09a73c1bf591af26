"""Message: one mail as the server holds it. Bytes first; parsing is the standard library's, on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncnet.errors import LimitError

if TYPE_CHECKING:
    import email.message
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    r"""One mail that was fetched.

    Args:
        raw: the message as it came, line ends CRLF; only the part asked for, where a part was asked for.
        uid: what names it for good: the UID of IMAP (an int), the unique-id of POP3 (a str), or None if not asked for.
        number: its place in this session (POP3's message number, IMAP's sequence number), or None.
        flags: IMAP's flags (`\Seen`...), empty elsewhere.
        size: its whole size in bytes as the server tells it.
        received: when the server received it (IMAP's INTERNALDATE), or None.
    """

    raw: bytes = field(repr=False)
    uid: int | str | None = None
    number: int | None = None
    flags: frozenset[str] = frozenset()
    size: int = 0
    received: datetime | None = None

    def parse(self) -> email.message.EmailMessage:
        """Parse the raw bytes with the standard library's modern policy; defects are listed in its `.defects`.

        Raises:
            LimitError: parts within parts, hundreds of them deep: the parser's recursion ends there.
        """
        import email
        import email.message
        import email.policy

        try:
            parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        except RecursionError:
            raise LimitError("the message's parts are nested too deeply to be parsed") from None
        assert isinstance(parsed, email.message.EmailMessage)
        return parsed
