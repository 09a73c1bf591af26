"""Journal: what was asked of a run, begun and ended, on disk at once, so that a killed run goes on where it was.

What a killed run must know is written to a log at once: that a job has ended, before anybody sees its outcome, and that
it is about to do what must not be done twice. Jobs that end one after another without waiting are written together, as
long as they are, with those at work, no more than `limit`. What was asked for and begun is written with it, or after a
twentieth of a second. What has ended is merged into sqlite (see `ledger`) by a thread, many at once, which also brings
log and output to the disk: the power takes at most what came since. Nothing secret is written: a job is known by 64
bits of the hash of its key, and shown without the query of its URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asyncnet.errors import ClosedError, NetError, UsageError
from asyncnet.jobs.holding import Holding, opened
from asyncnet.jobs.job import Outcome
from asyncnet.jobs.observer import Recorder
from asyncnet.jobs.outputs import hashed
from asyncnet.jobs.recovery import Lost, recovered

if TYPE_CHECKING:
    from asyncnet.jobs.job import Job
    from asyncnet.jobs.ledger import Ledger
    from asyncnet.jobs.outputs import Output

_BATCH = 10_000
"""Jobs that end between two merges: their keys are in memory, and a tree of keys is written page by page, so many at
once are cheaper than few."""

_MOST_BATCHES, _BRAKE_SECONDS = 100, 0.01
"""While so many (100 MB of keys) wait for a disk that hangs, each end holds the loop up so long: the last resort."""

_GATHER_SECONDS = 0.05

_BITS = 24
_MASK = (1 << _BITS) - 1


def _entry(key: int, name: str) -> str:
    """Give what a job is called in the lines that tell of its beginning and of its end: key and name."""
    return f"{key},{encode_basestring_ascii(name)}"


class Journal(Recorder):
    """The record of a run, in a folder, and what keeps its output in step with it; made by `Journal.open`.

    Given to a run as an observer it writes what happens, leaves out what has ended in an earlier run, and what is asked
    for twice. It is closed with the run.

    Attributes:
        lost: outcomes of jobs that a killed run had committed itself to (`Observer.committing`) and that nobody knows
            the end of. They have failed, and are not done again; each is told, and kept in the output, when it is
            asked for again, or at the end.
        skipped: how many jobs were left out because they had ended, or were asked for before.
        ended_before: how many had ended in earlier runs.
        failed_before: how many of these had failed for good, and how many for now.
    """

    def __init__(self, ledger: Ledger, output: Output | None, dedup: Literal["skip", "refuse"], batch: int) -> None:
        self.lost: list[Outcome[Any]] = []
        self.skipped = 0
        self.ended_before = 0
        self.failed_before = (0, 0)
        self._ledger = ledger
        self._output = output
        self._refuses = dedup == "refuse"
        self._batch = batch
        # What was asked and has not ended: job -> key, and key -> `_entry`; and what of it is committed.
        self._keys: dict[Job[Any], int] = {}
        self._open: dict[int, str] = {}
        self._committed: set[int] = set()
        self._doubtful: dict[int, Lost] = {}
        # The same of an earlier run, until it is asked for again.
        self._unfinished: dict[int, str] = {}
        # Every key leaves a bit: if it finds none there, it is new. Else the sets and the ledger know.
        self._seen = bytearray(1 << (_BITS - 3))
        self._recent: set[int] = set()
        self._merging: set[int] = set()
        self._merge: asyncio.Task[None] | None = None
        self._log = -1
        self._gathered: list[str] = []  # lines of ASCII, for the next write
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._ending = 0
        self._number = 0
        self._broken = False
        self._holding = Holding(self._close)

    @classmethod
    async def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        output: Output | None = None,
        resume: bool = False,
        dedup: Literal["skip", "refuse"] = "skip",
        batch: int = _BATCH,
    ) -> Journal:
        """Open or make a journal.

        Args:
            folder: where; made if it is not there.
            output: what keeps the outcomes. The journal writes it, so it is not an observer of the run itself, and
                cuts it back to what was journalled when it resumes.
            resume: go on with what is there, if something is; the source is to be the same again.
            dedup: what becomes of a job whose key was asked for before: it is left out ("skip"), or ends the run with
                a UsageError ("refuse").
            batch: how many jobs end between two merges into the ledger.

        Raises:
            UsageError: there is something and it is not to be resumed, another process has it, it cannot be used, or
                the output is shorter than the journal says.
            OSError: it cannot be read or written: the disk is full, or it is damaged.

        Failed or cancelled, it gives the folder free, at the latest when its thread is done.
        A million jobs that had ended take about a second.
        """
        from asyncnet.jobs.ledger import Ledger  # loads sqlite, which a run without a journal needs not

        ledger = await opened(lambda: Ledger(Path(folder)), Ledger.close)
        journal = cls(ledger, output, dedup, batch)
        try:
            await journal._holding.in_thread(lambda: journal._begin(resume))
        except BaseException:
            await journal.aclose()
            raise
        return journal

    def _begin(self, resume: bool) -> None:
        logs = self._ledger.logs()
        is_new = not logs and not self._ledger.last_log
        if not is_new and not resume:
            raise UsageError(f"there is a journal in {self._ledger.folder} already: resume it, or name another folder")
        if is_new and self._output is not None:
            self._output.start()
        found = recovered(self._ledger, logs, None if self._output is None else self._output.position)
        self._number = max([self._ledger.last_log, *logs])
        self._unfinished = {key: _entry(key, name) for key, name in found.unfinished.items()}
        self._open = {lost.key: _entry(lost.key, lost.name) for lost in found.lost}
        self._committed = set(self._open)
        self._next_log()
        for number in logs:
            self._ledger.merge(number, found.lines.get(number))
        for key in self._ledger.ended_keys():
            self._mark(key)
            self.ended_before += 1
        self.failed_before = self._ledger.failures
        self._ledger.walk()
        for key in found.unfinished:
            self._mark(key)
        if self._output is not None and not is_new:
            self._output.recover(found.position)
        self._doubtful = {lost.key: lost for lost in found.lost}
        for key in self._doubtful:
            self._mark(key)

    def _mark(self, key: int) -> None:
        bit = key & _MASK
        self._seen[bit >> 3] |= 1 << (bit & 7)

    def _next_log(self) -> None:
        """Begin a log with what has not ended by the others, so that it can stand without them."""
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(self._ledger.log(self._number), flags, 0o600)
        carried = [f"[0,{entry}]\n" for entry in (self._unfinished | self._open).values()]
        carried += [f"[3,{key}]\n" for key in self._committed]
        before, self._log = self._log, log
        if before >= 0:
            os.close(before)
        self._gathered = carried + self._gathered
        self._flush()

    def _tell_lost(self, lost: Lost, name: str) -> None:
        """End what cannot be done again."""
        error = NetError("the run was killed while this was under way: nobody knows whether it was done")
        error.outcome_unknown = True
        outcome: Outcome[Any] = Outcome(name, None, error, lost.attempts)
        self._end(lost.key, outcome)
        self._flush()
        self.lost.append(outcome)

    # What the run tells.

    def knows(self, key: str) -> bool:
        """Whether a job of this key has ended: it would be skipped, so it need not even be made; it is counted so."""
        number = hashed(key)
        if self._ledger.passes(number):
            self.skipped += 1
            return True
        bit = number & _MASK
        if not self._seen[bit >> 3] & (1 << (bit & 7)) or number in self._unfinished or not self._has(number):
            return False
        if self._refuses and self._is_of_this_run(number):
            return False  # made and asked for, it is refused
        self.skipped += 1
        return True

    def asked(self, job: Job[Any]) -> bool:
        """Write it down; False if it has ended, or was asked for before.

        Raises:
            UsageError: it was asked for before, and that is to be refused.
        """
        key = hashed(job.key)
        place, flag = (key & _MASK) >> 3, 1 << (key & 7)
        if self._seen[place] & flag:
            before = self._unfinished.pop(key, None)
            if before is not None:  # it stands in the log already
                self._keys[job], self._open[key] = key, before
                return True
            lost = self._doubtful.pop(key, None)
            if lost is not None:
                self._tell_lost(lost, job.name)
                return False
            if self._was_asked(key, job):
                self.skipped += 1
                return False
        self._seen[place] |= flag
        entry = f"{key},{encode_basestring_ascii(job._shown)}"  # `_entry`, without a call
        if self._timer is None:
            self._time()
        self._gathered.append(f"[0,{entry}]\n")
        self._keys[job], self._open[key] = key, entry
        return True

    def _was_asked(self, key: int, job: Job[Any]) -> bool:
        ended = self._has(key)
        if not ended and key not in self._open:
            return False  # another key has the same bit
        if self._refuses and (not ended or self._is_of_this_run(key)):
            raise UsageError(f"asked for twice: {job._shown}")
        return True

    def _is_of_this_run(self, key: int) -> bool:
        # Of what is merged nobody knows which run has ended it, unless none went before this one.
        return not self.ended_before or key in self._recent or key in self._merging

    def _has(self, key: int) -> bool:
        return key in self._recent or key in self._merging or self._ledger.has(key)

    def began(self, job: Job[Any], attempt: int) -> None:
        """Write it down."""
        self._gathered.append(f"[1,{self._keys[job]},{attempt}]\n")

    def committing(self, job: Job[Any]) -> None:
        """Write it down: from here on it is not done again by a later run."""
        key = self._keys[job]
        if key not in self._committed:
            self._committed.add(key)
            self._gather(f"[3,{key}]\n")
            self._flush()

    def note(self, job: Job[Any], outcome: Outcome[Any]) -> None:
        """Take note of an outcome, for the output, and that it is there.

        A job that the run left no time to begin has not ended: the next run does it.
        """
        key = self._keys.pop(job)
        if outcome.attempts == 0:
            self._unfinished[key] = self._open.pop(key)
            return
        self._end(key, outcome)
        if len(self._recent) >= self._batch:
            self._rotate()

    def settle(self) -> None:
        """Write the output, and then that it is written."""
        self._flush()

    def _end(self, key: int, outcome: Outcome[Any]) -> None:
        output, position, entry = self._output, 0, self._open[key]
        if output is not None:
            self._ending = key
            output.put(key, outcome, self._place)
            position = output.position
        error = outcome.error
        if error is None:
            line = f"[2,{entry},1,{outcome.attempts},{outcome.seconds:.6f},{position}]\n"
        else:
            told = str(error) if isinstance(error, NetError) else ""  # of others nobody knows what they say
            kind = encode_basestring_ascii(type(error).__name__)
            what = f"{kind},{encode_basestring_ascii(told)},{int(getattr(error, 'transient', False))}"
            line = f"[2,{entry},0,{outcome.attempts},{outcome.seconds:.6f},{position},{what}]\n"
        self._gathered.append(line)
        self._recent.add(key)
        del self._open[key]
        self._committed.discard(key)

    def _place(self, path: str, inode: int) -> None:
        self._gather(f"[4,{_entry(self._ending, path)},{inode}]\n")
        self._flush()

    def _gather(self, line: str) -> None:
        """Write a line with the next that has to be written, or soon."""
        if self._timer is None:
            self._time()
        self._gathered.append(line)

    def _time(self) -> None:
        if self._broken or not self._holding.is_held:
            raise ClosedError("the journal was closed, or could not be written")
        self._timer = self._loop.call_later(_GATHER_SECONDS, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        with contextlib.suppress(OSError, ClosedError):  # the next event fails then, where somebody hears it
            self._flush()

    def _flush(self) -> None:
        if self._broken or self._log < 0:
            raise ClosedError("the journal was closed, or could not be written")
        if self._output is not None:
            try:
                self._output.settle()
            except OSError:
                self._break()  # no line may say that it is there
                raise
        lines = "".join(self._gathered).encode("ascii")
        self._gathered.clear()
        if lines and os.write(self._log, lines) != len(lines):
            self._break()  # half a line: the disk is full, and nothing may follow it
            raise OSError(28, "the journal cannot be written", str(self._ledger.folder))

    def _break(self) -> None:
        self._broken = True
        self._gathered.clear()
        self._stop_timer()

    # Merging.

    def _rotate(self) -> None:
        """Begin the next log, and have the thread merge this one; unless it is still at the one before."""
        if self._merge is not None:
            if not self._merge.done():
                if len(self._recent) >= _MOST_BATCHES * self._batch:
                    time.sleep(_BRAKE_SECONDS)
                return
            self._merge.result()  # what kept it from merging ends the run
        self._flush()
        number, self._merging, self._recent = self._number, self._recent, set()
        self._next_log()
        self._merge = asyncio.get_running_loop().create_task(self._merged(number))

    async def _merged(self, number: int) -> None:
        await self._holding.in_thread(lambda: self._merge_log(number))
        self._merging = set()

    def _merge_log(self, number: int) -> None:
        if self._output is not None:
            self._output.sync()
        self._ledger.merge(number)

    async def aclose(self) -> None:
        """Merge what has ended, bring all to the disk, and give the folder free.

        Cancelled, it leaves that to the thread that is at it, or to the next run.
        """
        self._stop_timer()
        merge, self._merge = self._merge, None  # which a cancellation cancels: another call does not meet it again
        try:
            if merge is not None:
                await merge
            if self._holding.is_held and self._log >= 0 and not self._broken:
                await self._holding.in_thread(self._finish)
        finally:
            self._holding.let_go()

    def _close(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        if self._output is not None:
            self._output.close()
        self._ledger.close()

    def _finish(self) -> None:
        for lost in self._doubtful.values():
            self._tell_lost(lost, lost.name)
        self._doubtful = {}
        self._flush()
        if self._output is not None:
            self._output.sync()
        number = self._number
        self._next_log()
        self._ledger.merge(number)
