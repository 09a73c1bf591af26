"""Arguments: text and literals of one command, read from left to right by the grammar of RFC 9051 §9. Pure.

Every pattern is matched once at the place where it must stand, and never goes back: time is linear in the command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from asyncnet.lab.imap.refusal import Bad

# ATOM-CHAR: any CHAR except "(" ")" "{" SP CTL list-wildcards quoted-specials resp-specials
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]++')
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]++|\\["\\])*+)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_NUMBER = re.compile(rb"[0-9]{1,20}+(?![0-9])")
_SEQUENCE_SET = re.compile(rb"[0-9*:,$]++")

MAX_FLAGS = 256
MAX_NAMES = 256


class Literal(NamedTuple):
    """Bytes that came with their number before them; `is_binary`: by `~{n}`, so that a NUL may be among them."""

    data: bytes
    is_binary: bool = False


class Arguments:
    """What follows the name of a command; each call takes what must stand next.

    Args:
        pieces: text and literals in turn, text first and last; the `{n}` itself is in none of them.

    Every method raises Bad where something else stands there, and has then taken nothing that matters.
    """

    __slots__ = ("_at", "_index", "_pieces", "_text")

    def __init__(self, pieces: Sequence[bytes | Literal]) -> None:
        first = pieces[0]
        assert isinstance(first, bytes)
        self._pieces = pieces
        self._index = 0
        self._text = first
        self._at = 0

    # Where we are

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._text) and self._index == len(self._pieces) - 1

    def end(self) -> None:
        """Demand that nothing is left."""
        if not self.is_done:
            raise Bad("more arguments than the command takes")

    def next_is(self, text: bytes) -> bool:
        """Whether this stands next; nothing is taken."""
        return self._text.startswith(text, self._at)

    def skip(self, text: bytes) -> bool:
        """Take this if it stands next, and say whether it did."""
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def expect(self, text: bytes) -> None:
        """Take this."""
        if not self.skip(text):
            raise Bad(f"{text.decode('ascii')!r} expected")

    def space(self) -> None:
        """Take one blank: the grammar knows no two in a row."""
        if not self.skip(b" "):
            raise Bad("an argument is missing" if self.is_done else "a blank expected")

    # Words

    def match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """Take what fits the pattern here."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise Bad(f"{what} expected")
        self._at = found.end()
        return found

    def optional(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Take what fits the pattern here, or give None."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def atom(self, what: str = "an atom") -> str:
        """Take an atom."""
        return self.match(_ATOM, what)[0].decode("ascii")

    def word(self, what: str = "a word") -> str:
        """Take an atom that is a name of the protocol's, in upper case."""
        return self.atom(what).upper()

    def number(self, *, most: int = 0xFFFF_FFFF) -> int:
        """Take a number; above `most` it is Bad."""
        value = int(self.match(_NUMBER, "a number")[0])
        if value > most:
            raise Bad("a number that is too large")
        return value

    def sequence_set(self) -> str:
        """Take the text of a sequence set; see `SequenceSet.parse`."""
        return self.match(_SEQUENCE_SET, "a sequence set")[0].decode("ascii")

    def flag(self) -> str:
        r"""Take a flag: `\Seen`, `$Work`."""
        return self.match(_FLAG, "a flag")[0].decode("ascii")

    # Strings

    @property
    def at_literal(self) -> bool:
        """Whether a literal stands next."""
        return self._at == len(self._text) and self._index < len(self._pieces) - 1

    def literal(self) -> Literal:
        """Take a literal."""
        if not self.at_literal:
            raise Bad("a literal expected")
        literal, text = self._pieces[self._index + 1 : self._index + 3]
        assert isinstance(literal, Literal)
        assert isinstance(text, bytes)
        self._index += 2
        self._text, self._at = text, 0
        return literal

    def string(self) -> bytes:
        """Take a quoted string or a literal."""
        if self.at_literal:
            return self.literal().data
        inner = self.match(_QUOTED, "a string")[1]
        return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner

    def astring(self) -> bytes:
        """Take an atom (which may hold a `]`), a quoted string or a literal."""
        if self.at_literal or self.next_is(b'"'):
            return self.string()
        return self.match(_ASTRING, "a string")[0]

    def list_mailbox(self) -> bytes:
        """Take a pattern of LIST: as `astring`, and wildcards may stand in an atom."""
        if self.at_literal or self.next_is(b'"'):
            return self.string()
        return self.match(_LIST_MAILBOX, "a pattern")[0]

    def nstring(self) -> bytes | None:
        """Take a string, or NIL."""
        if self.at_literal or self.next_is(b'"'):
            return self.string()
        if self.word("a string or NIL") != "NIL":
            raise Bad("a string or NIL expected")
        return None

    def text(self, what: str = "an argument") -> str:
        """Take an `astring` that is UTF-8 and has no control characters."""
        try:
            text = self.astring().decode()
        except UnicodeDecodeError:
            raise Bad(f"{what} that is not UTF-8") from None
        if any(c < " " or c == "\x7f" for c in text):
            raise Bad(f"a control character in {what}")
        return text

    # Lists

    def flags(self) -> list[str]:
        """Take flags in parentheses; there may be none."""
        self.expect(b"(")
        flags: list[str] = []
        while not self.skip(b")"):
            if flags:
                self.space()
            flags.append(self.flag())
            if len(flags) > MAX_FLAGS:
                raise Bad("too many flags")
        return flags

    def words(self) -> list[str]:
        """Take names of the protocol's in parentheses, in upper case; there may be none."""
        self.expect(b"(")
        words: list[str] = []
        while not self.skip(b")"):
            if words:
                self.space()
            words.append(self.word())
            if len(words) > MAX_NAMES:
                raise Bad("too many names")
        return words
