"""The PROXY protocol: haproxy's own examples, everything cut everywhere, and a server behind a proxy."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import ssl
import struct
import tempfile
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncnet
from asyncnet.errors import DisconnectedError, LimitError, ProtocolError
from asyncnet.streams import draining
from asyncnet.streams.address import Address
from asyncnet.streams.connection import Connection
from asyncnet.streams.proxy_header import MAX_BYTES, ProxyHeader, parse
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import PATIENCE, End, until

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
ANYWHERE = "tcp://127.0.0.1:0"

# A writer of version 2, as small as can be.

TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


def version_2(family: int, body: bytes, *, command: int = 0x21, extras: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) + len(extras)) + body + extras


def ip_body(source: str, destination: str, ports: tuple[int, int]) -> bytes:
    packed = [ipaddress.ip_address(one).packed for one in (source, destination)]
    return b"".join(packed) + struct.pack("!HH", *ports)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


V2_TCP4 = version_2(TCP4, ip_body("192.168.0.1", "192.168.0.11", (56324, 443)))
V2_TCP6 = version_2(TCP6, ip_body("2001:db8::1", "2001:db8::2", (56324, 443)))
V2_UNIX = version_2(UNIX, b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0"))
V2_LOCAL = version_2(0, b"", command=0x20)
EXTRAS = tlv(0x02, b"www.example.org") + tlv(0x01, b"h2") + tlv(0x03, b"\x00\x01\x02\x03") + tlv(0x04, b"\0" * 40)

GOOD: dict[str, tuple[bytes, Address | None, Address | None]] = {
    # proxy-protocol.txt §2.1, its examples and its worst cases
    "v1 TCP4": (
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        Address("192.168.0.1", 56324),
        Address("192.168.0.11", 443),
    ),
    "v1 TCP4, the longest": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Address("255.255.255.255", 65535),
        Address("255.255.255.255", 65535),
    ),
    "v1 TCP6, the longest": (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        Address(":".join(["ffff"] * 8), 65535),
        Address(":".join(["ffff"] * 8), 65535),
    ),
    "v1 TCP6, another spelling": (
        b"PROXY TCP6 2001:0DB8:0:0::1 ::1 0 1\r\n",
        Address("2001:db8::1", 0),
        Address("::1", 1),
    ),
    "v1 TCP6, IPv4 in its clothes": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:C000:202 1 2\r\n",
        Address("192.0.2.1", 1),
        Address("192.0.2.2", 2),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None),
    "v1 UNKNOWN, the longest": (
        b"PROXY UNKNOWN " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        None,
        None,
    ),
    "v1 UNKNOWN and noise": (b"PROXY UNKNOWN what \r ever \n\x00\xff\r\n", None, None),
    # §2.2
    "v2 TCP4": (V2_TCP4, Address("192.168.0.1", 56324), Address("192.168.0.11", 443)),
    "v2 TCP6": (V2_TCP6, Address("2001:db8::1", 56324), Address("2001:db8::2", 443)),
    "v2 TCP6, IPv4 in its clothes": (
        version_2(TCP6, ip_body("::ffff:192.0.2.1", "::1", (1, 2))),
        Address("192.0.2.1", 1),
        Address("::1", 2),
    ),
    "v2 TCP4 with extras": (
        version_2(TCP4, ip_body("192.0.2.1", "192.0.2.2", (1, 2)), extras=EXTRAS),
        Address("192.0.2.1", 1),
        Address("192.0.2.2", 2),
    ),
    "v2 extras that are none": (
        version_2(TCP4, ip_body("192.0.2.1", "192.0.2.2", (1, 2)), extras=b"\xff\xff\xff"),
        Address("192.0.2.1", 1),
        Address("192.0.2.2", 2),
    ),
    "v2 Unix": (V2_UNIX, Address("/run/client", 0), Address("/run/server", 0)),
    "v2 Unix, abstract and unnamed": (
        version_2(UNIX, b"\0name".ljust(108, b"\0") + bytes(108)),
        Address("\0name", 0),
        Address("", 0),
    ),
    "v2 Unix, as long as can be": (
        version_2(UNIX, b"/" + b"x" * 107 + b"/a\0junk".ljust(108, b"j")),
        Address("/" + "x" * 107, 0),
        Address("/a", 0),
    ),
    "v2 LOCAL": (V2_LOCAL, None, None),
    "v2 LOCAL, with addresses to ignore": (
        version_2(TCP4, ip_body("192.0.2.1", "192.0.2.2", (1, 2)), command=0x20),
        None,
        None,
    ),
    "v2 UNSPEC": (version_2(0, b""), None, None),
    "v2 UNSPEC with a body": (version_2(0, b"", extras=EXTRAS), None, None),
    "v2 UDP": (version_2(0x12, ip_body("192.0.2.1", "192.0.2.2", (1, 2))), None, None),
    "v2 Unix datagrams": (version_2(0x32, bytes(216)), None, None),
    "v2 as long as is taken": (version_2(0, bytes(MAX_BYTES - 16)), None, None),
}

BAD: dict[str, bytes] = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "a TLS hello": bytes.fromhex("1603010200010001fc0303"),
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "a space more": b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "a space at the end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "a tab": b"PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "no addresses": b"PROXY TCP4\r\n",
    "one port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "another protocol": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "UNKNOWN and more": b"PROXY UNKNOWNS\r\n",
    "IPv6 in TCP4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "IPv4 in TCP6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "an octet too large": b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "a short form": b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
    "an octet with a zero before it": b"PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
    "a hexadecimal address": b"PROXY TCP4 c0000201 192.0.2.2 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
    "a port with a zero before it": b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
    "digits of another script": "PROXY TCP4 192.0.2.1 192.0.2.2 \u0661 2\r\n".encode(),
    "a line feed alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n".ljust(107, b"x"),
    "NULs": b"PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n",
    "a line that does not end": b"PROXY UNKNOWN " + b"x" * 93,
    "a line one byte too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "version 1 in version 2's clothes": version_2(TCP4, bytes(12), command=0x11),
    "version 3": version_2(TCP4, bytes(12), command=0x31),
    "an unknown command": version_2(TCP4, bytes(12), command=0x22),
    "an unknown family": version_2(0x41, bytes(12)),
    "an unknown transport": version_2(0x13, bytes(12)),
    "too short for IPv4": version_2(TCP4, bytes(11)),
    "too short for IPv6": version_2(TCP6, bytes(35)),
    "too short for paths": version_2(UNIX, bytes(215)),
    "more than is taken": version_2(0, bytes(MAX_BYTES - 15))[:16],
    "all that could be": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_tells_who_is_there(name: str) -> None:
    data, source, destination = GOOD[name]
    assert parse(data) == ProxyHeader(source, destination, len(data))


@pytest.mark.parametrize("name", GOOD)
def test_what_follows_is_left_alone(name: str) -> None:
    data, source, destination = GOOD[name]
    for after in (b"x", b"\r\n", data):
        assert parse(data + after) == ProxyHeader(source, destination, len(data))


@pytest.mark.parametrize("name", GOOD)
def test_at_every_split_point_more_is_asked_for(name: str) -> None:
    data = GOOD[name][0]
    for cut in range(0, len(data), 1 if len(data) < 1000 else 97):
        assert parse(data[:cut]) is None


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(BAD[name])
    assert isinstance(caught.value, LimitError) == (name in ("more than is taken", "all that could be"))


def test_what_cannot_become_a_header_is_refused_at_its_first_byte() -> None:
    for byte in range(256):
        data = bytes([byte])
        if data in (b"P", b"\r"):
            assert parse(data) is None
        else:
            with pytest.raises(ProtocolError):
                parse(data)


ips = st.one_of(
    st.tuples(*[st.ip_addresses(v=4)] * 2),
    st.tuples(*[st.ip_addresses(v=6)] * 2),
)
ports = st.integers(0, 65535)


def spelled(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or socket.inet_ntop(socket.AF_INET if ip.version == 4 else socket.AF_INET6, ip.packed))


@given(ips, ports, ports, st.binary(max_size=30), st.booleans())
def test_what_is_written_is_read(both: Any, source_port: int, port: int, extras: bytes, old: bool) -> None:
    source, destination = both
    if old:
        family = f"TCP{source.version}"
        data = f"PROXY {family} {source} {destination} {source_port} {port}\r\n".encode()
    else:
        family = TCP4 if source.version == 4 else TCP6
        data = version_2(family, ip_body(str(source), str(destination), (source_port, port)), extras=extras)
    assert parse(data + b"payload") == ProxyHeader(
        Address(spelled(source), source_port), Address(spelled(destination), port), len(data)
    )


@given(st.one_of(st.binary(max_size=300), st.builds(lambda tail: b"PROXY " + tail, st.binary(max_size=120))))
def test_garbage_raises_protocol_errors_alone(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse(data)


@given(st.binary(max_size=300))
def test_garbage_behind_the_signature_raises_protocol_errors_alone(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse(SIGNATURE + data)


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_damaged_header_raises_protocol_errors_alone(name: str, draw: st.DataObject) -> None:
    data = bytearray(GOOD[name][0])
    data[draw.draw(st.integers(0, min(len(data), 232) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        parse(bytes(data))


# Over a real server.


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "asyncnet.server")
    return caplog


async def dialled(server: asyncnet.Server) -> End:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.endpoint.port))
    except BaseException:
        sock.close()
        raise
    return End(sock)


def header(host: str, port: int = 1000) -> bytes:
    return f"PROXY TCP4 {host} 127.0.0.1 {port} 80\r\n".encode()


async def told(connection: Connection) -> None:
    """Say who the client is, then echo."""
    await connection.write(f"{connection.peer}\n".encode())
    await asyncnet.echo(connection)


async def line(end: End) -> bytes:
    got = b""
    while not got.endswith(b"\n") and (byte := await end.receive(1)):
        got += byte
    return got


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header("192.0.2.7", 4711), b"192.0.2.7:4711\n"),
        (V2_TCP4, b"192.168.0.1:56324\n"),
        (V2_TCP6, b"[2001:db8::1]:56324\n"),
        (V2_UNIX, b"unix:/run/client\n"),
    ],
    ids=["v1", "v2 TCP4", "v2 TCP6", "v2 Unix"],
)
@on_both_loops
async def test_the_peer_is_the_one_that_is_told(data: bytes, expected: bytes) -> None:
    async with asyncnet.serve(told, ANYWHERE, proxy_protocol=True) as server:
        end = await dialled(server)
        payload = os.urandom(100_000)
        sending = asyncio.create_task(end.send(data + payload))
        assert await line(end) == expected
        assert await end.receive(len(payload)) == payload
        await sending
        end.sock.close()


@pytest.mark.parametrize(
    "data", [V2_LOCAL, b"PROXY UNKNOWN\r\n", version_2(0, b"")], ids=["LOCAL", "UNKNOWN", "UNSPEC"]
)
@on_both_loops
async def test_a_proxy_that_speaks_for_itself_is_the_peer(data: bytes) -> None:
    async with asyncnet.serve(told, ANYWHERE, proxy_protocol=True) as server:
        end = await dialled(server)
        await end.send(data)
        assert await line(end) == b"127.0.0.1:%d\n" % end.sock.getsockname()[1]
        end.sock.close()


@pytest.mark.parametrize("data", [header("192.0.2.7", 9), V2_TCP6], ids=["v1", "v2"])
@on_both_loops
async def test_cut_anywhere_not_a_byte_of_the_payload_is_lost_or_added(data: bytes) -> None:
    whole = data + b"payload"
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, proxy_protocol=True) as server:
        for cut in range(1, len(whole)):
            end = await dialled(server)
            await end.send(whole[:cut])
            for _ in range(3):
                await asyncio.sleep(0)
            await end.send(whole[cut:])
            end.finish()
            assert await end.rest() == b"payload"
            end.sock.close()


@pytest.mark.parametrize("data", [header("192.0.2.7", 9), V2_TCP4], ids=["v1", "v2"])
@on_both_loops
async def test_byte_by_byte_it_arrives_too(data: bytes) -> None:
    async with asyncnet.serve(told, ANYWHERE, proxy_protocol=True) as server:
        end = await dialled(server)
        for byte in data + b"payload":
            await end.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await line(end)).startswith(b"192.")
        assert await end.receive(7) == b"payload"
        end.sock.close()


@on_both_loops
async def test_under_tls_the_header_stands_before_the_hello_and_may_share_a_segment(authority: Authority) -> None:
    async with asyncnet.serve(told, "tls://127.0.0.1:0", tls=authority.server, proxy_protocol=True) as server:
        for data in (header("192.0.2.7", 4711), version_2(TCP4, ip_body("192.0.2.7", "192.0.2.8", (4711, 1)))):
            end = await dialled(server)
            assert await _over_tls(end, authority.client(), data) == b"192.0.2.7:4711\n"
            end.sock.close()


async def _over_tls(end: End, context: ssl.SSLContext, first: bytes) -> bytes:
    """Shake hands by hand, with `first` in one segment with the hello, and give the first line."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    got = b""
    while not got.endswith(b"\n"):
        try:
            if tls.version() is None or not got:
                tls.do_handshake()
            got += tls.read(100)
        except ssl.SSLWantReadError:
            if data := first + outgoing.read():
                await end.send(data)
                first = b""
            news = await end._chunk(65_536)
            assert news, "the server left"
            incoming.write(news)
    return got


