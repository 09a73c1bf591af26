"""The rules that every test is held to: it leaves no thread, socket, task or complaint behind (see leaks.py)."""

import asyncio
import gc
from collections.abc import AsyncIterator, Generator

import hypothesis
import pytest
import pytest_asyncio

from tests.leaks import Watch, stray_tasks
from tests.peers.fixtures import authority as authority
from tests.peers.fixtures import authority_pem as authority_pem

_WATCH = pytest.StashKey[Watch]()
_FAILED = pytest.StashKey[bool]()

# A busy machine makes a single example slow, which says nothing about the code. The rest is hypothesis's own profile,
# which in CI draws the same examples each time.
hypothesis.settings.register_profile("patient", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_collection_finish() -> None:
    # What the imports made stays for good. Frozen, it costs the collection after each test nothing.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leave_nothing_behind(request: pytest.FixtureRequest) -> None:
    """Look before the test, after the fixtures that outlive it; `pytest_runtest_teardown` looks again.

    A fixture of a wider scope belongs into a test's signature: one asked for in mid-test would count as left behind.
    """
    request.node.stash[_WATCH] = Watch()
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("await_every_task")


@pytest.fixture
async def await_every_task(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail an async test that ends while a task of its own still runs: the loop's end would cancel it unseen."""
    before = asyncio.all_tasks()
    yield
    if left := await stray_tasks(before):
        _fail_unless_failed(request.node, left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    watch = item.stash.get(_WATCH, None)
    try:
        result = yield  # fixtures end here, and the loop with them
        if watch is not None:
            allowed = item.get_closest_marker("loop_errors") is not None
            _fail_unless_failed(item, watch.leftovers(loop_errors_allowed=allowed))
        return result
    finally:
        if watch is not None:
            watch.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def _fail_unless_failed(item: pytest.Item, left: list[str]) -> None:
    # A failed test's traceback keeps its locals alive: leaks on top of a failure are noise.
    if left and not item.stash.get(_FAILED, False):
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)
