"""demo: everything at once on this machine: a lab comes up, mail and pages go round, 200 jobs get past a dead host."""

from __future__ import annotations

from pathlib import Path

import click

from asyncnet.cli.loop import completed


@click.command()
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    default="asyncnet-demo.html",
    show_default=True,
    metavar="FILE",
    help="Where to write the page about the 200 jobs.",
)
def demo(report: str) -> int:
    """Show what asyncnet does, on servers of its own on this machine, in a few seconds.

    Mail is sent by SMTP, seen by IMAP IDLE, fetched by IMAP and POP3 and posted to a web server; an echo server
    answers; 200 composed jobs run while one host is away. Nothing leaves this machine, and nothing stays but the page.
    """
    from asyncnet.cli.demonstration import Demonstration  # all protocols: the other commands do without

    return completed(Demonstration(Path(report)).run())
