"""Conversation: how a line server of the lab talks with one client.

A protocol is a coroutine function `async def talk(conversation) -> None`. It greets, then for each command

    line = await conversation.read_command()
    if await conversation.begin("FETCH", line, tag="a1"):     # False: a fault has answered in its place
        ... do it, and answer with `write` ...

and returns to say goodbye. `Ended` and errors of the network pass through it; whoever runs it closes the connection.
What is written leaves when the server next waits for its client (`flush` makes it leave now).
"""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING

from asyncnet.errors import LimitError, ProtocolError, printable
from asyncnet.lab.dialogue import Dialogue
from asyncnet.lab.faults import CONNECT, PUSH, Fault
from asyncnet.lab.manner import Manner, with_tag
from asyncnet.lab.wire import Ended, Wire
from asyncnet.streams.connection import Connection

if TYPE_CHECKING:
    from asyncnet.lab.lab import Lab

MAX_LINE_BYTES = 8_192
_MAX_DROPPED_BYTES = 1_048_576
"""So much of a line that is too long is read to its end, so that it can be refused; beyond, the client is left."""


class BadLine(ProtocolError):
    """A line that breaks the rule of lines: too long, or with a bare CR or LF. It has been read to its end."""


class Conversation:
    """One client of one line server.

    Args:
        lab: whose server it is; `lab.store` and `lab.faults` are there.
        manner: how the protocol says no.
        connection: the client's.
        number: of the conversation in this protocol, from 1.
        context: what TLS is begun with.

    Attributes:
        dialogue: the record; `dialogue.username` is set by the server at login.
    """

    def __init__(
        self, lab: Lab, manner: Manner, connection: Connection, number: int, context: ssl.SSLContext | None
    ) -> None:
        self.lab = lab
        self.manner = manner
        self.connection = connection
        self.number = number
        self.dialogue = Dialogue(manner.protocol, number, str(connection.peer))
        self._context = context
        self._in = bytearray()
        self._at = 0
        self._step = 0
        self._wire = Wire(connection, self._sent)

    @property
    def is_tls(self) -> bool:
        """Whether TLS is on."""
        return self.connection.is_tls

    def offers(self, capability: str) -> bool:
        """Whether a capability may be offered, and its command be known: no rule strips it."""
        return not self.lab.faults.strips(self.manner.protocol, capability)

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS (STLS) may be offered: TLS is not on, and no rule strips it."""
        return not self.is_tls and bool(self.manner.starttls) and self.offers(self.manner.starttls)

    # In.

    async def read_command(self, max_bytes: int = MAX_LINE_BYTES) -> bytes:
        """End the answer to the former command, and read the next line, without its CRLF.

        Raises:
            BadLine: it is longer than `max_bytes`, or holds a bare CR or LF; it is gone, and the next one may be read.
            LimitError: it is so long that its end was not waited for.
            Ended: the client has left, or a fault has ended the conversation.
        """
        await self._wire.settle()
        return await self.read_line(max_bytes)

    async def read_line(self, max_bytes: int = MAX_LINE_BYTES, *, secret: bool = False) -> bytes:
        """Read a line in mid-command, without its CRLF: what follows a literal, or answers a challenge.

        Args:
            max_bytes: how long it may be, with its CRLF.
            secret: keep it out of the dialogue.

        Raises:
            BadLine, LimitError, Ended: as in `read_command`.
        """
        searched = self._at
        while (end := self._in.find(b"\n", searched)) < 0:
            if len(self._in) - self._at > max_bytes:
                await self._drop_line(max_bytes)
            searched = len(self._in) - self._at
            await self.receive()
            searched += self._at
        line = bytes(self._in[self._at : end + 1])
        self._at = end + 1
        wrong = ""
        if len(line) > max_bytes:
            wrong = f"a line of {len(line)} bytes; {max_bytes} are allowed"
        elif not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            wrong = "a bare CR or LF; a line ends in CRLF"
        if wrong:  # nobody takes it apart, to see whether it holds a secret
            self.dialogue.say("C", f"({wrong})".encode())
            raise BadLine(wrong)
        self.dialogue.say("C", b"(a secret)" if secret else line)
        return line[:-2]

    async def _drop_line(self, max_bytes: int) -> None:
        dropped = 0
        while (end := self._in.find(b"\n", self._at)) < 0:
            dropped += len(self._in) - self._at
            if dropped > _MAX_DROPPED_BYTES:
                raise LimitError(f"a line of more than {dropped} bytes", limit=max_bytes)
            self._at = len(self._in)
            await self.receive()
        self._at = end + 1
        self.dialogue.say("!", b"a line that is too long")
        raise BadLine(f"a line of more than {max_bytes} bytes")

    async def read_exactly(self, count: int) -> bytes:
        """Read a literal or a chunk of `count` bytes; the caller has checked that it is not too many.

        Raises:
            Ended: the client left before.
        """
        while len(self._in) - self._at < count:
            await self.receive()
        data = bytes(self._in[self._at : self._at + count])
        self._at += count
        self.dialogue.say("C", data)
        return data

    async def receive(self) -> None:
        """Wait for more bytes; what was written leaves before. They are in `take_buffered` and what reads there.

        Raises:
            Ended: the client has left.
        """
        await self._wire.flush()
        chunk = await self.connection.read()
        if not chunk:
            raise Ended
        if self._at:
            del self._in[: self._at]
            self._at = 0
        self._in += chunk

    async def skip(self, count: int) -> None:
        """Read `count` bytes and drop them.

        Raises:
            Ended: the client left before.
        """
        while count > 0:
            if not self.has_input:
                await self.receive()
            step = min(count, len(self._in) - self._at)
            self._at += step
            count -= step

    def take_buffered(self) -> bytes:
        """Take all bytes that are here already, perhaps none; give back what is too much by `unread`."""
        data = bytes(self._in[self._at :])
        self._in.clear()
        self._at = 0
        return data

    def unread(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._in[: self._at] = data
        self._at = 0

    @property
    def has_input(self) -> bool:
        """Whether bytes are here that nobody has read yet: a pipelined command, or one slipped in before TLS."""
        return len(self._in) > self._at

    # Out.

    async def write(self, data: bytes) -> None:
        """Write a piece of an answer, with its line ends; it leaves when the server next waits, or by `flush`.

        Raises:
            Ended: a fault has closed the connection.
            NetError: the client has left.
        """
        await self._wire.write(data)

    async def flush(self) -> None:
        """Let leave what was written."""
        await self._wire.flush()

    async def settle(self) -> None:
        """End the answer before the next command is read: what a fault does at its end is done now.

        Raises:
            Ended: that was the end of the conversation.
        """
        await self._wire.settle()

    async def prompt(self, data: bytes) -> None:
        """Send a go-ahead in mid-command (`+ ...`) at once; the command's fault is for its answer."""
        await self._wire.prompt(data)

    def _sent(self, data: bytes) -> None:
        self.dialogue.say("S", data)

    # Faults.

    async def begin(self, verb: str, line: bytes | str = b"", *, tag: str = "", also: str = "") -> bool:
        """Ask before a command is done whether something goes wrong with all that is written until the next.

        Args:
            verb: the command's name in upper case, or CONNECT, MESSAGE or PUSH.
            line: the whole line, for `matching`.
            tag: IMAP's tag, for a refusal.
            also: another name that rules may know this moment by.

        Returns:
            Whether to do it: False where the fault has answered.

        Raises:
            Ended: the fault has ended the conversation.
        """
        if verb != PUSH:  # how often a server speaks unasked is a matter of timing; chaos is not
            self._step += 1
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        fault = self.lab.faults.meet(self.manner.protocol, verb, text, (self.number, self._step), also)
        if fault is None:
            await self._wire.settle()
            return True
        await self._wire.begin(fault)
        self.dialogue.say("!", repr(fault).encode())
        return not await self._misbehave(fault, also or verb, tag)

    async def _misbehave(self, fault: Fault, verb: str, tag: str) -> bool:
        """Answer in the server's place; whether that was done."""
        if fault.refuse:
            if verb == CONNECT:
                await self._wire.break_off(reset=True)
            await self.write(self.manner.refuse(verb, tag))
        elif fault.greylist:
            await self.write(self.manner.defer(tag))
        elif fault.reply is not None:
            await self.write(with_tag(fault.reply, tag))
        elif fault.bye:
            await self.write(with_tag(self.manner.goodbye, tag) + b"\r\n")
            await self._wire.settle()
            await self._wire.flush()
            raise Ended
        elif fault.garbage:
            await self.write(random.Random(f"{self.number}/{self._step}").randbytes(fault.garbage))
        elif fault.silence:
            if verb != PUSH:
                await self.stall()
        elif fault.endless_line or fault.endless_reply:
            if fault.endless_reply:
                await self.write(self.manner.opening)
            await self._wire.flush()
            await self._wire.endless(b"x" if fault.endless_line else self.manner.endless + b"\r\n")
        else:
            return False
        return True

    async def stall(self) -> None:
        """Say nothing more, and drop what comes, until the client leaves.

        Raises:
            Ended: it has left.
        """
        while True:
            self.take_buffered()
            await self.receive()

    # TLS and the end.

    async def start_tls(self, go_ahead: bytes) -> None:
        """Send the go-ahead, and begin TLS.

        Raises:
            ProtocolError: the client did not wait for it: what it sent in plaintext would be taken for secure.
            TLSError, DisconnectedError, DeadlineError: the handshake failed; the connection is gone.
        """
        await self._wire.flush()
        if self.has_input:
            raise ProtocolError("the client sent more before TLS began (RFC 3207 §4.2)", operation="STARTTLS")
        after, delay = await self._wire.go_ahead(go_ahead)
        if delay:
            await asyncio.sleep(delay)
        self._sent(after)
        await self.connection.start_tls(self._context, after=after)
        tls = self.connection.tls
        self.dialogue.say("!", f"TLS: {printable(tls.version)}".encode() if tls is not None else b"TLS")

    async def aclose(self, *, wait: bool) -> None:
        """End it: with `wait` once all has left. The connection is closed by the server around."""
        self.dialogue.ended = True
        try:
            if wait:
                await self._wire.settle()
                await self._wire.flush()
        finally:
            await self._wire.aclose(wait=wait)
