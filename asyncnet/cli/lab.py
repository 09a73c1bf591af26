"""lab: throw-away servers for any application to talk to, until a signal ends them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import asyncnet
from asyncnet import UsageError
from asyncnet.cli.options import said_options
from asyncnet.cli.output import Printer
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import DONE

if TYPE_CHECKING:
    from asyncnet import Lab

_PORT = click.IntRange(0, 65_535)
_PORTS = {
    "smtp": "SMTP, with STARTTLS",
    "smtps": "SMTP in TLS",
    "imap": "IMAP, with STARTTLS",
    "imaps": "IMAP in TLS",
    "pop3": "POP3, with STLS",
    "pop3s": "POP3 in TLS",
    "http": "HTTP and the page with the inbox",
    "https": "HTTP in TLS",
    "tcp": "the echo server",
    "tls": "the echo server in TLS",
}


def _port_options(function: Any) -> Any:
    for name, what in reversed(_PORTS.items()):
        function = click.option(f"--{name}", type=_PORT, metavar="PORT", default=0, help=f"For {what}.")(function)
    return function


@click.command()
@_port_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--domain", default="example.org", show_default=True, help="Whose mail comes in.")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="NAME",
    help="Somebody with mailboxes (again for more); the password is `secret` for all.  [default: me]",
)
@click.option("--chaos", "rate", type=click.FloatRange(0, 1), metavar="RATE", help="So many commands go wrong by lot.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same chaos.")
@click.option(
    "--ca", "ca_file", type=click.Path(dir_okay=False), metavar="FILE", help="Where to write the lab's CA, as PEM."
)
@said_options
def lab(
    host: str,
    domain: str,
    accounts: tuple[str, ...],
    rate: float | None,
    seed: int,
    ca_file: str | None,
    verbose: int,
    quiet: bool,
    **ports: int,
) -> int:
    """Run servers to test against: SMTP, IMAP, POP3, HTTP and echo, over one memory.

    Mail sent to them is kept, appears by IMAP and POP3 and on a page in the browser, and goes nowhere else. Where they
    listen is printed on standard output: a table on a terminal, one line of JSON elsewhere. SIGINT and SIGTERM are the
    normal end, and the exit status is 0 then; all mail is gone with it.
    """
    from asyncnet import Lab  # the other commands do without

    secrets = dict.fromkeys(accounts or ("me",), "secret")
    made = Lab(accounts=secrets, domain=domain, host=host, ports={name: port for name, port in ports.items() if port})
    if rate is not None:
        made.chaos(seed, rate)
    screen = Screen(quiet=quiet, verbose=verbose)
    with screen.logs():
        asyncnet.run(_serve(made, ca_file, screen), signals=True)
    return DONE


async def _serve(lab: Lab, ca_file: str | None, screen: Screen) -> None:
    with tempfile.TemporaryDirectory(prefix="asyncnet-lab-") as folder:
        ca = _write_ca(lab, Path(ca_file) if ca_file is not None else Path(folder, "ca.pem"), screen, ca_file is None)
        async with lab:
            announce(_places(lab, ca), screen)
            await asyncio.Event().wait()


def _write_ca(lab: Lab, path: Path, screen: Screen, optional: bool) -> Path | None:
    try:
        pem = lab.ca_pem
    except UsageError as error:
        if not optional:
            raise
        screen.say(f"no TLS: {error}")
        return None
    try:
        path.write_bytes(pem)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path.absolute()


def _places(lab: Lab, ca: Path | None) -> dict[str, Any]:
    services = {"smtp": lab.smtp, "imap": lab.imap, "pop3": lab.pop3, "http": lab.http, "echo": lab.echo}
    urls: dict[str, Any] = {"page": f"{lab.http.url}/"}
    for name, service in services.items():
        urls[name] = service.url
        if ca is not None:
            urls[f"{name} in TLS"] = service.tls_url
    first = next(iter(lab.store.accounts.values()))
    urls |= {"username": first.username, "password": first.secret, "mail to": sorted(first.addresses)[0]}
    if ca is not None:
        urls["CA"] = os.fspath(ca)
    return urls


def announce(places: dict[str, Any], screen: Screen) -> None:
    """Print where the servers are: rows for people, JSON for programs."""
    if sys.stdout.isatty():
        width = max(map(len, places))
        Printer().write("".join(f"{name:<{width}}  {value}\n" for name, value in places.items()))
        screen.say("Ctrl-C ends it")
    else:
        Printer().write(json.dumps({name.replace(" ", "_").lower(): value for name, value in places.items()}) + "\n")
