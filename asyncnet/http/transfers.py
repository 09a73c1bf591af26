"""Transfers: more than one answer: downloads that go on where they were cut, event streams, values by the line."""

from __future__ import annotations

import contextlib
import math
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.http.content import Parts, Source
from asyncnet.http.download import Download, Transfer
from asyncnet.http.events import MAX_EVENT_BYTES
from asyncnet.http.feeds import Events, JsonIterator
from asyncnet.http.lines import MAX_LINE_BYTES
from asyncnet.http.request import Fields, Headers, Place, checked_headers
from asyncnet.http.stream import ResponseStream
from asyncnet.http.verbs import Verbs
from asyncnet.retry import Retry
from asyncnet.translation import translated

_Open = Callable[[Mapping[str, str]], AbstractAsyncContextManager[ResponseStream]]

_OURS = ("Accept-Encoding", "If-Range", "Range")


class Transfers(Verbs):
    """What can be asked for beyond a single answer; whoever fills in `stream` has the rest."""

    timeout: float | None

    @abstractmethod
    def stream(
        self,
        method: str,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: Source | None = None,
        parts: Parts | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Send one request and read its answer piece by piece."""

    @abstractmethod
    def _located(self, url: str | Endpoint, params: Fields | None) -> Place:
        """Give the place of a URL."""

    async def download(
        self,
        url: str | Endpoint,
        path: str | os.PathLike[str],
        credentials: Credentials | None = None,
        *,
        params: Fields | None = None,
        headers: Headers | None = None,
        sha256: str | None = None,
        resume: bool = True,
        retry: Retry | None = None,
        max_bytes: int | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> Download:
        """Fetch a file to `path`: written as it comes to `path.part`, and put in its place when it is whole.

        Args:
            url: absolute, or relative to the session's base.
            path: where; a file that is there is replaced at the end, at once.
            credentials: see `Session.request`, and so are all that are not named here.
            params: see `Session.request`.
            headers: see `Session.request`.
            sha256: the file's SHA-256 in hex; what has another is not put in its place.
            resume: go on where an earlier call was cut; False begins anew.
            retry: when to try again after a transient failure, going on where it was cut; None never does.
            max_bytes: the largest file; None is no limit, for nothing is kept in memory.
            max_redirects: see `Session.request`.
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Raises:
            NetError: as `Session.request`; an IncompleteRead says that the end is missing.
            StatusError: the status is 400 or more.
            ProtocolError: the SHA-256 is another, or the answer is none to what was asked (LimitError: more than
                `max_bytes`).
            UsageError: `path` is a folder, another download is writing there, or `headers` hold one of Range, If-Range
                and Accept-Encoding.
            OSError: the file cannot be written.

        After a failure or a cancellation `path` is as it was. What came stays in `path.part`, and its version in
        `path.part.etag`, if the server named that version by a strong ETag, else nothing stays. The next call asks for
        the rest of that very version; if the file has changed, or the server answers anything but exactly that, it is
        fetched from its first byte. Two calls at once never write to one file.
        """
        fields = checked_headers(headers)
        if named := [name for name in _OURS if name in fields]:
            raise UsageError(f"{named[0]} is for the download itself to say")
        place = self._located(url, params)
        opened = self._opener("GET", place.endpoint, credentials, fields, max_redirects=max_redirects)
        transfer = Transfer(opened, place.text, Path(path), sha256, max_bytes, resume)
        seconds = self.timeout if timeout is None else timeout
        async with deadline(seconds, place.endpoint, "GET"):
            with translated((), place.endpoint, "GET"):
                return await transfer.run(retry)

    @contextlib.asynccontextmanager
    async def events(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        method: str = "GET",
        params: Fields | None = None,
        headers: Headers | None = None,
        json: Any = None,
        last_event_id: str = "",
        reconnect: Retry | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_silence: float | None = None,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Events]:
        """Open a stream of server-sent events: `async with session.events(url) as events: async for event in events`.

        Args:
            url: see `Session.request`, and so are all that are not named here.
            credentials: see `Session.request`.
            method: GET; some services want POST.
            params: see `Session.request`.
            headers: see `Session.request`.
            json: a value to send as JSON, with each connecting.
            last_event_id: go on after this event (Last-Event-ID).
            reconnect: when to connect again after a loss or an end, after the last event that came; its attempts count
                from the last event. None never does: a loss is an error, and an end is the end.
            max_event_bytes: the longest line, and the most data of one event.
            max_silence: seconds without a byte, comments included, after which the connection counts as lost; None
                waits for ever.
            max_redirects: see `Session.request`.
            timeout: seconds for the whole block; None takes the session's, `math.inf` is no limit.

        Raises:
            StatusError: the status is 400 or more.
            ProtocolError: what comes is not `text/event-stream` (LimitError: an event beyond `max_event_bytes`).
            NetError: as `Session.request`, from the opening or from the reading.

        A 204 ends it for good, as the standard says. The server's own `retry` is waited for, up to `reconnect`'s
        `max_retry_after`.
        """
        place = self._located(url, params)
        opened = self._opener(method, place.endpoint, credentials, headers, json=json, max_redirects=max_redirects)
        events = Events(opened, reconnect, max_event_bytes, max_silence, last_event_id)
        seconds = self.timeout if timeout is None else timeout
        async with deadline(seconds, place.endpoint, method):
            try:
                with translated((), place.endpoint, method):
                    await events.open()
                yield events
            finally:
                await events.aclose()

    @contextlib.asynccontextmanager
    async def ndjson(
        self,
        url: str | Endpoint,
        credentials: Credentials | None = None,
        *,
        method: str = "GET",
        params: Fields | None = None,
        headers: Headers | None = None,
        json: Any = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        max_redirects: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[JsonIterator]:
        """Open a body with one JSON value on each line: `async with session.ndjson(url) as values: async for ...`.

        Args:
            url: see `Session.request`, and so are all that are not named here.
            credentials: see `Session.request`.
            method: GET; some services want POST.
            params: see `Session.request`.
            headers: see `Session.request`.
            json: a value to send as JSON.
            max_line_bytes: the longest line.
            max_redirects: see `Session.request`.
            timeout: seconds for the whole block; None takes the session's, `math.inf` is no limit.

        Raises:
            StatusError: the status is 400 or more.
            ProtocolError: a line is not JSON (LimitError: it is longer than `max_line_bytes`).
            NetError: as `Session.request`, from the opening or from the reading.
        """
        async with self.stream(
            method,
            url,
            credentials,
            params=params,
            headers=headers,
            json=json,
            max_redirects=max_redirects,
            timeout=timeout,
        ) as response:
            yield response.raise_for_status().ndjson(max_line_bytes=max_line_bytes)

    def _opener(
        self,
        method: str,
        where: Endpoint,
        credentials: Credentials | None,
        headers: Headers | None,
        *,
        json: Any = None,
        max_redirects: int | None,
    ) -> _Open:
        given = checked_headers(headers)

        def opened(fields: Mapping[str, str]) -> AbstractAsyncContextManager[ResponseStream]:
            both = CIMultiDict(given)
            for name, value in fields.items():
                both.setdefault(name, value)
            return self.stream(
                method,
                where,
                credentials,
                headers=both,
                json=json,
                max_redirects=max_redirects,
                timeout=math.inf,
            )

        return opened
