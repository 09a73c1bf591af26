"""Accepted sockets become connections: without a task of their own, and without one being lost on the way."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

import asyncnet
from asyncnet.streams.adopting import adopt
from asyncnet.streams.connection import Connection
from asyncnet.streams.listener import PlainSocket
from asyncnet.streams.protocol import StreamProtocol
from tests.loops import on_both_loops
from tests.streams.ends import PATIENCE, until

ANYWHERE = "tcp://127.0.0.1:0"


@contextlib.contextmanager
def joined() -> Iterator[tuple[PlainSocket, socket.socket]]:
    """A socket that was accepted as the server accepts, and its client."""
    with PlainSocket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            accepted, name = listener.accept()
            assert name == client.getsockname()
            with accepted:
                yield accepted, client


def protocol() -> StreamProtocol:
    return StreamProtocol(asyncio.get_running_loop(), asyncnet.Endpoint.parse(ANYWHERE), 65_536)


@on_both_loops
async def test_what_is_called_next_finds_the_transport() -> None:
    loop, ours = asyncio.get_running_loop(), protocol()
    before = asyncio.all_tasks()
    with joined() as (accepted, client):
        adopt(loop, accepted, ours)
        seen: list[bool] = []
        loop.call_soon(lambda: seen.append(ours.transport is not None))
        assert asyncio.all_tasks() == before, "a task was made for it"
        await asyncio.sleep(0)
        assert seen == [True]
        client.sendall(b"hello")
        await until(lambda: ours.buffered == 5)
        ours.abort()
        await until(lambda: ours.lost)


async def test_a_socket_of_no_use_ends_that_client_alone() -> None:
    """On the stock loop: uvloop warns of the handle that it had made, whoever asks it."""
    async with asyncnet.serve(asyncnet.echo, ANYWHERE) as server:
        with joined() as (accepted, client):
            accepted.close()
            with pytest.raises(OSError, match="descriptor"):
                adopt(asyncio.get_running_loop(), accepted, protocol())
            assert server._take(accepted, client.getsockname())
        assert (server.stats.accepted, server.stats.active, server.stats.failed) == (1, 0, 1)
        async with asyncnet.connect(server.endpoint) as connection:
            await connection.write(b"hello")
            assert await connection.read_exactly(5) == b"hello"


def test_a_plain_socket_is_a_socket_in_all_else() -> None:
    with joined() as (accepted, client):
        assert type(accepted) is PlainSocket
        assert (type(accepted.family), type(accepted.type)) == (int, int)
        assert (accepted.family, accepted.type) == (client.family, client.type)
        with accepted.dup() as other:
            client.sendall(b"hello")
            assert other.recv(5) == b"hello"
        assert "127.0.0.1" in repr(accepted)


@on_both_loops
async def test_dead_clients_are_asked_for_a_sign_of_life() -> None:
    """Keepalive is on: where a server's own limits are off, the kernel finds out in the end."""
    options: list[int] = []

    async def handler(connection: Connection) -> None:
        transport = connection._protocol.transport
        assert transport is not None
        options.append(transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    async with asyncnet.serve(handler, ANYWHERE) as server, asyncnet.connect(server.endpoint) as connection:
        assert await connection.read() == b""
    assert options == [1]
