"""Loopback servers that nginx cannot play: `python -m benchmarks.jobs.server KIND`; prints its port.

- `fast` answers at once, `wait` after 50 ms; `slots` serves 16 at a time for 20 ms each, and the others queue.
- `ten` grants 10 requests a second, counted by windows of a second; 429 with Retry-After to the rest.
- `lossy` does what is POSTed to it, once for each Idempotency-Key, and closes three times of ten instead of answering.
- `awkward` gives at /cut half of the body that it announced, at /huge 32 MiB, in 32 KiB of gzip to those who take that,
  at /loop a redirect to itself, and at /stall half a body, and then nothing.

GET /counts tells what was granted and refused so far; of a lossy one, how many orders were
asked for, done, and done twice.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections import Counter, deque

BODY = b"x" * 1024
HUGE = 32 * 1024 * 1024
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
_NO = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
_MADE = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_HALF = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(BODY)) + BODY
_LOOP = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"


class Kind:
    """How requests are answered; this one: at once."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.granted = self.refused = 0

    def ask(self, client: Client, head: bytes) -> None:
        self.granted += 1
        client.answer(_OK)

    def counts(self) -> list[int]:
        return [self.granted, self.refused]


class Wait(Kind):
    def ask(self, client: Client, head: bytes) -> None:
        self.granted += 1
        self.loop.call_later(0.05, client.answer, _OK)


class Slots(Kind):
    def __init__(self) -> None:
        super().__init__()
        self.free = 16
        self.queue: deque[Client] = deque()

    def ask(self, client: Client, head: bytes) -> None:
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

    def ask(self, client: Client, head: bytes) -> None:
        window = int(self.loop.time())
        if window != self.window:
            self.window, self.count = window, 0
        self.count += 1
        granted = self.count <= 10
        self.granted += granted
        self.refused += not granted
        client.answer(_OK if granted else _NO)


class Lossy(Kind):
    """An order is the path of a POST, whose body is empty; it is done before its answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.done: Counter[bytes] = Counter()
        self.keys: set[bytes] = set()

    def ask(self, client: Client, head: bytes) -> None:
        self.asked += 1
        key = head.lower().partition(b"\r\nidempotency-key: ")[2].partition(b"\r\n")[0]
        if not key or key not in self.keys:
            self.done[head.split(b" ", 2)[1]] += 1
            self.keys.add(key)
        if self.asked % 10 in (2, 5, 8):
            client.transport.abort()
        else:
            client.answer(_MADE)

    def counts(self) -> list[int]:
        return [self.asked, len(self.done), sum(times > 1 for times in self.done.values())]


class Awkward(Kind):
    def __init__(self) -> None:
        super().__init__()
        zeros = bytes(HUGE)
        ok = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b"
        self.plain = ok % (b"", len(zeros), zeros)
        packed = gzip.compress(zeros, 9)
        self.packed = ok % (b"Content-Encoding: gzip\r\n", len(packed), packed)

    def ask(self, client: Client, head: bytes) -> None:
        path = head.split(b" ", 2)[1]
        what = path.partition(b"?")[0]
        if what == b"/huge":
            accepted = head.lower().partition(b"\r\naccept-encoding:")[2].partition(b"\r\n")[0]
            client.answer(self.packed if b"gzip" in accepted else self.plain)
        elif what == b"/loop":
            client.answer(_LOOP % path)
        else:
            client.answer(_HALF)
            if what == b"/cut":
                client.transport.close()


KINDS: dict[str, type[Kind]] = {
    "fast": Kind,
    "wait": Wait,
    "slots": Slots,
    "ten": Ten,
    "lossy": Lossy,
    "awkward": Awkward,
}


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
                body = json.dumps(self.kind.counts()).encode()
                self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            else:
                self.kind.ask(self, head + b"\r\n")

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
