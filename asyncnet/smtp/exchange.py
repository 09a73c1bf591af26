"""Exchange: commands out, replies in, the message in between. Our own protocol, in the place of aiosmtplib's.

aiosmtplib says what to ask (EHLO, STARTTLS, AUTH, NOOP, RSET, QUIT) and remembers what the server offers; this asks.
Its own protocol drops a reply that nobody asked for, takes any number for a code, discards plaintext that was put in
front of TLS, holds a message several times and sends it without flow control. Here each reply belongs to the command
that was written before it, and one that comes too early ends the connection.

The seam, all of it: an `aiosmtplib.SMTP` whose public attributes `protocol` and `transport` are set to ours
(`client_over`), and which of its protocol uses `is_connected`, `transport`, `execute_command` and `start_tls`, and
nothing else but `execute_data_command`, which we do not call. `tests/smtp/test_seam.py` holds the installed version
to that.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ClosedError, DisconnectedError, NetError, ProtocolError, UsageError
from asyncnet.smtp.reply import GOODBYE, Reply, ReplyReader, refusal
from asyncnet.smtp.stuffing import Stuffing
from asyncnet.translation import TALKING, translation

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_VERBS = frozenset({b"EHLO", b"HELO", b"STARTTLS", b"AUTH", b"NOOP", b"RSET", b"QUIT"})
_READY = 220


class Exchange(asyncio.Protocol):
    """One connection to a server.

    Attributes:
        transport: what carries the bytes; another one once TLS is up.
        greeting: the server's first words, once they have come.
        is_sent: whether the whole of the last message was written and its reply has not come: then nobody knows
            whether the server has taken it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_sent = False
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._failure: NetError | None = None
        self._operation: str | None = "greeting"
        self._in_message = False
        self._drained: asyncio.Future[None] | None = None
        self.greeting = self._next_reply()

    # What a session calls.

    @property
    def is_usable(self) -> bool:
        """Whether commands can be exchanged."""
        return self._failure is None and self.is_connected

    async def command(self, line: bytes, operation: str) -> Reply:
        """Write a command line, without its CRLF, and wait for its reply, whatever that is.

        Raises:
            UsageError: a control character in the line; nothing was written.
            DisconnectedError: the server left or said goodbye; what it said before is in the error.
            ProtocolError: a reply had come before, or what came is no reply.
        """
        if _CONTROL.search(line):
            raise UsageError("a control character in a command", endpoint=self._endpoint, operation=operation)
        self._begin(operation)
        reply = self._next_reply()
        self._write(line + b"\r\n")
        return await reply

    async def message(self, chunks: Iterable[bytes]) -> Reply:
        """Write what follows DATA, in step with the server, and wait for the reply to it.

        Raises:
            RefusedError: the server refused it before all was written.
            DisconnectedError, ProtocolError: as in `command`; `is_sent` says whether it may have been taken.

        After any failure, a cancellation too, the connection has been dropped: half a message cannot be taken back.
        """
        self._begin("DATA")
        self._in_message = True
        try:
            stuffing = Stuffing()
            for chunk in chunks:
                await self._flow()
                self._write(stuffing.feed(chunk))
            await self._flow()
            self._in_message = False
            reply, self.is_sent = self._next_reply(), True
            self._write(stuffing.finish())
            answer = await reply
        except BaseException:
            self.abort()
            raise
        self.is_sent = False
        return answer

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
        return aiosmtplib.SMTPResponse(reply.code, reply.text)

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

    def _next_reply(self) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append(reply)
        return reply

    def _deliver(self, reply: Reply) -> None:
        if not self._waiting or self._is_early:
            self._fail(self._unasked(reply))
            return
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(reply)

    @property
    def _is_early(self) -> bool:
        # The message's last bytes are still with us, so the reply cannot be to them.
        return self.is_sent and self.transport is not None and self.transport.get_write_buffer_size() > 0

    def _unasked(self, reply: Reply) -> NetError:
        if reply.code == GOODBYE or (reply.is_negative and (self._in_message or self._is_early)):
            self.is_sent = False  # a clear no
            return refusal(reply)
        return ProtocolError(f"a reply that nothing had asked for: {reply}")

    def _write(self, data: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if data and self.transport is not None:
            self.transport.write(data)

    async def _flow(self) -> None:
        """Let the loop turn, wait until the server has taken most of what was written, and see what it said."""
        # In the first turn the loop sees what has come, in the second it was read: a server that says no and hangs up
        # is heard before a write fails, and a yes that is there by now is seen to be too early.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self._drained is not None:
            await self._drained
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: NetError, cause: BaseException | None = None) -> None:
        """Drop the connection, the first time with `error` for whoever waits and for whoever asks later."""
        if self._failure is None:
            error.endpoint = error.endpoint or self._endpoint.redacted
            error.operation = error.operation or self._operation
            error.__cause__ = error.__cause__ or cause
            self._failure = error
            if self._is_early and not isinstance(error, ProtocolError):
                self.is_sent = False  # the end of the message never left
            waiters: list[asyncio.Future[Any]] = [*self._waiting]
            if self._drained is not None:
                waiters.append(self._drained)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()  # so that asyncio does not complain where nobody waits
            self._waiting.clear()
        if self.transport is not None:
            self.transport.abort()


def client_over(exchange: Exchange, *, hostname: str, local_hostname: str) -> aiosmtplib.SMTP:
    """Make aiosmtplib's client of a connection that stands and has greeted."""
    client = aiosmtplib.SMTP(hostname=hostname, local_hostname=local_hostname, timeout=None, start_tls=False)
    client.protocol = cast(SMTPProtocol, exchange)
    client.transport = exchange.transport
    return client
