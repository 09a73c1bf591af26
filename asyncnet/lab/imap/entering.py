"""Entering: what a client may say from the start, TLS, and signing in (RFC 9051 §6.1, §6.2)."""

from __future__ import annotations

from asyncnet.errors import printable
from asyncnet.lab.conversation import BadLine
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.session import IN_THE_CLEAR, Session
from asyncnet.lab.login import (
    MECHANISMS,
    LoginCancelled,
    LoginMalformed,
    LoginRefused,
    check_password,
    sign_in,
)
from asyncnet.lab.store import Account

_MAX_FIELDS = 30  # RFC 2971 §3.3
_MAX_FAILURES = 10
_MAX_RESPONSE_BYTES = 24_576
"""A line of an exchange: tokens are long, and base64 makes them longer."""


async def capability(session: Session, command: Command) -> str:
    """CAPABILITY."""
    command.arguments.end()
    await session.write(b"* CAPABILITY %b\r\n" % session.capabilities())
    return "that is all"


async def noop(session: Session, command: Command) -> str:
    """NOOP: hear what is new."""
    command.arguments.end()
    return "nothing done"


async def logout(session: Session, command: Command) -> str:
    """LOGOUT."""
    command.arguments.end()
    session.leave()
    await session.goodbye("until next time")
    return "goodbye"


async def identify(session: Session, command: Command) -> str:
    """ID (RFC 2971)."""
    arguments = command.arguments
    arguments.space()
    if arguments.skip(b"("):
        count = 0
        arguments.skip(b" ")  # no blank belongs here; there are clients that send one, and servers that take it
        while not arguments.skip(b")"):
            if count:
                arguments.space()
                if arguments.skip(b")"):
                    break
            arguments.string()
            arguments.space()
            arguments.nstring()
            count += 1
            if count > _MAX_FIELDS:
                raise Bad("too many fields")
    elif arguments.nstring() is not None:
        raise Bad("fields or NIL expected")
    arguments.end()
    await session.write(b'* ID ("name" "asyncnet lab" "vendor" "asyncnet")\r\n')
    return "pleased to meet you"


async def starttls(session: Session, command: Command) -> str:
    """STARTTLS: what a client sends behind it in plaintext breaks the session (RFC 9051 §6.2.1)."""
    command.arguments.end()
    if not session.conversation.offers_tls:
        raise Bad("TLS is on already")
    await session.conversation.start_tls(f"{command.tag} OK begin TLS now\r\n".encode())
    return ""


async def login(session: Session, command: Command) -> str:
    """LOGIN."""
    arguments = command.arguments
    arguments.space()
    username = arguments.astring()
    arguments.space()
    secret = arguments.astring()
    arguments.end()
    if not session.may_show_secrets:
        raise No("not in plaintext: STARTTLS first", code="PRIVACYREQUIRED")
    try:
        account = check_password(session.store, username.decode(), secret.decode())
    except (LoginRefused, UnicodeDecodeError):
        raise await _refused(session) from None
    return _entered(session, account)


async def authenticate(session: Session, command: Command) -> str:
    """AUTHENTICATE, with a response in the command where the client likes (RFC 4959)."""
    arguments = command.arguments
    arguments.space()
    name = arguments.word("a mechanism")
    initial = None
    if not arguments.is_done:
        arguments.space()
        initial = arguments.astring()
    arguments.end()
    if name not in MECHANISMS or not session.can(f"AUTH={name}"):
        raise No("there is no such mechanism here", code="CANNOT")
    if name in IN_THE_CLEAR and not session.may_show_secrets:
        raise No("not in plaintext: STARTTLS first", code="PRIVACYREQUIRED")

    async def ask(challenge: bytes) -> bytes:
        await session.conversation.prompt(b"+ " + challenge + b"\r\n")
        return await session.conversation.read_line(_MAX_RESPONSE_BYTES, secret=True)

    try:
        account = await sign_in(session.store, name, initial, ask)
    except LoginRefused:
        raise await _refused(session) from None
    except LoginMalformed:
        raise Bad("a response that is none") from None
    except LoginCancelled:
        raise Bad("given up") from None  # RFC 9051 §6.2.2
    except BadLine as error:
        raise Bad(printable(str(error))) from None
    return _entered(session, account)


async def _refused(session: Session) -> No:
    session.failures += 1
    if session.failures >= _MAX_FAILURES:
        await session.goodbye("too many attempts")
    return No("wrong name or secret", code="AUTHENTICATIONFAILED")


def _entered(session: Session, account: Account) -> str:
    session.account = account
    session.conversation.dialogue.username = account.username
    # RFC 9051 §7.1: what the server can do is another list now
    return f"[CAPABILITY {session.capabilities().decode()}] welcome"
