"""What the real servers have in common: they start on free ports, and leave nothing behind, whatever happens."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clock import MS
from tests.real import daemon
from tests.real.daemon import Daemon, Failed, Missing, free_ports, program
from tests.real.dovecot import Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix
from tests.real.running import foreign, running

ROOT = Path(__file__).parent.parent.parent


def processes_of(folder: Path) -> list[str]:
    """The live processes whose command names this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if str(folder).encode() in (command := (entry / "cmdline").read_bytes()):
                found.append(command.decode())
    return found


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("name", ["dovecot", "postfix", "nginx"])
def test_the_end_leaves_nothing(dovecot: Dovecot, name: str) -> None:
    servers: dict[str, Daemon] = {"dovecot": Dovecot(), "postfix": Postfix(dovecot), "nginx": Nginx()}
    server = servers[name]
    once = running(server)
    next(once)
    folder, ports = server.folder, list(server.ports.values())
    assert processes_of(folder)
    assert all(map(listens, ports))
    once.close()
    assert not folder.exists()
    assert not processes_of(folder)
    assert not any(map(listens, ports))


def test_a_server_can_be_started_again(nginx: Nginx) -> None:
    server = Nginx(nginx.authority)
    for _ in range(2):
        with server:
            assert listens(server.ports["http"])


def test_a_taken_port_is_left_to_its_owner(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    good = free_ports(6)
    with socket.create_server(("127.0.0.1", 0)) as owner:
        offers = iter([[owner.getsockname()[1], *good[1:]], good])
        monkeypatch.setattr(daemon, "free_ports", lambda _: next(offers))
        with Dovecot(dovecot.authority) as server:
            assert list(server.ports.values()) == good


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Nginx(nginx.authority)
    folders = []

    def configure() -> None:
        Nginx.configure(broken)
        folders.append(broken.folder)
        (broken.folder / "nginx.conf").write_text("nonsense;")

    monkeypatch.setattr(broken, "configure", configure)
    with pytest.raises(Failed, match='unknown directive "nonsense"'):
        broken.start()
    assert not [folder for folder in folders if folder.exists()]


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(Missing, match="no-such-server is not installed here: apt-get install some-package"):
        program("no-such-server", "some-package")


class Absent(Daemon):
    def configure(self) -> None:
        raise Missing("it is not installed here")


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_server_skips_or_fails(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCNET_REQUIRE_REAL", required)
    absent = Absent()
    with pytest.raises(outcome, match="it is not installed here"):
        next(running(absent))
    assert absent.folder == Path()


def test_postfix_without_root_is_missing(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Missing, match="only be started by root"):
        Postfix(dovecot).configure()


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert not any(map(listens, ports))


def test_a_server_does_not_outlive_a_killed_parent() -> None:
    code = "import sys; from tests.real.nginx import Nginx; n = Nginx().start(); print(n.folder, flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        line = parent.stdout.readline().strip()
        if not line:
            pytest.skip("nginx cannot run here: apt-get install nginx-light")
        assert processes_of(Path(line))
        parent.kill()
    stop = time.monotonic() + 10_000 * MS
    while (left := processes_of(Path(line))) and time.monotonic() < stop:
        time.sleep(5 * MS)
    assert not left
    shutil.rmtree(line)


def test_up_starts_all_tells_and_stops_on_a_signal() -> None:
    command = [sys.executable, "-m", "tests.real.up"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        text = b""
        while not text.endswith(b"\n}\n"):
            text += process.stdout.readline()
        about = json.loads(text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert set(about) == {"accounts", "dovecot", "postfix", "nginx"}
    folders = [Path(one["folder"]) for one in about.values() if isinstance(one, dict) and "folder" in one]
    assert not [folder for folder in folders if folder.exists()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_dovecot_and_nginx_run_as_any_ordinary_user() -> None:
    account = pwd.getpwnam("daemon")
    code = (
        # All that is imported later is imported now: that user may not be let into the folders it lies in.
        "import encodings.idna, os, subprocess, sys\n"
        "from tests.peers.certificates import shared_authority\n"
        "shared_authority().server, shared_authority().client()\n"
        "from tests.real.dovecot import Dovecot\n"
        "from tests.real.nginx import Nginx\n"
        f"os.setgroups([]); os.setgid({account.pw_gid}); os.setuid({account.pw_uid})\n"
        "with Dovecot() as dovecot, Nginx() as nginx: print('both run')\n"
    )
    # Not measured: that user may not write where the figures of coverage go.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("both run\n", "")


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_library_of_a_stranger_skips_or_fails(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCNET_REQUIRE_REAL", required)
    with pytest.raises(outcome, match="there_is_none cannot be imported"):
        foreign("there_is_none")
