"""Section: what stands between the brackets of BODY[...]<...> (RFC 9051 §6.4.5), and the bytes that it names. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asyncnet.lab.imap.arguments import MAX_NAMES, Arguments
from asyncnet.lab.imap.header import unencoded
from asyncnet.lab.imap.mime import Part
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.strings import astring

_PART = re.compile(rb"([1-9][0-9]{0,8}+(?:\.[1-9][0-9]{0,8}+)*+)(\.?)")
_TEXT = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_PARTIAL = re.compile(rb"<([0-9]{1,10}+)\.([0-9]{1,10}+)>")

_MAX_PATH = 100


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a message, or of one of its parts.

    Args:
        path: the numbers of the part; empty is the message.
        kind: `""` for all of it, HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, or MIME.
        fields: of HEADER.FIELDS, as the client wrote them.
        partial: offset and count of the bytes wanted, or None.
    """

    path: tuple[int, ...] = ()
    kind: str = ""
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None

    @classmethod
    def read(cls, arguments: Arguments, *, only_path: bool = False) -> Section:
        """Take `[...]` and a `<n.m>` behind it.

        Raises:
            Bad: it is none; or it is more than a path where that is all there may be (BINARY).
        """
        arguments.expect(b"[")
        path: tuple[int, ...] = ()
        fields: tuple[bytes, ...] = ()
        kind = ""
        wants_text = not arguments.next_is(b"]")
        if wants_text and (found := arguments.optional(_PART)) is not None:
            path = tuple(map(int, found[1].split(b".")))
            wants_text = bool(found[2])
        if wants_text:
            kind = arguments.match(_TEXT, "a section")[0].decode("ascii").upper()
            fields = _fields(arguments) if kind.startswith("HEADER.FIELDS") else ()
        if len(path) > _MAX_PATH or (kind == "MIME" and not path) or (kind and only_path):
            raise Bad("there is no such section")
        arguments.expect(b"]")
        partial = arguments.optional(_PARTIAL)
        if partial is None:
            return cls(path, kind, fields)
        if not int(partial[2]):
            raise Bad("a part of no bytes")
        return cls(path, kind, fields, (int(partial[1]), int(partial[2])))

    @property
    def name(self) -> bytes:
        """Give it as an answer names it: `1.2.HEADER`."""
        words = [".".join(map(str, self.path))] if self.path else []
        name = ".".join([*words, self.kind] if self.kind else words).encode("ascii")
        return name + (b" (%b)" % b" ".join(astring(one.upper()) for one in self.fields) if self.fields else b"")

    @property
    def origin(self) -> bytes:
        """Give `<n>` where a partial was asked for; else nothing."""
        return b"" if self.partial is None else b"<%d>" % self.partial[0]

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the message, so that no structure needs to be known."""
        return not self.path and not self.kind

    def of(self, root: Part) -> bytes | None:
        """Give its bytes, cut as asked for; None where the message has no such part."""
        return _cut(self._of(root), self.partial)

    def _of(self, root: Part) -> bytes | None:
        part = found(root, self.path)
        if part is None:
            return None
        raw = part.raw
        if not self.kind:
            return raw[part.start if part is root and not self.path else part.body : part.end]
        if self.kind == "MIME":
            return raw[part.start : part.body]
        message = part if not self.path else part.embedded
        if message is None:
            return None
        if self.kind == "HEADER":
            return raw[message.start : message.body]
        if self.kind == "TEXT":
            return raw[message.body : message.end]
        names = {name.lower() for name in self.fields}
        header = message.header
        # RFC 9051 §6.4.5: the empty line is there whatever fields are
        return (header.without(names) if self.kind.endswith("NOT") else header.only(names)) + b"\r\n"

    def decoded(self, root: Part) -> bytes | None:
        """Give the bytes of a part without its Content-Transfer-Encoding, cut as asked for (RFC 3516).

        Raises:
            No: the encoding is not known.
        """
        if not self.path:
            return _cut(root.raw, self.partial)
        part = found(root, self.path)
        if part is None:
            return None
        data = unencoded(part.raw[part.body : part.end], b"" if part.children or part.embedded else part.encoding)
        if data is None:
            raise No("an encoding that the server does not know", code="UNKNOWN-CTE")
        return _cut(data, self.partial)


def found(root: Part, path: tuple[int, ...]) -> Part | None:
    """Give the part with these numbers, or None.

    A message without parts is its own part 1; the parts of a message/rfc822 are those of the message in it.
    """
    part = root
    for step, number in enumerate(path):
        inner = part if not step else part.embedded or part
        if inner.children:
            if number > len(inner.children):
                return None
            part = inner.children[number - 1]
        elif number == 1 and (not step or part.embedded is not None):
            part = inner
        else:
            return None
    return part


def _cut(data: bytes | None, partial: tuple[int, int] | None) -> bytes | None:
    if data is None or partial is None:
        return data
    return data[partial[0] : partial[0] + partial[1]]


def _fields(arguments: Arguments) -> tuple[bytes, ...]:
    arguments.space()
    arguments.expect(b"(")
    fields = [arguments.astring()]
    while not arguments.skip(b")"):
        arguments.space()
        fields.append(arguments.astring())
        if len(fields) > MAX_NAMES:
            raise Bad("too many names of fields")
    return tuple(fields)
