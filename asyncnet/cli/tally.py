"""Tally: what came of everything, and the exit status that says so. Pure counting."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
LATER = 3
INTERRUPTED = 130


def is_transient(error: BaseException | None) -> bool:
    """Whether the same may succeed later."""
    return bool(getattr(error, "transient", False))


class Tally:
    """Counts what is done, what failed for good, and what is worth trying again."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.later = 0
        self.received_bytes = 0

    def succeeded(self, received_bytes: int = 0) -> None:
        """Count one that is done."""
        self.done += 1
        self.received_bytes += received_bytes

    def failed_by(self, *, transient: bool) -> None:
        """Count one that failed, for now or for good."""
        if transient:
            self.later += 1
        else:
            self.failed += 1

    @property
    def failures(self) -> int:
        """How many failed, for now or for good."""
        return self.failed + self.later

    @property
    def status(self) -> int:
        """The exit status: 0 all done, 1 something failed for good, 3 something failed but is worth trying again."""
        if self.failed:
            return FAILED
        return LATER if self.later else DONE

    def __str__(self) -> str:
        return f"{self.done} done, {self.failures} failed" if self.failures else f"{self.done} done"
