"""Connection.tls: what TLS agreed on, told on both sides; and who is at the other end of a Unix socket."""

import asyncio
import contextlib
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import asyncnet
from asyncnet.streams.address import Address, UnixCredentials, address
from asyncnet.streams.connection import Connection
from asyncnet.streams.tls_info import TLSInfo
from tests.loops import on_both_loops
from tests.peers import Authority
from tests.streams.ends import PATIENCE, joined, until

ANYWHERE = "tls://127.0.0.1:0"


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.write_server_files(tmp_path)


@contextlib.asynccontextmanager
async def both_ends(
    server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost"
) -> AsyncIterator[tuple[Connection, Connection]]:
    """A client's connection and the server's, after a byte in each direction."""
    accepted: asyncio.Queue[Connection] = asyncio.Queue()
    done = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.write(await connection.read())
        await accepted.put(connection)
        await done.wait()

    async with asyncnet.serve(handler, ANYWHERE, tls=server) as serving:
        url = f"tls://{host}:{serving.endpoint.port}"
        async with asyncnet.connect(url, tls=client) as connection:
            await connection.write(b"x")
            assert await connection.read() == b"x"
            async with asyncio.timeout(PATIENCE):
                theirs = await accepted.get()
            try:
                yield connection, theirs
            finally:
                done.set()


def told(connection: Connection) -> TLSInfo:
    found = connection.tls
    assert found is not None
    return found


@on_both_loops
async def test_both_sides_tell_what_they_agreed_on(authority: Authority, files: tuple[Path, Path]) -> None:
    server = asyncnet.server_context(*files, alpn=["b", "a"])
    client = authority.client()
    client.set_alpn_protocols(["a", "b"])
    async with both_ends(server, client) as (ours, theirs):
        for info in (told(ours), told(theirs)):
            assert info.version == "TLSv1.3"
            assert info.cipher.startswith("TLS_")
            assert info.alpn == "b"
            assert info.server_name == "localhost"
        certificate = told(ours).certificate
        assert certificate
        assert ("DNS", "localhost") in certificate["subjectAltName"]
        der = told(ours).certificate_der
        assert der
        assert ssl.DER_cert_to_PEM_cert(der).strip() in files[0].read_text()
        assert told(theirs).certificate is None
        assert told(theirs).certificate_der is None


@on_both_loops
async def test_an_older_version_is_told_and_so_is_no_alpn(authority: Authority, files: tuple[Path, Path]) -> None:
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with both_ends(asyncnet.server_context(*files), client) as (ours, theirs):
        for info in (told(ours), told(theirs)):
            assert (info.version, info.alpn, info.server_name) == ("TLSv1.2", None, "localhost")


@on_both_loops
async def test_a_clients_certificate_is_told(authority: Authority, files: tuple[Path, Path]) -> None:
    server = asyncnet.server_context(*files, client_ca=authority.pem)
    async with both_ends(server, authority.client_with_certificate("alice@example.org")) as (_, theirs):
        certificate = told(theirs).certificate
        assert certificate
        assert certificate["subjectAltName"] == (("email", "alice@example.org"),)
        assert told(theirs).certificate_der


@on_both_loops
async def test_who_verifies_nobody_has_no_fields_of_the_certificate_but_its_bytes(files: tuple[Path, Path]) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    async with both_ends(asyncnet.server_context(*files), client) as (ours, _):
        assert told(ours).certificate == {}
        assert told(ours).certificate_der


@on_both_loops
async def test_a_client_that_names_an_address_asks_for_no_name(authority: Authority, files: tuple[Path, Path]) -> None:
    async with both_ends(asyncnet.server_context(*files), authority.client(), "127.0.0.1") as (_, theirs):
        assert told(theirs).server_name is None


@on_both_loops
async def test_a_context_of_the_callers_own_knows_no_name_on_the_server(authority: Authority) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority._good.configure_cert(server)
    async with both_ends(server, authority.client()) as (ours, theirs):
        assert told(ours).server_name == "localhost"
        assert told(theirs).server_name is None


@on_both_loops
async def test_after_an_upgrade_too(authority: Authority, files: tuple[Path, Path]) -> None:
    names: list[str | None] = []

    async def handler(connection: Connection) -> None:
        assert connection.tls is None
        await connection.read_until(b"\n")
        await connection.start_tls(asyncnet.server_context(*files), after=b"go\n")
        names.append(told(connection).server_name)

    async with asyncnet.serve(handler, "tcp://127.0.0.1:0") as server:
        async with asyncnet.connect(f"tcp://localhost:{server.endpoint.port}") as connection:
            assert connection.tls is None
            await connection.write(b"STARTTLS\n")
            await connection.read_until(b"\n")
            await connection.start_tls(authority.client())
            assert told(connection).version == "TLSv1.3"
            assert await connection.read() == b""
    assert names == ["localhost"]


@on_both_loops
async def test_it_may_still_be_asked_for_after_the_end(authority: Authority, files: tuple[Path, Path]) -> None:
    async with both_ends(asyncnet.server_context(*files), authority.client()) as (ours, theirs):
        ours.abort()
        await until(lambda: ours._protocol.lost)
        assert told(ours).server_name == "localhost"
        await until(lambda: theirs._protocol.lost)
        assert told(theirs).server_name == "localhost"


@on_both_loops
async def test_a_plain_connection_has_none() -> None:
    async with joined() as (connection, _):
        assert connection.tls is None
        assert connection.unix_credentials is None


# The other end of a Unix socket.


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")
@on_both_loops
async def test_who_is_at_the_other_end_of_a_unix_socket() -> None:
    accepted: list[Connection] = []
    done = asyncio.Event()

    async def handler(connection: Connection) -> None:
        accepted.append(connection)
        await done.wait()

    me = UnixCredentials(os.getpid(), os.getuid(), os.getgid())
    with tempfile.TemporaryDirectory() as folder:
        async with asyncnet.serve(handler, f"unix://{folder}/socket"):
            async with asyncnet.connect(f"unix://{folder}/socket") as connection:
                assert connection.unix_credentials == me
                await until(lambda: accepted)
                assert accepted[0].unix_credentials == me
                assert accepted[0].peer.is_unix
                assert accepted[0].peer == ("", 0)
                assert connection.peer == (f"{folder}/socket", 0)
                connection.abort()
                accepted[0].abort()
                await until(lambda: accepted[0]._protocol.lost and connection._protocol.lost)
                assert accepted[0].unix_credentials is None
                assert connection.unix_credentials is None
            done.set()


# Addresses.


@pytest.mark.parametrize(
    ("name", "expected", "text", "is_unix"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80), "192.0.2.1:80", False),
        (("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80), "[2001:db8::1]:80", False),
        (("::ffff:192.0.2.1", 80, 0, 0), ("192.0.2.1", 80), "192.0.2.1:80", False),
        (("192.0.2.1", 0), ("192.0.2.1", 0), "192.0.2.1:0", False),
        (("::1", 0), ("::1", 0), "[::1]:0", False),
        ("/run/a.sock", ("/run/a.sock", 0), "unix:/run/a.sock", True),
        (b"\0abstract", ("\0abstract", 0), "unix:\0abstract", True),
        (b"\0\xff", ("\0\ufffd", 0), "unix:\0\ufffd", True),
        ("", ("", 0), "unix:", True),
        (None, ("", 0), "unix:", True),
    ],
)
def test_addresses(name: object, expected: tuple[str, int], text: str, is_unix: bool) -> None:
    made = address(name)
    assert made == expected
    assert isinstance(made, Address)
    assert (str(made), made.is_unix) == (text, is_unix)
