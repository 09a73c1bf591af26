"""asyncnet echo: what it prints, what it echoes, and how it ends."""

import signal
import socket
import ssl

import pytest

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
    with started("echo", "tls://127.0.0.1:0", "--cert", certificate, "--key", key) as child:
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
    assert process("echo", "tcp://127.0.0.1:0", "--cert", tmp_path / "cert").status == 2


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
