"""Offers: what a server has said it can do (RFC 5321 §4.1.1.1), as a transaction wants to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be asked for.

    Args:
        extensions: names in upper case, each with its parameters.
        is_lmtp: LMTP is spoken (RFC 2033): after the message, each recipient has a reply of his own.
        is_encrypted: TLS is up.
    """

    extensions: Mapping[str, str] = field(default_factory=dict)
    is_lmtp: bool = False
    is_encrypted: bool = False
    pipelining: bool = field(init=False)
    chunking: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pipelining", "PIPELINING" in self.extensions)
        # How many replies BDAT LAST will have in LMTP is known only when those to RCPT have come: DATA will do there.
        object.__setattr__(self, "chunking", "CHUNKING" in self.extensions and not self.is_lmtp)

    def __contains__(self, name: str) -> bool:
        return name in self.extensions

    @property
    def max_octets(self) -> int | None:
        """How big a message may be, or None if the server sets no limit (0 is none either, RFC 1870 §4)."""
        limit = self.extensions.get("SIZE", "")
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 20
        return (int(limit) or None) if is_number else None
