"""run(): an event loop from beginning to end, with uvloop and signals where they are asked for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asyncnet.errors import UsageError

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T], *, uvloop: bool = False, signals: bool = False, debug: bool | None = None
) -> T | None:
    """Run a coroutine to its end in a fresh event loop.

    Args:
        main: what to run.
        uvloop: use uvloop (extra `uvloop`), which is faster for small plain messages and slower for some others.
        signals: let SIGINT and SIGTERM cancel `main` once, so that servers in it stop accepting and let running
            exchanges end within their grace; a second signal cuts those short. Where `main` ends by that, None is
            returned: a signal is the normal end of a service.
        debug: asyncio's debug mode; None leaves it to `PYTHONASYNCIODEBUG`.

    Raises:
        UsageError: uvloop is asked for but not installed, or signals outside of the main thread.
        KeyboardInterrupt: SIGINT came and `signals` is off.
        Exception: whatever `main` raises.
    """
    factory = None
    if uvloop:
        try:
            factory = _uvloop()
        except UsageError:
            main.close()
            raise
    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        return runner.run(_with_signals(main) if signals else main)


async def _with_signals(main: Coroutine[Any, Any, T]) -> T | None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
    except (RuntimeError, ValueError) as error:
        main.close()
        raise UsageError("signals reach the main thread alone; run there, or without signals=True") from error
    try:
        return await main
    except asyncio.CancelledError:
        if not received:
            raise
        while task.cancelling():
            task.uncancel()
        return None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(number)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError as error:
        raise UsageError("uvloop is not installed: pip install 'asyncnet[uvloop]'") from error
    return uvloop.new_event_loop
