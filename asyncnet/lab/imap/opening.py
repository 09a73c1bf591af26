"""Opening a mailbox and leaving it (RFC 9051 §6.3.2, §6.4.1), and what was missed meanwhile (RFC 7162: QRESYNC)."""

from __future__ import annotations

from typing import NamedTuple

from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.search import MAX_MODSEQ
from asyncnet.lab.imap.sequence_set import SequenceSet, written
from asyncnet.lab.imap.session import Session
from asyncnet.lab.imap.view import SYSTEM_FLAGS, View
from asyncnet.lab.mailbox import DELETED, SEEN

_ENABLED = ("IMAP4REV2", "UTF8=ACCEPT", "CONDSTORE", "QRESYNC")


class _Known(NamedTuple):
    """What a client knows of a mailbox from before: QRESYNC's arguments; 0 and None are unknown."""

    uid_validity: int = 0
    modseq: int = 0
    uids: SequenceSet | None = None


async def enable(session: Session, command: Command) -> str:
    """ENABLE (RFC 5161)."""
    if session.view is not None:
        raise Bad("a mailbox is open")
    names = []
    while not command.arguments.is_done:
        command.arguments.space()
        names.append(command.arguments.word())
    if not names:
        raise Bad("a name of an extension expected")
    offered = {name for name in _ENABLED if session.can(name)}
    now = [name for name in dict.fromkeys(names) if name in offered]
    session.enabled.update(now)
    if "QRESYNC" in now:
        session.enabled.add("CONDSTORE")  # RFC 7162 §3.2.3
    await session.write(" ".join(["* ENABLED", *now]).encode() + b"\r\n")
    return "enabled"


async def select(session: Session, command: Command) -> str:
    """SELECT."""
    return await _open(session, command, read_only=False)


async def examine(session: Session, command: Command) -> str:
    """EXAMINE."""
    return await _open(session, command, read_only=True)


async def close(session: Session, command: Command) -> str:
    r"""CLOSE: what is `\Deleted` goes, and the client is not told of it."""
    command.arguments.end()
    view = session.opened
    session.leave()
    if not view.read_only:
        view.mailbox.expunge([one.uid for one in view.mailbox if DELETED in one.flags])
    return "closed"


async def unselect(session: Session, command: Command) -> str:
    """UNSELECT (RFC 3691)."""
    command.arguments.end()
    session.leave()
    return "left"


async def check(session: Session, command: Command) -> str:
    """CHECK: all is in order always."""
    command.arguments.end()
    return "checked"


async def _open(session: Session, command: Command, *, read_only: bool) -> str:
    arguments = command.arguments
    arguments.space()
    name = session.read_name(arguments)
    known = _parameters(session, arguments)
    arguments.end()
    if session.view is not None:
        session.leave()  # also where there is no such mailbox (RFC 9051 §6.3.2)
        await session.write(b"* OK [CLOSED] the other one\r\n")
    mailbox = session.mailbox(name)
    view = session.view = View(mailbox, session, read_only=read_only)
    lines = [view.flags()]
    settable = "" if read_only else f"{' '.join([*SYSTEM_FLAGS, *view.keywords])} \\*"
    lines.append(f"* OK [PERMANENTFLAGS ({settable})] can be changed\r\n".encode())
    lines.append(view.counts(with_recent=not session.is_rev2))
    if not session.is_rev2:
        lines += _first_unseen(view)
    lines.append(b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % mailbox.uid_validity)
    lines.append(b"* OK [UIDNEXT %d] the next one\r\n" % mailbox.uid_next)
    lines.append(b"* OK [HIGHESTMODSEQ %d] of all changes\r\n" % mailbox.highest_modseq)
    if session.is_rev2:
        lines.append(b'* LIST () "/" %b\r\n' % session.written_name(mailbox.name))
    if known is not None and known.uid_validity == mailbox.uid_validity:
        lines += _missed(view, known)
    await session.write(b"".join(lines))
    return "[READ-ONLY] opened" if read_only else "[READ-WRITE] opened"


def _parameters(session: Session, arguments: Arguments) -> _Known | None:
    """Take `(CONDSTORE)` or `(QRESYNC (...))`, and switch that on."""
    if arguments.is_done:
        return None
    arguments.space()
    arguments.expect(b"(")
    known = None
    while True:
        name = arguments.word()
        if name == "CONDSTORE":
            session.enabled.add("CONDSTORE")
        elif name == "QRESYNC":
            if "QRESYNC" not in session.enabled:
                raise Bad("QRESYNC is not enabled")  # RFC 7162 §3.2.5
            arguments.space()
            known = _known(arguments)
        else:
            raise Bad("there is no such parameter")
        if arguments.skip(b")"):
            return known
        arguments.space()


def _known(arguments: Arguments) -> _Known:
    arguments.expect(b"(")
    validity = arguments.number()
    arguments.space()
    modseq = arguments.number(most=MAX_MODSEQ)
    uids = None
    if arguments.skip(b" ("):
        _pairs(arguments)
    elif arguments.skip(b" "):
        uids = SequenceSet.parse(arguments.sequence_set())
        if arguments.skip(b" "):
            arguments.expect(b"(")
            _pairs(arguments)
    arguments.expect(b")")
    return _Known(validity, modseq, uids)


def _pairs(arguments: Arguments) -> None:
    """Take the client's pairs of numbers and UIDs; all that went is remembered here, so they say nothing new."""
    SequenceSet.parse(arguments.sequence_set())
    arguments.space()
    SequenceSet.parse(arguments.sequence_set())
    arguments.expect(b")")


def _first_unseen(view: View) -> list[bytes]:
    for number, uid in enumerate(view.uids, start=1):
        if SEEN not in view.message(uid).flags:
            return [b"* OK [UNSEEN %d] the first\r\n" % number]
    return []


def _missed(view: View, known: _Known) -> list[bytes]:
    """Tell what has gone and what has changed since then (RFC 7162 §3.2.6)."""
    gone, here = view.mailbox.expunged_since(known.modseq), view.uids
    if known.uids is not None:
        largest = max(view.mailbox.uid_next - 1, 1)
        gone, here = known.uids.among(gone, largest), known.uids.among(here, largest)
    lines = [b"* VANISHED (EARLIER) %b\r\n" % written(gone).encode()] if gone else []
    changed = [uid for uid in here if view.message(uid).modseq > known.modseq]
    return lines + [view.told_flags(uid, with_modseq=True) for uid in changed]
