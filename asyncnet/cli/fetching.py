"""Fetching: one run of `asyncnet fetch`, from its lines to its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from asyncnet import InvalidEndpoint, NetError, UsageError, jobs
from asyncnet.cli import text
from asyncnet.cli.clerk import Clerk
from asyncnet.cli.failed import FailedList
from asyncnet.cli.keeping import Saved, Target, journalled, target
from asyncnet.cli.lines import portions
from asyncnet.cli.login import Login
from asyncnet.cli.making import Maker, key_of, refused
from asyncnet.cli.orders import Order, order_of
from asyncnet.cli.output import HEADING, Outcome, Output, Printer, painter, row
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import FAILED, Tally, is_transient

if TYPE_CHECKING:
    from asyncnet.cli.fetch import Options

_LAST_SECONDS = 1.0
"""How long an interrupted run goes on writing what had been fetched by then."""


class Heard(jobs.Observer):
    """Hears of outcomes as they are made: an interrupt may come before they are fetched from the run.

    Args:
        count: called with each.

    Attributes:
        waiting: what has not been fetched; no more than the run's limit, and one for each that is at its end.
    """

    def __init__(self, count: Callable[[Outcome], None]) -> None:
        self.waiting: deque[Outcome] = deque()
        self._count = count

    def ended(self, job: jobs.Job[Any], outcome: Outcome) -> None:
        """Count it, and keep it until it is fetched."""
        self._count(outcome)
        self.waiting.append(outcome)


class Fetching:
    """One run of the command."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._screen = Screen(quiet=options.quiet, verbose=options.verbose)
        login = Login(options.username, options.password_command, options.token_command, asking=self._screen.asking)
        self._maker = Maker(options, login)
        self._target: Target = target(options.target)
        if options.journal is not None and not options.dry_run:
            self._target = journalled(self._target)
        self._saved: Saved | None = None
        self._tally = Tally()
        self._progress = jobs.Progress(None if options.inputs else len(options.urls))
        self._heard = Heard(self._count)
        self._journal: jobs.Journal | None = None
        self._failed: FailedList | None = None
        self._heading = HEADING
        self._began = time.monotonic()
        self._printer = Printer()
        is_table = options.output == "table" or (options.output is None and sys.stdout.isatty())
        self._paint = painter() if is_table else None

    async def main(self) -> int:
        """Fetch everything, print it as it comes, and give the exit status."""
        # All of the command line first: what is wrong there is told before anything is sent.
        orders = [order_of(url) for url in self._options.urls]
        named = [(url, await self._maker.job(order)) for url, order in zip(self._options.urls, orders, strict=True)]
        if self._options.dry_run:
            return await self._dry_run(named)
        try:
            async with contextlib.AsyncExitStack() as stack:
                stack.enter_context(self._screen.logs())  # of the end of the run, too
                observers = await self._observers(stack)
                outcomes = self._outcomes(self._source(named), observers)
                async with Clerk() as clerk, contextlib.aclosing(outcomes):
                    await self._print(outcomes, Output(clerk, self._written))
        except BrokenPipeError:
            return FAILED  # whoever read what we print has had enough
        except asyncio.CancelledError:
            self._screen.say(f"interrupted: {self._tally}{self._how_to_go_on()}")
            raise
        self._tell_lost()
        if sys.stderr.isatty():
            self._screen.say(self._summary())
        elif self._failed_before:  # else nothing would say why the status is what it is
            self._screen.say(f"{text.number(self._failed_before, 'job')} left out that failed in earlier runs")
        return self._tally.status

    # What watches the run.

    async def _observers(self, stack: contextlib.AsyncExitStack) -> list[jobs.Observer]:
        options, output = self._options, self._target.output
        report = None
        if options.report is not None:
            report = jobs.Report(options.report)
            stack.enter_context(report.listening())
        observers: list[jobs.Observer] = []
        folder = options.journal
        if folder is None and options.dedup is not None:
            folder = tempfile.mkdtemp(prefix="asyncnet-")  # keys lie on the disk, so that a long list fits
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._journal = await self._opened(folder, None)
        elif folder is not None:
            if output is None and self._target.saver is not None:
                self._saved = Saved(self._target.saver)
            self._journal = await self._opened(folder, output or self._saved)
            output = None
            self._tally.failed, self._tally.later = self._journal.failed_before
        if self._journal is not None:
            observers.append(self._journal)
        if output is not None:
            output.start()
            observers.append(output)
        observers.append(self._heard)
        observers += [self._progress] if report is None else [self._progress, report]
        if options.failed is not None:
            self._failed = FailedList(options.failed, resume=options.resume)
            observers.append(self._failed)
        return observers

    async def _opened(self, folder: str, output: jobs.Output | None) -> jobs.Journal:
        dedup = cast("Literal['skip', 'refuse']", self._options.dedup or "skip")
        try:
            return await jobs.Journal.open(folder, output=output, resume=self._options.resume, dedup=dedup)
        except OSError as error:
            raise UsageError(f"the journal cannot be written: {folder}: {error.strerror}") from error

    def _tell_lost(self) -> None:
        """Tell what a killed run left open, and nobody knows the end of."""
        for outcome in self._journal.lost if self._journal is not None else ():
            self._tally.failed_by(transient=False)
            assert outcome.error is not None
            self._screen.tell(outcome.error, _redacted(outcome.name))

    def _outcomes(
        self, source: AsyncGenerator[jobs.Job[Any] | str, None], observers: list[jobs.Observer]
    ) -> AsyncGenerator[Outcome, None]:
        options = self._options
        per_host: int | jobs.Adaptive = options.per_host
        if options.adaptive:
            per_host = jobs.Adaptive(first=min(options.per_host, options.limit), most=options.limit)
        return jobs.as_completed(
            source,
            limit=options.limit,
            per_host=per_host,
            rate=jobs.Rate(options.rate, options.rate_per_host),
            timeout=options.total_timeout,
            observers=observers,
            cluster=options.cluster,
        )

    # What is done.

    async def _source(self, named: list[tuple[str, jobs.Job[Any]]]) -> AsyncGenerator[jobs.Job[Any] | str, None]:
        for line, job in named:
            if self._failed is not None:
                self._failed.given(line)
            yield job
        for path in self._options.inputs:
            async with contextlib.aclosing(portions(path)) as found:
                async for portion in found:
                    for number, line in portion:
                        if self._has_ended(line):
                            continue
                        if self._failed is not None:
                            self._failed.given(line)
                        lost = self._lost
                        yield await self._listed(line, _place(number, path))
                        if self._failed is not None and self._lost > lost:
                            self._failed.write(line)

    def _has_ended(self, line: str) -> bool:
        """Whether it is known without making a job of it: a million lines are passed over in seconds."""
        if self._journal is None or self._options.headers:
            return False
        return (key := key_of(line)) is not None and self._journal.knows(key)

    @property
    def _lost(self) -> int:
        return 0 if self._journal is None else len(self._journal.lost)

    async def _listed(self, line: str, place: str) -> jobs.Job[Any] | str:
        """Make a job of a line; what is wrong with it is its own failure, under its place: it may hold a secret."""
        try:
            order = order_of(line)
        except UsageError as error:
            return refused(error, place)
        try:
            return await self._maker.job(order)
        except InvalidEndpoint as error:
            # The run tells it, without what might be a password in it.
            return order.url if order.method == "GET" and order.name is None else refused(error, order.name or place)
        except UsageError as error:
            return refused(error, order.name or order.url)

    async def _dry_run(self, named: list[tuple[str, jobs.Job[Any]]]) -> int:
        """Say what would be done, a line of JSON each."""
        for _, job in named:
            self._plan(job, Order(job.name))
        for path in self._options.inputs:
            async with contextlib.aclosing(portions(path)) as found:
                async for portion in found:
                    for number, line in portion:
                        await self._plan_line(line, _place(number, path))
        self._screen.say(
            f"{text.number(self._tally.done, 'job')} would be done, {self._tally.failures} lines are wrong"
        )
        return self._tally.status

    async def _plan_line(self, line: str, place: str) -> None:
        try:
            order = order_of(line)
            self._plan(await self._maker.job(order), order)
        except UsageError as error:
            self._tally.failed_by(transient=False)
            self._screen.tell(error, place)

    def _plan(self, job: jobs.Job[Any], order: Order) -> None:
        self._tally.succeeded()
        self._printer.write(jobs.json_line({"method": order.method, "url": job.name, "host": job.host, "key": job.key}))

    # What comes of it.

    async def _print(self, outcomes: AsyncIterator[Outcome], output: Output) -> None:
        async with self._screen.progress(self._progress.line):
            try:
                async for outcome in outcomes:
                    self._heard.waiting.popleft()
                    if outcome.error is not None or self._target.output is None:
                        await output.put(outcome)
            except asyncio.CancelledError:
                # What has come stays, unless whoever reads it does not read.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_SECONDS):
                        for outcome in self._heard.waiting if self._target.output is None else ():
                            await output.put(outcome)
                        await output.finish()
                raise
            except NetError:  # a list that cannot be read, a doubled key: what has come is written nevertheless
                await output.finish()
                raise
            await output.finish()

    def _count(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._tally.succeeded(outcome.received_bytes)
        else:
            self._tally.failed_by(transient=is_transient(outcome.error))

    def _written(self, batch: list[Outcome]) -> None:
        """Print outcomes; in the clerk's thread."""
        for outcome in batch:
            if self._target.output is None:
                self._printed(outcome, self._files(outcome))
            if outcome.error is not None:
                self._screen.tell(outcome.error, _redacted(outcome.name))

    def _files(self, outcome: Outcome) -> list[str] | None:
        if self._saved is not None:
            return self._saved.paths(outcome)
        return None if self._target.saver is None else self._target.saver.save(outcome)

    def _printed(self, outcome: Outcome, files: list[str] | None) -> None:
        if self._paint is None:
            self._printer.write(jobs.json_line(jobs.record(outcome, files)))
            return
        self._screen.clear()
        heading, self._heading = self._heading, ""
        where = f" -> {files[0] if len(files) == 1 else self._target.shown}" if files else ""
        style = "" if outcome.ok else "red" if not is_transient(outcome.error) else "yellow"
        shown = self._paint(heading, "bold") if heading else ""
        self._printer.write(shown + self._paint(row(outcome) + where, style))

    def _summary(self) -> str:
        seconds = time.monotonic() - self._began
        failed, before, skipped = self._failed_before, "", ""
        ended = self._tally.done + self._tally.failures
        if self._journal is not None and self._journal.skipped:
            skipped = f", {self._journal.skipped:,} skipped"
        if failed:
            before = f" ({failed:,} of them in earlier runs)"
            ended -= failed
        what = f"{self._tally}{before}{skipped}, {text.size(self._tally.received_bytes)}"
        return f"{what} in {text.seconds(seconds)}, {ended / max(seconds, 0.001):.1f} a second"

    @property
    def _failed_before(self) -> int:
        return 0 if self._journal is None else sum(self._journal.failed_before)

    def _how_to_go_on(self) -> str:
        return "" if self._options.journal is None else "; the same command with --resume goes on"


def _place(number: int, path: str) -> str:
    return f"line {number} of {'standard input' if path == '-' else path}"


def _redacted(url: str) -> str:
    return f"{url.partition('?')[0]}?..." if "?" in url else url
