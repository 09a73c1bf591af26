"""The commands of `asyncnet`, together."""

from __future__ import annotations

import click

import asyncnet
from asyncnet.cli.check import check
from asyncnet.cli.demo import demo
from asyncnet.cli.echo import echo
from asyncnet.cli.fetch import fetch
from asyncnet.cli.lab import lab
from asyncnet.cli.post import post
from asyncnet.cli.send import send
from asyncnet.cli.tally import USAGE


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, invoke_without_command=True
)
@click.version_option(asyncnet.__version__, prog_name="asyncnet")
@click.pass_context
def cli(context: click.Context) -> None:
    """Networking from the command line: servers, pages and mail, many at once.

    Exit status: 0 all done, 1 something failed for good, 2 wrong usage, 3 something failed but is worth trying again,
    130 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


for command in (check, demo, echo, fetch, lab, post, send):
    cli.add_command(command)
