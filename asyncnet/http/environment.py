"""The proxy that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in small letters too. Pure.

There is no standard; this keeps to what curl and Go do. This machine itself is never reached through such a proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint, Security
from asyncnet.errors import NetError, UsageError
from asyncnet.proxy import Proxy

_VALUE = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://)?(?:(?P<user>[^/@]*)@)?(?P<place>[^/@?#]+)/?")
_SEPARATOR = re.compile(r"[,\s]+")
_PORT = re.compile(r"(?P<host>.+):(?P<port>[0-9]{1,5})", re.ASCII)


def environment_proxy(endpoint: Endpoint, environ: Mapping[str, str]) -> Proxy | None:
    """Give the proxy for an http or https endpoint, or None where it is reached directly.

    Raises:
        UsageError: the variable holds no proxy that can be used. It is named; what it holds, which may be a password,
            is not.

    A password in such a variable is accepted, and goes to the proxy as the variable's owner wants it: in plaintext.
    """
    if endpoint.is_loopback or endpoint.is_unix:
        return None
    own = "https" if endpoint.security is Security.TLS else "http"
    for name in (f"{own}_proxy", f"{own.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        # A web server hands a request's field `Proxy` to its CGI programs by the name HTTP_PROXY (CVE-2016-5385).
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            continue
        if value := environ.get(name, "").strip():
            return None if _is_excepted(endpoint, environ) else _proxy(name, value)
    return None


def _proxy(name: str, value: str) -> Proxy:
    found = _VALUE.fullmatch(value)
    try:
        if found is None:
            raise UsageError("not a URL")
        user, _, password = (found["user"] or "").partition(":")
        credentials = Credentials(unquote(user), unquote(password)) if user else None
        bare = f"{found['scheme'] or 'http'}://{found['place']}"
        return Proxy.parse(bare, credentials, allow_plaintext_login=True)
    except NetError as error:
        why = error.message if "extra" in error.message else "it is http://host:port or socks5://host:port"
    # Raised out here it has no context, whose text may be a password.
    raise UsageError(f"the variable {name} holds no proxy that can be used: {why}")


def _is_excepted(endpoint: Endpoint, environ: Mapping[str, str]) -> bool:
    value = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return any(_fits(endpoint, entry.lower()) for entry in _SEPARATOR.split(value) if entry)


def _fits(endpoint: Endpoint, entry: str) -> bool:
    """Whether one entry of NO_PROXY means this host: `*`, a name and all below it, an address, a network, a port."""
    if entry == "*":
        return True
    host = endpoint.host.partition("%")[0].rstrip(".")
    if (network := _network(entry)) is not None:
        address = _network(host)
        return address is not None and address.version == network.version and address.subnet_of(network)  # type: ignore[arg-type]
    if found := _PORT.fullmatch(entry):
        return int(found["port"]) == endpoint.port and _fits(endpoint, found["host"])
    name = entry.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None
