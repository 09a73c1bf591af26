"""Incoming: commands as they come, with their literals, each announced number looked at before memory is taken.

A literal for which the client waits (`{n}`) is refused before it is sent. One that comes unasked (LITERAL+, RFC 7888)
is read to its end and dropped, up to a bound; beyond that the server leaves.
"""

from __future__ import annotations

from typing import NamedTuple

from asyncnet.lab.conversation import BadLine, Conversation
from asyncnet.lab.imap.arguments import Literal
from asyncnet.lab.imap.command import Announced, Command, announced, command, name_of, tag_of
from asyncnet.lab.imap.refusal import Bad, No

MAX_LINE_BYTES = 65_536
MAX_LITERALS = 100
MAX_LITERAL_BYTES = 65_536
"""Of each literal that is no message."""

_MAX_DROPPED_BYTES = 4 * 1024 * 1024
_SECRET = {"LOGIN", "AUTHENTICATE"}


class Asked(NamedTuple):
    """What came.

    Args:
        tag: to answer with; `*` where there is none.
        line: the first line, for faults to look at.
        command: it; None where it is not one.
        refusal: why not.
    """

    tag: str
    line: bytes
    command: Command | None = None
    refusal: Bad | No | None = None


class TooMuch(Exception):
    """The client sends so much that its end is not waited for."""


async def read(conversation: Conversation, max_message_bytes: int | None) -> Asked:
    """Read the next command.

    Args:
        conversation: with whom.
        max_message_bytes: how large the literals of an APPEND may be, all together; None: as those of all others, for
            whoever has not signed in cannot put a message in.

    Raises:
        TooMuch: a literal that came unasked is beyond all bounds.
        Ended: the client has left.
        LimitError: so has a line that has no end.
    """
    try:
        line = await conversation.read_command(MAX_LINE_BYTES)
    except BadLine as error:
        return Asked("*", b"", refusal=Bad(str(error)))
    tag, name = tag_of(line) or "*", name_of(line)
    if name in _SECRET:
        conversation.dialogue.redact(f"{tag} {name} (a secret)".encode())
    for_messages = max_message_bytes if name == "APPEND" else None
    room = MAX_LITERAL_BYTES * 4 if for_messages is None else for_messages
    pieces: list[bytes | Literal] = []
    text = line
    try:
        while (literal := announced(text)) is not None:
            await _check(
                conversation, literal, len(pieces), room, is_append=for_messages is not None, is_secret=name in _SECRET
            )
            if literal.waits:
                await conversation.prompt(b"+ go on\r\n")
            data = await conversation.read_exactly(literal.size)
            room -= literal.size
            pieces += [text[: literal.start], Literal(data, literal.is_binary)]
            if name in _SECRET:
                conversation.dialogue.redact(b"(a secret)")
            text = await conversation.read_line(MAX_LINE_BYTES, secret=name in _SECRET)
        return Asked(tag, line, command([*pieces, text]))
    except BadLine as error:
        return Asked(tag, line, refusal=Bad(str(error)))
    except (Bad, No) as refusal:
        return Asked(tag, line, refusal=refusal)


async def _check(
    conversation: Conversation, literal: Announced, pieces: int, room: int, *, is_append: bool, is_secret: bool
) -> None:
    """Refuse a literal that is one too many or too large; where it comes all the same, what follows is dropped."""
    too_many = pieces >= 2 * MAX_LITERALS
    if literal.size <= min(room, room if is_append else MAX_LITERAL_BYTES) and not too_many:
        return
    dropped = 0
    following: Announced | None = literal
    while following is not None and not following.waits:
        dropped += following.size
        if dropped > _MAX_DROPPED_BYTES + max(room, 0):
            raise TooMuch
        await conversation.skip(following.size)
        following = announced(await conversation.read_line(MAX_LINE_BYTES, secret=is_secret))
    if too_many:
        raise Bad("too many literals")
    raise No("a literal that is too large", code="TOOBIG")
