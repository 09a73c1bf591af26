"""Shown: what a browser may see of a mail, whatever its sender put into it. Pure: bytes in, plain values out.

Nothing here trusts the mail: text is bounded, control characters and those that turn the writing direction are escaped,
HTML is cleaned by `nh3` (extra `lab`) down to what cannot run and cannot load.
"""

from __future__ import annotations

import base64
import contextlib
import email.header
import email.message
import email.policy
import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from asyncnet.errors import printable

_MAX_HEADERS = 200
_MAX_VALUE = 2_000
_MAX_TEXT = 500_000
_MAX_PARTS = 200
_MAX_IMAGE_BYTES = 2_000_000
_MAX_IMAGES = 10_000_000
"""Characters of images in one frame: a mail may name the same one ten thousand times."""
_HEAD_BYTES = 65_536

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_ODD = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_IMAGE = re.compile(r"image/(?:png|jpeg|gif|webp)")
_WORD = re.compile(r"\S+")
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)

_TAGS = set(
    _WORD.findall("""
        a abbr address article b bdi blockquote br caption center cite code col colgroup dd del details dfn div dl
        dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q s samp
        section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var
    """)
)
_ATTRIBUTES = {
    "*": {"align", "bgcolor", "color", "dir", "height", "style", "title", "valign", "width"},
    "a": {"href"},
    "font": {"face", "size"},
    "img": {"alt", "src"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_STYLES = set(
    _WORD.findall("""
        background-color border border-bottom border-collapse border-color border-left border-radius border-right
        border-spacing border-style border-top border-width color display font-family font-size font-style
        font-weight height letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right
        margin-top max-width min-width padding padding-bottom padding-left padding-right padding-top text-align
        text-decoration text-transform vertical-align white-space width word-break
    """)
)

FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""What the frame of an HTML mail may do: nothing but look."""

_FRAME = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:16px;color:#1b1f24;background:#fff;overflow-wrap:anywhere}}
img{{max-width:100%}}table{{max-width:100%}}</style></head><body>{body}</body></html>
"""


def visible(text: str, most: int = _MAX_TEXT) -> str:
    """Give a text of several lines as it may be shown: bounded, what is no plain character escaped."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = _ODD.sub(lambda found: found[0].encode("unicode_escape").decode(), text[:most])
    return shown + ("\n..." if len(text) > most else "")


def summary(raw: bytes) -> dict[str, str]:
    """Give what a list of mails shows: `from`, `to`, `subject`, `date`. Only the beginning is looked at."""
    head = _HEAD_END.split(raw[:_HEAD_BYTES], maxsplit=1)[0]
    message = email.message_from_bytes(head + b"\r\n\r\n", policy=email.policy.compat32)
    fields = {name.lower(): value for name, value in reversed(list(message.raw_items()))}  # the first of a name counts
    return {name: _header(fields.get(name, "")) for name in ("from", "to", "subject", "date")}


def mail(raw: bytes) -> dict[str, Any]:
    """Give what the page shows of one mail: `headers`, `text`, `has_html`, `attachments`, and `defect` or None."""
    message, defect = _parsed(raw)
    parts = _parts(message)
    text = next((part for part in parts if part.get_content_type() == "text/plain" and not _is_attached(part)), None)
    return {
        "headers": [[printable(name), _header(value)] for name, value in islice(message.raw_items(), _MAX_HEADERS)],
        "text": None if text is None else visible(_text(text)),
        "has_html": _html(parts) is not None,
        "attachments": [
            {"number": number, "name": _filename(part), "type": printable(part.get_content_type()), "size": len(data)}
            for number, part, data in _attachments(parts)
        ],
        "defect": defect,
    }


def attachment(raw: bytes, number: int) -> tuple[str, bytes] | None:
    """Give the name and the bytes of an attachment, or None if there is none of that number."""
    for found, part, data in _attachments(_parts(_parsed(raw)[0])):
        if found == number:
            return _filename(part), data
    return None


def frame(raw: bytes) -> str:
    """Give the HTML of a mail as a page for a sandboxed frame, cleaned; without `nh3`, a sentence that says so."""
    parts = _parts(_parsed(raw)[0])
    html = _html(parts)
    if html is None:
        return _FRAME.format(body="<p>This mail has no HTML.</p>")
    try:
        import nh3
    except ImportError:
        return _FRAME.format(body="<p>HTML is shown where nh3 is installed: pip install 'asyncnet[lab]'</p>")
    body = nh3.clean(
        _text(html)[:_MAX_TEXT],
        tags=_TAGS,
        clean_content_tags={"script", "style", "title", "template", "noscript"},
        attributes=_ATTRIBUTES,
        attribute_filter=partial(_attribute, _Images(parts)),
        url_schemes={"http", "https", "mailto", "data", "cid"},
        filter_style_properties=_STYLES,
        link_rel="noopener noreferrer nofollow",
    )
    return _FRAME.format(body=body)


def _attribute(images: _Images, tag: str, name: str, value: str) -> str | None:
    """Let a link lead to the web or a mailbox, and an image be one of the mail's own; nothing else refers anywhere."""
    if name == "href":
        return value if _LINK.match(value) else None
    if name == "src":
        if value[:4].lower() == "cid:":
            return images.take(value[4:])
        return value if re.match(r"data:image/(?:png|jpeg|gif|webp);base64,", value) else None
    if name == "style":
        return None if "(" in value or "\\" in value or "@" in value else value
    return value


class _Images:
    """The images of a mail by their Content-ID, as data: URLs, within a bound on all that are taken."""

    def __init__(self, parts: list[email.message.Message]) -> None:
        self._left = _MAX_IMAGES
        self._found: dict[str, str] = {}
        for part in parts:
            name, kind = str(part.get("Content-ID", "")).strip().strip("<>"), part.get_content_type()
            data = _payload(part) if name and _IMAGE.fullmatch(kind) else b""
            if 0 < len(data) <= _MAX_IMAGE_BYTES:
                self._found[name] = f"data:{kind};base64,{base64.b64encode(data).decode()}"

    def take(self, name: str) -> str | None:
        found = self._found.get(name)
        if found is None or len(found) > self._left:
            return None
        self._left -= len(found)
        return found


def _parsed(raw: bytes) -> tuple[email.message.Message, str | None]:
    try:
        return email.message_from_bytes(raw, policy=email.policy.compat32), None
    except Exception as error:  # parts in parts without end; what else the parser may stumble over is the mail's fault
        head = _HEAD_END.split(raw[:_HEAD_BYTES], maxsplit=1)[0]
        bare = email.message_from_bytes(head + b"\r\n\r\n", policy=email.policy.compat32)
        return bare, f"The mail cannot be taken apart ({type(error).__name__}); the source shows it as it came."


def _parts(message: email.message.Message) -> list[email.message.Message]:
    """The leaves, at most so many, those inside of forwarded mails not among them."""
    found: list[email.message.Message] = []
    waiting = [message]
    while waiting and len(found) < _MAX_PARTS:
        part = waiting.pop(0)
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            waiting[:0] = [one for one in inner if isinstance(one, email.message.Message)]
        else:
            found.append(part)
    return found


def _is_attached(part: email.message.Message) -> bool:
    return str(part.get("Content-Disposition", "")).strip().lower().startswith("attachment")


def _html(parts: list[email.message.Message]) -> email.message.Message | None:
    return next((part for part in parts if part.get_content_type() == "text/html" and not _is_attached(part)), None)


def _attachments(parts: list[email.message.Message]) -> Iterator[tuple[int, email.message.Message, bytes]]:
    for number, part in enumerate(parts):
        if part.get_content_maintype() != "text" or _is_attached(part):
            yield number, part, _payload(part)


def _payload(part: email.message.Message) -> bytes:
    inner = part.get_payload()
    if isinstance(inner, list):  # message/rfc822
        return inner[0].as_bytes() if inner and isinstance(inner[0], email.message.Message) else b""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _text(part: email.message.Message) -> str:
    charset = str(part.get_param("charset", "utf-8"))
    try:
        return _payload(part).decode(charset, "replace")
    except (LookupError, ValueError):
        return _payload(part).decode("utf-8", "replace")


def _filename(part: email.message.Message) -> str:
    try:
        name = part.get_filename() or ""
    except Exception:  # a parameter that cannot be decoded
        name = ""
    name = re.split(r"[\\/]", name.encode("utf-8", "replace").decode())[-1]
    name = "".join(c if c.isprintable() else "_" for c in name[:1000]).strip(". ")
    return name[:120] or f"part.{part.get_content_subtype() if part.get_content_subtype().isalnum() else 'bin'}"


def _header(value: object) -> str:
    text = _FOLD.sub(" ", str(value)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    with contextlib.suppress(Exception):  # an encoded word that is none stays as it came
        text = str(email.header.make_header(email.header.decode_header(text)))
    return printable(text, max_characters=_MAX_VALUE)
