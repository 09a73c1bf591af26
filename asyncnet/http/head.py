"""Head: the line and the fields that a request begins with, as they are sent. Pure."""

from __future__ import annotations

from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict

from asyncnet.http.coding import ACCEPTED
from asyncnet.http.content import Content

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_USUAL = (("User-Agent", "asyncnet"), ("Accept", "*/*"), ("Accept-Encoding", ACCEPTED))
_USUAL_TEXT = "".join(f"{name}: {value}\r\n" for name, value in _USUAL)


def head(
    method: str, target: str, host: str, fields: CIMultiDict[str], further: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Make the head of a request (RFC 9112 §3, §5).

    Args:
        method: in capitals.
        target: what is asked for, escaped.
        host: the authority, without user; `Host` where the fields name none.
        fields: those of the request; they replace the usual ones of their names.
        further: fields that follow from the body and the way.

    Raises:
        ValueError: a line break or NUL in it, which whoever made the fields has to refuse with a better word.
    """
    if not fields and not further:  # most requests: the parts have been checked where they were made
        return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{_USUAL_TEXT}\r\n".encode()
    all_fields: CIMultiDict[str] = CIMultiDict(Host=fields.get("Host", host))
    all_fields.extend((name, value) for name, value in _USUAL if name not in fields)
    all_fields.extend((name, value) for name, value in fields.items() if name.lower() != "host")
    all_fields.extend(further)
    return bytes(_serialize_headers(f"{method} {target} HTTP/1.1", all_fields))


def body_fields(content: Content | None, method: str, fields: CIMultiDict[str]) -> tuple[tuple[str, str], ...]:
    """Give the fields that say where a request's body ends (RFC 9112 §6.3), and what it is if nobody said so."""
    if content is None:
        # RFC 9110 §8.6: a method that has a use for a body says that there is none.
        return (("Content-Length", "0"),) if method in _WITH_BODY else ()
    end = ("Transfer-Encoding", "chunked") if content.size is None else ("Content-Length", str(content.size))
    return (end,) if "Content-Type" in fields else (end, ("Content-Type", "application/octet-stream"))


def cookie_fields(known: str, fields: CIMultiDict[str]) -> CIMultiDict[str]:
    """Give the fields with the cookies of the jar; of the caller's own, those stay that it knows no better.

    Args:
        known: the jar's, as `name=value; name=value`.
        fields: those of the request.
    """
    pairs = known.split("; ")
    names = {pair.partition("=")[0] for pair in pairs}
    own = (pair.strip() for value in fields.getall("Cookie", ()) for pair in value.split(";"))
    kept = [pair for pair in own if pair and pair.partition("=")[0].strip() not in names]
    merged = CIMultiDict(fields)
    merged["Cookie"] = "; ".join([*kept, *pairs])
    return merged
