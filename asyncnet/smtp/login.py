"""How to sign in to a submission server: AUTH (RFC 4954), by the mechanisms of `sasl`.

What is chosen is chosen before the secret is asked for: a server that offers no way never sees it. aiosmtplib's own
login begins with CRAM-MD5 and goes on to the next mechanism after a refusal; one wrong password is one refusal here.
"""

from __future__ import annotations

import aiosmtplib

from asyncnet import sasl
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, DisconnectedError, ProtocolError, RefusedError
from asyncnet.smtp.reply import Reply, refusal

_MAX_CHALLENGES = 8
"""More than any mechanism has."""
_MAX_COMMAND = 512
"""RFC 5321 §4.5.3.1.4, which AUTH does not extend: a longer initial response waits for a challenge (RFC 4954 §4)."""
_CHALLENGE = 334
_SIGNED_IN = 235


async def sign_in(client: aiosmtplib.SMTP, credentials: Credentials) -> None:
    """Sign in by the best mechanism that the server offers.

    Raises:
        AuthenticationError: the server offers no usable mechanism (nothing was sent), or refuses; transient if 4xx.
        ProtocolError: a challenge that is none, or a server that does not prove itself where it has to.
    """
    mechanism = sasl.choose(client.server_auth_methods, credentials)
    secret = await credentials.secret()
    try:
        await _attempt(client, mechanism, credentials.username, secret)
    except AuthenticationError as refused:
        if refused.transient or not credentials.is_token:
            raise
        # The token may have run out a moment ago; a second refusal, or the same token again, is final.
        fresh = await credentials.secret()
        if fresh == secret:
            raise
        try:
            await _attempt(client, mechanism, credentials.username, fresh)
        except DisconnectedError:
            raise refused from None  # the server left after its first no, which is the better reason


async def _attempt(client: aiosmtplib.SMTP, mechanism: str, username: str, secret: str) -> None:
    attempt = sasl.exchange(mechanism, username, secret)
    waiting = attempt.initial
    command = b"AUTH " + mechanism.encode("ascii")
    if waiting is not None:
        at_once = command + b" " + (sasl.encoded(waiting) or b"=")  # RFC 4954 §4: an empty one is written "="
        if len(at_once) + 2 <= _MAX_COMMAND:
            command, waiting = at_once, None
    said = await _ask(client, *command.split(b" "))
    for _ in range(_MAX_CHALLENGES):
        if said.code != _CHALLENGE:
            break
        if waiting is not None:  # the challenge is empty, or should be
            response, waiting = waiting, None
        else:
            response = attempt.respond(sasl.decoded(said.text.encode()))
        said = await _ask(client, sasl.encoded(response))
    if said.code == _CHALLENGE:
        raise ProtocolError(f"more than {_MAX_CHALLENGES} challenges", operation="AUTH")
    if said.code != _SIGNED_IN:
        raise _refused(said, attempt, secret)
    attempt.finish()


async def _ask(client: aiosmtplib.SMTP, *words: bytes) -> Reply:
    code, text = await client.execute_command(*words)
    return Reply(code, text)


def _refused(said: Reply, attempt: sasl.Exchange, secret: str) -> Exception:
    text = said.in_one_line + (f" ({attempt.refusal})" if attempt.refusal else "")
    text = sasl.masked(text, secret, attempt.initial)
    error = refusal(Reply(said.code, text), operation="AUTH")
    if not isinstance(error, RefusedError):
        return error
    return AuthenticationError(code=said.code, text=text, transient=error.transient, operation="AUTH")
