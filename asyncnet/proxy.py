"""Proxy: the way through another machine, by HTTP CONNECT (RFC 9110 §9.3.6) or SOCKS5 (RFC 1928, extra `socks`)."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import socket
from dataclasses import dataclass
from typing import Any

from asyncnet.credentials import Credentials
from asyncnet.deadline import phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    InvalidEndpoint,
    LimitError,
    NetError,
    ProtocolError,
    RefusedError,
    UsageError,
    printable,
)
from asyncnet.translation import CONNECTING, Translations, translated

_MAX_HEADER_BYTES = 16_384
_NO_LIMIT = 1e9  # the caller's deadline bounds it; None would mean 60 s there
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})(?: ([^\r\n]*))?\r\n")  # RFC 9112 §4
_DEFAULT_PORTS = {"http": 3128, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and how to sign in there.

    Args:
        scheme: `http` (CONNECT) or `socks5` (or its alias `socks5h`); all resolve the target's name at the proxy.
        host: its name or address.
        port: its port.
        credentials: username and password for it, or None.
        allow_plaintext_login: send them though a listener may read them: both protocols know no TLS to the proxy.

    Raises:
        InvalidEndpoint: another scheme, or no host and port that could be connected to.
        UsageError: `credentials` would travel in plaintext to another machine, or the extra `socks` is not installed.
    """

    scheme: str
    host: str
    port: int
    credentials: Credentials | None = None
    allow_plaintext_login: bool = False

    def __post_init__(self) -> None:
        if self.scheme not in _DEFAULT_PORTS:
            raise InvalidEndpoint("a proxy is http://host:port or socks5://host:port")
        place = Endpoint("tcp", self.host, self.port)
        object.__setattr__(self, "host", place.host)
        if not (place.host and place.port):
            raise InvalidEndpoint("a proxy has a host and a port", endpoint=self)
        if self.credentials is not None and not (place.is_loopback or self.allow_plaintext_login):
            raise UsageError(
                "the proxy's password would travel in plaintext; Proxy(..., allow_plaintext_login=True) permits it",
                endpoint=self,
            )
        if self.scheme != "http" and importlib.util.find_spec("python_socks") is None:
            raise UsageError("SOCKS5 proxies need the extra: pip install 'asyncnet[socks]'", endpoint=self)

    @classmethod
    def parse(
        cls, url: str | Proxy, credentials: Credentials | None = None, *, allow_plaintext_login: bool = False
    ) -> Proxy:
        """Take `http://host:port` or `socks5://host:port` apart; a Proxy is given back as it is.

        The ports are 3128 and 1080 where none is named.

        Raises:
            InvalidEndpoint: another scheme, no host, or a password in the URL.
            UsageError: as for Proxy itself, or the URL names another user than the credentials.
        """
        if isinstance(url, Proxy):
            return url
        scheme, _, rest = url.partition("://")
        scheme, rest = scheme.lower(), rest.rstrip("/")
        if scheme not in _DEFAULT_PORTS or not rest:
            raise InvalidEndpoint("a proxy is http://host:port or socks5://host:port")  # what came may hold a password
        named = re.search(r":[^\]]*\Z", rest)  # a colon that is no part of an IPv6 address
        place = Endpoint.parse(f"tcp://{rest}" if named else f"tcp://{rest}:{_DEFAULT_PORTS[scheme]}")
        if place.path or place.query:
            raise InvalidEndpoint(f"a proxy is {scheme}://host:port and nothing more")
        if place.username is not None and (credentials is None or credentials.username != place.username):
            raise UsageError(f"the proxy's URL names {place.username!r}, and no such credentials were given")
        return cls(scheme, place.host, place.port, credentials, allow_plaintext_login)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


UNAUTHORIZED = "Proxy Authentication Required"
"""What an error says of a 407 (RFC 9110 §15.5.8); a proxy's own words may repeat what it was shown."""


