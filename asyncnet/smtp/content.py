"""Content: a message as a sequence of small pieces, whatever it was given as, without a copy of the whole.

An EmailMessage is written out by the `email` package, but for its big bodies: those stay where they are, and are
cut in when their turn comes. So a big attachment costs neither its size again nor the time of the event loop.
"""

from __future__ import annotations

import asyncio
import copy
import io
import re
import secrets
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from email.generator import BytesGenerator
from email.headerregistry import Address, Group
from email.message import Message
from email.policy import SMTP, SMTPUTF8, EmailPolicy, default
from typing import Any, NamedTuple, TypeAlias

from asyncnet.daemon import in_daemon
from asyncnet.errors import UsageError, printable
from asyncnet.smtp.address import ascii_domain
from asyncnet.smtp.envelope import UNREADABLE, addresses_in, parsed
from asyncnet.smtp.stuffing import Lines

CHUNK = 131_072
"""Bytes handled at a stretch: below a millisecond of work, and enough for a fast network."""

_BIG = 8192
"""Characters of a body that is cut in instead of written out by the `email` package."""
_HEAVY = 262_144
"""Characters left to the `email` package from which on it works in a thread: about 10 ms."""

_HEAD = 65_536
_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[!-~]+>)", re.IGNORECASE | re.MULTILINE)
_HEAD_ENDS = (b"\n\r\n", b"\n\n", b"\r\r")
_ADDRESSES = ("From", "Sender", "Reply-To", "To", "Cc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc")
_RAW = re.compile("[\udc80-\udcff]")  # bytes that were not decoded
_HIDDEN = ("Bcc", "Resent-Bcc")  # RFC 5322 §3.6.3: the first of the three ways to treat Bcc

Piece = str | bytes | bytearray | memoryview
Mail: TypeAlias = "Message[Any, Any]"


class Measure(NamedTuple):
    """What has to be known before the first byte goes out.

    Args:
        octets: the size as SIZE counts it (of a stream: as it was told), or None if nobody knows.
        is_ascii: whether all is ASCII.
    """

    octets: int | None
    is_ascii: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A message ready to be sent, any number of times.

    Args:
        pieces: the message in order; a `str` is encoded on the way, and must be fit for it.
    """

    pieces: tuple[Piece, ...]

    def chunks(self) -> Iterator[bytes]:
        """Give the message in chunks of at most `CHUNK` bytes (characters, where they are encoded here)."""
        for piece in self.pieces:
            view = piece if isinstance(piece, str) else memoryview(piece).cast("B")
            for start in range(0, len(view), CHUNK):
                part = view[start : start + CHUNK]
                yield part.encode("ascii") if isinstance(part, str) else bytes(part)

    @property
    def whole(self) -> bytes | None:
        """All of it in one piece if it is small, else None."""
        if sum(one.nbytes if isinstance(one, memoryview) else len(one) for one in self.pieces) > CHUNK:
            return None
        if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes):
            return self.pieces[0]
        return b"".join(self.chunks())

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Give the chunks to whoever takes a stream as well."""
        for chunk in self.chunks():
            yield chunk

    async def measure(self) -> Measure:
        """Take the measure, leaving the loop free in between."""
        lines, is_ascii, worked = Lines(), True, 0
        for chunk in self.chunks():
            lines.feed(chunk)
            is_ascii = is_ascii and chunk.isascii()
            worked += len(chunk)
            if worked >= CHUNK:
                worked = 0
                await asyncio.sleep(0)
        lines.finish()
        return Measure(lines.octets, is_ascii)

    @property
    def message_id(self) -> str | None:
        """The Message-ID with its angle brackets, or None."""
        head = b""
        for chunk in self.chunks():
            head = head + chunk if head else chunk
            if len(head) >= _HEAD:
                break
        return message_id_in(head)


def message_id_in(head: bytes) -> str | None:
    """Give the Message-ID, with its angle brackets, that stands in the beginning of a message, or None."""
    found = [end for end in (head.find(empty) for empty in _HEAD_ENDS) if end >= 0]
    match = _MESSAGE_ID.search(head, 0, min(found) + 1 if found else len(head))
    return match[1].decode("ascii") if match else None


async def content_of(message: object, *, utf8: bool, eight_bit: bool) -> Content:
    """Make a Content of an EmailMessage, or of the text or bytes of a message.

    Args:
        message: as `Envelope.of` has accepted it; it is not changed.
        utf8: the server has SMTPUTF8 and the message needs it: headers go as UTF-8.
        eight_bit: the server has 8BITMIME: bodies that are not ASCII go as they are, else the `email` package
            encodes them. Bytes and text go as they are in any case.

    Raises:
        UsageError: the message cannot be written out.
    """
    if isinstance(message, Message):
        try:
            return await _written(message, utf8=utf8, eight_bit=eight_bit)
        except UsageError:
            raise
        except UNREADABLE as error:
            raise UsageError(f"the message cannot be written out: {_described(error)}", operation="send") from error
    if isinstance(message, str):
        return Content(tuple(await _encoded(message, "utf-8")))
    assert isinstance(message, (bytes, bytearray, memoryview))
    return Content((message,))


