"""Digest (RFC 7616): a password is proved, not sent. Pure: challenges in, the value of Authorization out."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import quote

Parameters = dict[str, str]

# The algorithms that can be answered, the strongest first (RFC 7616 §3.7 leaves the choice to the client). SHA-512 is
# in no RFC, but some servers offer it.
_HASHES = {"SHA-512": "sha512", "SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
_ALGORITHMS = tuple(_HASHES)

# RFC 9110 §11.6.1: challenges are a list, and so are the parameters of each. A token before a "=" is a parameter's
# name; one that stands alone begins a challenge.
_ITEM = re.compile(
    r"""[\s,]*+(?:
        (?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)[ \t]*+=(?!=)[ \t]*+
            (?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<value>[^\s,"]*+))
      | (?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]++)(?:[ \t]++(?P<token68>[A-Za-z0-9._~+/-]++=*+)(?=[\s,]|\Z))?
      | (?P<odd>[^\s,]++)
    )""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_QUOTED = re.compile(r'(["\\])')


class Challenge(NamedTuple):
    """What a server asks for.

    Args:
        algorithm: as it named it, in capitals; with `-SESS` where it did so.
        realm: whose password it wants.
        nonce: its number.
        opaque: what it wants back unchanged, or None.
        has_qop: whether it knows `qop=auth`; else it keeps to RFC 2069.
        is_utf8: whether names and passwords are UTF-8.
        hides_name: whether the name is hashed too.
        is_stale: whether only the nonce was too old, not the password wrong.
    """

    algorithm: str
    realm: str
    nonce: str
    opaque: str | None
    has_qop: bool
    is_utf8: bool
    hides_name: bool
    is_stale: bool


def challenges(fields: Iterable[str]) -> list[tuple[str, Parameters]]:
    """Take WWW-Authenticate fields apart: each scheme (lower case) with its parameters (lower-case names)."""
    found: list[tuple[str, Parameters]] = []
    for field in fields:
        for item in _ITEM.finditer(field):
            if item["scheme"] is not None:
                found.append((item["scheme"].lower(), {}))
            elif item["name"] is not None and found:
                quoted = item["quoted"]
                value = item["value"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
                found[-1][1].setdefault(item["name"].lower(), value)
    return found


def chosen(fields: Iterable[str]) -> Challenge | None:
    """Give the strongest Digest challenge that can be answered, or None."""
    usable = [
        challenge
        for scheme, parameters in challenges(fields)
        if scheme == "digest" and (challenge := _challenge(parameters)) is not None
    ]
    return min(usable, key=lambda one: _ALGORITHMS.index(one.algorithm.removesuffix("-SESS")), default=None)


def _challenge(parameters: Parameters) -> Challenge | None:
    algorithm = parameters.get("algorithm", "MD5").upper()
    base = algorithm.removesuffix("-SESS")
    qops = [one.strip().lower() for one in parameters.get("qop", "").split(",") if one.strip()]
    if base not in _HASHES or _HASHES[base] not in hashlib.algorithms_available:
        return None
    if "nonce" not in parameters or (qops and "auth" not in qops):
        return None
    if not all(value.isprintable() for value in parameters.values()):
        return None
    return Challenge(
        algorithm,
        parameters.get("realm", ""),
        parameters["nonce"],
        parameters.get("opaque"),
        bool(qops),
        parameters.get("charset", "").upper() == "UTF-8",
        parameters.get("userhash", "").lower() == "true",
        parameters.get("stale", "").lower() == "true",
    )


def next_nonce(fields: Iterable[str]) -> str | None:
    """Give the nonce that Authentication-Info (RFC 7616 §3.5) says to use next, or None."""
    for _, parameters in challenges(f"info {field}" for field in fields):
        if (nonce := parameters.get("nextnonce")) and nonce.isprintable():
            return nonce
    return None


class Digest:
    """Answers one challenge, again and again, counting.

    Args:
        challenge: the server's.
        make_cnonce: makes our own number.
    """

    def __init__(self, challenge: Challenge, make_cnonce: Callable[[], str] = lambda: secrets.token_hex(16)) -> None:
        self.challenge = challenge
        self._make_cnonce = make_cnonce
        self._count = 0
        self._session_cnonce = ""

    def renew(self, nonce: str) -> None:
        """Use another nonce from now on."""
        self.challenge = self.challenge._replace(nonce=nonce)
        self._count = 0

    def authorization(self, username: str, password: str, method: str, target: str) -> str:
        """Give the value of Authorization for one request (RFC 7616 §3.4).

        Args:
            username: who.
            password: his.
            method: of the request.
            target: its request target: path and query as they are sent.
        """
        asked = self.challenge
        self._count += 1
        cnonce, count = self._make_cnonce(), f"{self._count:08x}"
        if self._count == 1:
            self._session_cnonce = cnonce
        secret = self._hash(":".join((username, asked.realm, password)))
        if asked.algorithm.endswith("-SESS"):  # §3.4.2: from the first request with this nonce
            secret = self._hash(":".join((secret, asked.nonce, self._session_cnonce)))
            cnonce = self._session_cnonce
        wanted = self._hash(f"{method}:{target}")
        middle = [count, cnonce, "auth"] if asked.has_qop else []
        response = self._hash(":".join([secret, asked.nonce, *middle, wanted]))
        parts = [
            self._name(username),
            f"realm={_quoted(asked.realm)}",
            f"nonce={_quoted(asked.nonce)}",
            f"uri={_quoted(target)}",
            f'response="{response}"',
            f"algorithm={asked.algorithm.replace('-SESS', '-sess')}",
        ]
        if asked.has_qop:
            parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
        if asked.opaque is not None:
            parts.append(f"opaque={_quoted(asked.opaque)}")
        if asked.hides_name:
            parts.append("userhash=true")
        return f"Digest {', '.join(parts)}"

    def _name(self, username: str) -> str:
        if self.challenge.hides_name:  # §3.4.4
            return f'username="{self._hash(f"{username}:{self.challenge.realm}")}"'
        if username.isascii():
            return f"username={_quoted(username)}"
        return f"username*=UTF-8''{quote(username, safe='')}"  # §3.4, RFC 8187

    def _hash(self, text: str) -> str:
        name = _HASHES[self.challenge.algorithm.removesuffix("-SESS")]
        return hashlib.new(name, self._encoded(text), usedforsecurity=False).hexdigest()

    def _encoded(self, text: str) -> bytes:
        # Without a charset (§4) servers before RFC 7616 took Latin-1.
        if not self.challenge.is_utf8:
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                pass
        return text.encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    return '"' + _QUOTED.sub(r"\\\1", text) + '"'
