"""Forwarder: an HTTP proxy that reads our requests and makes them in our place, as proxies do for http.

CONNECT would do for http too, but many proxies ask it to be for TLS alone (RFC 9110 §9.3.6 advises them to).
"""

from __future__ import annotations

from typing import NamedTuple

from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from asyncnet.proxy import Proxy, authorization


class Forwarder(NamedTuple):
    """What the requests on a connection to such a proxy need.

    Args:
        url: of the proxy.
        authorization: what it is to be shown, or None.
    """

    url: URL
    authorization: str | None

    @classmethod
    async def of(cls, proxy: Proxy) -> Forwarder:
        """Make it of a proxy; its secret is asked for once for each connection."""
        shown = None if proxy.credentials is None else await authorization(proxy.credentials)
        return cls(URL(str(proxy)), shown)

    def address(self, request: ClientRequest) -> None:
        """Make a request one for the proxy: with the whole URL as its target (RFC 9112 §3.2.2), and signed."""
        request.proxy = self.url
        if self.authorization is not None:
            request.headers["Proxy-Authorization"] = self.authorization
