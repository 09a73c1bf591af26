"""Watching, synchronising, idling and files: cancelled at each of their awaits, they leave nothing and lose nothing."""

import shutil
from pathlib import Path

from asyncnet import imap
from tests.cancelling import cancelled_at_each_await
from tests.imap.talks import LEFT, OPEN, known, url
from tests.imap.test_sync import Mailbox, contents
from tests.imap.test_watch import fetched, idled, opened, searched
from tests.peers import Script

BODY = bytes(range(1, 256)) * 100


async def test_a_watch() -> None:
    talk = opened(40) + searched(40) + idled() + searched(40, [40]) + fetched(40) + "eof"

    async def whole() -> None:
        async with imap.watch(url(peer)) as watch:
            assert (await anext(watch)).message.uid == 40

    async with Script(talk, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(whole) > 8


async def test_a_synchronisation(tmp_path: Path) -> None:
    mail = Mailbox({1: b"one", 2: BODY, 3: b"three"})

    async def whole() -> None:
        await imap.sync(url(peer), tmp_path / "mail", connections=1)
        assert contents(tmp_path / "mail") == sorted(mail.messages.values())
        shutil.rmtree(tmp_path / "mail")

    async with Script(mail, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(whole) > 10


async def test_idling_and_files(tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(b"abc")
    talk = (
        OPEN.replace("IMAP4rev1", "IMAP4rev1 IDLE", 1)
        + "C: {tag} IDLE\nS: + go\nS: * 4 EXISTS\nC: DONE\nS: {tag} OK\n"
        + 'C: {tag} APPEND "INBOX" {3+}\nexpect abc\\r\\n\nS: {tag} OK\n'
        + "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 BODY[] \\{{#body}}\ndump body\nS: )\nS: {tag} OK\n"
        + LEFT
    )

    async def whole() -> None:
        async with known(peer) as session:
            await session.select()
            assert await session.idle(60.0) == [imap.Exists(4)]
            await session.append(tmp_path / "mail")
            await session.download(7, tmp_path / "came")
        assert (tmp_path / "came").read_bytes() == BODY

    async with Script(talk, repeat=True, bodies={"body": BODY}, check=False) as peer:
        assert await cancelled_at_each_await(whole) > 10
