"""Part: the MIME structure of a message (RFC 9051 §7.5.2: BODYSTRUCTURE). Built without recursion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from asyncnet.errors import ProtocolError
from asyncnet.imap.envelope import Envelope, envelope, text
from asyncnet.imap.tokens import Value


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME part.

    Args:
        number: what names it in `fetch(uid, part=...)`. A multipart that is the whole body of a message has none of its
            own: it bears the number of that message, "" for the outermost.
        content_type: `text/plain`, `multipart/mixed`... in lower case.
        parameters: of the content type, names in lower case.
        content_id: with its angle brackets, or None.
        description: or None.
        encoding: the content transfer encoding in lower case; "" for a multipart.
        size: in bytes, in that encoding; None for a multipart.
        lines: of a text or a message, in that encoding; None elsewhere.
        disposition: `attachment`, `inline`... in lower case, or None.
        disposition_parameters: `filename`... names in lower case.
        language: tags of languages.
        location: a URI, or None.
        envelope: of a message within the message.
        parts: those within it; of a message within the message its one body.
    """

    number: str
    content_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    content_id: str | None = None
    description: str | None = None
    encoding: str = ""
    size: int | None = None
    lines: int | None = None
    disposition: str | None = None
    disposition_parameters: Mapping[str, str] = field(default_factory=dict)
    language: tuple[str, ...] = ()
    location: str | None = None
    envelope: Envelope | None = None
    parts: tuple[Part, ...] = ()

    @property
    def filename(self) -> str | None:
        """What the sender calls it, encoded words not decoded; never a path to write to without a look at it."""
        return self.disposition_parameters.get("filename") or self.parameters.get("name")

    def walk(self) -> Iterator[Part]:
        """Give this part and all within it, outer before inner."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))


def structure(value: Value) -> Part:
    """Make a Part of what stands after BODYSTRUCTURE or BODY.

    Raises:
        ProtocolError: it has not the form of one.
    """
    nodes = _nodes(value)
    inner: dict[int, list[Part]] = {}
    for index in range(len(nodes) - 1, 0, -1):  # inner parts stand after their outer one
        values, number, above = nodes[index]
        inner.setdefault(above, []).append(_part(values, number, inner.pop(index, [])))
    return _part(nodes[0][0], nodes[0][1], inner.pop(0, []))


_Node = tuple[list[Value], str, int]
"""the values of a part, its number, and the index of the part around it"""


def _nodes(value: Value) -> list[_Node]:
    if not isinstance(value, list):
        raise ProtocolError("a BODYSTRUCTURE that is no list")
    # RFC 9051 §6.4.5.1: the one part of a simple message is "1"; a multipart that is the body of a message has no
    # number of its own, and its parts are numbered below the message.
    nodes: list[_Node] = [(value, "" if _is_multipart(value) else "1", 0)]
    index = 0
    while index < len(nodes):
        values, number, _ = nodes[index]
        if _is_multipart(values):
            for position, child in enumerate(_leading_lists(values), start=1):
                nodes.append((child, f"{number}.{position}" if number else str(position), index))
        elif _is_message(values):
            body = values[8]
            if not isinstance(body, list):
                raise ProtocolError("a message in a BODYSTRUCTURE without its body")
            nodes.append((body, number if _is_multipart(body) else f"{number}.1", index))
        index += 1
    return nodes


def _is_multipart(values: list[Value]) -> bool:
    return bool(values) and isinstance(values[0], list)


def _is_message(values: list[Value]) -> bool:
    # Only in this form does it have a body; some servers give message/global or a broken message as a plain part.
    return len(values) >= 10 and _lower(values[0]) == "message" and isinstance(values[7], list)


def _leading_lists(values: list[Value]) -> Iterator[list[Value]]:
    for value in values:
        if not isinstance(value, list):
            return
        yield value


def _part(values: list[Value], number: str, inner: list[Part]) -> Part:
    parts = tuple(reversed(inner))
    if _is_multipart(values):
        rest = values[len(parts) :]
        subtype = _lower(rest[0]) if rest else ""
        extension = rest[2:]
        return Part(
            number,
            f"multipart/{subtype or 'mixed'}",
            _parameters(rest[1] if len(rest) > 1 else None),
            parts=parts,
            **_extension(extension),
        )
    if len(values) < 7:
        raise ProtocolError("a part in a BODYSTRUCTURE without its seven fields")
    kind = _lower(values[0])
    content_type = f"{kind}/{_lower(values[1])}"
    message = _is_message(values)
    lines = _number(values[9]) if message else _number(values[7]) if kind == "text" and len(values) > 7 else None
    extension = values[11 if message else 9 if kind == "text" else 8 :]  # each begins with the MD5 before it
    return Part(
        number,
        content_type,
        _parameters(values[2]),
        text(values[3]),
        text(values[4]),
        _lower(values[5]),
        _number(values[6]),
        lines,
        envelope=envelope(values[7]) if message else None,
        parts=parts,
        **_extension(extension),
    )


class _Extension(TypedDict):
    disposition: str | None
    disposition_parameters: dict[str, str]
    language: tuple[str, ...]
    location: str | None


def _extension(values: list[Value]) -> _Extension:
    disposition, language, location = (*values[:3], None, None, None)[:3]
    kind: str | None = None
    parameters: dict[str, str] = {}
    if isinstance(disposition, list) and disposition:
        kind = _lower(disposition[0])
        parameters = _parameters(disposition[1] if len(disposition) > 1 else None)
    elif isinstance(disposition, bytes):  # some servers leave the parentheses out
        kind = _lower(disposition)
    languages = language if isinstance(language, list) else [language]
    return {
        "disposition": kind,
        "disposition_parameters": parameters,
        "language": tuple(name for one in languages if (name := text(one)) is not None),
        "location": text(location) if not isinstance(location, list) else None,
    }


def _parameters(value: Value) -> dict[str, str]:
    if not isinstance(value, list):
        return {}
    names = [text(name) for name in value]
    pairs = zip(names[::2], names[1::2], strict=False)
    return {name.lower(): meaning or "" for name, meaning in pairs if name is not None}


def _lower(value: Value) -> str:
    return (text(value) or "").lower()


def _number(value: Value) -> int | None:
    if isinstance(value, bytes) and value.isdigit() and len(value) <= 19:
        return int(value)
    return None
