"""SEARCH and UID SEARCH: the messages that fit, in the old answer or in ESEARCH (RFC 9051 §6.4.4, §7.3.4)."""

from __future__ import annotations

import asyncio
from time import monotonic

from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.fetching import structure_of
from asyncnet.lab.imap.refusal import No
from asyncnet.lab.imap.search import Place, Program, program, returned
from asyncnet.lab.imap.sequence_set import written
from asyncnet.lab.imap.session import Session
from asyncnet.lab.imap.view import View
from asyncnet.lab.mailbox import StoredMessage

_TURN_SECONDS = 0.005
"""After so long the others get a turn: texts of many messages are read for one search."""

_MAX_TEXT_BYTES = 256 * 1024 * 1024
"""What may be read of one message: its size times the keys that look at its text, and its header's times those that
look at that. Nobody gets a turn meanwhile."""


async def search(session: Session, command: Command) -> str:
    """SEARCH."""
    view, by_uid = session.opened, command.name.startswith("UID")
    returns = returned(command.arguments)
    try:
        asked = program(command.arguments, Place(view.uids, view.recent, view.saved), returns)
        if asked.by_modseq:
            session.enabled.add("CONDSTORE")
        uids = await _fitting(view, asked)
    except No:
        if "SAVE" in (returns or ()):
            view.saved = set()  # RFC 5182 §2.1
        raise
    if returns is None and session.is_rev2:
        returns = frozenset({"ALL"})  # RFC 9051 §6.4.4: there is no other answer any more
    numbers = uids if by_uid else [view.number(uid) for uid in uids]
    told_of = uids if returns is None else _told_of(uids, returns)
    modseq = max((view.message(uid).modseq for uid in told_of), default=0) if asked.by_modseq else 0
    if returns is None:
        told = "".join(f" {number}" for number in numbers)
        await session.write(f"* SEARCH{told}{f' (MODSEQ {modseq})' if modseq else ''}\r\n".encode())
        return "that is all"
    if "SAVE" in returns:
        view.saved = set(_told_of(uids, returns))
    if returns != {"SAVE"}:
        await session.write(_extended(command.tag, numbers, returns, modseq, by_uid=by_uid))
    return "that is all"


async def _fitting(view: View, asked: Program) -> list[int]:
    found, due = [], monotonic() + _TURN_SECONDS
    for uid in list(view.uids):
        message = view.message(uid)
        if _read_bytes(message, asked) > _MAX_TEXT_BYTES:
            raise No("so many texts are not looked for in a message so big", code="LIMIT")
        if asked.test(message):
            found.append(uid)
        if monotonic() > due:
            await asyncio.sleep(0)
            due = monotonic() + _TURN_SECONDS
    return found


def _read_bytes(message: StoredMessage, asked: Program) -> int:
    """Give how many bytes of a message its keys read, at most."""
    whole = len(message.raw)
    if (asked.texts + asked.headers) * whole <= _MAX_TEXT_BYTES:
        return 0  # it need not be known
    return asked.texts * whole + asked.headers * len(structure_of(message).header.raw)


def _told_of(uids: list[int], returns: frozenset[str]) -> list[int]:
    """Give what `$` stands for from now on (RFC 5182 §2.4), and whose mod-sequences are told (RFC 4731 §3.2)."""
    if returns & {"ALL", "COUNT"} or not returns & {"MIN", "MAX"}:
        return uids
    return [uid for name, ends in (("MIN", uids[:1]), ("MAX", uids[-1:])) if name in returns for uid in ends]


def _extended(tag: str, numbers: list[int], returns: frozenset[str], modseq: int, *, by_uid: bool) -> bytes:
    words = [f'* ESEARCH (TAG "{tag}")']
    if by_uid:
        words.append("UID")
    if numbers:
        words += [f"MIN {numbers[0]}"] if "MIN" in returns else []
        words += [f"MAX {numbers[-1]}"] if "MAX" in returns else []
        words += [f"ALL {written(numbers)}"] if "ALL" in returns else []
    words += [f"COUNT {len(numbers)}"] if "COUNT" in returns else []
    words += [f"MODSEQ {modseq}"] if modseq else []
    return " ".join(words).encode() + b"\r\n"
