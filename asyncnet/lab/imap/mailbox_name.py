"""Names of mailboxes: text inside, modified UTF-7 on the wire (RFC 3501 §5.1.3), UTF-8 where that was agreed on."""

from __future__ import annotations

import base64
import binascii
import re

from asyncnet.lab.imap.refusal import Bad

_OUTSIDE = re.compile(r"[^\x20-\x7e]+")
_SHIFT = re.compile(r"&([^-]*)-?")
_LETTERS = re.compile(r"[A-Za-z0-9+,]+")


def encoded(name: str) -> str:
    """Write a name in modified UTF-7."""
    return _OUTSIDE.sub(_into_base64, name.replace("&", "&-"))


def decoded(name: bytes) -> str:
    """Read a name from modified UTF-7; 8-bit bytes are UTF-8.

    Raises:
        Bad: neither, or ASCII in a disguise: two spellings of one name would be two mailboxes.
    """
    try:
        text = name.decode()
        read = _SHIFT.sub(_from_base64, text)
    except ValueError:
        raise Bad("a name that is neither modified UTF-7 nor UTF-8") from None
    if text.isascii() and encoded(read) != text:
        raise Bad("a name that modified UTF-7 would write in another way")
    return read


def _into_base64(match: re.Match[str]) -> str:
    utf16 = match[0].encode("utf-16-be", "surrogatepass")
    return "&" + base64.b64encode(utf16, b"+,").decode("ascii").rstrip("=") + "-"


def _from_base64(match: re.Match[str]) -> str:
    letters = match[1]
    if not letters:
        return "&"
    if not _LETTERS.fullmatch(letters):
        raise ValueError("not base64")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), b"+,").decode("utf-16-be")
    except binascii.Error as error:
        raise ValueError("not base64") from error
