"""Tests that run on asyncio's own loop and on uvloop, for sockets and transports are not the same there."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable

import pytest

from tests.leaks import stray_tasks


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test once on each loop; uvloop's turn is skipped where it is not installed. No async fixtures."""

    @functools.wraps(test)
    def runs(*args: object, loop_name: str, **kwargs: object) -> None:
        async def whole() -> None:
            before = asyncio.all_tasks()
            await test(*args, **kwargs)
            assert await stray_tasks(before) == []

        module = asyncio if loop_name == "asyncio" else pytest.importorskip(loop_name)
        with asyncio.Runner(loop_factory=module.new_event_loop) as runner:
            runner.run(whole())

    signature = inspect.signature(test)
    loop_name = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    runs.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop_name])  # type: ignore[attr-defined]
    del runs.__wrapped__  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])(runs)
