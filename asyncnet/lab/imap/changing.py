"""STORE, COPY, MOVE, EXPUNGE, by number and by UID (RFC 9051 §6.4.3, §6.4.6 to §6.4.9; RFC 7162: UNCHANGEDSINCE)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from asyncnet.lab.imap.arguments import MAX_FLAGS, Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.flag import spelled
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.search import MAX_MODSEQ
from asyncnet.lab.imap.sequence_set import written
from asyncnet.lab.imap.session import Session
from asyncnet.lab.imap.view import View
from asyncnet.lab.mailbox import DELETED

_ITEM = re.compile(rb"([+-]?)FLAGS(\.SILENT)?(?= )", re.IGNORECASE)
_HOW: dict[bytes, Literal["replace", "add", "remove"]] = {b"": "replace", b"+": "add", b"-": "remove"}


class _Order(NamedTuple):
    """What STORE is to do."""

    how: Literal["replace", "add", "remove"]
    flags: list[str]
    silent: bool
    unchanged_since: int | None


async def store(session: Session, command: Command) -> str:
    """STORE."""
    arguments, view = command.arguments, session.opened
    by_uid = command.name.startswith("UID")
    arguments.space()
    text = arguments.sequence_set()
    arguments.space()
    order = _order(arguments)
    arguments.end()
    view.check_writable()
    if order.unchanged_since is not None:
        session.enabled.add("CONDSTORE")
    uids = view.chosen(text, by_uid=by_uid)
    changed_before = set()
    if order.unchanged_since is not None:
        changed_before = {uid for uid in uids if view.message(uid).modseq > order.unchanged_since}
    done = [uid for uid in uids if uid not in changed_before]
    changed = view.mailbox.set_flags(done, order.flags, order.how, source=session)
    await _tell(session, view, [one.uid for one in changed] if order.silent else done, silent=order.silent)
    if changed_before:
        named = sorted(changed_before if by_uid else {view.number(uid) for uid in changed_before})
        return f"[MODIFIED {written(named)}] not all of them"
    if any(view.is_gone(uid) for uid in done):
        raise No("some of them have gone", code="EXPUNGEISSUED")
    return "changed"


async def copy(session: Session, command: Command) -> str:
    """COPY: all or none."""
    view = session.opened
    uids, name = _from_and_to(session, command)
    target = session.mailbox(name, missing="TRYCREATE")
    if any(view.is_gone(uid) for uid in uids):
        raise No("some of them have gone", code="EXPUNGEISSUED")
    made = view.mailbox.copy(uids, target, source=session)
    return f"{_copied(target.uid_validity, made)}copied"


async def move(session: Session, command: Command) -> str:
    """MOVE (RFC 6851): COPYUID comes before the numbers of what went are taken away."""
    view = session.opened
    uids, name = _from_and_to(session, command)
    view.check_writable()
    target = session.mailbox(name, missing="TRYCREATE")
    made = view.mailbox.move(uids, target, source=session)
    if made:
        await session.write(f"* OK {_copied(target.uid_validity, made)}moved\r\n".encode())
    return "moved"


async def expunge(session: Session, command: Command) -> str:
    """EXPUNGE."""
    command.arguments.end()
    return _expunged(session, session.opened, session.opened.uids)


async def uid_expunge(session: Session, command: Command) -> str:
    """UID EXPUNGE (RFC 4315)."""
    arguments = command.arguments
    arguments.space()
    text = arguments.sequence_set()
    arguments.end()
    return _expunged(session, session.opened, session.opened.chosen(text, by_uid=True))


def _expunged(session: Session, view: View, uids: list[int]) -> str:
    view.check_writable()
    view.mailbox.expunge([uid for uid in uids if DELETED in view.message(uid).flags], source=session)
    if "CONDSTORE" in session.enabled:
        return f"[HIGHESTMODSEQ {view.mailbox.highest_modseq}] gone"  # RFC 7162 §3.2.7
    return "gone"


def _order(arguments: Arguments) -> _Order:
    since = None
    if arguments.skip(b"("):
        if arguments.word() != "UNCHANGEDSINCE":
            raise Bad("there is no such modifier")
        arguments.space()
        since = arguments.number(most=MAX_MODSEQ)
        arguments.expect(b")")
        arguments.space()
    item = arguments.match(_ITEM, "FLAGS")
    arguments.space()
    return _Order(_HOW[item[1]], spelled(_flags(arguments)), bool(item[2]), since)


def _flags(arguments: Arguments) -> list[str]:
    """Take flags in parentheses or, as STORE alone has it, without."""
    if arguments.next_is(b"("):
        return arguments.flags()
    flags = [arguments.flag()]
    while not arguments.is_done:
        arguments.space()
        flags.append(arguments.flag())
        if len(flags) > MAX_FLAGS:
            raise Bad("too many flags")
    return flags


def _from_and_to(session: Session, command: Command) -> tuple[list[int], str]:
    arguments = command.arguments
    arguments.space()
    text = arguments.sequence_set()
    arguments.space()
    name = session.read_name(arguments)
    arguments.end()
    return session.opened.chosen(text, by_uid=command.name.startswith("UID")), name


async def _tell(session: Session, view: View, uids: list[int], *, silent: bool) -> None:
    """Tell the flags as they are now; of a silent change only where mod-sequences are kept (RFC 7162 §3.1.3)."""
    with_modseq = "CONDSTORE" in session.enabled
    if silent and not with_modseq:
        return
    for uid in uids:
        if silent:
            modseq = view.message(uid).modseq
            await session.write(b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (view.number(uid), uid, modseq))
        else:
            await session.write(view.told_flags(uid, with_modseq=with_modseq))


def _copied(validity: int, made: dict[int, int]) -> str:
    if not made:
        return ""
    return f"[COPYUID {validity} {written(made)} {written(made.values())}] "
