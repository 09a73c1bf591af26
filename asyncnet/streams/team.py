"""Team: the workers of `run_workers`, seen from their parent: started, replaced when they die, and ended."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable, Collection
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess

from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, NetError
from asyncnet.streams.parent_signals import ParentSignals
from asyncnet.streams.worker import ABORT, DRAIN, KILL_SECONDS, READY, WorkerMain, work
from asyncnet.translation import CONNECTING, described, translated

logger = logging.getLogger("asyncnet.server")

_START_SECONDS = 30.0
_STEADY_SECONDS = 10.0
"""A worker that lived so long did not die of its start."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two starts where workers die of them, doubled each time."""


class _Member:
    """One worker."""

    def __init__(self, process: BaseProcess, pipe: Pipe) -> None:
        self.process = process
        self.pipe = pipe
        self.started_at = time.monotonic()

    def order(self, level: int) -> None:
        """Tell it to end."""
        with contextlib.suppress(OSError):  # it has ended
            self.pipe.send_bytes(bytes([level]))

    def word(self) -> object:
        """Give what it says: READY, the error that it died of, or None where it died without a word."""
        try:
            return self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None

    def close(self) -> None:
        """Make sure that it has ended, and forget it."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class Team:
    """The processes.

    Args:
        main: what each runs.
        place: where, with the real port.
        signals: those of this process.
        uvloop: run them on uvloop.
        grace: seconds that they may take to drain.
    """

    def __init__(
        self, main: WorkerMain, place: Endpoint, signals: ParentSignals, *, uvloop: bool, grace: float
    ) -> None:
        self._context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and open sockets
        self._main = main
        self._place = place
        self._signals = signals
        self._uvloop = uvloop
        self._grace = grace
        self._members: list[_Member] = []
        self._due: list[float] = []  # when the dead are to be replaced
        self._pause = _FIRST_PAUSE

    def serve(self, count: int, on_ready: Callable[[Endpoint], object] | None) -> None:
        """Start `count` workers, and see to them until a signal says that it is enough."""
        try:
            with translated(CONNECTING, self._place, "start"):
                for _ in range(count):
                    self._start_one()
            self._wait_until_ready()
            if on_ready is not None and not self._signals.stops:
                on_ready(self._place)
            while not self._signals.stops:
                self._look_after()
        finally:
            self._stop()

    def _start_one(self) -> None:
        resource_tracker.ensure_running()  # or it is started below, where it would let the signals through again
        ours, theirs = self._context.Pipe()
        with theirs:
            process = self._context.Process(
                target=work,
                args=(self._main, self._place, self._uvloop, self._grace, self._signals.forwarded, theirs),
                name="asyncnet-worker",
            )
            try:
                with self._signals.held_back():
                    process.start()
            except BaseException:
                ours.close()
                raise
        self._members.append(_Member(process, ours))

    def _wait_until_ready(self) -> None:
        waiting = {member.pipe: member for member in self._members}
        end = time.monotonic() + _START_SECONDS
        while waiting and not self._signals.stops:
            heard = multiprocessing.connection.wait([self._signals.wakeup, *waiting], max(0.0, end - time.monotonic()))
            self._hand_on(heard)
            for pipe in [pipe for pipe in waiting if pipe in heard]:
                word = waiting.pop(pipe).word()
                if isinstance(word, NetError):
                    raise word
                if word != READY:
                    raise ConnectError("a worker did not come up", endpoint=self._place, operation="listen")
            if not heard:
                text = f"a worker did not come up within {_START_SECONDS:g} seconds"
                raise ConnectError(text, endpoint=self._place, operation="listen")

    def _look_after(self) -> None:
        """Wait for a signal, a death, or the time to replace somebody, and do what is to be done."""
        seconds = max(0.0, min(self._due) - time.monotonic()) if self._due else None
        sentinels = [member.process.sentinel for member in self._members]
        self._hand_on(multiprocessing.connection.wait([self._signals.wakeup, *sentinels], seconds))
        if self._signals.stops:
            return
        for member in [member for member in self._members if not member.process.is_alive()]:
            self._bury(member)
        now = time.monotonic()
        late = [due for due in self._due if due <= now]
        self._due = [due for due in self._due if due > now]
        for _ in late:
            try:
                self._start_one()
            except OSError as error:  # no memory, no processes left: the others serve on
                logger.error("%s: no worker can be started for now: %s", self._place, described(error))
                self._put_off()

    def _bury(self, member: _Member) -> None:
        self._members.remove(member)
        now = time.monotonic()
        if now - member.started_at >= _STEADY_SECONDS:
            self._due.append(now)
            self._pause = _FIRST_PAUSE
        else:
            self._put_off()
        words = [member.word(), member.word()]  # READY, and what came of it
        why = next(
            (str(word) for word in words if isinstance(word, NetError)), f"exit status {member.process.exitcode}"
        )
        logger.error("%s: worker %s ended (%s); it is replaced", self._place, member.process.pid, why)
        member.close()

    def _put_off(self) -> None:
        self._due.append(time.monotonic() + self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _hand_on(self, heard: Collection[object]) -> None:
        if self._signals.wakeup in heard:
            for number in self._signals.heard():
                for member in self._members:
                    if member.process.is_alive() and member.process.pid is not None:
                        os.kill(member.process.pid, number)

    # The end.

    def _stop(self) -> None:
        # Without a signal something has failed, and nobody waits for what they do.
        if self._signals.stops == 1:
            self._order(DRAIN, self._grace, lambda: self._signals.stops > 1)
        self._order(ABORT, KILL_SECONDS, lambda: False)
        for member in self._members:
            if member.process.is_alive():
                logger.error("%s: worker %s does not end; it is killed", self._place, member.process.pid)
            member.close()
        self._members.clear()

    def _order(self, level: int, seconds: float, is_enough: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        for member in self._members:
            member.order(level)
        while not is_enough() and (alive := [one.process.sentinel for one in self._members if one.process.is_alive()]):
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._signals.wakeup in multiprocessing.connection.wait([self._signals.wakeup, *alive], left):
                self._signals.heard()
