"""Loopback servers whose capacity is set by waiting: `python -m benchmarks.jobs.server KIND`; prints its port.

- `fast` answers at once, `wait` after 50 ms; `slots` serves 16 at a time for 20 ms each, and the others queue.
- `ten` grants 10 requests a second, counted by windows of a second; 429 with Retry-After to the rest.

GET /counts tells what was granted and refused so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque

BODY = b"x" * 1024
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
_NO = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Kind:
    """How requests are answered; this one: at once."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.granted = self.refused = 0

    def ask(self, client: Client) -> None:
        self.granted += 1
        client.answer(_OK)


class Wait(Kind):
    def ask(self, client: Client) -> None:
        self.granted += 1
        self.loop.call_later(0.05, client.answer, _OK)


class Slots(Kind):
    def __init__(self) -> None:
        super().__init__()
        self.free = 16
        self.queue: deque[Client] = deque()

    def ask(self, client: Client) -> None:
        self.granted += 1
        if self.free:
            self.free -= 1
            self.loop.call_later(0.02, self._done, client)
        else:
            self.queue.append(client)

    def _done(self, client: Client) -> None:
        client.answer(_OK)
        if self.queue:
            self.loop.call_later(0.02, self._done, self.queue.popleft())
        else:
            self.free += 1


class Ten(Kind):
    def __init__(self) -> None:
        super().__init__()
        self.window, self.count = -1, 0

    def ask(self, client: Client) -> None:
        window = int(self.loop.time())
        if window != self.window:
            self.window, self.count = window, 0
        self.count += 1
        granted = self.count <= 10
        self.granted += granted
        self.refused += not granted
        client.answer(_OK if granted else _NO)


KINDS: dict[str, type[Kind]] = {"fast": Kind, "wait": Wait, "slots": Slots, "ten": Ten}


class Client(asyncio.Protocol):
    """One connection; a request is what ends in an empty line."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.head += data
        while b"\r\n\r\n" in self.head:
            head, _, self.head = self.head.partition(b"\r\n\r\n")
            if head.startswith(b"GET /counts"):
                body = json.dumps([self.kind.granted, self.kind.refused]).encode()
                self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            else:
                self.kind.ask(self)

    def answer(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


async def main(kind: str) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    made = KINDS[kind]()
    server = await loop.create_server(lambda: Client(made), "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
