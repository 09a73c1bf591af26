"""What aiohttp raises, and what it becomes. Special before general: its certificate errors are OSErrors too."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import (
    ContentLengthError,
    HttpProcessingError,
    LineTooLong,
    TransferEncodingError,
)

from asyncnet.errors import (
    DisconnectedError,
    IncompleteRead,
    LimitError,
    NetError,
    ProtocolError,
    TLSError,
    printable,
)
from asyncnet.translation import TALKING, Translations, described, translation

_TOO_MANY = "Too many"
"""How the parser's complaint about header fields and trailers begins; it has no class of its own."""


def _roots(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 8:
        found.append(error)
        error = error.__cause__
    return found


def _unreadable(error: Exception, endpoint: object, operation: str | None) -> NetError:
    for root in _roots(error):
        if isinstance(root, NetError):  # raised by our own protocol, in the parser's place
            return _renewed(root, endpoint, operation)
        text = str(getattr(root, "message", ""))
        if isinstance(root, LineTooLong) or text.startswith(_TOO_MANY):
            limit = root.args[1] if isinstance(root, LineTooLong) else None
            return LimitError(
                f"the head of the answer is too long: {printable(text, max_characters=80)}",
                limit=limit if isinstance(limit, int) else None,
                endpoint=endpoint,
                operation=operation,
            )
    text = str(getattr(error, "message", "")) or described(error)
    first_line = printable(text.partition("\n")[0], max_characters=120)
    return ProtocolError(f"not an answer of HTTP: {first_line}", endpoint=endpoint, operation=operation)


def _renewed(error: NetError, endpoint: object, operation: str | None) -> NetError:
    again = type(error).__new__(type(error))
    again.args = error.args
    again.__dict__.update(error.__dict__)
    if again.endpoint is None:
        again.endpoint = getattr(endpoint, "redacted", None)
    again.operation = again.operation or operation
    return again


def _hung_up(error: Exception, endpoint: object, operation: str | None) -> NetError:
    begun = not isinstance(getattr(error, "message", None), str)  # the head as far as it came, in place of a text
    text = "the server hung up in the middle of its answer's head" if begun else "the server hung up without an answer"
    return DisconnectedError(text, endpoint=endpoint, operation=operation)


def _broken(error: Exception, endpoint: object, operation: str | None) -> NetError:
    roots = _roots(error)
    for root in roots:
        if isinstance(root, NetError):
            return _renewed(root, endpoint, operation)
        if isinstance(root, ssl.SSLError) and "CERTIFICATE" in (root.reason or ""):
            # TLS 1.3 tells a client that its certificate is missing or unwanted only after the handshake.
            reason = (root.reason or "").replace("_", " ").lower()
            return TLSError(f"TLS failed: {printable(reason)}", endpoint=endpoint, operation=operation)
    for root in (*roots[1:], error):  # the cause knows better what it was
        ours = translation(root, TALKING, endpoint, operation) if isinstance(root, Exception) else None
        if ours is not None:
            return ours
    return DisconnectedError(f"connection lost: {described(error)}", endpoint=endpoint, operation=operation)


def broken_body(
    error: Exception, endpoint: object, operation: str | None, *, received: int, announced: int | None
) -> NetError:
    """Give our error for one that ended a body in the middle.

    Args:
        error: aiohttp's.
        endpoint: where.
        operation: the method.
        received: encoded bytes that came.
        announced: the Content-Length, or None.
    """
    roots = _roots(error)
    for root in roots:
        if isinstance(root, NetError):
            return _renewed(root, endpoint, operation)
        if isinstance(root, HttpProcessingError) and not isinstance(root, (ContentLengthError, TransferEncodingError)):
            return _unreadable(root, endpoint, operation)
    wanted = "more" if announced is None else f"{announced}"
    return IncompleteRead(
        f"the body ended after {received} bytes; {wanted} expected",
        expected=announced,
        endpoint=endpoint,
        operation=operation,
    )


TRANSLATIONS: Translations = (
    (HttpProcessingError, _unreadable),
    ((aiohttp.ServerDisconnectedError, aiohttp.EofStream), _hung_up),
    ((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError), _broken),
    (aiohttp.ClientError, ProtocolError),
    *TALKING,
)
"""While a request is sent and its answer comes; the dialling has its own table."""
