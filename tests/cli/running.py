"""Ways to run the command: in this process, as a process of its own, and on a terminal."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

from asyncnet.cli.main import main

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0
"""Seconds for a whole process; a hang shows as a failure."""

_SECRETS = ("ASYNCNET_", "NETRC", "HOME")


class Ran:
    """What a command gave: its exit status, and what it wrote."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def records(self) -> list[dict]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit status {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


def run(capsys, *arguments) -> Ran:
    """Run the command in this process."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Ran(status, captured.out, captured.err)


def environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """The environment of a child, without secrets of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    return kept | {"HOME": str(home or "/nonexistent"), "PYTHONUNBUFFERED": "1"} | more


@contextlib.contextmanager
def started(*arguments, **options) -> Iterator[subprocess.Popen]:
    """Start the command as a process without a terminal; it is killed if it still runs at the end."""
    options = {"env": environment(), "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | options
    options = {"stderr": subprocess.PIPE, "cwd": ROOT, "start_new_session": True, "text": True} | options
    with subprocess.Popen([sys.executable, "-m", "asyncnet", *map(str, arguments)], **options) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def process(*arguments, input: str | None = None, **options) -> Ran:
    """Run the command as a process to its end."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with started(*arguments, **options) as child:
        out, err = child.communicate(input, timeout=PATIENCE)
        return Ran(child.returncode, out, err)


# A session leader without a terminal gets the first one that it opens.
_ON_TERMINAL = """
import os, sys
os.open(sys.argv.pop(1), os.O_RDWR)
from asyncnet.cli.main import main
sys.exit(main())
"""


class Terminal:
    """The command on a terminal of its own; `stdout` and `stderr` may lie elsewhere."""

    def __init__(self, *arguments, environ: dict[str, str] | None = None, **streams) -> None:
        self._master, slave = pty.openpty()
        name = os.ttyname(slave)
        streams = {"stdin": slave, "stdout": slave, "stderr": slave} | streams
        command = [sys.executable, "-c", _ON_TERMINAL, name, *map(str, arguments)]
        environ = environment() | {"TERM": "xterm", "COLUMNS": "100"} | (environ or {})
        self.child = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True, **streams)
        self._slave = slave  # kept open: the system sets a terminal back when the last one leaves it
        self._shown = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the other end is gone
            while piece := os.read(self._master, 65_536):
                with self._news:
                    self._shown += piece
                    self._news.notify_all()

    @property
    def shown(self) -> str:
        """All that was written to the terminal so far."""
        return self._shown.decode(errors="replace")

    def until(self, text: str) -> None:
        """Wait until `text` was shown."""
        with self._news:
            if not self._news.wait_for(lambda: text.encode() in self._shown, PATIENCE):
                raise AssertionError(f"never shown: {text!r} in {self.shown!r}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        status = self.child.wait(PATIENCE)
        self.leave()
        return status

    @property
    def echoes(self) -> bool:
        """Whether it shows what is typed."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def leave(self) -> None:
        """Read what is still to be read, to the end."""
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None
        self._reader.join(PATIENCE)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.leave()
        os.close(self._master)
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()
