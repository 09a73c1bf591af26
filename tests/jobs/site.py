"""A small site of all protocols in one process, for runs that are killed: it counts what it is asked for.

    python -m tests.jobs.site      says its ports as JSON, then counts as a line of JSON for each line it is given

It answers as fast as the loop lets it, and a twentieth of the pages come late, so that a killed run always has some
under way.
"""

import asyncio
import json
import sys
from collections import Counter

_MAIL = b"Subject: hello\r\n\r\nbody\r\n"


class Site:
    """The servers, and how often each thing was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self.asked[f"{method} {path}"] += 1
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
            if path.endswith("7"):
                await asyncio.sleep(0.02)
            status, body = (b"404 Not Found", b"") if path.endswith("13") else (b"200 OK", path.encode())
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = await reader.readuntil(b"\n")
        self.asked[f"TCP {word.decode().strip()}"] += 1
        writer.write(b"pong " + word)
        writer.close()

    async def pop3(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK ready\r\n")
        replies = {"CAPA": b"+OK\r\nUIDL\r\nUSER\r\n.\r\n", "STAT": b"+OK 1 %d\r\n" % len(_MAIL)}
        replies["LIST"] = b"+OK\r\n1 %d\r\n.\r\n" % len(_MAIL)
        replies |= {"UIDL": b"+OK\r\n1 a\r\n.\r\n", "RETR": b"+OK\r\n" + _MAIL + b".\r\n"}
        while line := await reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if verb == "USER":
                self.asked[f"POP3 {rest}"] += 1
            writer.write(replies.get(verb.upper(), b"+OK\r\n"))
            if verb == "QUIT":
                break
        writer.close()

    async def imap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        while line := await reader.readline():
            tag, verb, *rest = line.decode().strip().split(" ")
            verb = f"{verb} {rest[0]}".upper() if verb.upper() == "UID" else verb.upper()
            if verb == "LOGIN":
                self.asked[f"IMAP {rest[0]}"] += 1
            said = {
                "CAPABILITY": "* CAPABILITY IMAP4rev1\r\n",
                "EXAMINE": "* 1 EXISTS\r\n* 0 RECENT\r\n* FLAGS ()\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 2] x\r\n",
                "UID SEARCH": "* SEARCH 1\r\n",
                "UID FETCH": f'* 1 FETCH (UID 1 FLAGS () INTERNALDATE "01-Jan-2024 00:00:00 +0000" '
                f"RFC822.SIZE {len(_MAIL)} BODY[] {{{len(_MAIL)}}}\r\n{_MAIL.decode()})\r\n",
                "LOGOUT": "* BYE\r\n",
            }.get(verb, "")
            writer.write(f"{said}{tag} OK done\r\n".encode())
            if verb == "LOGOUT":
                break
        writer.close()

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        sender = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"MAIL":
                sender = line.decode().partition("<")[2].partition(">")[0]
            if verb == b"DATA":
                writer.write(b"354 go\r\n")
                while (line := await reader.readline()) not in (b".\r\n", b""):
                    pass
                if not line:
                    break  # the client was killed
                self.asked[f"SMTP {sender}"] += 1
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                break
        writer.close()


async def main() -> None:
    """Serve until standard input ends."""
    site, loop, ports = Site(), asyncio.get_running_loop(), {}

    def safe(handler):
        async def handle(reader, writer):
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                writer.close()

        return handle

    for name in ("http", "tcp", "pop3", "imap", "smtp"):
        server = await asyncio.start_server(safe(getattr(site, name)), "127.0.0.1", 0, backlog=1024)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(site.asked), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
