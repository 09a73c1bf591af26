"""Idling: waiting for what a server tells unasked (RFC 2177, RFC 9051 §6.3.13: IDLE)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from asyncnet.errors import LimitError
from asyncnet.imap.command import Request
from asyncnet.imap.response import Exists, Expunged, Fetched, Reply, Status, Vanished

if TYPE_CHECKING:
    from asyncnet.imap.wire import Wire

Change = Exists | Expunged | Vanished | Fetched
"""what a server tells of the open mailbox: its new size, what has gone, whose flags changed"""


class News:
    """A listener that keeps what changes in the open mailbox, and wakes whoever waits for that.

    Attributes:
        wake: set once there is something, or nothing more will come.
    """

    def __init__(self, max_count: int) -> None:
        self._max_count = max_count
        self.wake = asyncio.Event()
        self.changes: list[Change] = []

    def hear(self, reply: Reply) -> None:
        """Keep a change.

        Raises:
            LimitError: it is one too many.
        """
        if isinstance(reply, Change):
            if len(self.changes) >= self._max_count:
                raise LimitError(f"more than {self._max_count} changes at once", limit=self._max_count)
            self.changes.append(reply)
            self.wake.set()

    def forget(self) -> None:
        """Begin anew."""
        self.wake.clear()
        self.changes.clear()

    def lose(self) -> None:
        """Wake whoever waits."""
        self.wake.set()


async def idle(wire: Wire, wake: asyncio.Event, seconds: float) -> Status:
    """Send IDLE, and DONE once `wake` is set or the seconds are over; give the tagged response."""

    async def done(_: bytes) -> bytes:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()
        return b"DONE"

    return await wire.run(Request("IDLE", is_whole=False), answer=done)
