"""A clock that the test turns."""

import heapq
from collections.abc import Callable


class Timer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Clock:
    """The part of a loop that knows the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[..., object]) -> Timer:
        self.armed += 1
        timer = Timer(due, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def call_later(self, seconds: float, callback: Callable[..., object]) -> Timer:
        return self.call_at(self.now + seconds, callback)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            timer = heapq.heappop(self.timers)
            if not timer.cancelled:
                self.now = max(self.now, timer.due)
                timer.callback()
        self.now = end

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for timer in self.timers)
