"""run_workers(): several processes serve one place, and none of them is ever left behind."""

import asyncio
import contextlib
import json
import math
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncnet
from asyncnet.errors import UsageError
from tests.peers import Authority
from tests.streams import working

ROOT = Path(__file__).parent.parent.parent
ANYWHERE = "tcp://127.0.0.1:0"
PATIENCE = 30.0
"""Seconds for what happens at once unless it never does."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


def until(condition: Callable[[], Any], what: str = "it") -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} never happened"
        time.sleep(0.005)
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Program:
    """tests/streams/working.py as a process, in a group of its own."""

    def __init__(self, name: str, url: str = ANYWHERE, **options: Any) -> None:
        words = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.streams.working", name, url, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._seen: set[int] = set()

    def line(self) -> str:
        """The next line on standard output."""
        assert self.child.stdout
        return self.child.stdout.readline().rstrip("\n")

    def listening(self) -> "Program":
        self.url = self.line()
        assert "://" in self.url, self.child.communicate(timeout=PATIENCE)
        self.port = int(self.url.rpartition(":")[2])
        return self

    def workers(self) -> set[int]:
        """The worker processes that there are."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.child.pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                    found.add(int(folder.name))
        self._seen |= found
        return found

    def dial(self, host: str = "127.0.0.1") -> "Client":
        return Client(host, self.port)

    def served_by_both(self) -> "list[Client]":
        """A client at each of two workers, once both listen."""
        clients: dict[int, Client] = {}
        end = time.monotonic() + PATIENCE
        while len(clients) < 2:
            assert time.monotonic() < end, "one worker serves all"
            client = self.dial()
            if client.pid in clients:
                client.close()
            clients.setdefault(client.pid, client)
        return list(clients.values())

    def send(self, number: int) -> None:
        self.workers()
        self.child.send_signal(number)

    def refuses(self) -> bool:
        try:
            self.dial().close()
        except ConnectionRefusedError:
            return True
        except (ConnectionError, ValueError):  # it stopped listening just now
            pass
        return False

    def ended(self, status: int = 0) -> str:
        """Wait for the end; standard error. No process may be left."""
        out, err = self.child.communicate(timeout=PATIENCE)
        assert self.child.returncode == status, (out, err)
        self.nobody_is_left()
        return err

    def nobody_is_left(self) -> None:
        until(lambda: not any(is_alive(pid) for pid in self._seen), "the end of the workers")

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.workers()
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate(timeout=PATIENCE)
        try:
            self.nobody_is_left()
        finally:
            for pid in self._seen:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


class Client:
    """A socket to one worker, which has said who it is."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection((host, port), timeout=PATIENCE)
        try:
            if context is not None:
                self.sock = context.wrap_socket(self.sock, server_hostname=host)
            self.pid, *rest = map(int, self.line().split())
        except BaseException:
            self.sock.close()
            raise
        self.reloads = rest[0] if rest else 0

    def line(self) -> str:
        got = b""
        while not got.endswith(b"\n") and (byte := self.sock.recv(1)):
            got += byte
        return got.decode()

    def echoes(self, data: bytes) -> bool:
        self.sock.sendall(data)
        return self.received(len(data)) == data

    def received(self, count: int) -> bytes:
        got = b""
        while len(got) < count and (piece := self.sock.recv(count - len(got))):
            got += piece
        return got

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def closing(clients: list[Client]) -> Iterator[list[Client]]:
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


# Serving and ending.


@pytest.mark.parametrize(("number", "uvloop"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["TERM", "uvloop"])
def test_two_workers_serve_one_port_and_drain_at_a_signal(uvloop: bool, number: int) -> None:
    if uvloop:
        pytest.importorskip("uvloop")
    with Program("echo", uvloop=uvloop) as program:
        assert program.listening().url == f"tcp://127.0.0.1:{program.port}"
        with closing(program.served_by_both()) as clients:
            assert {client.pid for client in clients} == program.workers()
            assert all(client.echoes(b"hello") for client in clients)
            program.send(number)
            for client in clients:  # what was accepted is served to its end
                client.sock.sendall(b"x" * 100_000)
                client.sock.shutdown(socket.SHUT_WR)
                assert client.received(100_001) == b"x" * 100_000
            until(program.refuses)
            assert program.ended() == ""


def test_a_silent_client_is_told_that_this_is_all() -> None:
    with Program("echo").listening() as program, closing(program.served_by_both()) as clients:
        program.send(signal.SIGTERM)
        assert [client.received(1) for client in clients] == [b"", b""]
        assert program.ended() == ""


def test_a_second_signal_aborts_at_once() -> None:
    with Program("stubborn", grace=600.0).listening() as program, closing(program.served_by_both()) as clients:
        program.send(signal.SIGTERM)
        until(program.refuses)
        assert program.child.poll() is None
        program.send(signal.SIGINT)
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.received(1) == b""
        assert program.ended() == ""


def test_when_the_grace_is_over_the_rest_is_aborted() -> None:
    with Program("stubborn", workers=1, grace=0.05).listening() as program, closing([program.dial()]):
        program.send(signal.SIGTERM)
        assert program.ended() == ""


def test_a_worker_that_does_not_end_is_killed() -> None:
    with Program("stuck", workers=1, grace=0.05).listening() as program, closing([program.dial()]) as [client]:
        program.send(signal.SIGTERM)
        err = program.ended()
        assert f"worker {client.pid} does not end; it is killed" in err
        assert "Traceback" not in err


def test_a_signal_to_all_processes_at_once_counts_once() -> None:
    """A service manager, or a terminal, signals every process; the parent's word comes on top."""
    with Program("echo", grace=600.0).listening() as program, closing(program.served_by_both()) as clients:
        program.workers()
        os.killpg(program.child.pid, signal.SIGTERM)
        for _ in range(3):  # the parent's word comes meanwhile
            assert all(client.echoes(b"x" * 100_000) for client in clients)
            time.sleep(0.1)
        for client in clients:
            client.close()
        assert program.ended() == ""


