"""The contract of a foreign future between a task and its Wakeup, in every order of events."""

import asyncio
import contextvars
import gc
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable

import pytest

import asyncnet
from asyncnet.streams.connection import Connection
from asyncnet.streams.wakeup import Wakeup
from tests.clock import MS
from tests.loops import on_both_loops
from tests.streams.ends import PATIENCE, arrived, in_hand, joined, until

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


async def waiting(connection: Connection, name: str = "reader") -> "asyncio.Task[bytes]":
    """A task that waits for bytes."""
    task = asyncio.create_task(connection.read(), name=name)
    await asyncio.sleep(0)
    assert connection._protocol.readable.is_awaited
    return task


# Waking.


async def test_the_task_goes_on_within_the_callback() -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    done_within: list[bool] = []

    def callback() -> None:
        hand.feed(b"data")
        done_within.append(task.done())

    asyncio.get_running_loop().call_soon(callback)
    assert await task == b"data"
    assert done_within == [True]


async def test_where_another_task_runs_it_goes_on_afterwards() -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    hand.feed(b"da")
    hand.feed(b"ta")
    assert not task.done()
    assert await task + await connection.read() == b"data"


async def test_waking_nobody_does_nothing() -> None:
    connection, _ = in_hand()
    readable = connection._protocol.readable
    readable.wake()
    assert not readable.is_busy
    assert readable.done()
    assert not readable.cancelled()
    assert readable.exception() is None
    assert readable.cancel() is False


async def test_a_wakeup_that_was_not_for_it_lets_the_task_wait_on() -> None:
    connection, hand = in_hand()
    for read in (
        connection.read(4),
        connection.read_exactly(4),
        connection.read_until(b"a", max_bytes=10),
        connection.read_into(bytearray(4), min_bytes=4),
    ):
        task = asyncio.ensure_future(_run(read))
        await asyncio.sleep(0)
        for _ in range(3):
            connection._protocol.readable.wake()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not task.done()
        hand.feed(b"data")
        await task
        connection._protocol.drop()
        connection._protocol.barred = False


async def _run(awaitable: Awaitable[object]) -> object:
    return await awaitable


async def test_a_callback_can_be_taken_back() -> None:
    wakeup = Wakeup(asyncio.get_running_loop())
    called: list[object] = []
    wakeup.add_done_callback(called.append)
    assert wakeup.remove_done_callback(print) == 0
    assert wakeup.is_awaited
    assert wakeup.remove_done_callback(wakeup.callback) == 1  # type: ignore[arg-type]
    wakeup.wake()
    wakeup.add_done_callback(called.append)  # without a context, as nobody of asyncio's does
    wakeup.wake()
    await asyncio.sleep(0)
    assert called == [wakeup]


# Together with others.


def ready_with_others(*callbacks: Callable[[], object]) -> None:
    """Have the loop call them in one turn; `_ready` holds the later ones while the first is called."""
    for callback in callbacks:
        asyncio.get_running_loop().call_soon(callback)


async def test_tasks_of_one_turn_go_on_together_after_its_callbacks_in_their_order() -> None:
    pairs = [in_hand() for _ in range(3)]
    order: list[str] = []

    async def reading(number: int, connection: Connection) -> None:
        assert await connection.read() == b"data"
        order.append(f"task {number}")

    tasks = [asyncio.create_task(reading(number, pair[0])) for number, pair in enumerate(pairs)]
    await asyncio.sleep(0)

    def feed(number: int) -> None:
        order.append(f"bytes {number}")
        pairs[number][1].feed(b"data")

    ready_with_others(*(lambda number=number: feed(number) for number in (1, 0, 2)))  # type: ignore[misc]
    await asyncio.gather(*tasks)
    assert order == ["bytes 1", "bytes 0", "bytes 2", "task 1", "task 0", "task 2"]


