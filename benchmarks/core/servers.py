"""Echo servers of every kind, each as short as its library lets it be: `python -m benchmarks.core.servers KIND [PEM]`.

Prints its port and its process, and serves until it is killed; with PEM, a certificate and its key, over TLS. A kind
that ends in `+uvloop` runs on uvloop.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import Any

READ_BYTES = 65_536


def listens(port: int) -> None:
    """Say where."""
    print(port, os.getpid(), flush=True)


async def serve_asyncnet(tls: ssl.SSLContext | None) -> None:
    """Run ours as shipped: every default limit and timeout is on."""
    import asyncnet

    async with asyncnet.serve(asyncnet.echo, f"{'tls' if tls else 'tcp'}://127.0.0.1:0", tls=tls) as server:
        listens(server.endpoint.port)
        await server.serve_forever()


async def serve_streams(tls: ssl.SSLContext | None) -> None:
    """Run asyncio's streams, the way its documentation shows."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls, backlog=1024)
    listens(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class Echo(asyncio.Protocol):
    """asyncio's callbacks, without a task and without flow control: the limit of its transports."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve_protocol(tls: ssl.SSLContext | None) -> None:
    """Run asyncio.Protocol."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=tls, backlog=1024)
    listens(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_anyio(tls: ssl.SSLContext | None) -> None:
    """Run anyio on asyncio."""
    import anyio.abc
    from anyio.streams.tls import TLSListener

    async def echo(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            try:
                while True:
                    await stream.send(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1024)
    listens(listener.extra(anyio.abc.SocketAttribute.local_port))
    await (TLSListener(listener, tls, standard_compatible=False) if tls else listener).serve(echo)


def run_trio(pem: str | None) -> None:
    """Run trio."""
    import trio

    async def echo(stream: trio.abc.Stream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
        listens(listeners[0].socket.getsockname()[1])
        if pem:
            tls = context(pem)
            listeners = [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]
        await trio.serve_listeners(echo, listeners)

    trio.run(main)


def run_twisted(pem: str | None) -> None:
    """Run Twisted on its epoll reactor."""
    from twisted.internet import epollreactor

    epollreactor.install()
    from twisted.internet import protocol, reactor

    class TwistedEcho(protocol.Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    factory = protocol.Factory.forProtocol(TwistedEcho)
    factory.noisy = False
    if pem:
        from twisted.internet.ssl import PrivateCertificate

        with open(pem) as file:
            options = PrivateCertificate.loadPEM(file.read()).options()
        port = reactor.listenSSL(0, factory, options, backlog=1024, interface="127.0.0.1")
    else:
        port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    listens(port.getHost().port)
    reactor.run()


async def serve_tornado(tls: ssl.SSLContext | None) -> None:
    """Run Tornado's IOStream."""
    from tornado.iostream import IOStream, StreamClosedError
    from tornado.netutil import bind_sockets
    from tornado.tcpserver import TCPServer

    class TornadoEcho(TCPServer):
        async def handle_stream(self, stream: IOStream, address: object) -> None:
            try:
                while True:
                    await stream.write(await stream.read_bytes(READ_BYTES, partial=True))
            except StreamClosedError:
                pass

    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    server = TornadoEcho(ssl_options=tls)
    server.add_sockets(sockets)
    listens(sockets[0].getsockname()[1])
    await asyncio.Event().wait()


ON_ASYNCIO: dict[str, Callable[[ssl.SSLContext | None], Coroutine[Any, Any, None]]] = {
    "asyncnet": serve_asyncnet,
    "streams": serve_streams,
    "protocol": serve_protocol,
    "anyio": serve_anyio,
    "tornado": serve_tornado,
}
ON_THEIR_OWN: dict[str, Callable[[str | None], None]] = {"trio": run_trio, "twisted": run_twisted}


def context(pem: str) -> ssl.SSLContext:
    """Give the context that all but Twisted and the limit use."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(pem)
    return made


def main() -> None:
    """Serve."""
    kind, _, loop = sys.argv[1].partition("+")
    pem = sys.argv[2] if len(sys.argv) > 2 else None
    if kind in ON_THEIR_OWN:
        ON_THEIR_OWN[kind](pem)
        return
    serving = ON_ASYNCIO[kind](context(pem) if pem else None)
    if loop == "uvloop":
        import uvloop

        uvloop.run(serving)
    else:
        asyncio.run(serving)


if __name__ == "__main__":
    main()
