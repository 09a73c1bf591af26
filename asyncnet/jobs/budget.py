"""Budget: how much trying again a host is worth. When everything fails, retries are load on what is overloaded."""

from __future__ import annotations

from asyncnet.errors import UsageError

_RESERVE = 10.0
"""Retries that a host has beforehand, and the most that it saves up."""

_MAX_HOSTS = 10_000
"""Of so many hosts it is remembered; the one that was new the longest ago is forgotten first."""


class Budget:
    """Retries in proportion to work, host by host.

    Args:
        part: retries for each job that may be retried, such as 0.2; beyond the 10 that each host has beforehand.

    Raises:
        UsageError: `part` is negative or not a number.
    """

    __slots__ = ("_left", "_part")

    def __init__(self, part: float) -> None:
        if not part >= 0:
            raise UsageError(f"a retry budget is a part of the jobs, at least 0: not {part}")
        self._part = part
        self._left: dict[str | None, float] = {}

    def earn(self, host: str | None) -> None:
        """Count a job at `host` that begins."""
        left = self._left.get(host)
        if left is None and len(self._left) >= _MAX_HOSTS:
            del self._left[next(iter(self._left))]
        self._left[host] = min(_RESERVE, (_RESERVE if left is None else left) + self._part)

    def spend(self, host: str | None) -> bool:
        """Pay for a retry; False if there is nothing left."""
        left = self._left.get(host, _RESERVE)
        if left < 1:
            return False
        self._left[host] = left - 1
        return True
