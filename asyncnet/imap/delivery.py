"""Delivery: many messages, asked for ahead and handed out one by one, at flat memory.

What is under way is bounded by bytes: sizes are asked for first, then batches of about a megabyte, so many ahead that
the next is there before the last is used up. Messages are told apart by their UID, so that whatever else the server
says in between does no harm; a server that works on several commands at once (Dovecot does) sends them in any order,
and they are put into the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from asyncnet.errors import LimitError, ProtocolError, RefusedError, UsageError
from asyncnet.imap.command import Request, fetch_items, request
from asyncnet.imap.conversation import Conversation
from asyncnet.imap.fetched import message
from asyncnet.imap.incoming import Noter
from asyncnet.imap.refusal import refusal
from asyncnet.imap.response import Fetched, Reply, Status
from asyncnet.imap.searching import found
from asyncnet.imap.uid_set import written_sets
from asyncnet.message import Message
from asyncnet.trace import answered

if TYPE_CHECKING:
    from asyncnet.imap.wire import Pending, Wire

AHEAD_BYTES = 8 * 1024 * 1024
"""What is asked for and not handed out yet: enough to keep 100 Mbit/s busy over half a second's way."""

_BATCH_BYTES = 1024 * 1024
_BATCH_COUNT = 500
_SIZES_COUNT = 2000
"""So many sizes are asked for at once, whenever fewer than that are left: batches do not wait for them."""

MAX_SIZE = 0xFFFF_FFFF

HEADER_BYTES = 16 * 1024
"""What the header of a message counts where batches are made: most have less, few have more."""

_MANY = 10
"""How many UIDs an error names."""


@dataclass(slots=True, eq=False)
class _Asked:
    """One command under way, and the UIDs of it that were not answered yet."""

    pending: Pending
    left: set[int]


class Inbox:
    """What has come and was not handed out yet; a listener."""

    def __init__(self, name: str, max_bytes: int, hold: Callable[[], None]) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._hold = hold
        self.news = asyncio.Event()
        self.order: deque[int] = deque()
        self.came: dict[int, Message | None] = {}
        self.ready_bytes = 0
        self.asked_bytes = 0
        self.batches: list[_Asked] = []
        self.wanted: dict[int, tuple[_Asked, int]] = {}
        self.sizing: _Asked | None = None
        self.sizes: dict[int, int] = {}

    def hear(self, reply: Reply) -> None:
        """Take what was asked for.

        Raises:
            LimitError: far more came than was announced.
        """
        if isinstance(reply, Fetched):
            if reply.uid is None:
                return
            if self._name in reply.sections:
                self._take(reply, reply.uid)
            elif self.sizing is not None and reply.size is not None and reply.uid in self.sizing.left:
                self.sizing.left.remove(reply.uid)
                self.sizes[reply.uid] = reply.size
        elif isinstance(reply, Status) and reply.tag is not None:
            self.news.set()

    def lose(self) -> None:
        """Wake whoever waits."""
        self.news.set()

    def expect(self, uid: int, asked: _Asked, weight: int) -> None:
        """Wait for a message that has been asked for."""
        self.order.append(uid)
        self.wanted[uid] = asked, weight
        self.asked_bytes += weight

    def forget(self, uid: int) -> None:
        """Wait no more for a message: it will not come."""
        self.asked_bytes -= self.wanted.pop(uid)[1]
        self.came[uid] = None

    def give(self, *, is_lost: bool = False) -> Message | None:
        """Hand out the next message if it is there; if the connection is lost, the next one that is."""
        while self.order and (self.order[0] in self.came or is_lost):
            first = self.came.pop(self.order.popleft(), None)
            if first is not None:
                self.ready_bytes -= len(first.raw)
                return first
        return None

    def _take(self, reply: Fetched, uid: int) -> None:
        came = message(reply, self._name)
        if came is None:
            return  # NIL: it stays among those that did not come
        batch, announced = self.wanted.pop(uid, (None, 0))
        if batch is None:
            return  # nobody asked for it, or it came before
        batch.left.remove(uid)
        self.asked_bytes -= announced
        self.came[uid] = came
        self.ready_bytes += len(came.raw)
        self.news.set()
        if self.ready_bytes > self._max_bytes:
            raise LimitError(f"{self.ready_bytes} bytes of messages that nobody asked for", limit=self._max_bytes)
        if self.ready_bytes > 2 * AHEAD_BYTES:
            self._hold()


def _note_size(sizes: dict[int, int], one: Fetched) -> None:
    if one.uid is not None and one.size is not None:
        sizes[one.uid] = one.size


