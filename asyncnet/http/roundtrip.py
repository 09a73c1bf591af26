"""Roundtrip: one request out, and the head of its answer in, over a connection of the pool.

aiohttp's own session makes some two hundred calls of Python for a small answer: objects for the request, its writer,
its answer, their traces and timers, which here are `Request`, `head()`, `Answer` and `deadline()`. What reads and
checks the words of a server is still aiohttp's parser.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

import aiohttp
from aiohttp import HttpVersion
from aiohttp.http import RawResponseMessage
from multidict import CIMultiDictProxy

from asyncnet.deadline import phase
from asyncnet.http.connector import Connector
from asyncnet.http.content import Content
from asyncnet.http.cookies import OriginJar
from asyncnet.http.head import body_fields, cookie_fields, head
from asyncnet.http.request import Request
from asyncnet.http.wire import Wire

_PIECES_A_TURN = 16
"""Pieces of a body after which others, and the deadline, have their turn: neither source nor kernel need ever wait."""


class Answer:
    """The head of an answer, and its body as it comes. Once the body has come, its connection is another request's.

    Attributes:
        status: the code.
        reason: the words after it.
        version: of HTTP.
        headers: the header fields.
        method: of the request.
        content: aiohttp's stream of the body.
    """

    __slots__ = ("_connector", "_sending", "_wire", "content", "headers", "method", "reason", "status", "version")

    def __init__(
        self,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
        method: str,
        wire: Wire,
        connector: Connector,
        sending: Sending | None,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason or ""
        self.version: HttpVersion = message.version
        self.headers: CIMultiDictProxy[str] = message.headers
        self.method = method
        self.content = content
        self._wire: Wire | None = wire
        self._connector = connector
        self._sending = sending
        content.on_eof(self._let_go)

    @property
    def is_over(self) -> bool:
        """Whether all of it has come, or it was given up."""
        return self._wire is None

    def close(self) -> None:
        """Give up what has not come: the connection is aborted."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("the answer was given up"))
        if self._sending is not None:
            self._sending.stop()
        self._connector.give_back(wire, whole=False)

    def _let_go(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        whole = True
        if self._sending is not None:
            # An answer may come before the request has gone: then the server may or may not read the rest of it.
            whole = self._sending.stop() and not wire.has_unsent
        self._connector.give_back(wire, whole=whole)


class Sending:
    """The body of one request on its way, in a task of its own where it is more than a piece."""

    __slots__ = ("_content", "_is_whole", "_task", "_wire")

    def __init__(self, content: Content, wire: Wire) -> None:
        self._content = content
        self._wire = wire
        self._task: asyncio.Task[None] | None = None
        self._is_whole = False

    def begin(self, head: bytes) -> None:
        """Send the head, and the body behind it."""
        data = self._content.payload()
        if isinstance(data, bytes):
            _write(self._wire, head + data)
            self._is_whole = True
        else:
            _write(self._wire, head)
            self._task = asyncio.get_running_loop().create_task(self._all_of(data))

    def stop(self) -> bool:
        """Send no more; whether all had been handed over."""
        if self._task is not None:
            self._task.cancel()  # which one that has ended does not notice
        return self._is_whole

    async def _all_of(self, pieces: AsyncIterable[bytes]) -> None:
        wire, is_chunked = self._wire, self._content.size is None
        turn = 0
        try:
            async for piece in pieces:
                _write(wire, b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                await wire.drain()
                turn += 1
                if turn % _PIECES_A_TURN == 0:
                    await asyncio.sleep(0)
            if is_chunked:
                _write(wire, b"0\r\n\r\n")
            self._is_whole = True
        except asyncio.CancelledError as error:
            if self._content.failure is not None:  # nobody stopped this, so somebody waits for the answer
                wire.set_exception(aiohttp.ClientConnectionError("the body could not be read"), error)
            raise
        except Exception as error:
            # A lost connection tells whoever waits for the answer by itself; what else fails here does not.
            if self._content.failure is not None or not isinstance(error, OSError):
                wire.set_exception(aiohttp.ClientConnectionError("the body could not be read"), error)


async def roundtrip(connector: Connector, jar: OriginJar, request: Request) -> Answer:
    """Send one request; give the head of its answer.

    Raises:
        NetError: no connection could be made.
        aiohttp.ClientError: the connection broke, or what came is not HTTP.
        Exception: what the caller's own body raised is its `failure`.

    Failed or cancelled, the connection is aborted.
    """
    place, method, content, fields = request.place, request.method, request.content, request.headers
    cookies = jar.header(place.text)
    if cookies is not None:
        fields = cookie_fields(cookies, fields)
    further = body_fields(content, method, fields)
    if content is not None:
        await content.settle()
    wire = await connector.take(place.endpoint, method)
    sending = None
    try:
        target = place.target
        if wire.forwarded_by is not None:
            target, further = place.text, further + wire.forwarded_by.fields
        wire.expect(is_bodiless=method == "HEAD")
        if "close" in ",".join(fields.getall("Connection", ())).lower():
            wire.force_close()  # RFC 9112 §9.6: who says so sends no further request on it
        first = head(method, target, place.host, fields, further)
        here = phase("waiting for the answer")
        if here is not None:
            here.asked(method)
        if content is None:
            _write(wire, first)
        else:
            sending = Sending(content, wire)
            sending.begin(first)
        message, body = await wire.read()
        while message.code < 200 and message.code != 101:
            message, body = await wire.read()
    except BaseException:
        if sending is not None:
            sending.stop()
        connector.give_back(wire, whole=False)
        raise
    if "Set-Cookie" in message.headers:
        jar.learn(message.headers.getall("Set-Cookie"), place.text)
    return Answer(message, body, method, wire, connector, sending)


def _write(wire: Wire, data: bytes) -> None:
    if wire.transport is None or wire.transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection is closing")
    wire.transport.write(data)
