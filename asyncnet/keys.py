"""Keys: whose credentials open which endpoint. What is not meant for a place is never shown to it."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from asyncnet.credentials import Credentials
from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, UsageError

Finder = Callable[[Endpoint], "Credentials | None"] | Callable[[Endpoint], Awaitable["Credentials | None"]]

CredentialsFor = Mapping[str, Credentials] | Finder
"""a mapping from hosts and URLs to Credentials, or a function that finds those for an Endpoint, or None"""

_MAX_REMEMBERED = 1024
_HOST = re.compile(r"[^/:@\[\]?#]+|\[[0-9A-Fa-f:.%]+\]")


class Keys:
    """Finds the credentials for endpoints.

    Args:
        source: a mapping, in which a key is a host (`mail.example.org`: every protocol and port there), or a URL
            (`https://example.org:8443/api`: that scheme, host and port, and what lies below its path; with a user, only
            URLs that name this user or none). The longest URL that fits goes before the host. Or a function of an
            Endpoint, sync (it runs in a daemon thread, so it may block) or async, which is asked once for each
            origin and user, and gives Credentials or None.

    Raises:
        UsageError: credentials without a place, or a key that is neither host nor URL.
    """

    def __init__(self, source: CredentialsFor) -> None:
        if isinstance(source, Credentials) or not (isinstance(source, Mapping) or callable(source)):
            raise UsageError(
                "credentials belong to places: give a mapping, {'mail.example.org': credentials}, or a function that "
                "finds them for an Endpoint; or give them to a single call"
            )
        self._find: Finder | None = None if isinstance(source, Mapping) else source
        self._hosts: dict[str, Credentials] = {}
        self._places: list[tuple[Endpoint, Credentials]] = []
        self._found: OrderedDict[tuple[str, str | None], Credentials | None] = OrderedDict()
        self._turn = asyncio.Lock()
        if isinstance(source, Mapping):
            for key, credentials in source.items():
                self._add(key, credentials)
            self._places.sort(key=lambda entry: (len(entry[0].path), entry[0].username is not None), reverse=True)

    async def of(self, endpoint: Endpoint) -> Credentials | None:
        """Give the credentials that are meant for an endpoint, or None.

        Raises:
            UsageError: the function failed (its error is the cause), or gave something else.
            NetError: the function raised this itself.
        """
        if self._find is None:
            return self._mapped(endpoint)
        asked = (endpoint.origin, endpoint.username)
        if asked not in self._found:
            async with self._turn:  # a keyring that has to be unlocked is asked by one at a time
                if asked not in self._found:
                    self._remember(asked, await _found(self._find, endpoint))
        return self._found.get(asked)

    def _remember(self, asked: tuple[str, str | None], credentials: Credentials | None) -> None:
        while len(self._found) >= _MAX_REMEMBERED:
            self._found.popitem(last=False)
        self._found[asked] = credentials

    def _add(self, key: str, credentials: Credentials) -> None:
        if not isinstance(credentials, Credentials):
            raise UsageError(f"a mapping to Credentials, not to {type(credentials).__name__}")
        if "://" in key:
            place = Endpoint.parse(key)
            if place.query or place.username not in (None, credentials.username):
                raise UsageError("a place for credentials has no query, and no user but theirs", endpoint=place)
            self._places.append((place, credentials))
            return
        if not _HOST.fullmatch(key):
            raise UsageError("credentials are for a host or a URL; a port needs the scheme: https://host:8443")
        host = Endpoint("tcp", key.strip("[]"), 1).host
        self._hosts[host] = credentials

    def _mapped(self, endpoint: Endpoint) -> Credentials | None:
        for place, credentials in self._places:
            if _lies_in(endpoint, place) and _may_be(endpoint, credentials.username):
                return credentials
        there = self._hosts.get(endpoint.host)
        return there if there is not None and _may_be(endpoint, there.username) else None


def _lies_in(endpoint: Endpoint, place: Endpoint) -> bool:
    if endpoint.origin != place.origin:
        return False
    above = place.path.rstrip("/")
    if above and ".." in endpoint.decoded_path.split("/"):
        return False  # it leads who knows where
    return endpoint.path == above or not above or endpoint.path.startswith(f"{above}/")


def _may_be(endpoint: Endpoint, username: str) -> bool:
    return endpoint.username in (None, username)


async def _found(find: Finder, endpoint: Endpoint) -> Credentials | None:
    def ask() -> object:
        return find(endpoint)

    try:
        found = ask() if inspect.iscoroutinefunction(find) else await in_daemon(ask)
        credentials = await found if inspect.isawaitable(found) else found
    except NetError:
        raise
    except Exception as error:  # its text may be anything, a secret too
        raise UsageError(f"the finder of credentials raised {type(error).__name__}", endpoint=endpoint) from error
    if credentials is not None and not isinstance(credentials, Credentials):
        raise UsageError(f"the finder of credentials gave {type(credentials).__name__}", endpoint=endpoint)
    return credentials
