"""asyncnet echo: what it prints, what it echoes, and how it ends."""

import contextlib
import functools
import os
import resource
import signal
import socket
import ssl

import pytest
import trustme

from tests.cli.running import PATIENCE, Terminal, process, started

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def endpoint_of(child) -> str:
    return child.stdout.readline().strip()


def connected(endpoint: str) -> socket.socket:
    host, _, port = endpoint.partition("://")[2].rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)


def received(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


@BOTH
def test_it_says_where_it_listens_echoes_and_ends_by_a_signal_with_status_0(number):
    with started("echo", "tcp://127.0.0.1:0") as child:
        endpoint = endpoint_of(child)
        assert endpoint.startswith("tcp://127.0.0.1:")
        with connected(endpoint) as client:
            client.sendall(b"hello")
            assert received(client, 5) == b"hello"
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (0, "", "")


def test_the_default_is_loopback_port_4242():
    with started("echo", "--help") as child:
        assert "[ENDPOINT]" in child.stdout.read()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 4242))
            taken.listen()
        except OSError:
            pytest.skip("somebody else listens at port 4242")
        ran = process("echo")
    assert ran.status == 3
    assert ran.err.startswith("error: tcp://127.0.0.1:4242: listen: Address already in use\n  another program")


def test_what_was_accepted_is_echoed_although_a_signal_came():
    with started("echo", "tcp://127.0.0.1:0", "--grace", "20") as child:
        endpoint = endpoint_of(child)
        with connected(endpoint) as client:
            client.sendall(b"x")
            assert received(client, 1) == b"x"
            child.send_signal(signal.SIGTERM)
            _wait_until_refused(endpoint)
            client.sendall(b"y" * 100_000)
            client.shutdown(socket.SHUT_WR)
            assert received(client, 100_000) == b"y" * 100_000
        assert child.wait(PATIENCE) == 0


def test_a_second_signal_ends_it_at_once():
    with started("echo", "tcp://127.0.0.1:0", "--grace", "600") as child:
        endpoint = endpoint_of(child)
        with connected(endpoint) as client:
            client.settimeout(0.01)
            _fill(client)  # a client that does not read keeps its handler busy
            child.send_signal(signal.SIGINT)
            _wait_until_refused(endpoint)
            assert child.poll() is None
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE) == 0
        assert child.stderr.read() == ""