async def tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask the proxy behind a connected, non-blocking socket for a way to host:port.

    Raises:
        RefusedError: the proxy said no; `.code` is its status.
        AuthenticationError: it wants other credentials.
        ProtocolError: it does not speak the protocol (LimitError: its header does not end).
        ConnectError: it hung up.
        UsageError: the credentials cannot be written in the proxy's protocol.

    Afterwards the socket speaks to the target, and not one byte of the target's has been read. On failure the caller
    closes the socket.
    """
    phase("proxy")
    host = host.partition("%")[0]  # the zone of an IPv6 address means something on this machine alone
    with translated(CONNECTING, proxy, "proxy"):
        if proxy.scheme == "http":
            await _connect(sock, proxy, host, port)
        else:
            await _socks(sock, proxy, host, port)


async def _connect(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.credentials is not None:
        lines.append(f"Proxy-Authorization: {await authorization(proxy.credentials)}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    _judge(await _header(sock, proxy), proxy)


async def authorization(credentials: Credentials) -> str:
    """Give what an HTTP proxy is to be shown as `Proxy-Authorization` (RFC 9110 §11.7.2).

    Raises:
        UsageError: the username cannot be written there.
    """
    import base64

    secret = await credentials.secret()
    if credentials.is_token:
        return f"Bearer {secret}"
    if ":" in credentials.username:  # RFC 7617 §2: the first colon ends the name
        raise UsageError("a username for HTTP holds no colon")
    return f"Basic {base64.b64encode(f'{credentials.username}:{secret}'.encode()).decode()}"


def _judge(header: bytes, proxy: Proxy) -> None:
    found = _STATUS_LINE.match(header)
    if found is None:
        raise _no_http(header)
    code, text = int(found[1]), found[2]
    if code == 407:
        raise AuthenticationError(code=code, text=UNAUTHORIZED, endpoint=proxy, operation="CONNECT")
    if not 200 <= code < 300:
        passing = code >= 500 or code == 429
        raise RefusedError(code=code, text=text, endpoint=proxy, operation="CONNECT", transient=passing)


def _no_http(start: bytes) -> ProtocolError:
    return ProtocolError(f"not an answer of an HTTP proxy: {printable(start, max_characters=80)!r}")


async def _header(sock: socket.socket, proxy: Proxy) -> bytes:
    # Peek, then take the header alone: what follows it is the target's (a mail server greets at once).
    taken = bytearray()
    while True:
        await readable(sock)
        try:
            seen = sock.recv(_MAX_HEADER_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            raise ConnectError("the proxy hung up", endpoint=proxy, operation="CONNECT")
        begun = bytes(taken[-3:])  # the end mark may have begun there
        end = (begun + seen).find(b"\r\n\r\n")
        taken += sock.recv(len(seen) if end < 0 else end + 4 - len(begun))
        if not b"HTTP/1.".startswith(taken[:7]):  # said at once: who speaks something else may now wait for us
            raise _no_http(bytes(taken))
        if end >= 0:
            return bytes(taken)
        if len(taken) >= _MAX_HEADER_BYTES:
            raise LimitError("the proxy's header does not end", limit=_MAX_HEADER_BYTES)


async def readable(sock: socket.socket) -> None:
    """Wait until a non-blocking socket has something to read, without reading it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


class _Dialled:
    """Hands our own socket to python-socks, through its parameter for chained proxies: it dials nothing itself."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None) -> socket.socket:
        return self._sock


async def _socks(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as Socks

    username = password = None
    if proxy.credentials is not None:
        username, password = proxy.credentials.username, await proxy.credentials.secret()
        if not all(text.isascii() and 0 < len(text) < 256 for text in (username, password)):
            raise UsageError("SOCKS5 (RFC 1929) takes 1 to 255 ASCII characters as username and as password")
    forward: Any = _Dialled(sock)
    socks = Socks(ProxyType.SOCKS5, proxy.host, proxy.port, username, password, rdns=True, forward=forward)
    table: Translations = ((ProxyError, _socks_refusal), (UnicodeDecodeError, _socks_garbage))
    with translated(table, proxy, "SOCKS5"):
        await socks.connect(host, port, timeout=_NO_LIMIT)


def _socks_refusal(error: Exception, endpoint: object, operation: str | None) -> NetError:
    text = str(error)
    code = getattr(error, "error_code", None)
    if code is not None:  # RFC 1928 §6; 2 is "not allowed by ruleset", the others may pass
        return RefusedError(text=text, code=int(code), endpoint=endpoint, operation=operation, transient=code != 2)
    # For the rest there is nothing but the library's words.
    if text.startswith(("No acceptable auth", "Username and password auth")):
        return AuthenticationError(text=text, endpoint=endpoint, operation=operation)
    if text.startswith("Connection closed"):
        return ConnectError("the proxy hung up", endpoint=endpoint, operation=operation)
    return _socks_garbage(error, endpoint, operation)


def _socks_garbage(error: Exception, endpoint: object, operation: str | None) -> NetError:
    return ProtocolError(f"not an answer of a SOCKS5 proxy: {error}", endpoint=endpoint, operation=operation)
