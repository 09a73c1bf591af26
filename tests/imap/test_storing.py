"""Flags changed without waiting for each answer: in order, bounded, and every refusal is told."""

import asyncio

import pytest

from asyncnet import DeadlineError, DisconnectedError, RefusedError, UsageError
from asyncnet.imap import storing
from tests.clock import MS
from tests.imap.talks import LEFT, OPEN, SELECTED, known
from tests.peers import Script, Talk


async def test_no_answer_is_waited_for_and_the_end_waits_for_all() -> None:
    async with (
        Script(
            OPEN
            + r"""
            C: {tag_a} UID STORE 1 +FLAGS.SILENT (\Seen)
            C: {tag_b} UID STORE 2:3 -FLAGS.SILENT (\Seen)
            C: {tag_c} UID STORE 4 FLAGS.SILENT ($Work)
            S: {tag_b} OK
            S: {tag_a} OK
            S: {tag_c} OK
            """
            + LEFT
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        async with session.storing() as flags:
            await flags.store(1, add={r"\Seen"})
            await flags.store([2, 3], remove={r"\Seen"})
            await flags.store(4, replace={"$Work"})


async def test_a_refusal_is_told_by_the_end_of_the_block_and_names_the_message() -> None:
    async with (
        Script(
            OPEN
            + r"""
            C: {tag_a} UID STORE 1 +FLAGS.SILENT ($Work)
            C: {tag_b} UID STORE 2 +FLAGS.SILENT ($Work)
            S: {tag_a} OK
            S: {tag_b} NO [LIMIT] too many flags
            C: {tag} NOOP
            S: {tag} OK
            """
            + LEFT
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        with pytest.raises(RefusedError, match=r"UID STORE 2.*too many flags") as raised:
            async with session.storing() as flags:
                await flags.store(1, add={"$Work"})
                await flags.store(2, add={"$Work"})
        assert raised.value.transient
        await session.noop()


async def test_a_refusal_that_is_known_ends_the_next_call_before_it_sends() -> None:
    async with (
        Script(
            OPEN
            + r"""
            C: {tag_a} UID STORE 1 +FLAGS.SILENT ($Work)
            S: {tag_a} BAD no
            C: {tag_b} NOOP
            S: {tag_b} OK
            """
            + LEFT
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        with pytest.raises(RefusedError, match="UID STORE 1"):
            async with session.storing() as flags:
                await flags.store(1, add={"$Work"})
                await session.noop()  # its answer comes behind the refusal
                await flags.store(2, add={"$Work"})


async def test_a_call_that_waits_and_hears_of_a_refusal_sends_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_MAX_UNDER_WAY", 1)
    async with (
        Script(
            OPEN
            + r"""
            C: {tag} UID STORE 1 +FLAGS.SILENT ($Work)
            S: {tag} OK
            C: {tag} UID STORE 2 +FLAGS.SILENT ($Work)
            S: {tag} NO no
            C: {tag} NOOP
            S: {tag} OK
            """
            + LEFT
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        async with session.storing() as flags:
            await flags.store(1, add={"$Work"})
            with pytest.raises(RefusedError, match="UID STORE 2"):
                await flags.store(2, add={"$Work"}, remove={r"\Seen"})
            await session.noop()


async def test_a_silent_server_ends_the_block_at_its_deadline_and_the_session() -> None:
    async with Script(OPEN + "C: {tag} UID STORE 1 *\nsilence\n") as peer, known(peer) as session:
        await session.select()
        with pytest.raises(DeadlineError):
            async with session.storing(timeout=50 * MS) as flags:
                await flags.store(1, add={r"\Seen"})
        assert not session.is_open


async def test_so_many_are_under_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_MAX_UNDER_WAY", 3)
    ahead: list[int] = []
    sent = answered = 0

    def server(talk: Talk) -> None:
        nonlocal sent, answered
        for line in OPEN.splitlines():
            if line.strip().startswith("S: "):
                talk.say(line.strip()[3:])
            elif line.strip():
                talk.expect(line.strip()[3:])
        for _ in range(4):
            tags = []
            for _ in range(3):
                talk.expect("{tag} UID STORE *")
                tags.append(talk.names["tag"])
            for tag in tags:
                ahead.append(sent - answered)
                answered += 1
                talk.send_bytes(tag + b" OK\r\n")
        talk.expect("{tag} LOGOUT")
        talk.say("{tag} OK")

    async with Script(server) as peer, known(peer) as session:
        await session.select()
        async with session.storing() as flags:
            for uid in range(1, 13):
                await flags.store(uid, add={r"\Seen"})
                sent += 1
    assert answered == 12
    assert max(ahead) <= 3


async def test_another_mailbox_is_not_changed_by_mistake() -> None:
    async with Script(OPEN + SELECTED + LEFT) as peer, known(peer) as session:
        await session.select()
        async with session.storing() as flags:
            await session.select()
            with pytest.raises(UsageError, match="another mailbox"):
                await flags.store(1, add={r"\Seen"})


async def test_what_is_wrong_is_refused_before_a_byte_is_sent() -> None:
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        async with session.storing() as flags:
            for wrong in ({}, {"add": {"a b"}}, {"add": {"a"}, "replace": {"b"}}):
                with pytest.raises(UsageError):
                    await flags.store(1, **wrong)
            with pytest.raises(UsageError):
                await flags.store([], add={r"\Seen"})


async def test_a_lost_server_ends_the_block() -> None:
    async with Script(OPEN + "C: {tag} UID STORE 1 *\nS: * BYE gone\n") as peer, known(peer) as session:
        await session.select()
        with pytest.raises(DisconnectedError):
            async with session.storing() as flags:
                await flags.store(1, add={r"\Seen"})


async def test_a_block_that_fails_waits_for_nothing() -> None:
    talk = OPEN + "C: {tag_a} UID STORE 1 *\nC: {tag_b} NOOP\nS: {tag_a} NO\nS: {tag_b} OK\n" + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(ZeroDivisionError):
            async with session.storing() as flags:
                await flags.store(1, add={r"\Seen"})
                raise ZeroDivisionError
        await session.noop()


async def test_cancelled_at_the_end_it_closes_the_session() -> None:
    async with Script(OPEN + "C: {tag} UID STORE 1 *\nsilence\n") as peer, known(peer) as session:
        await session.select()

        async def change() -> None:
            async with session.storing() as flags:
                await flags.store(1, add={r"\Seen"})

        task = asyncio.create_task(change())
        await asyncio.sleep(50 * MS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.is_open


async def test_all_that_were_refused_are_named() -> None:
    async with (
        Script(
            OPEN
            + r"""
            C: {tag_a} UID STORE 1 +FLAGS.SILENT ($Work)
            C: {tag_b} UID STORE 2 +FLAGS.SILENT ($Work)
            C: {tag_c} UID STORE 3 +FLAGS.SILENT ($Work)
            S: {tag_a} NO first
            S: {tag_b} OK
            S: {tag_c} NO third
            """
            + LEFT
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        with pytest.raises(RefusedError, match=r"UID STORE 1,3\b.*first"):
            async with session.storing() as flags:
                for uid in (1, 2, 3):
                    await flags.store(uid, add={"$Work"})


async def test_a_refusal_that_came_is_told_though_the_session_is_lost_before_the_rest() -> None:
    async with (
        Script(
            OPEN
            + r"""
            C: {tag_a} UID STORE 1 +FLAGS.SILENT ($Work)
            C: {tag_b} UID STORE 2 +FLAGS.SILENT ($Work)
            S: {tag_a} NO [LIMIT] too many flags
            cut
            """,
            check=False,
        ) as peer,
        known(peer) as session,
    ):
        await session.select()
        with pytest.raises(RefusedError, match=r"UID STORE 1\b.*too many flags") as raised:
            async with session.storing() as flags:
                await flags.store(1, add={"$Work"})
                await flags.store(2, add={"$Work"})
        assert isinstance(raised.value.__cause__, DisconnectedError)
        assert not session.is_open


async def test_a_refusal_that_came_is_told_though_the_session_was_closed_since() -> None:
    talk = (
        OPEN
        + r"""
        C: {tag_a} UID STORE 1 +FLAGS.SILENT ($Work)
        C: {tag_b} NOOP
        S: {tag_a} NO no
        S: {tag_b} OK
        """
    )
    async with Script(talk + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="UID STORE 1"):
            async with session.storing() as flags:
                await flags.store(1, add={"$Work"})
                await session.noop()
                await session.aclose()
