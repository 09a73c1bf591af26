"""fetch: many URLs of many protocols at once, on the jobs of the library."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from asyncnet import InvalidEndpoint, Retry, UsageError, jobs
from asyncnet.cli import text
from asyncnet.cli.clerk import Clerk
from asyncnet.cli.folder import Folder
from asyncnet.cli.lines import lines
from asyncnet.cli.login import Login
from asyncnet.cli.loop import completed
from asyncnet.cli.options import COUNT, SIZE, network_options, parsed, said_options, secret_options, trust, trust_for
from asyncnet.cli.output import HEADING, Outcome, Output, Printer, json_line, painter, record, row, saved, weight
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import FAILED, Tally, is_transient

_LAST_SECONDS = 1.0
"""How long an interrupted run goes on writing what had been fetched by then."""

FETCHED = ("http", "imap", "pop3", "tcp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said."""

    urls: tuple[str, ...]
    inputs: tuple[str, ...]
    folder: str | None
    output: str | None
    limit: int
    per_host: int
    retries: int
    max_bytes: int
    max_messages: int
    max_total_bytes: int
    timeout: float
    ca: str | None
    proxy: str | None
    username: str | None
    password_command: str | None
    token_command: str | None
    allow_plaintext_login: bool
    quiet: bool
    verbose: int


@click.command(short_help="Fetch URLs at once: pages, mailboxes, sockets.")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="FILE",
    help="Fetch the URLs in FILE, one a line, as well; `-` is standard input.",
)
@click.option("-o", "folder", metavar="DIR", help="Save each body and each message as a file of its own in DIR.")
@click.option(
    "--output",
    type=click.Choice(["json", "table"]),
    help="What to print: JSON lines, or a table.  [default: a table on a terminal, else json]",
)
@click.option("--limit", type=COUNT, metavar="N", default=64, show_default=True, help="How many fetches run at once.")
@click.option("--per-host", type=COUNT, metavar="N", default=8, show_default=True, help="How many of them at one host.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="How often to try again what failed for now, such as 503.",
)
@click.option(
    "--max-bytes", type=SIZE, default="64MiB", show_default=True, help="The most that a page or a socket may give."
)
@click.option(
    "--max-messages", type=COUNT, metavar="N", default=1000, show_default=True, help="The most messages of a mailbox."
)
@click.option(
    "--max-total-bytes", type=SIZE, default="256MiB", show_default=True, help="The most that its messages may have."
)
@network_options
@secret_options
@said_options
def fetch(**options: Any) -> int:
    """Fetch URLs at once: pages, mailboxes, maildrops, and what sockets send.

    Any mix of http, https, imap, imaps, imap+starttls, pop3, pop3s, pop3+starttls, tcp, tls and unix. A mailbox is
    imaps://alice@mail.example.org/INBOX, a search in it .../INBOX?UNSEEN. Results are printed as they come: without -o
    the JSON lines hold the bodies, as "text" where they are UTF-8, else as "base64".

    To sign in, name the user in the URL (for http that is needed, lest a secret goes to every site in a list), or use
    --username. The secret comes from --password-command, --token-command, ASYNCNET_PASSWORD, ASYNCNET_PASSWORD_FILE,
    ASYNCNET_TOKEN, ASYNCNET_TOKEN_FILE, ~/.netrc, or is asked for; it is never an argument.

    Exit status: 0 all done, 1 something failed for good, 2 wrong usage, 3 something failed but is worth trying again,
    130 interrupted (what had been fetched by then stays).
    """
    chosen = Options(**options)
    if not chosen.urls and not chosen.inputs:
        raise UsageError("nothing to fetch: give URLs, or -i FILE (-i - reads standard input)")
    return completed(Fetching(chosen).main())


