"""Endpoint: where to go. A URL taken apart once, checked, and never holding a secret.

Grammar: RFC 3986, with `imap` of RFC 5092, `pop` of RFC 2384 (spelled `pop3`), and `+starttls` for a required
upgrade. The scheme alone says when TLS begins; nothing is tried in hope.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from asyncnet.errors import InvalidEndpoint, printable
from asyncnet.hostname import canonical, is_ipv4


class Security(enum.Enum):
    """When a connection is encrypted."""

    PLAINTEXT = "plaintext"
    TLS = "tls"
    STARTTLS = "starttls"


class Scheme(NamedTuple):
    """What a scheme means: the protocol spoken, the default port (None: must be given), and when TLS begins."""

    protocol: str
    port: int | None
    security: Security


SCHEMES: dict[str, Scheme] = {
    "tcp": Scheme("tcp", None, Security.PLAINTEXT),
    "tls": Scheme("tcp", None, Security.TLS),
    "unix": Scheme("tcp", None, Security.PLAINTEXT),
    "http": Scheme("http", 80, Security.PLAINTEXT),
    "https": Scheme("http", 443, Security.TLS),
    "imap": Scheme("imap", 143, Security.PLAINTEXT),
    "imaps": Scheme("imap", 993, Security.TLS),
    "imap+starttls": Scheme("imap", 143, Security.STARTTLS),
    "pop3": Scheme("pop3", 110, Security.PLAINTEXT),
    "pop3s": Scheme("pop3", 995, Security.TLS),
    "pop3+starttls": Scheme("pop3", 110, Security.STARTTLS),
    "smtp": Scheme("smtp", 25, Security.PLAINTEXT),
    "smtps": Scheme("smtp", 465, Security.TLS),
    # A required upgrade is what mail submission does (RFC 6409 §3.1: port 587); relays on 25 only ever hope.
    "smtp+starttls": Scheme("smtp", 587, Security.STARTTLS),
    "lmtp": Scheme("smtp", 24, Security.PLAINTEXT),  # local delivery (RFC 2033), on 24 or a Unix socket by custom
}
"""scheme -> (protocol, default port, security)"""

_URL = re.compile(
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://
        (?:(?P<user>[^/?#@]*)@)?
        (?:\[(?P<ipv6>[^\]/?#]*)\]|(?P<host>[^/?#@:\[\]]*))
        (?::(?P<port>[^/?#@]*))?
        (?P<path>/[^?#]*)?
        (?:\?(?P<query>[^#]*))?
        (?:\#(?P<fragment>.*))?""",
    re.VERBOSE,
)
# Most URLs: no user, no percent-escape, nothing that is spelled in more ways than one.
_PLAIN = re.compile(r"([a-z][a-z0-9+.\-]*://[a-z0-9.\-]++(?::[0-9]{1,5})?)(/[!-\"$&->@-~]*+)?(?:\?([!-\"$&-~]*+))?")
# Printable ASCII and whole percent-escapes; "#" ends both, "?" the path. Possessive, so that no text takes long.
_PATH = re.compile(r"(?:/(?:[!-\"$&->@-~]++|%[0-9A-Fa-f]{2})*+)?")
_QUERY = re.compile(r"(?:[!-\"$&-~]++|%[0-9A-Fa-f]{2})*+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # ends a line somewhere, or no UTF-8 holds it
_BEFORE_A_SECRET = re.compile(r"(?>(?:[A-Za-z][\w+.\-]*://)?)[^:@?%]*", re.ASCII)
_HARMLESS = re.compile(
    r"(?>(?:[A-Za-z][\w+.\-]*://)?)(?:\[[0-9A-Fa-f:.]*\]|[^:%?/\[]*)(?::\d{0,5}(?=[/?#]|\Z))?(?:/[^?]*|\Z)", re.ASCII
)
_MAX_URL = 65_536
_set = object.__setattr__
_MAX_UNIX_PATH = 107  # bytes: what Linux's sockaddr_un holds beside a NUL


class _Place:
    __slots__ = ("_base",)
    _base: str  # the URL up to its path, made when first needed: names, keys and errors all begin with it


@dataclass(frozen=True, slots=True)
class Endpoint(_Place):
    """A place to connect to or to listen on; checked, whichever way it is made.

    Args:
        scheme: one of `SCHEMES`, lower case.
        host: a name, kept in lower-case ASCII (IDNA), or an IP literal without brackets; "" is every interface, for
            `serve` only.
        port: 0 to 65535; 0 is any free port, for `serve` only.
        username: decoded, or None. A password is never part of an Endpoint.
        path: as in the URL, still percent-encoded, beginning with "/" or empty; for `unix` the socket's path, decoded.
        query: as in the URL, still percent-encoded, without "?".

    Raises:
        InvalidEndpoint: a part is not what it should be; a command or a header could not hold it either.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    path: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise InvalidEndpoint(_unknown(self.scheme))
        if not 0 <= self.port <= 65535:
            raise InvalidEndpoint(f"not a port from 0 to 65535: {self.port}")
        if self.username is not None and (not self.username or _BREAKING.search(self.username)):
            raise InvalidEndpoint("the username of an endpoint is empty or holds a control character")
        if self.scheme == "unix":
            object.__setattr__(self, "path", _unix_path(self))
            return
        host = canonical(self.host)
        if host != self.host:
            object.__setattr__(self, "host", host)
        if not host and self.scheme not in ("tcp", "tls"):
            raise InvalidEndpoint(f"{self.scheme}:// needs a host")
        if not (_PATH.fullmatch(self.path) and _QUERY.fullmatch(self.query)):
            raise InvalidEndpoint("a path begins with '/', and what path and query may not hold is percent-encoded")

    @classmethod
    def parse(cls, url: str | Endpoint) -> Endpoint:
        """Take a URL apart; an Endpoint is given back as it is.

        Raises:
            InvalidEndpoint: not a URL, an unknown scheme, no host or port where one is needed, a number out of range,
                a control character, a broken percent-escape, or a password in it. The text repeats no password.
        """
        return url if isinstance(url, Endpoint) else _parsed(url)

    @property
    def protocol(self) -> str:
        """What is spoken there: `tcp`, `http`, `imap`, `pop3` or `smtp`."""
        return SCHEMES[self.scheme].protocol

    @property
    def security(self) -> Security:
        """When TLS begins, as the scheme says."""
        return SCHEMES[self.scheme].security

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket."""
        return self.scheme == "unix"

    @property
    def is_loopback(self) -> bool:
        """Whether the bytes stay on this machine: a Unix socket, `localhost`, 127.0.0.0/8 or ::1.

        Not `localhost.`: with the dot, the hosts file does not know it, and who answers is any DNS server.
        """
        return (
            self.is_unix or self.host in ("localhost", "::1") or (self.host.startswith("127.") and is_ipv4(self.host))
        )

    @property
    def decoded_path(self) -> str:
        """The path without its leading "/", percent-escapes decoded as UTF-8 (undecodable bytes as U+FFFD).

        Of a Unix socket it is the path as it is.
        """
        return self.path if self.is_unix else _unquoted(self.path[1:], "replace")

    @property
    def authority(self) -> str:
        """`user@host:port` as in a URL; the default port is left out."""
        user = f"{_quoted(self.username)}@" if self.username is not None else ""
        default = self.is_unix or self.port == SCHEMES[self.scheme].port
        return f"{user}{self._url_host}" if default else f"{user}{self._url_host}:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://host:port` without username, path and query: what limits and warm sessions are counted by."""
        return f"unix://{_quoted_path(self.path)}" if self.is_unix else f"{self.scheme}://{self._url_host}:{self.port}"

    @property
    def redacted(self) -> str:
        """The URL without its query, which may hold a token: what errors and logs show."""
        return f"{self._url_without_query}?..." if self.query else self._url_without_query

    def with_port(self, port: int) -> Endpoint:
        """Give the same place at another port."""
        return replace(self, port=port)

    def __str__(self) -> str:
        """Give the URL that parses to this Endpoint."""
        return f"{self._url_without_query}?{self.query}" if self.query else self._url_without_query

    @property
    def _url_without_query(self) -> str:
        try:
            base = self._base
        except AttributeError:
            base = f"{self.scheme}://{self.authority}"
            _set(self, "_base", base)
        return base + (_quoted_path(self.path) if self.scheme == "unix" else self.path)

    @property
    def _url_host(self) -> str:
        # RFC 6874 §2: the "%" before the zone of an IPv6 address is itself percent-encoded.
        return f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host


def _parsed(url: str) -> Endpoint:
    plain = _PLAIN.fullmatch(url) if isinstance(url, str) and len(url) <= _MAX_URL else None
    if plain is None:
        return _taken_apart(url)
    origin, path, query = plain.groups("")
    try:
        place = _origin(origin)
    except InvalidEndpoint:
        return _taken_apart(url)  # whose error shows the whole of it
    # What __init__ would do, without checking again what the pattern and `_origin` have checked.
    made: Any = _Draft()
    made.scheme = place.scheme
    made.host = place.host
    made.port = place.port
    made.username = None
    made.path = path
    made.query = query
    made._base = place._base
    made.__class__ = Endpoint
    return made  # type: ignore[no-any-return]


class _Draft(_Place):
    # An Endpoint that is being made, with the same slots: to set those of a frozen one takes four times as long.
    __slots__ = ("host", "path", "port", "query", "scheme", "username")


@lru_cache(maxsize=1024)
def _origin(url: str) -> Endpoint:
    """Parse what comes before the path; most URLs of a program have it in common with others."""
    place = _taken_apart(url)
    str(place)  # so that its `_base` is there
    return place


def _taken_apart(url: str) -> Endpoint:
    if not isinstance(url, str):
        raise InvalidEndpoint(f"an endpoint is a URL in a str or an Endpoint, not {type(url).__name__}")
    if len(url) > _MAX_URL:
        raise InvalidEndpoint(f"a URL of {len(url)} characters; at most {_MAX_URL} are taken")
    if " " in url or (not url.isprintable() and _BREAKING.search(url)):
        raise InvalidEndpoint(f"a space or control character in the URL {_shown(url)!r}")
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match is not None else ""
    if match is None or scheme not in SCHEMES:
        raise InvalidEndpoint(_why_not(url))
    user, ipv6, host, port, path, query, fragment = match.group(2, 3, 4, 5, 6, 7, 8)
    if "%" in url and _BAD_ESCAPE.search(url):
        raise InvalidEndpoint(f"a '%' that begins no percent-escape in {_shown(url)!r}")
    username = _username(user, scheme, url) if user else None
    if scheme == "unix":
        if host or ipv6 or port or query or fragment:
            raise InvalidEndpoint(f"a Unix socket is unix:///path (with %3F for ?, %23 for #), not {_shown(url)!r}")
        return Endpoint("unix", "", 0, username, _unquoted(path or "", "surrogateescape"))
    if fragment is not None and SCHEMES[scheme].protocol != "http":
        raise InvalidEndpoint(f"a fragment (#...) means nothing in {_shown(url)!r}")
    place = _literal(ipv6) if ipv6 is not None else _unquoted(host, "replace")
    if ipv6 is None and ":" in place:  # escaped: an IPv6 address without brackets, or a name and a password
        raise InvalidEndpoint(f"a colon in the host of {_shown(url)!r}")
    return Endpoint(scheme, place, _port(port, scheme, url), username, _encoded(path), _encoded(query))


def _shown(url: str) -> str:
    # No error may repeat a password: of a URL that might hold one, only what stands before it is shown, and of no URL
    # the query. A colon may begin a password also where the scheme or its slashes are missing.
    found = None if "@" in url else _HARMLESS.match(url)
    found = found or _BEFORE_A_SECRET.match(url)
    shown = found[0] if found else ""
    return printable(shown if shown == url else f"{shown}...", max_characters=200)


def _why_not(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if separator and scheme.lower() not in SCHEMES and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]{0,39}", scheme):
        return _unknown(scheme)
    return f"not a URL: {_shown(url)!r}" if separator else f"not a URL: {_shown(url)!r}; tcp://host:port is one"


def _unknown(scheme: str) -> str:
    return f"unknown scheme {printable(scheme, max_characters=40)!r}; known are {', '.join(SCHEMES)}"


def _password_in(url: str) -> InvalidEndpoint:
    return InvalidEndpoint(
        f"a password in the URL {_shown(url)!r}: URLs end in logs and histories; "
        "hand it over as Credentials (on the command line: ASYNCNET_PASSWORD or --password-command)"
    )


def _username(user: str, scheme: str, url: str) -> str | None:
    if ":" in user:
        raise _password_in(url)
    if SCHEMES[scheme].protocol in ("imap", "pop3"):
        user, semicolon, choice = user.partition(";")  # RFC 5092 §3.2, RFC 2384: user;AUTH=mechanism
        if semicolon and choice.upper() != "AUTH=*":
            raise InvalidEndpoint("behind the username only ;AUTH=* is taken; Credentials name another mechanism")
    try:
        return _unquoted(user, "strict") or None
    except UnicodeDecodeError:
        raise InvalidEndpoint(f"the username is not UTF-8 in {_shown(url)!r}") from None


def _port(text: str | None, scheme: str, url: str) -> int:
    if not text:
        default = SCHEMES[scheme].port
        if default is None:
            raise InvalidEndpoint(f"no port in {_shown(url)!r}; {scheme}:// has no default")
        return default
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return int(text)
    if "@" in url:
        raise _password_in(url)  # user:pass/word@host reads as a port; it must not be shown as one
    raise InvalidEndpoint(f"the port is no number from 0 to 65535 in {_shown(url)!r}")


def _encoded(text: str | None) -> str:
    if not text:
        return ""
    return text if text.isascii() else _NOT_ASCII.sub(lambda found: _quoted(found[0]), text)


def _unix_path(endpoint: Endpoint) -> str:
    path = endpoint.path
    if endpoint.host or endpoint.port or endpoint.query:
        raise InvalidEndpoint("a Unix socket has a path alone")
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidEndpoint("the path of a Unix socket is not UTF-8") from None
    if not path.startswith("/") or not path.strip("/") or "\0" in path or len(raw) > _MAX_UNIX_PATH:
        raise InvalidEndpoint(f"the path of a Unix socket is absolute, without NUL, at most {_MAX_UNIX_PATH} bytes")
    return raw.decode("utf-8", "surrogateescape")


def _literal(literal: str) -> str:
    if ":" not in literal:
        raise InvalidEndpoint(f"not an IPv6 address: [{printable(literal, max_characters=60)}]")
    address, percent, zone = literal.partition("%25")  # RFC 6874 §2: the zone follows "%25"
    return f"{address}%{_unquoted(zone, 'replace')}" if percent else address


# urllib.parse costs 2 ms to load, and most URLs hold nothing that needs it.


def _unquoted(text: str, errors: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text, errors=errors)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _quoted_path(path: str) -> str:
    from urllib.parse import quote

    return quote(path, safe="/!$&'()*+,;=:@~-._", errors="surrogateescape")
