"""The POP3 clients that are Python: `python -m benchmarks.mail.pop3_clients NAME HOST PORT USER COUNT FOLDER`.

Each retrieves the first COUNT messages and drops them (`to_disk` puts them into FOLDER). The secret is in the
environment. Only what a client needs is imported, and its imports are not timed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from benchmarks.mail.rounds import measured

SECRET = "BENCHMARK_SECRET"


def ours(host: str, port: int, user: str, count: int) -> None:
    """asyncnet: `async for message in maildrop.messages()`."""
    from asyncnet import Credentials, pop3

    async def main() -> None:
        async with pop3.session(f"pop3://{host}:{port}", Credentials(user, os.environ[SECRET])) as maildrop:
            async for message in maildrop.messages(range(1, count + 1)):
                tally.add(message.raw)

    pop3.session  # noqa: B018 (loads the wing, which is not timed)
    with measured() as tally:
        asyncio.run(main())


def to_disk(host: str, port: int, user: str, count: int) -> None:
    """asyncnet: `retrieve_to` a file for each message."""
    from asyncnet import Credentials, pop3

    async def main() -> None:
        async with pop3.session(f"pop3://{host}:{port}", Credentials(user, os.environ[SECRET])) as maildrop:
            for number in range(1, count + 1):
                tally.size += await maildrop.retrieve_to(number, f"{folder}/{number}.eml")
                tally.count += 1

    folder = sys.argv[6]
    pop3.session  # noqa: B018 (loads the wing, which is not timed)
    with measured() as tally:
        asyncio.run(main())


def floor(host: str, port: int, user: str, count: int) -> None:
    """No client at all: a socket that asks 512 ahead and counts end marks. What is left is the server's own time."""
    import socket

    with measured() as tally, socket.create_connection((host, port)) as sock, sock.makefile("rb") as lines:
        for command in (f"USER {user}", f"PASS {os.environ[SECRET]}", "STAT"):
            lines.readline()
            sock.sendall(f"{command}\r\n".encode())
        lines.readline()
        asked, tail = 0, b""
        while tally.count < count:
            if asked < count and asked - tally.count <= 256:
                more = range(asked + 1, min(count, tally.count + 512) + 1)
                sock.sendall("".join(f"RETR {number}\r\n" for number in more).encode())
                asked = more[-1]
            piece = sock.recv(65536)
            tally.count += (tail + piece).count(b"\r\n.\r\n")
            tail = (tail + piece)[-4:]


def serial(host: str, port: int, user: str, count: int) -> None:
    """poplib, a command at a time."""
    import poplib

    with measured() as tally:
        maildrop = poplib.POP3(host, port)
        maildrop.user(user)
        maildrop.pass_(os.environ[SECRET])
        maildrop.list()
        for number in range(1, count + 1):
            tally.add(b"\r\n".join(maildrop.retr(number)[1]) + b"\r\n")
        maildrop.quit()


def executor(host: str, port: int, user: str, count: int) -> None:
    """poplib, each command by `asyncio.to_thread`."""
    import poplib

    async def main() -> None:
        maildrop = await asyncio.to_thread(poplib.POP3, host, port)
        await asyncio.to_thread(maildrop.user, user)
        await asyncio.to_thread(maildrop.pass_, os.environ[SECRET])
        await asyncio.to_thread(maildrop.list)
        for number in range(1, count + 1):
            _, lines, _ = await asyncio.to_thread(maildrop.retr, number)
            tally.add(b"\r\n".join(lines) + b"\r\n")
        await asyncio.to_thread(maildrop.quit)

    with measured() as tally:
        asyncio.run(main())


def twisted(host: str, port: int, user: str, count: int) -> None:
    """Twisted's POP3 client, a Deferred a command."""
    from twisted.internet import defer, reactor
    from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
    from twisted.mail.pop3 import AdvancedPOP3Client

    async def main() -> None:
        client = AdvancedPOP3Client()
        client.allowInsecureLogin = True
        await connectProtocol(TCP4ClientEndpoint(reactor, host, port), client)
        await client.login(user.encode(), os.environ[SECRET].encode())
        await client.listSize()
        for number in range(count):
            tally.add(b"\r\n".join(await client.retrieve(number)) + b"\r\n")
        await client.quit()
        reactor.stop()

    def failed(failure: object) -> None:
        print(failure, file=sys.stderr)
        os._exit(1)

    with measured() as tally:
        defer.ensureDeferred(main()).addErrback(failed)
        reactor.run()


CLIENTS: dict[str, Callable[[str, int, str, int], None]] = {
    "ours": ours,
    "to_disk": to_disk,
    "floor": floor,
    "serial": serial,
    "executor": executor,
    "twisted": twisted,
}

if __name__ == "__main__":
    CLIENTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
