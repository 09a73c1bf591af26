"""Headers: fields cut out of the bytes of a message, and what they say as text (RFC 5322 §2.2, RFC 2047). Pure.

Nothing here fails: what is no header field is passed over, what cannot be decoded is shown with U+FFFD. Nothing takes
long either, whatever was sent in: the fields behind the first 10,000 are kept, and found by no name.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import re
from collections.abc import Collection, Iterator
from itertools import islice

# A line and those that continue it; the line end belongs to it.
_FIELD = re.compile(rb"[^\n]++\n?+(?:[ \t][^\n]*+\n?+)*+|\n")
_NAMED = re.compile(rb"([!-9;-~]++)[ \t]*+:")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_WORD = re.compile(r"=\?([!->@-~]{1,60}+)\?([bBqQ])\?([!->@-~]*+)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]++(?==\?[!->@-~]{1,60}\?[bBqQ]\?)")

_MAX_FIELDS = 10_000
"""Fields that are looked at one by one; mail has some dozens."""
_MAX_WORDS = 10_000
"""Encoded words of one text that are decoded."""

# Codecs of Python's that no mail is in: the first two take quadratic time, the others warn of what they do not know.
_NO_CHARSETS = {"punycode", "idna", "unicode-escape", "raw-unicode-escape"}


class Header:
    """The fields of one header, in their order.

    Args:
        raw: its bytes, without the empty line that ends it.
    """

    __slots__ = ("_fields", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._fields: dict[bytes, list[bytes]] | None = None

    def get(self, name: bytes) -> bytes | None:
        """Give the value of the first field of that name (lower case), unfolded and stripped, or None."""
        found = self.all(name)
        return found[0] if found else None

    def all(self, name: bytes) -> list[bytes]:
        """Give the values of all fields of that name (lower case)."""
        if self._fields is None:
            self._fields = {}
            for match in _fields(self.raw):
                if (named := _NAMED.match(match[0])) is not None:
                    value = _FOLD.sub(b"", match[0][named.end() :]).strip()
                    self._fields.setdefault(named[1].lower(), []).append(value)
        return self._fields.get(name, [])

    def only(self, names: Collection[bytes]) -> bytes:
        """Give the fields of these names (lower case) as they stand."""
        return b"".join(field for name, field in _cut(self.raw) if name in names)

    def without(self, names: Collection[bytes]) -> bytes:
        """Give all but the fields of these names (lower case) as they stand."""
        return b"".join(field for name, field in _cut(self.raw) if name not in names)


def unfolded(value: bytes) -> bytes:
    """Give the value of a field on one line."""
    return _FOLD.sub(b"", value).strip()


def text(value: bytes) -> str:
    """Give the value of a field as a reader sees it: encoded words decoded."""
    plain = value.decode("utf-8", "replace")
    if "=?" not in plain:
        return plain
    return _WORD.sub(_decoded_word, _BETWEEN_WORDS.sub(r"\1", plain), count=_MAX_WORDS)


def decoded(data: bytes, charset: str) -> str:
    """Give bytes as text; what is not of that charset, or of none that we know, becomes U+FFFD or is read as UTF-8."""
    try:
        return data.decode("utf-8" if codecs.lookup(charset).name in _NO_CHARSETS else charset, "replace")
    except (LookupError, ValueError, TypeError):  # a charset that there is not, that decodes no bytes, or has a NUL
        return data.decode("utf-8", "replace")


def unencoded(data: bytes, encoding: bytes) -> bytes | None:
    """Undo a Content-Transfer-Encoding (RFC 2045 §6); None where it is not one of RFC 2045.

    Broken base64 gives what could be read.
    """
    kind = encoding.strip().lower()
    if kind == b"base64":
        letters = re.sub(rb"[^A-Za-z0-9+/]+", b"", data)
        whole = len(letters) - len(letters) % 4
        rest = letters[whole:]
        return base64.b64decode(letters[:whole]) + (
            base64.b64decode(rest + b"=" * (4 - len(rest))) if len(rest) > 1 else b""
        )
    if kind == b"quoted-printable":
        return quopri.decodestring(data)
    return data if kind in (b"", b"7bit", b"8bit", b"binary") else None


def _fields(raw: bytes) -> Iterator[re.Match[bytes]]:
    return islice(_FIELD.finditer(raw), _MAX_FIELDS)


def _cut(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give each field's name in lower case, empty where it has none, and all of its bytes; at last what is left."""
    end = 0
    for match in _fields(raw):
        named = _NAMED.match(match[0])
        yield named[1].lower() if named is not None else b"", match[0]
        end = match.end()
    yield b"", raw[end:]


def _decoded_word(match: re.Match[str]) -> str:
    charset, kind, letters = match.groups()
    charset = charset.partition("*")[0]  # RFC 2231 §5: a language may follow
    try:
        if kind in "bB":
            data = base64.b64decode(letters + "=" * (-len(letters) % 4))
        else:
            data = binascii.a2b_qp(letters.encode(), header=True)
    except (binascii.Error, ValueError):
        return match[0]
    return decoded(data, charset)
