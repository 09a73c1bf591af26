"""Where and when figures were taken, and how busy the machine was with other things meanwhile."""

from __future__ import annotations

import datetime
import os
import platform
import ssl
import sys
from importlib import metadata

import asyncnet

_LIBRARIES = ("anyio", "trio", "Twisted", "tornado", "uvloop")
_BUSY = 0.05
"""From this share of all cores on, what others do shows in the figures."""


class Watch:
    """Watches the machine during a run; read it when all processes of the run have ended."""

    def __init__(self) -> None:
        self._begin = _busy_seconds(), _own_seconds(), os.times().elapsed

    def others(self) -> float:
        """Give the share of all cores that others used since then."""
        busy, own, elapsed = _busy_seconds(), _own_seconds(), os.times().elapsed
        used = (busy - self._begin[0]) - (own - self._begin[1])
        return max(0.0, used / ((elapsed - self._begin[2]) * (os.cpu_count() or 1)))


def facts(others: float) -> dict[str, str]:
    """Say when, where and with what; `others` is the share of the machine that others used."""
    busy = "a busy machine: " if others >= _BUSY else ""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}",
        "python": f"{sys.implementation.name} {platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "libraries": ", ".join([f"asyncnet {asyncnet.__version__}", *(_version(name) for name in _LIBRARIES)]),
        "noise": f"{busy}other processes used {others:.0%} of the machine during the run",
    }


def _busy_seconds() -> float:
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} absent"
