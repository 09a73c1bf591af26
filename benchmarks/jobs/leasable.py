"""What the benchmark of clusters leases: functions that the workers import by their names."""

from __future__ import annotations

import os


async def pid() -> int:
    """Give the process of whoever does this job."""
    return os.getpid()


async def no_op(number: int) -> int:
    """Do nothing."""
    return number
