"""translated(): the seam where foreign exceptions end.

A table says which exception of a library becomes which of ours, special before general. Our own errors and
cancellation pass untouched; what no table names is a bug and stays itself.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from asyncnet.errors import ConnectError, DisconnectedError, NetError, TLSError, printable

Builder = Callable[[Exception, object, str | None], NetError]
"""(the exception, endpoint, operation) -> ours"""

Translations = Sequence[tuple[type[Exception] | tuple[type[Exception], ...], type[NetError] | Builder]]
"""rows of (foreign class or classes, our class or a builder), searched in order"""


@contextmanager
def translated(table: Translations, endpoint: object = None, operation: str | None = None) -> Iterator[None]:
    """Raise ours `from` the foreign exception of the block, by the first row of `table` that fits.

    One of ours passes as it is; where a pure parser below could not say endpoint and operation, they are filled in.
    """
    try:
        yield
    except NetError as error:
        if error.endpoint is None and endpoint is not None:
            error.endpoint = NetError(endpoint=endpoint).endpoint
        error.operation = error.operation or operation
        raise
    except Exception as error:
        ours = translation(error, table, endpoint, operation)
        if ours is None:
            raise
        raise ours from error


def translation(error: Exception, table: Translations, endpoint: object, operation: str | None) -> NetError | None:
    """Give our error for a foreign one, or None where no row fits."""
    for kinds, make in table:
        if isinstance(error, kinds):
            if isinstance(make, type):
                kind: type[NetError] = make
                return kind(described(error), endpoint=endpoint, operation=operation)
            return make(error, endpoint, operation)
    return None


def described(error: BaseException) -> str:
    """Say in one short line what a foreign exception means."""
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        if error.errno:
            return os.strerror(error.errno)  # asyncio's own text repeats the address as a tuple
        if not str(error):  # asyncio raises them bare
            return next(
                (os.strerror(number) for kind, number in _BARE if isinstance(error, kind)), type(error).__name__
            )
    return printable(str(error)) or type(error).__name__


_BARE = (
    (ConnectionResetError, errno.ECONNRESET),
    (ConnectionRefusedError, errno.ECONNREFUSED),
    (BrokenPipeError, errno.EPIPE),
    (TimeoutError, errno.ETIMEDOUT),
)


def _untrusted(error: Exception, endpoint: object, operation: str | None) -> NetError:
    why = getattr(error, "verify_message", "") or described(error)
    return TLSError(f"certificate not trusted: {printable(why)}", endpoint=endpoint, operation=operation)


def _handshake(error: Exception, endpoint: object, operation: str | None) -> NetError:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        text = "TLS failed: the peer left in the handshake"
        return TLSError(text, endpoint=endpoint, operation=operation, transient=True)
    reason = (getattr(error, "reason", None) or described(error)).replace("_", " ").lower()
    hint = "; the peer does not speak TLS here" if reason in ("wrong version number", "packet length too long") else ""
    return TLSError(f"TLS failed: {printable(reason)}{hint}", endpoint=endpoint, operation=operation)


def _no_name(error: Exception, endpoint: object, operation: str | None) -> NetError:
    # EAI_AGAIN is the resolver's trouble; any other answer is about the name itself, and asking again changes nothing.
    again = getattr(error, "errno", None) == socket.EAI_AGAIN
    return ConnectError(f"no address: {described(error)}", endpoint=endpoint, operation=operation, transient=again)


def _torn(error: Exception, endpoint: object, operation: str | None) -> NetError:
    # Since TLS 1.3 a server says only behind the handshake that it does not want the client's certificate: as an alert.
    reason = getattr(error, "reason", None) or ""
    if "ALERT" in reason:
        return _handshake(error, endpoint, operation)
    return _lost(error, endpoint, operation)


def _lost(error: Exception, endpoint: object, operation: str | None) -> NetError:
    number = getattr(error, "errno", None)
    text = "reset by the peer" if number == errno.ECONNRESET else described(error)
    return DisconnectedError(f"connection lost: {text}", endpoint=endpoint, operation=operation)


HANDSHAKING: Translations = (
    (ssl.SSLCertVerificationError, _untrusted),
    (ssl.SSLError, _handshake),
)
"""While TLS begins; what goes wrong with the connection under it is for another table."""

CONNECTING: Translations = (
    *HANDSHAKING,
    (socket.gaierror, _no_name),
    (OSError, ConnectError),
)
"""While a connection is being made."""

TALKING: Translations = (
    (ssl.SSLCertVerificationError, _untrusted),
    (ssl.SSLError, _torn),
    ((OSError, EOFError), _lost),
)
"""Once it stands."""
