"""Script: a server that holds conversations written as text, and complains when a client departs from them."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Mapping

from tests.clock import MS
from tests.peers.conversation import parse
from tests.peers.listener import Peer
from tests.peers.talk import Mismatch, Over, Talk
from tests.peers.wire import Wire

PATIENCE = 10_000 * MS
"""Seconds that a peer waits for its client before it calls the wait a mismatch: a hang becomes a message."""

Conversation = str | Callable[[Talk], object]


class Script(Peer):
    r"""A server that plays one conversation per connection, in the order in which the connections come.

        with Script('''
            S: +OK ready
            C: USER alice
            S: +OK
            silence
        ''') as peer:
            ...  # a client of peer.host, peer.port
        assert peer.lines == [b"USER alice"]

    The language is in `conversation.py`; a function of a Talk may stand in the place of a text, with the same verbs as
    methods. Leaving the block raises AssertionError if a client said anything but what its conversation has, if a
    conversation was not held to its end, or if one connection too many came (`check=False`: it only notes them in
    `mismatches`). A client that leaves while the server speaks is no mismatch if it had nothing more to say.

    Args:
        conversations: one for each connection; none at all means that no client may come.
        host: a loopback address, of either family.
        tls: a server's context: TLS from the first byte.
        starttls: a server's context for the verb `starttls`.
        bodies: big texts by name, for `dump NAME` and `{#NAME}`.
        repeat: the last conversation holds for every further connection too, also if none comes.
        check: whether leaving the block complains.
        patience: seconds that a client may do nothing before that is a mismatch.
    """

    def __init__(
        self,
        *conversations: Conversation,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        bodies: Mapping[str, bytes] | None = None,
        repeat: bool = False,
        check: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(host=host, check=check)
        self.bodies = dict(bodies or {})
        self.mismatches: list[str] = []
        self.talks: list[Talk] = []
        self.tls_failures: list[Exception] = []
        self._conversations = [parse(one) if isinstance(one, str) else one for one in conversations]
        self._tls = tls
        self._starttls = starttls
        self._repeat = repeat
        self._patience = patience
        self._news = threading.Condition()
        self._released: set[str] = set()
        self._reached: set[str] = set()

    @property
    def received(self) -> bytes:
        """All that the clients sent, decrypted, connection after connection."""
        return b"".join(bytes(talk.wire.received) for talk in list(self.talks))

    @property
    def cleartext(self) -> bytes:
        """The part of `received` that came unencrypted."""
        return b"".join(bytes(talk.wire.cleartext) for talk in list(self.talks))

    @property
    def lines(self) -> list[bytes]:
        """`received` as lines, without their ends."""
        return self.received.splitlines()

    @property
    def sent(self) -> int:
        """How many bytes went out, over all connections: says how much of a flood was taken."""
        return sum(talk.wire.sent for talk in list(self.talks))

    def release(self, name: str) -> None:
        """Let the conversations that `wait NAME` go on, now and later."""
        with self._news:
            self._released.add(name)
            self._news.notify_all()

    def wait_until(self, what: bytes | str | int) -> None:
        """Block until so many connections came (int), these bytes were received, or a `wait NAME` was reached (str).

        AssertionError after the patience of the peer.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._is_so(what), self._patience):
                raise AssertionError(self._report(f"waited in vain for {what!r}"))

    async def until(self, what: bytes | str | int) -> None:
        """As `wait_until`, while the loop goes on."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while not self._is_so(what):
            if loop.time() > end:
                raise AssertionError(self._report(f"waited in vain for {what!r}"))
            await asyncio.sleep(MS)

    def close(self) -> None:
        """Stop, and take note of the conversations that nobody came for."""
        self.stopping.set()
        self.heard()
        super().close()
        missing = len(self._conversations) - self.connections - (1 if self._repeat else 0)
        if missing > 0:
            self.mismatches.append(f"{missing} of {len(self._conversations)} conversations: no client came")

    def verdict(self) -> list[str]:
        """Every mismatch, with the transcript of its connection, and every failure of the peer itself."""
        return self.mismatches + self.failures

    def serve(self, sock: socket.socket, number: int) -> None:
        """Hold the conversation that is this connection's turn."""
        wire = Wire(sock, self._patience)
        names = {"host": self.host.encode(), "port": str(self.port).encode(), "address": self.address.encode()}
        names |= {f"#{name}": str(len(body)).encode() for name, body in self.bodies.items()}
        talk = Talk(wire, self, names)
        self.talks.append(talk)
        self.heard()
        try:
            self._hold(talk, number)
        except Mismatch as mismatch:
            self.mismatches.append(self._report(f"connection {number + 1}, {mismatch}", talk))
        except Over:
            pass
        finally:
            self.heard()

    def starttls_context(self) -> ssl.SSLContext:
        """The context for an upgrade."""
        if self._starttls is None:
            raise ValueError("the conversation has a starttls, and the Script was given no starttls= context")
        return self._starttls

    def stand_at(self, name: str) -> bool:
        """Wait until the test releases `name`; False when the test ended instead."""
        with self._news:
            self._reached.add(name)
            self._news.notify_all()
            self._news.wait_for(lambda: name in self._released or self.stopping.is_set())
            return name in self._released

    def heard(self) -> None:
        """Tell whoever waits that there is news."""
        with self._news:
            self._news.notify_all()

    def _hold(self, talk: Talk, number: int) -> None:
        if number >= len(self._conversations) and not self._repeat:
            raise Mismatch(f"one connection too many: {len(self._conversations)} conversations were foreseen")
        conversation = self._conversations[min(number, len(self._conversations) - 1)]
        if self._tls:
            talk.upgrade(self._tls)
        if isinstance(conversation, list):
            talk.play(conversation)
        else:
            conversation(talk)
            talk.close()

    def _is_so(self, what: bytes | str | int) -> bool:
        if isinstance(what, int):
            return len(self.talks) >= what
        return what in self.received if isinstance(what, bytes) else what in self._reached

    def _report(self, text: str, talk: Talk | None = None) -> str:
        talks = [talk] if talk else list(self.talks)
        return "\n    ".join([text, *(line for one in talks for line in one.transcript[-20:])])
