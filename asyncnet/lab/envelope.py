"""Envelope: the arguments of MAIL and RCPT taken apart, and the bytes between DATA and the dot. Pure (RFC 5321)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3. A source route is taken and dropped (appendix C).
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_QUOTED = r'"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*"'
_LABEL = r"[A-Za-z0-9\x80-\U0010ffff](?:[A-Za-z0-9\x80-\U0010ffff-]*[A-Za-z0-9\x80-\U0010ffff])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[!-Z^-~]+\])"
_MAILBOX = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@{_DOMAIN}"
_PATH = re.compile(
    rf"(?P<keyword>FROM|TO):<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?(?P<path>{_MAILBOX}|postmaster|)>(?P<rest>.*)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r" ([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\U0010ffff]+))?")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")

_MAX_PATH, _MAX_LOCAL = 254 + 64, 64
"""RFC 5321 §4.5.3.1; a local part may be quoted, and grow by that."""


class BadPath(Exception):
    """The argument is not what the command takes; `reply` is the answer."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Path:
    """A path and its parameters.

    Args:
        address: without "<" and ">" and source route; "" is the null path.
        parameters: by upper-case name; a name without a value has "".
    """

    address: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, keyword: str, argument: bytes) -> Path:
        """Take `FROM:<a@b> SIZE=1` or `TO:<a@b>` apart.

        Raises:
            BadPath: it is none.
        """
        wrong = BadPath(b"501 5.1.7 Not an address" if keyword == "FROM" else b"501 5.1.3 Not an address")
        try:
            found = _PATH.fullmatch(argument.decode())
        except UnicodeDecodeError:
            raise wrong from None
        if found is None or found["keyword"].upper() != keyword:
            raise BadPath(f"501 5.5.4 Syntax: {'MAIL' if keyword == 'FROM' else 'RCPT'} {keyword}:<address>".encode())
        address = found["path"]
        if len(address) > _MAX_PATH or (not address and keyword == "TO"):
            raise wrong
        if keyword == "FROM" and address and "@" not in address:
            raise wrong
        return cls(address, _parameters(found["rest"]))


def _parameters(rest: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _PARAMETER.match(rest, at)
        if found is None or found[1].upper() in parameters:
            raise BadPath(b"501 5.5.4 Malformed parameters")
        parameters[found[1].upper()] = found[2] or ""
        at = found.end()
    return parameters


class DataReader:
    """What comes after DATA, up to the line with a dot alone; only CRLF ends a line (RFC 5321 §2.3.8, §4.1.1.4).

    Args:
        max_bytes: beyond it nothing is kept, and all is read to the end.
    """

    _END = b"\r\n.\r\n"

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._data = bytearray(b"\r\n")  # as if a line had ended: a message may be a dot alone
        self.is_too_big = False

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a chunk; once all is here, give what follows the dot line (perhaps b""), else None."""
        searched = max(0, len(self._data) - len(self._END) + 1)
        self._data += chunk
        end = self._data.find(self._END, searched)
        if end >= 0:
            rest = bytes(self._data[end + len(self._END) :])
            del self._data[end + 2 :]
            self.is_too_big |= len(self._data) - 2 > self._max
            return rest
        if len(self._data) > self._max + len(self._END):
            self.is_too_big = True
            del self._data[: -len(self._END)]
        return None

    def content(self) -> bytes:
        """Give the message: the dot that begins a line is dropped (§4.5.2)."""
        return bytes(self._data.replace(b"\r\n.", b"\r\n")[2:])


def has_bare_line_ends(data: bytes) -> bool:
    """Whether a CR or LF stands alone: what one server takes for a line's end, and another does not, smuggles mail."""
    return _BARE.search(data) is not None