def test_a_signal_while_they_start_ends_them() -> None:
    with Program("slow", workers=1) as program:
        assert program.line() == "starting"
        program.send(signal.SIGTERM)
        assert program.ended() == ""


def test_the_port_can_be_bound_again_at_once() -> None:
    url = ANYWHERE
    for _ in range(2):
        with Program("stubborn", url, workers=1, grace=0.01).listening() as program, closing([program.dial()]):
            program.send(signal.SIGTERM)  # our side ends the client, and keeps the TIME_WAIT
            assert program.ended() == ""
            url = program.url


# Deaths.


def test_a_killed_worker_is_replaced_and_the_other_serves_on() -> None:
    with Program("echo").listening() as program, closing(program.served_by_both()) as [first, second]:
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: first.pid not in program.workers() and len(program.workers()) == 2, "the replacement")
        assert second.echoes(b"still here")
        with closing(program.served_by_both()) as again:
            assert first.pid not in {client.pid for client in again}
            assert second.pid in {client.pid for client in again}
        program.send(signal.SIGTERM)
        err = program.ended()
    assert err.splitlines() == [f"{program.url}: worker {first.pid} ended (exit status -9); it is replaced"]


def test_a_worker_that_is_told_to_end_drains_and_is_replaced() -> None:
    with Program("echo").listening() as program, closing(program.served_by_both()) as [first, second]:
        os.kill(first.pid, signal.SIGTERM)
        assert first.echoes(b"to its end")
        assert first.received(1) == b""
        until(lambda: first.pid not in program.workers() and len(program.workers()) == 2, "the replacement")
        assert second.echoes(b"untouched")
        program.send(signal.SIGTERM)
        assert "(exit status 0); it is replaced" in program.ended()


@pytest.mark.slow
def test_workers_that_keep_dying_are_replaced_at_growing_intervals() -> None:
    with Program("mortal", workers=1).listening() as program:
        assert program.child.stderr
        heard = []
        for _ in range(4):
            line = program.child.stderr.readline()
            assert "ended (tcp://127.0.0.1" in line
            assert "the database has gone); it is replaced" in line
            heard.append(time.monotonic())
        assert heard[-1] - heard[0] >= 0.02 + 0.04 + 0.08
        program.send(signal.SIGTERM)
        program.ended()


@pytest.mark.slow
def test_a_main_that_just_returns_is_run_anew() -> None:
    with Program("hasty", workers=1).listening() as program:
        assert program.child.stderr
        for _ in range(2):
            assert "(exit status 0); it is replaced" in program.child.stderr.readline()
        program.send(signal.SIGINT)
        program.ended()


@pytest.mark.parametrize("name", ["stubborn", "stuck"])
def test_a_killed_parent_takes_the_workers_along(name: str) -> None:
    with Program(name, grace=0.1).listening() as program, closing([program.dial()]):
        assert len(program.workers()) == 2
        program.send(signal.SIGKILL)
        program.child.wait(PATIENCE)
        program.nobody_is_left()
        assert program.refuses()
        assert "Traceback" not in program.child.communicate()[1]


def test_a_parent_killed_while_they_start_takes_them_along() -> None:
    with Program("slow", workers=1, grace=0.1) as program:
        assert program.line() == "starting"
        program.send(signal.SIGKILL)
        program.child.wait(PATIENCE)
        program.nobody_is_left()


