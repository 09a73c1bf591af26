"""Which addresses are public: what a URL of a stranger may reach (`public_only=True`). Pure."""

from __future__ import annotations

import ipaddress

_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")  # RFC 7526: of 6to4, withdrawn
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291 §2.4; nothing else of IPv6 is routed
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # RFC 9637, younger than some Pythons
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1: the last 32 bits are an IPv4 address


def is_public(address: str) -> bool:
    """Whether an IP address, in whatever spelling, is one of the public internet's.

    Not: private, loopback, link-local, of carriers' NAT (RFC 6598), multicast, reserved, for documentation, and IPv6
    addresses that lead to such an IPv4 address: mapped, 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052).
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public_v4(parsed) if isinstance(parsed, ipaddress.IPv4Address) else _is_public_v6(parsed)


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address in _RELAYS)


def _is_public_v6(address: ipaddress.IPv6Address) -> bool:
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.sixtofour is not None:
        return _is_public_v4(address.sixtofour)
    if address not in _GLOBAL_UNICAST or address in _DOCUMENTATION:
        return False
    return address.is_global and address.teredo is None
