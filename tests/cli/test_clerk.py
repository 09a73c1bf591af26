"""Clerk: blocking work in a thread, in order; and output that is written there."""

import asyncio
import threading

import pytest

from asyncnet.cli.clerk import Clerk
from asyncnet.cli.output import Output
from asyncnet.jobs import Outcome


async def test_results_and_errors_come_back():
    async with Clerk() as clerk:
        assert await clerk.do(lambda: threading.current_thread().name) == "asyncnet-clerk"
        with pytest.raises(KeyError):
            await clerk.do(lambda: {}["x"])


async def test_everything_is_done_in_order_before_the_block_is_left():
    done = []
    async with Clerk() as clerk:
        for number in range(100):
            clerk.do(lambda number=number: done.append(number))
    assert done == list(range(100))


async def test_a_clerk_without_work_has_no_thread():
    before = threading.active_count()
    async with Clerk():
        assert threading.active_count() == before


async def test_while_the_clerk_is_stuck_the_loop_goes_on_and_a_wait_can_be_given_up():
    stuck = threading.Event()
    begun: list[str] = []
    async with Clerk() as clerk:
        waiting = asyncio.ensure_future(clerk.do(stuck.wait))
        never = clerk.do(lambda: begun.append("given up before it began"))
        await asyncio.sleep(0)
        waiting.cancel()
        never.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        stuck.set()
    assert begun == []


async def test_leaving_by_an_error_does_not_wait_for_what_is_stuck():
    stuck = threading.Event()
    with pytest.raises(KeyError):
        async with Clerk() as clerk:
            clerk.do(stuck.wait)
            raise KeyError
    stuck.set()


def outcomes(count: int) -> list[Outcome]:
    return [Outcome(str(number)) for number in range(count)]


async def test_outcomes_are_written_in_order_and_in_batches():
    batches = []
    first = threading.Event()

    def write(batch):
        first.wait()
        batches.append([outcome.name for outcome in batch])

    async with Clerk() as clerk:
        output = Output(clerk, write)
        for outcome in outcomes(50):
            await output.put(outcome)
        first.set()
        await output.finish()
    assert [name for batch in batches for name in batch] == [str(number) for number in range(50)]
    assert len(batches) == 2, "what came while the first was written is the second batch"


async def test_a_writer_that_is_slow_holds_up_the_run_and_not_the_loop():
    slow = threading.Event()
    async with Clerk() as clerk:
        output = Output(clerk, lambda batch: slow.wait())

        async def fill():
            for outcome in outcomes(1000):
                await output.put(outcome)

        filling = asyncio.ensure_future(fill())
        for _ in range(2000):
            await asyncio.sleep(0)
        assert not filling.done()
        slow.set()
        await filling
        await output.finish()


async def test_a_write_that_fails_is_told_to_whoever_puts_the_next_and_at_the_end():
    def write(batch):
        raise BrokenPipeError

    async with Clerk() as clerk:
        output = Output(clerk, write)
        with pytest.raises(BrokenPipeError):
            for outcome in outcomes(1000):
                await output.put(outcome)
        with pytest.raises(BrokenPipeError):
            await output.finish()


async def test_giving_up_a_wait_loses_no_outcome():
    written = []
    slow = threading.Event()

    def write(batch):
        slow.wait()
        written.extend(outcome.name for outcome in batch)

    async with Clerk() as clerk:
        output = Output(clerk, write)
        await output.put(Outcome("a"))
        await output.put(Outcome("b"))
        finishing = asyncio.ensure_future(output.finish())
        await asyncio.sleep(0)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        slow.set()
        await output.finish()
    assert written == ["a", "b"]
