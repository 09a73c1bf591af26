"""Calling: a command line is read and its command run; errors become a line or two on standard error, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from asyncnet import NetError, UsageError
from asyncnet.cli.commands import cli
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import DONE, FAILED, INTERRUPTED, LATER, USAGE, is_transient


def called(argv: Sequence[str] | None) -> int:
    """Run one command; gives the exit status."""
    try:
        return cli.main(args=None if argv is None else list(argv), prog_name="asyncnet", standalone_mode=False) or DONE
    except click.ClickException as error:
        return _misused(error)
    except (click.Abort, KeyboardInterrupt):
        Screen().say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except (NetError, OSError) as error:
        Screen().tell(error)
        return USAGE if isinstance(error, UsageError) else LATER if is_transient(error) else FAILED


def _misused(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "asyncnet"
    print(f"error: {error.format_message()}\n  see: {path} --help", file=sys.stderr)
    return USAGE
