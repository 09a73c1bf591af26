"""Many messages in one loop: asked for ahead where that is allowed, in order, bounded, and never mixed up."""

import asyncio
from collections.abc import Callable

import pytest

from asyncnet import (
    ClosedError,
    Credentials,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    ProtocolError,
    RefusedError,
    pop3,
)
from asyncnet.pop3 import retrieve
from tests.peers import MS, Script
from tests.peers.talk import Talk
from tests.pop3.talks import ALICE, GREETED, LEFT, SIGNED_IN, stuffed, url

PIPELINED = GREETED + SIGNED_IN.replace("S: TOP\n", "S: TOP\n    S: PIPELINING\n")
ONE_BY_ONE = GREETED + SIGNED_IN


def contents(*sizes: int, uids: str = "") -> str:
    """LIST and UIDL in one go."""
    listed = "".join(f"S: {number} {size}\n" for number, size in enumerate(sizes, 1))
    ids = uids or "S: +OK\n" + "".join(f"S: {number} uid-{number}\n" for number in range(1, len(sizes) + 1)) + "S: .\n"
    return f"\nC: LIST\nC: UIDL\nS: +OK\n{listed}S: .\n{ids}"


def asked(*numbers: int) -> str:
    return "".join(f"C: RETR {number}\n" for number in numbers)


def given(*numbers: int) -> str:
    return "".join(f"S: +OK\nS: text of {number}\nS: ..\nS: .\n" for number in numbers)


def text(number: int) -> bytes:
    return b"text of %d\r\n.\r\n" % number


def opened(peer: Script, **options: object) -> pop3.Session:
    return pop3.session(url(peer), ALICE, **options)  # type: ignore[arg-type]


async def raws(messages: pop3.Messages) -> list[bytes]:
    return [message.raw async for message in messages]


async def test_all_commands_go_out_before_the_first_answer_where_the_server_pipelines() -> None:
    talk = PIPELINED + contents(9, 9, 9) + asked(1, 2, 3) + given(1, 2, 3) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = [message async for message in maildrop.messages()]
    assert [message.raw for message in messages] == [text(1), text(2), text(3)]
    assert [(message.number, message.uid, message.size) for message in messages] == [
        (1, "uid-1", 9),
        (2, "uid-2", 9),
        (3, "uid-3", 9),
    ]


async def test_each_command_waits_for_its_answer_where_it_does_not() -> None:
    talk = ONE_BY_ONE + "C: LIST\nS: +OK\nS: 1 9\nS: 2 9\nS: .\nC: UIDL\nwait uids\nS: +OK\nS: 1 a\nS: 2 b\nS: .\n"
    talk += "C: RETR 1\nwait first\n" + given(1) + "C: RETR 2\n" + given(2) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        task = asyncio.create_task(raws(maildrop.messages()))
        await peer.until("uids")
        peer.release("uids")
        await peer.until("first")
        await asyncio.sleep(20 * MS)
        assert b"RETR 2" not in peer.received
        peer.release("first")
        assert await task == [text(1), text(2)]


async def test_the_window_is_bounded_by_count_and_filled_up_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "WINDOW_COUNT", 4)
    talk = PIPELINED + contents(*[9] * 8) + asked(1, 2, 3, 4) + "wait half\n" + given(1, 2) + asked(5, 6)
    talk += given(3, 4) + asked(7, 8) + given(5, 6, 7, 8) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        task = asyncio.create_task(raws(maildrop.messages()))
        await peer.until("half")
        await asyncio.sleep(20 * MS)
        assert b"RETR 5" not in peer.received
        peer.release("half")
        assert await task == [text(number) for number in range(1, 9)]


async def test_the_window_is_bounded_by_the_bytes_of_list_and_a_larger_message_goes_alone() -> None:
    half, more = retrieve.WINDOW_BYTES // 2, retrieve.WINDOW_BYTES * 2
    talk = PIPELINED + contents(half, half, 1, more, 1) + asked(1, 2) + "wait one\n" + given(1) + asked(3) + given(2, 3)
    talk += asked(4) + "wait two\n" + given(4) + asked(5) + given(5) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        task = asyncio.create_task(raws(maildrop.messages()))
        for stop, later in (("one", b"RETR 3"), ("two", b"RETR 5")):
            await peer.until(stop)
            await asyncio.sleep(20 * MS)
            assert later not in peer.received
            peer.release(stop)
        assert await task == [text(number) for number in range(1, 6)]