def test_while_no_process_can_be_started_the_others_serve_on() -> None:
    with Program("echo").listening() as program, closing(program.served_by_both()) as [first, second]:
        limits = resource.prlimit(program.child.pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{program.child.pid}/fd").iterdir()))
        resource.prlimit(program.child.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        os.kill(first.pid, signal.SIGKILL)
        assert program.child.stderr
        assert "it is replaced" in program.child.stderr.readline()
        assert "no worker can be started for now: Too many open files" in program.child.stderr.readline()
        assert second.echoes(b"still here")
        resource.prlimit(program.child.pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: len(program.workers()) == 2, "the replacement")
        program.send(signal.SIGTERM)
        program.ended()


# Starts that fail.


def test_what_a_main_raises_before_it_is_ready_is_raised_in_the_parent() -> None:
    with Program("refused") as program:
        assert program.line().startswith("ConnectError: prepare tcp://127.0.0.1")
        assert program.ended(3) == ""


def test_a_main_that_crashes_shows_where_and_ends_all() -> None:
    with Program("broken") as program:
        assert "a worker did not come up" in program.line()
        assert "ZeroDivisionError: on purpose" in program.ended(3)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with Program("echo", f"tcp://127.0.0.1:{taken.getsockname()[1]}") as program:
            assert "Address already in use" in program.line()
            assert program.ended(3) == ""


def test_two_teams_do_not_share_a_port_unawares() -> None:
    with Program("echo", workers=1).listening() as first:
        with Program("echo", first.url, workers=1) as second:
            assert "Address already in use" in second.line()
            assert second.ended(3) == ""
        first.send(signal.SIGTERM)
        assert first.ended() == ""


# Places.


def test_all_interfaces_are_served_over_both_families() -> None:
    with Program("echo", "tcp://:0", workers=1).listening() as program:
        hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        for host in hosts:
            with closing([program.dial(host)]) as [client]:
                assert client.echoes(b"hello")
        program.send(signal.SIGTERM)
        assert program.ended() == ""


def test_each_address_of_a_name_is_served() -> None:
    with Program("echo", "tcp://localhost:0", workers=1).listening() as program:
        for info in socket.getaddrinfo("localhost", program.port, type=socket.SOCK_STREAM):
            with closing([program.dial(str(info[4][0]))]) as [client]:
                assert client.echoes(b"hello")
        program.send(signal.SIGTERM)
        assert program.ended() == ""


def test_a_main_makes_its_own_tls_context(authority: Authority, tmp_path: Path) -> None:
    files = [str(path) for path in authority.write_server_files(tmp_path)]
    with Program("echo", "tls://127.0.0.1:0", files=files).listening() as program:
        with closing([Client("127.0.0.1", program.port, authority.client()) for _ in range(3)]) as clients:
            assert all(client.echoes(b"hello") for client in clients)
            program.send(signal.SIGTERM)
            assert [client.received(1) for client in clients] == [b""] * 3
        assert program.ended() == ""


# Signals that are handed on.


def test_a_signal_is_handed_on_to_every_worker() -> None:
    with Program("reloading", forward=[signal.SIGHUP]).listening() as program:
        for count in (1, 2):
            program.send(signal.SIGHUP)
            until(lambda count=count: _reloads(program) == {count}, f"reload {count}")
        program.send(signal.SIGTERM)
        assert program.ended() == ""


def _reloads(program: Program) -> set[int]:
    with closing(program.served_by_both()) as clients:
        return {client.reloads for client in clients}


def test_a_signal_that_no_main_handles_is_ignored() -> None:
    options = {"workers": 1, "forward": [signal.SIGHUP]}
    with Program("echo", **options).listening() as program, closing([program.dial()]) as [client]:
        for _ in range(3):
            program.send(signal.SIGHUP)
            assert client.echoes(b"still here")
        assert {client.pid} == program.workers()
        program.send(signal.SIGTERM)
        assert client.received(1) == b""
        assert program.ended() == ""


# Wrong calls.


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (ANYWHERE, {"workers": 0}),
        ("unix:///tmp/socket", {}),
        ("http://127.0.0.1:0", {}),
        (ANYWHERE, {"grace": -1.0}),
        (ANYWHERE, {"grace": math.nan}),
        (ANYWHERE, {"forward": [signal.SIGTERM]}),
    ],
    ids=str,
)
def test_wrong_options_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        asyncnet.run_workers(working.serve, url, **{"workers": 1} | options)


def test_a_main_that_cannot_be_handed_over_is_refused() -> None:
    async def local(place: object, ready: object) -> None: ...

    for main in (local, lambda place, ready: local(place, ready)):
        with pytest.raises(UsageError, match="handed to another process"):
            asyncnet.run_workers(main, ANYWHERE, workers=1)


async def test_inside_a_loop_it_is_refused() -> None:
    with pytest.raises(UsageError, match="outside of a running loop"):
        asyncnet.run_workers(working.serve, ANYWHERE, workers=1)


def test_outside_of_the_main_thread_it_is_refused_and_nothing_is_left() -> None:
    faults: list[Exception] = []

    def run() -> None:
        try:
            asyncnet.run_workers(working.serve, ANYWHERE, workers=1)
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert [type(fault) for fault in faults] == [UsageError]


def test_handlers_of_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(asyncnet.ConnectError):
            asyncnet.run_workers(
                working.serve, f"tcp://127.0.0.1:{taken.getsockname()[1]}", workers=1, forward=[signal.SIGHUP]
            )
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert asyncio.run(_nothing()) is None


async def _nothing() -> None: ...
