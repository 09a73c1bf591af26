"""The leak checks of conftest.py are proved on tests that leak, run by a pytest of their own."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent

LEAKING = """
import asyncio
import socket
import threading

import pytest
from hypothesis import given, strategies

KEPT = []


def test_leaves_a_thread():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(20,), name="stray", daemon=True)
    thread.start()
    KEPT.append(stop)


def test_leaves_a_socket():
    KEPT.append(socket.socket())


def test_leaves_a_socket_to_the_collector():
    ring = [socket.socket()]
    ring.append(ring)


async def test_leaves_a_socket_from_a_coroutine():
    KEPT.append(socket.socket())


async def test_leaves_a_task():
    KEPT.append(asyncio.create_task(asyncio.sleep(20)))


@given(strategies.integers())
async def test_leaves_a_task_from_an_example(number):
    KEPT.append(asyncio.create_task(asyncio.sleep(20)))


async def _fail():
    raise ZeroDivisionError


async def test_leaves_an_exception_that_nobody_retrieved():
    task = asyncio.create_task(_fail())
    await asyncio.wait([task])


async def test_leaves_a_coroutine_that_nobody_awaited():
    _fail()


@pytest.fixture
async def careless():
    KEPT.append(asyncio.create_task(asyncio.sleep(20)))
    yield


async def test_has_a_fixture_that_leaves_a_task(careless):
    pass
"""

CLEAN = """
import asyncio
import socket
import threading

import pytest
from hypothesis import given, strategies


@pytest.fixture(scope="module")
def lasting():
    with socket.socket() as lasts:
        yield lasts


@pytest.fixture
async def served():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    ticking = asyncio.create_task(asyncio.sleep(20))
    yield server.sockets[0].getsockname()
    ticking.cancel()
    server.close()
    await server.wait_closed()


def test_plain():
    pass


def test_closes_its_socket():
    with socket.socket():
        pass


def test_uses_a_lasting_socket(lasting):
    assert lasting.fileno() > 0


def test_ends_its_thread_a_little_late():
    threading.Timer(0.1, int).start()


def test_keeps_an_idle_lookup_thread():
    threading.Thread(target=threading.Event().wait, args=(20,), name="asyncnet-lookup-1", daemon=True).start()


async def test_uses_a_server(served):
    reader, writer = await asyncio.open_connection(*served)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_used_an_executor():
    await asyncio.to_thread(int)


@given(strategies.integers())
async def test_awaits_its_tasks(number):
    await asyncio.create_task(asyncio.sleep(0))


@given(strategies.integers())
def test_runs_loops_of_its_own(number):
    asyncio.run(asyncio.sleep(0))


@pytest.mark.loop_errors
async def test_makes_the_loop_complain_on_purpose():
    asyncio.get_running_loop().call_exception_handler({"message": "on purpose"})
"""


def _run(folder: Path, source: str, *, slowness: str) -> dict[str, str]:
    (folder / "test_inner.py").write_text(source)
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    command += ["--rootdir", str(folder), f"--junit-xml={report}", str(folder / "test_inner.py")]
    environment = os.environ | {"ASYNCNET_TEST_SLOWNESS": slowness}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert report.exists(), ended.stdout
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        complaint = "".join(f"{bad.get('message')}\n{bad.text}" for bad in case if bad.tag in {"error", "failure"})
        found[str(case.get("name"))] = found.get(str(case.get("name")), "") + complaint
    return found


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _run(tmp_path_factory.mktemp("leaking"), LEAKING, slowness="0.1")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("test_leaves_a_thread", "a thread runs on: <Thread(stray"),
        ("test_leaves_a_socket", "a socket stays open: socket:["),
        ("test_leaves_a_socket_to_the_collector", "unclosed <socket.socket"),
        ("test_leaves_a_socket_from_a_coroutine", "a socket stays open: socket:["),
        ("test_leaves_a_task", "a task is pending: <Task pending"),
        ("test_leaves_a_task_from_an_example", "a task is pending: <Task pending"),
        ("test_leaves_an_exception_that_nobody_retrieved", "Task exception was never retrieved"),
        ("test_leaves_a_coroutine_that_nobody_awaited", "was never awaited"),
        ("test_has_a_fixture_that_leaves_a_task", "a task is pending: <Task pending"),
    ],
)
def test_a_leak_fails_the_test_that_made_it(leaking: dict[str, str], name: str, complaint: str) -> None:
    assert complaint in leaking[name]


def test_every_leak_above_is_looked_for(leaking: dict[str, str]) -> None:
    assert len(leaking) == 9


def test_what_ends_in_order_passes(tmp_path: Path) -> None:
    found = _run(tmp_path, CLEAN, slowness="1")
    assert len(found) == 10
    assert {name: complaint for name, complaint in found.items() if complaint} == {}
