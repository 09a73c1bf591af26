"""ResponseStream: an answer whose body is read as it comes, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from multidict import CIMultiDictProxy

from asyncnet.http.feeds import JsonIterator, LineIterator
from asyncnet.http.lines import MAX_LINE_BYTES
from asyncnet.http.reading import Body
from asyncnet.http.response import Response, parsed_retry_after, status_error


@dataclass(frozen=True, slots=True)
class ResponseStream:
    """The head of an answer, and its body piece by piece: `async for piece in response`.

    Args:
        status: the code. None raises by itself; `raise_for_status()` does.
        reason: the words after it.
        headers: the header fields, in any case of their names.
        url: where it comes from, after redirects.
        method: how it was asked for, after redirects.
        history: the redirects on the way.
        length: the announced Content-Length (of the encoded body), or None.

    Reading raises IncompleteRead where the body ends too early, LimitError beyond the `max_bytes` of the call or a
    compression beyond `Limits.max_ratio`, ProtocolError where the coding is broken, and DeadlineError. A cancelled
    read loses nothing.
    """

    status: int
    reason: str
    headers: CIMultiDictProxy[str] = field(repr=False)
    url: str
    method: str
    history: tuple[Response, ...] = field(repr=False)
    length: int | None
    _body: Body = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, or None."""
        return parsed_retry_after(self.headers.get("Retry-After"))

    def raise_for_status(self) -> ResponseStream:
        """Give the stream itself back, unless its status is 400 or more.

        Raises:
            StatusError: as in `Response.raise_for_status`.
        """
        if not self.ok:
            raise status_error(self.status, self.reason, self.headers, self.url, self.method)
        return self

    async def read(self) -> bytes:
        """Read the rest of the body in one piece."""
        return await self._body.whole()

    def lines(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> LineIterator:
        r"""Give the body line by line, as bytes without `\n` or `\r\n`: `async for line in response.lines()`.

        Raises:
            LimitError: from the reading: a line of more than `max_line_bytes`.
        """
        return LineIterator(self, max_line_bytes)

    def ndjson(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> JsonIterator:
        """Give the values of a body with one JSON text on each line; empty lines are passed over.

        Raises:
            ProtocolError: from the reading: a line is not JSON (LimitError: it has more than `max_line_bytes`).
        """
        return JsonIterator(self.lines(max_line_bytes=max_line_bytes))

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._body.more()
        if not piece:
            raise StopAsyncIteration
        return piece
