"""main: arguments in, exit status out. It loads nothing until an interrupt of the loading is an exit status, too."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from asyncnet.cli.tally import INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the program's name; None takes those of the process, which ends with the command:
            from then on it is not interrupted any more.

    Returns:
        The exit status: 0 all done, 1 something failed for good, 2 wrong usage, 3 something failed but is worth trying
        again, 130 interrupted.
    """
    _open_streams()
    with _interruptible():
        from asyncnet.cli.calling import called
    try:
        return called(argv)
    finally:
        if argv is None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a traceback of the interpreter's end helps nobody


def _open_streams() -> None:
    """Give closed streams a place to write to: a socket would be given their number, and what is printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT end the process while the block runs; a KeyboardInterrupt would stand in the middle of an import.

    There some are printed and forgotten (in callbacks), and some turned into other errors.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
