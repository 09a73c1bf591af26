"""The real servers as fixtures: one of each for all tests of a run (of a worker, under xdist), on ports of its own.

Every test in this folder bears the mark `real`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import Authority
from tests.real.dovecot import Account, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix
from tests.real.pymap_server import Pymap
from tests.real.running import running

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    """IMAP and POP3, and mailboxes to put mail into."""
    yield from running(Dovecot(authority))


@pytest.fixture(scope="session")
def postfix(dovecot: Dovecot) -> Iterator[Postfix]:
    """Submission and SMTP; the mail goes into the mailboxes of `dovecot`."""
    yield from running(Postfix(dovecot))


@pytest.fixture(scope="session")
def nginx(authority: Authority) -> Iterator[Nginx]:
    """http and https."""
    yield from running(Nginx(authority))


@pytest.fixture(scope="session")
def pymap(authority: Authority) -> Iterator[Pymap]:
    """IMAP by another hand; one user, `me`."""
    yield from running(Pymap(authority))


@pytest.fixture
def account(dovecot: Dovecot) -> Account:
    """Somebody with an empty mailbox, whom no other test knows."""
    return dovecot.new_account()