async def test_only_what_is_new_is_asked_for() -> None:
    talk = PIPELINED + contents(9, 9, 9, 9) + asked(2, 4) + given(2, 4) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        assert await raws(maildrop.messages(new_since={"uid-1", "uid-3"})) == [text(2), text(4)]


async def test_the_numbers_asked_for_come_in_their_order_and_are_looked_up_once() -> None:
    talk = PIPELINED + contents(9, 9, 9) + asked(3, 1) + given(3, 1) + asked(2) + given(2) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        assert await raws(maildrop.messages([3, 1])) == [text(3), text(1)]
        assert await raws(maildrop.messages([2])) == [text(2)]


@pytest.mark.parametrize("numbers", [[0], [-1], ["1\r\nDELE 1"], [10**9]])
async def test_a_number_that_is_none_is_refused_before_a_byte_is_sent(numbers: list[int]) -> None:
    async with Script(PIPELINED + LEFT) as peer, opened(peer) as maildrop:
        with pytest.raises(ValueError, match="not a number"):
            maildrop.messages(numbers)


async def test_an_empty_maildrop_is_an_empty_loop() -> None:
    async with Script(PIPELINED + contents() + LEFT) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        assert await raws(messages) == []
        assert await raws(messages) == []


async def test_without_unique_ids_messages_have_none_and_new_ones_cannot_be_told() -> None:
    listed = contents(9, uids="S: -ERR no UIDL\n")
    async with Script(PIPELINED + listed + asked(1) + given(1) + listed + LEFT) as peer, opened(peer) as maildrop:
        [message] = [message async for message in maildrop.messages()]
        assert message.uid is None
        with pytest.raises(RefusedError, match="no UIDL"):
            await anext(maildrop.messages(new_since=()))
        assert maildrop.is_open


async def test_list_and_uidl_that_do_not_agree_break_the_session() -> None:
    async with Script(PIPELINED + contents(9, 9, uids="S: +OK\nS: 1 a\nS: .\n")) as peer, opened(peer) as maildrop:
        with pytest.raises(ProtocolError, match="not the same"):
            await anext(maildrop.messages())
        assert not maildrop.is_open


async def test_a_refused_list_takes_its_uidl_with_it() -> None:
    talk = PIPELINED + "C: LIST\nC: UIDL\nS: -ERR no\nS: +OK\nS: 1 a\nS: .\nC: STAT\nS: +OK 1 9" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        with pytest.raises(RefusedError):
            await anext(maildrop.messages())
        assert await maildrop.stat() == (1, 9)


async def test_a_refused_list_is_all_that_was_asked_one_by_one() -> None:
    async with Script(ONE_BY_ONE + "C: LIST\nS: -ERR no\nC: STAT\nS: +OK 1 9" + LEFT) as peer:
        async with opened(peer) as maildrop:
            with pytest.raises(RefusedError):
                await anext(maildrop.messages())
            assert await maildrop.stat() == (1, 9)


async def test_a_message_that_is_refused_says_so_in_its_place_and_the_next_ones_come() -> None:
    talk = PIPELINED + contents(9, 9, 9) + asked(1, 2, 3) + given(1) + "S: -ERR [SYS/TEMP] gone\n" + given(3) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        assert (await anext(messages)).raw == text(1)
        with pytest.raises(RefusedError, match="gone") as caught:
            await anext(messages)
        assert caught.value.transient
        assert caught.value.operation == "RETR"
        assert str(peer.port) in (caught.value.endpoint or "")
        assert await raws(messages) == [text(3)]


async def test_a_message_that_list_says_is_too_long_is_not_asked_for() -> None:
    talk = PIPELINED + contents(999, 9, 999, 9) + asked(2, 4) + given(2, 4) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages(max_bytes=100)
        found: list[bytes] = []
        for _ in range(2):
            with pytest.raises(LimitError, match="999 bytes; at most 100"):
                await anext(messages)
            found.append((await anext(messages)).raw)
        assert found == [text(2), text(4)]
        assert await raws(messages) == []


