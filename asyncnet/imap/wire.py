"""Wire: the one seam to aioimaplib, and our own receive path under it.

aioimaplib's protocol keeps the tags, the states a command is legal in, the pending commands and the sending of their
lines. What the server sends never reaches its parser: `data_received` is ours. It cuts the bytes into responses, makes
values of them, tells them to whoever listens, and completes the command that a tagged response belongs to.

The rules: a tagged response that nobody waits for, one that comes before its command was written, or a `+` that nobody
asked for breaks the connection; once it is broken, ended, or said goodbye to, every pending command ends at once with a
typed error, and nothing more is read.
"""

from __future__ import annotations

import asyncio
import copy
import ssl
from collections.abc import Awaitable, Callable

import aioimaplib

from asyncnet.deadline import phase
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DisconnectedError, NetError, ProtocolError, UsageError, printable
from asyncnet.imap.command import Request, Segment
from asyncnet.imap.incoming import Incoming, Tap
from asyncnet.imap.limits import Limits
from asyncnet.imap.outgoing import Outgoing, announcement, taken_text
from asyncnet.imap.response import Continuation, Fetched, Reply, Status
from asyncnet.imap.upgrade import upgraded

_STATE_AFTER = {
    "LOGIN": aioimaplib.AUTH,
    "AUTHENTICATE": aioimaplib.AUTH,
    "SELECT": aioimaplib.SELECTED,
    "EXAMINE": aioimaplib.SELECTED,
    "CLOSE": aioimaplib.AUTH,
    "UNSELECT": aioimaplib.AUTH,
    "LOGOUT": aioimaplib.LOGOUT,
}

_WHERE = {
    aioimaplib.STARTED: "before the connection stands",
    aioimaplib.CONNECTED: "before the server's greeting",
    aioimaplib.NONAUTH: "before signing in",
    aioimaplib.AUTH: "while no mailbox is selected",
    aioimaplib.SELECTED: "any more",
    aioimaplib.LOGOUT: "after logging out",
}

_INJECTED = "bytes between the answer to STARTTLS and TLS: somebody put them there"


class Pending(aioimaplib.Command):
    """One command that the server has not answered yet.

    Attributes:
        status: its tagged response, once that came.
        is_written: whether all of it has been handed to the transport.
    """

    def __init__(self, request: Request, tag: str, line: str) -> None:
        # aioimaplib keeps pending commands by the name of the response they wait for, one of each; by tag, any number
        # of the same name can be under way.
        prefix = "UID" if request.by_uid else None
        super().__init__(request.name, tag, *([line] if line else []), prefix=prefix, untagged_resp_name=tag)
        self.full_name = request.full_name
        self.status: Status | None = None
        self.is_written = False
        self._failure: NetError | None = None

    @property
    def line(self) -> str:
        """The text of the command, which may hold a secret."""
        return str(super().__repr__())

    def complete(self, status: Status) -> None:
        """End it by its tagged response."""
        self.status = status
        self.close(status.text.encode(), status.kind)

    def fail(self, failure: NetError) -> None:
        """End it without one."""
        self._failure = failure
        self.close(b"", "BAD")

    async def answer(self) -> Status:
        """Wait for its tagged response.

        Raises:
            DisconnectedError, ProtocolError: the connection ended, or was broken, before that.
        """
        await self.wait()
        if self._failure is not None:
            raise self._failure
        assert self.status is not None
        return self.status

    def __repr__(self) -> str:
        return f"<{self.tag} {self.full_name}>"


