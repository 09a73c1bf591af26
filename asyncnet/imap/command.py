r"""Commands: text of ours as the grammar of the wire. Pure.

Nothing leaves here that could end a line or begin another command: what the grammar cannot quote becomes a literal,
what it cannot hold at all (CR, LF, NUL and other control characters) is a UsageError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from asyncnet.errors import UsageError
from asyncnet.imap.file_literal import FileLiteral
from asyncnet.imap.mailbox_name import encoded_name

MAX_NUMBER = 0xFFFF_FFFF
"""RFC 9051 §9: number, of 32 bits"""

Segment = str | bytes | FileLiteral
"""str: text of a command line, already quoted; anything else: a literal"""

# RFC 9051 §9: flag = "\" atom | atom; atom-specials are ( ) { SP CTL % * " \ ]
_FLAG = re.compile(r"\\?[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")
# RFC 9051 §9: section-part, section-msgtext; a MIME header belongs to a numbered part
_PART = re.compile(r"(?:[1-9]\d*(?:\.[1-9]\d*)*(?:\.(?:HEADER|TEXT|MIME))?|HEADER|TEXT)", re.IGNORECASE | re.ASCII)
_CRITERION = re.compile(r'(?P<quoted>"(?:[^"\\]|\\["\\])*+")|(?P<paren>[()])|(?P<space> +)|(?P<word>[^ ()"{]++)')


@dataclass(frozen=True, slots=True)
class Request:
    """One command without its tag.

    Args:
        name: upper case.
        segments: its arguments, text and literals in turn; they follow the name and a blank as they stand.
        by_uid: whether `UID` stands before the name.
        secret: the text in it that no log may show.
        is_whole: whether it needs no more than that; AUTHENTICATE goes on when the server asks.
    """

    name: str
    segments: Sequence[Segment] = ()
    by_uid: bool = False
    secret: str | None = None
    is_whole: bool = True

    @property
    def full_name(self) -> str:
        """The name as errors show it."""
        return f"UID {self.name}" if self.by_uid else self.name


def request(name: str, *arguments: Segment, by_uid: bool = False, secret: str | None = None) -> Request:
    """Make a command of arguments, which blanks will separate."""
    return Request(name, tuple(_joined(arguments)), by_uid, secret)


def _joined(arguments: Iterable[Segment]) -> Iterator[Segment]:
    text = ""
    for place, argument in enumerate(arguments):
        text += " " if place else ""
        if isinstance(argument, str):
            text += argument
        else:
            yield text
            yield argument
            text = ""
    if text:
        yield text


def astring(text: str) -> Segment:
    """Give any text as an argument: quoted where it is ASCII, else a literal of UTF-8.

    Raises:
        UsageError: a control character, or half a surrogate pair.
    """
    refuse_controls(text, "an argument")
    if text.isascii():
        return quoted(text)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("half a surrogate pair in an argument") from error


def quoted(text: str) -> str:
    """Put ASCII text without control characters between quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def quoted_name(name: str, *, utf8: bool = False) -> Segment:
    """Give the name of a mailbox as an argument; always quoted, so that no character of it is syntax.

    Args:
        name: as text.
        utf8: whether UTF8=ACCEPT is on, so that nothing is modified UTF-7 (RFC 6855 §3).

    Raises:
        UsageError: as `encoded_name`.
    """
    encoded = quoted(encoded_name(name))
    return astring(name) if utf8 else encoded


def refuse_controls(text: str, what: str) -> None:
    """Refuse what could end a line.

    Raises:
        UsageError: a control character in `text`; `what` names it.
    """
    if any(c < " " or c == "\x7f" for c in text):
        raise UsageError(f"a control character in {what}")


def flag_list(flags: Iterable[str]) -> str:
    r"""Give flags as an argument: `(\Seen $Work)`.

    Raises:
        UsageError: a single str (its letters would be flags), or a flag that the grammar does not know.
    """
    if isinstance(flags, str):
        raise UsageError(f"flags are a set of str: {{{flags!r}}}, not {flags!r}")
    names = list(flags)
    for name in names:
        if not _FLAG.fullmatch(name):
            raise UsageError(f"not a flag: {name!r}")
    return f"({' '.join(names)})"


def section(part: str | None, *, headers_only: bool = False) -> str:
    """Name what of a message is wanted, as it stands in `BODY[...]`: "" is all of it.

    Raises:
        UsageError: not the number of a part, HEADER, TEXT, or such of a numbered part.
    """
    if part is None:
        return "HEADER" if headers_only else ""
    if headers_only:
        raise UsageError("headers_only and part exclude each other; write part='1.2.MIME' or '1.2.HEADER'")
    if not _PART.fullmatch(part):
        raise UsageError(f"not a part of a message: {part!r} (1, 2.1, 2.HEADER, 2.MIME, TEXT...)")
    return part.upper()


def partial(offset: int, count: int | None) -> str:
    """Give which bytes of a section are wanted, as it stands behind `BODY[...]`: "" is all of them.

    Raises:
        UsageError: an offset below 0, a count below 1, or a number beyond 32 bits.
    """
    if not 0 <= offset <= MAX_NUMBER or not (count is None or 1 <= count <= MAX_NUMBER):
        raise UsageError(f"not a part that can be asked for: {count} bytes from {offset} on")
    if count is None:
        return f"<{offset}.{MAX_NUMBER}>" if offset else ""  # the grammar has no "all that is left"
    return f"<{offset}.{count}>"


def fetch_items(name: str, *, mark_seen: bool, alone: bool = False) -> str:
    """Ask for what makes a Message, `name` (`BODY[]`...) being its text; or, `alone`, for the text."""
    body = name if mark_seen else name.replace("BODY[", "BODY.PEEK[", 1)
    if alone:
        return body
    return f"(UID FLAGS INTERNALDATE RFC822.SIZE {body})"


def criteria(text: str) -> list[Segment]:
    """Give raw search criteria (RFC 9051 §6.4.4) as arguments; what is not ASCII becomes literals of UTF-8.

    Raises:
        UsageError: empty, a control character, a brace outside of quotes, quotes or parentheses that do not match.
    """
    refuse_controls(text, "the search criteria")
    if not text.strip():
        raise UsageError("the search criteria are empty; ALL finds every message")
    line, depth, position = "", 0, 0
    segments: list[Segment] = []
    stripped = text.strip()
    while position < len(stripped):
        match = _CRITERION.match(stripped, position)
        if match is None:
            raise UsageError(f"search criteria that cannot be read from here on: {stripped[position:][:40]!r}")
        position = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth < 0:
            break
        if match[0].isascii():
            line += match[0]
            continue
        segments.append(line)
        segments.append(_literal(match))
        line = ""
    if depth:
        raise UsageError("parentheses in the search criteria that do not match")
    return [*segments, line] if line else segments


def _literal(match: re.Match[str]) -> bytes:
    text = match[0]
    if match["quoted"] is not None:
        text = re.sub(r'\\(["\\])', r"\1", text[1:-1])
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("half a surrogate pair in the search criteria") from error