async def test_a_message_longer_than_list_said_ends_the_session_after_those_before_it_were_given() -> None:
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1) + "S: +OK\nS: " + "x" * 101 + "\nS: .\n"
    async with Script(talk, check=False) as peer, opened(peer) as maildrop:
        messages = maildrop.messages(max_bytes=100)
        assert (await anext(messages)).raw == text(1)
        with pytest.raises(LimitError):
            await anext(messages)
        assert not maildrop.is_open


async def test_what_comes_in_all_is_bounded_whatever_list_said() -> None:
    talk = PIPELINED + contents(9, 9, 9) + asked(1, 2, 3) + given(1, 2, 3)
    async with Script(talk, check=False) as peer, opened(peer) as maildrop:
        messages = maildrop.messages(max_total_bytes=2 * len(text(1)))
        assert [(await anext(messages)).raw for _ in range(2)] == [text(1), text(2)]
        with pytest.raises(LimitError):
            await anext(messages)


async def test_a_message_that_comes_empty_is_an_error() -> None:
    talk = PIPELINED + contents(9) + asked(1) + "S: +OK\nS: .\n"
    async with Script(talk) as peer, opened(peer) as maildrop:
        with pytest.raises(ProtocolError, match="came empty"):
            await anext(maildrop.messages())


@pytest.mark.parametrize(("end", "error"), [("cut", IncompleteRead), ("reset", DisconnectedError)])
async def test_what_came_whole_is_given_before_the_line_breaks(end: str, error: type[Exception]) -> None:
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1) + "S: +OK\nS: half\nwait all\n" + end
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        task = asyncio.create_task(anext(messages))  # type: ignore[arg-type]
        await peer.until("all")
        peer.release("all")
        assert (await task).raw == text(1)
        with pytest.raises(error):
            await anext(messages)
        assert not maildrop.is_open
        with pytest.raises(ClosedError):
            await anext(messages)


# Other commands between.


async def test_another_command_in_the_loop_waits_for_what_is_under_way_and_all_stay_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_COUNT", 1)
    talk = PIPELINED + contents(9, 9, 9) + asked(1, 2, 3) + given(1, 2, 3)
    talk += "C: DELE 1\nS: +OK 1\nC: DELE 2\nS: +OK 2\nC: DELE 3\nS: +OK 3" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        found = []
        async for message in maildrop.messages():
            found.append(message.raw)
            assert message.number is not None
            await maildrop.delete(message.number)
        assert found == [text(1), text(2), text(3)]


async def test_what_is_kept_for_the_loop_is_bounded_and_the_rest_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_COUNT", 1)
    talk = PIPELINED + contents(*[9] * 5) + asked(1, 2, 3, 4, 5) + given(1, 2, 3) + "S: -ERR no\n" + given(5)
    talk += "C: NOOP\nS: +OK\n" + asked(4) + "S: -ERR no\n" + asked(5) + given(5) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        assert (await anext(messages)).raw == text(1)
        monkeypatch.setattr(retrieve, "WINDOW_BYTES", len(text(1)) + 1)
        await maildrop.noop()
        assert [(await anext(messages)).raw for _ in range(2)] == [text(2), text(3)]
        with pytest.raises(RefusedError):
            await anext(messages)
        assert await raws(messages) == [text(5)]


@pytest.mark.parametrize("how", ["dropped", "kept", "abandoned"])
async def test_a_loop_left_early_leaves_the_session_as_it_should_be(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_COUNT", 1)
    talk = PIPELINED + contents(9, 9, 99) + asked(1, 2) + given(1) + "S: +OK\nS: +OK 7 7\nS: .\n"
    talk += "C: STAT\nS: +OK 3 117" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages(max_bytes=50)
        async for _ in messages:
            break
        if how == "dropped":
            del messages
        elif how == "abandoned":
            messages.abandon()
        assert await maildrop.stat() == (3, 117)
        if how == "kept":
            assert (await anext(messages)).raw == b"+OK 7 7\r\n"
        elif how == "abandoned":
            assert await raws(messages) == []


async def test_a_loop_left_early_says_quit_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_COUNT", 1)
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1, 2) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        async for _ in maildrop.messages():
            break
    assert peer.lines[-1] == b"QUIT"


