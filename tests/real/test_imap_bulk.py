"""Much mail on a real server: streamed, resumed, searched, described and changed while it comes."""

import base64
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from asyncnet import Credentials, DisconnectedError, IncompleteRead, imap
from asyncnet.imap import search
from tests.memory import peak_memory
from tests.peers import CutProxy, DelayProxy
from tests.real.dovecot import Account, Dovecot
from tests.real.test_imap import NAMES, ODD

MIB = 1024 * 1024


def who(account: Account) -> Credentials:
    return Credentials(account.name, account.password)


@asynccontextmanager
async def opened(url: str, account: Account, name: str = "INBOX") -> AsyncIterator[imap.Session]:
    async with imap.session(url, who(account)) as session:
        await session.select(name)
        yield session


def big(size: int) -> bytes:
    line = base64.b64encode(bytes(range(57))) + b"\r\n"
    return b"Subject: big\r\n\r\n" + line * (size // len(line))


async def test_odd_messages_go_to_files_byte_for_byte(dovecot: Dovecot, account: Account, tmp_path: Path) -> None:
    for message in ODD.values():
        dovecot.deliver(account, message)
    async with opened(dovecot.imap, account) as session:
        for uid, message in enumerate(ODD.values(), start=1):
            assert await session.download(uid, tmp_path / "mail") == len(message)
            assert (tmp_path / "mail").read_bytes() == message
            middle = len(message) // 2
            assert (await session.fetch(uid, offset=middle)).raw == message[middle:]
            assert (await session.fetch(uid, offset=middle, max_bytes=3)).raw == message[middle : middle + 3]
            file = io.BytesIO()
            await session.download(uid, file, part="HEADER")
            assert file.getvalue() == (await session.fetch(uid, headers_only=True)).raw


async def test_files_are_appended_byte_for_byte(dovecot: Dovecot, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "mail"
    async with opened(dovecot.imap, account) as session:
        for raw in (*ODD.values(), big(3 * MIB)):
            path.write_bytes(raw.replace(b"\r\n", b"\n"))
            uid = await session.append(path)
            assert uid
            assert (await session.fetch(uid)).raw == raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def test_a_broken_download_is_resumed_until_it_is_whole(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    message, path = big(4 * MIB), tmp_path / "mail"
    dovecot.deliver(account, message)
    tries = 0
    async with CutProxy((dovecot.host, dovecot.ports["imap"]), after=1_500_000, times=2) as proxy:
        while not path.exists() or path.stat().st_size < len(message):
            tries += 1
            try:
                async with opened(f"imap://{proxy.address}", account) as session:
                    await session.download(1, path, resume=True)
            except (IncompleteRead, DisconnectedError):
                assert tries <= 2
    assert path.read_bytes() == message
    assert tries == 3
    assert proxy.passed["to client"] < 1.1 * len(message)


async def test_a_message_of_100_mib_comes_whole(dovecot: Dovecot, account: Account, tmp_path: Path) -> None:
    message = big(100 * MIB)
    dovecot.deliver(account, message)
    wanted = hashlib.sha256(message).digest()
    code = f"""
import asyncio, sys
from pathlib import Path
from asyncnet import Credentials, imap
async def main():
    async with imap.session({dovecot.imap!r}, Credentials({account.name!r}, {account.password!r})) as session:
        await session.select()
        if sys.argv[1] == "big":
            await session.download(1, Path({str(tmp_path / "mail")!r}), timeout=60)
asyncio.run(main())
"""
    assert peak_memory(code, "big") - peak_memory(code, "none") < 10 * MIB
    assert hashlib.sha256((tmp_path / "mail").read_bytes()).digest() == wanted
    async with opened(dovecot.imap, account) as session:
        assert hashlib.sha256((await session.fetch(1)).raw).digest() == wanted
        async for came in session.messages():
            assert hashlib.sha256(came.raw).digest() == wanted


async def test_searches_put_together_find_what_they_mean(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, 'From: Zoë <z@example.org>\r\nSubject: Grüße\r\n\r\nein (a) "b" Text\r\n'.encode())
    dovecot.deliver(account, b"From: bob@example.org\r\nSubject: other\r\nX-A: b\r\n\r\n" + b"x" * 5000)
    today = datetime.now(UTC).date()
    async with opened(dovecot.imap, account) as session:
        await session.store(2, add={r"\Seen", "$Work"})
        cases = {
            search.unseen: [1],
            search.seen & search.keyword("$Work"): [2],
            search.subject("Grüße") | search.from_("bob"): [1, 2],
            ~search.subject("grüße") & ~search.draft: [2],
            ~(search.seen & search.larger(10)): [1],
            search.since(date(2000, 1, 1)) & search.from_("zoë"): [1],
            search.before(date(2000, 1, 1)): [],
            search.on(today) | search.since(today): [1, 2],
            search.header("X-A", "b") & search.larger(4000) & search.smaller(9000): [2],
            search.uids([1, 2, 9]) & search.text('(a) "b"'): [1],
            search.any_of([search.seen & search.unseen, search.raw("UID 2")]): [2],
            search.younger(3600): [1, 2],
        }
        for criteria, uids in cases.items():
            assert await session.search(criteria) == uids, criteria
        assert [message.uid async for message in session.messages(search.unseen)] == [1]


async def test_an_overview_reads_envelopes_and_structures(dovecot: Dovecot, account: Account) -> None:
    raw = (
        b'From: "x\\"y" <a@example.org>\r\nTo: undisclosed-recipients:;\r\nSubject: ((((\r\nMessage-ID: <1@x>\r\n'
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\nAAEC\r\n/w==\r\n--b--\r\n'
    )
    dovecot.deliver(account, raw)
    for message in ODD.values():
        dovecot.deliver(account, message)
    async with opened(dovecot.imap, account) as session:
        whole = await session.overview(structure=True)
        assert [one.uid for one in whole] == list(range(1, len(ODD) + 2))
        assert all(one.envelope and one.structure and not one.skipped for one in whole)
        first = whole[0]
        assert first.envelope
        assert first.structure
        assert (first.envelope.subject, first.envelope.message_id) == ("((((", "<1@x>")
        assert first.envelope.sent_from == (imap.Address('x"y', "a", "example.org"),)
        assert [str(one) for one in first.envelope.to] == ["undisclosed-recipients"]
        (pdf,) = [part for part in first.structure.walk() if part.filename]
        assert (pdf.number, pdf.content_type, pdf.filename) == ("2", "application/pdf", "a.pdf")
        assert await session.fetch_part(1, pdf) == await session.fetch_part(1, "2") == b"\0\x01\x02\xff"
        assert await session.fetch_part(1, "1") == b"text"
        assert await session.sizes() == {one.uid: one.size for one in whole}
        assert set(await session.flags()) == {one.uid for one in whole}
        assert [one.uid for one in await session.overview([3, 99])] == [3]


async def test_idle_tells_of_a_message_that_arrives(dovecot: Dovecot, account: Account) -> None:
    async with opened(dovecot.imap, account) as session, opened(dovecot.imap, account) as other:
        await other.append(b"\r\n")
        while not any(isinstance(one, imap.Exists) for one in await session.idle(10.0)):
            pass
        assert session.selected
        assert session.selected.exists == 1


async def test_a_resync_tells_of_changes_by_others(dovecot: Dovecot, account: Account) -> None:
    for _ in range(4):
        dovecot.deliver(account, b"\r\n")
    async with imap.session(dovecot.imap, who(account)) as session:
        assert await session.enable("QRESYNC") >= {"QRESYNC"}
        before = await session.select(condstore=True)
        assert before.highestmodseq
        assert before.uidvalidity
        async with opened(dovecot.imap, account) as other:
            await other.store(2, add={r"\Flagged"})
            await other.store(3, add={r"\Deleted"})
            await other.expunge()
            await other.append(b"\r\n")
        await session.unselect()
        told = await session.resync("INBOX", before.uidvalidity, before.highestmodseq)
        assert [list(gone) for gone in told.vanished] == [[3]]
        assert [one.uid for one in told.changed] == [2, 5]
        assert told.selected.exists == 4
        assert set(await session.flags(changed_since=before.highestmodseq)) == {2, 5}
        late = await session.store([2, 4], add={r"\Seen"}, unchanged_since=before.highestmodseq)
        assert set(late) == {4}  # the other was changed since


@pytest.mark.parametrize("name", NAMES)
async def test_any_mailbox_can_be_watched_and_synchronised(
    dovecot: Dovecot, account: Account, name: str, tmp_path: Path
) -> None:
    from urllib.parse import quote

    async with imap.session(dovecot.imap, who(account)) as session:
        await session.create_mailbox(name)
        status = await session.status(name)
        await session.append(b"Subject: x\r\n\r\n", name)
        url = f"{dovecot.imap}/{quote(name, safe='')}"
        assert (await imap.sync(url, tmp_path, who(account))).added == 1
        async with imap.watch(url, who(account), since=f"{status.uidvalidity}:1") as watch:
            assert (await anext(watch)).message.uid == 1
            await session.append(b"Subject: y\r\n\r\n", name)
            assert (await anext(watch)).message.uid == 2


async def changed_while_they_come(url: str, dovecot: Dovecot, account: Account, count: int) -> None:
    for number in range(count):
        dovecot.deliver(account, b"Subject: %d\r\n\r\n" % number + b"x" * (number * 37 % 9000))
    came = 0
    async with opened(url, account) as session:
        async for message in session.messages(timeout=60):
            assert isinstance(message.uid, int)
            assert r"\Seen" in (await session.store(message.uid, add={r"\Seen"}))[message.uid]
            came += 1
            assert message.uid == came
            assert message.raw.startswith(b"Subject: %d\r\n" % (came - 1))
        assert came == count
        assert await session.search(search.unseen) == []


async def test_each_message_is_changed_while_the_next_ones_come(dovecot: Dovecot, account: Account) -> None:
    await changed_while_they_come(dovecot.imap, dovecot, account, 300)


@pytest.mark.slow
async def test_each_of_10000_messages_is_changed_while_the_next_ones_come(dovecot: Dovecot, account: Account) -> None:
    await changed_while_they_come(dovecot.imap, dovecot, account, 10_000)


async def test_far_away_the_messages_come_ahead_of_their_reader(dovecot: Dovecot, account: Account) -> None:
    """One round trip a message would take 1,000 times 30 ms; all of it takes a few of them."""
    for number in range(1000):
        dovecot.deliver(account, b"Subject: %d\r\n\r\n" % number)
    with DelayProxy((dovecot.host, dovecot.ports["imap"]), rtt=30) as proxy:
        async with opened(f"imap://{proxy.address}", account) as session:
            before = proxy.passed["to server"]
            assert len([message async for message in session.messages()]) == 1000
            assert proxy.passed["to server"] - before < 1000  # bytes: a handful of commands
