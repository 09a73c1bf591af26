"""SocksProxy: SOCKS5 as in RFC 1928, with the password of RFC 1929 where asked for, and its failures."""

import ipaddress
import socket
from collections.abc import Mapping
from typing import Literal

from tests.peers.proxies import Proxy

SocksFault = Literal["refuse", "silence", "silence after greeting", "garbage", "cut", "no methods"]


class SocksProxy(Proxy):
    """A SOCKS5 proxy on loopback that notes what it is asked for.

    `requests` holds the (host, port) of each CONNECT as the client wrote it: a name stays a name.

    Args:
        username: with `password`, demand them; without, demand nothing.
        password: see `username`.
        hosts: where names, or addresses, really lead: (host, port) by the host that was asked for. What is not in it
            is connected to as asked, so that a test with a made-up name never asks the resolver.
        fault: `refuse` answers the request with `reply`; `silence` never answers the greeting, `silence after
            greeting` not the request; `garbage` answers the greeting with nonsense; `cut` leaves in the middle of the
            reply; `no methods` accepts none of the client's methods.
        reply: the code of a refusal, RFC 1928 §6; 5 is "connection refused".
        glue: wait for the first bytes of the target and send them in one piece with the reply.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str = "",
        hosts: Mapping[str, tuple[str, int]] | None = None,
        fault: SocksFault | None = None,
        reply: int = 5,
        glue: bool = False,
    ) -> None:
        super().__init__(("", 0))
        self.requests: list[tuple[str, int]] = []
        self.logins: list[tuple[str, str]] = []
        self._account = (username, password) if username is not None else None
        self._hosts = dict(hosts or {})
        self._fault = fault
        self._reply = reply
        self._glue = glue

    def serve(self, sock: socket.socket, number: int) -> None:
        """Greet, ask for the password, connect, and pass on."""
        try:
            if self._greeting(sock):
                self._request(sock, number)
        except (OSError, EOFError):  # the client left; what it had asked for has been noted
            return

    def _greeting(self, sock: socket.socket) -> bool:
        version, count = _exactly(sock, 2)
        methods = _exactly(sock, count)
        if version != 5:
            raise AssertionError(f"version {version} is not SOCKS5")
        if self._fault == "silence":
            return listen_only(sock)
        if self._fault == "garbage":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return listen_only(sock)
        wanted = 2 if self._account else 0
        if self._fault == "no methods" or wanted not in methods:
            sock.sendall(b"\x05\xff")
            return False
        sock.sendall(bytes([5, wanted]))
        return not self._account or self._login(sock)

    def _login(self, sock: socket.socket) -> bool:
        version, length = _exactly(sock, 2)
        username = _exactly(sock, length).decode()
        password = _exactly(sock, _exactly(sock, 1)[0]).decode()
        if version != 1:
            raise AssertionError(f"version {version} of the password exchange is not 1")
        self.logins.append((username, password))
        good = (username, password) == self._account
        sock.sendall(b"\x01\x00" if good else b"\x01\x01")
        return good

    def _request(self, sock: socket.socket, number: int) -> None:
        version, command, reserved, kind = _exactly(sock, 4)
        if (version, command, reserved) != (5, 1, 0):
            raise AssertionError(f"not a CONNECT request: {version} {command} {reserved}")
        if kind == 3:
            host = _exactly(sock, _exactly(sock, 1)[0]).decode("ascii")
        else:
            host = str(ipaddress.ip_address(_exactly(sock, {1: 4, 4: 16}[kind])))
        port = int.from_bytes(_exactly(sock, 2), "big")
        self.requests.append((host, port))
        self._answer(sock, number, self._hosts.get(host, (host, port)))

    def _answer(self, sock: socket.socket, number: int, target: tuple[str, int]) -> None:
        good = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00"
        if self._fault == "silence after greeting":
            listen_only(sock)
        elif self._fault == "cut":
            sock.sendall(good[:3])
        elif self._fault == "refuse":
            sock.sendall(bytes([5, self._reply]) + good[2:])
        else:
            self.tunnel(sock, number, target, good, b"\x05\x05" + good[2:], glue=self._glue)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def listen_only(sock: socket.socket) -> bool:
    """Say nothing until the client leaves; always False, for there is nothing to go on with."""
    while sock.recv(65536):
        pass
    return False
