"""deadline(): one call, one deadline, whatever it does inside, and one error that names the phase it was in."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from types import TracebackType

from asyncnet.errors import DeadlineError, UsageError

_innermost: ContextVar[Deadline | None] = ContextVar("asyncnet_deadline", default=None)


class Deadline:
    """An `async with` block that must end in time; made by `deadline()`."""

    __slots__ = ("_outer", "_scope", "endpoint", "operation", "phase", "seconds")

    def __init__(self, seconds: float | None, endpoint: object, operation: str | None) -> None:
        if seconds is not None and (math.isnan(seconds) or seconds < 0):
            raise UsageError(f"a timeout is a number of seconds, at least 0: not {seconds}", endpoint=endpoint)
        self.seconds = None if seconds == math.inf else seconds
        self.endpoint = endpoint
        self.operation = operation
        self.phase: str | None = None
        self._scope: asyncio.Timeout | None = None
        self._outer: Deadline | None = None

    def remaining(self) -> float:
        """Seconds left, never below 0; `math.inf` where there is no limit. Only inside the block."""
        when = None if self._scope is None else self._scope.when()
        return math.inf if when is None else max(0.0, when - asyncio.get_running_loop().time())

    async def __aenter__(self) -> Deadline:
        self._outer = _innermost.get()
        if self.operation is not None:
            phase(self.operation)
        _innermost.set(self)
        if self.seconds is not None:
            self._scope = asyncio.timeout(self.seconds)
            await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Set back by value, not by token: the body of an async generator may be closed in another context, where
        # another deadline may be the innermost.
        if _innermost.get() is self:
            _innermost.set(self._outer)
        self._outer = None
        if self._scope is None:
            return
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise self._expired() from None
        if error is not None and self._scope.expired() and isinstance(error, Exception):
            # A library underneath turned our cancellation into an error of its own. (Had it swallowed it and ended
            # well, then with all that was asked for: that is a success, if a late one.)
            raise self._expired() from error

    def _expired(self) -> DeadlineError:
        assert self.seconds is not None
        where = f" (in {self.phase})" if self.phase and self.phase != self.operation else ""
        text = f"not done within {self.seconds:g} seconds{where}"
        return DeadlineError(text, seconds=self.seconds, endpoint=self.endpoint, operation=self.operation)


def deadline(seconds: float | None, endpoint: object = None, operation: str | None = None) -> Deadline:
    """Bound the block by `seconds`; None or `math.inf` is no limit.

    Raises:
        DeadlineError: the seconds passed before the block ended; the work inside was cancelled, and whoever owns a
            connection there has aborted it. `.operation` is the one given here; the message names the last `phase()`,
            or the operation of the last deadline inside this one.
        UsageError: `seconds` is negative or not a number.
    """
    return Deadline(seconds, endpoint, operation)


def phase(name: str) -> None:
    """Name what the deadlines around are waiting for now: `resolve`, `connect`, `TLS handshake`, `login`..."""
    around = _innermost.get()
    while around is not None:
        around.phase = name
        around = around._outer
