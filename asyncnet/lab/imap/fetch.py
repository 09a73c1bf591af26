"""FETCH and UID FETCH (RFC 9051 §6.4.5): many messages in one go, written in blocks as the client takes them."""

from __future__ import annotations

import asyncio
from time import monotonic

from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.fetching import Item, Writer, items, writers
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.search import MAX_MODSEQ
from asyncnet.lab.imap.sequence_set import SequenceSet, written
from asyncnet.lab.imap.session import Session
from asyncnet.lab.imap.view import View
from asyncnet.lab.mailbox import SEEN, StoredMessage

_BLOCK_BYTES = 65_536
"""So much is put together before it is handed on, and before other sessions get a turn."""

_BIG_BYTES = 1_048_576

_MAX_TOLD_BYTES = 256 * 1024 * 1024
"""Of one message: with each of many items all of it may be asked for, and it is put together before it is told."""

_TURN_SECONDS = 0.005
"""After so long others get a turn: big messages may be read for small answers."""


async def fetch(session: Session, command: Command) -> str:
    """FETCH."""
    arguments, view = command.arguments, session.opened
    by_uid = command.name.startswith("UID")
    arguments.space()
    text = arguments.sequence_set()
    arguments.space()
    wanted = items(arguments)
    since, vanished = _modifiers(arguments)
    arguments.end()
    if vanished and not (by_uid and since is not None and "QRESYNC" in session.enabled):
        raise Bad("VANISHED goes with UID FETCH, CHANGEDSINCE and QRESYNC")  # RFC 7162 §3.2.6
    if since is not None or any(item.name == "MODSEQ" for item in wanted):
        session.enabled.add("CONDSTORE")
    uids = view.chosen(text, by_uid=by_uid)
    if vanished:
        await _tell_vanished(session, view, SequenceSet.parse(text), since or 0)
    if since is not None:
        uids = [uid for uid in uids if view.message(uid).modseq > since]
    await _write(session, view, uids, _completed(wanted, by_uid=by_uid, with_modseq=since is not None))
    return "that is all"


def _modifiers(arguments: Arguments) -> tuple[int | None, bool]:
    """Take `(CHANGEDSINCE n VANISHED)` (RFC 7162 §3.1.4)."""
    if arguments.is_done:
        return None, False
    arguments.space()
    arguments.expect(b"(")
    since, vanished = None, False
    while True:
        name = arguments.word()
        if name == "CHANGEDSINCE":
            arguments.space()
            since = arguments.number(most=MAX_MODSEQ)
        elif name == "VANISHED":
            vanished = True
        else:
            raise Bad("there is no such modifier")
        if arguments.skip(b")"):
            return since, vanished
        arguments.space()


def _completed(wanted: list[Item], *, by_uid: bool, with_modseq: bool) -> list[Item]:
    """Add what belongs to the answer unasked, and leave out what was asked for twice."""
    if by_uid:
        wanted = [Item("UID"), *wanted]
    if with_modseq:
        wanted = [*wanted, Item("MODSEQ")]
    unique: dict[tuple[str, object], Item] = {}
    for item in wanted:
        known = unique.get((item.name, item.section))
        if known is None or item.marks_seen:
            unique[item.name, item.section] = item
    return list(unique.values())


async def _write(session: Session, view: View, uids: list[int], wanted: list[Item]) -> None:
    marks = not view.read_only and any(item.marks_seen for item in wanted)
    has_flags = any(item.name == "FLAGS" for item in wanted)
    write_items = writers(wanted, view.recent)
    write_flags = writers([*wanted, *([] if has_flags else [Item("FLAGS")])], view.recent)[len(wanted) :]
    with_modseq = "CONDSTORE" in session.enabled and not any(item.name == "MODSEQ" for item in wanted)
    write_modseq = writers([*wanted, Item("MODSEQ")], view.recent)[-1:]
    out: list[bytes] = []
    size, due = 0, monotonic() + _TURN_SECONDS
    for uid in uids:
        message, items_of_this = view.message(uid), write_items
        if marks and SEEN not in message.flags and view.mailbox.set_flags([uid], [SEEN], "add", source=session):
            message = view.message(uid)
            # RFC 9051 §6.4.5: the flag that this has set is told as well
            items_of_this = write_items + write_flags + (write_modseq if with_modseq else [])
        begun = len(out)
        out.append(b"* %d FETCH (" % view.number(uid))
        try:
            if len(message.raw) > _BIG_BYTES:
                await _put_together(message, items_of_this, out)
            else:
                for write_item in items_of_this:
                    write_item(message, out)
        except No:
            del out[begun:]
            await session.write(b"".join(out))
            raise
        out.append(b")\r\n")
        size += sum(map(len, out[begun:]))
        if size >= _BLOCK_BYTES:
            # What is big is not copied into one piece with the rest.
            for piece in out if size >= _BIG_BYTES else [b"".join(out)]:
                await session.write(piece)
            out.clear()
            size = 0
        elif monotonic() < due:
            continue
        await asyncio.sleep(0)
        due = monotonic() + _TURN_SECONDS
    await session.write(b"".join(out))


async def _put_together(message: StoredMessage, write_items: list[Writer], out: list[bytes]) -> None:
    """Write the items of a big message.

    Raises:
        No: they are too much, or one cannot be told; some of them are in `out` then.
    """
    told = 0
    for write_item in write_items:
        write_item(message, out)
        told += len(out[-1])
        if told > _MAX_TOLD_BYTES:
            raise No("so much is not told of one message", code="LIMIT")
        await asyncio.sleep(0)


async def _tell_vanished(session: Session, view: View, chosen: SequenceSet, since: int) -> None:
    gone = chosen.among(view.mailbox.expunged_since(since), max(view.mailbox.uid_next - 1, 1))
    if gone:
        await session.write(b"* VANISHED (EARLIER) %b\r\n" % written(gone).encode())
