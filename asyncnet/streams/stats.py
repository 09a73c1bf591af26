"""What a server has seen: counters for all clients, a record for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from asyncnet.streams.address import Address


@dataclass(slots=True)
class ServerStats:
    """What a server has seen so far; a snapshot, as `Server.stats` gives it.

    Args:
        accepted: clients that came, those among them that were refused.
        refused: clients turned away at once, for too many have come from their address.
        active: clients now.
        failed: clients that ended by a fault, theirs or the handler's.
        errors: how often each kind of fault, by the name of its class.
        received_bytes: from clients that have ended.
        sent_bytes: to clients that have ended.
        seconds: how long they stayed, all together.
    """

    accepted: int = 0
    refused: int = 0
    active: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    received_bytes: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0

    def tally(self, seconds: float, received_bytes: int, sent_bytes: int, error: Exception | None) -> None:
        """Count a client that has ended and was not refused."""
        self.received_bytes += received_bytes
        self.sent_bytes += sent_bytes
        self.seconds += seconds
        if error is not None:
            kind = type(error).__name__
            self.failed += 1
            self.errors[kind] = self.errors.get(kind, 0) + 1

    def snapshot(self) -> ServerStats:
        """Give a copy that does not change any more."""
        return replace(self, errors=dict(self.errors))


class ClientRecord(NamedTuple):
    """One client that has ended; what the hook `on_end` of `serve` is given.

    Args:
        peer: its address.
        seconds: how long it stayed.
        received_bytes: what came from it.
        sent_bytes: what was sent to it.
        error: the fault that ended it, or None.
    """

    peer: Address
    seconds: float
    received_bytes: int
    sent_bytes: int
    error: Exception | None
