"""ClientLog: what clients cause is logged at most once a second for each kind; the rest is counted."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from asyncnet.errors import printable

_SECONDS = 1.0
_MAX_KINDS = 64


class ClientLog:
    """A logger that a flood of faults cannot fill.

    Args:
        logger: where lines go.
        clock: monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}

    def info(self, kind: str, text: str) -> None:
        """Log a client's fault."""
        if (suffix := self._admit(kind)) is not None:
            self._logger.info("%s%s", printable(text), suffix)

    def failure(self, kind: str, text: str, error: Exception) -> None:
        """Log a handler's failure, with its traceback."""
        if (suffix := self._admit(kind)) is not None:
            self._logger.error("%s%s", printable(text), suffix, exc_info=error)

    def _admit(self, kind: str) -> str | None:
        now = self._clock()
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            kind = "other"
        since, hidden = self._kinds.get(kind, (-math.inf, 0))
        if now - since < _SECONDS:
            self._kinds[kind] = (since, hidden + 1)
            return None
        self._kinds[kind] = (now, 0)
        return f" ({hidden} more like it were not logged)" if hidden else ""
