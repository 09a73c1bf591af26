"""A Channel reads lines and texts within their limits, and finds out what came without being asked for."""

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from asyncnet import DisconnectedError, IncompleteRead, LimitError, ProtocolError
from asyncnet.pop3.channel import Channel
from tests.peers import Authority

LINE = 64


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(None)
    with ours, theirs:
        yield Channel(ours, max_line_bytes=LINE), theirs


def test_lines_are_read_one_by_one(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b"+OK one\r\n\r\n+OK \rthree\r\n")
    assert [channel.line() for _ in range(3)] == [b"+OK one", b"", b"+OK \rthree"]
    assert channel.is_empty


def test_a_line_of_just_the_limit_is_taken(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b"x" * (LINE - 2) + b"\r\n" + b"y" * (LINE - 2) + b"\r\n")
    assert channel.line() == b"x" * (LINE - 2)
    assert channel.line() == b"y" * (LINE - 2)


@pytest.mark.parametrize("sent", [b"x" * (LINE - 1) + b"\r\n", b"x" * LINE, b"x" * 100_000])
def test_a_line_beyond_the_limit_is_an_error_before_its_end_comes(
    pair: tuple[Channel, socket.socket], sent: bytes
) -> None:
    channel, peer = pair
    peer.sendall(sent)
    with pytest.raises(LimitError) as caught:
        channel.line()
    assert caught.value.limit == LINE


def test_a_line_that_ends_with_lf_alone_is_ambiguous(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b"+OK fine\n")
    with pytest.raises(ProtocolError, match="CRLF"):
        channel.line()


@pytest.mark.parametrize("sent", [b"", b"+OK no e", b"+OK\r"])
def test_an_end_instead_of_a_line_is_a_lost_connection(pair: tuple[Channel, socket.socket], sent: bytes) -> None:
    channel, peer = pair
    peer.sendall(sent)
    peer.close()
    with pytest.raises(DisconnectedError, match="the server closed the connection"):
        channel.line()


def test_a_text_is_read_behind_its_status_line(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b"+OK\r\n..a\r\n\0\xff\r\n.\r\n+OK next\r\n")
    assert channel.line() == b"+OK"
    assert channel.text(100) == b".a\r\n\0\xff\r\n"
    assert channel.line() == b"+OK next"


def test_a_text_of_just_the_limit_is_taken_and_its_dots_are_counted_once(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    text = b".\r\n" * 1000
    for limit in (len(text), len(text) - 1):
        peer.sendall(text.replace(b".", b"..") + b".\r\n")
        if limit == len(text):
            assert channel.text(limit) == text
        else:
            with pytest.raises(LimitError):
                channel.text(limit)


def test_a_text_beyond_the_limit_ends_the_reading(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    sent = 0

    def flood() -> None:
        nonlocal sent
        try:
            while True:
                sent += peer.send(b"x" * 65536)
        except OSError:
            pass

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        with pytest.raises(LimitError) as caught:
            channel.text(1_000_000)
        assert caught.value.limit == 1_000_000
    finally:
        channel._sock.shutdown(socket.SHUT_RDWR)
        flooding.join()
    assert sent < 3_000_000  # the limit, and what the sockets hold


@pytest.mark.parametrize("sent", [b"", b"half", b"whole\r\n", b"whole\r\n.", b"whole\r\n.\r"])
def test_an_end_in_the_middle_of_a_text_gives_what_came(pair: tuple[Channel, socket.socket], sent: bytes) -> None:
    channel, peer = pair
    peer.sendall(sent)
    peer.close()
    with pytest.raises(IncompleteRead) as caught:
        channel.text(100)
    assert sent.startswith(caught.value.partial)
    assert len(sent) - len(caught.value.partial) <= 4


def test_a_command_is_sent_when_nothing_has_come(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    channel.sendall(b"NOOP\r\n")
    assert peer.recv(100) == b"NOOP\r\n"


@pytest.mark.parametrize("early", [b"+", b"+OK\r\n", b"-ERR no\r\n", b"\0" * 100_000])
def test_a_reply_before_its_command_is_found_and_nothing_is_sent(
    pair: tuple[Channel, socket.socket], early: bytes
) -> None:
    channel, peer = pair
    peer.sendall(early)
    with pytest.raises(ProtocolError, match="a reply before its command") as caught:
        channel.sendall(b"NOOP\r\n")
    assert len(str(caught.value)) < 700
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)


def test_a_reply_too_many_in_one_piece_is_found_as_well(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b"+OK\r\n+OK\r\n")
    channel.line()
    with pytest.raises(ProtocolError, match="a reply before its command"):
        channel.sendall(b"NOOP\r\n")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (b"", "the server closed the connection$"),
        (b"-ERR Disconnected for inactivity.\r\n", "Disconnected for inactivity"),
        (b"garbage", "the server closed the connection$"),
    ],
)
def test_a_server_that_left_is_noticed_before_the_command(
    pair: tuple[Channel, socket.socket], last: bytes, words: str
) -> None:
    channel, peer = pair
    peer.sendall(last)
    peer.close()
    with pytest.raises(DisconnectedError, match=words):
        channel.sendall(b"NOOP\r\n")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_under_tls_session_tickets_are_no_reply_and_replies_are(authority: Authority, version: ssl.TLSVersion) -> None:
    ours, theirs = socket.socketpair()
    context = authority.client()
    context.maximum_version = version
    server = []
    accepting = threading.Thread(target=lambda: server.append(authority.server.wrap_socket(theirs, server_side=True)))
    accepting.start()
    with context.wrap_socket(ours, server_hostname="localhost") as client:
        accepting.join()
        with server[0] as peer:
            channel = Channel(client, max_line_bytes=LINE)
            for _ in range(2):
                channel.sendall(b"NOOP\r\n")
                assert peer.recv(100) == b"NOOP\r\n"
                peer.sendall(b"+OK\r\n")
                assert channel.line() == b"+OK"
            peer.sendall(b"+OK\r\n")
            with pytest.raises(ProtocolError, match="a reply before its command"):
                channel.sendall(b"NOOP\r\n")
            channel.farewell()
            assert peer.recv(1) == b""  # close_notify, or this would be an SSLEOFError
