"""compose(): text, HTML, attachments and images as the EmailMessage that every mail program shows as meant."""

from __future__ import annotations

import binascii
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.utils import format_datetime, localtime, make_msgid
from typing import TypeAlias

from asyncnet.errors import UsageError, printable
from asyncnet.smtp import address
from asyncnet.smtp.envelope import addresses_in, check_headers

Path = str | os.PathLike[str]
Attachment: TypeAlias = Path | tuple[str, bytes]
"""a file, or a name and its bytes"""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+(@[A-Za-z0-9.-]+)?")
_LINE_BYTES = 57
"""Bytes in a line of base64: 76 characters (RFC 2045 §6.8)."""
_OURS = ("From", "To", "Cc", "Bcc", "Reply-To")
# What the picture itself says of its kind, for pictures that have no name.
_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"<svg": "image/svg+xml"}


def compose(
    sender: str,
    to: str | Iterable[str] = (),
    subject: str = "",
    text: str | None = None,
    *,
    html: str | None = None,
    cc: str | Iterable[str] = (),
    bcc: str | Iterable[str] = (),
    reply_to: str | Iterable[str] = (),
    attachments: Iterable[Attachment] = (),
    images: Mapping[str, Path | bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    date: datetime | None = None,
    message_id: str | None = None,
) -> EmailMessage:
    """Make a message.

    Args:
        sender: who writes: `alice@example.org`, or with a name: `Alice Müller <alice@example.org>`.
        to: to whom, an address of the same kind or several; nobody, if `cc` or `bcc` has somebody.
        subject: one line, in any script.
        text: the body as plain text.
        html: the body as HTML; beside `text` it is what programs show that can.
        cc: who is to get a copy.
        bcc: who is to get a copy without the others knowing; sending takes it out of the message.
        reply_to: where answers go.
        attachments: files, or (name, bytes); the type follows from the name.
        images: name -> picture, a file or its bytes, that `html` shows as `<img src="cid:name">`.
        headers: more headers, name -> value.
        date: when; None is now.
        message_id: with angle brackets; None makes one, in the domain of the sender.

    Raises:
        UsageError: an address that is none, a control character (CR, LF...) in a header or a name, a file that cannot
            be read, an image that `html` does not show, or nobody to send it to.

    It reads the files, and so blocks: off the loop, for big ones, by `asyncio.to_thread(smtp.compose, ...)`.
    """
    message = EmailMessage()
    everybody = {"To": _listed(to), "Cc": _listed(cc), "Bcc": _listed(bcc)}
    if not any(everybody.values()):
        raise UsageError("a message for nobody: give to, cc or bcc")
    try:
        message["From"] = _line("sender", sender)
        for name, listed in (everybody | {"Reply-To": _listed(reply_to)}).items():
            if listed:
                message[name] = _line(name, ", ".join(listed))
        message["Subject"] = _line("subject", subject)
        message["Date"] = format_datetime(localtime() if date is None else date)
        _check_addresses(message)
        message["Message-ID"] = _line("message_id", message_id) if message_id is not None else _new_id(message)
        for name, value in (headers or {}).items():
            message[_line("header", name)] = _line(name, value)
        _add_bodies(message, text, html, images or {})
        for attachment in attachments:
            _attach(message, attachment)
    except (ValueError, TypeError, LookupError, AttributeError, MessageError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"no message can be made of this: {error}") from error
    check_headers(message)
    return message


def _listed(people: str | Iterable[str]) -> list[str]:
    return [people] if isinstance(people, str) else list(people)


def _line(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{what} is a str, not {type(text).__name__}")
    if _CONTROL.search(text):
        raise UsageError(f"a control character in {what}: {printable(text, max_characters=60)!r}")
    return text


def _check_addresses(message: EmailMessage) -> None:
    for name in _OURS:
        found = list(addresses_in(message, (name,)))
        if name in message and (not found or message[name].defects):
            raise UsageError(f"{name} is not an address: {printable(str(message[name]), max_characters=60)!r}")
        for one in found:
            address.check(one.addr_spec, role=f"address in {name}")
    if len(list(addresses_in(message, ("From",)))) != 1:
        raise UsageError("a message has one sender")


def _new_id(message: EmailMessage) -> str:
    [writer] = addresses_in(message, ("From",))
    # Of the sender's domain: the default would look up the name of this machine, and tell it.
    is_name = writer.domain and not writer.domain.startswith("[")
    return make_msgid(domain=address.ascii_domain(writer.domain) if is_name else "localhost")


def _add_bodies(message: EmailMessage, text: str | None, html: str | None, images: Mapping[str, Path | bytes]) -> None:
    for body in (text, html):
        if body is not None and (not isinstance(body, str) or re.search("[\x00\ud800-\udfff]", body)):
            raise UsageError("a body is a str without NUL and undecoded bytes")
    if html is None:
        if images:
            raise UsageError("images stand in html, and there is none")
        message.set_content(text or "")
        return
    if text is None:
        message.set_content(html, subtype="html")
        shown: MIMEPart = message
    else:
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        shown = list(message.iter_parts())[-1]
    for name, picture in images.items():
        if not _CONTENT_ID.fullmatch(name):
            raise UsageError(f"not a name for an image: {printable(name, max_characters=60)!r}")
        if f"cid:{name}" not in html:
            raise UsageError(f"the HTML does not show cid:{name}")
        data = picture if isinstance(picture, bytes) else _read(picture)
        main, sub = _kind_of_picture(name if isinstance(picture, bytes) else os.fspath(picture), data)
        shown.add_related(b"", maintype=main, subtype=sub, cid=f"<{name}>", disposition="inline")
        _fill(list(shown.iter_parts())[-1], data)


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    if isinstance(attachment, tuple):
        name, data = attachment
        if not isinstance(data, bytes):
            raise UsageError(f"an attachment is a path, or a name and bytes, not {type(data).__name__}")
    else:
        name, data = os.path.basename(os.fspath(attachment)), _read(attachment)
    main, sub = _kind(_line("the name of an attachment", name))
    message.add_attachment(b"", maintype=main, subtype=sub, filename=name)
    _fill(list(message.iter_attachments())[-1], data)


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {printable(os.fspath(path))}: {reason}") from error


def _kind(name: str) -> tuple[str, str]:
    kind, coding = mimetypes.guess_type(name)
    main, _, sub = (kind if kind and not coding else "application/octet-stream").partition("/")
    # A message or a multipart may not be base64 (RFC 2045 §6.4); as a file of bytes it is what was given.
    return (main, sub) if main not in ("message", "multipart") else ("application", "octet-stream")


def _kind_of_picture(name: str, data: bytes) -> tuple[str, str]:
    found = _kind(name)
    if found[0] != "image":
        kinds = (kind for beginning, kind in _KINDS.items() if data.lstrip()[:16].startswith(beginning))
        main, _, sub = next(kinds, "application/octet-stream").partition("/")
        return main, sub
    return found


def _fill(part: MIMEPart, data: bytes) -> None:
    # The `email` package would take twice the time, and several times the memory.
    part.set_payload("".join(_base64(data)))


def _base64(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), _LINE_BYTES):
        yield binascii.b2a_base64(data[start : start + _LINE_BYTES]).decode("ascii")