async def test_a_large_chunk_is_used_at_once_while_small_ones_wait_for_the_others_of_their_turn() -> None:
    (large, large_hand), (small, small_hand) = in_hand(), in_hand()
    order: list[int] = []

    async def reading(connection: Connection) -> None:
        order.append(len(await connection.read()))

    tasks = [asyncio.create_task(reading(connection)) for connection in (large, small)]
    await asyncio.sleep(0)
    ready_with_others(lambda: small_hand.feed(bytes(16_383)), lambda: large_hand.feed(bytes(16_384)))
    await asyncio.gather(*tasks)
    assert order == [16_384, 16_383]


async def test_only_one_callback_of_the_loop_serves_all_of_them() -> None:
    """Else it would be of no use: this holds `_ready` to its meaning on each version of Python."""
    loop = asyncio.get_running_loop()
    pairs = [in_hand() for _ in range(5)]
    tasks = [await waiting(connection) for connection, _ in pairs]
    found: list[int] = []
    ready_with_others(*(lambda hand=hand: hand.feed(b"data") for _, hand in pairs))  # type: ignore[misc]
    loop.call_soon(lambda: found.append(len(loop._ready)))  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert found == [2]  # that one, and this task
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("late", ["cancel", "lose", "more"])
async def test_what_comes_between_the_wake_up_and_the_task(late: str) -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    acts: dict[str, Callable[[], object]] = {
        "cancel": lambda: task.cancel("too late"),
        "lose": lambda: connection._protocol.connection_lost(ConnectionResetError()),
        "more": lambda: hand.feed(b"more"),
    }
    ready_with_others(lambda: hand.feed(b"data"), acts[late], lambda: None)
    if late == "cancel":
        with pytest.raises(asyncio.CancelledError, match="too late"):
            await task
        assert await connection.read() == b"data"
    elif late == "lose":
        assert await task == b"data"
        with pytest.raises(asyncnet.DisconnectedError):
            await connection.read()
    else:
        first = await task
        assert first + await connection.read_exactly(8 - len(first)) == b"datamore"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_one_of_them_leaves_the_others_for_the_loops_next_run(kind: type[BaseException]) -> None:
    async def begin() -> list["asyncio.Task[bytes]"]:
        pairs = [in_hand() for _ in range(3)]

        async def reading(number: int, connection: Connection) -> bytes:
            data = await connection.read()
            if number == 1:
                raise kind
            return data

        tasks = [asyncio.create_task(reading(number, pair[0])) for number, pair in enumerate(pairs)]
        await asyncio.sleep(0)
        ready_with_others(*(lambda hand=hand: hand.feed(b"data") for _, hand in pairs), lambda: None)  # type: ignore[misc]
        return tasks

    loop = asyncio.new_event_loop()
    try:
        tasks = loop.run_until_complete(begin())
        with pytest.raises(kind):
            loop.run_until_complete(asyncio.sleep(PATIENCE))
        assert loop.run_until_complete(tasks[2]) == b"data"
        assert tasks[0].result() == b"data"
        with pytest.raises(kind):
            tasks[1].result()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


# Cancelling.


@pytest.mark.parametrize("message", [None, "enough"])
async def test_cancelled_before_it_is_woken(message: str | None) -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    assert task.cancel(message) is True
    hand.feed(b"data")
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.args == ((message,) if message else ())
    assert await connection.read() == b"data"


async def test_cancelled_after_it_was_woken_and_before_it_runs() -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    hand.feed(b"data")
    task.cancel("too late")
    with pytest.raises(asyncio.CancelledError, match="too late"):
        await task
    assert await connection.read() == b"data"


async def test_cancelled_twice_and_cancelled_while_it_cleans_up() -> None:
    connection, hand = in_hand()
    cleaned: list[str] = []

    async def stubborn() -> bytes:
        try:
            return await connection.read()
        except asyncio.CancelledError:
            cleaned.append("first")
            try:
                return await connection.read()
            except asyncio.CancelledError:
                cleaned.append("second")
                return await connection.read()

    task = asyncio.create_task(stubborn())
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert cleaned == ["first", "second"]
    hand.feed(b"data")
    assert await task == b"data"
    assert task.cancelling() == 4


async def test_cancelled_before_its_first_step() -> None:
    connection, hand = in_hand()
    task = asyncio.create_task(connection.read())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not connection._protocol.readable.is_busy
    hand.feed(b"data")
    assert await connection.read() == b"data"


