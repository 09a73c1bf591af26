"""Limits: what a server may cost us. Each is checked before the memory is taken; passing one is a LimitError."""

from __future__ import annotations

from dataclasses import dataclass

from asyncnet.errors import UsageError

MAX_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a session; single calls may ask for other `max_bytes` and `max_redirects`.

    Args:
        max_bytes: a whole body, as announced and as decoded. Streamed bodies have no limit but that of their call.
        max_ratio: decoded bytes for each byte received; it counts beyond the first MiB decoded, for a short text may
            well shrink to a hundredth.
        max_redirects: how many are followed; 0 follows none and hands the redirect itself back.
        max_line_bytes: the status line and each header field.
        max_headers: header fields of one answer.
        max_informational: 1xx answers ahead of the real one.
    """

    max_bytes: int = MAX_BYTES
    max_ratio: int = 200
    max_redirects: int = MAX_REDIRECTS
    max_line_bytes: int = 8190
    max_headers: int = 128
    max_informational: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < (0 if name in ("max_bytes", "max_redirects", "max_informational") else 1):
                raise UsageError(f"{name} cannot be {getattr(self, name)}")
