"""Part: where in the bytes of a message its parts lie (RFC 2046 §5.1). Pure; by a worklist, never by recursion.

Parts are spans of one `bytes`; nothing is copied. What is nested deeper, or has more parts, than the bounds allow is
one part without any of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from asyncnet.lab.imap.header import Header

MAX_DEPTH = 50
MAX_PARTS = 5_000

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_VALUE = re.compile(rb"[ \t]*+([!#$%&'*+.0-9A-Z^_`a-z{|}~-]++)(?:[ \t]*+/[ \t]*+([!#$%&'*+.0-9A-Z^_`a-z{|}~-]++))?+")
_PARAMETER = re.compile(rb"""[ \t;]*+([^\s=;"]++)[ \t]*+=[ \t]*+("(?:[^"\\]|\\.)*+"?+|[^;]*+)""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)

Parameters = list[tuple[bytes, bytes]]
"""names as they stand, and values without quotes"""


@dataclass(slots=True, eq=False)
class Part:
    """A message, or a part of one.

    Args:
        raw: the bytes of the whole message.
        start: where its header begins.
        body: where its body begins, behind the empty line.
        end: where it ends.
        default: the content type where it names none.
        depth: how many parts it lies in.
        children: of a multipart.
        embedded: of a message/rfc822: the message in it.
    """

    raw: bytes = field(repr=False)
    start: int
    end: int
    default: tuple[bytes, bytes] = (b"text", b"plain")
    depth: int = 0
    body: int = 0
    header: Header = field(init=False)
    kind: tuple[bytes, bytes] = (b"text", b"plain")
    parameters: Parameters = field(default_factory=list)
    children: list[Part] = field(default_factory=list)
    embedded: Part | None = None

    def __post_init__(self) -> None:
        header_end, self.body = _divided(self.raw, self.start, self.end)
        self.header = Header(self.raw[self.start : header_end])
        value = self.header.get(b"content-type")
        self.kind, self.parameters = self.default, []
        if value is not None:
            kind, subkind, self.parameters = valued(value)
            # RFC 2045 §5.2: what cannot be read is text/plain
            self.kind = (kind, subkind) if kind and subkind else (b"text", b"plain")

    @property
    def encoding(self) -> bytes:
        """Its Content-Transfer-Encoding; 7bit where it names none."""
        value = self.header.get(b"content-transfer-encoding") or b""
        return value.partition(b";")[0].partition(b"(")[0].strip() or b"7bit"

    def parameter(self, name: bytes) -> bytes | None:
        """Give a parameter of its content type, by its name in lower case."""
        return next((value for one, value in self.parameters if one.lower() == name), None)


def parsed(raw: bytes) -> Part:
    """Read the structure of a message."""
    root = Part(raw, 0, len(raw))
    waiting, count = [root], 1
    while waiting:
        part = waiting.pop()
        kind = (part.kind[0].lower(), part.kind[1].lower())
        if part.depth >= MAX_DEPTH or count >= MAX_PARTS:
            if kind[0] == b"multipart":
                part.kind = (b"application", b"octet-stream")
            continue
        if kind[0] == b"multipart":
            part.children = _children(part, MAX_PARTS - count)
            count += len(part.children)
            waiting.extend(part.children)
        elif kind in ((b"message", b"rfc822"), (b"message", b"global")):
            part.embedded = Part(raw, part.body, part.end, depth=part.depth + 1)
            count += 1
            waiting.append(part.embedded)
    return root


def valued(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Cut `text/plain; charset=utf-8` into its words and parameters; a word that is not there is empty."""
    match = _VALUE.match(value)
    if match is None:
        return b"", b"", []
    parameters: Parameters = []
    position = value.find(b";", match.end())
    while position >= 0 and (found := _PARAMETER.match(value, position)) is not None and len(parameters) < MAX_PARTS:
        parameters.append((found[1], _unquoted(found[2])))
        position = value.find(b";", found.end())
    return match[1], match[2] or b"", parameters


def _divided(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Give where the header ends, its last line end included, and where the body begins."""
    empty = _LINE_END.match(raw, start, end)
    if empty is not None:
        return start, empty.end()
    match = _HEADER_END.search(raw, start, end)
    if match is None:
        return end, end
    last = _LINE_END.match(raw, match.start(), end)
    assert last is not None
    return last.end(), match.end()


def _children(part: Part, most: int) -> list[Part]:
    """Cut the body at its boundary; without any part there is one empty one, for the grammar wants it."""
    boundary = part.parameter(b"boundary")
    default = (b"message", b"rfc822") if part.kind[1].lower() == b"digest" else (b"text", b"plain")
    children: list[Part] = []
    if boundary:
        # RFC 2046 §5.1.1: delimiter := CRLF "--" boundary; blanks may follow it on its line
        pattern = re.compile(rb"(?m:^)--" + re.escape(boundary) + rb"(--)?+[ \t]*+(?:\r?\n|\Z)")
        begin = None
        for match in pattern.finditer(part.raw, part.body, part.end):
            if begin is not None:
                children.append(Part(part.raw, begin, _before(part.raw, begin, match.start()), default, part.depth + 1))
            begin = None if match[1] else match.end()
            if begin is None or len(children) >= most:
                begin = None
                break
        if begin is not None:  # never ended: the rest is its last part
            children.append(Part(part.raw, begin, part.end, default, part.depth + 1))
    return children or [Part(part.raw, part.end, part.end, default, part.depth + 1)]


def _before(raw: bytes, begin: int, delimiter: int) -> int:
    """Give where a part ends: the line end before a delimiter belongs to the delimiter."""
    if delimiter > begin and raw[delimiter - 1 : delimiter] == b"\n":
        delimiter -= 1
        if delimiter > begin and raw[delimiter - 1 : delimiter] == b"\r":
            delimiter -= 1
    return delimiter


def _unquoted(value: bytes) -> bytes:
    if value.startswith(b'"'):
        inner = value[1:-1] if len(value) > 1 and value.endswith(b'"') else value[1:]
        return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner
    return value.strip()