class Fetching:
    """One run of the command."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._screen = Screen(quiet=options.quiet, verbose=options.verbose)
        self._login = Login(
            options.username, options.password_command, options.token_command, asking=self._screen.asking
        )
        self._trusted = trust(options.ca)
        self._retry = Retry(attempts=options.retries + 1) if options.retries else None
        self._folder = None if options.folder is None else Folder(options.folder)
        self._tally = Tally()
        self._heading = HEADING
        self._began = time.monotonic()
        self._printer = Printer()
        self._is_table = options.output == "table" or (options.output is None and sys.stdout.isatty())
        self._paint = painter() if self._is_table else None

    async def main(self) -> int:
        """Fetch everything, print it as it comes, and give the exit status."""
        # All of the command line first: what is wrong there is told before anything is sent.
        named = [await self._job(url) for url in self._options.urls]
        outcomes = jobs.as_completed(self._source(named), limit=self._options.limit, per_host=self._options.per_host)
        try:
            async with Clerk() as clerk, contextlib.aclosing(outcomes):
                with self._screen.logs():
                    await self._print(outcomes, Output(clerk, self._written))
        except BrokenPipeError:
            return FAILED  # whoever read what we print has had enough
        except asyncio.CancelledError:
            self._screen.say(f"interrupted: {self._tally}")
            raise
        if sys.stderr.isatty():
            self._screen.say(self._line())
        return self._tally.status

    async def _print(self, outcomes: AsyncIterator[Outcome], output: Output) -> None:
        async with self._screen.progress(self._line):
            try:
                async for outcome in outcomes:
                    self._count(outcome)
                    await output.put(outcome)
            except asyncio.CancelledError:
                # What has come stays, unless whoever reads it does not read.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_SECONDS):
                        await output.finish()
                raise
            except UsageError:  # a list that cannot be read: what has come is written nevertheless
                await output.finish()
                raise
            await output.finish()

    async def _source(self, named: list[jobs.Job[Any]]) -> AsyncGenerator[jobs.Job[Any] | str, None]:
        for job in named:
            yield job
        for path in self._options.inputs:
            async with contextlib.aclosing(lines(path)) as urls:
                async for url in urls:
                    yield await self._listed(url)

    async def _listed(self, url: str) -> jobs.Job[Any] | str:
        """Make a job of a line; what is wrong with it is its own failure."""
        try:
            return await self._job(url)
        except InvalidEndpoint:
            return url  # the run tells it, without what might be a password in it
        except UsageError as error:
            return jobs.call(_fail, error, name=url)

    async def _job(self, url: str) -> jobs.Job[Any]:
        options = self._options
        endpoint = parsed(url, *FETCHED)
        return jobs.fetch(
            endpoint,
            await self._login.credentials(endpoint, by_default=endpoint.protocol != "http"),
            name=url,
            timeout=options.timeout,
            retry=self._retry,
            tls=trust_for(endpoint, self._trusted),
            proxy=options.proxy,
            allow_plaintext_login=options.allow_plaintext_login,
            max_bytes=options.max_bytes,
            max_messages=options.max_messages,
            max_total_bytes=options.max_total_bytes,
        )

    def _count(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._tally.succeeded(weight(outcome.value))
        else:
            self._tally.failed_by(transient=is_transient(outcome.error))

    def _written(self, batch: list[Outcome]) -> None:
        """Print outcomes; in the clerk's thread."""
        for outcome in batch:
            files = None if self._folder is None else saved(outcome, self._folder)
            if self._paint is None:
                self._printer.write(json_line(record(outcome, files)))
            else:
                self._screen.clear()
                self._printer.write(self._rows(outcome, files))
            if outcome.error is not None:
                self._screen.tell(outcome.error, _redacted(outcome.name))

    def _rows(self, outcome: Outcome, files: list[str] | None) -> str:
        assert self._paint is not None
        heading, self._heading = self._heading, ""
        where = f" -> {files[0] if len(files) == 1 else self._options.folder}" if files else ""
        style = "" if outcome.ok else "red" if not is_transient(outcome.error) else "yellow"
        return (self._paint(heading, "bold") if heading else "") + self._paint(row(outcome) + where, style)

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        amount, rate = self._tally.received_bytes, (self._tally.done + self._tally.failures) / max(seconds, 0.001)
        return f"{self._tally}, {text.size(amount)} in {text.seconds(seconds)}, {rate:.1f} a second"


async def _fail(error: UsageError) -> NoReturn:
    raise error


def _redacted(url: str) -> str:
    return f"{url.partition('?')[0]}?..." if "?" in url else url
