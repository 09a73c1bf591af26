"""Limits: how much of a server's talk is taken before it is called too much."""

from __future__ import annotations

from dataclasses import dataclass

from asyncnet.errors import UsageError

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one IMAP session takes at most; each is checked before the memory is taken, and passing it is a LimitError.

    Args:
        max_line_bytes: one line of a response, without its literals. A SEARCH that finds a million messages is a line
            of 8 MB.
        max_literal_bytes: one literal: a message, or a part of one.
        max_response_bytes: one response, and all of them in answer to one command, lines and literals together.
        max_nesting: parentheses within parentheses: MIME parts within parts, a reply-to within a group.
        max_items: words, strings and lists in one response.
        max_responses: untagged responses in answer to one command, and between two commands.

    Raises:
        UsageError: one is below 1.
    """

    max_line_bytes: int = 8 * _MIB
    max_literal_bytes: int = 256 * _MIB
    max_response_bytes: int = 272 * _MIB
    max_nesting: int = 128
    max_items: int = 500_000
    max_responses: int = 500_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 1, not {getattr(self, name)}")
