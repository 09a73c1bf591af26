"""TLSInfo: what a TLS connection agreed on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What both sides agreed on.

    Args:
        version: `"TLSv1.3"`...
        cipher: its OpenSSL name.
        certificate: the peer's, as `ssl.SSLSocket.getpeercert()` gives it; None if it showed none, {} if nobody
            verified it.
        certificate_der: the same in binary form (DER).
        alpn: the application protocol chosen, or None.
        server_name: the name that the client asked for (SNI), in ASCII; on a server only with a context of
            `server_context`.
    """

    version: str
    cipher: str
    certificate: dict[str, Any] | None
    certificate_der: bytes | None
    alpn: str | None
    server_name: str | None


def tls_info(tls: ssl.SSLObject | ssl.SSLSocket) -> TLSInfo:
    """Read it off the ssl module's object."""
    cipher = tls.cipher()
    return TLSInfo(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        certificate=tls.getpeercert(),
        certificate_der=tls.getpeercert(binary_form=True),
        alpn=tls.selected_alpn_protocol(),
        server_name=getattr(tls, "asked_name", None) if tls.server_side else tls.server_hostname,
    )
