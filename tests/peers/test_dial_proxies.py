"""SocksProxy and ConnectProxy, judged by bytes written by hand from the RFCs."""

import base64
import contextlib
import socket

import pytest

from tests.clock import MS
from tests.peers import ConnectProxy, Script, SocksProxy
from tests.peers.connect_proxy import ConnectFault
from tests.peers.listener import Peer
from tests.peers.socks import SocksFault

HELLO = b"\x05\x01\x00"
GOOD = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00"


def dial(peer: Peer) -> socket.socket:
    return socket.create_connection((peer.host, peer.port), timeout=10)


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"it left after {data!r}"
        data += piece
    return data


def by_name(name: bytes, port: int) -> bytes:
    return b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big")


def test_socks_leads_a_name_where_the_test_says() -> None:
    with (
        Script("S: +OK\nC: QUIT") as peer,
        SocksProxy(hosts={"mail.example.org": (peer.host, peer.port)}) as proxy,
        dial(proxy) as sock,
    ):
        sock.sendall(HELLO)
        assert exactly(sock, 2) == b"\x05\x00"
        sock.sendall(by_name(b"mail.example.org", 110))
        assert exactly(sock, len(GOOD) + 5) == GOOD + b"+OK\r\n"
        sock.sendall(b"QUIT\r\n")
        assert sock.recv(1) == b""
    assert proxy.requests == [("mail.example.org", 110)]


@pytest.mark.parametrize(
    ("address", "kind", "host"),
    [(b"\x7f\0\0\1", 1, "127.0.0.1"), (b"\0" * 15 + b"\1", 4, "::1")],
)
def test_socks_takes_addresses_of_both_families(address: bytes, kind: int, host: str) -> None:
    with Script("S: hi", host=host) as peer, SocksProxy() as proxy, dial(proxy) as sock:
        sock.sendall(HELLO + b"\x05\x01\x00" + bytes([kind]) + address + peer.port.to_bytes(2, "big"))
        assert exactly(sock, 2 + len(GOOD) + 4) == b"\x05\x00" + GOOD + b"hi\r\n"
    assert proxy.requests == [(host, peer.port)]


@pytest.mark.parametrize(("password", "status"), [(b"secret", 0), (b"wrong", 1)])
def test_socks_checks_the_password(password: bytes, status: int) -> None:
    with SocksProxy(username="alice", password="secret") as proxy, dial(proxy) as sock:
        sock.sendall(b"\x05\x02\x00\x02")
        assert exactly(sock, 2) == b"\x05\x02"
        sock.sendall(b"\x01\x05alice" + bytes([len(password)]) + password)
        assert exactly(sock, 2) == bytes([1, status])
        if status:
            assert sock.recv(1) == b""
    assert proxy.logins == [("alice", password.decode())]


def test_socks_demands_the_password() -> None:
    with SocksProxy(username="alice", password="secret") as proxy, dial(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 2) == b"\x05\xff"
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("refuse", b"\x05\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x00"),
        ("cut", b"\x05\x00\x05\x00\x00"),
        ("no methods", b"\x05\xff"),
    ],
)
def test_socks_faults_with_an_end(fault: SocksFault, answer: bytes) -> None:
    with SocksProxy(fault=fault, reply=2) as proxy, dial(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 2) == answer[:2]
        sock.sendall(by_name(b"mail.example.org", 110))
        assert exactly(sock, len(answer) - 2) == answer[2:]
        with contextlib.suppress(ConnectionResetError):  # where it left over bytes that it had not read
            assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("fault", "answer"), [("silence", b""), ("silence after greeting", b"\x05\x00"), ("garbage", b"HTTP/1.1 400")]
)
def test_socks_faults_without_an_end(fault: SocksFault, answer: bytes) -> None:
    with SocksProxy(fault=fault) as proxy, dial(proxy) as sock:
        sock.sendall(HELLO + by_name(b"mail.example.org", 110))
        assert exactly(sock, len(answer)) == answer
        sock.settimeout(20 * MS)
        with pytest.raises(TimeoutError):
            while sock.recv(100):
                pass