async def test_cancelled_by_itself_before_it_waits() -> None:
    connection, hand = in_hand()

    async def hopeless() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("myself")
        await connection.read()

    with pytest.raises(asyncio.CancelledError, match="myself"):
        await asyncio.create_task(hopeless())
    hand.feed(b"data")
    assert await connection.read() == b"data"


async def test_nested_timeouts_and_groups() -> None:
    connection, hand = in_hand()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            async with asyncio.timeout(2 * MS):
                await connection.read()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * MS):
            async with asyncio.timeout(PATIENCE):
                await connection.read()
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.read())
            group.create_task(failing())
    hand.feed(b"data")
    async with asyncio.timeout(0):
        assert await connection.read() == b"data"


async def failing() -> None:
    raise ValueError("on purpose")


async def test_gather_wait_and_shield_work() -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    done, pending = await asyncio.wait({task}, timeout=MS)
    assert (done, pending) == (set(), {task})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(MS):
            await asyncio.shield(task)
    hand.feed(b"data")
    assert await asyncio.gather(task) == [b"data"]


# Contexts, tasks, and how they are shown.


async def test_context_variables_are_kept() -> None:
    connection, hand = in_hand()

    async def reading() -> str:
        variable.set("the reader's")
        await connection.read()
        seen = variable.get()
        variable.set("changed")
        await connection.read()
        return seen + ", " + variable.get()

    task = asyncio.create_task(reading())
    await asyncio.sleep(0)
    for _ in range(2):
        asyncio.get_running_loop().call_soon(hand.feed, b"data")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await task == "the reader's, changed"
    assert variable.get() == "nothing"


async def test_a_task_may_run_in_the_context_of_the_one_that_made_it() -> None:
    connection, hand = in_hand()
    context = contextvars.copy_context()
    task = asyncio.create_task(connection.read(), context=context)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(hand.feed, b"data", context=contextvars.copy_context())
    assert await task == b"data"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_read_and_are_cancelled() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with joined() as (connection, end):
            task = asyncio.create_task(connection.read())
            assert connection._protocol.readable.is_awaited  # it has run up to here at once
            await end.send(b"data")
            assert await task == b"data"
            task = asyncio.create_task(connection.read())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await end.send(b"more")
            await arrived(connection, 8)
            task = asyncio.create_task(connection.read())
            assert task.done()
            assert await task == b"more"

    asyncio.run(main())


@on_both_loops
async def test_debug_mode_and_the_pictures_of_tasks() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = PATIENCE
    async with joined() as (connection, end):
        task = await waiting(connection, "the one that waits")
        assert task in asyncio.all_tasks()
        assert "the one that waits" in repr(task)
        assert task.get_stack()
        await end.send(b"data")
        assert await task == b"data"
    loop.set_debug(False)


async def test_pure_python_tasks_read_too() -> None:
    connection, hand = in_hand()
    loop = asyncio.get_running_loop()
    task: asyncio.Task[bytes] = asyncio.tasks._PyTask(connection.read(), loop=loop)  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    hand.feed(b"data")
    while not task.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert task.result() == b"data"


async def test_nothing_is_kept_alive_by_a_wait_that_ended() -> None:
    connection, hand = in_hand()
    task = await waiting(connection)
    hand.feed(b"data")
    await task
    gone = weakref.ref(task)
    del task
    await asyncio.sleep(0)  # the loop itself holds it as long as the callback runs that woke us
    gc.collect()
    assert gone() is None


async def test_a_pending_reader_that_is_dropped_is_told_by_asyncio_alone(caplog: pytest.LogCaptureFixture) -> None:
    connection, hand = in_hand()
    coroutine = connection.read()
    coroutine.send(None)
    coroutine.close()  # as the collector does it
    assert not connection._protocol.readable.is_busy
    hand.feed(b"data")
    assert await connection.read() == b"data"


# What the resumed task may do.


