"""Refusals: which errors mean "not so fast", and what is learned from them about a host's pace. Pure.

Whoever is refused waits as long as the peer asked (or a growing while), and afterwards goes no faster than the peer was
seen to allow: between two refusals a peer grants as many as it allows in that time, whether it counts by windows or by
a bucket. From there the pace follows CUBIC (RFC 9438 §4.2): quickly back near the last known limit, long just below it,
then searching beyond it.
"""

from __future__ import annotations

import math

from asyncnet.errors import RefusedError, StatusError

_FIRST_PAUSE = 0.25
_MAX_PAUSE = 30.0
"""Seconds to wait after a refusal that names no time: doubled each time until something succeeds."""

_BELOW = 0.94
"""Where the pace begins after a refusal, as a part of the learned one."""

_PLATEAU = 10.0
"""Seconds until it is back at the learned one."""

_CUBE = (1 - _BELOW) / _PLATEAU**3

_NEARLY = 0.95
"""The part of a pace that was just refused which is likely to be granted."""

_DOUBLING = 1.4
"""Seconds in which it doubles as long as nothing is known but one refusal."""


def asks_for_patience(error: Exception) -> bool:
    """Whether the peer said: too much at the moment.

    HTTP 429, 503, and any status with Retry-After; SMTP 4xx (RFC 5321 §4.2.1), IMAP `[LIMIT]`, `[UNAVAILABLE]` and
    their like (RFC 5530), POP3 `[SYS/TEMP]`, `[IN-USE]`, `[LOGIN-DELAY]` (RFC 3206, RFC 2449).
    """
    if not isinstance(error, RefusedError) or not error.transient:
        return False
    return not isinstance(error, StatusError) or error.code in (429, 503) or error.retry_after is not None


class Patience:
    """What one host's refusals have taught.

    Args:
        now: since when successes are counted.
        successes: those before the first refusal.

    Attributes:
        until: nobody begins before this time.
    """

    __slots__ = ("_base", "_heard", "_pauses", "_refusals", "_since", "_successes", "until")

    def __init__(self, since: float, successes: int) -> None:
        self.until = -math.inf
        self._since = since
        self._successes = successes
        self._base: float | None = None
        self._heard = -math.inf
        self._refusals = 0
        self._pauses = 0

    def succeeded(self) -> None:
        """Count one that was not refused."""
        self._successes += 1
        self._pauses = 0

    def refused(self, began: float, now: float, retry_after: float | None) -> None:
        """Take note that what began at `began` was refused at `now`, with the peer's own wish or None."""
        is_news = began > self._heard and began >= self.until  # else it was let through before the last refusal came
        if is_news:
            self._pauses += 1
        pause = retry_after
        if pause is None:
            pause = min(_MAX_PAUSE, _FIRST_PAUSE * 2 ** min(self._pauses - 1, 20))
        if is_news:
            self._learn(now, pause)
        self.until = max(self.until, now + pause)

    def rate(self, now: float) -> float | None:
        """Give how many a second may begin at `now`; None if nothing is known of that."""
        if self._base is None:
            return None
        seconds = max(0.0, now - self.until)
        if self._refusals == 1:
            return float(self._base * 2.0 ** min(seconds / _DOUBLING, 60.0))
        return float(self._base * (1 + _CUBE * (seconds - _PLATEAU) ** 3))

    def _learn(self, now: float, pause: float) -> None:
        tried = self.rate(now)
        # The first wait is counted as a part of what the peer allows: so many, then so long nothing.
        seconds = now - self._since + (pause if self._refusals == 0 else 0.0)
        granted = self._successes / seconds if seconds > 0 else 0.0
        if not granted:
            self._base = None if tried is None else tried / 2
        else:
            # What was granted is too little where we waited or began slowly, what was tried too much where a bucket
            # was still full: the truth is in between; once near to it, that was tried which was too much by a little.
            least = 0.0 if tried is None or self._refusals == 1 else _NEARLY * tried
            self._base = granted if tried is None or tried <= granted else max(math.sqrt(granted * tried), least)
        self._refusals += 1
        self._since, self._successes, self._heard = now, 0, now
