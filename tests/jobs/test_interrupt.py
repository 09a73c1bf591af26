"""Ctrl-C: a run ends in bounded time, with the outcomes that it has, and says nothing else."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0

PROGRAM = """
import asyncio
from asyncnet import jobs

async def quick(number):
    return number

async def forever():
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)  # says goodbye
        print("gone", flush=True)

async def work():
    yield jobs.call(quick, 1)
    yield jobs.fetch(URL, timeout=None)
    yield jobs.call(forever)
    yield jobs.call(quick, 2, host="h")
    await asyncio.sleep(3600)

async def main():
    got = []
    try:
        async for outcome in jobs.as_completed(work(), limit=8):
            got.append(outcome.value)
            print(outcome.value, flush=True)
    finally:
        print("has", got, "left", len(asyncio.all_tasks()) - 1, flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_run_with_what_it_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        out, err, status = interrupted(PROGRAM.replace("URL", repr(url)))
    assert out.splitlines() == ["gone", "has [1, 2] left 0", "interrupted"]
    assert (err, status) == ("", 0)


def interrupted(program: str) -> tuple[str, str, int]:
    """Run it until two jobs have ended, and interrupt it."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout
            assert [child.stdout.readline(), child.stdout.readline()] == ["1\n", "2\n"]
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    return out, err, child.returncode
