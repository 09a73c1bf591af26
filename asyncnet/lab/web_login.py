"""Login of the web server: Basic (RFC 7617) and Digest with SHA-256 (RFC 7616), for the accounts of a lab."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from asyncnet.lab.login import LoginRefused, check_password
from asyncnet.lab.store import Store

if TYPE_CHECKING:
    from aiohttp import web

_REALM = "asyncnet lab"
_KEY = secrets.token_bytes(16)
_PARAMETER = re.compile(r'([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))', re.IGNORECASE)


def is_signed_in(store: Store, request: web.BaseRequest, scheme: str) -> tuple[str | None, str]:
    """Say who has signed in, or None and the challenge.

    Args:
        store: whose accounts.
        request: whose Authorization.
        scheme: `basic` or `digest`.
    """
    given = request.headers.get("Authorization", "")
    if scheme == "basic":
        return _basic(store, given), f'Basic realm="{_REALM}", charset="UTF-8"'
    nonce = secrets.token_hex(16)
    signed = f"{nonce}{_signature(nonce)}"
    challenge = f'Digest realm="{_REALM}", qop="auth", algorithm=SHA-256, nonce="{signed}", charset=UTF-8'
    return _digest(store, given, request), challenge


def _basic(store: Store, given: str) -> str | None:
    scheme, _, encoded = given.partition(" ")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        return check_password(store, name, secret).username if scheme.lower() == "basic" else None
    except (binascii.Error, UnicodeError, LoginRefused):
        return None


def _digest(store: Store, given: str, request: web.BaseRequest) -> str | None:
    said = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(given.partition(" ")[2])}
    nonce, account = said.get("nonce", ""), store.accounts.get(said.get("username", ""))
    known = hmac.compare_digest(_signature(nonce[:32]), nonce[32:].encode("ascii", "replace").decode())
    if account is None or not known or said.get("uri") != request.path_qs:
        return None
    one = _hash(f"{account.username}:{_REALM}:{account.secret}")
    two = _hash(f"{request.method}:{said['uri']}")
    expected = _hash(":".join([one, nonce, said.get("nc", ""), said.get("cnonce", ""), said.get("qop", ""), two]))
    answered = said.get("response", "").encode("ascii", "replace").decode()
    return account.username if hmac.compare_digest(expected, answered) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _signature(nonce: str) -> str:
    return hmac.digest(_KEY, nonce.encode("utf-8", "surrogateescape"), "sha256").hex()
