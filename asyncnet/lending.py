"""Lending: signed-in sessions, each lent to one user at a time, taken back tidied, and kept for the next one.

What comes back spoilt, by a cancellation, a deadline or an error, is dropped. What was idle for some seconds is asked
whether it is still there before it is lent again, and what nobody wants for a while is said goodbye to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.errors import ClosedError, NetError, RefusedError, UsageError
from asyncnet.places import Places
from asyncnet.session import Session
from asyncnet.trace import untraced

_CHECK_AFTER = 5.0
"""A session that was idle for longer, in seconds, is asked before it is used."""
_CHECK_SECONDS = 5.0

S = TypeVar("S", bound=Session)


@dataclass(slots=True)
class Lent(Generic[S]):
    """A session on loan.

    Args:
        session: it.
        was_warm: it had served before, and the server may have left it without our knowing yet.
        is_clean: set by a user who knows that nothing of his is left in it.
    """

    session: S
    was_warm: bool
    is_clean: bool = False


@dataclass(slots=True)
class _Idle:
    origin: str
    key: Hashable
    session: Session
    since: float


class Lender:
    """Lends sessions and keeps them warm.

    Args:
        places: what bounds them: those that are lent hold places, those that are idle give way.
        keep_alive: seconds that an idle one is kept.
    """

    def __init__(self, places: Places, keep_alive: float) -> None:
        self._places = places
        self._keep_alive = keep_alive
        self._idle: list[_Idle] = []  # the longest idle first
        self._busy: dict[Session, str] = {}
        self._goodbyes: dict[asyncio.Task[None], str] = {}
        self._openings: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        places.keeper = self

    @contextlib.asynccontextmanager
    async def lend(
        self, origin: str, key: Hashable, make: Callable[[], S], *, fresh: bool = False
    ) -> AsyncIterator[Lent[S]]:
        """Lend a session for the length of a block; waits until there may be one.

        Args:
            origin: scheme, host and port: what limits are counted by.
            key: sessions of one key are alike: the same place, the same user.
            make: makes a new one, not opened yet.
            fresh: open a new one, also where a warm one waits.

        Raises:
            ClosedError: the lender is closed.
            NetError: as `Session.open`.

        A block that ends well, or by a refusal (RefusedError, UsageError), gives the session back; any other end drops
        it. What cannot be tidied for another user (POP3) ends with the block, by its own goodbye. Giving back takes at
        most 2 seconds, beside any deadline inside of the block.
        """
        self._check_open()
        async with self._places.at(origin):
            await self._places.enter()
            try:
                lent = await self._lent(origin, key, make, fresh=fresh)
                try:
                    yield lent
                except (RefusedError, UsageError):
                    await self._take_back(origin, key, lent, is_refused=True)
                    raise
                except BaseException:
                    await self._drop(lent.session)
                    raise
                await self._take_back(origin, key, lent)
            finally:
                self._places.leave()

    async def aclose(self) -> None:
        """Drop what is lent or being opened, whose users hear of it, and say goodbye to the idle, within 2 seconds.

        Idempotent. Cancelled, it drops those too.
        """
        self._closed = True
        while self._openings:  # each once: what unwinds already cannot be told again
            self._openings.pop().reschedule(asyncio.get_running_loop().time())
        for idle in self._idle:
            self._say_goodbye(idle.origin, idle.session)
        self._idle.clear()
        self._set_timer()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS), asyncio.TaskGroup() as group:
                    for session in list(self._busy):
                        group.create_task(session._spoil("the client was closed"))
            if self._goodbyes:
                await asyncio.wait(set(self._goodbyes))
        finally:
            for session in self._busy:
                session._abort()  # of those that there was no time to begin with
            for task in self._goodbyes:
                task.cancel()

    # Out.

    async def _lent(self, origin: str, key: Hashable, make: Callable[[], S], *, fresh: bool) -> Lent[S]:
        self._check_open()
        while not fresh and (idle := self._warm(key)) is not None:
            if await self._is_there(idle):
                return Lent(idle.session, was_warm=True)  # type: ignore[arg-type]
            self._check_open()
        while self._count_at(origin) >= self._places.per_origin and await self.part_with_one(origin):
            pass
        await self._places.make_room()
        self._check_open()
        session = make()
        await self._open(origin, session)
        return Lent(session, was_warm=False)

    def _warm(self, key: Hashable) -> _Idle | None:
        """Take the one that came back last, so that those which are too many grow old."""
        for position in range(len(self._idle) - 1, -1, -1):
            if self._idle[position].key == key:
                idle = self._idle.pop(position)
                self._busy[idle.session] = idle.origin
                self._set_timer()
                return idle
        return None

    async def _is_there(self, idle: _Idle) -> bool:
        session = idle.session
        try:
            if session.is_open and asyncio.get_running_loop().time() - idle.since > _CHECK_AFTER:
                with untraced():
                    await session.noop(timeout=_CHECK_SECONDS)
        except NetError:
            pass  # another one will do
        except BaseException:
            await self._drop(session)
            raise
        if session.is_open:
            return True
        await self._drop(session)
        return False

    async def _open(self, origin: str, session: Session) -> None:
        self._busy[session] = origin
        try:
            async with self.opening():
                await session.open()
        except BaseException:
            del self._busy[session]
            raise

    @contextlib.asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Bound a block that opens something by this lender's being open.

        Raises:
            ClosedError: it was closed meanwhile.
        """
        try:
            async with asyncio.timeout(None) as scope:
                self._openings.add(scope)
                try:
                    yield
                finally:
                    self._openings.discard(scope)
        except TimeoutError as error:
            if not isinstance(error, NetError):
                self._check_open()
            raise

    # Back.

    async def _take_back(self, origin: str, key: Hashable, lent: Lent[Any], *, is_refused: bool = False) -> None:
        session = lent.session
        is_kept = False
        try:
            is_tidy = session.is_open and (lent.is_clean or await self._is_tidied(session))
            if not is_tidy and not is_refused:
                await session.__aexit__(None, None, None)  # as at the end of a block of its own, with its errors
            is_kept = is_tidy and session.is_open and not self._closed
        finally:
            if not is_kept:
                await self._drop(session)
        if not is_kept:
            return
        del self._busy[session]
        self._idle.append(_Idle(origin, key, session, asyncio.get_running_loop().time()))
        self._set_timer()

    async def _is_tidied(self, session: Session) -> bool:
        try:
            with untraced():
                async with deadline(CLOSE_SECONDS, session.endpoint, "reset"):
                    return await session._tidy()
        except NetError:
            return False  # what the user asked for has been received

    async def _drop(self, session: Session) -> None:
        try:
            await session._spoil("the one who used it did not end well")
        finally:
            self._busy.pop(session, None)

    # The idle ones, and goodbyes.

    @property
    def count(self) -> int:
        """How many sessions are idle, or leaving."""
        return len(self._idle) + len(self._goodbyes)

    async def part_with_one(self, origin: str | None = None) -> bool:
        """Say goodbye to the one that was idle for longest, at an origin if one is given; False if there is none."""
        leaving = [task for task, of in self._goodbyes.items() if origin in (None, of)]
        for position, idle in enumerate(self._idle):
            if origin in (None, idle.origin):
                del self._idle[position]
                leaving = [self._say_goodbye(idle.origin, idle.session)]
                break
        if leaving:
            await asyncio.wait(leaving, return_when=asyncio.FIRST_COMPLETED)
        return bool(leaving)

    def _count_at(self, origin: str) -> int:
        idle = sum(idle.origin == origin for idle in self._idle)
        return idle + [*self._busy.values(), *self._goodbyes.values()].count(origin)

    def _say_goodbye(self, origin: str, session: Session) -> asyncio.Task[None]:
        # Nobody has to wait for it; and in a context of its own it keeps nothing of whoever was here alive.
        task = asyncio.get_running_loop().create_task(
            session.aclose(), name=f"asyncnet goodbye to {origin}", context=Context()
        )
        self._goodbyes[task] = origin
        task.add_done_callback(self._goodbyes.pop)
        return task

    def _set_timer(self) -> None:
        """Have the oldest ended when its time comes."""
        if self._timer is not None and (self._closed or not self._idle):
            self._timer.cancel()
            self._timer = None
        elif self._timer is None and self._idle:
            when = self._idle[0].since + self._keep_alive
            self._timer = asyncio.get_running_loop().call_at(when, self._sweep, context=Context())

    def _sweep(self) -> None:
        self._timer = None
        oldest = asyncio.get_running_loop().time() - self._keep_alive
        while self._idle and self._idle[0].since <= oldest:
            idle = self._idle.pop(0)
            self._say_goodbye(idle.origin, idle.session)
        self._set_timer()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the client is closed")
