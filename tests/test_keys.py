"""keys.py, netrc.py: credentials go to the place they were meant for, and to no other."""

import asyncio
import threading
from pathlib import Path

import pytest

from asyncnet.client import Client
from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DisconnectedError, UsageError
from asyncnet.keys import Keys
from asyncnet.netrc import netrc_credentials
from tests.mailroom import Mailroom
from tests.peers import Script

ALICE = Credentials("alice", "correct horse")
BOB = Credentials("bob", "battery staple")
CAROL = Credentials("carol", "clip")


async def of(keys: Keys, url: str) -> Credentials | None:
    return await keys.of(Endpoint.parse(url))


# Mappings.


@pytest.mark.parametrize(
    "url",
    ["imaps://mail.example.org", "smtp+starttls://mail.example.org:2587", "https://MAIL.example.org/any?where=1"],
)
async def test_a_host_is_every_protocol_and_port_there(url: str) -> None:
    assert await of(Keys({"mail.example.org": ALICE}), url) is ALICE


@pytest.mark.parametrize(
    "url",
    [
        "imaps://example.org",
        "imaps://mail.example.org.evil.net",
        "imaps://xmail.example.org",
        "imaps://sub.mail.example.org",
        "unix:///mail.example.org",
        "imaps://bob@mail.example.org",
    ],
)
async def test_a_host_is_no_other_host_and_no_other_user(url: str) -> None:
    assert await of(Keys({"mail.example.org": ALICE}), url) is None


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1?x=../..", "/a/b/"])
async def test_a_url_is_what_lies_below_its_path(tail: str) -> None:
    assert await of(Keys({"https://example.org:8443/api": ALICE}), f"https://example.org:8443/api{tail}") is ALICE


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org:8443/apix",
        "https://example.org:8443/",
        "https://example.org:8443/API",
        "https://example.org:8443/other/api",
        "https://example.org:8443/api/../admin",
        "https://example.org:8443/api/%2e%2e/admin",
        "https://example.org:8443/api/..%2fadmin",
        "https://example.org/api",
        "http://example.org:8443/api",
        "https://example.org.evil.net:8443/api",
        "https://bob@example.org:8443/api",
        "imaps://example.org:8443/api",
    ],
)
async def test_a_url_is_no_other_place(url: str) -> None:
    assert await of(Keys({"https://example.org:8443/api": ALICE}), url) is None


async def test_the_longest_url_goes_before_the_shorter_and_any_before_the_host() -> None:
    keys = Keys({"example.org": ALICE, "https://example.org/a": BOB, "https://example.org/a/b/": CAROL})
    assert await of(keys, "https://example.org/a/b/c") is CAROL
    assert await of(keys, "https://example.org/a/c") is BOB
    assert await of(keys, "https://example.org/c") is ALICE
    assert await of(keys, "imaps://example.org/a/b") is ALICE


async def test_a_user_in_the_key_wants_no_other_and_one_in_the_url_chooses() -> None:
    keys = Keys({"imaps://alice@example.org": ALICE, "imaps://bob@example.org": BOB})
    assert await of(keys, "imaps://bob@example.org") is BOB
    assert await of(keys, "imaps://alice@example.org/INBOX") is ALICE
    assert await of(keys, "imaps://carol@example.org") is None


async def test_addresses_are_hosts_too_and_brackets_are_the_same() -> None:
    keys = Keys({"[2001:db8::1]": ALICE, "192.0.2.1": BOB})
    assert await of(keys, "imaps://[2001:db8::1]:9993") is ALICE
    assert await of(keys, "imaps://192.0.2.1") is BOB


@pytest.mark.parametrize(
    "source",
    [
        ALICE,
        "alice:secret",
        42,
        {"example.org:993": ALICE},
        {"": ALICE},
        {"example.org/path": ALICE},
        {"alice@example.org": ALICE},
        {"nonsense://example.org": ALICE},
        {"https://example.org/?q=1": ALICE},
        {"imaps://bob@example.org": ALICE},
        {"example.org": "correct horse"},
        {"example.org": None},
    ],
)
def test_what_names_no_place_is_refused_and_not_repeated(source: object) -> None:
    with pytest.raises(UsageError) as caught:
        Keys(source)  # type: ignore[arg-type]
    assert "horse" not in str(caught.value)


