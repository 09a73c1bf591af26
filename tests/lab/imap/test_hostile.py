"""Hostile input: any split, any bytes, anything without end is BAD or BYE; never a traceback, never much memory."""

import asyncio
import contextlib
import logging
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncnet.lab.imap.incoming import MAX_LINE_BYTES
from asyncnet.lab.lab import Lab
from tests.clock import MS
from tests.lab.imap.raw import connected, opened, signed_in, until

TALK = (
    b"a LOGIN {2+}\r\nme {6+}\r\nsecret\r\nb SELECT INBOX\r\nc APPEND INBOX (\\Seen) {6+}\r\na\r\nb\r\n\r\n"
    b"d UID SEARCH CHARSET UTF-8 SUBJECT {6+}\r\nGr\xc3\xbc\xc3\x9f OR SEEN (NOT DELETED)\r\ne IDLE\r\nDONE\r\n"
    b'f FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)]<0.9>)\r\ng LIST "" "*"\r\nh LOGOUT\r\n'
)


async def answers(lab: Lab, pieces: list[bytes]) -> list[bytes]:
    lab.mailbox("me").clear()
    lab.mailbox("me").uid_next = 1
    async with connected(lab) as raw:
        for piece in pieces:
            await raw.send(piece)
            await asyncio.sleep(0)
        said = []
        while answer := await raw.response():
            said.append(answer)
    return [line for line in said if b"HIGHESTMODSEQ" not in line]


async def test_a_talk_is_the_same_at_every_split(lab: Lab) -> None:
    whole = await answers(lab, [TALK])
    assert whole[-1].startswith(b"h OK")
    assert not any(b" BAD " in line or b" NO " in line for line in whole)
    for at in range(1, len(TALK)):
        assert await answers(lab, [TALK[:at], TALK[at:]]) == whole
    assert await answers(lab, [TALK[at : at + 1] for at in range(len(TALK))]) == whole


@pytest.mark.parametrize(
    "sent",
    [
        b"x" * (MAX_LINE_BYTES + 10) + b"\r\n",
        b"a NOOP\n",
        b"a NO\rOP\r\n",
        b"a NO\0OP\r\n",
        b"\r\n",
        b"\r\n\r\n\r\n",
        b"a LOGIN \xff\xfe \xff\r\n",
        b"a LOGIN {0+}\r\n {0+}\r\n\r\n",
        b"a LOGIN " + b"{1+}\r\nx " * 150 + b"x\r\n",
        b"a LOGIN {70000+}\r\n" + b"x" * 70_000 + b" secret\r\n",
        b"a LOGIN {4294967295}\r\n",
        b"a LOGIN {9999999999}\r\n",
        b"a LOGIN {18446744073709551616}\r\n",
        b"a LOGIN {3+}\r\n\0\0\0 x\r\n",
        b"a AUTHENTICATE PLAIN " + b"A" * 30_000 + b"\r\n",
        b"a ID (" + b'"x" "y" ' * 100 + b")\r\n",
        b"a " + b"(" * 5_000 + b"\r\n",
        b"* OK hello\r\n",
        b"+ go on\r\n",
        b"a UID\r\na UID UID FETCH 1 UID\r\n",
    ],
    ids=range(20),
)
async def test_the_session_outlives_it(lab: Lab, sent: bytes) -> None:
    async with connected(lab) as raw:
        await raw.send(sent + b"z NOOP\r\n")
        said = await raw.until(b"z ")
        assert said[-1] == b"OK nothing done"
        assert said[:-1]
        assert all(b" BAD " in line or b" NO " in line for line in said[:-1]), said


@pytest.mark.parametrize(
    "sent", [b"x" * 8_000_000, b"a LOGIN {99999999+}\r\n" + b"x" * 8_000_000, b"a APPEND I {999999999+}\r\n"]
)
async def test_what_has_no_end_is_left(lab: Lab, sent: bytes) -> None:
    async with connected(lab) as raw:
        try:
            await raw.send(sent)
            while answer := await raw.response():
                assert answer.startswith((b"* BYE", b"* BAD"))
        except ConnectionError:
            pass  # what was still on its way met a closed door
    await until(lambda: not lab.imap.clients)


