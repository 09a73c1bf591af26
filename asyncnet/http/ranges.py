"""Parts of files: strong entity tags, Content-Range, and what an answer to "the rest, please" means. Pure.

RFC 9110: §8.8.3 (ETag), §13.1.5 (If-Range), §14 (ranges), §15.3.7 (206), §15.5.17 (416).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import NamedTuple

from asyncnet.errors import ProtocolError

_STRONG = re.compile(r'"[\x21\x23-\x7e]{0,500}"', re.ASCII)  # RFC 9110 §8.8.3, without what is beyond ASCII
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)


class Extent(NamedTuple):
    """Which bytes came, of how many; None where a Content-Range does not say."""

    first: int | None
    last: int | None
    total: int | None


class Kept(NamedTuple):
    """What is known of the bytes that an earlier attempt left: how many, of which version, of how many in all."""

    size: int
    etag: str
    total: int | None


class Answer(enum.Enum):
    """What an answer means to whoever asked for a file or for its rest."""

    WHOLE = "the whole file, from its first byte"
    REST = "the rest, or a piece of it"
    COMPLETE = "there is nothing more"
    AGAIN = "not to be used; ask for the whole"


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Give the ETag if bytes of one answer may be joined to bytes of another by it; None for a weak one or none."""
    value = headers.get("ETag", "").strip()
    return value if _STRONG.fullmatch(value) else None


def content_range(headers: Mapping[str, str]) -> Extent | None:
    """Take the Content-Range apart; None where there is none, or one that means nothing."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None
    first, last, total = (int(part) if part and part != "*" else None for part in found.groups())
    if first is None or last is None:
        return Extent(None, None, total)
    if last < first or (total is not None and last >= total):
        return None
    return Extent(first, last, total)


def judged(status: int, headers: Mapping[str, str], kept: Kept | None) -> Answer:
    """Say what an answer means.

    Args:
        status: its status, below 400 or 416.
        headers: its fields.
        kept: what the request asked to continue; None if it asked for the whole.

    Raises:
        ProtocolError: it is no answer to what was asked.
    """
    if status in (200, 203):
        return Answer.WHOLE
    if kept is None or status not in (206, 416):
        raise ProtocolError(f"a status {status} where a whole file was asked for")
    extent = content_range(headers)
    # RFC 9110 §15.3.7: a 206 bears the ETag that a 200 would. A 416 need not.
    if extent is None or headers.get("ETag", kept.etag if status == 416 else "").strip() != kept.etag:
        return Answer.AGAIN
    if _is_coded(headers):
        return Answer.AGAIN
    if extent.total is not None and kept.total not in (None, extent.total):
        return Answer.AGAIN
    if status == 416:
        return Answer.COMPLETE if extent.first is None and extent.total == kept.size else Answer.AGAIN
    return Answer.REST if extent.first == kept.size and _fits(headers, extent) else Answer.AGAIN


def _is_coded(headers: Mapping[str, str]) -> bool:
    # A part of something packed is a part of another file.
    return headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")


def _fits(headers: Mapping[str, str], extent: Extent) -> bool:
    """Whether the Content-Length, if there is one, is that of the range."""
    length = headers.get("Content-Length")
    assert extent.first is not None
    assert extent.last is not None
    return length is None or (_LENGTH.fullmatch(length) is not None and int(length) == extent.last - extent.first + 1)
