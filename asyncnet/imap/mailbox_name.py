"""Mailbox names: text on our side, modified UTF-7 on the wire (RFC 3501 §5.1.3, RFC 9051 §A.1)."""

from __future__ import annotations

import base64
import binascii
import re

from asyncnet.errors import UsageError

_ABROAD = re.compile(r"[^\x20-\x7e]+")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


def encoded_name(name: str) -> str:
    """Give `name` as modified UTF-7, not yet quoted.

    Raises:
        UsageError: empty, a control character, or half a surrogate pair.
    """
    if not name:
        raise UsageError("the name of a mailbox is empty")
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in name):
        raise UsageError("a control character in the name of a mailbox")
    return _ABROAD.sub(_shift, name.replace("&", "&-"))


def decoded_name(name: bytes) -> str:
    """Give the name that a server sent as text.

    What is no modified UTF-7 is kept as it stands; 8-bit bytes are read as UTF-8, broken UTF-8 as U+FFFD.
    """
    text = name.decode("utf-8", "replace")
    return _SHIFTED.sub(_unshift, text) if "&" in text else text


def _shift(match: re.Match[str]) -> str:
    try:
        utf16 = match[0].encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise UsageError("half a surrogate pair in the name of a mailbox") from error
    return "&" + base64.b64encode(utf16, b"+,").decode("ascii").rstrip("=") + "-"


def _unshift(match: re.Match[str]) -> str:
    letters = match[1]
    if not letters:
        return "&"
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), b"+,").decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        return match[0]
