"""Timings: how long each step of a call took, read off the phases that its deadline hears of anyway."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asyncnet.deadline import Deadline

_MAX_MARKS = 1000


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds; None for a step that was not taken, as on a kept connection. Over redirects they add up.

    Args:
        dns: looking the name up.
        connect: until the connection stood.
        tls: the handshake.
        first_byte: from the sending of the request until the head of the answer was there.
        total: all of it, to the last byte of the body.
    """

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float


class Stopwatch(Deadline):
    """A deadline that notes when each phase began."""

    __slots__ = ("_marks",)

    def __init__(self, seconds: float | None, endpoint: object, operation: str | None) -> None:
        self._marks: list[tuple[float, str | None]] = []
        super().__init__(seconds, endpoint, operation)

    @property
    def phase(self) -> str | None:
        """The last one."""
        return self._marks[-1][1]

    @phase.setter
    def phase(self, name: str | None) -> None:
        if len(self._marks) < _MAX_MARKS:
            self._marks.append((time.perf_counter(), name))

    def timings(self) -> Timings:
        """Give what it came to, up to now."""
        now = time.perf_counter()
        spent: dict[str | None, float] = {}
        for (began, name), (ended, _) in zip(self._marks, [*self._marks[1:], (now, None)], strict=True):
            spent[name] = spent.get(name, 0.0) + ended - began
        return Timings(
            spent.get("resolve"),
            spent.get("connect"),
            spent.get("TLS handshake"),
            spent.get("waiting for the answer"),
            now - self._marks[0][0],
        )
