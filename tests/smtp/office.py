"""Office: a mail server for many connections, of the standard library, that keeps what it took and errs on demand."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.peers.talk import Talk

EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SIZE 100000000", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Taken:
    """A message that the office has said yes to."""

    sender: str
    recipients: list[str]
    data: bytes


@dataclass
class Office:
    """The conversation of each connection, for a Script with `repeat=True`.

    Args:
        extensions: what is offered.
        rcpt: the reply to RCPT for an address.
        verdict: what happens when message number n, from 0 and over all connections, has come whole: a reply; or
            `cut` before the answer, with (`cut taken`) or without having taken it; or `silence`.
        lmtp: answer for each recipient.
    """

    extensions: Sequence[str] = EXTENSIONS
    rcpt: Callable[[str], str] = lambda address: "250 2.1.5 Ok"
    verdict: Callable[[int], str] = lambda number: "250 2.0.0 Ok: queued"
    greeting: Callable[[int], str] = lambda number: "220 office"
    lmtp: bool = False
    taken: list[Taken] = field(default_factory=list)
    commands: Counter[bytes] = field(default_factory=Counter)
    connections: int = 0
    whole: int = 0
    lines: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, talk: Talk) -> None:
        """Hold one connection."""
        with self._lock:
            number, self.connections = self.connections, self.connections + 1
        greeting = self.greeting(number)
        talk.say(greeting)
        if not greeting.startswith("220"):
            talk.cut()
        _Visit(self, talk).hold()


class _Visit:
    def __init__(self, office: Office, talk: Talk) -> None:
        self.office, self.talk = office, talk
        self.forget()

    def forget(self) -> None:
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.content = bytearray()

    def hold(self) -> None:
        while True:
            line = self.talk.until(r"\r\n").removesuffix(b"\r\n")
            verb = line.split(b" ")[0].upper()
            with self.office._lock:
                self.office.commands[verb] += 1
                self.office.lines.append(line)
            getattr(self, verb.decode().lower())(line)

    def ehlo(self, line: bytes) -> None:
        names = ["office", *self.office.extensions]
        for name in names:
            self.talk.say(f"250{'-' if name is not names[-1] else ' '}{name}")

    lhlo = ehlo

    def noop(self, line: bytes) -> None:
        self.talk.say("250 2.0.0 Ok")

    def rset(self, line: bytes) -> None:
        self.forget()
        self.talk.say("250 2.0.0 Ok")

    def quit(self, line: bytes) -> None:
        self.talk.say("221 2.0.0 Bye")
        self.talk.close()

    def mail(self, line: bytes) -> None:
        if self.sender is not None:
            self.talk.say("503 5.5.1 nested MAIL command")
            return
        self.sender = line.partition(b"<")[2].partition(b">")[0].decode()
        self.talk.say("250 2.1.0 Ok")

    def rcpt(self, line: bytes) -> None:
        address = line.partition(b"<")[2].partition(b">")[0].decode()
        reply = self.office.rcpt(address)
        if reply.startswith("421"):
            self.talk.say(reply)
            self.talk.cut()
        if reply.startswith("2"):
            self.recipients.append(address)
        self.talk.say(reply)

    def bdat(self, line: bytes) -> None:
        words = line.split()
        self.content += self.talk.read(int(words[1]))
        if not self.recipients:
            self.talk.say("554 5.5.1 no valid recipients")
        elif words[-1] == b"LAST":
            self.end()
        else:
            self.talk.say("250 2.0.0 Ok")

    def data(self, line: bytes) -> None:
        if not self.recipients:
            self.talk.say("503 5.5.1 no valid recipients")
            return
        self.talk.say("354 go on")
        stuffed = self.talk.until(r"\r\n.\r\n")[:-3]
        self.content += b"\r\n".join(one.removeprefix(b".") for one in stuffed.split(b"\r\n"))
        self.end()

    def end(self) -> None:
        office = self.office
        with office._lock:
            verdict = office.verdict(office.whole)
            office.whole += 1
            if verdict.startswith("2") or verdict == "cut taken":
                office.taken.append(Taken(self.sender or "", self.recipients, bytes(self.content)))
        if verdict.startswith("cut"):
            self.talk.cut()
        if verdict == "silence":
            self.talk.silence()
        for _ in self.recipients if office.lmtp else range(1):
            self.talk.say(verdict)
        if verdict.startswith("421"):
            self.talk.cut()
        self.forget()
