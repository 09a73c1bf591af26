"""Daemon: a real server as a child process, started on free ports in a folder of its own, and gone with it."""

import contextlib
import functools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clock import MS
from tests.peers.certificates import Authority, shared_authority

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
_START = 10_000 * MS
"""Seconds for a server to greet."""
_STOP = 1000 * MS
"""Seconds for a server to end in order; then it is killed, for nothing that it holds is worth a wait."""
_ATTEMPTS = 3
_PORTS = range(12_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that none of these takes one of ours."""


class Missing(Exception):
    """This machine cannot run the server; the text says why, and what would help."""


class Failed(Exception):
    """The server did not start; the text ends with its log."""


class Daemon:
    """A server in a child process: the subclasses say what to run and when it is ready.

    `folder` is its own, below the system's temporary folder, and is removed at the end; `log` is what it wrote;
    `ports` are its ports by name.
    """

    name = "daemon"
    port_names: Sequence[str] = ()
    folder_mode = 0o700
    host = "127.0.0.1"

    def __init__(self, authority: Authority | None = None) -> None:
        self.authority = authority or shared_authority()
        self.folder = Path()
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    # What a subclass says

    def configure(self) -> None:
        """Write the configuration into `folder`; Missing if this machine cannot run the server."""
        raise NotImplementedError

    @property
    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""
        raise NotImplementedError

    @property
    def user(self) -> str | None:
        """The user to run the command as, if it is another."""
        return None

    def wait_until_ready(self) -> None:
        """Return once the server serves."""
        for port in self.ports.values():
            self.wait_for(functools.partial(self.answers, port))

    # What all have in common

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    @property
    def ca(self) -> Path:
        """The certificate of the authority that its clients have to trust, as a file."""
        return self.folder / "ca.pem"

    def start(self) -> Self:
        """Start the server; on other ports again if one of them was taken in the meantime."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start()
            except Failed:
                self.stop()
                if attempt == _ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                break
        return self

    def stop(self) -> None:
        """Stop the server and whatever it started, and remove its folder."""
        if self._process:
            self.end(self._process)
            self._process = None
        if self.folder != Path():
            shutil.rmtree(self.folder)
            self.folder = Path()

    def restart(self) -> None:
        """End the server, and start it again with what it has in its folder, at its ports."""
        assert self._process is not None
        self.end(self._process)
        self._run()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the process and its group to end, then kill what is left of them."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP)
        # Its children are not ours to wait for, and a signal takes its time: so long a port or a file is theirs.
        stop = time.monotonic() + _STOP
        while _lives(process.pid) and time.monotonic() < stop:
            time.sleep(MS)

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Return once `ready` says so; Failed if the server ends before, or takes too long."""
        stop = time.monotonic() + _START
        while not ready():
            self.fail_if(time.monotonic() > stop or (self._process is not None and self._process.poll() is not None))
            time.sleep(5 * MS)

    def greets(self, port: int, greeting: bytes) -> bool:
        """Whether whoever listens at `port` of the host begins with this greeting, within a second."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=1000 * MS) as sock:
            return sock.recv(len(greeting)) == greeting
        return False

    def answers(self, port: int) -> bool:
        """Whether somebody listens at `port` of the host."""
        with socket.socket() as sock:
            return sock.connect_ex((self.host, port)) == 0

    def fail_if(self, broken: bool) -> None:
        """Raise Failed, with the log, if `broken`."""
        if broken:
            raise Failed(f"{self.name} did not start:\n{self.log[-4000:]}")

    def _start(self) -> None:
        # Not below pytest's own folder, which other users may not enter; and short, for Unix sockets.
        self.folder = Path(tempfile.mkdtemp(prefix=f"asyncnet-{self.name}-"))
        self.folder.chmod(self.folder_mode)
        self.ports = dict(zip(self.port_names, free_ports(len(self.port_names)), strict=True))
        self.authority.write_pem(self.folder)
        self.authority.write_server_files(self.folder)
        self.configure()
        if self.user:
            own(self.folder, self.user)
        self._run()

    def _run(self) -> None:
        with open(self.folder / "output.log", "ab") as output:
            self._process = subprocess.Popen(
                [*_dying_with_parent(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        self.wait_until_ready()
        self.fail_if(self._process.poll() is not None)  # somebody else's port may have answered

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()


def program(name: str, package: str) -> str:
    """The path of a program; Missing names the Debian package that has it."""
    if path := shutil.which(name, path=os.environ.get("PATH", os.defpath) + os.pathsep + _SBIN):
        return path
    raise Missing(f"{name} is not installed here: apt-get install {package}")


def unprivileged() -> pwd.struct_passwd:
    """The account that servers run as: our own, or nobody's if ours is root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def own(folder: Path, user: str) -> None:
    """Give the folder and all in it to `user`."""
    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.SystemRandom().sample(_PORTS, 200 + count):
            if len(found) == count:
                break
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found


def _lives(group: int) -> bool:
    """Whether a process of this group is more than a zombie."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


def _dying_with_parent() -> list[str]:
    """What to put before a command so that it is asked to end when this process dies, however it does.

    Nothing outside of the main thread: for the kernel the parent is the thread that made the process (prctl(2),
    PR_SET_PDEATHSIG), and a server that was restarted from a thread of the loop's executor would go with that.
    """
    setpriv = shutil.which("setpriv") if threading.current_thread() is threading.main_thread() else None
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
