"""Start Dovecot, Postfix and nginx, say as JSON how to reach them, and wait for Enter, SIGINT or SIGTERM.

    python -m tests.real.up

Where a server cannot run, the reason stands in the place of its addresses.
"""

import contextlib
import json
import select
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType

from tests.real.daemon import Daemon, Missing
from tests.real.dovecot import ALICE, BOB, CAROL, DAVE, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix

_WHERE = {
    "dovecot": ("imap", "imap_starttls", "imaps", "pop3", "pop3_starttls", "pop3s", "strict_host"),
    "postfix": ("submission", "smtps", "smtp", "refused", "deferred", "unknown", "discarded"),
    "nginx": ("http", "https"),
}


@contextlib.contextmanager
def everything() -> Iterator[dict[str, object]]:
    """Start what can run here; yields what is to be known about it, ready for JSON."""
    with contextlib.ExitStack() as stack:
        dovecot = Dovecot()
        about: dict[str, object] = {"accounts": {one.name: one.password for one in (ALICE, BOB, CAROL, DAVE)}}
        for daemon in (dovecot, Postfix(dovecot), Nginx()):
            about[daemon.name] = _entered(stack, daemon)
        yield about


def _entered(stack: contextlib.ExitStack, daemon: Daemon) -> object:
    try:
        stack.enter_context(daemon)
    except Missing as reason:
        return str(reason)
    where = {name: getattr(daemon, name) for name in _WHERE[daemon.name]}
    return {**where, "ports": daemon.ports, "ca": str(daemon.ca), "folder": str(daemon.folder)}


def main() -> None:
    """Start, tell, wait, stop."""
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.suppress(KeyboardInterrupt), everything() as about:
        print(json.dumps(about, indent=2, ensure_ascii=False), flush=True)
        _wait()


def _wait() -> None:
    """Wait for a line, or for the KeyboardInterrupt of a signal."""
    # A signal that comes just before a blocking read would be seen after it only: the wake-up ends the select at once.
    ours, wakeup = socket.socketpair()
    with ours, wakeup:
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno())
        ready, _, _ = select.select([ours, sys.stdin], [], [])
        if sys.stdin in ready and not sys.stdin.readline():  # no terminal: a signal will come
            select.select([ours], [], [])
        signal.set_wakeup_fd(-1)


def _stop(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
