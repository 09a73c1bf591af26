"""Postfix: submission and plain SMTP, mail delivered into a Dovecot. It needs root: its parts run as several users."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from tests.clock import MS
from tests.real import postfix_config
from tests.real.daemon import Daemon, Missing, program
from tests.real.dovecot import ALICE, BOB, CAROL, DAVE, Dovecot

_PACKAGE = "postfix"
_EMPTY = 30_000 * MS
_QUEUES = {"active": 0o700, "bounce": 0o700, "corrupt": 0o700, "defer": 0o700, "deferred": 0o700, "flush": 0o700}
_QUEUES |= {"hold": 0o700, "incoming": 0o700, "private": 0o700, "saved": 0o700, "trace": 0o700}
_SHARED_QUEUES = {"maildrop": 0o1730, "public": 0o2710}


class Postfix(Daemon):
    """Postfix that delivers the mail of example.org into `dovecot`, and asks it about passwords.

    `ports`: submission (STARTTLS, then AUTH, required), smtps (TLS from the first byte, AUTH required), smtp (both
    offered, neither required). Every account of the Dovecot has an address at example.org, `alice+anything` too.
    `refused@` gets 550 and `later@` 450 at RCPT, anybody else 550; mail to any address at discard.example.org is taken
    and thrown away. Messages up to 200 MiB are passed on as they came, behind Return-Path, Delivered-To and Received.
    """

    name = "postfix"
    port_names = ("submission", "smtps", "smtp")
    folder_mode = 0o755
    refused = "refused@example.org"
    deferred = "later@example.org"
    unknown = "nobody.of.that.name@example.org"
    discarded = "anybody@discard.example.org"

    def __init__(self, dovecot: Dovecot) -> None:
        super().__init__(dovecot.authority)
        self._dovecot = dovecot

    @property
    def submission(self) -> str:
        """smtp+starttls://: AUTH after STARTTLS."""
        return f"smtp+starttls://{self.host}:{self.ports['submission']}"

    @property
    def smtps(self) -> str:
        """smtps://: TLS from the first byte, then AUTH."""
        return f"smtps://{self.host}:{self.ports['smtps']}"

    @property
    def smtp(self) -> str:
        """smtp://: for everybody on this machine; STARTTLS and AUTH are offered, and AUTH without TLS too."""
        return f"smtp://{self.host}:{self.ports['smtp']}"

    @property
    def queued(self) -> int:
        """How many messages are in the queue."""
        folders = [self.folder / "queue" / name for name in ("maildrop", "incoming", "active", "deferred", "hold")]
        return sum(1 for folder in folders for path in folder.rglob("*") if path.is_file())

    def wait_until_delivered(self) -> None:
        """Return once the queue is empty; AssertionError with the log if it does not get so."""
        stop = time.monotonic() + _EMPTY
        while self.queued:
            if time.monotonic() > stop:
                raise AssertionError(f"{self.queued} messages stay in the queue:\n{self.log[-4000:]}")
            time.sleep(5 * MS)

    def configure(self) -> None:
        """Write the configuration, and make the queue as Postfix wants to find it."""
        if os.geteuid() != 0:
            raise Missing("Postfix can only be started by root, for its parts run as several users")
        sbin = Path(program("postfix", _PACKAGE)).parent
        self._daemons = _setting("daemon_directory")
        ports = self.ports | {name: self._dovecot.ports[name] for name in ("lmtp", "sasl")}
        addresses = [account.address for account in (ALICE, BOB, CAROL, DAVE)]
        paths = {"sbin": str(sbin), "daemons": self._daemons}
        postfix_config.write(self.folder, ports, paths, addresses)
        self._make_queue()

    @property
    def command(self) -> list[str]:
        """Postfix's master in the foreground, without the wrapper that would check the installation for a second."""
        return [f"{self._daemons}/master", "-c", str(self.folder / "config"), "-d"]

    def wait_until_ready(self) -> None:
        """Wait for the ports, and for the first greeting."""
        super().wait_until_ready()
        self.wait_for(lambda: self.greets(self.ports["smtp"], b"220 "))

    def _make_queue(self) -> None:
        queue, owner = self.folder / "queue", pwd.getpwnam("postfix").pw_uid
        for name, mode in (_QUEUES | _SHARED_QUEUES | {"pid": 0o755}).items():
            (queue / name).mkdir(parents=True)
            (queue / name).chmod(mode)
            if name != "pid":
                shutil.chown(queue / name, owner, "postdrop" if name in _SHARED_QUEUES else None)
                (queue / name).chmod(mode)
        (self.folder / "data").mkdir(mode=0o700)
        shutil.chown(self.folder / "data", owner)


def _setting(name: str) -> str:
    command = [program("postconf", _PACKAGE), "-dh", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
