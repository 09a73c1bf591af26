"""Cancel an operation at each of its awaits, one run after the other: whatever it leaves behind then shows.

async def fetch():
    async with asyncnet.connect(...) as connection:
        await connection.read_until(b"\\r\\n")

async with Script("S: hello\\nsilence", repeat=True, check=False) as peer:
    assert await cancelled_at_each_await(fetch) > 3
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from tests.clock import MS

PROMPT = 2_000 * MS
"""Seconds from the cancellation to the end of the operation: far more than it takes, far less than a farewell."""
_MOST = 5_000
"""Awaits in one run beyond which the operation is taken for an endless one."""


async def cancelled_at_each_await(operation: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Run `operation` cancelled at its first await, then anew at its second, and so on, until a run gets through.

    Returns how many runs were cancelled. Awaits are those at which the operation's own task gives way to the loop;
    those of its child tasks are not counted.

    Raises:
        AssertionError: a cancelled run returned, raised something else, or took more than PROMPT seconds to end.
    """
    for position in range(1, _MOST):
        run = _Run(operation(), position)
        task = asyncio.create_task(run.whole(), name=f"cancelled at await {position}")
        either: set[asyncio.Future[Any]] = {task, run.reached}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not run.reached.done():
            await task
            return position - 1
        await asyncio.wait({task}, timeout=PROMPT)
        _judge(task, position)
    raise AssertionError(f"the operation did not end within {_MOST} awaits")


class _Run:
    """One run of the operation, which is cancelled as it begins to wait for the `position`th time."""

    def __init__(self, coroutine: Awaitable[object], position: int) -> None:
        self._coroutine = coroutine
        self._position = position
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def whole(self) -> object:
        return await self

    def __await__(self) -> Generator[Any, Any, object]:
        steps = self._coroutine.__await__()
        advance: Callable[[Any], Any] = steps.send
        value: Any = None
        count = 0
        while True:
            try:
                awaited = advance(value)
            except StopIteration as stop:
                return stop.value
            count += 1
            if count == self._position:
                self.reached.set_result(None)
                task = asyncio.current_task()
                assert task
                task.cancel()  # delivered where `awaited` would have been waited for
            try:
                value = yield awaited
                advance = steps.send
            except BaseException as error:
                value, advance = error, steps.throw


def _judge(task: "asyncio.Task[object]", position: int) -> None:
    where = f"cancelled at await {position}, the operation"
    if not task.done():
        stack = task.get_stack(limit=1)
        raise AssertionError(f"{where} still runs after {PROMPT:g} s, in {stack}")
    if not task.cancelled():
        raise AssertionError(f"{where} ended otherwise: {task.exception() or task.result()!r}") from task.exception()