@on_both_loops
async def test_an_error_in_the_resumed_task_is_its_own() -> None:
    async with joined() as (connection, end):

        async def reading() -> None:
            await connection.read()
            raise ValueError("on purpose")

        task = asyncio.create_task(reading())
        await end.send(b"data")
        with pytest.raises(ValueError, match="on purpose"):
            await task
        await end.send(b"still open")
        assert await connection.read() == b"still open"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_an_exit_in_the_resumed_task_ends_the_loop_and_not_the_connection(
    kind: type[BaseException], loop_name: str
) -> None:
    alive: list[bool] = []

    async def main() -> None:
        async with joined() as (connection, end):

            async def reading() -> None:
                await connection.read()
                raise kind

            task = asyncio.create_task(reading())
            await end.send(b"data")
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                alive.append(not connection.is_closed)
                assert task.done()
                with pytest.raises(kind):
                    task.result()

    module = asyncio if loop_name == "asyncio" else pytest.importorskip(loop_name)
    with pytest.raises(kind), asyncio.Runner(loop_factory=module.new_event_loop) as runner:
        runner.run(main())
    assert alive == [True]


@on_both_loops
async def test_the_resumed_task_may_close_abort_or_hand_over() -> None:
    for action in (Connection.aclose, _abort, _take_reader, _start_and_cancel):
        async with joined() as (connection, end):
            task = asyncio.create_task(_read_and(connection, action))
            await end.send(b"data" * 20_000)
            await task


async def _read_and(connection: Connection, action: Callable[[Connection], Awaitable[object]]) -> None:
    assert await connection.read()
    await action(connection)


async def _abort(connection: Connection) -> None:
    connection.abort()


async def _take_reader(connection: Connection) -> None:
    assert await connection.reader.readexactly(1000)


async def _start_and_cancel(connection: Connection) -> None:
    task = asyncio.create_task(connection.read_exactly(1_000_000))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert await connection.read()


# Fairness.


@on_both_loops
async def test_an_endless_sender_starves_neither_timers_nor_others() -> None:
    """Its reader is resumed from the callback again and again, and so is never out of work."""
    async with joined() as (flooded, flood), joined() as (other, end):
        stop = threading.Event()
        thread = threading.Thread(target=_flood, args=(flood, stop))
        thread.start()
        eating = asyncio.create_task(_eat(flooded))
        try:
            await arrived(flooded, 1_000_000)
            for _ in range(20):
                await end.send(b"ping")
                assert await other.read(timeout=PATIENCE) == b"ping"
                before = time.monotonic()
                await asyncio.sleep(MS)
                assert time.monotonic() - before < 200 * MS
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5 * MS):
                    await asyncio.shield(eating)
            eating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await eating
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5 * MS):
                    await _eat(flooded)
        finally:
            stop.set()
            flooded.abort()
            await flooded.aclose()
            thread.join()


def _flood(end: object, stop: threading.Event) -> None:
    sock = end.sock  # type: ignore[attr-defined]
    sock.setblocking(True)
    try:
        while not stop.is_set():
            sock.sendall(b"x" * 65_536)
    except OSError:
        pass


async def _eat(connection: Connection) -> None:
    while await connection.read(4096):
        pass


@on_both_loops
async def test_two_connections_that_answer_each_other_without_end_leave_time_for_others() -> None:
    async with asyncnet.serve(asyncnet.echo, "tcp://127.0.0.1:0") as server:
        async with asyncnet.connect(str(server.endpoint)) as connection:
            playing = asyncio.create_task(asyncnet.echo(connection))
            await connection.write(b"ball")
            await until(lambda: connection.received_bytes > 400)
            for _ in range(10):
                before = time.monotonic()
                await asyncio.sleep(MS)
                assert time.monotonic() - before < 200 * MS
            playing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await playing


def test_a_loop_that_is_closed_is_kept_by_nothing() -> None:
    loop = asyncio.new_event_loop()
    wakeup = Wakeup(loop)
    assert Wakeup(loop)._batch is wakeup._batch, "while there are connections, they share one"
    loop.close()
    gone = weakref.ref(loop)
    del wakeup, loop
    gc.collect()
    assert gone() is None
