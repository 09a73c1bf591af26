"""Signing in: LOGIN or AUTHENTICATE (RFC 9051 §6.2), with what the server offers and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from asyncnet.credentials import Credentials
from asyncnet.deadline import phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import AuthenticationError, DisconnectedError, NetError
from asyncnet.imap.command import Request, astring, request
from asyncnet.imap.refusal import login_refusal
from asyncnet.sasl import choose, decoded, encoded, exchange

if TYPE_CHECKING:
    from asyncnet.imap.wire import Wire


async def sign_in(wire: Wire, credentials: Credentials, endpoint: Endpoint) -> None:
    """Show the secret by the best mechanism that fits; a callable is asked for another one after a refusal, once.

    Raises:
        AuthenticationError: refused, or no mechanism fits; then nothing was sent.
        RefusedError: the server cannot tell now ([UNAVAILABLE]...); transient.
        ProtocolError: the server broke the mechanism, or did not prove itself where the mechanism demands it.
    """
    phase("login")
    attempt = _attempt(wire, credentials, endpoint)
    try:
        await attempt(await credentials.secret())
    except AuthenticationError:
        if not credentials.is_token:
            raise
        fresh = await credentials.secret()
        try:
            await attempt(fresh)
        except DisconnectedError:  # some servers end the connection with a refusal
            pass
        else:
            return
        raise


def _attempt(wire: Wire, credentials: Credentials, endpoint: Endpoint) -> Callable[[str], Awaitable[None]]:
    offered = {name.removeprefix("AUTH=") for name in wire.capabilities if name.startswith("AUTH=")}
    by_command = "LOGINDISABLED" not in wire.capabilities  # RFC 9051 §6.2.3
    try:
        mechanism = choose(offered | ({"LOGIN"} if by_command else set()), credentials)
    except NetError as error:
        error.endpoint, error.operation = endpoint.redacted, "login"
        raise
    if mechanism == "LOGIN" and by_command:
        return lambda secret: _login(wire, credentials.username, secret, endpoint)
    return lambda secret: _authenticate(wire, mechanism, credentials.username, secret, endpoint)


async def _login(wire: Wire, username: str, secret: str, endpoint: Endpoint) -> None:
    shown = astring(secret)
    status = await wire.run(
        request("LOGIN", astring(username), shown, secret=shown if isinstance(shown, str) else None)
    )
    if status.kind != "OK":
        raise login_refusal(status, endpoint, secret)


async def _authenticate(wire: Wire, mechanism: str, username: str, secret: str, endpoint: Endpoint) -> None:
    attempt = exchange(mechanism, username, secret)
    unsent = attempt.initial
    text, hidden = mechanism, None
    if unsent is not None and "SASL-IR" in wire.capabilities:  # RFC 4959 §3: "=" stands for nothing
        hidden = encoded(unsent).decode("ascii") or "="
        text, unsent = f"{mechanism} {hidden}", None

    async def answer(challenge: bytes) -> bytes:
        nonlocal unsent
        if unsent is not None:
            response, unsent = unsent, None
        else:
            response = attempt.respond(decoded(challenge.strip()))
        return encoded(response)

    status = await wire.run(Request("AUTHENTICATE", (text,), secret=hidden, is_whole=hidden is not None), answer=answer)
    if status.kind != "OK":
        raise login_refusal(status, endpoint, secret, attempt.initial, attempt.refusal)
    attempt.finish()
