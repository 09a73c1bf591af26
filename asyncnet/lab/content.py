"""Content: the bytes of a message, from whatever a caller has."""

from __future__ import annotations

import email.policy
import re
from email.message import EmailMessage

_POLICY = email.policy.SMTP.clone(utf8=True, max_line_length=None)
_LINE_END = re.compile(rb"\r\n|\r|\n")


def as_crlf(message: EmailMessage | bytes | str) -> bytes:
    """Give the bytes with CRLF line ends alone, the last line ended."""
    if isinstance(message, str):
        message = message.encode("utf-8", "surrogateescape")
    raw = message if isinstance(message, bytes) else message.as_bytes(policy=_POLICY)
    raw = _LINE_END.sub(b"\r\n", raw)
    return raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n"
