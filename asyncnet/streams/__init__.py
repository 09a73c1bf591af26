"""Our own sockets, built on asyncio streams: run a loop, connect, serve, echo."""

from asyncnet.streams.address import Address, UnixCredentials
from asyncnet.streams.connect import connect
from asyncnet.streams.connection import Connection
from asyncnet.streams.echo import echo
from asyncnet.streams.loop import run
from asyncnet.streams.server import Server, serve
from asyncnet.streams.stats import ClientRecord, ServerStats

__all__ = [
    "Address",
    "ClientRecord",
    "Connection",
    "Server",
    "ServerStats",
    "UnixCredentials",
    "connect",
    "echo",
    "run",
    "serve",
]
