"""Virtual time: servers that grant so much, and a crowd of clients before them, without a loop or a clock."""

import heapq
from collections.abc import Callable
from itertools import count


class Bucket:
    """Grants `rate` a second, and what it has saved up, at most `size`."""

    def __init__(self, rate, size):
        self.rate, self.size, self.left, self.at = rate, size, size, 0.0

    def grants(self, now):
        self.left = min(self.size, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1 - 1e-9:
            return False
        self.left -= 1
        return True


class Window:
    """Grants `rate` in each second of the clock."""

    def __init__(self, rate):
        self.rate, self.second, self.granted = rate, -1, 0

    def grants(self, now):
        if int(now) != self.second:
            self.second, self.granted = int(now), 0
        self.granted += 1
        return self.granted <= self.rate


class Sliding:
    """Grants `rate` in any second."""

    def __init__(self, rate):
        self.rate, self.times = rate, []

    def grants(self, now):
        self.times = [time for time in self.times if time > now - 1]
        if len(self.times) >= self.rate:
            return False
        self.times.append(now)
        return True


class Slots:
    """Serves so many at a time, for so long each; the others queue."""

    def __init__(self, slots, seconds):
        self.seconds = seconds
        self.free_at = [0.0] * slots

    def done(self, now):
        start = max(now, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, start + self.seconds)
        return start + self.seconds


class Crowd:
    """Clients who begin as soon as they may; `ended(began, now)` is told when each had its answer."""

    def __init__(self, opens: Callable[[float, int], float], answered: Callable[[float], float], ended):
        self.now = 0.0
        self._opens, self._answered, self._ended = opens, answered, ended
        self._flying: list[tuple[float, int, float]] = []
        self._numbers = count()

    def run(self, seconds):
        """Go on for so many seconds: whoever may begin does; time goes to where the next one may, or has ended."""
        end = self.now + seconds
        while self.now < end:
            opens = self._opens(self.now, len(self._flying))
            if opens <= self.now:
                heapq.heappush(self._flying, (self._answered(self.now), next(self._numbers), self.now))
                continue
            self.now = min([opens, end, *(flight[0] for flight in self._flying[:1])])
            while self._flying and self._flying[0][0] <= self.now:
                _, _, began = heapq.heappop(self._flying)
                self._ended(began, self.now)
