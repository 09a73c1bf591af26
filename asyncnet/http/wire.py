"""Wire: one connection of HTTP: aiohttp's protocol and its parser, with the corners mended.

Together with connector.py this reaches into aiohttp. What it relies on (the order in which `ResponseHandler` is called,
and what it keeps of an answer) is checked by tests/http/test_connector.py, which fails loudly when a new version of
aiohttp changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimerNoop
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from asyncnet.errors import LimitError, NetError
from asyncnet.http.forwarding import Forwarder
from asyncnet.http.limits import Limits

_NO_TIMER = TimerNoop()  # else each answer makes one of its own


class StaleConnection(ConnectionResetError):
    """A connection that had served before was gone when the next request came: nothing of an answer was seen."""


class Key(NamedTuple):
    """What a kept connection is known by: whose it is."""

    host: str
    port: int
    is_ssl: bool  # the name by which aiohttp's pool asks for it


@lru_cache(maxsize=256)
def key_of(host: str, port: int, is_tls: bool) -> Key:
    """Give the key of an origin; to make one takes three times as long."""
    return Key(host, port, is_tls)


class Wire(ResponseHandler):
    """One connection. Abandoned, it is aborted: aiohttp would flush and wait for TLS goodbyes without a bound."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        key: Key,
        limits: Limits,
        up: set[Wire],
        closing: set[Wire],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(loop)
        self.key = key
        self.requests = 0
        self._leave = leave
        self._limits = limits
        self._up = up
        self._closing = closing
        self._informational = 0
        self._answered: object = None
        self._must_say_goodbye = False
        self.speaks: str | None = None
        self.forwarded_by: Forwarder | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._up.add(self)
        tls = transport.get_extra_info("ssl_object")
        self._must_say_goodbye = tls is not None
        self.speaks = None if tls is None else tls.selected_alpn_protocol()

    def expect(self, *, is_bodiless: bool) -> None:
        """Get ready for the answer to the next request: each has a parser of its own."""
        self.requests += 1
        self.set_response_params(
            timer=_NO_TIMER,
            skip_payload=is_bodiless,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=self._limits.max_line_bytes,
            max_field_size=self._limits.max_line_bytes,
            max_headers=self._limits.max_headers,
        )

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading, if it was paused: aiohttp asks for it at the end of each body, and after each read."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    async def drain(self) -> None:
        """Wait while too much is unsent.

        Raises:
            ConnectionError: the connection is lost.
        """
        await self._drain_helper()

    @property
    def has_unsent(self) -> bool:
        """Whether a part of what was written has not been sent."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def close(self) -> None:
        """Say TLS's goodbye if there is room for it, and go."""
        transport = self.transport
        super().close()
        if transport is not None:
            self._closing.add(self)
            transport.abort()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer from the parser, unless nobody asked for it."""
        if data[0].code < 200 and data[0].code != 101:
            self._informational += 1
            if self._informational > self._limits.max_informational:
                self._refuse(LimitError("answers 1xx without end", limit=self._limits.max_informational))
                return
        elif self._answered is self._parser:
            # Each request has a parser of its own: this one has answered. Handed on, it would answer the next request.
            self._drop()
            return
        else:
            self._answered = self._parser
            self._informational = 0
        ResponseHandler.feed_data(self, data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell whoever waits for the head, and whoever reads the body: aiohttp tells the first alone."""
        payload = self._payload
        if exc_cause is None or type(exc_cause) is BaseException or exc_cause is exc:  # aiohttp's mark for "none"
            super().set_exception(exc)
        else:
            exc.__cause__ = exc_cause
            super().set_exception(exc, exc_cause)
        if payload is not None:
            _break(payload, exc)

    def eof_received(self) -> None:
        """Note TLS's goodbye. After a cut asyncio comes here too, uvloop does not."""
        super().eof_received()
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        if tls is not None:
            with contextlib.suppress(ssl.SSLError):  # a cut reads as "want more", a goodbye as the end
                self._must_say_goodbye = tls.read(1) != b""

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is under way by an error, where aiohttp takes a cut for the end of a body without a length."""
        self._up.discard(self)
        self._closing.discard(self)
        self._leave()
        if self._payload is not None and not self._payload.is_eof():
            if exc is None and self._must_say_goodbye:
                exc = ConnectionResetError("TLS ended without close_notify")
            if exc is not None:
                _break(self._payload, exc)
        elif self.requests > 1 and self._parser is not None and self._answered is not self._parser:
            exc = StaleConnection("the kept connection was gone")
        self._answered = None  # the parser holds this protocol
        super().connection_lost(exc)

    def _refuse(self, error: NetError) -> None:
        refusal = HttpProcessingError(message=str(error))
        refusal.__cause__ = error
        self.set_exception(refusal, error)
        self._drop()

    def _drop(self) -> None:
        self.force_close()
        if self.transport is not None:
            self._closing.add(self)
            self.transport.abort()

    @property
    def has_spoken_first(self) -> bool:
        """Whether something came before the first request; such a server does not speak HTTP."""
        return bool(self._tail)

    @property
    def is_stale(self) -> bool:
        """Whether something came while nobody had asked: an end that the loop has not seen, or an answer to nothing."""
        if self.transport is None:
            return True
        poller = select.poll()
        poller.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poller.poll(0))


def _break(payload: StreamReader, cause: BaseException) -> None:
    if not payload.is_eof() and payload.exception() is None:
        failure = aiohttp.ClientPayloadError("the connection broke")
        failure.__cause__ = cause
        payload.set_exception(failure)
