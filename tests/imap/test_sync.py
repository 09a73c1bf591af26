"""A mailbox as files: what a server withholds, miscounts or breaks off costs no message that is there."""

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncnet import DisconnectedError, NetError, ProtocolError, RefusedError, UsageError, imap
from asyncnet.imap.sync_folder import SyncFolder, SyncState
from tests.imap.talks import url
from tests.imap.test_delivery import FETCH, uids_in
from tests.peers import MS, Script, Talk


class Mailbox:
    """A server of messages by UID, as a function of a Talk; `on` interferes with the answer to a command."""

    def __init__(self, messages: dict[int, bytes], *, validity: int = 7, able: str = "") -> None:
        self.messages = messages
        self.validity = validity
        self.able = able
        self.flags: dict[int, bytes] = {}
        self.listed: set[int] | None = None
        self.withheld: set[int] = set()
        self.on: Callable[[Talk, bytes], bool] = lambda talk, line: False
        self.commands: list[bytes] = []

    def __call__(self, talk: Talk) -> None:
        talk.say(f"* PREAUTH [CAPABILITY IMAP4rev1 {self.able}] hi")
        while True:
            talk.expect("/(?P<line>.*)/")
            line = talk.names["line"]
            tag, rest = line.split(b" ", 1)
            self.commands.append(rest)
            if self.on(talk, rest):
                continue
            if rest.startswith(b"EXAMINE"):
                talk.send_bytes(b"* %d EXISTS\r\n" % len(self.messages))
                if self.validity:
                    talk.send_bytes(b"* OK [UIDVALIDITY %d]\r\n" % self.validity)
            elif rest.startswith(b"UID FETCH 1:* (UID FLAGS)"):
                for uid in sorted(self.messages if self.listed is None else self.listed):
                    talk.send_bytes(b"* 1 FETCH (UID %d FLAGS (%b))\r\n" % (uid, self.flags.get(uid, b"")))
            elif match := FETCH.fullmatch(line):
                self.fetch(talk, [uid for uid in uids_in(match[2]) if uid in self.messages], match[3])
            elif b"SEARCH" in rest:
                talk.send_bytes(b"* SEARCH " + b" ".join(b"%d" % uid for uid in sorted(self.messages)) + b"\r\n")
            elif rest == b"LOGOUT":
                talk.send_bytes(b"* BYE\r\n%b OK\r\n" % tag)
                return
            talk.send_bytes(tag + b" OK done\r\n")

    def fetch(self, talk: Talk, uids: list[int], items: bytes) -> None:
        for uid in uids:
            raw = self.messages[uid]
            told = b"* 1 FETCH (UID %d RFC822.SIZE %d" % (uid, len(raw))
            if b"BODY" in items and uid in self.withheld:
                continue
            if b"FLAGS" in items:
                told += b" FLAGS (%b)" % self.flags.get(uid, b"")
            if b"<" in items:
                offset, count = map(int, items.partition(b"<")[2].partition(b">")[0].split(b"."))
                part = raw[offset : offset + count]
                told += b" BODY[]<%d> {%d}\r\n%b" % (offset, len(part), part) if part else b" BODY[]<%d> NIL" % offset
            elif b"BODY" in items:
                told += b" BODY[] {%d}\r\n%b" % (len(raw), raw)
            talk.send_bytes(told + b")\r\n")
            talk.flush()


def small(count: int) -> dict[int, bytes]:
    return {uid: b"Subject: %d\r\n\r\n" % uid for uid in range(1, count + 1)}


def contents(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "cur").iterdir())


async def test_a_server_without_extensions_is_asked_for_the_flags_alone(tmp_path: Path) -> None:
    mail = Mailbox(small(5))
    async with Script(mail, repeat=True) as peer:
        assert (await imap.sync(url(peer), tmp_path, connections=1)).added == 5
        mail.flags = {2: b"\\Seen \\Deleted $x", 3: b"\\flagged"}
        mail.commands.clear()
        assert await imap.sync(url(peer), tmp_path) == imap.Synced(5, flagged=2)
        assert mail.commands == [b'EXAMINE "INBOX"', b"UID FETCH 1:* (UID FLAGS)", b"LOGOUT"]
    names = sorted(path.name for path in (tmp_path / "cur").iterdir())
    assert names == ["V7U1,S=14:2,", "V7U2,S=14:2,ST", "V7U3,S=14:2,F", "V7U4,S=14:2,", "V7U5,S=14:2,"]


async def test_a_list_that_is_too_short_removes_nothing(tmp_path: Path) -> None:
    mail = Mailbox(small(5))
    async with Script(mail, repeat=True, check=False) as peer:
        await imap.sync(url(peer), tmp_path)
        mail.listed = {1, 2}
        with pytest.raises(ProtocolError, match="lists 2 of its 5"):
            await imap.sync(url(peer), tmp_path)
    assert contents(tmp_path) == sorted(mail.messages.values())


async def test_a_message_that_is_withheld_is_an_error_and_the_others_come(tmp_path: Path) -> None:
    mail = Mailbox(small(9))
    mail.withheld = {4}
    async with Script(mail, repeat=True, check=False) as peer:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="UID 4"):
                await imap.sync(url(peer), tmp_path, connections=1)
            assert contents(tmp_path) == sorted(raw for uid, raw in mail.messages.items() if uid != 4)
            assert not (tmp_path / ".asyncnet-sync.json").exists()
        mail.withheld = set()
        assert (await imap.sync(url(peer), tmp_path)).added == 1


