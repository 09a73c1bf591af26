"""Exchange: commands out, replies in, the message in between. Our own protocol, in the place of aiosmtplib's.

aiosmtplib says what to ask (EHLO, STARTTLS, AUTH, NOOP, RSET, QUIT) and remembers what the server offers; this asks.
Its own protocol drops a reply that nobody asked for, takes any number for a code, discards plaintext that was put in
front of TLS, holds a message several times, sends it without flow control, and waits for every reply before it asks
again. Here any number of commands may be on their way (RFC 2920); each reply belongs to the oldest that has none, and
one that comes before all of its command has left us ends the connection.

The seam, all of it: an `aiosmtplib.SMTP` whose public attributes `protocol` and `transport` are set to ours
(`client_over`), and which of its protocol uses `is_connected`, `transport`, `execute_command` and `start_tls`, and
nothing else but `execute_data_command`, which we do not call. `tests/smtp/test_seam.py` holds the installed version
to that.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections import deque
from typing import Any, NamedTuple, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from asyncnet.deadline import phase
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DisconnectedError, NetError, ProtocolError, RefusedError, UsageError
from asyncnet.smtp.reply import GOODBYE, Reply, ReplyReader, refusal
from asyncnet.tls import Handshake
from asyncnet.trace import answered, noted
from asyncnet.translation import TALKING, translation

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_VERBS = frozenset({b"EHLO", b"HELO", b"STARTTLS", b"AUTH", b"NOOP", b"RSET", b"QUIT"})
_READY = 220
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux alone has it."""


class Asked(NamedTuple):
    """A command that has no reply yet."""

    reply: asyncio.Future[Reply]
    operation: str
    end: int
    """how many bytes of the connection have been written when all of the command has"""
    is_chunk: bool = False
    """whether it is one of several chunks of a message"""


