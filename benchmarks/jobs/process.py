"""The processes of the benchmark: each in a session of its own, with a limit on its time, and gone at the end.

What a program took is read from the kernel's accounts (wait4): CPU, and the highest resident size.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent

# The kernel counts into a program's highest size what its parent held when it was forked; so each is forked by a bare
# interpreter of some 9 MiB, which tells what it took by a pipe that the program does not have.
_LAUNCHER = """
import json, os, sys, time
told = int(sys.argv[1])
os.set_inheritable(told, False)
start = time.perf_counter()
_, status, used = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
taken = time.perf_counter() - start
found = [os.waitstatus_to_exitcode(status), taken, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
os.write(told, json.dumps(found).encode())
"""


_GRACE = 5.0


class Failed(Exception):
    """A program did not do its part."""


class TooLong(Failed):
    """It took longer than it may, and was ended."""


class Ended(NamedTuple):
    """How a program ended.

    Args:
        status: its exit status; -9 if signal 9 ended it.
        seconds: of wall-clock, from its start.
        cpu: seconds, of user and system.
        rss: the highest resident size in MiB; never below the 9 MiB of what started it.
        out: its standard output.
        err: its standard error.
    """

    status: int
    seconds: float
    cpu: float
    rss: float
    out: str
    err: str


def run(words: Sequence[str], seconds: float, *, folder: Path | None = None) -> Ended:
    """Run a program to its end.

    Args:
        words: the program and its arguments.
        seconds: that it may take.
        folder: where it runs; by default where the project is.

    Raises:
        TooLong: it took more.
        Failed: it could not be started.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(writing), *words]
    with open(reading, "rb") as told, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder or ROOT,
                start_new_session=True,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        with ending(child):
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                raise TooLong(f"{' '.join(words)[:100]}: more than {seconds:g} s") from None
            found = told.read()
        texts = [
            os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace") for file in (out, err)
        ]
    if not found:
        raise Failed(f"{words[0]} did not start:\n{texts[1][-2000:]}")
    return Ended(*json.loads(found), *texts)


def done(words: Sequence[str], seconds: float) -> Ended:
    """Run a program that has to end well.

    Raises:
        Failed: it did not; with the last of what it wrote.
    """
    ended = run(words, seconds)
    if ended.status:
        raise Failed(f"{' '.join(words)[:200]} ended with {ended.status}:\n{ended.out[-1000:]}\n{ended.err[-3000:]}")
    return ended


@contextlib.contextmanager
def ending(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a child that leads a session, and all that it runs, when the block ends, however that is."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for what programs read and write: in memory where that can be, so that no disk is measured."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


@contextlib.contextmanager
def serving(*words: str, module: str = "benchmarks.jobs.server") -> Iterator[str]:
    """Run a server that says in its first line where it is, and serves until its input ends; give the line."""
    command = [sys.executable, "-m", module, *words]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server, ending(server):  # type: ignore[call-overload]
        yield server.stdout.readline().decode().strip()
        server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_GRACE)


def highest_rss(pid: int | str = "self") -> float:
    """Give the highest resident size of a process so far, in MiB, without what its parent held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise Failed(f"process {pid} has ended")