# Functions.


async def test_a_function_is_asked_once_for_each_origin_and_user() -> None:
    asked: list[str] = []

    def find(endpoint: Endpoint) -> Credentials | None:
        assert threading.current_thread() is not threading.main_thread()
        asked.append(str(endpoint))
        return ALICE if endpoint.username != "bob" else None

    keys = Keys(find)
    urls = ["imaps://example.org/INBOX", "imaps://example.org/Sent", "imaps://bob@example.org", "smtps://example.org"]
    found = await asyncio.gather(*(of(keys, url) for url in urls * 3))
    assert found == [ALICE, ALICE, None, ALICE] * 3
    assert len(asked) == 3


async def test_an_asynchronous_one_is_awaited_on_the_loop_and_so_is_what_a_plain_one_gives() -> None:
    async def find(endpoint: Endpoint) -> Credentials:
        assert threading.current_thread() is threading.main_thread()
        await asyncio.sleep(0)
        return BOB

    assert await of(Keys(find), "imaps://example.org") is BOB
    assert await of(Keys(lambda endpoint: find(endpoint)), "imaps://example.org") is BOB


async def test_what_a_function_raises_is_told_by_its_class_and_asked_again_the_next_time() -> None:
    calls = iter([ValueError("correct horse"), UsageError("locked")])

    def find(endpoint: Endpoint) -> Credentials:
        for error in calls:
            raise error
        return ALICE

    keys = Keys(find)
    with pytest.raises(UsageError, match="raised ValueError") as caught:
        await of(keys, "imaps://example.org")
    assert "horse" not in str(caught.value)
    with pytest.raises(UsageError, match="locked"):
        await of(keys, "imaps://example.org")
    assert await of(keys, "imaps://example.org") is ALICE


async def test_what_is_no_credentials_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="gave str") as caught:
        await of(Keys(lambda endpoint: "correct horse"), "imaps://example.org")  # type: ignore[arg-type, return-value]
    assert "horse" not in str(caught.value)


async def test_what_was_found_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.keys._MAX_REMEMBERED", 3)
    keys = Keys(lambda endpoint: ALICE)
    for number in range(9):
        assert await of(keys, f"imaps://host{number}") is ALICE
    assert len(keys._found) == 3


async def test_cancelling_one_who_asks_leaves_the_others() -> None:
    gate = asyncio.Event()

    async def find(endpoint: Endpoint) -> Credentials:
        await gate.wait()
        return ALICE

    keys = Keys(find)
    doomed = asyncio.create_task(of(keys, "imaps://example.org"))
    other = asyncio.create_task(of(keys, "imaps://example.org"))
    await asyncio.sleep(0)
    doomed.cancel()
    gate.set()
    assert await other is ALICE
    await asyncio.wait({doomed})
    assert doomed.cancelled()


# netrc.


async def test_a_client_reads_the_netrc_for_the_place_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login alice password correct\nmachine other login bob password x\n")
    monkeypatch.setenv("NETRC", str(path))
    room = Mailroom()
    async with Script(room, repeat=True, check=False) as peer, Client(credentials=netrc_credentials) as client:
        await client.fetch(f"imap://{peer.address}")
        with pytest.raises(UsageError, match="no credentials"):
            await client.fetch(f"imap://bob@{peer.address}")
    assert room.logins == [b'"alice" "correct"']


# Nothing on the wire but what was meant.


async def test_the_key_of_one_place_is_never_seen_at_another_whatever_happens_there() -> None:
    good, evil = Mailroom(), Mailroom(on=lambda number, command: "cut")
    async with Script(good, repeat=True, check=False) as peer, Script(evil, repeat=True, check=False) as stranger:
        async with Client(credentials={f"imap://{peer.address}": ALICE}) as client:
            await client.fetch(f"imap://{peer.address}")
            for url in (f"imap://{stranger.address}", f"imap://alice@{stranger.address}"):
                with pytest.raises((UsageError, DisconnectedError)):
                    await client.fetch(url)
        assert b"horse" not in stranger.received
    assert evil.logins == []
