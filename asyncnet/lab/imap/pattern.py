"""Patterns of LIST: `*` is anything, `%` anything on one level (RFC 9051 §6.3.9). Pure.

All places of the pattern that a name can have reached are the bits of one number, so nothing is ever tried twice.
"""

from __future__ import annotations

import re
from collections import defaultdict

from asyncnet.lab.store import SEPARATOR

_WILDCARDS = re.compile(r"[*%]{2,}")


class Pattern:
    """A pattern that many names are compared with.

    Args:
        text: it, as a client wrote it.
    """

    def __init__(self, text: str) -> None:
        # Several wildcards in a row are one, so that one step leads past them.
        plain = _WILDCARDS.sub(lambda run: "*" if "*" in run[0] else "%", text)
        self._places: defaultdict[str, int] = defaultdict(int)
        for place, character in enumerate(plain):
            self._places[character] |= 1 << place
        self._anything = self._places.pop("*", 0)
        self._on_level = self._places.pop("%", 0)
        self._end = 1 << len(plain)

    def fits(self, name: str) -> bool:
        """Whether a name fits."""
        wild = self._anything | self._on_level
        reached = 1 | (wild & 1) << 1
        for character in name:
            stays = self._anything if character == SEPARATOR else wild
            reached = (reached & self._places.get(character, 0)) << 1 | (reached & stays)
            reached |= (reached & wild) << 1
            if not reached:
                return False
        return bool(reached & self._end)
