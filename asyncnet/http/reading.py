"""The body of an answer as it comes: decoded, counted against its limits, and whole or an error."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import aiohttp

from asyncnet.endpoint import Endpoint
from asyncnet.errors import IncompleteRead, LimitError, NetError, ProtocolError
from asyncnet.http.coding import decoded, decoders
from asyncnet.http.decoder import Decoder
from asyncnet.http.failures import broken_body
from asyncnet.http.roundtrip import Answer

_SMALL_BYTES = 65_536
"""Up to here a body of known length has mostly come as a whole, and is handed on as it is."""

_RATIO_FLOOR_BYTES = 1024 * 1024

_PIECES_A_TURN = 16
"""Decoded pieces (a MiB) after which other tasks have their turn, however much came in one go."""

_GROWTH = 4
"""How many times as much as has come there is room for at most: a length that is announced may be a lie."""

_MAX_DIGITS = 19

_BODILESS = frozenset({204, 304})


class Body:
    """The body of one answer.

    Args:
        answer: its head; its connection is the caller's to let go of.
        endpoint: where it comes from, for errors.
        max_bytes: the most that is taken, decoded; None is no limit.
        max_ratio: see `Limits`.
        raw_allowed: an unknown coding is left as it is, because the caller asked for it.

    Raises:
        LimitError: the announced length is beyond `max_bytes`, or there are too many codings.
        ProtocolError: a coding that was not asked for.
    """

    # Most bodies come in one piece and leave these as they are.
    _received = 0
    _given = 0
    _turn = 0
    _rest = b""
    _pieces: Iterator[bytes] | None = None
    _failure: Exception | None = None
    _ended = False

    def __init__(
        self,
        answer: Answer,
        endpoint: Endpoint,
        max_bytes: int | None,
        max_ratio: int,
        raw_allowed: bool = False,
    ) -> None:
        self._content = answer.content
        self._endpoint = endpoint
        self._method = answer.method
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._decoders: list[Decoder] = []
        self.announced: int | None = None
        if self._method == "HEAD" or answer.status in _BODILESS:
            return
        lengths, coding = answer.headers.getall("Content-Length", None), answer.headers.get("Content-Encoding")
        if lengths is not None:
            self.announced = self._length(lengths)
            if max_bytes is not None and self.announced > max_bytes:
                raise self._over(f"a body of {self.announced} bytes is announced", max_bytes)
        if coding is not None:
            self._decoders = self._chain(coding, raw_allowed)

    def _length(self, fields: list[str]) -> int:
        # llhttp has refused all of this, aiohttp's parser in Python (where there is no wheel) not all.
        text = fields[0]
        if len(fields) > 1 or not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            raise self._named(ProtocolError(f"not a Content-Length: {', '.join(fields)[:60]!r}"))
        return int(text)

    def _chain(self, coding: str, raw_allowed: bool) -> list[Decoder]:
        try:
            chain = decoders(coding)
        except NetError as error:
            raise self._named(error) from None
        if chain is None and not raw_allowed:
            raise self._named(ProtocolError(f"a coding that was not asked for: {coding[:40]!r}"))
        return chain or []

    async def whole(self) -> bytes:
        """Read it to its end.

        Raises:
            IncompleteRead: it ended too early; `.partial` is what came.
            LimitError: more than `max_bytes`, or a compression beyond `max_ratio`.
            ProtocolError: it is not of the coding it claims.
        """
        if self.announced is not None and self.announced <= _SMALL_BYTES and not (self._decoders or self._received):
            content = self._content
            # Most small bodies come with their head: then they are there, and nothing is to be waited for.
            if content.is_eof() and content.exception() is None:
                block = content.read_nowait()
                self._received = len(block)
            else:
                block = await self._block()
            if len(block) == self.announced:
                self._ended = True
                return block
            self._rest = self._counted(block)
        return await self._collected(None)

    async def first(self, count: int) -> tuple[bytes, bool]:
        """Read `count` decoded bytes, or all if there are fewer; the second value says whether that is the whole body.

        The errors are those of `whole`.
        """
        data = await self._collected(count)
        is_complete = self._ended or (not self._decoders and not self._rest and self._content.at_eof())
        return data, is_complete

    async def more(self) -> bytes:
        """Give the next decoded bytes, as they come; b"" at the end."""
        while not self._ended:
            if self._rest:
                rest, self._rest = self._rest, b""
                return rest
            if self._pieces is not None:
                self._turn += 1
                if self._turn % _PIECES_A_TURN == 0:
                    await asyncio.sleep(0)
                if piece := next(self._pieces, b""):
                    return self._counted(piece)
                self._pieces = None
            if self._failure is not None:
                raise self._broken(self._failure) from self._failure
            block = await self._block()
            if block and not self._decoders:
                return self._counted(block)
            if block:
                self._pieces = self._decoding(block)
            elif self._failure is None:
                self._finish()
        return b""

    async def _collected(self, count: int | None) -> bytes:
        # The value of a BytesIO that nobody else holds is handed out without a copy.
        buffer = io.BytesIO()
        room = 0
        expected = 0 if self._decoders or count is not None else self.announced or 0
        try:
            while count is None or buffer.tell() < count:
                piece = await self.more()
                if not piece:
                    break
                if room < self._given < expected:
                    room = _make_room(buffer, min(expected, _GROWTH * self._given))
                buffer.write(piece)
            buffer.truncate()
        except IncompleteRead as error:
            buffer.truncate()
            error.partial = buffer.getvalue()
            raise
        if count is not None and buffer.tell() > count:
            self._rest = buffer.getvalue()[count:]
            buffer.truncate(count)
        return buffer.getvalue()

    async def _block(self) -> bytes:
        try:
            block = await self._content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            self._failure = error
            block = _salvaged(self._content)
        self._received += len(block)
        return block

    def _counted(self, piece: bytes) -> bytes:
        self._given += len(piece)
        if self._max_bytes is not None and self._given > self._max_bytes:
            raise self._over("the body goes on", self._max_bytes)
        if self._decoders and self._given > max(_RATIO_FLOOR_BYTES, self._max_ratio * self._received):
            raise self._over(f"{self._given} bytes out of {self._received}: a bomb", self._max_ratio)
        return piece

    def _decoding(self, block: bytes) -> Iterator[bytes]:
        try:
            yield from decoded(self._decoders, block)
        except NetError as error:
            raise self._named(error) from error.__cause__

    def _finish(self) -> None:
        try:
            for decoder in self._decoders:
                decoder.finish()
        except NetError as error:
            raise self._named(error) from None
        self._ended = True

    def _broken(self, error: Exception) -> NetError:
        return broken_body(error, self._endpoint, self._method, received=self._received, announced=self.announced)

    def _over(self, text: str, limit: int) -> NetError:
        return LimitError(f"{text}; the limit is {limit}", limit=limit, endpoint=self._endpoint, operation=self._method)

    def _named(self, error: NetError) -> NetError:
        error.endpoint, error.operation = self._endpoint.redacted, self._method
        return error


def _make_room(buffer: io.BytesIO, size: int) -> int:
    # By itself it grows by an eighth at a time, and where it cannot grow in place all of it is copied each time.
    here = buffer.tell()
    buffer.seek(size - 1)
    buffer.write(b"\0")
    buffer.seek(here)
    return size


def _salvaged(content: aiohttp.StreamReader) -> bytes:
    # What came before the failure is the caller's; aiohttp gives it to nobody once it knows of the failure.
    failure = content.exception()
    if failure is None:
        return b""
    content.set_exception(None)  # type: ignore[arg-type]
    rest = content.read_nowait()
    content.set_exception(failure)
    return rest
