"""A mailbox as files: byte for byte, by what has changed, over kills at any moment."""

import asyncio
import hashlib
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnet import Credentials, RefusedError, UsageError, imap
from asyncnet.imap.session import Session
from tests.peers import MS, DelayProxy
from tests.peers.proxies import Direction, Link, Proxy
from tests.real.dovecot import Account, Dovecot
from tests.real.test_imap import ODD

ROOT = Path(__file__).parent.parent.parent
BIG = b"Subject: big\r\n\r\n" + b"\r\n".join(b"%d" % (number * 7919) for number in range(450_000)) + b"\r\n"


class Counting(Proxy):
    """Notes the commands that pass."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(target)
        self.commands: list[bytes] = []

    def forward(self, data: bytes, link: Link, direction: Direction) -> None:
        if direction == "to server":
            self.commands += [line.split(b" ", 1)[-1] for line in data.split(b"\r\n") if line]
        super().forward(data, link, direction)


def who(account: Account) -> Credentials:
    return Credentials(account.name, account.password)


def contents(folder: Path) -> dict[int, bytes]:
    """The messages in a folder by UID; each once."""
    found: dict[int, bytes] = {}
    for path in [*folder.glob("cur/*"), *folder.glob("*.eml")]:
        match = re.match(r"V\d+U(\d+),|\d+\.(\d+)\.", path.name)
        assert match
        uid = int(match[1] or match[2])
        assert uid not in found
        found[uid] = path.read_bytes()
    return found


def flags(folder: Path) -> dict[int, str]:
    names = [re.match(r"V\d+U(\d+),S=\d+:2,(\w*)", path.name) for path in folder.glob("cur/*")]
    return {int(name[1]): name[2] for name in names if name}


async def there(dovecot: Dovecot, account: Account) -> dict[int, bytes]:
    async with imap.session(dovecot.imap, who(account)) as session:
        await session.select(read_only=True)
        return {message.uid: message.raw async for message in session.messages()}  # type: ignore[misc]


def fill(dovecot: Dovecot, account: Account, count: int = 150) -> None:
    for message in [*ODD.values(), BIG]:
        dovecot.deliver(account, message)
    for number in range(count):
        dovecot.deliver(account, b"Subject: %d\r\n\r\n" % number + b"x" * (number * 37 % 9000) + b"\r\n")


@pytest.mark.parametrize("hidden", [(), ("QRESYNC",), ("QRESYNC", "CONDSTORE", "IMAP4REV2")], ids=str)
async def test_what_has_changed_is_brought_over_and_nothing_else(
    dovecot: Dovecot, account: Account, tmp_path: Path, hidden: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Session, "_can", lambda self, *names: any(one in self.capabilities for one in names if one not in hidden)
    )
    fill(dovecot, account)
    wanted = len(ODD) + 151
    async with Counting((dovecot.host, dovecot.ports["imap"])) as proxy:
        url = f"imap://{proxy.address}/INBOX"
        first = await imap.sync(url, tmp_path, who(account), connections=3)
        assert (first.messages, first.added, first.removed) == (wanted, wanted, 0)
        assert contents(tmp_path) == await there(dovecot, account)
        for _ in range(2):
            proxy.commands.clear()
            assert await imap.sync(url, tmp_path, who(account)) == imap.Synced(wanted)
            signed_in = max(
                place for place, line in enumerate(proxy.commands) if b" " not in line and line != b"LOGOUT"
            )
            assert 2 <= len(proxy.commands[signed_in + 1 :]) <= 3
        async with imap.session(dovecot.imap, who(account)) as session:
            await session.select()
            await session.store([2, 3, 30], add={r"\Seen", r"\Flagged", "$Work"})
            await session.store([1, *range(20, 25)], add={r"\Deleted"})
            await session.expunge()
            await session.append(b"Subject: new\r\n\r\n", flags={r"\Answered"})
            await session.append(BIG, flags={r"\Draft"})
        second = await imap.sync(url, tmp_path, who(account))
        assert (second.messages, second.added, second.removed, second.flagged) == (wanted - 4, 2, 6, 3)
        assert contents(tmp_path) == await there(dovecot, account)
        told = flags(tmp_path)
        assert (told[2], told[3], told[30], told[wanted + 1], told[wanted + 2]) == ("FS", "FS", "FS", "R", "D")
        assert not list((tmp_path / "tmp").glob("V*"))


@pytest.mark.slow
async def test_10000_messages_that_have_not_changed_cost_three_round_trips(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    for number in range(10_000):
        dovecot.deliver(account, b"Subject: %d\r\n\r\n" % number + b"x" * (number * 37 % 9000) + b"\r\n")
    async with Counting((dovecot.host, dovecot.ports["imap"])) as proxy:
        url = f"imap://{proxy.address}/INBOX"
        assert (await imap.sync(url, tmp_path, who(account))).added == 10_000
        before = proxy.passed["to client"]
        proxy.commands.clear()
        assert await imap.sync(url, tmp_path, who(account)) == imap.Synced(10_000)
        # One after the other, LOGOUT included: each is a round trip.
        signed_in = max(place for place, line in enumerate(proxy.commands) if b" " not in line and line != b"LOGOUT")
        assert len(proxy.commands[signed_in + 1 :]) <= 3
        assert proxy.passed["to client"] - before < 5000  # and no list of messages


async def test_eml_files_and_files_of_messages_that_have_gone(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    for message in ODD.values():
        dovecot.deliver(account, message)
    url = f"{dovecot.imap}/INBOX"
    await imap.sync(url, tmp_path, who(account), layout="eml", keep_gone=True)
    before = contents(tmp_path)
    async with imap.session(dovecot.imap, who(account)) as session:
        await session.select()
        await session.store([1, 2], add={r"\Deleted"})
        await session.expunge()
    again = await imap.sync(url, tmp_path, who(account), layout="eml", keep_gone=True)
    assert (again.messages, again.added, again.removed) == (len(ODD) - 2, 0, 0)
    assert contents(tmp_path) == before
    assert await imap.sync(url, tmp_path, who(account), layout="eml", keep_gone=True) == imap.Synced(len(ODD) - 2)
    last = await imap.sync(url, tmp_path, who(account), layout="eml")
    assert last.removed == 2
    assert contents(tmp_path) == await there(dovecot, account)


async def test_a_file_that_was_lost_or_torn_is_fetched_again(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    fill(dovecot, account, 5)
    url = f"{dovecot.imap}/INBOX"
    await imap.sync(url, tmp_path, who(account))
    first, second, *_ = sorted((tmp_path / "cur").iterdir())
    first.unlink()
    second.write_bytes(b"")
    assert (await imap.sync(url, tmp_path, who(account))).added == 2
    assert contents(tmp_path) == await there(dovecot, account)


async def test_a_mailbox_that_was_made_anew_replaces_the_old_one(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    url = f"{dovecot.imap}/Other"
    async with imap.session(dovecot.imap, who(account)) as session:
        for text in (b"old\r\n", b"new\r\n"):
            await session.create_mailbox("Other")
            for number in range(3):
                await session.append(b"Subject: %d\r\n\r\n" % number + text, "Other")
            await imap.sync(url, tmp_path, who(account))
            assert set(contents(tmp_path)) == {1, 2, 3}
            assert all(raw.endswith(text) for raw in contents(tmp_path).values())
            await session.delete_mailbox("Other")
    with pytest.raises(RefusedError):
        await imap.sync(url, tmp_path, who(account))
    assert len(contents(tmp_path)) == 3


async def test_a_folder_is_for_one_mailbox_and_one_process(dovecot: Dovecot, account: Account, tmp_path: Path) -> None:
    dovecot.deliver(account, b"\r\n")
    await imap.sync(f"{dovecot.imap}/INBOX", tmp_path, who(account))
    with pytest.raises(UsageError, match="another mailbox"):
        await imap.sync(f"{dovecot.imap}/Sent", tmp_path, who(account))
    with pytest.raises(UsageError, match="Maildir"):
        await imap.sync(f"{dovecot.imap}/INBOX", tmp_path, who(account), layout="eml")
    results = await asyncio.gather(
        *(imap.sync(f"{dovecot.imap}/INBOX", tmp_path, who(account)) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in results) == ["Synced", "UsageError"]


SYNC = """
import asyncio, sys
from asyncnet import Credentials, imap
print("go", flush=True)
asyncio.run(imap.sync(sys.argv[1], sys.argv[2], Credentials(sys.argv[3], sys.argv[4]), connections=3))
"""


def killed(url: str, folder: Path, account: Account, delays: Iterator[float]) -> int:
    """Synchronise again and again, each time killed after so many seconds; how often it was killed in mid-work."""
    kills = 0
    for delay in delays:
        command = [sys.executable, "-c", SYNC, url, str(folder), account.name, account.password]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            try:
                child.wait(delay)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                kills += 1
        for path in (folder / "cur").glob("*"):  # whole at any moment
            size = re.search(r",S=(\d+)", path.name)
            assert size
            assert path.stat().st_size == int(size[1])
    return kills


async def survive_kills(dovecot: Dovecot, account: Account, folder: Path, kills: int, count: int) -> None:
    chance = random.Random(7)
    fill(dovecot, account, count)
    with DelayProxy((dovecot.host, dovecot.ports["imap"]), rtt=10) as proxy:
        url = f"imap://{proxy.address}/INBOX"
        done = 0
        while done < kills:
            delays = iter([chance.random() * 250 * MS for _ in range(5)])
            done += await asyncio.get_running_loop().run_in_executor(None, killed, url, folder, account, delays)
            dovecot.deliver(account, BIG)
            dovecot.deliver(account, b"Subject: late\r\n\r\n%d" % done)
            async with imap.session(dovecot.imap, who(account)) as session:
                await session.select()
                uids = await session.search()
                await session.store(chance.choice(uids), add={r"\Deleted"})
                await session.store(chance.choice(uids), add={r"\Seen"})
                await session.expunge()
        await imap.sync(url, folder, who(account))
    wanted = await there(dovecot, account)
    assert hashes(contents(folder)) == hashes(wanted)
    assert not list((folder / "tmp").glob("V*"))


def hashes(messages: dict[int, bytes]) -> dict[int, str]:
    return {uid: hashlib.sha256(raw).hexdigest() for uid, raw in messages.items()}


async def test_kills_at_random_moments_lose_nothing_and_double_nothing(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    await survive_kills(dovecot, account, tmp_path, 3, 300)


@pytest.mark.slow
async def test_50_kills_at_random_moments_lose_nothing_and_double_nothing(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    await survive_kills(dovecot, account, tmp_path, 50, 2000)