@on_both_loops
async def test_the_limit_for_each_address_counts_those_that_are_told(log: pytest.LogCaptureFixture) -> None:
    records: list[asyncnet.ClientRecord] = []
    serving = asyncnet.serve(told, ANYWHERE, proxy_protocol=True, max_per_address=2, on_end=records.append)
    async with serving as server:
        ends = [await dialled(server) for _ in range(8)]
        hosts = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.3", "192.0.2.2"]
        expected = [True, True, False, True, True, False, True, False]
        for end, host, served in zip(ends, hosts, expected, strict=True):
            await end.send(header(host))
            assert await line(end) == (f"{host}:1000\n".encode() if served else b"")
        await until(lambda: server.clients == 5)
        stats = server.stats
        assert (stats.accepted, stats.refused, stats.active, stats.failed) == (8, 3, 5, 0)
        assert records == []
        ends[0].sock.close()
        await until(lambda: server.clients == 4)
        again = await dialled(server)
        await again.send(header("192.0.2.1"))
        assert await line(again) == b"192.0.2.1:1000\n"
        for end in (*ends, again):
            end.sock.close()
        await until(lambda: server.clients == 0)
        assert server._per_address == {}
        assert len(records) == 6
    assert log.records[0].getMessage() == "refused 192.0.2.1: it has 2 connections already"


