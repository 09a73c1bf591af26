"""client_hello.py: the name that a client asks for, out of hellos that OpenSSL wrote and of hostile ones."""

import contextlib
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.client_hello import ServerSSLObject, client_hello, server_name_in
from asyncnet.tls import server_context
from tests.peers.certificates import Authority, shared_authority


def hello_of(name: str | None) -> bytes:
    """The first flight of a real client, record header included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = hello_of("www.example.org")


def name_in(data: bytes) -> str | None:
    body = client_hello(data)
    return None if body is None else server_name_in(body)


def in_records_of(size: int, data: bytes) -> bytes:
    """The same handshake message cut into smaller records (RFC 8446 §5.1 allows it)."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + struct.pack("!H", len(piece)) + piece for piece in pieces)


def test_the_name_is_found() -> None:
    assert name_in(HELLO) == "www.example.org"
    assert name_in(HELLO + b"what follows") == "www.example.org"


def test_no_name_is_none() -> None:
    body = client_hello(hello_of(None))
    assert body
    assert server_name_in(body) is None


def test_at_every_split_point_more_is_asked_for() -> None:
    for cut in range(len(HELLO)):
        assert client_hello(HELLO[:cut]) is None


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_a_hello_in_many_records_is_put_together(size: int) -> None:
    data = in_records_of(size, HELLO)
    assert name_in(data) == "www.example.org"
    assert client_hello(data[:-1]) is None


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\x17\x03\x03\x00\x05hello", b"\x16\x03\x01\x00\x04\x02\0\0\0"]
)
def test_what_is_no_hello_is_empty(data: bytes) -> None:
    assert client_hello(data) == b""


def test_a_name_that_is_not_printable_ascii_is_none() -> None:
    for bad in (b"\xff", b"\n", b" ", b"\x00"):
        assert name_in(HELLO.replace(b"www.example.org", b"www" + bad + b"example.org")) is None


@given(st.binary(max_size=200))
def test_garbage_never_raises(data: bytes) -> None:
    name_in(data)
    server_name_in(data)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_damaged_hello_never_raises(at: int, value: int) -> None:
    name = name_in(HELLO[:at] + bytes([value]) + HELLO[at + 1 :])
    assert name is None or name.isascii()


# Under the ssl module.


@pytest.fixture
def context(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return server_context(*authority.write_server_files(tmp_path))


def shaken(context: ssl.SSLContext, mangle: Callable[[bytes], bytes], pieces: int = 1) -> ServerSSLObject:
    """One handshake in memory; the client's first flight goes through `mangle` and comes in pieces."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    outgoing = ssl.MemoryBIO()
    client = shared_authority().client().wrap_bio(back, outgoing, server_hostname="localhost")
    server = context.wrap_bio(there, back, server_side=True)
    assert isinstance(server, ServerSSLObject)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    flight = mangle(outgoing.read())
    size = -(-len(flight) // pieces)
    for at in range(0, len(flight), size):
        there.write(flight[at : at + size])
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
    client.do_handshake()
    there.write(outgoing.read())
    server.do_handshake()
    assert server.version()
    return server


@pytest.mark.parametrize("pieces", [1, 2, 7, 600])
def test_the_handshake_goes_on_however_the_hello_comes(context: ssl.SSLContext, pieces: int) -> None:
    assert shaken(context, bytes, pieces).asked_name == "localhost"


def test_a_hostile_name_writes_nothing_on_standard_error(
    context: ssl.SSLContext, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(context, lambda flight: flight.replace(b"localhost", b"local\xffhos"))
    assert capfd.readouterr().err == ""


def test_a_client_made_of_it_asks_as_always(authority: Authority) -> None:
    context = authority.client()
    context.sslobject_class = ServerSSLObject
    client = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert client.server_hostname == "localhost"
