"""A real server for as long as a fixture lasts.

A server that cannot run here skips its tests and says why; with ASYNCNET_REQUIRE_REAL=1 it fails them instead.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

from tests.real.daemon import Daemon, Missing

_Daemon = TypeVar("_Daemon", bound=Daemon)


def running(daemon: _Daemon) -> Generator[_Daemon, None, None]:
    """Start the daemon, yield it, stop it; skip, or fail, where it cannot run."""
    try:
        daemon.start()
    except Missing as reason:
        if os.environ.get("ASYNCNET_REQUIRE_REAL") == "1":
            pytest.fail(f"ASYNCNET_REQUIRE_REAL=1, and {reason}")
        pytest.skip(str(reason))
    try:
        yield daemon
    finally:
        daemon.stop()
