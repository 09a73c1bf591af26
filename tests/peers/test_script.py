"""Script, judged by plain sockets: what it plays, what it records, what it complains of, and that it ends."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable

import pytest

from tests.peers import MS, Authority, Script, Talk


def dial(peer: Script) -> socket.socket:
    return socket.create_connection((peer.host, peer.port), timeout=10)


def peer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("Script-")]


def everything(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_a_conversation_is_played_and_recorded() -> None:
    text = "S: +OK ready\nC: USER {name}\nS: +OK {name}, a\\x00b\nC: QUIT\nS: +OK bye"
    with Script(text) as peer, dial(peer) as sock:
        sock.sendall(b"USER alice\r\nQUIT\r\n")
        assert everything(sock) == b"+OK ready\r\n+OK alice, a\0b\r\n+OK bye\r\n"
    assert (peer.received, peer.lines) == (b"USER alice\r\nQUIT\r\n", [b"USER alice", b"QUIT"])
    assert (peer.connections, peer.mismatches) == (1, [])


def test_it_listens_on_ipv6_too() -> None:
    with Script("S: http://{address}/", host="::1") as peer, dial(peer) as sock:
        assert everything(sock) == f"http://[::1]:{peer.port}/\r\n".encode()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"USER bob\r\n", "line 2: expected C: 'USER alice', got b'USER bob"),
        (b"USER alice\n", "expected C: 'USER alice'"),
        (b"USER ali", "expected C: USER alice, but the client left after b'USER ali'"),
        (b"", "but the client left"),
        (b"USER alice\r\nQUIT\r\nNOOP\r\n", "the conversation was over, and the client said b'NOOP"),
        (b"USER alice\r\n", "line 3: expected C: QUIT"),
    ],
)
def test_a_departure_is_an_assertion_error(said: bytes, complaint: str) -> None:
    peer = Script("S: +OK\nC: USER alice\nC: QUIT")
    with pytest.raises(AssertionError) as caught, peer, dial(peer) as sock:
        sock.sendall(said)
    assert complaint in str(caught.value)


def test_a_client_that_leaves_while_spoken_to_is_missed_where_it_had_more_to_say() -> None:
    text = "S: +OK\npause 1\nsend {}\nC: QUIT"
    with pytest.raises(AssertionError, match="line 4"), Script(text.format("x" * 9), "silence") as peer:
        dial(peer).close()
        peer.wait_until(1)
        dial(peer).close()


def test_check_false_only_takes_note() -> None:
    with Script("C: USER alice", check=False) as peer, dial(peer) as sock:
        sock.sendall(b"USER bob\r\n")
        assert everything(sock) == b""
    assert len(peer.mismatches) == 1


def test_a_mismatch_explains_the_error_of_the_client() -> None:
    with pytest.raises(AssertionError, match="expected C: 'A'") as caught, Script("C: A") as peer, dial(peer) as sock:
        sock.sendall(b"B\r\n")
        everything(sock)
        raise ConnectionError("of the client")
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_successive_connections_have_successive_conversations() -> None:
    with Script("S: one", "S: two") as peer:
        for line in (b"one\r\n", b"two\r\n"):
            with dial(peer) as sock:
                assert everything(sock) == line


def test_repeat_plays_the_last_conversation_again() -> None:
    with Script("S: one", "S: more", repeat=True) as peer:
        found = []
        for _ in range(4):
            with dial(peer) as sock:
                found.append(everything(sock))
    assert found == [b"one\r\n", b"more\r\n", b"more\r\n", b"more\r\n"]


def test_one_connection_too_many_is_a_mismatch() -> None:
    with pytest.raises(AssertionError, match="connection 1, one connection too"), Script() as peer, dial(peer) as sock:
        assert everything(sock) == b""


def test_a_conversation_nobody_came_for_is_a_mismatch() -> None:
    with pytest.raises(AssertionError, match="1 of 2 conversations"), Script("S: a", "S: b") as peer, dial(peer) as s:
        assert everything(s) == b"a\r\n"


def test_what_a_client_said_last_is_heard_even_if_it_is_still_there() -> None:
    with Script("C: QUIT\nsilence") as peer:
        sock = dial(peer)
        sock.sendall(b"QUIT\r\n")
    sock.close()
    assert peer.received == b"QUIT\r\n"


def test_read_until_expect_and_eof() -> None:
    with (
        Script(
            r"C: /APPEND \{(?P<size>\d+)\}/" + "\nread {size}\nuntil \\r\\n.\\r\\n\nexpect \\x00\\xff\neof\nS: ok"
        ) as peer,
        dial(peer) as sock,
    ):
        sock.sendall(b"APPEND {5}\r\nab\r\ncmessage\r\n.\r\n\0\xff")
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == b"ok\r\n"


@pytest.mark.parametrize(
    ("step", "said"), [("read 5", b"abcd"), ("expect ab", b"ax"), ("eof", b"x"), ("until .", b"x")]
)
def test_the_other_demands_are_demands_too(step: str, said: bytes) -> None:
    with pytest.raises(AssertionError, match="connection 1, line 1"), Script(step) as peer, dial(peer) as sock:
        sock.sendall(said)


def test_bodies_go_out_whole_in_one_piece_with_their_announcement() -> None:
    body = bytes(range(256)) * 4096
    with Script("S: FETCH {{#mail}}\ndump mail\nS: )", bodies={"mail": body}) as peer, dial(peer) as sock:
        assert everything(sock) == b"FETCH {1048576}\r\n" + body + b")\r\n"
    assert peer.sent == len(body) + 20


def test_consecutive_lines_go_out_in_one_piece() -> None:
    with Script("S: 220 go\nS: 250 injected\nsilence") as peer, dial(peer) as sock:
        peer.wait_until(1)
        assert sock.recv(100) == b"220 go\r\n250 injected\r\n"


def test_drip_speaks_slowly_in_pieces() -> None:
    with Script("drip 2 20\nS: abc\ndrip off\nS: def") as peer, dial(peer) as sock:
        begin = time.monotonic()
        assert everything(sock) == b"abc\r\ndef\r\n"
        assert time.monotonic() - begin >= 40 * MS  # three pieces, two rests


def test_silence_listens_until_the_client_leaves() -> None:
    with Script("S: hi\nsilence") as peer, dial(peer) as sock:
        sock.sendall(b"anything\r\nat all")
        assert sock.recv(100) == b"hi\r\n"
        sock.settimeout(20 * MS)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert peer.received == b"anything\r\nat all"


@pytest.mark.parametrize("verb", ["cut", "close", "shut\nsilence"])
def test_an_end_is_an_end_and_no_reset(verb: str) -> None:
    with Script(f"S: begin\nC: go\nsend half\n{verb}") as peer, dial(peer) as sock:
        sock.sendall(b"go\r\n")
        assert everything(sock) == b"begin\r\nhalf"


def test_reset_is_a_reset() -> None:
    with Script("C: go\nreset") as peer, dial(peer) as sock:
        sock.sendall(b"go\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_garbage_is_the_same_each_time() -> None:
    with Script("garbage 1000", repeat=True) as peer, dial(peer) as one, dial(peer) as other:
        found = everything(one)
        assert found == everything(other)
    assert len(found) == 1000
    assert len(set(found)) > 200


@pytest.mark.parametrize(("verb", "unit"), [("line", b"x"), ("line ab", b"ab"), ("reply 250-m", b"250-m\r\n")])
def test_endless_goes_on_until_the_client_leaves(verb: str, unit: bytes) -> None:
    with Script(f"endless {verb}") as peer, dial(peer) as sock:
        data = b""
        while len(data) < 1_000_000:
            data += sock.recv(65536)
    assert data[: len(unit) * 5] == unit * 5
    assert peer.sent >= 1_000_000


def test_a_flood_that_nobody_reads_ends_with_the_test() -> None:
    with Script("endless line") as peer:
        sock = dial(peer)
        peer.wait_until(1)
    sock.close()
    assert not peer_threads()


def test_wait_holds_the_conversation_until_released() -> None:
    with Script("S: a\nwait door\nS: b") as peer, dial(peer) as sock:
        peer.wait_until("door")
        assert sock.recv(100) == b"a\r\n"
        peer.release("door")
        assert everything(sock) == b"b\r\n"


def test_waiting_in_vain_is_a_message() -> None:
    with Script(repeat=True, patience=20 * MS) as peer, pytest.raises(AssertionError, match="in vain for b'QUIT'"):
        peer.wait_until(b"QUIT")


def test_a_client_that_does_nothing_is_a_message() -> None:
    peer = Script("C: QUIT", patience=20 * MS)
    with pytest.raises(AssertionError, match=r"the client did nothing for 0\.02 s"), peer, dial(peer) as sock:
        assert sock.recv(1) == b""


def test_a_function_can_hold_the_conversation() -> None:
    def converse(talk: Talk) -> None:
        talk.say("+OK")
        for number in range(3):
            talk.expect(f"RETR {number}")
            talk.send_bytes(b"." * number)
        talk.cut()

    with Script(converse) as peer, dial(peer) as sock:
        sock.sendall(b"RETR 0\r\nRETR 1\r\nRETR 2\r\n")
        assert everything(sock) == b"+OK\r\n..."


def test_a_bug_in_a_conversation_is_told() -> None:
    def broken(talk: Talk) -> None:
        raise KeyError("bug")

    with pytest.raises(AssertionError, match="KeyError in a thread of the peer: 'bug'"), Script(broken) as peer:
        dial(peer).close()
        peer.wait_until(1)


def under_tls(authority: Authority, peer: Script) -> ssl.SSLSocket:
    return authority.client().wrap_socket(dial(peer), server_hostname="localhost", suppress_ragged_eofs=False)


def test_tls_from_the_first_byte(authority: Authority) -> None:
    body = bytes(range(256)) * 4096
    script = Script("S: hello\nC: QUIT\ndump big", tls=authority.server, bodies={"big": body})
    with script as peer, under_tls(authority, peer) as sock:
        sock.sendall(b"QUIT\r\n")
        assert everything(sock) == b"hello\r\n" + body
    assert (peer.received, peer.cleartext) == (b"QUIT\r\n", b"")


def test_a_cut_under_tls_has_no_close_notify(authority: Authority) -> None:
    with Script("S: hello\nC: go\ncut", tls=authority.server) as peer, under_tls(authority, peer) as sock:
        sock.sendall(b"go\r\n")
        with pytest.raises(ssl.SSLEOFError):
            everything(sock)


def test_raw_goes_under_tls(authority: Authority) -> None:
    script = Script("S: hello\nraw 250 plain\\r\\n\nsilence", tls=authority.server)
    with script as peer, under_tls(authority, peer) as sock, pytest.raises(ssl.SSLError):
        everything(sock)


def test_starttls_in_the_middle(authority: Authority) -> None:
    script = Script("C: STLS\nS: +OK\nstarttls\nC: PASS secret\nS: +OK safe", starttls=authority.server)
    with script as peer, dial(peer) as plain:
        plain.sendall(b"STLS\r\n")
        assert plain.recv(100) == b"+OK\r\n"
        with authority.client().wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            sock.sendall(b"PASS secret\r\n")
            assert everything(sock) == b"+OK safe\r\n"
    assert (peer.received, peer.cleartext) == (b"STLS\r\nPASS secret\r\n", b"STLS\r\n")


def test_a_hello_that_came_with_the_command_belongs_to_the_handshake(authority: Authority) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with Script("C: STLS\nwait hello\nstarttls\nsilence", starttls=authority.server) as peer, dial(peer) as sock:
        sock.sendall(b"STLS\r\n" + outgoing.read())
        peer.wait_until("hello")
        peer.release("hello")
        while not (version := tls.version()):
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
        sock.sendall(outgoing.read())
    assert version == "TLSv1.3"
    assert (peer.received, peer.tls_failures) == (b"STLS\r\n", [])


@pytest.mark.parametrize("kind", ["expired", "wrong host", "untrusted"])
def test_a_refused_certificate_is_noted_and_no_mismatch(authority: Authority, kind: str) -> None:
    with Script("C: PASS secret", tls=authority.bad_servers[kind]) as peer:
        refused = pytest.raises(ssl.SSLCertVerificationError)
        with dial(peer) as plain, refused:
            authority.client().wrap_socket(plain, server_hostname="localhost")
    assert len(peer.tls_failures) == 1
    assert peer.received == b""


async def test_it_serves_a_loop_and_ends_while_the_loop_goes_on() -> None:
    async with Script("S: hi\nC: *\nwait door\nS: bye", "silence") as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        writer.write(b"anything\r\n")
        await peer.until(b"anything")
        await peer.until("door")
        peer.release("door")
        assert await reader.read() == b"hi\r\nbye\r\n"
        writer.close()
        await writer.wait_closed()
        _, writer = await asyncio.open_connection(peer.host, peer.port)
        await peer.until(2)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        before = ticks
    ticking.cancel()
    writer.close()
    await writer.wait_closed()
    assert ticks > before


def test_many_clients_at_once_are_all_counted() -> None:
    count = 100
    with Script("C: {word}\nS: {word}", repeat=True) as peer:
        socks = [dial(peer) for _ in range(count)]
        for number, sock in enumerate(socks):
            sock.sendall(b"%d\r\n" % number)
        for number, sock in enumerate(socks):
            assert everything(sock) == b"%d\r\n" % number
            sock.close()
    assert peer.connections == count
    assert not peer_threads()


def test_leaving_takes_no_time(recwarn: pytest.WarningsRecorder) -> None:
    def idle(sock: socket.socket) -> Callable[[], None]:
        return sock.close

    with Script("silence", repeat=True) as peer:
        closers = [idle(dial(peer)) for _ in range(10)]
        peer.wait_until(10)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5000 * MS
    for close in closers:
        close()
    assert not recwarn.list
