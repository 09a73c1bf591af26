"""ConnectProxy: HTTP CONNECT as in RFC 9110 §9.3.6, with Basic credentials where asked for, and its failures.

A request for an absolute http:// URL is forwarded (RFC 9112 §3.2.2), with what follows on its connection.
"""

import base64
import socket
from collections.abc import Mapping
from typing import Literal

from tests.peers.proxies import Proxy
from tests.peers.socks import listen_only

ConnectFault = Literal["refuse", "silence", "garbage", "cut", "endless header"]


class ConnectProxy(Proxy):
    """An HTTP proxy on loopback that notes what it is asked for.

    `requests` holds the (host, port) of each connection as the client wrote it, `heads` the whole heads.

    Args:
        username: with `password`, demand them (407 otherwise); without, demand nothing.
        password: see `username`.
        hosts: where names, or addresses, really lead: (host, port) by the host that was asked for. What is not in it
            is connected to as asked.
        fault: `refuse` answers with `status`; `silence` never answers; `garbage` answers with nonsense; `cut` leaves
            in the middle of the answer's head; `endless header` never ends it.
        status: the status of a refusal.
        glue: wait for the first bytes of the target and send them in one piece with the answer's head.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str = "",
        hosts: Mapping[str, tuple[str, int]] | None = None,
        fault: ConnectFault | None = None,
        status: int = 403,
        glue: bool = False,
    ) -> None:
        super().__init__(("", 0))
        self.requests: list[tuple[str, int]] = []
        self.heads: list[bytes] = []
        self._token = base64.b64encode(f"{username}:{password}".encode()) if username is not None else None
        self._hosts = dict(hosts or {})
        self._fault = fault
        self._status = status
        self._glue = glue

    def serve(self, sock: socket.socket, number: int) -> None:
        """Read the head of one request, answer it, and pass on."""
        try:
            self._request(sock, number)
        except (OSError, EOFError):  # the client left; what it had asked for has been noted
            return

    def _request(self, sock: socket.socket, number: int) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = sock.recv(65536)
            if not piece:
                raise EOFError
            head += piece
        self.heads.append(head)
        method, target, version = head.split(b"\r\n")[0].split(b" ")
        is_forwarded = target.startswith(b"http://")
        if (method != b"CONNECT" and not is_forwarded) or version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise AssertionError(f"not a request for a proxy: {head!r}")
        if not (is_forwarded or head.endswith(b"\r\n\r\n")):
            raise AssertionError(f"the client spoke before it was connected: {head!r}")
        authority = target.removeprefix(b"http://").partition(b"/")[0].decode()
        host, port = _parts(authority if not is_forwarded or _has_port(authority) else f"{authority}:80")
        self.requests.append((host, port))
        self._answer(sock, number, head, is_forwarded=is_forwarded)

    def _answer(self, sock: socket.socket, number: int, head: bytes, *, is_forwarded: bool) -> None:
        host, port = self.requests[-1]
        if self._fault == "silence":
            listen_only(sock)
        elif self._fault == "garbage":
            sock.sendall(b"\x05\x00\x00\x01" * 8 + b"\r\n\r\n")
        elif self._fault == "cut":
            sock.sendall(b"HTTP/1.1 200 Connection estab")
        elif self._fault == "endless header":
            self._flood(sock)
        elif self._fault == "refuse":
            sock.sendall(_refusal(self._status, "No"))
        elif self._token and not self._authorised(head):
            sock.sendall(_refusal(407, "Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="peer"\r\n'))
        else:
            good = b"" if is_forwarded else b"HTTP/1.1 200 Connection established\r\nVia: 1.1 peer\r\n\r\n"
            begin = _without_authorization(head) if is_forwarded else b""
            target = self._hosts.get(host, (host, port))
            self.tunnel(sock, number, target, good, _refusal(502, "Bad Gateway"), glue=self._glue, begin=begin)

    def _authorised(self, head: bytes) -> bool:
        fields = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        values = [value.strip() for name, _, value in fields if name.lower() == b"proxy-authorization"]
        return values == [b"Basic " + (self._token or b"")]

    def _flood(self, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n")
        while not self.stopping.is_set():
            sock.sendall(b"X-More: there is always one more\r\n" * 100)


def _has_port(authority: str) -> bool:
    return authority.rpartition(":")[2].isdigit()


def _parts(authority: str) -> tuple[str, int]:
    host, _, port = authority.rpartition(":")
    return host.strip("[]"), int(port)


def _without_authorization(request: bytes) -> bytes:
    head, end, body = request.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"proxy-authorization:")]
    return b"\r\n".join(kept) + end + body


def _refusal(status: int, reason: str, fields: str = "") -> bytes:
    return f"HTTP/1.1 {status} {reason}\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
