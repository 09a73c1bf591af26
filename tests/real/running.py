"""A real server for as long as a fixture lasts.

What is not here, a server or a client of others', skips its tests and says why; with ASYNCNET_REQUIRE_REAL=1 it fails
them instead.
"""

import importlib
import os
import warnings
from collections.abc import Generator
from typing import Any, NoReturn, TypeVar

import pytest

from tests.real.daemon import Daemon, Missing


def absent(reason: str) -> NoReturn:
    """Skip the test, for what is not here; fail it with ASYNCNET_REQUIRE_REAL=1, which says that all is."""
    if os.environ.get("ASYNCNET_REQUIRE_REAL") == "1":
        pytest.fail(f"ASYNCNET_REQUIRE_REAL=1, and {reason}")
    pytest.skip(reason)


def foreign(name: str) -> Any:
    """A module of a stranger's; `absent` where it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        absent(f"{name} cannot be imported: {error}")


_Daemon = TypeVar("_Daemon", bound=Daemon)


def running(daemon: _Daemon) -> Generator[_Daemon, None, None]:
    """Start the daemon, yield it, stop it; skip, or fail, where it cannot run."""
    try:
        daemon.start()
    except Missing as reason:
        absent(str(reason))
    try:
        yield daemon
    finally:
        daemon.stop()
