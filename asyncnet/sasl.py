"""SASL: how a secret is shown to a server. Pure: challenges in, responses out; the wings carry the bytes.

PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), CRAM-MD5 (RFC 2195), SCRAM-SHA-256 (RFC 5802, RFC 7677),
XOAUTH2 (Google's), OAUTHBEARER (RFC 7628).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Collection
from typing import ClassVar

from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, ProtocolError, UsageError, printable
from asyncnet.trace import noted

_PASSWORDS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")
_TOKENS = ("OAUTHBEARER", "XOAUTH2")
_MAX_CHALLENGE = 16_384
_MAX_ITERATIONS = 250_000
"""A hostile server may ask for any number of rounds, and the loop stands still meanwhile: this many take a tenth of a
second. Servers ask for 4,096 to 15,000."""
_MIN_ITERATIONS = 4096  # RFC 7677 §4
# RFC 5802 §7; the order is fixed, and extensions may follow.
_SERVER_FIRST = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([0-9]{1,9})(?:,.*)?", re.DOTALL)
_SERVER_FINAL = re.compile(r"(?:e=([^,]*)|v=([A-Za-z0-9+/=]+))(?:,.*)?", re.DOTALL)


class Exchange:
    """One attempt to sign in by one mechanism.

    Attributes:
        mechanism: its name.
        initial: the response to send with the command, or None where the server speaks first.
        refusal: what the server gave as its reason, if a challenge held one.
    """

    mechanism: ClassVar[str] = ""

    def __init__(self, username: str, secret: str) -> None:
        self._username = username
        self._secret = secret
        self.initial: bytes | None = None
        self.refusal = ""

    def respond(self, challenge: bytes) -> bytes:
        """Answer a decoded challenge.

        Raises:
            ProtocolError: the challenge is not one of this mechanism, or one too many.
        """
        raise ProtocolError(f"{self.mechanism} has no such challenge")

    def finish(self) -> None:
        """Check, when the server says yes, that it has also proved itself where the mechanism demands that.

        Raises:
            ProtocolError: it has not.
        """


class _Plain(Exchange):
    mechanism = "PLAIN"

    def __init__(self, username: str, secret: str) -> None:
        super().__init__(username, secret)
        self.initial = b"\0" + username.encode() + b"\0" + secret.encode()


class _Login(Exchange):
    mechanism = "LOGIN"

    def __init__(self, username: str, secret: str) -> None:
        super().__init__(username, secret)
        self._answers = [secret, username]

    def respond(self, challenge: bytes) -> bytes:
        # The prompts are free text ("Username:", "User Name", ...); only their order is agreed.
        if not self._answers:
            return super().respond(challenge)
        return self._answers.pop().encode()


class _CramMD5(Exchange):
    mechanism = "CRAM-MD5"
    _answered = False

    def respond(self, challenge: bytes) -> bytes:
        if self._answered or not challenge:
            return super().respond(challenge)
        self._answered = True
        digest = hmac.new(self._secret.encode(), challenge, "md5").hexdigest()
        return f"{self._username} {digest}".encode()


class _Bearer(Exchange):
    """What both OAuth mechanisms share: a refusal comes as a challenge of JSON that wants an empty answer."""

    _goodbye: ClassVar[bytes] = b""

    def respond(self, challenge: bytes) -> bytes:
        if self.refusal:
            return super().respond(challenge)
        try:
            status = json.loads(challenge)
            self.refusal = printable(str(status.get("status") or status.get("error") or "")) or "refused"
        except (ValueError, AttributeError, RecursionError):
            self.refusal = "refused"
        return self._goodbye


class _XOAuth2(_Bearer):
    mechanism = "XOAUTH2"

    def __init__(self, username: str, secret: str) -> None:
        super().__init__(username, secret)
        self.initial = f"user={username}\1auth=Bearer {secret}\1\1".encode()


class _OAuthBearer(_Bearer):
    mechanism = "OAUTHBEARER"
    _goodbye = b"\1"  # RFC 7628 §3.2.3

    def __init__(self, username: str, secret: str) -> None:
        super().__init__(username, secret)
        self.initial = f"n,a={_escaped(username)},\1auth=Bearer {secret}\1\1".encode()


class _ScramSHA256(Exchange):
    mechanism = "SCRAM-SHA-256"

    def __init__(self, username: str, secret: str, *, nonce: str | None = None) -> None:
        super().__init__(username, saslprep(secret))
        self._nonce = nonce or secrets.token_urlsafe(24)
        self._bare = f"n={_escaped(saslprep(username))},r={self._nonce}"
        self.initial = f"n,,{self._bare}".encode()
        self._expected = b""
        self._proven = False
        self._step = 0

    def respond(self, challenge: bytes) -> bytes:
        self._step += 1
        if self._step == 1:
            return self._proof(challenge)
        if self._step == 2:
            self._verify(challenge)
            return b""
        return super().respond(challenge)

    def _proof(self, challenge: bytes) -> bytes:
        nonce, salt, rounds = _matched(_SERVER_FIRST, challenge).groups()
        if not (nonce.startswith(self._nonce) and len(nonce) > len(self._nonce)):
            raise ProtocolError("SCRAM: the server's nonce does not continue ours")
        if not _MIN_ITERATIONS <= int(rounds) <= _MAX_ITERATIONS:
            raise ProtocolError(f"SCRAM: {rounds} iterations; {_MIN_ITERATIONS} to {_MAX_ITERATIONS} are accepted")
        salted = hashlib.pbkdf2_hmac("sha256", self._secret.encode(), decoded(salt.encode()), int(rounds))
        final = f"c=biws,r={nonce}"
        signed = f"{self._bare},{challenge.decode()},{final}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{final},p={base64.b64encode(proof).decode()}".encode()

    def _verify(self, challenge: bytes) -> None:
        why, signature = _matched(_SERVER_FINAL, challenge).groups()
        if why is not None:
            self.refusal = printable(why) or "refused"
            return
        if not hmac.compare_digest(decoded(signature.encode()), self._expected):
            raise ProtocolError("SCRAM: the server does not know the password: it may be an impostor")
        self._proven = True

    def finish(self) -> None:
        if not self._proven:
            raise ProtocolError("SCRAM: the server said yes without proving that it knows the password")


_MECHANISMS: dict[str, type[Exchange]] = {
    kind.mechanism: kind for kind in (_Plain, _Login, _CramMD5, _ScramSHA256, _XOAuth2, _OAuthBearer)
}


def choose(offered: Collection[str], credentials: Credentials) -> str:
    """Name the best mechanism that the server offers and these credentials can use.

    Args:
        offered: mechanism names as the server gave them, any case.
        credentials: a `mechanism` named there is used, or nothing.

    Raises:
        AuthenticationError: none fits; nothing has been sent.
        UsageError: the credentials name a mechanism that asyncnet does not know.
    """
    names = {name.upper() for name in offered}
    if credentials.mechanism is not None:
        if credentials.mechanism not in _MECHANISMS:
            raise UsageError(f"unknown mechanism {credentials.mechanism}; known are {', '.join(_MECHANISMS)}")
        wanted: tuple[str, ...] = (credentials.mechanism,)
    else:
        wanted = _TOKENS if credentials.is_token else _PASSWORDS
    for name in wanted:
        if name in names:
            noted(name)
            return name
    offer = ", ".join(sorted(names)) or "no mechanism"
    kind = "a token" if credentials.is_token else "a password"
    raise AuthenticationError(f"the server offers {offer}; {kind} needs {' or '.join(wanted)}")


def exchange(mechanism: str, username: str, secret: str) -> Exchange:
    """Begin an attempt by the named mechanism.

    Raises:
        UsageError: a character in username or password that SCRAM forbids (RFC 4013), or an unknown mechanism.
    """
    if mechanism not in _MECHANISMS:
        raise UsageError(f"unknown mechanism {mechanism}; known are {', '.join(_MECHANISMS)}")
    return _MECHANISMS[mechanism](username, secret)


def encoded(response: bytes) -> bytes:
    """Encode a response for the wire."""
    return base64.b64encode(response)


def masked(text: str, secret: str, initial: bytes | None = None) -> str:
    """Give a server's words without the secret, should it repeat what it was sent; to be called before they are cut.

    Args:
        text: the words.
        secret: what is hidden, as it is and as base64.
        initial: the initial response that was sent, which is hidden as base64.
    """
    # The longest first: a secret of a letter or two may stand within the others.
    for form in (encoded(initial or b"").decode("ascii"), encoded(secret.encode()).decode("ascii"), secret):
        if form:
            text = text.replace(form, "***")
    return text


def decoded(challenge: bytes) -> bytes:
    """Decode what the server sent.

    Raises:
        ProtocolError: it is not base64, or beyond any honest length.
    """
    if len(challenge) > _MAX_CHALLENGE:
        raise ProtocolError(f"a challenge of {len(challenge)} bytes")
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error as error:
        raise ProtocolError("a challenge that is not base64") from error


def saslprep(text: str) -> str:
    """Normalise a username or password as RFC 4013 says (unassigned code points are allowed, as in a query).

    Raises:
        UsageError: a character that is forbidden there, or nothing is left.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )  # RFC 4013 §2.1
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not normal or any(_forbidden(c) for c in normal) or not _bidi_is_right(normal):
        raise UsageError("a character that SASLprep (RFC 4013) forbids in the username or password")
    return normal


def _forbidden(c: str) -> bool:
    return (
        stringprep.in_table_c12(c)
        or stringprep.in_table_c21_c22(c)
        or stringprep.in_table_c3(c)
        or stringprep.in_table_c4(c)
        or stringprep.in_table_c5(c)
        or stringprep.in_table_c6(c)
        or stringprep.in_table_c7(c)
        or stringprep.in_table_c8(c)
        or stringprep.in_table_c9(c)
    )


def _bidi_is_right(text: str) -> bool:
    # RFC 3454 §6: right-to-left text begins and ends so, and holds nothing left-to-right.
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(stringprep.in_table_d2(c) for c in text)


def _escaped(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")  # RFC 5802 §5.1


def _matched(grammar: re.Pattern[str], message: bytes) -> re.Match[str]:
    try:
        found = grammar.fullmatch(message.decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("SCRAM: not UTF-8") from error
    if found is None:  # also a mandatory extension (m=), which we would have to know
        raise ProtocolError(f"SCRAM: not a message of the server's: {printable(message, max_characters=80)!r}")
    return found


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, "sha256").digest()
