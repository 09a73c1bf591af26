"""APPEND: messages put into a mailbox, one or several (RFC 9051 §6.3.12, RFC 3502: MULTIAPPEND)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.flag import spelled
from asyncnet.lab.imap.moment import parsed
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.sequence_set import written
from asyncnet.lab.imap.session import Session

_BARE_LF = re.compile(rb"(?<!\r)\n")
_UTF8 = re.compile(rb"UTF8 \(", re.IGNORECASE)


class _Message(NamedTuple):
    """One message to be put in."""

    raw: bytes
    flags: list[str]
    received: datetime | None


async def append(session: Session, command: Command) -> str:
    """APPEND: all or none."""
    arguments = command.arguments
    arguments.space()
    name = session.read_name(arguments)
    messages: list[_Message] = []
    while not messages or not arguments.is_done:
        messages.append(_message(arguments))
    target = session.mailbox(name, missing="TRYCREATE")
    session.store.check(sum(len(one.raw) for one in messages), len(messages))
    uids = [target.append(one.raw, one.flags, one.received, source=session).uid for one in messages]
    return f"[APPENDUID {target.uid_validity} {written(uids)}] taken"


def _message(arguments: Arguments) -> _Message:
    arguments.space()
    flags: list[str] = []
    received = None
    if arguments.next_is(b"("):
        flags = spelled(arguments.flags())
        arguments.space()
    if arguments.next_is(b'"'):
        received = parsed(arguments.string())
        arguments.space()
    if arguments.optional(_UTF8) is not None:  # RFC 6855 §4
        raw = arguments.literal().data
        arguments.expect(b")")
    else:
        raw = arguments.literal().data
    if not raw:
        raise Bad("a message of nothing")
    # What is stored has the line ends of mail, as the other protocols need it.
    return _Message(_BARE_LF.sub(b"\r\n", raw) if b"\n" in raw else raw, flags, received)
