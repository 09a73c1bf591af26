"""Parting: a run waits for its tasks when it ends, but not forever for one that its cancellation does not end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncnet.errors import printable

if TYPE_CHECKING:
    from asyncnet.jobs.worker import Worker

PATIENCE_SECONDS = 5.0
"""How long a job may go on when it was cancelled; then it is cancelled again, and after as long again left alone."""

_logger = logging.getLogger(__name__)

_left: set[asyncio.Task[None]] = set()
"""those that nobody waits for any more, until they end: a loop alone would not keep them"""


async def outlasted(
    tasks: Sequence[asyncio.Task[None]], patience: float = math.inf, leave: Callable[[], None] | None = None
) -> None:
    """Wait until the tasks have ended, however often this is cancelled meanwhile.

    Args:
        tasks: which; what they raised is looked at, so that nobody complains that it never was.
        patience: seconds. Those that have not ended after half of it are cancelled again.
        leave: called if some have not ended after all of it: nobody waits for them.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience / 2
    was_cancelled = is_last = False
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending, timeout=None if end == math.inf else end - loop.time())
        except asyncio.CancelledError:
            was_cancelled = True
        if loop.time() < end:
            continue
        if is_last:
            break
        is_last, end = True, end + patience / 2
        for task in pending:
            task.cancel()
    if leave is not None and not all(task.done() for task in tasks):
        leave()
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
    if was_cancelled:
        raise asyncio.CancelledError


def left_alone(workers: Sequence[Worker]) -> None:
    """Keep the tasks of workers until they end, and warn of them; whoever made them looks at what they raise."""
    jobs = [worker.entry[2]._shown for worker in workers[:3] if worker.entry is not None]
    _logger.warning(
        "%d jobs go on though they were cancelled twice, and are left alone: %s",
        len(workers),
        printable(", ".join(jobs)) or "unknown",
    )
    for worker in workers:
        _left.add(worker.task)
        worker.task.add_done_callback(_left.discard)
