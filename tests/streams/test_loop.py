"""run(): results, errors, uvloop, and what a signal does; signals in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asyncnet.errors import UsageError
from asyncnet.streams.loop import run

ROOT = Path(__file__).parent.parent.parent


async def give(value: object) -> object:
    return value


async def name_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


@pytest.mark.parametrize("signals", [False, True])
def test_the_result_is_given_and_errors_come_out(signals: bool) -> None:
    async def failing() -> None:
        raise ValueError("on purpose")

    assert run(give(42), signals=signals) == 42
    with pytest.raises(ValueError, match="on purpose"):
        run(failing(), signals=signals)


def test_uvloop_is_used_where_it_is_asked_for() -> None:
    pytest.importorskip("uvloop")
    assert run(name_of_loop()).startswith("asyncio")  # type: ignore[union-attr]
    assert run(name_of_loop(), uvloop=True).startswith("uvloop")  # type: ignore[union-attr]


def test_uvloop_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(UsageError, match=r"pip install 'asyncnet\[uvloop\]'"):
        run(give(1), uvloop=True)


def test_debug_mode_is_handed_on() -> None:
    async def in_debug() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert run(in_debug(), debug=True) is True
    assert run(in_debug(), debug=False) is False


def test_a_cancellation_that_no_signal_made_stays_one() -> None:
    async def cancelling() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        run(cancelling(), signals=True)


def test_signals_outside_of_the_main_thread_are_refused() -> None:
    raised: list[BaseException] = []

    def other() -> None:
        try:
            run(give(1), signals=True)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert isinstance(raised[0], UsageError)
    assert "main thread" in str(raised[0])


def test_the_handlers_of_before_are_there_again() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(give(1), signals=True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_once_and_none_is_the_result(number: signal.Signals) -> None:
    seen: list[str] = []

    async def main() -> str:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.001)  # what it owes can still be done
            seen.append("cleaned up")
        return "not reached"

    assert run(main(), signals=True) is None
    assert seen == ["cleaned up"]


def test_a_second_signal_cuts_the_cleaning_short() -> None:
    seen: list[str] = []

    async def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                seen.append("cut short")
                raise

    assert run(main(), signals=True) is None
    assert seen == ["cut short"]


def test_a_result_in_spite_of_the_signal_is_given() -> None:
    async def main() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "done all the same"
        return "not reached"

    assert run(main(), signals=True) == "done all the same"


def test_an_error_in_spite_of_the_signal_comes_out() -> None:
    async def main() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        run(main(), signals=True)


SERVER = """
import asyncio, sys, asyncnet
async def main():
    async with asyncnet.serve(asyncnet.echo, "tcp://127.0.0.1:0", grace=30.0) as server:
        print(server.endpoint.port, flush=True)
        await server.serve_forever()
asyncnet.run(main(), signals=sys.argv[1] == "signals", uvloop=sys.argv[2] == "uvloop")
print("ended", flush=True)
"""


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_a_service_ends_with_status_0(number: signal.Signals, loop_name: str) -> None:
    if loop_name == "uvloop":
        pytest.importorskip("uvloop")
    with started("signals", loop_name) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("ended\n", "")
    assert process.returncode == 0


def test_without_signals_ctrl_c_is_a_keyboard_interrupt() -> None:
    with started("no", "asyncio") as process:
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