def test_socks_says_that_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with SocksProxy(hosts={"gone.example.org": ("127.0.0.1", port)}) as proxy, dial(proxy) as sock:
        sock.sendall(HELLO + by_name(b"gone.example.org", 1))
        assert exactly(sock, 2 + len(GOOD)) == b"\x05\x00\x05\x05" + GOOD[2:]


def test_socks_complains_of_another_protocol() -> None:
    with pytest.raises(AssertionError, match="version 4 is not SOCKS5"), SocksProxy() as proxy, dial(proxy) as sock:
        sock.sendall(b"\x04\x01\x00")
        assert sock.recv(1) == b""


def test_the_targets_first_bytes_can_come_in_one_piece_with_the_reply() -> None:
    with Script("S: +OK ready") as peer, SocksProxy(glue=True) as proxy, dial(proxy) as sock:
        sock.sendall(HELLO)
        assert exactly(sock, 2) == b"\x05\x00"
        sock.sendall(by_name(b"127.0.0.1", peer.port))
        assert sock.recv(100) == GOOD + b"+OK ready\r\n"


CONNECT = "CONNECT {0}:{1} HTTP/1.1\r\nHost: {0}:{1}\r\n{2}\r\n"


def test_connect_leads_a_name_where_the_test_says() -> None:
    with (
        Script("S: +OK\nC: QUIT") as peer,
        ConnectProxy(hosts={"mail.example.org": (peer.host, peer.port)}) as proxy,
        dial(proxy) as sock,
    ):
        sock.sendall(CONNECT.format("mail.example.org", 110, "").encode())
        good = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 peer\r\n\r\n"
        assert exactly(sock, len(good) + 5) == good + b"+OK\r\n"
        sock.sendall(b"QUIT\r\n")
        assert sock.recv(1) == b""
    assert proxy.requests == [("mail.example.org", 110)]


def test_connect_takes_an_ipv6_address() -> None:
    with Script("S: +OK", host="::1") as peer, ConnectProxy(glue=True) as proxy, dial(proxy) as sock:
        sock.sendall(CONNECT.format("[::1]", peer.port, "").encode())
        assert sock.recv(1000).endswith(b"\r\n\r\n+OK\r\n")
    assert proxy.requests == [("::1", peer.port)]


@pytest.mark.parametrize(("password", "status"), [("secret", b"200"), ("wrong", b"407"), (None, b"407")])
def test_connect_checks_the_password(password: str | None, status: bytes) -> None:
    token = base64.b64encode(f"alice:{password}".encode()).decode()
    field = f"Proxy-Authorization: Basic {token}\r\n" if password else ""
    demanding = ConnectProxy(username="alice", password="secret")
    with Script("silence", repeat=True) as peer, demanding as proxy, dial(proxy) as sock:
        sock.sendall(CONNECT.format(peer.host, peer.port, field).encode())
        assert sock.recv(1000).split()[1] == status


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("refuse", b"HTTP/1.1 502 No\r\n"),
        ("cut", b"HTTP/1.1 200 Connection estab"),
        ("garbage", b"\x05\x00\x00\x01"),
        ("endless header", b"HTTP/1.1 200 Connection established\r\nX-More: "),
    ],
)
def test_connect_faults(fault: ConnectFault, answer: bytes) -> None:
    with ConnectProxy(fault=fault, status=502) as proxy, dial(proxy) as sock:
        sock.sendall(CONNECT.format("mail.example.org", 110, "").encode())
        assert exactly(sock, len(answer)) == answer


def test_connect_can_be_silent() -> None:
    with ConnectProxy(fault="silence") as proxy, dial(proxy) as sock:
        sock.sendall(CONNECT.format("mail.example.org", 110, "").encode())
        sock.settimeout(20 * MS)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_connect_says_that_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with ConnectProxy() as proxy, dial(proxy) as sock:
        sock.sendall(CONNECT.format("127.0.0.1", port, "").encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [(b"GET / HTTP/1.1\r\n\r\n", "not a request for a proxy"), (b"CONNECT a:1 HTTP/1.1\r\n\r\nEHLO", "spoke before")],
)
def test_connect_complains_of_anything_else(request_: bytes, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint), ConnectProxy() as proxy, dial(proxy) as sock:
        sock.sendall(request_)
        assert sock.recv(1) == b""
