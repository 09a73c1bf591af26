"""What a sender wishes to hear of his message later: DSN (RFC 3461) as parameters of MAIL and RCPT. Pure.

What is no such wish is refused here, so that no argument can end a command line and begin another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from asyncnet.errors import UsageError, printable
from asyncnet.smtp import address

_EVENTS = ("success", "failure", "delay")
_RETURNS = {"full": b"FULL", "headers": b"HDRS"}
_MAX_ENVID = 100
"""RFC 3461 §4.4."""
# xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="    (RFC 3461 §4)
_NOT_XCHAR = re.compile(rb"[^!-~]|[+=]")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to ask the server for, checked.

    Args:
        notify: `never`, or any of `success`, `failure`, `delay`; empty leaves it to the server.
        ret: what of the message a report about a failure returns, `full` or `headers`; None leaves it to the server.
        envid: what reports shall call the message; None for nothing.
        orcpt: recipient -> the address that the message was for at first.
    """

    notify: tuple[str, ...] = ()
    ret: str | None = None
    envid: str | None = None
    orcpt: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        notify: str | Iterable[str],
        ret: str | None,
        envid: str | None,
        orcpt: Mapping[str, str] | None,
        recipients: Iterable[str],
    ) -> Wishes:
        """Check what a caller wishes.

        Raises:
            UsageError: a wish that RFC 3461 does not know, an `orcpt` of nobody, or one that is no address.
        """
        events = (notify,) if isinstance(notify, str) else tuple(notify)
        if events != ("never",) and not set(events) <= set(_EVENTS):
            raise UsageError(f"notify is 'never', or any of {', '.join(_EVENTS)}: not {_shown(events)}")
        if ret is not None and ret not in _RETURNS:
            raise UsageError(f"ret is 'full' or 'headers': not {_shown(ret)}")
        if envid is not None and not (
            isinstance(envid, str) and envid.isascii() and envid.isprintable() and 0 < len(envid) <= _MAX_ENVID
        ):
            raise UsageError(f"envid is 1 to {_MAX_ENVID} printable ASCII characters: not {_shown(envid)}")
        originals = dict(orcpt or {})
        if originals and not originals.keys() <= set(recipients):
            raise UsageError("orcpt names somebody who is no recipient")
        for original in originals.values():
            address.check(original, role="original recipient")
        return cls(events, ret, envid, originals)

    def __bool__(self) -> bool:
        return bool(self.notify or self.ret or self.envid or self.orcpt)

    def of_mail(self) -> bytes:
        """Give the parameters of MAIL, a space before each."""
        found = b"" if self.ret is None else b" RET=" + _RETURNS[self.ret]
        return found if self.envid is None else found + b" ENVID=" + xtext(self.envid.encode("ascii"))

    def of_rcpt(self, recipient: str, *, utf8: bool) -> bytes:
        """Give the parameters of RCPT for one recipient, a space before each."""
        found = b" NOTIFY=" + ",".join(self.notify).upper().encode("ascii") if self.notify else b""
        original = self.orcpt.get(recipient)
        if original is None:
            return found
        if address.needs_utf8(original):
            return found + b" ORCPT=utf-8;" + _unitext(original, utf8=utf8)
        return found + b" ORCPT=rfc822;" + xtext(address.on_the_wire(original, utf8=False))


def xtext(text: bytes) -> bytes:
    """Write text so that it is one word of a command: what is no xchar as `+` and two hexadecimal digits."""
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % found[0][0], text)


def _unitext(text: str, *, utf8: bool) -> bytes:
    # utf-8-addr-xtext and utf-8-addr-unitext, RFC 6533 §3
    return "".join(_unicode(one, utf8=utf8) for one in text).encode()


def _unicode(character: str, *, utf8: bool) -> str:
    if not character.isascii():
        return character if utf8 else f"\\x{{{ord(character):X}}}"
    return f"\\x{{{ord(character):02X}}}" if character in "+=\\" or not "!" <= character <= "~" else character


def _shown(value: object) -> str:
    return repr(printable(str(value), max_characters=60))