@pytest.mark.parametrize(
    "data", [b"PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0\r\n"]
)
@on_both_loops
async def test_a_told_port_of_0_escapes_no_limit(data: bytes) -> None:
    async with asyncnet.serve(told, ANYWHERE, proxy_protocol=True, max_per_address=1) as server:
        ends = [await dialled(server) for _ in range(2)]
        await ends[0].send(data)
        assert await line(ends[0]) == b"192.0.2.1:0\n"
        await ends[1].send(header("192.0.2.1"))
        assert await ends[1].rest() == b""
        for end in ends:
            end.sock.close()


@on_both_loops
async def test_a_slow_header_ends_at_the_handshakes_timeout(log: pytest.LogCaptureFixture) -> None:
    records: list[asyncnet.ClientRecord] = []
    options: dict[str, Any] = {"proxy_protocol": True, "handshake_timeout": 40 * MS, "on_end": records.append}
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, **options) as server:
        silent, dripping = await dialled(server), await dialled(server)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in header("192.0.2.1"):  # each byte in time, the whole never
                await dripping.send(bytes([byte]))
                await asyncio.sleep(4 * MS)
        assert await silent.rest() == await dripping.rest() == b""
        assert time.monotonic() - began < 1000 * MS
        await until(lambda: server.clients == 0)
        assert server.stats.errors == {"DeadlineError": 2}
        assert [type(record.error) for record in records] == [asyncnet.DeadlineError] * 2
        assert {record.peer.host for record in records} == {"127.0.0.1"}
        silent.sock.close()
        dripping.sock.close()
    [first] = [record.getMessage() for record in log.records]
    assert "PROXY header" in first


