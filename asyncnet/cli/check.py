"""check: are these endpoints well? One look at each, all at once, told in the order in which they were given."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import click

import asyncnet
from asyncnet import Endpoint, Health, jobs
from asyncnet.cli import text
from asyncnet.cli.clerk import Clerk
from asyncnet.cli.login import Login
from asyncnet.cli.loop import completed
from asyncnet.cli.options import network_options, said_options, secret_options, trust, trust_for
from asyncnet.cli.output import Printer, painter
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import Tally

_AT_ONCE = 16
HEADING = f"{'health':<8} {'time':>9} {'TLS':<8} {'days':>5}  {'answer':<28}  endpoint"
_STYLES = {"well": "green", "expires": "yellow", "failed": "red"}


@click.command(short_help="Look whether endpoints are well: name, port, TLS, greeting, login.")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--login", "signs_in", is_flag=True, help="Sign in as well, where mail is kept or the URL names a user.")
@click.option(
    "--warn-days",
    type=click.IntRange(min=0),
    metavar="N",
    default=14,
    show_default=True,
    help="Take a certificate that ends within N days for a failure.",
)
@click.option(
    "--output",
    type=click.Choice(["json", "table"]),
    help="What to print: JSON lines, or a table.  [default: a table on a terminal, else json]",
)
@network_options
@secret_options
@said_options
def check(urls: tuple[str, ...], quiet: bool, verbose: int, **options: Any) -> int:
    """Look whether endpoints are well: the name, the port, TLS and its certificate, the greeting, and a login.

    Any mix of http, https, imap, imaps, imap+starttls, pop3..., smtp..., lmtp, tcp, tls and unix. Nothing is changed
    there: no mail is sent, no mailbox opened; HTTP is asked by HEAD. A status of 400 or more is a failure; a redirect
    is none, and is not followed.

    With --login the user comes from the URL or --username, and the secret as for `asyncnet fetch`.

    Exit status: 0 all are well, 1 something failed for good or a certificate ends soon, 2 wrong usage, 3 something
    failed but is worth trying again.
    """
    endpoints = [Endpoint.parse(url) for url in urls]
    return completed(Checking(endpoints, options, Screen(quiet=quiet, verbose=verbose)).main())


class Checking:
    """One run of the command."""

    def __init__(self, endpoints: list[Endpoint], options: dict[str, Any], screen: Screen) -> None:
        self._endpoints = endpoints
        self._options = options
        self._screen = screen
        self._tally = Tally()
        self._printer = Printer()
        self._is_table = options["output"] == "table" or (options["output"] is None and sys.stdout.isatty())
        self._paint: Callable[[str, str], str] = painter() if sys.stdout.isatty() else lambda line, _: f"{line}\n"
        self._context = trust(options["ca"])
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def main(self) -> int:
        """Check everything, print what was found, and give the exit status."""
        options = self._options
        login = Login(
            options["username"], options["password_command"], options["token_command"], asking=self._screen.asking
        )
        for protocol in {endpoint.protocol for endpoint in self._endpoints} - {"tcp"}:
            getattr(asyncnet, protocol)  # loaded now, lest that counts as a server's time
        with self._screen.logs():
            # One after the other: somebody may have to be asked on the terminal.
            who = [await self._credentials(login, endpoint) for endpoint in self._endpoints]
            async with Clerk() as clerk, asyncio.TaskGroup() as group:
                if self._is_table:
                    await clerk.do(lambda: self._printer.write(f"{HEADING}\n"))
                checks = [
                    group.create_task(self._checked(endpoint, credentials))
                    for endpoint, credentials in zip(self._endpoints, who, strict=True)
                ]
                for task in checks:
                    await self._tell(clerk, await task)
        return self._tally.status

    async def _credentials(self, login: Login, endpoint: Endpoint) -> asyncnet.Credentials | None:
        if not self._options["signs_in"] or endpoint.protocol == "tcp":
            return None
        return await login.credentials(endpoint)

    async def _checked(self, endpoint: Endpoint, credentials: asyncnet.Credentials | None) -> Health:
        options = self._options
        async with self._free:
            return await asyncnet.check(
                endpoint,
                credentials,
                tls=trust_for(endpoint, self._context),
                timeout=options["timeout"],
                proxy=options["proxy"],
                allow_plaintext_login=options["allow_plaintext_login"],
            )

    async def _tell(self, clerk: Clerk, health: Health) -> None:
        warning = ends_soon(health, self._options["warn_days"])
        if health.error is not None:
            self._tally.failed_by(transient=health.error.transient)
        elif warning is not None:
            self._tally.failed_by(transient=False)
        else:
            self._tally.succeeded()
        self._screen.clear()
        if self._is_table:
            state, line = row(health, warning)
            printed = self._paint(line, _STYLES[state])
        else:
            printed = jobs.json_line(record(health, warning))
        await clerk.do(lambda: self._printer.write(printed))
        if health.error is not None:
            self._screen.tell(health.error)
        elif warning is not None:
            self._screen.say(f"warning: {text.shown(health.endpoint)}: {warning}")


def ends_soon(health: Health, days: int) -> str | None:
    """Say that the certificate ends within so many days, if it does."""
    left = health.days_left
    if left is None or left >= days:
        return None
    return f"the certificate ends in {left:.0f} days" if left >= 1 else "the certificate ends today"


def row(health: Health, warning: str | None) -> tuple[str, str]:
    """Give the state, and the row for people, under `HEADING`."""
    state = "failed" if health.error is not None else "expires" if warning is not None else "well"
    version = health.tls.version if health.tls is not None else "-"
    days = "-" if health.days_left is None else f"{health.days_left:.0f}"
    answer = health.greeting if health.ok else f"{type(health.error).__name__} in {health.failed}"
    cells = f"{state:<8} {text.seconds(health.seconds):>9} {version:<8} {days:>5}"
    return state, f"{cells}  {text.shown(answer, most=25):<28}  {text.shown(health.endpoint)}"


def record(health: Health, warning: str | None) -> dict[str, Any]:
    """Give the JSON object of a check."""
    found: dict[str, Any] = {
        "url": health.endpoint,
        "ok": health.ok and warning is None,
        "seconds": round(health.seconds, 6),
        "steps": [
            {"name": step.name, "seconds": round(step.seconds, 6), "detail": step.detail} for step in health.steps
        ],
        "greeting": health.greeting,
        "capabilities": list(health.capabilities),
    }
    if health.tls is not None:
        found["tls"] = {
            "version": health.tls.version,
            "cipher": health.tls.cipher,
            "subject": health.subject,
            "issuer": health.issuer,
            "expires": health.expires and health.expires.isoformat(),
            "days_left": None if health.days_left is None else round(health.days_left, 2),
        }
    if health.error is not None:
        found["failed"] = health.failed
        found["error"] = jobs.error_record(health.error)
    if warning is not None:
        found["warning"] = warning
    return found
