"""Faults: an error as lines for people. What, where and why in the first; what to do now in the second. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from asyncnet import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    Endpoint,
    LimitError,
    NetError,
    RefusedError,
    StatusError,
    TLSError,
    UsageError,
)
from asyncnet.cli.text import shown

_TLS_PORTS = {443: "https", 465: "smtps", 993: "imaps", 995: "pop3s"}
"""Ports where TLS begins with the first byte; there, a plain client and the server wait for each other."""


def fault(error: BaseException, where: str = "") -> str:
    """Say what failed: `error: where: operation: what`."""
    if not isinstance(error, NetError):
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return shown(": ".join(part for part in ("error", where, what) if part))
    parts = ("error", error.endpoint or where, error.operation or "", error.message or type(error).__name__)
    return shown(": ".join(part for part in parts if part))


def remedy(error: BaseException, where: str = "") -> str | None:
    """Say what may help, or None."""
    return next(_remedies(error, _endpoint(error, where)), None)


def _remedies(error: BaseException, endpoint: Endpoint | None) -> Iterator[str]:
    text = error.message if isinstance(error, NetError) else ""
    if isinstance(error, TLSError):
        yield from _of_tls(text, endpoint)
    elif isinstance(error, DeadlineError | ConnectError) or text.startswith("connection lost"):
        yield from _of_the_way(error, endpoint)
    elif isinstance(error, StatusError):
        yield from _of_status(error, endpoint)
    elif isinstance(error, AuthenticationError):
        yield "check username and password; for OAuth 2 set ASYNCNET_TOKEN or use --token-command"
    elif isinstance(error, RefusedError) and error.transient:
        yield "it may be accepted later"
    elif isinstance(error, LimitError) and "bytes" in text:
        yield "allow more with --max-bytes"
    elif isinstance(error, LimitError) and "messages" in text:
        yield "allow more with --max-messages"
    elif isinstance(error, UsageError) and "plaintext" in text:
        yield "the last of these is --allow-plaintext-login here: whoever is on the way can read the secret then"
    elif not isinstance(error, NetError | OSError):
        yield "this is a fault of asyncnet itself; -v shows where"


def _of_tls(text: str, endpoint: Endpoint | None) -> Iterator[str]:
    if "does not speak TLS" in text and endpoint is not None and endpoint.scheme in ("imaps", "pop3s", "smtps"):
        yield f"try {endpoint.protocol}+starttls://{endpoint.host}:{endpoint.port}"
    elif "mismatch" in text or "not valid for" in text:
        yield "the certificate is another host's: check the name in the URL"
    elif "not trusted" in text and "expired" not in text:
        yield "trust the authority that signed it with --ca FILE"


def _of_the_way(error: BaseException, endpoint: Endpoint | None) -> Iterator[str]:
    if endpoint is not None and endpoint.scheme in ("http", "imap", "pop3", "smtp") and endpoint.port in _TLS_PORTS:
        yield f"port {endpoint.port} expects TLS from the first byte: try {_TLS_PORTS[endpoint.port]}://{endpoint.host}"
    elif isinstance(error, DeadlineError):
        yield "allow more time with --timeout SECONDS"
    elif "no address" in str(error):
        yield "check the name of the host"
    elif "already in use" in str(error):
        yield "another program listens there: choose another port, or 0 for any free one"
    elif "refused" in str(error).lower():
        yield "nobody listens there: is the server up, and is it the right port?"


def _of_status(error: StatusError, endpoint: Endpoint | None) -> Iterator[str]:
    if error.code in (401, 403) and endpoint is not None and endpoint.username is None:
        yield f"to sign in, name the user in the URL: {endpoint.scheme}://user@{endpoint.host}/..."
    elif error.retry_after is not None:
        yield f"the server asks to wait {error.retry_after:.0f} seconds"
    elif error.transient:
        yield "it may be there later; --retries tries again by itself"


def _endpoint(error: BaseException, where: str) -> Endpoint | None:
    url = getattr(error, "endpoint", None) or where
    try:
        return Endpoint.parse(url)
    except UsageError:
        return None
