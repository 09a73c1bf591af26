"""deadline.py: one call, one deadline, one error that names the phase; and cancellation that stays cancellation."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

import pytest

from asyncnet.deadline import Deadline, _alarms, deadline, phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, DeadlineError, UsageError
from tests.clock import MS
from tests.loops import on_both_loops

PLACE = Endpoint.parse("imap://localhost/INBOX?x=y")
SOON = 5 * MS
LATE = 10_000 * MS


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    async with deadline(LATE, PLACE, "RETR") as limit:
        await asyncio.sleep(0)
        assert 0 < limit.remaining() <= LATE
    assert cancellations() == 0


async def test_the_error_names_operation_place_seconds_and_the_last_phase() -> None:
    with pytest.raises(DeadlineError) as caught:
        async with deadline(SOON, PLACE, "open"):
            phase("resolve")
            phase("connect")
            await forever()
    error = caught.value
    assert str(error) == f"open imap://localhost/INBOX?...: not done within {SOON:g} seconds (in connect)"
    assert (error.seconds, error.operation, error.endpoint) == (SOON, "open", PLACE.redacted)
    assert error.transient
    assert isinstance(error, TimeoutError)
    assert cancellations() == 0


async def test_without_a_phase_the_error_names_none() -> None:
    with pytest.raises(DeadlineError, match=r"^RETR: not done within [\d.]+ seconds$"):
        async with deadline(SOON, None, "RETR"):
            await forever()
    with pytest.raises(DeadlineError, match=r"^RETR: not done within [\d.]+ seconds$"):
        async with deadline(SOON, None, "RETR"):
            phase("RETR")
            await forever()


async def test_the_inner_deadline_that_passes_first_is_the_one_that_is_raised() -> None:
    with pytest.raises(DeadlineError) as caught:
        async with deadline(LATE, PLACE, "outer"), deadline(SOON, PLACE, "inner"):
            phase("login")
            await forever()
    assert (caught.value.operation, caught.value.seconds) == ("inner", SOON)
    assert "(in login)" in str(caught.value)
    assert cancellations() == 0


async def test_the_outer_deadline_that_passes_first_is_raised_and_names_the_phase_inside() -> None:
    for inner in (LATE, None, math.inf):
        with pytest.raises(DeadlineError) as caught:
            async with deadline(SOON, PLACE, "outer"), deadline(inner, PLACE, "inner"):
                phase("TLS handshake")
                await forever()
        assert (caught.value.operation, caught.value.seconds) == ("outer", SOON)
        assert "(in TLS handshake)" in str(caught.value)
    assert cancellations() == 0


async def test_the_outer_deadline_names_the_operation_inside_where_that_named_no_phase() -> None:
    with pytest.raises(DeadlineError, match=r"\(in RETR\)"):
        async with deadline(SOON, PLACE, "fetch"):
            async with deadline(LATE, PLACE, "LIST"):
                pass
            async with deadline(LATE, PLACE, "RETR"):
                await forever()


async def test_both_deadlines_at_once_are_one_error_of_the_outer() -> None:
    with pytest.raises(DeadlineError) as caught:
        async with deadline(0, PLACE, "outer"), deadline(0, PLACE, "inner"):
            await forever()
    assert caught.value.operation == "outer"
    assert cancellations() == 0


async def test_after_an_inner_deadline_the_outer_one_still_holds() -> None:
    with pytest.raises(DeadlineError) as caught:
        async with deadline(10 * SOON, PLACE, "outer"):
            with contextlib.suppress(DeadlineError):
                async with deadline(SOON, PLACE, "inner"):
                    await forever()
            phase("afterwards")
            await forever()
    assert caught.value.operation == "outer"
    assert "(in afterwards)" in str(caught.value)


async def test_a_phase_outside_of_any_deadline_is_nothing() -> None:
    phase("resolve")
    async with deadline(None) as limit:
        pass
    phase("later")
    assert limit.phase is None


async def test_a_phase_named_in_a_child_task_counts() -> None:
    async def child() -> None:
        phase("connect")
        await forever()

    with pytest.raises(DeadlineError, match=r"\(in connect\)"):
        async with deadline(SOON), asyncio.TaskGroup() as group:
            group.create_task(child())


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        async with deadline(LATE, PLACE, "outer"), deadline(LATE, PLACE, "inner"):
            await forever()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_from_outside_wins_over_a_deadline_that_passes_at_the_same_moment() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with deadline(0, PLACE, "work"):
            begun.set()
            await forever()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_asyncio_timeout_around_keeps_its_meaning() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(SOON), deadline(LATE, PLACE, "inner"):
            await forever()
    assert not isinstance(caught.value, DeadlineError)
    assert cancellations() == 0


async def test_a_deadline_inside_of_an_expiring_timeout_around_that_passes_first_is_a_deadline_error() -> None:
    with pytest.raises(DeadlineError):
        async with asyncio.timeout(LATE), deadline(SOON, PLACE, "inner"):
            await forever()
    assert cancellations() == 0


async def test_a_library_that_turns_our_cancellation_into_its_own_error_hides_no_deadline() -> None:
    async def library() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise ConnectionAbortedError("interrupted") from None

    with pytest.raises(DeadlineError) as caught:
        async with deadline(SOON, PLACE, "RETR"):
            await library()
    assert isinstance(caught.value.__cause__, ConnectionAbortedError)
    assert cancellations() == 0


async def test_a_library_that_swallows_our_cancellation_and_ends_well_has_ended_well() -> None:
    async with deadline(SOON, PLACE, "RETR"):
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        result = "all of it"
    assert result == "all of it"
    assert cancellations() == 0
    await asyncio.sleep(0)  # and nothing of the cancellation is left for the next await


async def test_an_error_of_the_block_itself_is_not_touched() -> None:
    with pytest.raises(ConnectError, match="no route"):
        async with deadline(LATE, PLACE, "open"):
            raise ConnectError("no route")
    with pytest.raises(KeyError):
        async with deadline(None):
            raise KeyError("a bug")


async def test_no_time_at_all_is_enough_for_what_never_waits() -> None:
    async with deadline(0, PLACE, "quick") as limit:
        assert limit.remaining() == 0
    with pytest.raises(DeadlineError, match="not done within 0 seconds"):
        async with deadline(0, PLACE, "slow"):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await forever()
    assert cancellations() == 0


@pytest.mark.parametrize("seconds", [None, math.inf])
async def test_no_limit_is_no_limit(seconds: float | None) -> None:
    async with deadline(seconds, PLACE, "open") as limit:
        assert limit.seconds is None
        assert limit.remaining() == math.inf
        await asyncio.sleep(MS)


@pytest.mark.parametrize("seconds", [-1, -0.001, -math.inf, math.nan])
def test_what_is_no_length_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="at least 0"):
        deadline(seconds, PLACE)


async def test_a_very_long_time_is_taken() -> None:
    async with deadline(1e300) as limit:
        assert limit.remaining() > 1e299


async def test_a_deadline_in_an_async_generator_may_be_closed_elsewhere() -> None:
    async def lines() -> AsyncIterator[int]:
        async with deadline(LATE, PLACE, "lines"):
            for number in range(10):
                yield number

    async def close(generator: AsyncIterator[int]) -> Deadline:
        async with deadline(LATE, PLACE, "elsewhere") as limit:
            await generator.aclose()  # type: ignore[attr-defined]
            phase("after the close")
        return limit

    generator = lines()
    assert await anext(generator) == 0
    limit = await asyncio.create_task(close(generator))
    assert limit.phase == "after the close"


async def test_a_deadline_in_an_async_generator_leaves_the_deadline_around_as_the_innermost() -> None:
    async def lines() -> AsyncIterator[int]:
        async with deadline(LATE, PLACE, "lines"):
            yield 1

    async with deadline(LATE, PLACE, "around") as limit:
        async for _ in lines():
            pass
        phase("after the lines")
    assert limit.phase == "after the lines"


async def test_a_deadline_error_does_not_drag_the_cancellation_along() -> None:
    with pytest.raises(DeadlineError) as caught:
        async with deadline(SOON):
            await forever()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_flood_of_ready_work_does_not_keep_a_deadline_from_firing() -> None:
    loop = asyncio.get_running_loop()
    over = False

    def flood() -> None:
        if not over:
            loop.call_soon(flood)

    for _ in range(10):
        flood()
    with pytest.raises(DeadlineError):
        async with deadline(SOON):
            await forever()
    over = True


async def test_a_plain_with_does_the_same() -> None:
    with deadline(LATE, PLACE, "quick") as limit:
        await asyncio.sleep(0)
        assert 0 < limit.remaining() <= LATE
    with pytest.raises(DeadlineError, match="in connect"):
        with deadline(SOON, PLACE, "open"):
            phase("connect")
            await forever()
    assert cancellations() == 0


async def test_each_of_many_deadlines_passes_in_its_own_time_and_in_any_order() -> None:
    passed: list[int] = []

    async def one(number: int) -> None:
        with pytest.raises(DeadlineError):
            async with deadline(number * 5 * MS, PLACE, str(number)):
                await forever()
        passed.append(number)

    order = [7, 1, 5, 3, 8, 2, 6, 4]
    await asyncio.gather(*(one(number) for number in order))
    assert passed == sorted(order)


async def test_deadlines_that_were_met_do_not_delay_or_hasten_the_others() -> None:
    async def one(number: int) -> None:
        async with deadline((number % 7 + 1) * MS if number % 2 else LATE, PLACE):
            await (forever() if number % 2 else asyncio.sleep(0))

    results = await asyncio.gather(*(one(number) for number in range(400)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), DeadlineError] * 200


async def test_what_was_met_is_forgotten() -> None:
    endpoints = [Endpoint("tcp", "localhost", port) for port in range(1, 5001)]
    for endpoint in endpoints:
        async with deadline(LATE, endpoint):
            pass
    alarm = _alarms.last
    assert alarm is not None
    assert len(alarm._heap) < 1000


def test_loops_by_turns_in_one_thread_keep_their_own_time() -> None:
    async def late() -> str:
        try:
            async with deadline(SOON, PLACE):
                await forever()
        except DeadlineError:
            return "passed"
        return "met"

    with asyncio.Runner() as one, asyncio.Runner() as other:
        task = one.get_loop().create_task(late())
        one.run(asyncio.sleep(0))
        assert other.run(late()) == "passed"
        assert one.run(asyncio.wait_for(task, LATE)) == "passed"


def test_outside_of_a_task_there_is_nothing_to_bound() -> None:
    with pytest.raises(RuntimeError):
        with deadline(LATE):
            pass
    with deadline(None):
        pass


@on_both_loops
async def test_both_loops_keep_time() -> None:
    with pytest.raises(DeadlineError):
        async with deadline(SOON):
            await forever()
    async with deadline(LATE):
        await asyncio.sleep(MS)
    assert cancellations() == 0


def cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()
