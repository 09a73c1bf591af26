"""ENVELOPE, BODY and BODYSTRUCTURE: what a message is like, as FETCH tells it (RFC 9051 §7.5.2). Pure, iterative."""

from __future__ import annotations

from itertools import islice

from asyncnet.lab.imap.addresses import MAX_ADDRESSES, Address, addresses
from asyncnet.lab.imap.header import Header
from asyncnet.lab.imap.mime import Parameters, Part, valued
from asyncnet.lab.imap.strings import nstring, string


def envelope(header: Header) -> bytes:
    """Write the envelope of a message."""
    sent_from = _people(header, b"from")
    return b"(%b)" % b" ".join(
        (
            nstring(header.get(b"date")),
            nstring(header.get(b"subject")),
            sent_from or b"NIL",
            # RFC 9051 §7.5.2: where these are missing or empty, they are From
            _people(header, b"sender") or sent_from or b"NIL",
            _people(header, b"reply-to") or sent_from or b"NIL",
            _people(header, b"to") or b"NIL",
            _people(header, b"cc") or b"NIL",
            _people(header, b"bcc") or b"NIL",
            nstring(header.get(b"in-reply-to")),
            nstring(header.get(b"message-id")),
        )
    )


def body(root: Part, *, extended: bool) -> bytes:
    """Write the structure of a message.

    Args:
        root: its parts.
        extended: whether with what BODYSTRUCTURE tells and BODY leaves out.
    """
    written: dict[int, bytes] = {}
    for part in reversed(_parents_first(root)):
        if part.children:
            inner = b"".join(written.pop(id(child)) for child in part.children)
            written[id(part)] = _multipart(part, inner, extended=extended)
        else:
            embedded = part.embedded
            inner = b"" if embedded is None else b"%b %b" % (envelope(embedded.header), written.pop(id(embedded)))
            written[id(part)] = _single(part, inner, extended=extended)
    return written[id(root)]


def _parents_first(root: Part) -> list[Part]:
    order = [root]
    for part in order:  # grows while it is walked
        order.extend(part.children)
        if part.embedded is not None:
            order.append(part.embedded)
    return order


def _multipart(part: Part, children: bytes, *, extended: bool) -> bytes:
    words = [children, string(part.kind[1])]
    if extended:
        words += [_parameters(part.parameters), *_tail(part)]
    return b"(%b)" % b" ".join(words)


def _single(part: Part, embedded: bytes, *, extended: bool) -> bytes:
    kind, subkind = part.kind
    words = [
        string(kind),
        string(subkind),
        _parameters(part.parameters or _default_parameters(part)),
        nstring(part.header.get(b"content-id")),
        nstring(part.header.get(b"content-description")),
        string(part.encoding),
        b"%d" % (part.end - part.body),
    ]
    if embedded:
        words.append(embedded)
    if embedded or kind.lower() == b"text":
        words.append(b"%d" % _lines(part))
    if extended:
        words += [nstring(part.header.get(b"content-md5")), *_tail(part)]
    return b"(%b)" % b" ".join(words)


def _tail(part: Part) -> list[bytes]:
    """Write disposition, language and location."""
    header = part.header
    disposition = header.get(b"content-disposition")
    shown = b"NIL"
    if disposition is not None and (cut := valued(disposition))[0]:
        shown = b"(%b %b)" % (string(cut[0]), _parameters(cut[2]))
    language = header.get(b"content-language")
    tags = [tag.strip() for tag in (language or b"").split(b",") if tag.strip()]
    spoken = b"NIL" if not tags else string(tags[0]) if len(tags) == 1 else b"(%b)" % b" ".join(map(string, tags))
    return [shown, spoken, nstring(header.get(b"content-location"))]


def _default_parameters(part: Part) -> Parameters:
    # RFC 2045 §5.2: a text that names no charset is in US-ASCII
    return [(b"charset", b"us-ascii")] if part.kind[0].lower() == b"text" else []


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join(b"%b %b" % (string(name), string(value)) for name, value in parameters)


def _lines(part: Part) -> int:
    return part.raw.count(b"\n", part.body, part.end)


def _people(header: Header, name: bytes) -> bytes:
    """Write the addresses of the fields of that name, of all together no more than of one; empty without any."""
    people = list(islice((one for value in header.all(name) for one in addresses(value)), MAX_ADDRESSES))
    return b"(%b)" % b"".join(map(_person, people)) if people else b""


def _person(address: Address) -> bytes:
    return b"(%b)" % b" ".join(map(nstring, address))
