"""A file, from a URL to the disk: continued where an earlier attempt was cut, checked, and put in its place whole.

Bytes of two answers are joined only by a strong ETag (RFC 9110 §13.1.5); whatever is in doubt is fetched again from the
first byte. Nothing is asked for that the server could pack.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from asyncnet.errors import IncompleteRead, LimitError, NetError, ProtocolError, UsageError
from asyncnet.http.coding import decoders
from asyncnet.http.partial import Partial
from asyncnet.http.ranges import Answer, content_range, judged, strong_etag
from asyncnet.http.response import Response
from asyncnet.http.stream import ResponseStream
from asyncnet.retry import Retry

_WRITE_BYTES = 2 * 1024 * 1024
"""A thread is woken for as much, and no oftener; twice as much is in memory at the most."""

_MAX_REQUESTS = 1000
"""How often a server may hand out a piece of what was asked for, with the rest still to come."""

_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

Open = Callable[[Mapping[str, str]], AbstractAsyncContextManager[ResponseStream]]
"""sends a GET with these fields in addition, and gives its answer"""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is on the disk, whole.

    Args:
        path: where.
        size: its bytes.
        resumed: how many of them an earlier call had left.
        sha256: its SHA-256 in hex, where one was asked for.
        url: where it came from, after redirects.
        etag: the version that the server named, or None.
        history: the redirects on the way.
    """

    path: Path
    size: int
    resumed: int
    sha256: str | None
    url: str
    etag: str | None
    history: tuple[Response, ...] = field(default=(), repr=False)


class Transfer:
    """One download.

    Args:
        open_answer: sends the requests.
        source: the URL, so that parts of another are not continued.
        path: where the file shall be.
        sha256: its SHA-256 in hex, or None.
        max_bytes: the largest file; None is no limit.
        resume: whether to continue what is there.
    """

    def __init__(
        self, open_answer: Open, source: str, path: Path, sha256: str | None, max_bytes: int | None, resume: bool
    ) -> None:
        self._open_answer = open_answer
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise UsageError("a SHA-256 has 64 hexadecimal digits")
        if max_bytes is not None and max_bytes < 0:
            raise UsageError(f"max_bytes cannot be {max_bytes}")
        self._wanted = None if sha256 is None else sha256.lower()
        self._max_bytes = max_bytes
        self._resume = resume
        self._partial = Partial(path, source, is_hashed=sha256 is not None)
        self._resumed = 0

    async def run(self, retry: Retry | None) -> Download:
        """Do it, and try again as `retry` says."""
        attempt = 1
        try:
            await self._partial.open()
            if self._partial.kept is not None:
                if self._resume:
                    await self._partial.digest_kept()
                    self._resumed = self._partial.size
                else:
                    await self._partial.discard()
            while True:
                try:
                    return await self._whole()
                except NetError as error:
                    wait = None if retry is None else retry.delay(error, attempt)
                    if wait is None:
                        raise
                attempt += 1
                await asyncio.sleep(wait)
        finally:
            self._partial.close()

    async def _whole(self) -> Download:
        for _ in range(_MAX_REQUESTS):
            done = await self._asked()
            if done is not None:
                return done
        raise ProtocolError(f"the file did not come within {_MAX_REQUESTS} answers")

    async def _asked(self) -> Download | None:
        """Ask for what is missing, and take it; None where it has to be asked again."""
        partial = self._partial
        kept = partial.kept
        fields = {"Accept-Encoding": "identity"}
        if kept is not None:
            fields |= {"Range": f"bytes={kept.size}-", "If-Range": kept.etag}
        async with self._open_answer(fields) as answer:
            if answer.status != 416 or kept is None:
                answer.raise_for_status()
            meaning = judged(answer.status, answer.headers, kept)
            if meaning is Answer.AGAIN:
                self._resumed = 0
                await partial.discard()
                return None
            if meaning is Answer.WHOLE:
                await self._take_whole(answer)
            elif meaning is Answer.REST and not await self._take_rest(answer):
                return None
            return await self._finished(answer, None if kept is None else kept.etag)

    async def _take_whole(self, answer: ResponseStream) -> None:
        coding = answer.headers.get("Content-Encoding", "")
        if decoders(coding) is None:
            raise ProtocolError(f"a coding that was not asked for: {coding[:40]!r}")
        is_bare = coding.strip().lower() in ("", "identity")
        self._check_size(answer.length if is_bare else None)
        self._resumed = 0
        etag = strong_etag(answer.headers) if is_bare else None
        await self._partial.restart(etag, answer.length if is_bare else None)
        try:
            await self._take(answer, self._max_bytes)
        except ProtocolError:
            await self._partial.discard()
            raise
        if is_bare and answer.length not in (None, self._partial.size):
            raise IncompleteRead(f"{self._partial.size} of {answer.length} bytes came", expected=answer.length)

    async def _take_rest(self, answer: ResponseStream) -> bool:
        """Take what a 206 brings; False where that is not the last byte."""
        extent = content_range(answer.headers)
        assert extent is not None
        assert extent.last is not None
        self._check_size(extent.total)
        try:
            await self._take(answer, extent.last + 1)
        except ProtocolError as error:
            await self._partial.discard()  # it is not known which of its bytes were lies
            if not isinstance(error, LimitError):
                raise
            raise ProtocolError("more came than its Content-Range says") from error
        if self._partial.size != extent.last + 1:
            raise IncompleteRead(f"{self._partial.size} of {extent.last + 1} bytes came", expected=extent.last + 1)
        if extent.total is None:  # RFC 9110 §14.4: nobody knows; 416 will tell the end
            return False
        return self._partial.size == extent.total

    def _check_size(self, total: int | None) -> None:
        if total is not None and self._max_bytes is not None and total > self._max_bytes:
            raise LimitError(f"a file of {total} bytes; the limit is {self._max_bytes}", limit=self._max_bytes)

    async def _take(self, answer: ResponseStream, up_to: int | None) -> None:
        """Append the body, at most up to a size of `up_to`: the next pieces come in while the last are written."""
        partial = self._partial
        size, waiting = partial.size, 0
        pieces: list[bytes] = []
        writing: asyncio.Task[None] | None = None
        try:
            async for piece in answer:
                size += len(piece)
                if up_to is not None and size > up_to:
                    raise LimitError(f"the file goes on; the limit is {up_to}", limit=up_to)
                pieces.append(piece)
                waiting += len(piece)
                if waiting >= _WRITE_BYTES:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(partial.append(pieces))
                    pieces, waiting = [], 0
        finally:
            # What came is kept, however it ended. A cancelled wait leaves the writing to its thread, which ends alone.
            if writing is not None:
                await writing
            if pieces:
                await partial.append(pieces)

    async def _finished(self, answer: ResponseStream, etag: str | None) -> Download:
        partial = self._partial
        if self._wanted is not None and partial.sha256 != self._wanted:
            found = partial.sha256
            await partial.discard()
            raise ProtocolError(f"the file's SHA-256 is {found}, not {self._wanted}")
        await partial.finish()
        return Download(
            partial.path,
            partial.size,
            self._resumed,
            partial.sha256,
            answer.url,
            strong_etag(answer.headers) or etag,
            answer.history,
        )
