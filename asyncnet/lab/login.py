"""Login: the server's half of SASL, for every protocol of the lab.

Each mechanism is a generator that yields challenges, is sent the responses, and returns the account; `sign_in` carries
the bytes by a coroutine of the protocol's. PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), CRAM-MD5 (RFC 2195),
SCRAM-SHA-256 (RFC 5802, RFC 7677), XOAUTH2 (Google's), OAUTHBEARER (RFC 7628).
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Generator

from asyncnet.errors import UsageError
from asyncnet.lab.store import Account, Store
from asyncnet.sasl import saslprep

Steps = Generator[bytes, bytes, Account]

_ITERATIONS = 4096  # RFC 7677 §4
_CLIENT_FIRST = re.compile(r"([ny]),(?:a=([^,]*))?,(n=([^,]+),r=([!-+\--~]+)(?:,.*)?)", re.DOTALL)  # RFC 5802 §7
_CLIENT_FINAL = re.compile(r"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)", re.DOTALL)
_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01", re.IGNORECASE)
_OAUTHBEARER = re.compile(
    rb"n,(?:a=([^,]*))?,\x01(?:[^\x01]+\x01)*?auth=Bearer ([^\x01]*)\x01(?:[^\x01]+\x01)*\x01", re.IGNORECASE
)
_MAX_RESPONSE = 16_384


class LoginRefused(Exception):
    """Who signs in is not who they say."""


class LoginMalformed(Exception):
    """A response that is not base64, or not one of the mechanism (501, BAD)."""


class LoginCancelled(Exception):
    """The client has sent "*" (RFC 4954 §4, RFC 9051 §6.2.2)."""


def check_password(store: Store, username: str, secret: str) -> Account:
    """Give the account of that name and password.

    Raises:
        LoginRefused: there is none.
    """
    account = store.accounts.get(username)
    expected = account.secret if account is not None else secrets.token_hex()
    if not hmac.compare_digest(expected.encode(), secret.encode("utf-8", "surrogateescape")) or account is None:
        raise LoginRefused
    return account


async def sign_in(
    store: Store, mechanism: str, initial: bytes | None, ask: Callable[[bytes], Awaitable[bytes]]
) -> Account:
    """Let a client sign in by a mechanism of `MECHANISMS`.

    Args:
        store: whose accounts.
        mechanism: its name, upper case.
        initial: the initial response as it was sent (base64, "=" for an empty one), or None.
        ask: sends a challenge (base64) as the protocol does, and gives the line that the client answers with.

    Raises:
        LoginRefused, LoginMalformed, LoginCancelled: as their names say.
    """
    steps = MECHANISMS[mechanism](store)
    challenge = next(steps)
    response = None if initial is None else _decoded(b"" if initial == b"=" else initial)
    try:
        while True:
            if response is None:
                line = await ask(base64.b64encode(challenge))
                if line == b"*":
                    raise LoginCancelled
                response = _decoded(line)
            challenge = steps.send(response)
            response = None
    except StopIteration as done:
        account: Account = done.value
        return account
    except UnicodeError as error:
        raise LoginMalformed from error
    finally:
        steps.close()


def _decoded(line: bytes) -> bytes:
    try:
        if len(line) > _MAX_RESPONSE:
            raise LoginMalformed
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise LoginMalformed from error


def _plain(store: Store) -> Steps:
    parts = (yield b"").split(b"\0")
    if len(parts) != 3:
        raise LoginMalformed
    authorised, name, secret = (part.decode() for part in parts)
    if authorised not in ("", name):
        raise LoginRefused  # nobody acts for another here
    return check_password(store, name, secret)


def _login(store: Store) -> Steps:
    name = (yield b"Username:").decode()
    return check_password(store, name, (yield b"Password:").decode())


def _cram_md5(store: Store) -> Steps:
    challenge = f"<{secrets.token_hex(8)}@lab.example.org>".encode()
    name, _, digest = (yield challenge).decode().rpartition(" ")
    account = store.accounts.get(name)
    if account is None:
        raise LoginRefused
    expected = hmac.new(account.secret.encode(), challenge, "md5").hexdigest()
    if not hmac.compare_digest(expected.encode(), digest.lower().encode()):
        raise LoginRefused
    return account


def _bearer(pattern: re.Pattern[bytes], store: Store) -> Steps:
    found = pattern.fullmatch((yield b""))
    if found is None:
        raise LoginMalformed
    name, token = found[1].decode() if found[1] else "", found[2].decode()
    name = name.replace("=2C", ",").replace("=3D", "=") if pattern is _OAUTHBEARER else name
    try:
        return check_password(store, name, token)
    except LoginRefused:
        # The reason comes as a challenge, and the client's answer to it says nothing (RFC 7628 §3.2.3).
        yield json.dumps({"status": "invalid_token", "schemes": "bearer", "scope": "mail"}).encode()
        raise


def _scram(store: Store) -> Steps:
    first = _CLIENT_FIRST.fullmatch((yield b"").decode())
    if first is None:
        raise LoginMalformed
    flag, authorised, bare, quoted, client_nonce = first.groups()
    name = quoted.replace("=2C", ",").replace("=3D", "=")
    account = store.accounts.get(name)
    secret = account.secret if account is not None else secrets.token_hex()
    salt = hashlib.sha256(name.encode()).digest()[:16]  # a stranger's name has one too, so that none can be guessed
    nonce = client_nonce + secrets.token_urlsafe(18)
    server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ITERATIONS}"
    final = _CLIENT_FINAL.fullmatch((yield server_first.encode()).decode())
    if final is None:
        raise LoginMalformed
    without_proof, binding, echoed, proof = final.groups()
    header = f"{flag},{'' if authorised is None else f'a={authorised}'},"
    if echoed != nonce or _decoded(binding.encode()) != header.encode() or authorised not in (None, "", quoted):
        raise LoginRefused
    signed = f"{bare},{server_first},{without_proof}".encode()
    client_key, server_key = _scram_keys(secret, salt)
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    if account is None or not hmac.compare_digest(_decoded(proof.encode()), expected):
        raise LoginRefused
    yield b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha256"))
    return account


@functools.lru_cache(maxsize=256)
def _scram_keys(secret: str, salt: bytes) -> tuple[bytes, bytes]:
    try:
        secret = saslprep(secret)
    except UsageError:
        raise LoginRefused from None  # no client can send it
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, _ITERATIONS)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


MECHANISMS: dict[str, Callable[[Store], Steps]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "SCRAM-SHA-256": _scram,
    "XOAUTH2": functools.partial(_bearer, _XOAUTH2),
    "OAUTHBEARER": functools.partial(_bearer, _OAUTHBEARER),
}
"""By name; the password counts as the bearer token too."""
