"""main: arguments in, exit status out. Errors become a line or two on standard error, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from asyncnet import NetError, UsageError
from asyncnet.cli.commands import cli
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import DONE, FAILED, INTERRUPTED, LATER, USAGE, is_transient


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the program's name; None takes those of the process.

    Returns:
        The exit status: 0 all done, 1 something failed for good, 2 wrong usage, 3 something failed but is worth trying
        again, 130 interrupted.
    """
    _open_streams()
    try:
        return cli.main(args=None if argv is None else list(argv), prog_name="asyncnet", standalone_mode=False) or DONE
    except click.ClickException as error:
        return _misused(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except (NetError, OSError) as error:
        Screen().tell(error)
        return USAGE if isinstance(error, UsageError) else LATER if is_transient(error) else FAILED


def _open_streams() -> None:
    """Give closed streams a place to write to: a socket would be given their number, and what is printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def _misused(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "asyncnet"
    print(f"error: {error.format_message()}\n  see: {path} --help", file=sys.stderr)
    return USAGE
