"""Demonstration: the steps of `asyncnet demo`, one after another, and the table of what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncnet
from asyncnet import Lab, NetError, UsageError, http, imap, jobs, pop3, smtp
from asyncnet.cli import text
from asyncnet.cli.loop import first
from asyncnet.cli.output import Printer
from asyncnet.cli.tally import DONE, FAILED

_TIMEOUT = 10.0
"""Seconds for any one step; each takes milliseconds."""

_OUTAGE = 0.4
"""Seconds that a host is away while the jobs run."""

_RETRY = jobs.Retry(attempts=8, first_delay=0.1, max_delay=0.5)

_NEXT = """
Next:
  asyncnet lab                       these servers for your own programs, with an inbox in the browser
  asyncnet fetch https://example.org/ https://example.com/
  asyncnet send --help               mail; `asyncnet --help` shows the other commands
  docs/lab-pytest.md                 the same servers in your tests: pip install 'asyncnet[lab]'
"""


class Demonstration:
    """All the steps.

    Args:
        report: where to write the page about the jobs.

    Raises:
        UsageError: nothing can be written there.
    """

    def __init__(self, report: Path) -> None:
        jobs.Report(report)  # says at once if nothing can be written there
        self._report = report
        self._rows: list[tuple[str, str, str, bool]] = []
        self._absent: list[str] = []
        self._subject = ""
        self._tls: ssl.SSLContext | None = None
        self._has_imap = _is_installed("aioimaplib")

    async def run(self) -> int:
        """Do them, print the table, and give the exit status."""
        began = time.perf_counter()
        async with contextlib.AsyncExitStack() as stack:
            lab, other = Lab(), Lab()
            with self._step("servers") as said:
                for one in (lab, other):
                    await stack.enter_async_context(one)
                self._trust(lab)
                said("SMTP, IMAP, POP3, HTTP and echo on 127.0.0.1" + (", with TLS" if self._tls else ""))
            if self._rows[-1][3]:  # there is something to show
                await self._mail(lab)
                await self._web(lab)
                await self._fault(lab)
                await self._jobs(lab, other)
        self._print(time.perf_counter() - began)
        return DONE if all(good for *_, good in self._rows) else FAILED

    def _trust(self, lab: Lab) -> None:
        try:
            self._tls = lab.tls
        except UsageError:
            self._absent.append("TLS, for trustme is not installed: pip install 'asyncnet[lab]'")
        if not self._has_imap:
            self._absent.append("IMAP, for aioimaplib is not installed: pip install 'asyncnet[imap]'")

    # Mail and pages.

    def _url(self, service: Any, starttls: bool = False) -> str:
        if self._tls is None:
            return str(service.url)
        return str(service.starttls_url if starttls else service.tls_url)

    async def _mail(self, lab: Lab) -> None:
        note = smtp.compose(
            "ada@example.com",
            to="me@example.org",
            subject="The engine runs",
            text="See the table.\n",
            attachments=[("table.csv", b"n,n!\n5,120\n")],
        )
        async with self._watching(lab) as seen:
            with self._step("SMTP") as said:
                await smtp.send(note, self._url(lab.smtp, True), lab.credentials, tls=self._tls, timeout=_TIMEOUT)
                said(f"sent {text.shown(str(note['Subject']))!r}, signed in" + (", by STARTTLS" if self._tls else ""))
            if seen is not None:
                with self._step("IMAP IDLE") as said:
                    said(f"saw it come: UID {await seen}")
        if self._has_imap:
            with self._step("IMAP") as said:
                [message] = await imap.fetch(self._url(lab.imap), lab.credentials, tls=self._tls, timeout=_TIMEOUT)
                names = [part.get_filename() for part in message.parse().iter_attachments()]
                said(f"fetched {text.size(len(message.raw))}, attached: {', '.join(map(str, names))}")
        with self._step("POP3") as said:
            drop = await pop3.fetch(self._url(lab.pop3), lab.credentials, tls=self._tls, timeout=_TIMEOUT)
            said(f"fetched {text.number(len(drop), 'message')}, {text.size(len(drop[0].raw))}")
            self._subject = str(drop[0].parse()["Subject"])

    @contextlib.asynccontextmanager
    async def _watching(self, lab: Lab) -> AsyncIterator[asyncio.Task[int] | None]:
        """Watch the mailbox from before the mail is sent."""
        if not self._has_imap:
            yield None
            return
        async with imap.watch(self._url(lab.imap), lab.credentials, tls=self._tls, timeout=_TIMEOUT) as watch:

            async def arrival() -> int:
                async with asyncio.timeout(_TIMEOUT):
                    return int((await anext(watch)).message.uid or 0)

            seeing = asyncio.create_task(arrival())
            try:
                while watch.state is None and not seeing.done():  # noqa: ASYNC110 - a watch tells of mail alone
                    await asyncio.sleep(0.002)
                yield seeing
            finally:
                seeing.cancel()
                await asyncio.wait([seeing])

    async def _web(self, lab: Lab) -> None:
        with self._step("HTTP") as said:
            url = f"{self._url(lab.http)}/webhook/mail"
            answer = await http.post(url, json={"subject": self._subject}, tls=self._tls, timeout=_TIMEOUT)
            said(f"posted it to a webhook: {answer.status}, recorded {lab.requests[-1].json()}")
        with self._step("sockets") as said:
            async with asyncnet.connect(self._url(lab.echo), tls=self._tls, timeout=_TIMEOUT) as connection:
                await connection.write(b"is anybody there?\n")
                line = await connection.read_until(b"\n")
                said(f"the echo server answered {text.shown(line.decode().strip())!r}")

    async def _fault(self, lab: Lab) -> None:
        """Let a server break off, and show the error that comes of it."""
        with self._step("a fault") as said:
            lab.faults.on("pop3", "RETR", cut_after=100)
            try:
                await pop3.fetch(self._url(lab.pop3), lab.credentials, tls=self._tls, timeout=_TIMEOUT)
            except NetError as error:
                said(f"the server hung up after 100 bytes: {type(error).__name__}, worth trying again")
            else:
                raise AssertionError("the server did not hang up")
            finally:
                lab.faults.clear()

    # Jobs.

    async def _jobs(self, lab: Lab, other: Lab) -> None:
        with self._step("200 jobs") as said:
            report = jobs.Report(self._report, "asyncnet demo")
            retries = _Retries()
            work = list(self._work(lab, other.http.url.replace("127.0.0.1", "localhost")))
            with report.listening():
                async with asyncio.TaskGroup() as group:
                    running = group.create_task(
                        jobs.run(work, limit=32, per_host=16, timeout=30.0, observers=[report, retries])
                    )
                    async with other.http.down():
                        await asyncio.sleep(_OUTAGE)
            outcomes = running.result()
            done = sum(outcome.ok for outcome in outcomes)
            said(f"{done} of {len(outcomes)} done, {retries.count} retries while one host was away for {_OUTAGE:g} s")
            if done != len(outcomes):
                raise AssertionError(str(next(outcome.error for outcome in outcomes if not outcome.ok)))

    def _work(self, lab: Lab, weak: str) -> Iterator[jobs.Job[Any]]:
        """Make 200 jobs: pages, conversations over sockets, mailboxes, and some made of several."""
        good = lab.http.url
        for i in range(50):
            yield jobs.fetch(f"{good}/page/{i}", name=f"page {i}")
            yield jobs.fetch(f"{weak}/page/{i}", retry=_RETRY, name=f"page {i} of a host that comes back")
        for i in range(30):
            mirrors = jobs.fetch(f"{weak}/page/{i}"), jobs.fetch(f"{good}/slow?seconds=0.02")
            yield jobs.first_of(*mirrors, name=f"the first of two mirrors, {i}")
            yield jobs.exchange(lab.echo.url, b"%d\n" % i, until=b"\n", repeatable=True, name=f"echo {i}")
        for i in range(20):
            both = jobs.fetch(f"{weak}/bytes/{1000 * i}", retry=_RETRY), self._mailbox(lab)
            yield jobs.all_of(*both, name=f"a page and a mailbox, {i}")
            first = jobs.fetch(f"{good}/form?next={i}", name=f"a page, and the one that it names, {i}")
            yield first.then(partial(self._follow, good))

    def _follow(self, good: str, response: Any) -> jobs.Job[Any]:
        return jobs.fetch(f"{good}/page/{response.json()['params'][0][1]}")

    def _mailbox(self, lab: Lab) -> jobs.Job[Any]:
        if self._has_imap:
            return jobs.fetch(lab.imap.url, lab.credentials, retry=_RETRY)
        return jobs.fetch(f"{lab.http.url}/drip?bytes=20&seconds=0.1")

    # The table.

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step, and keep what is said of it; a failure of it is a row too, and the demo goes on."""
        words: list[str] = []
        began = time.perf_counter()
        good = True
        try:
            yield words.append
        except Exception as raised:
            error = first(raised)  # of tasks side by side
            if not isinstance(error, (NetError, AssertionError, TimeoutError)):
                raise
            words, good = [f"{type(error).__name__}: {text.shown(str(error))}"], False
        self._rows.append((name, " ".join(words), text.seconds(time.perf_counter() - began), good))

    def _print(self, seconds: float) -> None:
        write = Printer().write
        write(_table(self._rows))
        for what in self._absent:
            write(f"left out: {what}\n")
        write(f"\nAll of it in {text.seconds(seconds)}. The page about the jobs: {self._report.absolute().as_uri()}\n")
        write(_NEXT)


class _Retries(jobs.Observer):
    """Counts retries."""

    count = 0

    def retrying(self, job: jobs.Job[Any], error: Exception, delay: float) -> None:
        self.count += 1


def _is_installed(library: str) -> bool:
    with contextlib.suppress(ImportError):
        return importlib.util.find_spec(library) is not None
    return False


def _table(rows: list[tuple[str, str, str, bool]]) -> str:
    """Give the rows as a table: by `rich` if it is installed and this is a terminal, else as plain columns."""
    if sys.stdout.isatty() and _is_installed("rich"):
        return _rich_table(rows)
    width = max(len(name) for name, *_ in rows)
    return "".join(
        f"{'ok' if good else 'failed':<6}  {name:<{width}}  {took:>8}  {words}\n" for name, words, took, good in rows
    )


def _rich_table(rows: list[tuple[str, str, str, bool]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "step", "what came of it"):
        table.add_column(heading)
    table.add_column("time", justify="right", no_wrap=True)
    for name, words, took, good in rows:
        mark = Text("\u2714", style="green") if good else Text("\u2718", style="red")
        table.add_row(mark, Text(name, style="bold"), Text(words), Text(took, style="dim"))
    console = Console()
    with console.capture() as capture:
        console.print(table)
    return capture.get()
