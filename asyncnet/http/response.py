"""Response: what came back. A frozen value: it pickles, and holds no connection."""

from __future__ import annotations

import codecs
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from asyncnet.errors import ProtocolError, StatusError, UsageError, printable
from asyncnet.http.request import place
from asyncnet.http.timings import Timings

TRANSIENT = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses that say "later, perhaps". 500 is not among them: the same request is likely to meet the same fault."""

_CHARSET = re.compile(r""";\s*charset\s*=\s*"?([^\s";]{1,40})""", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Python's own codecs of text, which no peer means and which cannot replace what they cannot read"""

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, init=False)
class Response:
    """An answer, read to its end (or as far as was asked for).

    Args:
        status: the code, 200 to 999. None raises by itself; `raise_for_status()` does.
        reason: the words after it, often empty.
        headers: the header fields, in any case of their names; `headers.getall("Set-Cookie", [])` gives all of one.
        url: where it came from, after redirects.
        method: how it was asked for, after redirects.
        body: the decoded body.
        history: the redirects on the way, oldest first; their bodies were not read.
        complete: False where a rest of the body was left unread.
        timings: how long each step took, where the session was asked to measure (`timings=True`); else None.
    """

    status: int
    reason: str
    headers: CIMultiDictProxy[str] = field(repr=False, hash=False)
    url: str
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    history: tuple[Response, ...] = field(default=(), repr=False)
    complete: bool = True
    timings: Timings | None = field(default=None, repr=False, compare=False)

    def __init__(
        self,
        status: int,
        reason: str,
        headers: CIMultiDictProxy[str],
        url: str,
        method: str = "GET",
        body: bytes = b"",
        history: tuple[Response, ...] = (),
        complete: bool = True,
        timings: Timings | None = None,
    ) -> None:
        # What dataclass would write for a frozen class takes three times as long, and there is one for each request.
        self.__dict__.update(
            status=status,
            reason=reason,
            headers=headers,
            url=url,
            method=method,
            body=body,
            history=history,
            complete=complete,
            timings=timings,
        )

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait (RFC 9110 §10.2.3), or None."""
        return parsed_retry_after(self.headers.get("Retry-After"))

    def text(self, encoding: str | None = None) -> str:
        """Give the body as text.

        Args:
            encoding: None takes a byte-order mark, else the charset of the Content-Type, else UTF-8.

        Raises:
            UsageError: there is no such `encoding`.

        What cannot be decoded becomes U+FFFD; it is never an error.
        """
        name = self._charset() if encoding is None else _known(encoding)
        if name is None:
            raise UsageError(f"no encoding of text: {printable(str(encoding), max_characters=40)!r}")
        return self.body.decode(name, errors="replace")

    def json(self) -> Any:
        """Parse the body as JSON, whatever its Content-Type says.

        Raises:
            ProtocolError: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(
                f"the body is not JSON: {printable(str(error))}",
                endpoint=place(self.url).endpoint,
                operation=self.method,
            ) from error

    def raise_for_status(self) -> Response:
        """Give the response itself back, unless its status is 400 or more.

        Raises:
            StatusError: `.code` is the status, `.retry_after` the seconds that the server asks to wait. It is transient
                for 408, 425, 429, 502, 503 and 504, and wherever the server named a time to come back.
        """
        if not self.ok:
            raise status_error(self.status, self.reason, self.headers, self.url, self.method)
        return self

    def _charset(self) -> str:
        for bom, name in _BOMS:
            if self.body.startswith(bom):
                return name
        found = _CHARSET.search(self.headers.get("Content-Type", ""))
        return (found and _known(found[1])) or "utf-8"

    def __reduce__(self) -> tuple[Callable[..., Response], tuple[Any, ...]]:
        # The view on the headers does not pickle; the mapping under it does.
        headers = CIMultiDict(self.headers)
        return _rebuilt, (
            self.status, self.reason, headers, self.url, self.method, self.body, self.history, self.complete,
            self.timings,
        )  # fmt: skip


def _rebuilt(status: int, reason: str, headers: CIMultiDict[str], *rest: Any) -> Response:
    return Response(status, reason, CIMultiDictProxy(headers), *rest)


def status_error(status: int, reason: str, headers: CIMultiDictProxy[str], url: str, method: str) -> StatusError:
    """Make the error that a status is, for whoever asks."""
    wait = parsed_retry_after(headers.get("Retry-After"))
    return StatusError(
        code=status,
        text=reason,
        retry_after=wait,
        transient=status in TRANSIENT or wait is not None,
        endpoint=place(url).endpoint,
        operation=method,
    )


def parsed_retry_after(value: str | None, *, now: Callable[[], float] = time.time) -> float | None:
    """Give the seconds of a Retry-After, which is a number or a date; None for nonsense."""
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _known(encoding: str) -> str | None:
    # Encodings of text alone: "charset=zip" would name a codec that makes bytes of bytes.
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name.replace("-", "_") in _NO_CHARSETS:
        return None
    return found.name
