"""Manner: how a protocol says no and goodbye, for faults that are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Manner:
    """How a protocol says what a fault makes it say; `{tag}` in a line is IMAP's tag.

    Args:
        protocol: its name, as in `Faults.on`.
        refusal: no, as a whole line without its end.
        goodbye: the server leaves.
        endless: one line of a reply that goes on.
        opening: what stands once before those lines, with its end.
        later: not now, but later (greylisting).
        refusals: no to certain commands.
        starttls: the name of the command that begins TLS, or "".
    """

    protocol: str
    refusal: bytes
    goodbye: bytes
    endless: bytes
    later: bytes
    refusals: Mapping[str, bytes] = field(default_factory=dict)
    starttls: str = ""
    opening: bytes = b""

    def refuse(self, verb: str, tag: str) -> bytes:
        """Give the line that says no to `verb`."""
        return with_tag(self.refusals.get(verb, self.refusal), tag) + b"\r\n"

    def defer(self, tag: str) -> bytes:
        """Give the line that says "later"."""
        return with_tag(self.later, tag) + b"\r\n"


def with_tag(line: bytes, tag: str) -> bytes:
    """Put the tag in its place."""
    return line.replace(b"{tag}", tag.encode())


SMTP = Manner(
    "smtp",
    refusal=b"550 5.7.1 Refused by the lab",
    goodbye=b"421 4.3.2 The lab says goodbye",
    endless=b"250-and so on",
    later=b"450 4.7.1 Greylisted, please try again",
    refusals={
        "AUTH": b"535 5.7.8 Authentication credentials invalid",
        "STARTTLS": b"454 4.7.0 TLS not available for a reason of the lab",
        "RCPT": b"550 5.1.1 Nobody of that name here, says the lab",
        "MESSAGE": b"554 5.7.1 The lab does not take this message",
    },
    starttls="STARTTLS",
)
POP3 = Manner(
    "pop3",
    refusal=b"-ERR refused by the lab",
    goodbye=b"-ERR [SYS/TEMP] the lab says goodbye",
    endless=b"and so on",
    opening=b"+OK\r\n",
    later=b"-ERR [SYS/TEMP] please try again",
    refusals={
        "PASS": b"-ERR [AUTH] refused by the lab",
        "APOP": b"-ERR [AUTH] refused by the lab",
        "AUTH": b"-ERR [AUTH] refused by the lab",
    },
    starttls="STLS",
)
IMAP = Manner(
    "imap",
    refusal=b"{tag} NO refused by the lab",
    goodbye=b"* BYE the lab says goodbye",
    endless=b"* OK and so on",
    later=b"{tag} NO [UNAVAILABLE] please try again",
    refusals={
        "LOGIN": b"{tag} NO [AUTHENTICATIONFAILED] refused by the lab",
        "AUTHENTICATE": b"{tag} NO [AUTHENTICATIONFAILED] refused by the lab",
    },
    starttls="STARTTLS",
)
ECHO = Manner("echo", refusal=b"no", goodbye=b"goodbye", endless=b"and so on", later=b"later")
