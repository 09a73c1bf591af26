"""The event loop of a command that ends by itself."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncnet
from asyncnet.cli.tally import INTERRUPTED

T = TypeVar("T")


def completed(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end and give its result.

    Of tasks side by side, the first that failed has ended the others: its error stands for them all.

    Raises:
        SystemExit: it was interrupted; the status is 130. A KeyboardInterrupt would make click write an empty line.
    """
    try:
        result: Any = asyncnet.run(main)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BaseExceptionGroup as errors:
        raise first(errors) from None
    return result  # type: ignore[no-any-return]


def first(error: BaseException) -> BaseException:
    """Give the first of a group of errors, or the one that is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