async def test_who_searches_for_long_lets_others_have_their_turn(lab: Lab) -> None:
    for _ in range(1000):
        lab.deliver("Subject: x\n\nx")
    async with opened(lab) as busy, signed_in(lab) as other:
        searching = asyncio.create_task(busy.ok("SEARCH " + " ".join(["UID 1:*"] * 1000)))
        try:
            for _ in range(3):
                await other.ok("NOOP")
            assert not searching.done()
        finally:
            assert len((await searching)[0].split()) == 1002


async def test_too_many_texts_are_not_looked_for_in_a_big_message(lab: Lab) -> None:
    lab.deliver(b"Subject: x\r\n\r\n" + b"x" * 1_000_000)
    async with opened(lab) as raw:
        assert (await raw.refused("SEARCH " + " ".join(["BODY y"] * 300))).startswith(b"NO [LIMIT] ")
        assert await raw.ok("SEARCH BODY x TEXT x") == [b"* SEARCH 1"]
        assert await raw.ok("SEARCH " + " ".join(["SUBJECT x"] * 300)) == [b"* SEARCH 1"]


async def test_too_many_fields_are_not_looked_for_in_a_big_header(lab: Lab) -> None:
    lab.deliver(b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nx")
    async with opened(lab) as raw:
        for key in ("SUBJECT y", "HEADER Subject y"):
            assert (await raw.refused("SEARCH " + " ".join([key] * 300))).startswith(b"NO [LIMIT] ")
        assert await raw.ok("SEARCH SUBJECT x HEADER Subject x") == [b"* SEARCH 1"]


async def test_too_much_is_not_told_of_one_message(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.lab.imap.fetch._MAX_TOLD_BYTES", 4_000_000)
    lab.deliver(b"Subject: x\r\n\r\n" + b"x" * 1_500_000)
    async with opened(lab) as raw:
        many = " ".join(f"BODY.PEEK[TEXT]<{at}.9999999>" for at in range(200))
        assert (await raw.refused(f"FETCH 1 ({many})")).startswith(b"NO [LIMIT] ")
        [told] = await raw.ok("FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT])")
        assert len(told) > 3_000_000


async def test_who_reads_much_for_little_lets_others_have_their_turn(lab: Lab) -> None:
    for _ in range(300):
        lab.deliver(b"Subject: x\r\n" + b"a: b\r\n" * 2_000 + b"\r\nx")
    async with opened(lab) as busy, signed_in(lab) as other:
        fetching = asyncio.create_task(busy.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]<0.1>"))
        try:
            for _ in range(3):
                await other.ok("NOOP")
            assert not fetching.done()
        finally:
            assert len(await fetching) == 300


async def test_who_has_not_signed_in_is_not_waited_for_with_a_message(lab: Lab) -> None:
    async with connected(lab) as raw:
        assert (await raw.refused("APPEND INBOX {100000}")).startswith(b"NO [TOOBIG] ")
        await raw.ok("LOGIN me secret")
        await raw.send(b"a APPEND INBOX {100000}\r\n")
        assert (await raw.response()).startswith(b"+ ")


_WORDS = [
    "a", "LOGIN", "me", "secret", "SELECT", "INBOX", "FETCH", "UID", "1:*", "BODY[", "]", "(", ")", "{3+}", "{3}", '"',
    "\\Seen", "FLAGS", "STORE", "SEARCH", "OR", "NOT", "RETURN", "IDLE", "DONE", "APPEND", "LIST", "%", "*", "$", "&",
    "STATUS", "MOVE", "COPY", "EXPUNGE", "\r\n", "\r\n", "\r\n", "\0", "\xff", "~{1+}", "<0.1>", "ENABLE", "QRESYNC",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
async def test_noise_of_words_never_ends_in_a_traceback(lab: Lab, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(seed)
    lab.deliver("Subject: x\n\nx")
    with caplog.at_level(logging.WARNING):
        async with opened(lab) as raw:
            for _ in range(30):
                words = [noise.choice(_WORDS) for _ in range(noise.randrange(12))]
                await raw.send(f"t{noise.randrange(99)} {' '.join(words)}\r\n".encode("latin-1"))
            raw.writer.write_eof()
            while await raw.response():
                pass
    assert "Traceback" not in caplog.text
    assert "the handler failed" not in caplog.text
    async with signed_in(lab) as raw:
        await raw.ok("NOOP")


async def test_noise_of_bytes_never_ends_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with Lab() as lab:

        async def feed(pieces: list[bytes]) -> None:
            async with connected(lab) as raw:
                try:
                    for piece in pieces:
                        await raw.send(piece)
                    raw.writer.write_eof()
                    while await raw.response():
                        pass
                except ConnectionError:
                    pass

        noise = random.Random(1)
        for _ in range(40):
            await feed([noise.randbytes(noise.randrange(200)) + b"\r\n" for _ in range(5)])
    assert "the handler failed" not in caplog.text


async def test_the_lab_stops_at_once_in_the_middle_of_everything() -> None:
    began = asyncio.get_running_loop().time()
    async with Lab() as lab:
        for _ in range(50):
            lab.deliver(b"Subject: big\r\n\r\n" + b"x" * 100_000)
        idle, lazy, half = [await asyncio.open_connection("127.0.0.1", lab.imap.port) for _ in range(3)]
        entered = b"a LOGIN me secret\r\nb SELECT INBOX\r\n"
        idle[1].write(entered + b"c IDLE\r\n")
        lazy[1].write(entered + b"c FETCH 1:* BODY.PEEK[]\r\n" * 20)
        half[1].write(entered + b"c APPEND INBOX {100}\r\nx")
        inbox = lab.mailbox()
        await until(lambda: len(inbox._listeners) == 3)
    for _, writer in (idle, lazy, half):
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert inbox._listeners == []
    assert asyncio.get_running_loop().time() - began < 5000 * MS


_COMMANDS = st.sampled_from(
    ["NOOP", "FETCH 1:* (FLAGS UID)", r"STORE 1:* +FLAGS (\Deleted)", "EXPUNGE", "UID EXPUNGE 1:9", "COPY 1:* INBOX",
     "UID MOVE 1:2 INBOX", "SEARCH ALL", "APPEND INBOX {3+}\r\nabc", "CLOSE", "SELECT INBOX", "EXAMINE INBOX",
     "UNSELECT", "UID FETCH 1:* BODY[TEXT]", "RENAME INBOX Other", "DELETE Other", "STATUS INBOX (MESSAGES)",
     "IDLE\r\nDONE"]
)  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 1), _COMMANDS), max_size=25))
def test_two_clients_in_any_order_keep_count_of_one_mailbox(steps: list[tuple[int, str]]) -> None:
    async def play() -> None:
        async with Lab() as lab, opened(lab) as one, opened(lab) as other:
            counts: list[int | None] = [0, 0]
            for who, command in [*steps, (0, "SELECT INBOX"), (1, "SELECT INBOX")]:
                raw = (one, other)[who]
                if command.startswith("IDLE"):
                    await raw.send(f"i {command}\r\n")
                    said = await raw.until(b"i ")
                    said += await raw.until(b"i ")
                else:
                    said = await raw.ask(command)
                if command.startswith(("SELECT", "EXAMINE")):
                    counts[who] = 0
                for line in said:
                    words = line.split()
                    if words[-1:] == [b"EXISTS"]:
                        assert int(words[1]) >= (counts[who] or 0)
                        counts[who] = int(words[1])
                    elif words[-1:] == [b"EXPUNGE"]:
                        assert 1 <= int(words[1]) <= (counts[who] or 0)
                        counts[who] = (counts[who] or 0) - 1
                    elif words[2:3] == [b"FETCH"]:
                        assert 1 <= int(words[1]) <= (counts[who] or 0)
                assert not said[-1].startswith(b"(the end)")
            assert counts == [len(lab.mailbox())] * 2

    asyncio.run(play())