def test_it_serves_tls(authority, tmp_path):
    certificate, key = authority.write_server_files(tmp_path)
    with started("echo", "tls://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key) as child:
        endpoint = endpoint_of(child)
        assert endpoint.startswith("tls://")
        with connected(endpoint) as raw, authority.client().wrap_socket(raw, server_hostname="127.0.0.1") as client:
            client.sendall(b"hello")
            assert received(client, 5) == b"hello"
        with connected(endpoint) as raw, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1")
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0


def test_it_serves_a_unix_socket_and_removes_it(tmp_path):
    path = tmp_path / "echo.sock"
    with started("echo", f"unix://{path}") as child:
        assert endpoint_of(child) == f"unix://{path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"hello")
            assert received(client, 5) == b"hello"
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
    assert not path.exists()


def test_on_a_terminal_ctrl_c_is_its_normal_end():
    with Terminal("echo", "tcp://127.0.0.1:0") as terminal:
        terminal.until("tcp://127.0.0.1:")
        terminal.type("\x03")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.shown


def test_a_certificate_without_tls_is_refused(tmp_path):
    (tmp_path / "cert").write_bytes(b"")
    for option in ("--tls-cert", "--tls-key"):
        ran = process("echo", "tcp://127.0.0.1:0", option, tmp_path / "cert")
        assert ran.status == 2
        assert "for tls:// alone" in ran.err


# Limits.


def test_all_its_limits_are_options():
    ran = process("echo", "--help")
    limits = ["max-clients", "per-address", "idle-timeout", "handshake-timeout", "write-timeout", "max-buffer-bytes"]
    for name in [*limits, "grace", "tls-cert", "tls-key", "workers", "proxy-protocol", "uvloop"]:
        assert f"--{name} " in ran.out


def test_beyond_its_cap_clients_wait_until_one_leaves():
    with started("echo", "tcp://127.0.0.1:0", "--max-clients", "1") as child:
        endpoint = endpoint_of(child)
        with connected(endpoint) as first, connected(endpoint) as second:
            assert echoes(first, b"first")
            second.sendall(b"second")
            second.settimeout(0.05)
            with pytest.raises(TimeoutError):
                second.recv(1)
            second.settimeout(PATIENCE)
            first.close()
            assert received(second, 6) == b"second"
        assert ended(child) == ""


def test_one_address_may_not_take_all():
    with started("echo", "tcp://127.0.0.1:0", "--per-address", "1", "-v") as child:
        endpoint = endpoint_of(child)
        with connected(endpoint) as first, connected(endpoint) as second:
            assert echoes(first, b"first")
            assert received(second, 1) == b""
            assert echoes(first, b"first again")
        assert ended(child) == "info: refused 127.0.0.1: it has 1 connections already\n"


@pytest.mark.parametrize("option", ["--idle-timeout", "--write-timeout", "--handshake-timeout"])
def test_who_takes_too_long_is_ended(option, authority, tmp_path):
    certificate, key = authority.write_server_files(tmp_path)
    plain = ["tcp://127.0.0.1:0"]
    tls = ["tls://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key]
    with started("echo", *(tls if "handshake" in option else plain), option, "0.1") as child:
        with connected(endpoint_of(child)) as client:
            if option == "--write-timeout":
                with pytest.raises(ConnectionError):
                    _fill(client)
            else:
                assert received(client, 1) == b""
        assert ended(child) == ""


def test_what_it_holds_for_a_client_is_bounded():
    with started("echo", "tcp://127.0.0.1:0", "--max-buffer-bytes", "4ki") as child:
        with connected(endpoint_of(child)) as client:
            assert echoes(client, b"x" * 100_000)
        assert ended(child) == ""
    ran = process("echo", "tcp://127.0.0.1:0", "--max-buffer-bytes", "0")
    assert (ran.status, ran.out) == (2, "")


def test_behind_a_proxy_it_takes_the_header():
    with started("echo", "tcp://127.0.0.1:0", "--proxy-protocol", "--per-address", "1") as child:
        endpoint = endpoint_of(child)
        with connected(endpoint) as first, connected(endpoint) as second, connected(endpoint) as third:
            for client, address in ((first, "192.0.2.1"), (second, "192.0.2.2"), (third, "192.0.2.1")):
                client.sendall(f"PROXY TCP4 {address} 192.0.2.9 1 2\r\nhello".encode())
                if client is third:
                    assert is_turned_away(client)
                else:
                    assert received(client, 5) == b"hello"
            with connected(endpoint) as bare:
                bare.sendall(b"hello")
                assert is_turned_away(bare)
        assert ended(child) == ""


def test_files_are_allowed_for_as_many_clients_as_it_may_have():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for clients in (100, 500, 10_000_000):
        limits = (128, min(hard, 1000) if hard > 0 else 1000)
        lowered = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with started("echo", "tcp://127.0.0.1:0", "--max-clients", clients, "-v", preexec_fn=lowered) as child:
            endpoint_of(child)
            allowed = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
            said = ended(child)
        if clients == 100:
            assert allowed[0] >= 128
        else:
            assert allowed[0] == min(clients + 64, limits[1])
        assert ("are allowed" in said) is (clients + 64 > limits[1])


# A renewed certificate.


def serial(endpoint: str, trusting: ssl.SSLContext) -> str:
    with connected(endpoint) as raw, trusting.wrap_socket(raw, server_hostname="127.0.0.1") as client:
        assert echoes(client, b"hello")
        return client.getpeercert()["serialNumber"]


@pytest.fixture
def renewable(tmp_path):
    """Files of a certificate, what renews it, and a context that trusts both."""
    authority = trustme.CA()
    path = tmp_path / "server.pem"

    def renew() -> None:
        new = tmp_path / "new.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(new))
        new.replace(path)

    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    renew()
    return path, renew, trusting


@pytest.mark.parametrize("workers", [1, 2])
def test_at_sighup_it_reads_the_certificate_again_and_clients_stay(workers, renewable):
    path, renew, trusting = renewable
    with started("echo", "tls://127.0.0.1:0", "--tls-cert", path, "--workers", workers, "-v") as child:
        endpoint = endpoint_of(child)
        old = {serial(endpoint, trusting) for _ in range(4 * workers)}
        assert len(old) == 1
        with connected(endpoint) as raw, trusting.wrap_socket(raw, server_hostname="127.0.0.1") as client:
            renew()
            child.send_signal(signal.SIGHUP)
            for _ in range(workers):
                assert said(child, "info: the certificate was read again")
            assert len({serial(endpoint, trusting) for _ in range(4 * workers)} | old) == 2
            assert echoes(client, b"still here")
            path.write_text("nothing")
            child.send_signal(signal.SIGHUP)
            for _ in range(workers):
                assert said(child, "error: the certificate stays as it was: cannot use")
            assert serial(endpoint, trusting) not in old
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0


def test_without_a_certificate_sighup_is_the_end_as_ever():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a child of `nohup` would inherit that it is ignored
    try:
        child_started = started("echo", "tcp://127.0.0.1:0")
        child = child_started.__enter__()
    finally:
        signal.signal(signal.SIGHUP, before)
    with contextlib.ExitStack() as stack:
        stack.push(child_started.__exit__)
        endpoint_of(child)
        child.send_signal(signal.SIGHUP)
        assert child.wait(PATIENCE) == -signal.SIGHUP


# Workers.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_workers_serve_and_drain_at_a_signal(number):
    with started("echo", "tcp://127.0.0.1:0", "--workers", "2", "--grace", "20") as child:
        endpoint = endpoint_of(child)
        clients = [connected(endpoint) for _ in range(20)]
        assert all(echoes(client, b"hello") for client in clients)
        os.killpg(child.pid, number)  # as a terminal does: to every process
        for client in clients:
            client.sendall(b"x" * 10_000)
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            with client:
                assert received(client, 10_001) == b"x" * 10_000
        _wait_until_refused(endpoint)
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (0, "", "")


def test_a_port_that_workers_cannot_have_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = process("echo", f"tcp://127.0.0.1:{taken.getsockname()[1]}", "--workers", "2")
    assert ran.status == 3
    assert "Address already in use" in ran.err
    assert "Traceback" not in ran.err


def test_wrong_usage_is_told_before_workers_start(tmp_path):
    (tmp_path / "bad.pem").write_text("nothing")
    for arguments in (
        [f"unix://{tmp_path}/socket"],
        ["tls://127.0.0.1:0", "--tls-cert", tmp_path / "bad.pem"],
        ["tcp://127.0.0.1:0", "--max-buffer-bytes", "0"],
    ):
        ran = process("echo", *arguments, "--workers", "2")
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith("error: ")
        assert "Traceback" not in ran.err


@pytest.mark.parametrize("workers", [1, 2])
def test_on_uvloop_too(workers):
    pytest.importorskip("uvloop")
    with started("echo", "tcp://127.0.0.1:0", "--uvloop", "--workers", workers) as child:
        with connected(endpoint_of(child)) as client:
            assert echoes(client, b"x" * 100_000)
        assert ended(child) == ""


def echoes(sock: socket.socket, data: bytes) -> bool:
    sock.sendall(data)
    return received(sock, len(data)) == data


def is_turned_away(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:  # what it had sent was not read
        return True


def said(child, text: str) -> bool:
    """Wait until standard error says so."""
    return any(text in line for line in child.stderr)


def ended(child) -> str:
    """Say that it is enough; standard error."""
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (0, "")
    return err


def _wait_until_refused(endpoint: str) -> None:
    for _ in range(10_000):
        try:
            connected(endpoint).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it stopped listening just now
    raise AssertionError("it still accepts")


def _fill(client: socket.socket) -> None:
    try:
        for _ in range(10_000):
            client.sendall(b"x" * 65_536)
    except TimeoutError:
        return
    raise AssertionError("it takes everything")
