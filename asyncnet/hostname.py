"""Hostname: the one spelling of a host, a name or an address, and what is neither. Pure."""

from __future__ import annotations

import re

from asyncnet.errors import InvalidEndpoint, printable

# Whole-number octets without leading zeros (inet_aton's octal and short forms are how filters are fooled).
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)
_NUMBERISH = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|\d+)\.?", re.ASCII)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9._~-]{1,32}")


def is_ipv4(host: str) -> bool:
    """Whether it is an IPv4 address, spelled as everybody reads it."""
    return _IPV4.fullmatch(host) is not None


def canonical(host: str) -> str:
    """Give the one spelling of a host that is used everywhere: lower-case ASCII (IDNA), or an IP literal.

    Raises:
        InvalidEndpoint: it is neither a name nor an address, or an address in disguise.
    """
    if ":" in host:
        return _ipv6(host)
    if not host.isascii():
        host = _idna(host)
    host = host.lower()
    if not host or is_ipv4(host):
        return host
    # RFC 3696 §2: no top-level name is all digits; 0x7f.1 and 127.1 are addresses in disguise.
    if len(host) > 254 or not _NAME.fullmatch(host) or _NUMBERISH.fullmatch(host):
        raise InvalidEndpoint(f"neither a host name nor an IPv4 address: {printable(host, max_characters=80)!r}")
    return host


def _ipv6(host: str) -> str:
    import socket  # the system's own reading, which is also the fastest

    address, percent, zone = host.partition("%")
    try:
        address = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address))
    except (OSError, ValueError):
        raise InvalidEndpoint(f"not an IPv6 address: [{printable(host, max_characters=60)}]") from None
    if percent and not _ZONE.fullmatch(zone):
        raise InvalidEndpoint(f"not a zone of an IPv6 address: {printable(zone, max_characters=40)!r}")
    return address + percent + zone


def _idna(host: str) -> str:
    import idna  # RFC 5891; loaded only for a name that needs it

    try:
        if len(host) > 254:
            raise UnicodeError("too long")
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError as error:  # the library's own errors are UnicodeErrors too
        raise InvalidEndpoint(f"not a host name: {printable(host, max_characters=80)!r} ({error})") from error
