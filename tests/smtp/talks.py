"""What many conversations with an SMTP server begin and end with, and sessions that speak in them."""

import itertools
from collections.abc import Iterable

from asyncnet import Credentials, smtp
from tests.peers import Script

ALICE = Credentials("alice", "correct horse")
AUTH_ALICE = "AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U="

NOTE = b"Subject: hello\r\n\r\nGood morning.\r\n"
SENDER, RECIPIENT = "alice@example.org", "bob@example.net"
ENVELOPE = {"sender": SENDER, "recipients": RECIPIENT}


def hello(*extensions: str) -> str:
    """EHLO and its answer, with these extensions."""
    lines = ["mail.example.org", *extensions]
    answer = [f"S: 250{'-' if line is not lines[-1] else ' '}{line}" for line in lines]
    return "\n".join(["C: EHLO [127.0.0.1]", *answer, ""])


def greeted(*extensions: str) -> str:
    """The greeting, then EHLO."""
    return "S: 220 mail.example.org ready\n" + hello(*extensions)


GREETED = greeted("SIZE 10000", "8BITMIME")

TAKEN = """
    C: MAIL FROM:<alice@example.org>*
    S: 250 2.1.0 Ok
    C: RCPT TO:<bob@example.net>
    S: 250 2.1.5 Ok
    C: DATA
    S: 354 End data with <CR><LF>.<CR><LF>
    until \\r\\n.\\r\\n
    S: 250 2.0.0 Ok: queued as 4711
"""

LEFT = """
    C: QUIT
    S: 221 2.0.0 Bye
"""


def url(peer: Script, scheme: str = "smtp") -> str:
    """Where the peer is."""
    return f"{scheme}://{peer.address}"


def session(peer: Script, **options: object) -> smtp.Session:
    """A session with a peer whose conversation knows no login."""
    return smtp.session(url(peer), **options)  # type: ignore[arg-type]


def stuffed(message: bytes) -> bytes:
    """What follows DATA for `message`: written apart from the code under test, byte for byte."""
    lines, line, position = [], bytearray(), 0
    while position < len(message):
        byte = message[position : position + 1]
        if byte in (b"\r", b"\n"):
            lines.append(bytes(line))
            line.clear()
            position += 2 if message[position : position + 2] == b"\r\n" else 1
        else:
            line += byte
            position += 1
    if line:
        lines.append(bytes(line))
    return b"".join((b"." + one if one.startswith(b".") else one) + b"\r\n" for one in lines) + b".\r\n"


def bodies(peer: Script) -> list[bytes]:
    """What came after each DATA, dots and all, as a server reads it: up to a line that is a dot alone."""
    found, rest = [], peer.received
    while (start := rest.find(b"\r\nDATA\r\n")) >= 0:
        rest = rest[start + 8 :]
        end = 0 if rest.startswith(b".\r\n") else rest.index(b"\r\n.\r\n") + 2
        found.append(rest[: end + 3])
        rest = rest[end + 1 :]  # the last CRLF may be in front of the next DATA
    return found


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data`, cut at these offsets."""
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]
