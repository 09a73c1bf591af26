"""The processes of the benchmark: pinned to a core, read with a limit on time, and gone at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence, Set
from typing import NamedTuple, TypeVar

from benchmarks.core.build import ROOT, program
from benchmarks.core.kinds import LIMIT

CORES = sorted(getattr(os, "sched_getaffinity", lambda _: {0})(0))  # elsewhere than on Linux only its import works
SERVER_CORES, LOAD_CORES = {CORES[0]}, {CORES[-1]}
"""The measured side has a core to itself, as far as there are two."""

START_SECONDS = 60.0
RUN_SECONDS = 180.0
_QUIET_SECONDS = 0.2


C = TypeVar("C", bound="Child")


class Failed(Exception):
    """A process did not do its part: it ended, it said nothing in time, or a byte was wrong."""


class Child:
    """A process with lines out, and lines in.

    Args:
        command: what to run.
        cores: the cores that it has; None is all.
    """

    def __init__(self, command: Sequence[str], cores: Set[int] | None = None) -> None:
        self._name = " ".join(command[-6:])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._unread = b""
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self.process.pid
        if cores is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(self.pid, cores)

    def line(self, seconds: float) -> str:
        """Read a line.

        Raises:
            Failed: the process ended, or was silent for so long.
        """
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise Failed(f"{self._name}: silent for {seconds:g} s")
            chunk = os.read(self.process.stdout.fileno(), 65_536)
            if not chunk:
                self.process.wait(START_SECONDS)
                raise Failed(f"{self._name}: ended with {self.process.returncode}: {self.errors()}")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def tell(self, text: str) -> None:
        """Write a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    def errors(self) -> str:
        """What it wrote to standard error."""
        file = self._errors.fileno()
        # Not by seek and read: the place in the file is shared with the process that writes.
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace").strip()

    def wait(self, seconds: float) -> int:
        """Wait for its end; its exit status.

        Raises:
            Failed: it goes on.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self._name}: does not end") from None

    def close(self) -> None:
        """End it, and what it runs, if they have not ended; idempotent."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a session of its own: strace's server would outlive strace
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Child):
    """An echo server; after its start it listens at `port`.

    Args:
        kind: of `kinds.py`.
        pem: serve TLS with this certificate and key.
        under: a tool to run it under: the words before its command; it then has no core of its own.
        command: another server's own command, which prints port and process likewise.
        cores: the cores that it has; None is all.
    """

    def __init__(
        self,
        kind: str,
        pem: str | None = None,
        *,
        under: Sequence[str] = (),
        command: Sequence[str] = (),
        cores: Set[int] | None = SERVER_CORES,
    ) -> None:
        words = [*command] or [*own_command(kind), *([pem] if pem else [])]
        super().__init__([*under, *words], None if under else cores)
        try:
            first = self.line(START_SECONDS).split()
        except BaseException:
            self.close()
            raise
        self.port, self.server_pid, self.more = first[0], int(first[1]), first[2:]

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have used, exactly (clock_getcpuclockid(3))."""
        return time.clock_gettime((~self.server_pid << 3) | 2)

    def rss(self) -> float:
        """Resident memory in KiB; exact, where /proc/.../statm is rounded by the kernel's counters for each core."""
        with open(f"/proc/{self.server_pid}/smaps_rollup") as file:
            return next(float(line.split()[1]) for line in file if line.startswith("Rss:"))

    def descriptors(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.server_pid}/fd"))

    def settle(self, descriptors: int = 0) -> None:
        """Wait until it has so many files open, and rests.

        Raises:
            Failed: it does not, within a minute.
        """
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(_QUIET_SECONDS)
            if self.descriptors() >= descriptors and self.cpu() - before < _QUIET_SECONDS / 100:
                return
        raise Failed(f"{self._name}: {self.descriptors()} files open, and no rest")

    def stop(self, seconds: float) -> None:
        """Let SIGTERM end it, and the tool that it runs under."""
        os.kill(self.server_pid, signal.SIGTERM)
        self.wait(seconds)


def own_command(kind: str) -> list[str]:
    """The words that start a server of this kind."""
    if kind == LIMIT:
        return [program("limit"), "serve"]
    return [sys.executable, "-m", "benchmarks.core.servers", kind]


class Load(NamedTuple):
    """What the load generator saw; times in seconds, latencies in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    most: float
    failures: int


class Generator(Child):
    """The load generator, connected and ready to go; its words are in load.c."""

    def __init__(self, *words: object, cores: Set[int] = LOAD_CORES) -> None:
        super().__init__([program("load"), *map(str, words)], cores)
        try:
            if self.line(START_SECONDS) != "ready":
                raise Failed(f"{self._name}: not ready")
        except BaseException:
            self.close()
            raise

    def go(self, seconds: float = RUN_SECONDS) -> Load:
        """Let it go, and give what it found; it may not have ended yet."""
        self.tell("go")
        return self.found(seconds)

    def found(self, seconds: float = RUN_SECONDS) -> Load:
        """Wait for what it found; it was told to go."""
        words = self.line(seconds).split()
        seconds_taken, p50, p99, most = map(float, words[1:5])
        return Load(int(words[0]), seconds_taken, p50, p99, most, int(words[5]))

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            Failed: with an exit status of failure.
        """
        if self.wait(START_SECONDS):
            raise Failed(f"{self._name}: {self.errors()}")

    def run(self, seconds: float = RUN_SECONDS) -> Load:
        """Let it go, to its end."""
        load = self.go(seconds)
        self.finish()
        return load
