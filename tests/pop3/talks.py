"""What many conversations with a POP3 server begin with, and a session that speaks in them."""

from asyncnet import Credentials, pop3
from tests.peers import Script

ALICE = Credentials("alice", "correct horse")

GREETED = "S: +OK ready\n"

CAPABLE = r"""
    C: CAPA
    S: +OK what there is
    S: TOP
    S: USER
    S: UIDL
    S: SASL PLAIN
    S: .
"""

SIGNED_IN = (
    CAPABLE
    + r"""
    C: AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=
    S: +OK welcome
"""
)

LEFT = r"""
    C: QUIT
    S: +OK bye
"""


def url(peer: Script, scheme: str = "pop3") -> str:
    """Where the peer is."""
    return f"{scheme}://{peer.address}"


def unlocked(peer: Script, **options: object) -> pop3.Session:
    """A session with a peer whose conversation knows no login."""
    return pop3.session(url(peer), **options)  # type: ignore[arg-type]


def stuffed(text: bytes) -> bytes:
    """What a server sends for `text`, line by line as RFC 1939 §3 has it: written apart from the code under test."""
    lines = text.split(b"\r\n")[:-1]
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
