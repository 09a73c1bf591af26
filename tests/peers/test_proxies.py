"""The proxies, judged by plain sockets against a Script."""

import itertools
import socket
import time

import pytest

from tests.clock import MS
from tests.peers import ChunkProxy, CutProxy, DelayProxy, Script
from tests.peers.listener import Peer
from tests.peers.proxies import DelayProcess, Direction, Proxy, pieces

BODY = bytes(range(256)) * 4096


def dial(peer: Peer | DelayProcess) -> socket.socket:
    return socket.create_connection((peer.host, peer.port), timeout=10)


def everything(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def target(peer: Script) -> tuple[str, int]:
    return peer.host, peer.port


def test_a_proxy_passes_both_directions_and_half_closes_on() -> None:
    script = Script(f"read {len(BODY)}\neof\ndump body", bodies={"body": BODY})
    with script as peer, Proxy(target(peer)) as proxy, dial(proxy) as sock:
        sock.sendall(BODY)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == BODY
    assert proxy.passed == {"to client": len(BODY), "to server": len(BODY)}


def test_a_proxy_without_a_server_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Proxy(("127.0.0.1", port)) as proxy, dial(proxy) as sock:
        assert sock.recv(1) == b""


def test_a_delay_takes_the_round_trip_time_once_and_keeps_the_order() -> None:
    script = Script("C: one\nS: 1\nC: two\nS: 2\ndump body", bodies={"body": BODY})
    with script as peer, DelayProxy(target(peer), rtt=40) as proxy, dial(proxy) as sock:
        begin = time.monotonic()
        sock.sendall(b"one\r\n")
        sock.sendall(b"two\r\n")
        assert sock.recv(1) == b"1"
        assert time.monotonic() - begin >= 40 * MS
        assert everything(sock) == b"\r\n2\r\n" + BODY


def test_a_delay_is_paid_by_each_exchange() -> None:
    with Script(*["C: *\nS: x\n" * 3]) as peer, DelayProxy(target(peer), rtt=10) as proxy, dial(proxy) as sock:
        begin = time.monotonic()
        for _ in range(3):
            sock.sendall(b"ask\r\n")
            assert sock.recv(10) == b"x\r\n"
        assert time.monotonic() - begin >= 30 * MS


def test_many_are_under_way_at_once() -> None:
    count = 200
    with Script("C: *\nS: x\n" * count) as peer, DelayProxy(target(peer), rtt=100) as proxy, dial(proxy) as sock:
        begin = time.monotonic()
        for _ in range(count):
            sock.sendall(b"ask\r\n")
        assert everything(sock) == b"x\r\n" * count
        assert time.monotonic() - begin < count * 100 * MS / 10


def test_leaving_does_not_wait_for_what_is_on_the_road() -> None:
    begin = time.monotonic()
    with Script("silence") as peer, DelayProxy(target(peer), rtt=60_000) as proxy, dial(proxy) as sock:
        sock.sendall(b"never arrives in time")
        peer.wait_until(1)
    assert time.monotonic() - begin < 5_000 * MS


def test_a_delay_in_a_process_of_its_own() -> None:
    with Script("C: one\nS: 1") as peer, DelayProcess(target(peer), rtt=20) as proxy, dial(proxy) as sock:
        begin = time.monotonic()
        sock.sendall(b"one\r\n")
        assert everything(sock) == b"1\r\n"
        assert time.monotonic() - begin >= 20 * MS


@pytest.mark.parametrize(
    ("length", "size", "at", "expected"),
    [
        (9, 4, [], [(0, 4), (4, 8), (8, 9)]),
        (9, 0, [], [(0, 9)]),
        (9, 0, [-3, 0, 2, 7, 9, 12], [(0, 2), (2, 7), (7, 9)]),
        (6, 4, [1], [(0, 1), (1, 4), (4, 6)]),
        (1, 1, [], [(0, 1)]),
    ],
)
def test_where_the_cuts_are(length: int, size: int, at: list[int], expected: list[tuple[int, int]]) -> None:
    assert list(pieces(length, size, at)) == expected


def test_there_is_a_rest_after_each_chunk() -> None:
    with Script("S: abcdefg") as peer, ChunkProxy(target(peer), size=4, rest=20) as proxy, dial(proxy) as sock:
        begin = time.monotonic()
        assert everything(sock) == b"abcdefg\r\n"
        assert time.monotonic() - begin >= 40 * MS


def test_offsets_count_over_the_whole_stream() -> None:
    begin = time.monotonic()
    script = Script("S: abc\nC: go\nS: def")
    with script as peer, ChunkProxy(target(peer), at=[2, 7], rest=20) as proxy, dial(proxy) as sock:
        sock.sendall(b"go\r\n")
        assert everything(sock) == b"abc\r\ndef\r\n"
    assert time.monotonic() - begin >= 40 * MS  # a rest for each of the two


def test_the_other_direction_can_be_cut_into_pieces() -> None:
    with Script("until ef") as peer, ChunkProxy(target(peer), size=1, directions=["to server"]) as proxy:
        with dial(proxy) as sock:
            sock.sendall(b"abcdef")
        peer.wait_until(b"abcdef")
    assert proxy.passed["to server"] == 6


@pytest.mark.parametrize(("after", "reset"), list(itertools.product([0, 1, 5, 70_000], [False, True])))
def test_exactly_so_many_bytes_arrive(after: int, reset: bool) -> None:
    script = Script("C: go\ndump body", bodies={"body": BODY})
    with script as peer, CutProxy(target(peer), after=after, reset=reset) as proxy, dial(proxy) as sock:
        sock.sendall(b"go\r\n")
        found, error = b"", None
        try:
            while piece := sock.recv(65536):
                found += piece
        except ConnectionResetError as caught:
            error = caught
    assert proxy.passed["to client"] == after
    assert BODY.startswith(found)
    assert (len(found) == after) if not reset else (error is not None)


def test_the_clients_bytes_can_be_cut_too() -> None:
    proxied: Direction = "to server"
    with Script("silence") as peer, CutProxy(target(peer), after=3, direction=proxied) as proxy, dial(proxy) as sock:
        sock.sendall(b"abcdef")
        assert everything(sock) == b""
    assert peer.received == b"abc"


def test_only_the_first_connections_are_cut() -> None:
    with Script("S: abcdef", repeat=True) as peer, CutProxy(target(peer), after=3, times=2) as proxy:
        found = []
        for _ in range(3):
            with dial(proxy) as sock:
                found.append(everything(sock))
    assert found == [b"abc", b"abc", b"abcdef\r\n"]
