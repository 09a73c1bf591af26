"""The helper that cancels at each await, tried on operations that behave, and on some that do not."""

import asyncio

import pytest

from tests import cancelling
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS


async def test_each_await_is_cancelled_once_and_in_order() -> None:
    log: list[str] = []

    async def operation() -> None:
        for name in "abc":
            try:
                await asyncio.sleep(0 if name == "b" else MS)
            except asyncio.CancelledError:
                log.append(name)
                raise
        log.append("whole")

    assert await cancelled_at_each_await(operation) == 3
    assert log == ["a", "b", "c", "whole"]


async def test_an_operation_without_awaits_runs_once() -> None:
    runs = 0

    async def operation() -> None:
        nonlocal runs
        runs += 1

    assert await cancelled_at_each_await(operation) == 0
    assert runs == 1


async def test_results_and_errors_pass_through_the_awaits_of_a_whole_run() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("as awaited")

    async def operation() -> None:
        assert await asyncio.sleep(0, "value") == "value"
        with pytest.raises(OSError, match="as awaited"):
            await asyncio.create_task(fails())

    assert await cancelled_at_each_await(operation) == 2


async def test_cancellation_is_not_taken_for_a_timeout() -> None:
    async def operation() -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)

    assert await cancelled_at_each_await(operation) == 1


async def test_an_operation_that_swallows_its_cancellation_is_told() -> None:
    async def operation() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "swallowed"
        return "whole"

    with pytest.raises(AssertionError, match="cancelled at await 1, the operation ended otherwise: 'swallowed'"):
        await cancelled_at_each_await(operation)


async def test_an_operation_that_turns_it_into_an_error_is_told() -> None:
    async def operation() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise OSError("turned") from None

    with pytest.raises(AssertionError, match="turned"):
        await cancelled_at_each_await(operation)


async def test_an_operation_that_says_a_long_farewell_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    farewell = asyncio.Event()
    monkeypatch.setattr(cancelling, "PROMPT", 20 * MS)

    async def operation() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await farewell.wait()

    with pytest.raises(AssertionError, match="still runs"):
        await cancelled_at_each_await(operation)
    farewell.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_an_operation_that_fails_on_its_own_raises_that() -> None:
    async def operation() -> None:
        raise OSError("by itself")

    with pytest.raises(OSError, match="by itself"):
        await cancelled_at_each_await(operation)
