"""The cookie jar: RFC 6265 by aiohttp, and stricter about who a cookie comes from.

RFC 6265 §8.5 admits that cookies do not tell ports apart, nor http from https. Here they do: each scheme and port has
a jar of its own, so that no cookie of a server reaches another on the same machine, and none of https goes over http.
Hosts that are addresses keep cookies too, for that address alone (§5.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http.cookies import BaseCookie, Morsel, SimpleCookie
from itertools import chain
from types import MappingProxyType

from aiohttp import CookieJar
from aiohttp.abc import AbstractCookieJar, ClearCookiePredicate
from aiohttp.typedefs import LooseCookies
from yarl import URL

_Key = tuple[str, int | None]


class OriginJar(AbstractCookieJar):
    """One jar for each scheme and port."""

    unsafe = True
    quote_cookie = True

    def __init__(self) -> None:
        super().__init__()
        self._jars: dict[_Key, CookieJar] = {}

    @property
    def cookies(self) -> MappingProxyType[tuple[str, str], SimpleCookie]:
        """All cookies by domain and path; of two ports of one host, one hides the other here."""
        return MappingProxyType({key: value for jar in self._jars.values() for key, value in jar.cookies.items()})

    @property
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """The cookies for one host alone, as (domain, path, name)."""
        return frozenset(chain.from_iterable(jar.host_only_cookies for jar in self._jars.values()))

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Forget the cookies that `predicate` accepts; all without one."""
        for jar in self._jars.values():
            jar.clear(predicate)

    def clear_domain(self, domain: str) -> None:
        """Forget the cookies of a domain and of all below it."""
        for jar in self._jars.values():
            jar.clear_domain(domain)

    def update_cookies(self, cookies: LooseCookies, response_url: URL = URL()) -> None:  # noqa: B008 (a value)
        """Take what a response set."""
        key = (response_url.scheme, response_url.port)
        if key not in self._jars:
            self._jars[key] = CookieJar(unsafe=True)
        self._jars[key].update_cookies(cookies, response_url)

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """Give what goes with a request."""
        if not self._jars:
            return SimpleCookie()
        jar = self._jars.get((request_url.scheme, request_url.port))
        return SimpleCookie() if jar is None else jar.filter_cookies(request_url)

    def header(self, request_url: str) -> str | None:
        """Give the field's value for a request, or None if there is nothing to say."""
        if not self._jars:
            return None
        cookies = self.filter_cookies(URL(request_url, encoded=True))
        return "; ".join(f"{name}={morsel.coded_value}" for name, morsel in cookies.items()) or None

    def learn(self, fields: Sequence[str], response_url: str) -> None:
        """Take what the Set-Cookie fields of a response say."""
        self.update_cookies_from_headers(fields, URL(response_url, encoded=True))

    def __iter__(self) -> Iterator[Morsel[str]]:
        return chain.from_iterable(self._jars.values())

    def __len__(self) -> int:
        return sum(map(len, self._jars.values()))
