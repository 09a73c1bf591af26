"""Line ends: CRLF, whatever a message came with (RFC 5322 §2.1). Pure."""

from __future__ import annotations


def with_crlf(raw: bytes) -> bytes:
    """Give `raw` with CRLF for every line end: CR, LF or both."""
    pairs = raw.count(b"\r\n")
    if raw.count(b"\n") == pairs == raw.count(b"\r"):
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
