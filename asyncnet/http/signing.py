"""Signer: the credentials of one call: Basic and Bearer at once, Digest once the server has asked for it."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from asyncnet.credentials import Credentials
from asyncnet.errors import UsageError
from asyncnet.http.digest import Digest, chosen, next_nonce
from asyncnet.http.policy import authorization
from asyncnet.http.request import Request
from asyncnet.sasl import masked

_MECHANISMS = {None, "BASIC", "BEARER", "DIGEST"}

_MAX_DIGESTS = 64
"""Servers and users whose nonce a session remembers; for more, each request is asked for once more."""

_MAX_STALE = 2
"""How often in a row a server may call a nonce too old that it has just given."""


class Digests:
    """The challenges that a session has answered, so that the next request need not be refused first."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Credentials], Digest] = {}

    def get(self, origin: str, credentials: Credentials) -> Digest | None:
        """Give the one for this server and user."""
        return self._known.get((origin, credentials))

    def put(self, origin: str, credentials: Credentials, digest: Digest) -> None:
        """Remember it."""
        if len(self._known) >= _MAX_DIGESTS:
            del self._known[next(iter(self._known))]
        self._known[origin, credentials] = digest


class Signer:
    """Signs the requests of one call.

    Args:
        credentials: who.
        digests: those of the session.

    Raises:
        UsageError: their mechanism is none of Basic, Bearer and Digest, or does not fit the secret.
    """

    def __init__(self, credentials: Credentials, digests: Digests) -> None:
        mechanism = credentials.mechanism
        if mechanism not in _MECHANISMS or (mechanism is not None and credentials.is_token != (mechanism == "BEARER")):
            kinds = "BEARER" if credentials.is_token else "BASIC or DIGEST"
            raise UsageError(f"the mechanism {mechanism} has no meaning here; {kinds} has")
        self._credentials = credentials
        self._digests = digests
        self._plain: str | None = None
        self._secret = ""
        self._asked_again = False
        self._stale = 0

    async def sign(self, request: Request) -> Request:
        """Give the request with its Authorization.

        Raises:
            UsageError: the credentials cannot be sent.
        """
        credentials = self._credentials
        digest = self._digest(request)
        if digest is not None:
            self._secret = await credentials.secret()
            value = digest.authorization(credentials.username, self._secret, request.method, request.place.target)
        elif credentials.mechanism == "DIGEST":
            return request  # the server has to ask first
        else:
            if self._plain is None:
                self._plain = await self._fresh()
            value = self._plain
        headers = CIMultiDict(request.headers)
        headers["Authorization"] = value
        return request._replace(headers=headers)

    async def answer(self, request: Request, headers: CIMultiDictProxy[str]) -> bool:
        """Take a 401; whether signing again may help. A password is not sent twice, and not proved twice in vain."""
        credentials = self._credentials
        if credentials.is_token:
            if self._asked_again:
                return False
            self._asked_again, before = True, self._plain
            self._plain = await self._fresh()
            return self._plain != before
        challenge = None
        if credentials.mechanism != "BASIC":
            challenge = chosen(headers.getall("WWW-Authenticate", []))
        if challenge is None:
            return False
        was_proved = request.headers.get("Authorization", "").startswith("Digest ")
        if was_proved:
            self._stale += 1
            if not challenge.is_stale or self._stale > _MAX_STALE:
                return False
        self._digests.put(request.place.origin, credentials, Digest(challenge))
        return True

    def masked(self, text: str) -> str:
        """Give a server's words without what it was sent, should it repeat it."""
        return masked(text, self._secret, f"{self._credentials.username}:{self._secret}".encode())

    def learn(self, request: Request, headers: Mapping[str, str]) -> None:
        """Note what an answer says about the next request."""
        info = headers.get("Authentication-Info")
        digest = self._digest(request)
        if info is not None and digest is not None and (nonce := next_nonce([info])) is not None:
            digest.renew(nonce)

    def _digest(self, request: Request) -> Digest | None:
        return self._digests.get(request.place.origin, self._credentials)

    async def _fresh(self) -> str:
        self._secret = await self._credentials.secret()
        return authorization(self._credentials.username, self._secret, is_token=self._credentials.is_token)
