"""On asyncio's own loop and on uvloop: transports, TLS and flow control are not the same there."""

import asyncio
from pathlib import Path

import pytest

from asyncnet import DisconnectedError, ProtocolError, TLSError, imap
from tests.imap.talks import ABLE, ALICE, LEFT, OPEN, SELECTED, SIGNED_IN, known, url
from tests.loops import on_both_loops
from tests.peers import Authority, Script

TO_TLS = f"S: * OK [CAPABILITY {ABLE} STARTTLS] hi\nC: {{tag}} STARTTLS\nS: {{tag}} OK begin\nstarttls\n"
ASKED = f"C: {{tag}} CAPABILITY\nS: * CAPABILITY {ABLE} AUTH=PLAIN\nS: {{tag}} OK\n"
MAIL = b"x" * 9_000_000


@on_both_loops
async def test_a_big_message_goes_and_comes_under_starttls(authority: Authority) -> None:
    appended = f'C: {{tag}} APPEND "INBOX" {{{len(MAIL)}+}}\nread {len(MAIL)}\nexpect \\r\\n\nS: {{tag}} OK\n'
    fetched = "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 BODY[] \\{{#mail}}\ndump mail\nS: )\nS: {tag} OK\n"
    talk = TO_TLS + ASKED + SIGNED_IN + SELECTED + appended + fetched + LEFT
    async with (
        Script(talk, starttls=authority.server, bodies={"mail": MAIL}) as peer,
        imap.session(url(peer, "imap+starttls"), ALICE, tls=authority.client()) as session,
    ):
        await session.select()
        await session.append(MAIL)
        assert (await session.fetch(7)).raw == MAIL
    assert b"AUTHENTICATE" not in peer.cleartext


@on_both_loops
async def test_a_failed_upgrade_leaves_nothing(authority: Authority) -> None:
    async with Script(TO_TLS, starttls=authority.untrusted, check=False) as peer:
        with pytest.raises(TLSError):
            await imap.session(url(peer, "imap+starttls"), ALICE, tls=authority.client()).open()
    injected = TO_TLS.replace("starttls\n", "S: * OK injected\nstarttls\n")
    async with Script(injected, starttls=authority.server, check=False) as peer:
        with pytest.raises(ProtocolError):
            await imap.session(url(peer, "imap+starttls"), ALICE, tls=authority.client()).open()


@on_both_loops
async def test_an_early_answer_and_a_cut_are_noticed_while_a_literal_is_written() -> None:
    for end, kind in (("S: {tag} OK done\nsilence", ProtocolError), ("cut", DisconnectedError)):
        talk = OPEN + 'C: {tag} APPEND "INBOX" *\nread 100\n' + end
        async with Script(talk, check=False) as peer, known(peer) as session:
            await session.select()
            with pytest.raises(kind):
                await session.append(b"x" * 50_000_000)


@on_both_loops
async def test_a_big_file_goes_and_comes_under_tls(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(MAIL)
    appended = f'C: {{tag}} APPEND "INBOX" {{{len(MAIL)}+}}\nread {len(MAIL)}\nexpect \\r\\n\nS: {{tag}} OK\n'
    fetched = "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 BODY[] \\{{#mail}}\ndump mail\nS: )\nS: {tag} OK\n"
    talk = OPEN + appended + fetched + LEFT
    async with (
        Script(talk, tls=authority.server, bodies={"mail": MAIL}) as peer,
        imap.session(url(peer, "imaps"), tls=authority.client()) as session,
    ):
        await session.select()
        await session.append(tmp_path / "mail")
        assert await session.download(7, tmp_path / "came") == len(MAIL)
    assert (tmp_path / "came").read_bytes() == MAIL


@on_both_loops
async def test_idling_and_watching_end_at_once() -> None:
    idle = OPEN.replace("IMAP4rev1", "IMAP4rev1 IDLE", 1)
    begun = "C: {tag} IDLE\nS: + go\n"
    watched = idle.replace('SELECT "', 'EXAMINE "', 1) + "C: {tag} UID SEARCH *\nS: {tag} OK\n" + begun + "eof"
    async with Script(idle + begun + "C: DONE\nS: {tag} OK\n" + LEFT) as peer, known(peer) as session:
        await session.select()
        idling = asyncio.create_task(session.idle(60.0))
        await peer.until(b"IDLE\r\n")
        await session.aclose()
        assert await idling == []
    async with Script(watched) as peer:
        watch = imap.watch(url(peer))
        waiting = asyncio.create_task(anext(watch, None))
        await peer.until(b"IDLE\r\n")
        await watch.aclose()
        assert await waiting is None
