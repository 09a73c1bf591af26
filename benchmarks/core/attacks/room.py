"""The server under attack, started and ended."""

from __future__ import annotations

import sys
import tempfile

from benchmarks.core.exchanges import certificate
from benchmarks.core.process import Server


class Victim:
    """`victim.py` as a process.

    Attributes:
        plain, tls, blocks: its ports.
    """

    def __init__(self, uvloop: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "benchmarks.core.attacks.victim", certificate(self._folder.name)]
        self.server = Server("victim", command=[*command, *(["uvloop"] if uvloop else [])])
        self.plain, (self.tls, self.blocks) = self.server.port, self.server.more

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self._folder.cleanup()
