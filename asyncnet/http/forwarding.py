"""Forwarder: an HTTP proxy that reads our requests and makes them in our place, as proxies do for http.

CONNECT would do for http too, but many proxies ask it to be for TLS alone (RFC 9110 §9.3.6 advises them to).
"""

from __future__ import annotations

from typing import NamedTuple

from asyncnet.proxy import Proxy, authorization


class Forwarder(NamedTuple):
    """What requests on a connection to such a proxy need, beside the whole URL as their target (RFC 9112 §3.2.2).

    Args:
        authorization: what it is to be shown, or None.
    """

    authorization: str | None

    @classmethod
    async def of(cls, proxy: Proxy) -> Forwarder:
        """Make it of a proxy; its secret is asked for once for each connection."""
        return cls(None if proxy.credentials is None else await authorization(proxy.credentials))

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Give the fields that go with each request."""
        return () if self.authorization is None else (("Proxy-Authorization", self.authorization),)
