"""How to sign in to a maildrop: which way the server offers, and the dialogue of it.

RFC 1939 (USER and PASS, APOP), RFC 5034 (AUTH). What is chosen is chosen before the secret is asked for: a server
that offers no way never sees it.
"""

from __future__ import annotations

import hashlib
import poplib
from collections.abc import Mapping

from asyncnet import sasl
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, UsageError
from asyncnet.pop3 import reply
from asyncnet.pop3.wire import Wire

_MAX_COMMAND = 255
"""RFC 2449 §4: bytes of a command, CRLF included; a longer initial response waits for a challenge (RFC 5034 §4)."""


def choose_way(
    credentials: Credentials, capabilities: Mapping[str, tuple[str, ...]], stamp: str | None, *, encrypted: bool
) -> str:
    """Name the way to sign in: a SASL mechanism, `USER` or `APOP`.

    Unencrypted, a server that offers APOP gets that, for it does not disclose the password. Else SASL goes before
    USER, which is taken where CAPA lists it, or where there is no CAPA.

    Args:
        credentials: a `mechanism` named there (`APOP` and `USER` too) is used, or nothing.
        capabilities: what CAPA says; empty where the server has no CAPA.
        stamp: the timestamp of the greeting, or None.
        encrypted: whether TLS is up.

    Raises:
        AuthenticationError: the server offers no way that these credentials can go.
        UsageError: the mechanism is unknown, or wants a password where there is a token.
    """
    named = credentials.mechanism
    if named in ("APOP", "USER") and credentials.is_token:
        raise UsageError(f"{named} needs a password, not a token")
    can_user = not capabilities or "USER" in capabilities
    if named == "USER" and can_user:
        return "USER"
    if named == "APOP" or (named is None and stamp and not encrypted and not credentials.is_token):
        if stamp is None:
            raise AuthenticationError("the greeting has no timestamp: the server offers no APOP")
        return "APOP"
    if named == "USER":
        raise AuthenticationError("the server does not offer USER and PASS")
    try:
        return sasl.choose(capabilities.get("SASL", ()), credentials)
    except AuthenticationError:
        if named is not None or credentials.is_token or not (can_user or stamp):
            raise
        return "USER" if can_user else "APOP"


def sign_in(wire: Wire, way: str, username: str, secret: str) -> None:
    """Sign in by the way that was chosen; blocks.

    Raises:
        AuthenticationError: the server does not take the secret.
        RefusedError: it refused for another reason: the maildrop is in use, or its own trouble.
        UsageError: username or password hold a character that this way cannot send.
    """
    try:
        if way == "USER":
            wire.user(username)
            wire.pass_(secret)
        elif way == "APOP":
            _by_digest(wire, username, secret)
        else:
            _by_sasl(wire, sasl.exchange(way, username, secret), secret)
        return
    except poplib.error_proto as error:
        refused = reply.login_refusal(error.args[0], secret)
    raise refused  # out here it has no context: the text of that may repeat the secret, and might travel in a pickle


def _by_digest(wire: Wire, username: str, secret: str) -> None:
    if " " in username:
        raise UsageError("a space in the username: APOP cannot send it")
    stamp = reply.stamp(wire.welcome)
    assert stamp is not None
    digest = hashlib.md5((stamp + secret).encode(), usedforsecurity=False).hexdigest()  # RFC 1939 §7
    wire.digest(username, digest)


def _by_sasl(wire: Wire, attempt: sasl.Exchange, secret: str) -> None:
    waiting = attempt.initial
    command = f"AUTH {attempt.mechanism}"
    if waiting is not None:
        at_once = f"{command} {_encoded(waiting) or '='}"  # RFC 5034 §4: an empty one is written "="
        if len(at_once) + 2 <= _MAX_COMMAND:
            command, waiting = at_once, None
    try:
        said = wire.dialogue(command)
        while not reply.is_positive(said):  # bounded: each mechanism knows how many challenges it has
            if waiting is not None:  # the challenge is empty, or should be
                response, waiting = waiting, None
            else:
                response = attempt.respond(sasl.decoded(said[1:].strip()))
            said = wire.dialogue(_encoded(response))
    except poplib.error_proto as error:
        refused = reply.login_refusal(error.args[0], secret, attempt.initial, attempt.refusal)
    else:
        attempt.finish()
        return
    raise refused  # as in `sign_in`


def _encoded(response: bytes) -> str:
    return sasl.encoded(response).decode("ascii")
