"""Download: one message or part into a file as it comes; whatever its size, only a few blocks of it are in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from asyncnet.errors import ProtocolError, RefusedError
from asyncnet.imap.command import request
from asyncnet.imap.refusal import refusal
from asyncnet.imap.response import Fetched, Reply, Status

if TYPE_CHECKING:
    from asyncnet.imap.conversation import Conversation
    from asyncnet.imap.wire import Wire

_WAITING_BYTES = 1024 * 1024
"""What may wait to be written; then nothing more is read from the server."""


class WriteError(Exception):
    """Carries an OSError of the file past what makes errors of the network of the others."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class _Inflow:
    """The bytes of one section on their way; a sink, and a listener that hears what else is said of the message."""

    def __init__(self, uid: int, name: str, wire: Wire) -> None:
        self._uid = uid
        self._name = name
        self._tap = wire.tap
        self.news = asyncio.Event()
        self.blocks: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.total_bytes = 0
        self.came: Fetched | None = None

    def take(self, data: bytes) -> None:
        self.blocks.append(data)
        self.waiting_bytes += len(data)
        self.total_bytes += len(data)
        self.news.set()
        if self.waiting_bytes > _WAITING_BYTES:
            self._tap.hold()

    def hear(self, reply: Reply) -> None:
        if isinstance(reply, Status) and reply.tag is not None:
            self.news.set()
        elif isinstance(reply, Fetched) and reply.uid == self._uid and self._name in reply.sections:
            if self.came is None and (whole := reply.sections[self._name]):
                self.take(whole)  # it could not be diverted: quoted, or the UID came behind it
            self.came = self.came or reply

    def lose(self) -> None:
        self.news.set()

    def give(self) -> deque[bytes]:
        blocks, self.blocks, self.waiting_bytes = self.blocks, deque(), 0
        self._tap.release()
        return blocks


async def download(
    session: Conversation, uid: int, items: str, name: str, file: BinaryIO, *, may_be_nil: bool = False
) -> int:
    """Write a section of a message to a file, within a call of the session, and give how many bytes that were.

    Args:
        session: whose open mailbox it is.
        uid: which message.
        items: what is asked for.
        name: the section as it is in the answer: `BODY[]<100>`...
        file: where it goes.
        may_be_nil: whether NIL is an answer: nothing is there from that offset on.

    Raises:
        WriteError: the file does not take it; the rest is not read.
        RefusedError: there is no such message.
        ProtocolError: the server gives nothing of it.
    """
    wire = session._wire
    await wire.idle()
    inflow = _Inflow(uid, name, wire)
    with wire.incoming.heard_by(inflow), wire.incoming.diverted(uid, name, inflow):
        pending = wire.issue(request("FETCH", str(uid), items, by_uid=True))
        while True:
            inflow.news.clear()
            _write(inflow.give(), file)
            if pending.status is not None or wire.is_lost:
                break
            with wire.tap.open_for_now():
                await inflow.news.wait()
    status = await pending.answer()
    if status.kind != "OK":
        raise refusal(status, session.endpoint, "UID FETCH")
    if inflow.came is None:
        raise RefusedError(f"no such message (UID {uid})", endpoint=session.endpoint, operation="UID FETCH")
    if inflow.came.sections[name] is None and inflow.came.size and not may_be_nil:
        raise ProtocolError(f"the server has the message with UID {uid}, and gives nothing of it")
    return inflow.total_bytes


def _write(blocks: deque[bytes], file: BinaryIO) -> None:
    try:
        for block in blocks:
            file.write(block)
    except OSError as error:
        raise WriteError(error) from error
