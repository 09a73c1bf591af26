"""keyring.py: asked in a daemon thread, for the host and the user; a stuck one costs its caller alone."""

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from asyncnet.client import Client
from asyncnet.credentials import Credentials
from asyncnet.deadline import deadline
from asyncnet.errors import DeadlineError, UsageError
from asyncnet.keyring import keyring_credentials
from tests.clock import MS
from tests.mailroom import Mailroom
from tests.peers import Script

ALICE = Credentials("alice", "correct horse")

keyring = pytest.importorskip("keyring", reason="the package keyring is not installed")


class Backend(keyring.backend.KeyringBackend):
    """A keyring that is asked in threads."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.entries = {"mail.example.org": ("alice", "correct horse"), "127.0.0.1": ("bob", "battery staple")}
        self.asked: list[tuple[str, str | None]] = []
        self.stuck = threading.Event()
        self.stuck.set()
        self.failure: Exception | None = None

    def get_credential(self, service: str, username: str | None):
        """Give an entry."""
        assert threading.current_thread().daemon
        self.asked.append((service, username))
        self.stuck.wait()
        if self.failure is not None:
            raise self.failure
        found = self.entries.get(service)
        return found and keyring.credentials.SimpleCredential(*found)

    def get_password(self, service: str, username: str) -> str | None:
        """Not asked."""
        raise NotImplementedError

    set_password = delete_password = get_password  # type: ignore[assignment]


@pytest.fixture
def backend() -> Iterator[Backend]:
    before = keyring.get_keyring()
    one = Backend()
    keyring.set_keyring(one)
    try:
        yield one
    finally:
        one.stuck.set()
        keyring.set_keyring(before)


async def test_the_keyring_is_asked_for_the_host_and_the_user(backend: Backend) -> None:
    found = await keyring_credentials("imaps://mail.example.org/INBOX")
    assert found is not None
    assert found.username == "alice"
    assert await keyring_credentials("imaps://other.example.org") is None
    assert await keyring_credentials("imaps://bob@mail.example.org") is None  # whatever a backend makes of the name
    assert backend.asked[-1] == ("mail.example.org", "bob")


async def test_an_error_of_the_keyring_is_told_without_its_text(backend: Backend) -> None:
    backend.failure = RuntimeError("correct horse")
    with pytest.raises(UsageError, match="RuntimeError") as caught:
        await keyring_credentials("imaps://mail.example.org")
    assert "horse" not in str(caught.value)
    assert caught.value.__context__ is None  # which travels in some pickles


async def test_a_keyring_that_is_stuck_holds_up_nobody_else_and_ends_with_the_deadline(backend: Backend) -> None:
    backend.stuck.clear()
    room = Mailroom()
    async with Script(room, repeat=True, check=False) as peer, Client(credentials=keyring_credentials) as client:
        stuck = asyncio.create_task(client.fetch(f"imap://{peer.address}", timeout=200 * MS))
        await asyncio.sleep(0)
        assert await client.fetch(f"imap://{peer.address}", ALICE) == []
        assert not stuck.done()
        with pytest.raises(DeadlineError):
            await stuck
        backend.stuck.set()
        assert await client.fetch(f"imap://{peer.address}") == []
    assert room.logins == [b'"alice" "correct horse"', b'"bob" "battery staple"']


async def test_cancelled_it_gives_up_at_once(backend: Backend) -> None:
    backend.stuck.clear()
    async with deadline(10.0):
        task = asyncio.create_task(keyring_credentials("imaps://mail.example.org"))
        await asyncio.sleep(5 * MS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match=r"asyncnet\[keyring\]"):
        asyncio.run(keyring_credentials("imaps://mail.example.org"))