def headers_need_utf8(message: object) -> bool:
    """Whether only a server with SMTPUTF8 can take the headers: a local part in them is not ASCII (RFC 6532)."""
    if not isinstance(message, Message) or _has_ascii_addresses(message):
        return False
    return any(not one.username.isascii() for one in addresses_in(message, _ADDRESSES))


async def _written(message: Mail, *, utf8: bool, eight_bit: bool) -> Content:
    skeleton = _Skeleton(eight_bit=eight_bit)
    twin = skeleton.copy(message)
    policy = (SMTPUTF8 if utf8 else SMTP).clone(cte_type="8bit" if eight_bit else "7bit")
    if skeleton.weight > _HEAVY:
        flat = await in_daemon(lambda: _flattened(twin, policy))
    else:
        flat = _flattened(twin, policy)
    return Content(tuple(await skeleton.filled(flat)))


class _Skeleton:
    """A copy of a message in which big bodies have been replaced by marks."""

    def __init__(self, *, eight_bit: bool) -> None:
        self.weight = 0
        self._eight_bit = eight_bit
        self._bodies: list[str] = []
        self._mark = f"asyncnet.{secrets.token_hex(16)}."  # nobody can have written it into his message

    def copy(self, part: Mail) -> Mail:
        """Copy a part with all below it; bodies and headers are shared with the original, which is not changed."""
        # Not deepcopy(): that would call into whatever objects the caller has put there.
        twin: Any = copy.copy(part)
        twin._headers = list(part.raw_items())
        if not isinstance(part.policy, EmailPolicy):
            twin._headers, twin.policy = [(name, _modern(name, value)) for name, value in twin._headers], default
        body = twin._payload  # get_payload() would decode what is not ASCII
        if isinstance(body, list):
            twin.set_payload([self.copy(one) for one in body])
        elif isinstance(body, str):
            twin._payload = self._marked(body)
        return twin  # type: ignore[no-any-return]

    def _marked(self, body: str) -> str:
        if len(body) < _BIG or not (self._eight_bit or body.isascii()):
            self.weight += len(body)
            return body
        self._bodies.append(body)
        return f"{self._mark}{len(self._bodies) - 1}."

    async def filled(self, flat: bytes) -> list[Piece]:
        """Put the bodies in the places of their marks."""
        pieces: list[Piece] = []
        parts = re.split(re.escape(self._mark.encode()) + rb"(\d+)\.", flat)
        for position, part in enumerate(parts):
            if position % 2 == 0:
                pieces.append(part)
            else:
                pieces += await _encoded(self._bodies[int(part)], "ascii")
        return pieces


def _flattened(message: Mail, policy: EmailPolicy[Any]) -> bytes:
    """Write out a message that is ours to change."""
    for name in _HIDDEN:
        del message[name]
    if not policy.utf8 and not _has_ascii_addresses(message):
        _rewrite_domains(message)
    out = io.BytesIO()
    BytesGenerator(out, policy=policy).flatten(message)
    return out.getvalue()


async def _encoded(text: str, encoding: str) -> list[Piece]:
    if text.isascii():
        return [text]
    pieces: list[Piece] = []
    for start in range(0, len(text), CHUNK):
        try:
            pieces.append(text[start : start + CHUNK].encode(encoding, "surrogateescape"))  # raw bytes come as such
        except UnicodeEncodeError as error:
            raise UsageError(f"the message cannot be written out: {_described(error)}", operation="send") from error
        await asyncio.sleep(0)
    return pieces


def _modern(name: str, value: Any) -> Any:
    """Give a header of the old interface, a str or a Header, as the new one has it."""
    text = str(value)
    if isinstance(value, str) and (text.isascii() or _RAW.search(text)):
        return text
    return default.header_factory(name, "".join(text.splitlines()))


def _has_ascii_addresses(message: Mail) -> bool:
    names = {name.lower() for name in _ADDRESSES}
    return all(str(value).isascii() for name, value in message.raw_items() if name.lower() in names)


def _rewrite_domains(message: Mail) -> None:
    """Write the domains in the headers in ASCII, for a server that knows no others (RFC 5890 §2.3.2.1)."""
    fields = list(message.raw_items())
    for name in {name for name, _ in fields}:
        del message[name]
    for name, value in fields:
        is_address = name.lower() in {one.lower() for one in _ADDRESSES}
        message.set_raw(name, _with_ascii_domains(name, value) if is_address else value)


def _with_ascii_domains(name: str, value: Any) -> Any:
    if str(value).isascii():
        return value
    groups = parsed(name, value).groups
    groups = [Group(group.display_name, [_in_ascii(one) for one in group.addresses]) for group in groups]
    return default.header_factory(name, groups)


def _in_ascii(one: Address) -> Address:
    if one.domain.isascii():
        return one
    return Address(one.display_name, one.username, ascii_domain(one.domain))


def _described(error: BaseException) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start]!r} cannot be encoded in {error.encoding}; parse messages from bytes"
    return printable(f"{type(error).__name__}: {error}", max_characters=120)
