"""fetch: many URLs of many protocols at once, on the jobs of the library; the command and what it can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from asyncnet import UsageError
from asyncnet.cli.fetching import Fetching
from asyncnet.cli.loop import completed
from asyncnet.cli.options import (
    COUNT,
    RATE,
    SECONDS,
    SIZE,
    header_option,
    network_options,
    said_options,
    secret_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said."""

    urls: tuple[str, ...]
    inputs: tuple[str, ...]
    headers: tuple[str, ...]
    target: str | None
    output: str | None
    limit: int
    per_host: int
    adaptive: bool
    rate: float | None
    rate_per_host: float | None
    retries: int
    total_timeout: float | None
    journal: str | None
    resume: bool
    dedup: str | None
    report: str | None
    failed: str | None
    dry_run: bool
    cluster: str | None
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
    help="Do what FILE lists as well, a URL or a JSON object a line; `-` is standard input.",
)
@header_option
@click.option(
    "-o",
    "target",
    metavar="TARGET",
    help="Keep results there: OUT.jsonl, OUT.sqlite, a folder (each body and message a file), "
    "a template such as 'out/{host}/{name}', or maildir:DIR.",
)
@click.option(
    "--output",
    type=click.Choice(["json", "table"]),
    help="What to print: JSON lines, or a table.  [default: a table on a terminal, else json]",
)
@click.option("--limit", type=COUNT, metavar="N", default=64, show_default=True, help="How many fetches run at once.")
@click.option("--per-host", type=COUNT, metavar="N", default=8, show_default=True, help="How many of them at one host.")
@click.option("--adaptive", is_flag=True, help="Find out how many a host takes well, beginning with --per-host.")
@click.option("--rate", type=RATE, metavar="N", help="Begin no more than N a second: 10, 10/s, 600/m.")
@click.option("--rate-per-host", type=RATE, metavar="N", help="The same for each host.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="How often to try again what failed for now, such as 503.",
)
@click.option("--total-timeout", type=SECONDS, metavar="SECONDS", help="End the whole run after so many seconds.")
@click.option("--journal", metavar="DIR", help="Write down what is done, so that a killed run can be resumed.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run of --journal, if there is one; give the same list again."
)
@click.option(
    "--dedup",
    type=click.Choice(["skip", "refuse"]),
    help="Leave out what was asked for before, or end the run.  [default: skip with --journal]",
)
@click.option("--report", metavar="FILE", help="Write a page (HTML) about the run: times, errors, hosts, a waterfall.")
@click.option("--failed", metavar="FILE", help="Write the lines of what failed, to be given to -i again.")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Do it on the workers of a Dask scheduler, tls://HOST:8786, or of this machine: `local`. They find the "
    "secrets that they need by themselves.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
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

    A line of a list is a URL, or a JSON object: {"url": ..., "name": ..., "headers": ..., "sha256": ...}, and with
    "method": "POST", "EXCHANGE" or "SEND" also what is sent ("body", "json", "form", "idempotency_key"...).

    To sign in, name the user in the URL (for http that is needed, lest a secret goes to every site in a list), or use
    --username. The secret comes from --password-command, --token-command, ASYNCNET_PASSWORD, ASYNCNET_PASSWORD_FILE,
    ASYNCNET_TOKEN, ASYNCNET_TOKEN_FILE, ~/.netrc, or is asked for; it is never an argument.

    With --journal, a run that was killed goes on with --resume and the same list: what has ended is not done again, and
    what -o OUT.jsonl holds is whole and not doubled.

    Exit status: 0 all done, 1 something failed for good, 2 wrong usage, 3 something failed but is worth trying again,
    130 interrupted (what had been fetched by then stays).
    """
    chosen = Options(**options)
    if not chosen.urls and not chosen.inputs:
        raise UsageError("nothing to fetch: give URLs, or -i FILE (-i - reads standard input)")
    if chosen.resume and chosen.journal is None:
        raise UsageError("--resume goes on with a journal: name it with --journal DIR")
    if chosen.cluster is not None and chosen.ca is not None:
        raise UsageError("--ca does not travel to a cluster: let its workers trust the authority (SSL_CERT_FILE there)")
    return completed(Fetching(chosen).main())