@on_both_loops
async def test_without_a_header_a_client_is_turned_away(log: pytest.LogCaptureFixture) -> None:
    served: list[Connection] = []

    async def handler(connection: Connection) -> None:
        served.append(connection)

    async with asyncnet.serve(handler, ANYWHERE, proxy_protocol=True) as server:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n", SIGNATURE + b"\xff" * 4, b"\0"):
            end = await dialled(server)
            await end.send(data)
            assert await end.rest() == b""
            end.sock.close()
        await until(lambda: server.clients == 0)
        assert server.stats.errors == {"ProtocolError": 4}
    assert served == []
    assert len(log.records) == 1
    assert "no PROXY header" in log.records[0].getMessage()


@on_both_loops
async def test_who_leaves_before_the_end_of_the_header_leaves_nothing() -> None:
    records: list[asyncnet.ClientRecord] = []
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, proxy_protocol=True, on_end=records.append) as server:
        for leave in (End.reset, End.finish, lambda end: end.sock.close()):
            for start in (b"", b"PROXY TCP"):
                end = await dialled(server)
                if start:
                    await end.send(start)
                await until(lambda: server.clients == 1)
                leave(end)
                await until(lambda: server.clients == 0)
                end.sock.close()
    assert [type(record.error) for record in records] == [DisconnectedError] * 6