@pytest.mark.parametrize("connections", [1, 3])
async def test_after_a_cut_only_what_is_missing_is_fetched(tmp_path: Path, connections: int) -> None:
    mail = Mailbox({uid: b"x" * 300_000 + b"%d" % uid for uid in range(1, 21)})
    seen = 0

    def cut(talk: Talk, line: bytes) -> bool:
        nonlocal seen
        if b"BODY" in line:
            seen += 1
            if seen == 3:
                talk.flush()
                talk.cut()
        return False

    mail.on = cut
    async with Script(mail, repeat=True, check=False) as peer:
        with pytest.raises(DisconnectedError):
            await imap.sync(url(peer), tmp_path, connections=connections)
        there = len(contents(tmp_path))
        assert set(contents(tmp_path)) <= set(mail.messages.values())
        again = await imap.sync(url(peer), tmp_path, connections=connections)
        assert again.added == 20 - there
    assert contents(tmp_path) == sorted(mail.messages.values())


@pytest.mark.parametrize("slice_bytes", [500_000, 250_000, 100_000])
async def test_a_big_message_is_gone_on_with_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    monkeypatch.setattr(importlib.import_module("asyncnet.imap.sync"), "_BIG_BYTES", 100_000)
    monkeypatch.setattr(importlib.import_module("asyncnet.imap.sync"), "_SLICE_BYTES", slice_bytes)
    mail = Mailbox({1: b"x" * 99_999, 2: bytes(range(1, 251)) * 4000, 3: b"last"})

    def cut(talk: Talk, line: bytes) -> bool:
        if b"UID FETCH 2 (UID RFC822.SIZE BODY.PEEK[]<500000." in line and not mail.flags:
            mail.flags[2] = b""
            talk.send_bytes(b"* 2 FETCH (UID 2 BODY[]<500000> {500000}\r\n" + mail.messages[2][500_000:700_000])
            talk.flush()
            talk.cut()
        return False

    mail.on = cut
    async with Script(mail, repeat=True, check=False) as peer:
        with pytest.raises(DisconnectedError):
            await imap.sync(url(peer), tmp_path, connections=1)
        (part,) = (path for path in (tmp_path / "tmp").iterdir())
        assert part.read_bytes() == mail.messages[2][:700_000]
        again = await imap.sync(url(peer), tmp_path, connections=1)
        assert again.fetched_bytes == 300_000
    assert contents(tmp_path) == sorted(mail.messages.values())
    assert not list((tmp_path / "tmp").glob("V*"))


async def test_cancelled_it_leaves_whole_files_and_no_lock(tmp_path: Path) -> None:
    mail = Mailbox({uid: b"x" * 400_000 for uid in range(1, 30)})
    async with Script(mail, repeat=True, check=False) as peer:
        running = asyncio.create_task(imap.sync(url(peer), tmp_path))
        while not list(tmp_path.glob("cur/*")):  # noqa: ASYNC110 (files tell nobody)
            await asyncio.sleep(MS)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert {len(raw) for raw in contents(tmp_path)} == {400_000}
        assert (await imap.sync(url(peer), tmp_path)).messages == 29


async def test_a_mailbox_whose_uids_do_not_last_is_refused(tmp_path: Path) -> None:
    async with Script(Mailbox(small(1), validity=0), repeat=True, check=False) as peer:
        with pytest.raises(RefusedError, match="UIDVALIDITY"):
            await imap.sync(url(peer), tmp_path)
    async with Script(Mailbox(small(1)), repeat=True, check=False) as peer:
        with pytest.raises(RefusedError, match="UIDVALIDITY"):
            await imap.sync(f"{url(peer)}/INBOX;UIDVALIDITY=8", tmp_path)


async def test_a_new_uidvalidity_replaces_all_files_once_the_new_ones_are_there(tmp_path: Path) -> None:
    mail = Mailbox(small(3))
    async with Script(mail, repeat=True, check=False) as peer:
        await imap.sync(url(peer), tmp_path)
        mail.validity, mail.messages = 8, {1: b"new 1", 2: b"new 2"}
        mail.withheld = {2}
        with pytest.raises(ProtocolError):
            await imap.sync(url(peer), tmp_path)
        assert contents(tmp_path) == sorted([*small(3).values(), b"new 1"])
        mail.withheld = set()
        assert await imap.sync(url(peer), tmp_path) == imap.Synced(2, added=1, removed=3, fetched_bytes=5)
    assert contents(tmp_path) == [b"new 1", b"new 2"]


async def test_what_cannot_be_synchronised_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    for path, options in (("/INBOX/;UID=3", {}), ("?ALL", {}), ("", {"connections": 0}), ("", {"layout": "mbox"})):
        with pytest.raises(UsageError):
            await imap.sync(f"imap://127.0.0.1{path}", tmp_path, **options)  # type: ignore[arg-type]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file") as failed:
        await imap.sync("imap://127.0.0.1", tmp_path / "file")
    assert not isinstance(failed.value, NetError)


def test_a_state_that_cannot_be_read_is_none_and_a_whole_one_comes_back(tmp_path: Path) -> None:
    files = SyncFolder(tmp_path, "eml")
    state = SyncState("imap://host/INBOX", 7, 40, None, 3, (1, 2))
    with files.locked():
        assert files.load("imap://host/INBOX") is None
        files.save(state)
        assert files.load("imap://host/INBOX") == state
        for broken in ("", "{", "[]", '{"mailbox": "x"}', json.dumps({"x": 1})):
            (tmp_path / ".asyncnet-sync.json").write_text(broken)
            assert files.load("imap://host/INBOX") is None