class Exchange(asyncio.Protocol):
    """One connection to a server.

    Attributes:
        transport: what carries the bytes; another one once TLS is up.
        greeting: the server's first words, once they have come.
        in_message: whether a message is being written after DATA: a no may come at any time.
        written: how many bytes were given to the exchange so far.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.transport: asyncio.Transport | None = None
        self.in_message = False
        self.written = 0
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._waiting: deque[Asked] = deque()
        self._outgoing: list[bytes | memoryview] = []
        self._held = 0
        self._left_at_last = 0
        self._failure: NetError | None = None
        self._operation = "greeting"
        self._drained: asyncio.Future[None] | None = None
        self.greeting = self._next_reply("greeting", 0)

    # What a session calls.

    @property
    def is_usable(self) -> bool:
        """Whether commands can be exchanged."""
        return self._failure is None and self.is_connected

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is up."""
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    async def command(self, line: bytes, operation: str) -> Reply:
        """Write a command line, without its CRLF, and wait for its reply, whatever that is.

        Raises:
            UsageError: a control character in the line; nothing was written.
            DisconnectedError: the server left or said goodbye; what it said before is in the error.
            ProtocolError: a reply had come before, or what came is no reply.
        """
        return await self.answer(self.ask(line, operation))

    def ask(
        self, line: bytes, operation: str, content: bytes | memoryview = b"", *, is_chunk: bool = False
    ) -> asyncio.Future[Reply]:
        """Take a command line, and what belongs to it, to be written with the next `flush`; gives its future reply.

        Args:
            line: the command, without its CRLF.
            operation: the name that errors bear.
            content: what follows the line.
            is_chunk: whether it is one of several chunks of a message, each of which has a reply of its own.

        Raises:
            UsageError, DisconnectedError, ProtocolError: as in `command`.
        """
        if _CONTROL.search(line):
            raise UsageError("a control character in a command", endpoint=self._endpoint, operation=operation)
        self._begin(operation)
        self.push(line + b"\r\n")
        if content:
            self.push(content)
        return self._next_reply(operation, self.written, is_chunk=is_chunk)

    def expect(self, operation: str) -> asyncio.Future[Reply]:
        """Give the future reply to what was pushed last."""
        return self._next_reply(operation, self.written)

    def push(self, data: bytes | memoryview) -> None:
        """Take bytes, to be written with the next `flush`."""
        self._outgoing.append(data)
        self._held += len(data)
        self.written += len(data)

    def flush(self) -> None:
        """Write what was taken.

        Raises:
            NetError: what has ended the connection.
        """
        if self._failure is not None:
            raise self._failure
        if self._outgoing and self.transport is not None:
            outgoing, self._outgoing, self._held = self._outgoing, [], 0
            self.transport.write(b"".join(outgoing) if len(outgoing) > 1 else outgoing[0])

    @property
    def held_bytes(self) -> int:
        """How much was taken and not yet written."""
        return self._held

    async def answer(self, reply: asyncio.Future[Reply]) -> Reply:
        """Wait for a reply, once all that was taken is written."""
        if not reply.done():
            self.flush()
        came = await reply
        answered(came.code)
        return came

    async def flow(self) -> None:
        """Write what was taken, wait until the server has taken most of it, and see what it said meanwhile."""
        self.flush()
        # In the first turn the loop sees what has come, in the second it was read: a server that says no and hangs up
        # is heard before a write fails, and a yes that is there by now is seen to be too early.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self._drained is not None:
            await self._drained
        if self._failure is not None:
            raise self._failure

    def may_have(self, end: int) -> bool:
        """Whether the server, which is lost now, may have all bytes up to `end`."""
        return self._failure is not None and 0 < end <= self._left_at_last

    def abort(self) -> None:
        """Drop the connection at once; idempotent."""
        self._fail(ClosedError("the connection was dropped", endpoint=self._endpoint))

    # What aiosmtplib calls.

    @property
    def is_connected(self) -> bool:
        """Whether there is a transport that is not closing."""
        return self.transport is not None and not self.transport.is_closing()

    async def execute_command(self, *args: bytes, timeout: float | None = None) -> aiosmtplib.SMTPResponse:
        """Ask as aiosmtplib wants it; `timeout` has no effect, for a session's deadline is around it."""
        # Of AUTH, the lines after the first are secrets: they name no operation.
        verb = args[0].decode("ascii") if args[0] in _VERBS else self._operation or ""
        reply = await self.command(b" ".join(args), verb)
        return aiosmtplib.SMTPResponse(reply.code, reply.text)

    async def start_tls(
        self, tls_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> aiosmtplib.SMTPResponse:
        """Ask for STARTTLS and shake hands; `timeout` is as in `execute_command`.

        Raises:
            ProtocolError: the server said more than its consent before TLS began (RFC 3207 §4.2).
            ssl.SSLError, OSError: the handshake failed.
        """
        reply = await self.command(b"STARTTLS", "STARTTLS")
        if reply.code != _READY:
            raise refusal(reply, self._endpoint, "STARTTLS")
        self._begin("STARTTLS")  # sees what was put after the consent
        phase("TLS handshake")
        assert self.transport is not None
        transport = await self._loop.start_tls(
            self.transport,
            self,
            tls_context,
            server_hostname=server_hostname,
            ssl_handshake_timeout=86_400.0,  # the real bound is the session's deadline
            ssl_shutdown_timeout=CLOSE_SECONDS,
        )
        if transport is None:
            raise ConnectionResetError("the peer left during the handshake")
        self.transport = transport
        noted(Handshake(transport.get_extra_info("ssl_object")))
        return aiosmtplib.SMTPResponse(reply.code, reply.text)

    async def greeted(self) -> None:
        """Wait for the server's first words.

        Raises:
            RefusedError: it has nothing good to say.
            DisconnectedError, ProtocolError: it says nothing, or something else.
        """
        greeting = await self.greeting
        if greeting.code != _READY:
            raise refusal(greeting, self._endpoint, "greeting")
        noted(greeting.text)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand each reply to the command that waits for it."""
        if self._failure is not None:
            return
        try:
            for reply in self._reader.feed(data):
                self._deliver(reply)
                if self._failure is not None:
                    return
        except ProtocolError as error:
            self._fail(error)
        if self._waiting and self._waiting[0].is_chunk:
            self._acknowledge()

    def eof_received(self) -> None:
        """The server will say no more."""
        self._fail(DisconnectedError("the server hung up"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        lost = None if exc is None else translation(exc, TALKING, self._endpoint, None)
        self._fail(lost or DisconnectedError("the server hung up"), exc)

    def pause_writing(self) -> None:
        """The server is slower than we are."""
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # How it is done.

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge what was read at once, for more is to come.

        A server with Nagle's algorithm (RFC 9293 §3.7.4) holds its next small reply back until the last one is
        acknowledged, and a kernel that has nothing to send delays that by 40 ms: to a message of many chunks the last
        reply is late by that, twice as long as Postfix takes for 5 MiB. (Small messages on their way together fare
        better without: there, replies that are held back come together.) The option holds for a short time only.
        """
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if _QUICKACK is not None and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # The socket is closed (uvloop's raises ValueError then): whoever waits is told so elsewhere.
            with contextlib.suppress(OSError, ValueError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _begin(self, operation: str) -> None:
        """Name what comes now, if it may come: nothing was said that was not asked for."""
        self._operation = operation
        if not self._waiting and self._reader.is_amid:
            self._fail(ProtocolError("a reply began that nothing had asked for"))
        if self._failure is not None:
            self._failure.operation = operation
            raise self._failure
        if not self.is_connected:
            raise DisconnectedError("the connection is closed", endpoint=self._endpoint, operation=operation)

    def _next_reply(self, operation: str, end: int, *, is_chunk: bool = False) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append(Asked(reply, operation, end, is_chunk))
        return reply

    @property
    def _left(self) -> int:
        """How many bytes have left us."""
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size()
        return self.written - self._held - unsent

    def _deliver(self, reply: Reply) -> None:
        if not self._waiting or self._waiting[0].end > self._left:  # a reply to what is still with us is none
            self._refuse_unasked(reply)
            return
        waiting = self._waiting.popleft().reply
        if not waiting.done():
            waiting.set_result(reply)
        if reply.code == GOODBYE and self._waiting:
            self._fail(refusal(reply), is_no=True)  # to all that comes after it, too

    def _refuse_unasked(self, reply: Reply) -> None:
        # A no may be said before all was heard.
        if reply.code == GOODBYE or (reply.is_negative and (self.in_message or self._waiting)):
            self._fail(refusal(reply), is_no=True)
        else:
            self._fail(ProtocolError(f"a reply that nothing had asked for: {reply}"))

    def _fail(self, error: NetError, cause: BaseException | None = None, *, is_no: bool = False) -> None:
        """Drop the connection, the first time with `error` for whoever waits and for whoever asks later.

        Args:
            error: what came of it.
            cause: what that came from.
            is_no: whether the server said so, and has therefore taken nothing that it had not answered before.
        """
        if self._failure is None:
            error.endpoint = error.endpoint or self._endpoint.redacted
            error.operation = error.operation or (self._waiting[0].operation if self._waiting else self._operation)
            error.__cause__ = error.__cause__ or cause
            # Who talks nonsense may have done anything with what was written; else what has not left us is not there.
            left = self.written - self._held if isinstance(error, ProtocolError) else self._left
            self._left_at_last = 0 if is_no else left
            self._failure = error
            self._tell(error)
        self._outgoing, self._held = [], 0
        if self.transport is not None:
            self.transport.abort()

    def _tell(self, error: NetError) -> None:
        """Give the waiters the error; if it is a refusal, it is the first one's alone."""
        others: NetError = error
        if isinstance(error, RefusedError) and len(self._waiting) > 1:
            others = DisconnectedError("the connection was dropped, for it was in the middle of a refused message")
            others.endpoint, others.operation = error.endpoint, error.operation
        waiters: list[asyncio.Future[Any]] = [one.reply for one in self._waiting]
        if self._drained is not None:
            waiters.append(self._drained)
        for number, waiter in enumerate(waiters):
            if not waiter.done():
                waiter.set_exception(error if number == 0 or waiter is self._drained else others)
                waiter.exception()  # so that asyncio does not complain where nobody waits
        self._waiting.clear()


def client_over(exchange: Exchange, *, hostname: str, local_hostname: str) -> aiosmtplib.SMTP:
    """Make aiosmtplib's client of a connection that stands and has greeted."""
    client = aiosmtplib.SMTP(hostname=hostname, local_hostname=local_hostname, timeout=None, start_tls=False)
    client.protocol = cast(SMTPProtocol, exchange)
    client.transport = exchange.transport
    return client
