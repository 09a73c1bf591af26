"""Retry: when to try again. A pure schedule: errors in, seconds out; whoever waits has its own clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from asyncnet.errors import UsageError


def _random() -> float:
    import random  # loads hashes and more, which `import asyncnet` shall not pay for

    return random.random()


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try, and how long to wait in between: exponential, capped, with jitter.

    Args:
        attempts: how often to try in all, at least 1.
        first_delay: seconds before the second attempt.
        factor: how much longer each following wait is.
        max_delay: the longest wait, in seconds; a peer's own wish (Retry-After) may be longer, up to `max_retry_after`.
        jitter: the part of each wait that is random: 0 none, 1 anything from 0 to the full wait.
        max_retry_after: a peer that asks for more seconds than this is not waited for.

    Raises:
        UsageError: a number out of these ranges.
    """

    attempts: int = 3
    first_delay: float = 0.5
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.5
    max_retry_after: float = 300.0

    def __post_init__(self) -> None:
        waits = (self.first_delay, self.max_delay, self.max_retry_after)
        if not (self.attempts >= 1 and 1 <= self.factor < math.inf and all(wait >= 0 for wait in waits)):
            raise UsageError(f"not a schedule: {self}")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"jitter is a part of the wait, 0 to 1: not {self.jitter}")

    def delay(self, error: Exception, attempt: int, *, chance: Callable[[], float] = _random) -> float | None:
        """Give the seconds to wait after attempt number `attempt` (from 1) ended with `error`; None to give up.

        Only what calls itself transient is tried again. Jitter is subtracted from our own waits, and added to a wait
        that the peer asked for, which is never cut short.
        """
        if attempt >= self.attempts or not getattr(error, "transient", False):
            return None
        try:
            wait = min(self.max_delay, self.first_delay * self.factor ** (attempt - 1))
        except OverflowError:
            wait = self.max_delay
        asked: float | None = getattr(error, "retry_after", None)
        if asked is not None:
            return None if asked > self.max_retry_after else max(0.0, asked) + chance() * self.jitter * wait
        return wait * (1 - self.jitter * chance())