async def test_two_loops_over_one_maildrop_each_get_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_COUNT", 1)
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1, 2) + contents(9, 9) + asked(1, 2) + given(1, 2) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        one, other = maildrop.messages(), maildrop.messages()
        found = [(await anext(one)).raw, (await anext(other)).raw, (await anext(one)).raw, (await anext(other)).raw]
        assert found == [text(1), text(1), text(2), text(2)]
        assert await raws(one) == await raws(other) == []


async def test_two_tasks_that_share_a_loop_get_each_message_once() -> None:
    numbers = range(1, 41)
    talk = PIPELINED + (contents(*[9] * 40) + asked(*numbers) + given(*numbers)) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        await anext(messages)
        found = await asyncio.gather(raws(messages), raws(messages))
        assert sorted(found[0] + found[1]) == sorted(text(number) for number in range(2, 41))


async def test_a_failure_that_another_command_meets_ends_both() -> None:
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1) + "S: garbage\n"
    async with Script(talk, check=False) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        assert (await anext(messages)).raw == text(1)
        with pytest.raises(ProtocolError):
            await maildrop.stat()
        with pytest.raises(ClosedError):
            await anext(messages)


async def test_an_answer_too_many_is_found_before_the_next_command() -> None:
    talk = PIPELINED + contents(9) + asked(1) + given(1, 2) + "silence"
    async with Script(talk, check=False) as peer, opened(peer) as maildrop:
        assert await raws(maildrop.messages()) == [text(1)]
        with pytest.raises(ProtocolError, match="before its command"):
            await maildrop.stat()


# Time, memory, and where the pieces are cut.


async def test_the_deadline_of_a_wait_closes_the_session() -> None:
    async with Script(PIPELINED + contents(9) + asked(1) + "S: +OK\nsilence") as peer, opened(peer) as maildrop:
        with pytest.raises(DeadlineError) as caught:
            await anext(maildrop.messages(timeout=50 * MS))
        assert caught.value.operation == "RETR"
        assert not maildrop.is_open


async def test_a_cancelled_wait_closes_the_session() -> None:
    async with Script(PIPELINED + contents(9) + asked(1) + "S: +OK\nsilence") as peer, opened(peer) as maildrop:
        task = asyncio.create_task(anext(maildrop.messages()))  # type: ignore[arg-type]
        await peer.until(b"RETR 1\r\n")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not maildrop.is_open


async def test_on_a_slow_line_each_message_comes_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "_BATCH_SECONDS", 0.0)
    talk = PIPELINED + contents(9, 9) + asked(1, 2) + given(1) + "wait seen\n" + given(2) + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        assert (await anext(messages)).raw == text(1)
        peer.release("seen")
        assert await raws(messages) == [text(2)]


async def test_a_reader_that_rests_holds_up_a_server_that_sends_more_than_it_listed() -> None:
    big = b"x" * 1024 * 1024 + b"\r\n"
    count = 60

    def talk(it: Talk) -> None:
        it.say("+OK ready")
        for command, answer in (("CAPA", "+OK\r\nUSER\r\nPIPELINING\r\n."), ("USER *", "+OK"), ("PASS *", "+OK")):
            it.expect(command)
            it.say(answer)
        it.expect("LIST")
        it.expect("UIDL")
        for what in ("10", "u{0}"):
            it.say("\r\n".join(["+OK", *(f"{n} {what.format(n)}" for n in range(1, count + 1)), "."]))
        for number in range(1, count + 1):
            it.expect(f"RETR {number}")
        for _ in range(count):
            it.say("+OK")
            it.send_bytes(stuffed(big))
            it.flush()
        it.expect("QUIT")
        it.say("+OK")
        it.close()

    async with Script(talk) as peer, opened(peer) as maildrop:
        messages = maildrop.messages()
        await anext(messages)
        await asyncio.sleep(100 * MS)
        assert peer.sent < 20 * len(big)  # the sockets' buffers, and a batch
        assert len(await raws(messages)) == count - 1


