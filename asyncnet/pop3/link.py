"""Link: the connection under a session, from dial to login: the Worker's thread, and the Wire that it talks over.

Whatever blocks runs in the thread. `abort()` ends it at any time, in the middle of a handshake too.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import ssl
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asyncnet.credentials import Credentials
from asyncnet.deadline import phase
from asyncnet.dial import dial, server_name
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import AuthenticationError, ClosedError, ConnectError, DisconnectedError, RefusedError, TLSError
from asyncnet.pop3.login import choose_way, sign_in
from asyncnet.pop3.reply import stamp
from asyncnet.pop3.wire import Limits, Wire
from asyncnet.pop3.worker import Worker
from asyncnet.proxy import Proxy
from asyncnet.tls import Handshake
from asyncnet.trace import answered, noted
from asyncnet.translation import CONNECTING, Translations, translated

P = ParamSpec("P")
T = TypeVar("T")

_SETTLE_SECONDS = 1.0
"""How long to wait for the thread of a connection that was shut down; it takes milliseconds."""

# TLS 1.3: a server refuses our certificate (or that there is none) after the handshake, where its greeting should be.
_REFUSED_LATE: Translations = CONNECTING[:2]

_number = itertools.count(1)


class Link:
    """One connection to a maildrop; opened once, and gone after `abort()`.

    Args:
        endpoint: where.
        limits: what the server may send.
        places: held while there is a thread; None holds nothing.

    Attributes:
        wire: what to talk over, for `run`; only once it is open.
        offered: what CAPA said last, after TLS; None if it was not asked.
    """

    wire: Wire
    _worker: Worker | None = None

    def __init__(self, endpoint: Endpoint, limits: Limits, places: asyncio.Semaphore | None = None) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._places = places
        self._has_place = False
        self.offered: dict[str, tuple[str, ...]] | None = None

    async def open(self, context: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        """Connect, be greeted, and be encrypted where the endpoint says so; the caller aborts it on failure.

        Raises:
            ConnectError: never got there (TLSError: no STLS, no agreement, or a certificate that is not trusted).
            DisconnectedError, ProtocolError, poplib.error_proto: what the server did instead of greeting.
        """
        if self._places is not None:
            phase("a place among the sessions")
            await self._places.acquire()
            self._has_place = True
        sock = await dial(self._endpoint, proxy=proxy)
        try:
            self._worker = Worker(sock, f"asyncnet-pop3-{next(_number)}-{self._endpoint.host}")
        except RuntimeError as error:
            raise ConnectError(f"no thread for the session: {error}") from error
        if self._endpoint.security is Security.TLS:
            await self._encrypt(context)
        phase("greeting")
        with translated(_REFUSED_LATE, self._endpoint, "open"):
            host, port = self._endpoint.host, self._endpoint.port
            self.wire = await self.run(Wire, self._worker.sock, host, port, self._limits)
        noted(self.wire.welcome.removeprefix(b"+OK").strip().decode("utf-8", "replace"))
        if self._endpoint.security is Security.STARTTLS:
            await self._upgrade(context)

    async def sign_in(self, credentials: Credentials) -> None:
        """Sign in by the best way that the server offers; a token that was refused is asked for once more.

        Raises:
            AuthenticationError: the secret was refused, or there is no way to show it.
            RefusedError: the maildrop is in use, or the server has trouble of its own.
        """
        phase("login")
        offered = await self.known_capabilities()
        encrypted = self._endpoint.security is not Security.PLAINTEXT
        way = choose_way(credentials, offered, stamp(self.wire.welcome), encrypted=encrypted)
        noted(way)
        secret = await credentials.secret()
        try:
            await self.run(sign_in, self.wire, way, credentials.username, secret)
        except AuthenticationError as refused:
            fresh = await credentials.secret() if credentials.is_token else secret
            if fresh == secret:  # asking with the same again could but lock the account
                raise
            try:
                await self.run(sign_in, self.wire, way, credentials.username, fresh)
            except DisconnectedError:
                raise refused from None  # the server left after its first no, which is the better reason

    async def known_capabilities(self) -> dict[str, tuple[str, ...]]:
        """What CAPA says, asked once.

        That is after TLS, and again if it was asked before: what was said in the clear does not count (RFC 2595 §4).
        What a login changes of it (RFC 2449 §5) is none of what is looked for here.
        """
        if self.offered is None:
            self.offered = await self.run(self.wire.known_capabilities)
        return self.offered

    async def speak_utf8(self) -> None:
        """Have headers and names in UTF-8, before the login (RFC 6856 §2).

        Raises:
            RefusedError: the server does not offer it, or refuses.
        """
        phase("UTF8")
        if "UTF8" not in await self.known_capabilities():
            raise RefusedError("the server does not offer UTF8", operation="UTF8")
        await self.run(self.wire.utf8)

    async def run(self, call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """Have the thread make a blocking call. Cancelled, it returns at once; the call goes on until `abort()`.

        Raises:
            ClosedError: it was aborted before the call began.
            Exception: whatever the call raises.
        """
        if self._worker is None or self._worker.is_stopped:
            raise ClosedError("the session was closed meanwhile")
        bound = functools.partial(call, *arguments, **keywords)
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._worker, bound)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # not we were cancelled, but the call, by abort()
                raise ClosedError("the session was closed meanwhile") from None
            raise
        answered()
        return result

    def abort(self) -> None:
        """Shut the socket down, which ends the thread; idempotent, never blocks, safe before `open`."""
        if self._worker is not None:
            self._worker.abort()

    async def settle(self) -> None:
        """Wait until thread and socket are gone after `abort()`, bounded, and give the place back."""
        try:
            if self._worker is not None:
                await self._worker.ended(_SETTLE_SECONDS)
        finally:
            if self._has_place and self._places is not None:
                self._has_place = False
                self._places.release()

    async def _encrypt(self, context: ssl.SSLContext | None) -> None:
        phase("TLS handshake")
        assert self._worker is not None
        assert context is not None
        with translated(CONNECTING, self._endpoint, "connect"):
            self._worker.encrypt(context, server_name(self._endpoint))
            noted(Handshake(await self.run(self._worker.handshake)))

    async def _upgrade(self, context: ssl.SSLContext | None) -> None:
        phase("STLS")
        offered = await self.run(self.wire.known_capabilities)
        if offered and "STLS" not in offered:
            raise TLSError("the server does not offer STLS", operation="STLS")
        await self.run(self.wire.start_tls)
        await self._encrypt(context)
        assert self._worker is not None
        self.wire.move(self._worker.sock)

    def __del__(self) -> None:
        if self._worker is not None and not self._worker.is_stopped:
            self._worker.abort()
            warnings.warn(f"unclosed {self._endpoint.redacted}", ResourceWarning, source=self, stacklevel=2)