@on_both_loops
async def test_waiting_for_a_header_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_SILENT_SECONDS", 20 * MS)
    async with asyncnet.serve(asyncnet.echo, ANYWHERE, proxy_protocol=True, grace=1000) as server:
        ends = [await dialled(server) for _ in range(3)]
        await ends[0].send(b"PROXY ")
        await until(lambda: server.clients == 3)
        async with asyncio.timeout(PATIENCE):
            await server.aclose()
        for end in ends:
            assert await end.rest() == b""
            end.sock.close()


@on_both_loops
async def test_behind_a_unix_socket_clients_are_counted_as_told() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"unix://{folder}/socket"
        async with asyncnet.serve(told, url, proxy_protocol=True, max_per_address=1):
            async with asyncnet.connect(url) as first, asyncnet.connect(url) as second, asyncnet.connect(url) as third:
                await first.write(header("192.0.2.1"))
                assert await first.read_until(b"\n") == b"192.0.2.1:1000\n"
                await second.write(header("192.0.2.2"))
                assert await second.read_until(b"\n") == b"192.0.2.2:1000\n"
                await third.write(header("192.0.2.1"))
                assert await third.read() == b""


async def test_without_being_asked_for_a_header_is_but_bytes() -> None:
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        end = await dialled(server)
        await end.send(header("192.0.2.1"))
        assert await line(end) == header("192.0.2.1")
        end.sock.close()