class _Weakly:
    """Lets an Inbox hear as long as somebody else keeps it: an abandoned Delivery takes no more memory."""

    def __init__(self, inbox: Inbox, wire: Wire) -> None:
        self._inbox = weakref.ref(inbox, lambda _: self._forget(wire))

    def _forget(self, wire: Wire) -> None:
        wire.incoming.remove(self)
        wire.tap.release()

    def hear(self, reply: Reply) -> None:
        if (inbox := self._inbox()) is not None:
            inbox.hear(reply)

    def lose(self) -> None:
        if (inbox := self._inbox()) is not None:
            inbox.lose()


class Delivery:
    r"""Messages on their way; `async for message in delivery`, ascending by UID.

    Other commands may be used in between; they are answered behind what is under way. Opening or leaving a mailbox ends
    it. A Delivery that nobody holds any more asks for nothing more.

    Args:
        session: whose open mailbox it is.
        source: the search that finds them, sent when the first message is asked for, or their UIDs.
        name: the section that is wanted, `BODY[]`...
        mark_seen: set `\Seen`.
        may_vanish: whether messages that others expunge meanwhile are left out without an error.
        sizes: what is known of them.
        max_weight: bytes that a message counts at most, where not all of it is wanted.
        timeout: seconds for each message; None takes the session's, `math.inf` is no limit.
    """

    def __init__(
        self,
        session: Conversation,
        source: Request | Sequence[int],
        name: str,
        *,
        mark_seen: bool = False,
        may_vanish: bool = True,
        sizes: Mapping[int, int] | None = None,
        max_weight: int = MAX_SIZE,
        timeout: float | None = None,
    ) -> None:
        self._session = session
        self._source = source
        self._may_vanish = may_vanish
        self._name = name
        self._items = fetch_items(name, mark_seen=mark_seen)
        self._timeout = timeout
        self._sizes = sizes
        self._max_weight = max_weight
        self._unsized: deque[int] = deque()
        self._sized: deque[tuple[int, int]] = deque()
        self._missing: list[int] = []
        self._refusal: RefusedError | None = None
        self._generation: int | None = None
        self._inbox: Inbox | None = None

    def __aiter__(self) -> Delivery:
        return self

    async def __anext__(self) -> Message:
        """Give the next message.

        Raises:
            StopAsyncIteration: that was all.
            RefusedError: the server refused it, or did not give all that was asked for by UID.
            UsageError: another mailbox was opened meanwhile.
            ProtocolError: the server withheld a message that it still has.
        """
        inbox = self._inbox
        if (
            inbox is not None
            and self._generation == self._session._state.generation
            and (inbox.ready_bytes + inbox.asked_bytes > AHEAD_BYTES // 2 or not (self._sized or self._unsized))
        ):
            self._session._check_open("FETCH")
            if (ready := inbox.give()) is not None:
                return ready  # there was neither need to wait nor room to ask for much more
        async with self._session._call("FETCH", self._timeout):
            came = await self._next()
        if came is None:
            raise StopAsyncIteration
        return came

    async def rest(self, take: Callable[[Message], None]) -> None:
        """Give all that is left to `take`, one by one, within one call; raises as the iteration does."""
        async with self._session._call("FETCH", self._timeout):
            while (came := await self._next()) is not None:
                take(came)

    async def _next(self) -> Message | None:
        if self._generation is None:
            await self._start()
        if self._generation != self._session._state.generation:
            self._inbox = None
            raise UsageError("another mailbox was opened, or this one left, while its messages were under way")
        inbox = self._inbox
        if inbox is None:
            return None
        wire = self._session._wire
        while True:
            inbox.news.clear()
            if not wire.is_lost:
                self._review(inbox)
                self._ask_ahead(inbox)
            if (ready := inbox.give(is_lost=wire.is_lost)) is not None:
                answered()
                if inbox.ready_bytes <= AHEAD_BYTES:
                    wire.tap.release()
                return ready
            wire.check("UID FETCH")
            if not (inbox.batches or inbox.sizing or self._sized or self._unsized):
                await self._conclude()
                return None
            with wire.tap.open_for_now():
                await inbox.news.wait()

    async def _start(self) -> None:
        wire = self._session._wire
        sizes: dict[int, int] = {}
        if isinstance(self._source, Request):
            with wire.incoming.heard_by(Noter(Fetched, partial(_note_size, sizes))):
                self._ask_early()
                uids: Sequence[int] = await found(self._session, self._source)
        else:
            uids = self._source
        self._generation = self._session._state.generation
        self._inbox = Inbox(self._name, self._session.limits.max_response_bytes, wire.tap.hold)
        wire.incoming.add(_Weakly(self._inbox, wire))
        known = sizes if self._sizes is None else self._sizes
        self._sized.extend((uid, known[uid]) for uid in takewhile(known.__contains__, uids))
        self._unsized.extend(uids[len(self._sized) :])

    def _ask_early(self) -> None:
        """Where all messages are wanted, ask for the sizes of the first ones along with the search: a round trip less.

        It is by sequence number, for the UIDs are not known yet; what comes is told apart by UID, so nothing is taken
        for something else, and what does not come, or is refused, is asked for once more.
        """
        selected = self._session.selected
        if self._sizes is None and selected is not None and selected.exists and self._is_of_all:
            numbers = f"1:{min(selected.exists, _SIZES_COUNT)}"
            self._session._wire.issue(request("FETCH", numbers, "(UID RFC822.SIZE)"))

    @property
    def _is_of_all(self) -> bool:
        return isinstance(self._source, Request) and tuple(self._source.segments) == ("ALL",)

    def _review(self, inbox: Inbox) -> None:
        """Look at what has ended."""
        if inbox.sizing is not None and inbox.sizing.pending.status is not None:
            self._note_end(inbox, inbox.sizing, inbox.sizing.pending.status)
            self._sized.extend(sorted(inbox.sizes.items()))
            inbox.sizing, inbox.sizes = None, {}
        for asked in tuple(inbox.batches):
            if asked.pending.status is not None:
                inbox.batches.remove(asked)
                self._note_end(inbox, asked, asked.pending.status)

    def _note_end(self, inbox: Inbox, asked: _Asked, status: Status) -> None:
        if status.kind != "OK":
            # NO may mean that some were expunged by others; those that are there have come nevertheless.
            error = refusal(status, self._session.endpoint, "UID FETCH")
            if status.kind == "BAD":
                raise error
            self._refusal = self._refusal or error
        for uid in sorted(asked.left):
            self._missing.append(uid)
            if uid in inbox.wanted:
                inbox.forget(uid)

    def _ask_ahead(self, inbox: Inbox) -> None:
        """Keep as much under way as fits, and sizes for more."""
        while self._sized and inbox.asked_bytes + inbox.ready_bytes < AHEAD_BYTES:
            self._ask_for_batch(inbox)
        if self._unsized and inbox.sizing is None and len(self._sized) < _SIZES_COUNT:
            inbox.sizing = self._issue(list(islice(self._unsized, _SIZES_COUNT)), "(UID RFC822.SIZE)")
            for _ in inbox.sizing.left:
                self._unsized.popleft()

    def _ask_for_batch(self, inbox: Inbox) -> None:
        uids: list[int] = []
        size = 0
        for uid, announced in islice(self._sized, _BATCH_COUNT):
            size += min(announced, self._max_weight)
            if uids and size > _BATCH_BYTES:
                break
            uids.append(uid)
        asked = self._issue(uids, self._items)
        inbox.batches.append(asked)
        for _ in asked.left:
            uid, announced = self._sized.popleft()
            inbox.expect(uid, asked, min(announced, self._max_weight))

    def _issue(self, uids: list[int], items: str) -> _Asked:
        """Ask for as many of `uids`, from the first on, as one command line takes."""
        text, count = next(written_sets(uids))
        return _Asked(self._session._wire.issue(request("FETCH", text, items, by_uid=True)), set(uids[:count]))

    async def _conclude(self) -> None:
        """Tell vanished messages from withheld ones."""
        self._inbox = None
        missing, self._missing = sorted(self._missing), []
        if not missing:
            return
        if self._may_vanish:
            missing = await self._still_there(missing)
            if not missing:
                return  # a search now would not find them either
        shown = ", ".join(map(str, missing[:_MANY])) + (", ..." if len(missing) > _MANY else "")
        text = f"{len(missing)} of the messages did not come: UID {shown}"
        if self._refusal is not None:
            raise self._refusal
        if not self._may_vanish:
            raise RefusedError(text, endpoint=self._session.endpoint, operation="UID FETCH")
        raise ProtocolError(text, endpoint=self._session.endpoint, operation="UID FETCH")

    async def _still_there(self, uids: list[int]) -> list[int]:
        there: set[int] = set()
        for text, _ in written_sets(uids):
            there.update(await found(self._session, request("SEARCH", "UID", text, by_uid=True)))
        return [uid for uid in uids if uid in there]