class Wire(aioimaplib.IMAP4ClientProtocol):
    """One connection to an IMAP server.

    Args:
        endpoint: what errors name.
        limits: how much of the server's talk is taken.

    Attributes:
        incoming: where listeners are told what the server says.
        tap: holds reading back.
        capabilities: what the server can do, in upper case; whoever hears of it keeps it up to date.
    """

    transport: asyncio.Transport
    capabilities: set[str]
    state: str

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._endpoint = endpoint
        self.incoming = Incoming(limits)
        self.tap = Tap()
        self._outgoing = Outgoing()
        self._greeting: asyncio.Future[Status | None] = loop.create_future()
        self._lost: NetError | None = None
        self._closed: asyncio.Future[None] = loop.create_future()
        self._is_barred = False

    # What the session does with it

    @property
    def is_lost(self) -> bool:
        """Whether the connection ended or was broken."""
        return self._lost is not None

    def check(self, operation: str) -> None:
        """Go on only if the connection stands.

        Raises:
            DisconnectedError, ProtocolError: it ended or was broken.
        """
        if self.is_lost:
            raise self._why(operation)

    async def greeting(self) -> Status:
        """Wait for the first thing the server says: OK, PREAUTH or BYE.

        Raises:
            ProtocolError: it says something else.
            DisconnectedError: it leaves.
        """
        phase("greeting")
        status = await self._greeting
        if status is None:
            raise self._why("greeting")
        return status

    async def run(self, request: Request, answer: Callable[[bytes], Awaitable[bytes]] | None = None) -> Status:
        """Send a command and wait for its tagged response, which is handed back whatever it says.

        Args:
            request: the command; its literals are sent when the server asks for them, or at once where it allows that.
            answer: gives the line to send for each `+` (AUTHENTICATE).

        Raises:
            UsageError: the command is not legal now; nothing was sent.
            DisconnectedError, ProtocolError: the connection ended or was broken.

        Cancelled, the connection is good for nothing but `abort`.
        """
        with self.tap.open_for_now():
            pending, rest = self._begin(request)
            if rest:
                written = await self._outgoing.write(pending, self.transport, rest, self.capabilities)
                pending.is_written = written and request.is_whole
            if answer is not None:
                while (challenge := await self._outgoing.prompt(pending)) is not None:
                    self.transport.write(await answer(challenge) + b"\r\n")
                    pending.is_written = True
            return await pending.answer()

    def issue(self, request: Request) -> Pending:
        """Send a command without literals and do not wait: the caller awaits its `answer()`, or lets it be.

        Raises:
            UsageError: the command is not legal now; nothing was sent.
            DisconnectedError, ProtocolError: the connection had ended or was broken.
        """
        pending, rest = self._begin(request)
        assert not rest, "a command with literals is to be run"
        return pending

    async def idle(self) -> None:
        """Wait until no command is under way."""
        with self.tap.open_for_now():
            for pending in list(self.pending_async_commands.values()):
                await pending.answer()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Upgrade the connection, once STARTTLS was answered by OK; nothing heard before counts any more.

        Raises:
            TLSError: the handshake failed or the certificate is not trusted; the connection is gone.
            ProtocolError: bytes came behind that OK.
        """
        self.check("STARTTLS")
        self.capabilities = set()
        self.incoming.start_anew()
        self._is_barred = False  # from the next line on, what comes goes to the TLS layer
        try:
            self.transport = await upgraded(self.transport, self, context, self._endpoint)
        except BaseException as error:
            self.lose(error if isinstance(error, NetError) else DisconnectedError("the connection was dropped"))
            # The handshake's layer tells us nothing of its end; the socket closes in the next turn of the loop.
            self.loop.call_soon(self.loop.call_soon, self._note_closed)
            raise
        self.tap.connect(self.transport)

    def end(self) -> None:
        """Close in order: what was written still goes out."""
        self.transport.close()

    def abort(self, why: NetError | None = None) -> None:
        """Drop the connection at once; idempotent, safe before it stands."""
        self.lose(why or DisconnectedError("the connection was dropped"))
        if self.transport is not None:
            self.transport.abort()

    async def gone(self) -> None:
        """Wait until the socket is closed, which takes a turn or two of the loop after `abort`."""
        if self.transport is not None:
            await asyncio.wait((self._closed,), timeout=CLOSE_SECONDS)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(transport)
        self.tap.connect(self.transport)

    def data_received(self, data: bytes) -> None:
        """Cut bytes into responses and act on each."""
        if self.is_lost:
            return
        try:
            if self._is_barred:
                raise ProtocolError(_INJECTED)
            for reply in self.incoming.replies(data):
                if type(reply) is Fetched and self.state == aioimaplib.SELECTED:  # most of all that is said
                    self.incoming.tell(reply)
                else:
                    self._act_on(reply)
                if self._lost is not None:
                    return
            if self._is_barred and not self.incoming.is_between:
                raise ProtocolError(_INJECTED)
        except ProtocolError as error:
            self.abort(error)

    def eof_received(self) -> None:
        """End all that waits: the server has left."""
        self.abort(self.incoming.end(None))

    def connection_lost(self, error: Exception | None) -> None:
        """End all that waits, and note that the socket is closed."""
        super().connection_lost(error)
        self.lose(self.incoming.end(error))
        self._note_closed()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._outgoing.pause()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._outgoing.resume()

    def lose(self, why: NetError) -> None:
        """End every wait by `why`; the first reason stays."""
        if self._lost is not None:
            return
        self._lost = why
        pending = list(self.pending_async_commands.values())
        self.pending_async_commands.clear()
        for command in pending:
            command.fail(self._why(command.full_name))
        self._outgoing.lose()
        self.tap.close()
        if not self._greeting.done():
            self._greeting.set_result(None)
        self.incoming.lose()

    # How a command is written

    def _begin(self, request: Request) -> tuple[Pending, list[Segment]]:
        """Write the first line of a command, and give what is left of it, a literal first."""
        self.check(request.full_name)
        self._check_state(request)
        segments = list(request.segments)
        line = taken_text(segments)
        if segments:
            line += announcement(segments[0], self.capabilities)
        pending = Pending(request, self.new_tag(), line)
        self.pending_async_commands[pending.tag] = pending
        self.incoming.count_anew()
        pending.is_written = request.is_whole and not segments
        if segments and not line.endswith("+}"):
            self._outgoing.expect(pending)
        self.send(pending.line, scrub=request.secret)
        return pending, segments

    def send(self, line: str, scrub: str | None = None) -> None:
        """Send a line; one with a secret in it goes past aioimaplib, which would log how long the secret is."""
        if scrub is None:
            super().send(line)
        else:
            self.transport.write(line.encode("ascii") + b"\r\n")

    def _check_state(self, request: Request) -> None:
        # aioimaplib has no UNSELECT; it is legal where CLOSE is.
        row = aioimaplib.Commands["CLOSE" if request.name == "UNSELECT" else request.name]
        if self.state not in row.valid_states:
            raise UsageError(
                f"it cannot be used {_WHERE[self.state]}", endpoint=self._endpoint, operation=request.full_name
            )

    # What the server says

    def _act_on(self, reply: Reply) -> None:
        if self._is_barred:
            raise ProtocolError(_INJECTED)
        if not self._greeting.done():
            self._greet(reply)
        elif isinstance(reply, Continuation):
            self._go_on(reply)
        elif isinstance(reply, Status) and reply.tag is not None:
            self._complete(reply)
        else:
            self._tell(reply)

    def _greet(self, reply: Reply) -> None:
        if not isinstance(reply, Status) or reply.tag is not None or reply.kind not in ("OK", "PREAUTH", "BYE"):
            raise ProtocolError("the server does not begin with a greeting")
        self.state = {"OK": aioimaplib.NONAUTH, "PREAUTH": aioimaplib.AUTH}.get(reply.kind, aioimaplib.LOGOUT)
        self._tell(reply)
        if not self._greeting.done():
            self._greeting.set_result(reply)

    def _go_on(self, reply: Continuation) -> None:
        pending = self._outgoing.go_on(reply.text)
        if not isinstance(pending, Pending):
            raise ProtocolError("the server asks for more of a command, and there is no more")
        pending.is_written = False  # until it has what it asked for

    def _complete(self, status: Status) -> None:
        pending = self.pending_async_commands.get(status.tag)
        if pending is None:
            raise ProtocolError("an answer to no command of ours")
        if not pending.is_written and (status.kind == "OK" or not self._outgoing.is_expected(pending)):
            raise ProtocolError(f"an answer to {pending.full_name} before all of it was written")
        del self.pending_async_commands[status.tag]
        self.incoming.count_anew()
        if status.kind == "OK":
            self.state = _STATE_AFTER.get(pending.name, self.state)
        elif pending.name in ("SELECT", "EXAMINE") and status.kind == "NO":
            self.state = aioimaplib.AUTH  # RFC 9051 §6.3.2: a refused SELECT leaves no mailbox selected
        if pending.name == "STARTTLS" and status.kind == "OK":
            self._is_barred = True
            self.transport.pause_reading()
        self._outgoing.refuse(pending)
        self.incoming.tell(status)
        pending.complete(status)

    def _tell(self, reply: Reply) -> None:
        if isinstance(reply, Status) and reply.kind == "BYE" and not self._is_leaving:
            self.abort(DisconnectedError(f"the server said goodbye: {printable(reply.text) or 'without a reason'}"))
            return
        self.incoming.tell(reply)

    @property
    def _is_leaving(self) -> bool:
        return any(pending.name == "LOGOUT" for pending in self.pending_async_commands.values())

    # How it ends

    def _note_closed(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    def _why(self, operation: str) -> NetError:
        """Give the reason of the loss as an error of its own for each that waits."""
        assert self._lost is not None
        error = copy.copy(self._lost)
        error.endpoint, error.operation = self._endpoint.redacted, operation
        error.__cause__ = self._lost.__cause__
        return error
