"""What a POP3 server says, as values. Pure: lines in, values out; whatever is no reply is a ProtocolError.

RFC 1939 (the commands), RFC 2449 (CAPA and response codes), RFC 3206 (SYS and AUTH codes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asyncnet.errors import AuthenticationError, ProtocolError, RefusedError, printable
from asyncnet.sasl import masked

_POSITIVE = re.compile(rb"\+OK(?:[ \t].*)?", re.DOTALL)
_NEGATIVE = re.compile(rb"-ERR(?:[ \t]+(?P<text>.*)|)", re.DOTALL)
_CODE = re.compile(rb"\[(?P<code>[!-Z^-~]{1,64})\]")  # RFC 2449 §3: resp-code, nothing but visible ASCII
# Numbers are ASCII digits of bounded length. What follows the two of a line is the server's own (RFC 1939 §5).
_PAIR = re.compile(rb"(?P<first>[0-9]{1,9})[ \t]+(?P<second>[0-9]{1,15})(?:[ \t].*)?", re.DOTALL)
_UNIQUE_ID = re.compile(rb"(?P<number>[0-9]{1,9})[ \t]+(?P<uid>[!-~]+)[ \t]*")  # RFC 1939 §7: 0x21 to 0x7E
_UID = re.compile("[!-~]{1,1000}")
_OCTETS = re.compile(rb"\+OK[ \t]+(?P<size>[0-9]{1,15})[ \t]+(?:octets|bytes)\b.*", re.DOTALL | re.IGNORECASE)
# RFC 1939 §7: a msg-id. Nothing laxer, or a man in the middle could use the answer against MD5 (CVE-2007-1558).
_STAMP = re.compile(rb"<[!-;=?A-~]+@[!-;=?A-~]+>")

_TRANSIENT = (("SYS", "TEMP"), ("IN-USE",), ("LOGIN-DELAY",))
_NOT_THE_SECRET = (("SYS",), ("IN-USE",), ("LOGIN-DELAY",))


class Stat(NamedTuple):
    """What STAT says of a maildrop.

    Args:
        count: how many messages it holds, those marked as deleted not counted.
        size: their bytes in all.
    """

    count: int  # type: ignore[assignment]  # tuple's own count() is of no use here
    size: int


class Listing(NamedTuple):
    """One line of LIST.

    Args:
        number: the message's number in this session, from 1.
        size: its bytes, as the server counts them.
    """

    number: int
    size: int


def is_positive(line: bytes) -> bool:
    """Whether a status line says yes (+OK)."""
    return _POSITIVE.fullmatch(line) is not None


def is_negative(line: bytes) -> bool:
    """Whether a status line says no (-ERR)."""
    return _NEGATIVE.fullmatch(line) is not None


def refusal(line: bytes, endpoint: object = None, operation: str | None = None) -> RefusedError:
    """Make the error of a -ERR line; transient by its response code."""
    code, text = _refused(line)
    transient = _begins(code, _TRANSIENT)
    return RefusedError(code="-ERR", text=text, endpoint=endpoint, operation=operation, transient=transient)


def login_refusal(line: bytes, secret: str, initial: bytes | None = None, reason: str = "") -> RefusedError:
    """Make the error of a -ERR line that answers a login, without the secret, should the server repeat it.

    Nor does it show `initial`, the mechanism's initial response; `reason` is what the mechanism gave as its own.

    An AuthenticationError, unless a response code says that it was not about the secret: [IN-USE], [LOGIN-DELAY],
    [SYS/TEMP] and [SYS/PERM].
    """
    code, said = _refused(line)
    text = said.decode("utf-8", "backslashreplace") + (f" ({reason})" if reason else "")
    kind = RefusedError if _begins(code, _NOT_THE_SECRET) else AuthenticationError
    return kind(code="-ERR", text=masked(text, secret, initial), transient=_begins(code, _TRANSIENT))


def stat(line: bytes) -> Stat:
    """Read the reply to STAT: `+OK 2 320`."""
    return Stat(*_pair(_after_ok(line)))


def listing(line: bytes) -> Listing:
    """Read a line of LIST: `2 200`."""
    return Listing(*_pair(line))


def listings(lines: Iterable[bytes]) -> list[Listing]:
    """Read the lines of LIST; a number that comes twice, or 0, is no listing."""
    found = [listing(line) for line in lines]
    _check_numbers([entry.number for entry in found])
    return found


def one_listing(line: bytes, number: int) -> Listing:
    """Read the reply to LIST with a number: `+OK 2 200`."""
    found = listing(_after_ok(line))
    if found.number != number:
        raise ProtocolError(f"message {number} was asked for, {found.number} was listed")
    return found


def unique_id(line: bytes) -> tuple[int, str]:
    """Read a line of UIDL: `2 QhdPYR:00WBw1Ph7x7`."""
    match = _UNIQUE_ID.fullmatch(line)
    if match is None:
        raise ProtocolError(f"not a number and a unique-id: {printable(line)!r}")
    return int(match["number"]), match["uid"].decode("ascii")


def unique_ids(lines: Iterable[bytes]) -> dict[int, str]:
    """Read the lines of UIDL; a number that comes twice, or 0, is no listing."""
    found = [unique_id(line) for line in lines]
    _check_numbers([number for number, _ in found])
    return dict(found)


def is_unique_id(uid: str) -> bool:
    """Whether a unique-id could be one: visible ASCII (RFC 1939 §7; longer ones than its 70 characters are met)."""
    return _UID.fullmatch(uid) is not None


def one_unique_id(line: bytes, number: int) -> dict[int, str]:
    """Read the reply to UIDL with a number: `+OK 2 QhdPYR:00WBw1Ph7x7`."""
    found, uid = unique_id(_after_ok(line))
    if found != number:
        raise ProtocolError(f"message {number} was asked for, {found} was listed")
    return {found: uid}


def octets(line: bytes) -> int | None:
    """Give the size that a positive reply to RETR announces (`+OK 120 octets`), or None: the words are free."""
    match = _OCTETS.fullmatch(line)
    return int(match["size"]) if match else None


def capabilities(lines: Iterable[bytes]) -> dict[str, tuple[str, ...]]:
    """Read the lines of CAPA: names in upper case, their arguments as they came."""
    words = (line.decode("ascii", "replace").split() for line in lines)
    return {name.upper(): tuple(arguments) for name, *arguments in filter(None, words)}


def stamp(greeting: bytes) -> str | None:
    """Give the timestamp of a greeting that offers APOP, or None."""
    found = _STAMP.search(greeting)
    return found[0].decode("ascii") if found else None


def _after_ok(line: bytes) -> bytes:
    return line.removeprefix(b"+OK").strip()


def _pair(line: bytes) -> tuple[int, int]:
    match = _PAIR.fullmatch(line)
    if match is None:
        raise ProtocolError(f"not two numbers: {printable(line)!r}")
    return int(match["first"]), int(match["second"])


def _check_numbers(numbers: Sequence[int]) -> None:
    if len(seen := {0, *numbers}) == len(numbers) + 1:
        return
    seen = {0}
    for number in numbers:
        if number in seen:
            raise ProtocolError(f"message {number} is listed, again or at all" if number else "message 0 is listed")
        seen.add(number)


def _refused(line: bytes) -> tuple[tuple[str, ...], bytes]:
    """The response code, as the parts between its slashes (RFC 3206 §4: a hierarchy), and the text."""
    match = _NEGATIVE.fullmatch(line)
    text = (match["text"] or b"") if match else line
    code = _CODE.match(text)
    return tuple(code["code"].decode("ascii").upper().split("/")) if code else (), text


def _begins(code: tuple[str, ...], kinds: Iterable[tuple[str, ...]]) -> bool:
    return any(code[: len(kind)] == kind for kind in kinds)
