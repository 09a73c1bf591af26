"""A Worker is an Executor of one thread, and nothing that its thread can be stuck in outlives an abort."""

import asyncio
import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, wait

import pytest

from asyncnet.pop3.worker import Worker
from tests.clock import MS
from tests.peers import Authority

AT_ONCE = 1000 * MS


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # as dial() hands it over
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def worker(pair: tuple[socket.socket, socket.socket]) -> Iterator[Worker]:
    worker = Worker(pair[0], "asyncnet-pop3-test")
    yield worker
    worker.abort()
    worker.shutdown()


def test_it_is_an_executor_that_calls_in_one_daemon_thread_of_its_name(worker: Worker) -> None:
    assert isinstance(worker, Executor)
    threads = {worker.submit(threading.current_thread).result() for _ in range(5)}
    assert [(thread.name, thread.daemon) for thread in threads] == [("asyncnet-pop3-test", True)]


def test_calls_are_made_in_order_with_their_arguments(worker: Worker) -> None:
    made: list[tuple[int, int]] = []
    futures = [worker.submit(lambda a, *, b: made.append((a, b)), n, b=2 * n) for n in range(20)]
    wait(futures)
    assert made == [(n, 2 * n) for n in range(20)]


def test_an_exception_goes_to_the_caller_and_the_thread_goes_on(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0).result()
    with pytest.raises(SystemExit):
        worker.submit(lambda: exit(3)).result()
    assert worker.submit(len, "abc").result() == 3


def test_the_socket_is_made_blocking(worker: Worker) -> None:
    assert worker.sock.getblocking()


def test_a_shutdown_does_what_was_submitted_and_closes_the_socket(worker: Worker) -> None:
    futures = [worker.submit(len, "x" * n) for n in range(3)]
    worker.shutdown()
    assert [future.result(0) for future in futures] == [0, 1, 2]
    assert worker.sock.fileno() == -1
    assert worker.is_stopped
    with pytest.raises(RuntimeError, match="shut down"):
        worker.submit(len, "")


def test_a_shutdown_may_drop_what_has_not_begun(worker: Worker) -> None:
    began, go_on = threading.Event(), threading.Event()
    first = worker.submit(lambda: (began.set(), go_on.wait()))
    began.wait()
    second = worker.submit(len, "")
    worker.shutdown(wait=False, cancel_futures=True)
    worker.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    worker.shutdown()
    assert first.result(0)
    with pytest.raises(CancelledError):
        second.result(0)


async def test_an_abort_ends_a_read_that_nothing_comes_for(worker: Worker) -> None:
    reading = await _begun(worker, worker.sock.recv, 1)
    start = time.monotonic()
    worker.abort()
    worker.abort()
    assert await worker.ended(10)
    assert time.monotonic() - start < AT_ONCE
    assert await reading == b""
    assert worker.sock.fileno() == -1


async def test_an_abort_ends_a_write_that_nobody_reads(worker: Worker) -> None:
    writing = await _begun(worker, worker.sock.sendall, bytes(64 * 1024 * 1024))
    worker.abort()
    assert await worker.ended(10)
    with pytest.raises(OSError, match="Broken pipe"):
        await writing


async def test_an_abort_ends_a_handshake_that_is_never_answered(worker: Worker, authority: Authority) -> None:
    worker.encrypt(authority.client(), "localhost")
    shaking = await _begun(worker, worker.handshake)
    worker.abort()
    assert await worker.ended(10)
    with pytest.raises(OSError):  # noqa: PT011 - which one is OpenSSL's affair
        await shaking


async def test_after_an_abort_the_cancelled_call_harms_nobody(worker: Worker) -> None:
    reading = await _begun(worker, worker.sock.recv, 1)
    waiting = asyncio.get_running_loop().run_in_executor(worker, len, "")
    reading.cancel()
    worker.abort()
    assert await worker.ended(10)
    assert reading.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_waiting_for_a_thread_that_does_not_end_is_bounded(worker: Worker) -> None:
    go_on = threading.Event()
    await _begun(worker, go_on.wait)
    worker.abort()
    assert not await worker.ended(5 * MS)
    go_on.set()
    assert await worker.ended(10)


def test_an_idle_thread_keeps_nothing_alive(worker: Worker) -> None:
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    worker.submit(id, thing).result()
    del thing
    worker.submit(len, "").result()  # the one before is certainly put away
    gc.collect()
    assert seen() is None


def test_without_a_thread_to_have_the_socket_is_closed(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(RuntimeError):
        Worker(pair[0], "asyncnet-pop3-test")
    assert pair[0].fileno() == -1


def test_a_connection_that_has_ended_is_not_encrypted(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    worker = Worker(ours, "asyncnet-pop3-test")
    with theirs:
        worker.abort()
        worker.shutdown()
    with pytest.raises(OSError):  # noqa: PT011 - EBADF or ENOTCONN
        worker.encrypt(authority.client(), "localhost")


async def _begun(worker: Worker, call: Callable[..., object], *arguments: object) -> asyncio.Future[object]:
    """Have the thread make a call, and come back once it is (about to be) in it."""
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> object:
        loop.call_soon_threadsafe(began.set)
        return call(*arguments)

    made = loop.run_in_executor(worker, run)
    await began.wait()
    return made
