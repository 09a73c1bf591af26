"""IDLE: news as they come, until the client says DONE (RFC 2177, RFC 9051 §6.3.13)."""

from __future__ import annotations

import asyncio

from asyncnet.lab.conversation import BadLine
from asyncnet.lab.faults import PUSH
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.session import Session

_MAX_LINE_BYTES = 1024


async def idle(session: Session, command: Command) -> str:
    """IDLE."""
    command.arguments.end()
    await session.tell_news()
    await session.conversation.prompt(b"+ idling\r\n")
    # Of two things to wait for, one needs a task: the line, whose reading is begun once, so that nothing of it is lost.
    line = asyncio.get_running_loop().create_task(_line(session))
    try:
        is_lost = False
        while not line.done():
            await _wait(session, line, for_more=is_lost)
            is_lost = not line.done() and not await _push(session)
        said = line.result()
    finally:
        line.cancel()
        await asyncio.wait({line})
        if not line.cancelled():
            line.exception()  # looked at: it is raised above, or something else is
    if said.upper() != b"DONE":
        raise Bad("DONE expected")
    return "idled"


async def _line(session: Session) -> bytes:
    try:
        return await session.conversation.read_line(_MAX_LINE_BYTES)
    except BadLine:
        return b""


async def _wait(session: Session, line: asyncio.Task[bytes], *, for_more: bool) -> None:
    """Wait until the line is there or there is something to tell; more than there is already, after a lost push."""
    view = session.view
    changed = asyncio.get_running_loop().create_future()
    if view is not None:
        if view.has_news and not for_more:
            return
        view.on_change = lambda: None if changed.done() else changed.set_result(None)
    try:
        await asyncio.wait({line, changed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
        if view is not None:
            view.on_change = None


async def _push(session: Session) -> bool:
    """Tell the news; whether that was done: a fault may have lost them, and then the next push tells them."""
    if not await session.conversation.begin(PUSH):
        return False
    await session.tell_news()
    await session.conversation.settle()
    await session.conversation.flush()
    return True