@pytest.mark.parametrize("size", range(1, 12))
async def test_wherever_the_pieces_are_cut_the_messages_are_the_same(size: int) -> None:
    texts = [b".\r\n", b"..\r\n", b"\r\n", b"a\r\n.b\r\n\r\n.\r\n", b"\r\n.\n.\r\r\n", b"end\r\n"]
    bodies = {f"t{number}": b"+OK\r\n" + stuffed(one) for number, one in enumerate(texts)}
    talk = PIPELINED + contents(*map(len, texts)) + asked(*range(1, len(texts) + 1))
    talk += f"drip {size} 0\n" + "".join(f"dump {name}\n" for name in bodies) + "drip off\n" + LEFT
    async with Script(talk, bodies=bodies) as peer, opened(peer) as maildrop:
        assert await raws(maildrop.messages()) == texts


# Deleting many, and what else is new.


async def test_many_are_deleted_at_once_and_the_refused_ones_are_named() -> None:
    talk = PIPELINED + "C: DELE 4\nC: DELE 1\nC: DELE 2\nC: DELE 3\nS: +OK\nS: +OK\nS: -ERR no\nS: -ERR nor\n" + LEFT
    async with Script(talk) as peer:
        maildrop = await opened(peer).open()
        with pytest.raises(RefusedError, match="no") as caught:
            await maildrop.delete_all([4, 1, 2, 3])
        assert caught.value.numbers == [2, 3]
        await maildrop.delete_all([1, 4])  # marked already: not a word
        assert await maildrop.quit() == [1, 4]


async def test_without_pipelining_each_deletion_waits_for_the_one_before() -> None:
    talk = ONE_BY_ONE + "C: DELE 1\nwait one\nS: +OK\nC: DELE 2\nS: +OK" + LEFT
    async with Script(talk) as peer, opened(peer) as maildrop:
        task = asyncio.create_task(maildrop.delete_all([1, 2]))
        await peer.until("one")
        await asyncio.sleep(10 * MS)
        assert b"DELE 2" not in peer.received
        peer.release("one")
        await task


async def test_what_capa_said_when_it_was_asked_for_by_hand_counts_too() -> None:
    talk = GREETED + "C: CAPA\nS: +OK\nS: PIPELINING\nS: .\n" + contents(9, 9) + asked(1, 2) + given(1, 2) + LEFT
    async with Script(talk) as peer, pop3.session(url(peer)) as maildrop:
        assert await maildrop.capabilities() == {"PIPELINING": ()}
        assert await raws(maildrop.messages()) == [text(1), text(2)]


UTF8 = GREETED + "C: CAPA\nS: +OK\nS: USER\nS: UTF8 USER\nS: .\nC: UTF8\n"


async def test_utf8_is_asked_for_before_the_login() -> None:
    talk = UTF8 + "S: +OK\nC: USER grün\nS: +OK\nC: PASS schön\nS: +OK" + LEFT
    async with Script(talk) as peer, pop3.session(url(peer), Credentials("grün", "schön"), utf8=True) as maildrop:
        assert maildrop.is_open


@pytest.mark.parametrize("talk", [UTF8 + "S: -ERR no UTF8 today", GREETED + "C: CAPA\nS: +OK\nS: USER\nS: .\neof"])
async def test_where_utf8_is_not_to_be_had_the_opening_says_so(talk: str) -> None:
    async with Script(talk, check=False) as peer:
        with pytest.raises(RefusedError, match="UTF8"):
            await opened(peer, utf8=True).open()


# The slow ones.


@pytest.mark.slow
@pytest.mark.parametrize("begin", [lambda m: m.retrieve(1), lambda m: anext(m.messages([1, 2]))], ids=["one", "loop"])
async def test_cancelled_a_thousand_times_it_never_answers_a_later_command_with_text(
    begin: Callable[[pop3.Session], object],
) -> None:
    talk = PIPELINED + "read 6\nS: +OK\nS: +OK 7 7\nS: +OK 7 7\nS: +OK 7 7\nsilence"
    async with Script(talk, repeat=True, check=False) as peer:
        for number in range(1000):
            maildrop = await opened(peer).open()
            task = asyncio.create_task(_awaited(begin(maildrop)))
            for _ in range(1 + number % 7):  # it has begun
                await asyncio.sleep(0)
            if number % 3 == 0:
                await asyncio.sleep(MS)
            task.cancel()
            with pytest.raises((ClosedError, DisconnectedError, ProtocolError)):
                await maildrop.stat(timeout=1000 * MS)
            await asyncio.wait([task])
            await maildrop.aclose()


async def _awaited(what: object) -> object:
    return await what  # type: ignore[misc]
