"""Breaker: a host that fails again and again is left alone for a while. Pure: times and results in, verdicts out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asyncnet.errors import ConnectError, DeadlineError, DisconnectedError, StatusError, TLSError, UsageError


@dataclass(frozen=True, slots=True)
class Breaker:
    """When to leave a host alone, and for how long.

    Args:
        failures: after so many failures in a row; counted are what says that a host is down: not reached, hung up, too
            late, HTTP 500 to 599. A refusal, a 404 or a bad certificate is an answer, and no such failure.
        seconds: for so long, jobs for this host fail at once with a ConnectError, whose `retry_after` says how long
            yet. Then one is let through: if it succeeds, all are; else it is the same again, for twice as long.
        max_seconds: the longest that this becomes.

    Raises:
        UsageError: a number out of range.
    """

    failures: int = 5
    seconds: float = 10.0
    max_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not (self.failures >= 1 and 0 < self.seconds <= self.max_seconds < math.inf):
            raise UsageError(f"not a breaker: {self}")


class BrokenCircuit(ConnectError):
    """Not tried, for the host has failed too often; a ConnectError with the seconds until it is tried again.

    Attributes:
        retry_after: those seconds.
    """

    retry_after: float = 0.0


class Circuit:
    """The breaker of one host.

    Args:
        breaker: its terms.
    """

    __slots__ = ("_breaker", "_failures", "_opens", "_probing", "_seconds", "last")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._failures = 0
        self._seconds = breaker.seconds
        self._opens = -math.inf
        self._probing = False
        self.last = ""

    def is_idle(self, now: float) -> bool:
        """Whether everybody may pass, and might for as long as nobody could before."""
        return not self._failures or now >= self._opens + self._seconds

    def check(self, now: float, host: str) -> None:
        """Let one pass, or raise a BrokenCircuit; who passed is told to `ended`."""
        if self._failures < self._breaker.failures:
            return
        if now < self._opens or self._probing:
            wait = max(self._opens - now, 0.0) or self._breaker.seconds
            error = BrokenCircuit(
                f"not tried: {self._failures} failures in a row at {host}, the last: {self.last}; "
                f"again in {wait:.3g} seconds"
            )
            error.retry_after = wait
            raise error
        self._probing = True

    def ended(self, error: BaseException | None, now: float) -> None:
        """Take note of how one that had passed ended; a cancellation says nothing."""
        self._probing = False
        if error is not None and not isinstance(error, Exception):
            return
        if not _says_down(error):
            self._failures = 0
            self._seconds = self._breaker.seconds
            return
        self._failures += 1
        self.last = str(error)
        if self._failures < self._breaker.failures or now < self._opens:
            return  # the latter: it was under way when the host was given up
        if self._failures > self._breaker.failures:
            self._seconds = min(2 * self._seconds, self._breaker.max_seconds)
        self._opens = now + self._seconds


def _says_down(error: BaseException | None) -> bool:
    if isinstance(error, StatusError):
        return isinstance(error.code, int) and error.code >= 500 and error.retry_after is None
    return isinstance(error, ConnectError | DisconnectedError | DeadlineError) and not isinstance(error, TLSError)
