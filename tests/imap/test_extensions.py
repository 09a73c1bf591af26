"""Extensions that are switched on, and what the server tells then: CONDSTORE, QRESYNC, UTF8=ACCEPT."""

import asyncio
from pathlib import Path

import pytest

from asyncnet import DisconnectedError, RefusedError, UsageError, imap
from tests.imap.talks import LEFT, OPEN, known
from tests.peers import Script

ABLE = "S: * PREAUTH [CAPABILITY IMAP4rev1 ENABLE CONDSTORE QRESYNC UIDPLUS LITERAL+ UTF8=ACCEPT] ready\n"
ENABLED = "C: {tag} ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: {tag} OK\n"
RESYNCED = r"""
    C: {tag} EXAMINE "INBOX" (QRESYNC (67890007 90060115194045000))
    S: * OK [CLOSED] the old one
    S: * 314 EXISTS
    S: * OK [UIDVALIDITY 67890007] UIDVALIDITY
    S: * OK [UIDNEXT 567] Predicted next UID
    S: * OK [HIGHESTMODSEQ 90060115205545359] Highest
    S: * VANISHED (EARLIER) 1:5,7:8,10:15
    S: * 49 FETCH (UID 117 FLAGS (\Seen \Answered) MODSEQ (90060115194045001))
    S: * 50 FETCH (FLAGS (\Seen))
    S: {tag} OK [READ-ONLY] mailbox selected
"""


async def test_a_resync_tells_what_has_changed_since_then() -> None:
    async with Script(ABLE + ENABLED + RESYNCED + RESYNCED + LEFT) as peer, known(peer) as session:
        told = await session.resync("INBOX", 67890007, 90060115194045000, read_only=True)
        assert session.enabled == {"QRESYNC"}
        again = await session.resync("INBOX", 67890007, 90060115194045000, read_only=True)  # switched on once
    assert again == told
    assert told.selected.exists == 314
    assert told.selected.highestmodseq == 90060115205545359
    assert told.vanished == (imap.UidSet(((1, 5), (7, 8), (10, 15))),)
    assert [(one.uid, one.flags) for one in told.changed] == [(117, {r"\Seen", r"\Answered"})]


async def test_without_qresync_a_resync_is_refused_before_anything_is_sent() -> None:
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="QRESYNC"):
            await session.resync("INBOX", 1, 1)
        with pytest.raises(UsageError):
            await session.enable("QRESYNC")  # a mailbox is open
        for names in ((), ("QRESYNC\r\nA1 LOGOUT",), ("a b",), ("",)):
            with pytest.raises(UsageError):
                await session.enable(*names)


async def test_a_refused_resync_leaves_no_mailbox_open() -> None:
    talk = ABLE + ENABLED + "C: {tag} SELECT *\nS: {tag} NO [NONEXISTENT] none\n" + LEFT
    async with Script(talk) as peer, known(peer) as session:
        with pytest.raises(RefusedError, match="NONEXISTENT"):
            await session.resync("INBOX", 1, 1)
        assert session.selected is None
        assert session.is_open


async def test_what_has_vanished_counts_as_expunged() -> None:
    talk = r"""
        C: {tag} SELECT "INBOX" (CONDSTORE)
        S: * 9 EXISTS
        S: * OK [HIGHESTMODSEQ 5] kept
        S: {tag} OK
        C: {tag} UID EXPUNGE 3:7
        S: * VANISHED 3:5,7
        S: {tag} OK
    """
    async with Script(ABLE + talk + LEFT) as peer, known(peer) as session:
        assert (await session.select(condstore=True)).highestmodseq == 5
        assert await session.expunge(range(3, 8)) == 4
        assert session.selected
        assert session.selected.exists == 5


