"""asyncnet: sockets, servers and four protocols on asyncio, with one idea of URLs, deadlines, TLS, limits and errors.

Where everything lives:
    errors, endpoint, credentials, tls, retry, message    values and promises: what every part shares
    streams     run, connect, Connection, serve, Server, echo, memory_pair, run_workers
    http        get, post, request, stream, download, events, session    on aiohttp
    imap        fetch, session, watch, sync, search       on aioimaplib (extra `imap`)
    pop3        fetch, session                            on poplib, in threads of its own
    smtp        send, session, compose, pool, outbox      on aiosmtplib
    client      Client: one policy and warm sessions for every protocol
    health      check: is this endpoint well?
    jobs        fetch, run, as_completed, all_of...       concurrent work, composed
    lab         Lab: servers to test against, with faults; and a pytest plugin
    cli         the command `asyncnet`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import (
    AllFailed,
    AuthenticationError,
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    InvalidEndpoint,
    LimitError,
    NetError,
    ProtocolError,
    RecipientsRefused,
    RefusedError,
    StatusError,
    TLSError,
    UsageError,
)
from asyncnet.message import Message
from asyncnet.proxy import Proxy
from asyncnet.retry import Retry
from asyncnet.streams import (
    Address,
    ClientRecord,
    Connection,
    Server,
    ServerStats,
    UnixCredentials,
    connect,
    echo,
    run,
    serve,
)
from asyncnet.tls import client_context, server_context
from asyncnet.trace import Trace, TraceEvent, tracing

if TYPE_CHECKING:
    from asyncnet import http, imap, jobs, pop3, smtp
    from asyncnet.client import Client
    from asyncnet.health import Health, check
    from asyncnet.lab.lab import Lab
    from asyncnet.streams.memory import memory_pair
    from asyncnet.streams.tls_info import TLSInfo
    from asyncnet.streams.workers import run_workers

__version__ = "0.1.0"

__all__ = [
    "Address",
    "AllFailed",
    "AuthenticationError",
    "Client",
    "ClientRecord",
    "ClosedError",
    "ConnectError",
    "Connection",
    "Credentials",
    "DeadlineError",
    "DisconnectedError",
    "Endpoint",
    "Health",
    "IncompleteRead",
    "InvalidEndpoint",
    "Lab",
    "LimitError",
    "Message",
    "NetError",
    "ProtocolError",
    "Proxy",
    "RecipientsRefused",
    "RefusedError",
    "Retry",
    "Security",
    "Server",
    "ServerStats",
    "StatusError",
    "TLSError",
    "TLSInfo",
    "Trace",
    "TraceEvent",
    "UnixCredentials",
    "UsageError",
    "check",
    "client_context",
    "connect",
    "echo",
    "http",
    "imap",
    "jobs",
    "memory_pair",
    "pop3",
    "run",
    "run_workers",
    "serve",
    "server_context",
    "smtp",
    "tracing",
]

# Opening a socket should not pay for an HTTP library, nor for processes: these load when they are first named.
_LAZY_MODULES = frozenset({"http", "imap", "jobs", "pop3", "smtp"})
_LAZY_NAMES = {
    "Client": "asyncnet.client",
    "Health": "asyncnet.health",
    "Lab": "asyncnet.lab.lab",
    "TLSInfo": "asyncnet.streams.tls_info",
    "check": "asyncnet.health",
    "memory_pair": "asyncnet.streams.memory",
    "run_workers": "asyncnet.streams.workers",
}


def __getattr__(name: str) -> object:
    import importlib

    if name in _LAZY_MODULES:
        return importlib.import_module(f"asyncnet.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f"module 'asyncnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
