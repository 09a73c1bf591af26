"""Mailroom: an IMAP server for many connections, of the standard library, that notes what it was asked."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.peers.talk import Talk

_LINE = re.compile(rb"(\S+) (UID )?(\S+)(.*)", re.DOTALL)
MESSAGE = b"Subject: hello\r\n\r\nGood morning.\r\n"


@dataclass
class Mailroom:
    """The conversation of each connection, for a Script with `repeat=True`.

    Args:
        capabilities: what is offered.
        messages: how many the mailbox has.
        on: called with each connection's number, from 0, and each command before it is answered; it may hold it up, and
            what it returns is done instead of the answer: `cut`, or a reply.
    """

    capabilities: str = "IMAP4rev1 UNSELECT ENABLE"
    messages: int = 0
    on: Callable[[int, str], str | None] = lambda number, command: None
    commands: list[list[str]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self.commands)

    def __call__(self, talk: Talk) -> None:
        """Hold one connection."""
        with self._lock:
            number = len(self.commands)
            self.commands.append([])
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            talk.say(f"* OK [CAPABILITY {self.capabilities}] ready")
            while self._answer(talk, number):
                pass
        finally:
            with self._lock:
                self.open_now -= 1

    def _answer(self, talk: Talk, number: int) -> bool:
        match = _LINE.fullmatch(talk.until(r"\r\n").removesuffix(b"\r\n"))
        assert match
        tag, command, rest = match[1].decode(), match[3].decode().upper(), match[4]
        self.commands[number].append(command)
        instead = self.on(number, command)
        if instead == "cut":
            talk.cut()
        elif instead is not None:
            talk.say(f"{tag} {instead}")
        else:
            getattr(self, f"_{command.lower()}", lambda *_: None)(talk, rest)
            said = f"[CAPABILITY {self.capabilities}] welcome" if command == "LOGIN" else "done"
            talk.say(f"{tag} OK {said}")
        return command != "LOGOUT"

    def _login(self, talk: Talk, rest: bytes) -> None:
        with self._lock:
            self.logins.append(rest.strip())

    def _select(self, talk: Talk, rest: bytes) -> None:
        talk.say(f"* {self.messages} EXISTS")
        talk.say("* OK [UIDVALIDITY 1] valid")

    _examine = _select

    def _search(self, talk: Talk, rest: bytes) -> None:
        talk.say(" ".join(["* SEARCH", *map(str, range(1, self.messages + 1))]))

    def _enable(self, talk: Talk, rest: bytes) -> None:
        talk.say(f"* ENABLED{rest.decode()}")

    def _fetch(self, talk: Talk, rest: bytes) -> None:
        for uid in range(1, self.messages + 1):
            if b"BODY" not in rest:
                talk.say(f"* {uid} FETCH (UID {uid} RFC822.SIZE {len(MESSAGE)})")
                continue
            head = f"* {uid} FETCH (UID {uid} FLAGS () RFC822.SIZE {len(MESSAGE)} BODY[] {{{len(MESSAGE)}}}\r\n"
            talk.send_bytes(head.encode() + MESSAGE + b")\r\n")

    def _logout(self, talk: Talk, rest: bytes) -> None:
        talk.say("* BYE")
