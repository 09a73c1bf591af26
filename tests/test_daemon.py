"""daemon.py: blocking calls that never block the loop, each other for good, or the interpreter's exit."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncnet import daemon
from asyncnet.daemon import MAX_THREADS, in_daemon
from tests.clock import MS

ROOT = Path(__file__).parent.parent


async def until(condition: Callable[[], bool]) -> None:
    """Wait while the loop goes on, ten seconds at the most."""
    async with asyncio.timeout(10_000 * MS):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in threads)
            await asyncio.sleep(MS)


@contextlib.asynccontextmanager
async def occupied(count: int) -> AsyncIterator[list[threading.Event]]:
    """Keep `count` threads busy; setting an event of the list lets one of them go."""
    events = [threading.Event() for _ in range(count)]
    begun: list[int] = []

    def wait(number: int) -> bool:
        begun.append(number)
        return events[number].wait(30)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(in_daemon(lambda number=number: wait(number)))
        try:
            await until(lambda: len(begun) == count)
            yield events
        finally:
            for event in events:
                event.set()


async def test_a_call_runs_in_a_daemon_thread_and_its_result_comes_back() -> None:
    thread = await in_daemon(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert await in_daemon(lambda: None) is None


async def test_what_the_call_raises_comes_back_as_it_is() -> None:
    error = OSError(5, "broken")

    def fail() -> None:
        raise error

    with pytest.raises(OSError, match="broken") as caught:
        await in_daemon(fail)
    assert caught.value is error
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_daemon(lambda: next(iter(())))


async def test_no_more_calls_than_threads_run_at_once_and_all_are_done() -> None:
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def call(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == MAX_THREADS:
                full.set()
        assert full.wait(30)
        with lock:
            running -= 1
        return number

    results = await asyncio.gather(*(in_daemon(lambda n=number: call(n)) for number in range(3 * MAX_THREADS)))
    assert results == list(range(3 * MAX_THREADS))
    assert most == MAX_THREADS


async def test_beyond_the_threads_calls_are_served_in_the_order_they_came() -> None:
    async with occupied(MAX_THREADS) as busy:
        order: list[int] = []
        calls = [asyncio.create_task(in_daemon(lambda n=number: order.append(n))) for number in range(20)]
        await asyncio.sleep(5 * MS)
        assert order == []
        busy[0].set()  # one thread alone serves all of them
        await asyncio.gather(*calls)
        assert order == list(range(20))


async def test_a_call_does_not_wait_for_a_thread_that_has_just_taken_another() -> None:
    for _ in range(200):
        release = threading.Event()
        await in_daemon(lambda: None)  # one thread is idle now
        stuck = asyncio.create_task(in_daemon(lambda release=release: release.wait(30)))
        quick = asyncio.create_task(in_daemon(lambda: "quick"))
        async with asyncio.timeout(10_000 * MS):
            assert await quick == "quick"
        release.set()
        await stuck


async def test_a_cancelled_waiter_leaves_at_once_and_the_call_goes_on_alone() -> None:
    release, done = threading.Event(), threading.Event()

    def call() -> None:
        release.wait(30)
        done.set()

    waiter = asyncio.create_task(in_daemon(call))
    await asyncio.sleep(5 * MS)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not done.is_set()
    release.set()
    await until(done.is_set)


async def test_a_call_cancelled_in_the_queue_never_begins_and_leaves_the_queue() -> None:
    async with occupied(MAX_THREADS):
        begun: list[int] = []
        waiters = [asyncio.create_task(in_daemon(lambda: begun.append(1))) for _ in range(1000)]
        last = asyncio.create_task(in_daemon(lambda: begun.append(2)))
        await asyncio.sleep(0)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert len(daemon._calls) == 1
    await last
    assert begun == [2]


async def test_a_result_that_nobody_waits_for_is_dropped_in_silence() -> None:
    release = threading.Event()

    def fail() -> None:
        release.wait(30)
        raise ValueError("nobody hears this")

    waiter = asyncio.create_task(in_daemon(fail))
    await asyncio.sleep(5 * MS)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    release.set()
    await in_daemon(lambda: None)  # and what asyncio logs or the collector finds fails this test


def test_a_call_may_end_after_its_loop_was_closed() -> None:
    release, done = threading.Event(), threading.Event()

    def call() -> str:
        release.wait(30)
        done.set()
        return "late"

    async def main() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 * MS):
                await in_daemon(call)

    asyncio.run(main())
    release.set()
    assert done.wait(10)
    asyncio.run(in_daemon_many(10))


async def in_daemon_many(count: int) -> None:
    assert await asyncio.gather(*(in_daemon(lambda n=n: n) for n in range(count))) == list(range(count))


async def test_thousands_of_calls_lose_none() -> None:
    await in_daemon_many(3000)
    assert not daemon._calls


async def test_two_loops_in_two_threads_share_the_threads() -> None:
    other = threading.Thread(target=lambda: asyncio.run(in_daemon_many(300)))
    other.start()
    await in_daemon_many(300)
    await until(lambda: not other.is_alive())
    other.join()


def run_child(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_stuck_calls_do_not_delay_the_exit_of_the_interpreter() -> None:
    out = run_child("""
import asyncio, time
from asyncnet.daemon import in_daemon

async def main():
    try:
        async with asyncio.timeout(0.1):
            await asyncio.gather(*(in_daemon(lambda: time.sleep(300)) for _ in range(40)))
    except TimeoutError:
        print("given up")

asyncio.run(main())
""")
    assert out == "given up\n"


def test_a_forked_child_starts_threads_of_its_own() -> None:
    out = run_child("""
import asyncio, os, signal, warnings
from asyncnet.daemon import in_daemon
warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 a fork beside threads is warned of

asyncio.run(in_daemon(lambda: None))
child = os.fork()
if not child:
    signal.alarm(10)  # a lost call would wait for ever
    asyncio.run(in_daemon(lambda: None))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert out == "7\n"


def test_idle_threads_end_after_a_while() -> None:
    out = run_child("""
import asyncio, threading
from asyncnet import daemon
daemon._IDLE_SECONDS = 0.01

async def main():
    await asyncio.gather(*(daemon.in_daemon(lambda: None) for _ in range(20)))
    async with asyncio.timeout(10):
        while threading.active_count() > 1:
            await asyncio.sleep(0.005)
    print(daemon._threads, daemon._idle, await daemon.in_daemon(lambda: "again"))

asyncio.run(main())
""")
    assert out == "0 0 again\n"


def test_without_a_thread_to_be_had_the_call_is_an_oserror() -> None:
    out = run_child("""
import asyncio, threading
from asyncnet import daemon

def full(thread):
    raise RuntimeError("can't start new thread")

async def main():
    start, threading.Thread.start = threading.Thread.start, full
    try:
        await daemon.in_daemon(lambda: None)
    except OSError as error:
        print(error.strerror, len(daemon._calls), daemon._threads)
    threading.Thread.start = start
    print(await daemon.in_daemon(lambda: "again"))

asyncio.run(main())
""")
    assert out == "no thread can be started 0 0\nagain\n"