async def test_flags_are_stored_only_where_nobody_else_changed_them() -> None:
    talk = r"""
        C: {tag} UID STORE 6,4,7:9 (UNCHANGEDSINCE 12121230045) +FLAGS (\Deleted)
        S: * 1 FETCH (UID 4 MODSEQ (12121231000) FLAGS (\Deleted))
        S: * 2 FETCH (UID 7 FLAGS (\Seen))
        S: {tag} OK [MODIFIED 7,9] Conditional STORE failed
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        done = await session.store([6, 4, 7, 8, 9], add={r"\Deleted"}, unchanged_since=12121230045)
        assert done == {4: {r"\Deleted"}}
        with pytest.raises(UsageError):
            await session.store(1, add={r"\Seen"}, remove={r"\Deleted"}, unchanged_since=1)


async def test_with_utf8_on_names_and_searches_are_utf8() -> None:
    name, text = "Entwürfe".encode(), "Grüße".encode()
    talk = rf"""
        C: {{tag}} ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: {{tag}} OK
        C: {{tag}} LIST "" "*"
        S: * LIST () "/" "Entw\xc3\xbcrfe"
        S: * LIST () "/" "&AOQ-"
        S: * STATUS "&AOQ-" (MESSAGES 1)
        S: {{tag}} OK
        C: {{tag}} SELECT \{{{len(name)}+}}
        expect Entw\xc3\xbcrfe\r\n
        S: * 1 EXISTS
        S: {{tag}} OK
        C: {{tag}} UID SEARCH SUBJECT \{{{len(text)}+}}
        expect Gr\xc3\xbc\xc3\x9fe\r\n
        S: * SEARCH 1
        S: {{tag}} OK
    """
    talk = talk.replace('LIST "" "*"', r'LIST "" "\*"')
    async with Script(ABLE + talk + LEFT) as peer, known(peer) as session:
        assert await session.enable("UTF8=ACCEPT") == {"UTF8=ACCEPT"}
        assert [mailbox.name for mailbox in await session.list()] == ["Entwürfe", "&AOQ-"]
        await session.select("Entwürfe")
        assert await session.search('SUBJECT "Grüße"') == [1]


# Appending a file


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 600_000])
async def test_a_file_is_appended_as_it_is_read_with_crlf(size: int, tmp_path: Path) -> None:
    path = tmp_path / "mail"
    raw = (b"a\r\nb\nc\rd\r\r\n\n" * (size // 10 + 1))[:size]
    path.write_bytes(raw)
    sent = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    talk = f'C: {{tag}} APPEND "INBOX" (\\Seen) \\{{{len(sent)}+}}\nread {len(sent)}\n'
    talk += "expect \\r\\n\nS: {tag} OK [APPENDUID 1 9]\n"
    async with Script(OPEN + talk + LEFT) as peer:
        async with known(peer) as session:
            await session.select()
            assert await session.append(path, flags={r"\Seen"}) == 9
        assert peer.received.partition(b"+}\r\n")[2].startswith(sent + b"\r\n")


async def test_a_file_that_cannot_be_sent_is_refused_before_a_byte(tmp_path: Path) -> None:
    (tmp_path / "nul").write_bytes(b"a\0b")
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(UsageError, match="NUL"):
            await session.append(tmp_path / "nul")
        with pytest.raises(FileNotFoundError):
            await session.append(tmp_path / "none")
        assert session.is_open


@pytest.mark.parametrize("change", [b"longer than it was", b"x", None])
async def test_a_file_that_changes_while_it_is_sent_ends_the_session(change: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mail"
    path.write_bytes(b"as it was")
    talk = OPEN.replace("LITERAL+", "") + 'C: {tag} APPEND "INBOX" \\{9}\nwait changed\nS: + go\neof'
    async with Script(talk, check=False) as peer, known(peer) as session:
        await session.select()

        async def changed() -> None:
            await peer.until("changed")
            path.write_bytes(change) if change is not None else path.unlink()
            peer.release("changed")

        async with asyncio.TaskGroup() as group:
            group.create_task(changed())
            with pytest.raises(UsageError, match="file"):
                await session.append(path)
        assert not session.is_open
        with pytest.raises((DisconnectedError, UsageError)):
            await session.noop()
