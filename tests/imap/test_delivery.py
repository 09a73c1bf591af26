"""Many messages on their way: asked for ahead, told apart by UID, at flat memory, and none lost in silence."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from asyncnet import ClosedError, DisconnectedError, LimitError, ProtocolError, RefusedError, UsageError, imap
from asyncnet.imap import delivery
from tests.imap.talks import KNOWN, LEFT, OPEN, SELECTED, known
from tests.memory import peak_memory
from tests.peers import MS, Script, Talk

FETCH = re.compile(rb"(\w+) UID FETCH ([\d:,]+) \((.*)\)")
MIB = 1024 * 1024


def uids_in(text: bytes) -> list[int]:
    uids: list[int] = []
    for part in text.split(b","):
        low, _, high = part.partition(b":")
        uids += range(int(low), int(high or low) + 1)
    return uids


class Mail:
    """A server with messages 1 to `count` that answers FETCH, SEARCH and what else comes, as a function of a Talk."""

    def __init__(
        self,
        count: int,
        body: Callable[[int], bytes] = lambda uid: b"mail %d" % uid,
        *,
        size: Callable[[int], int] | None = None,
        without: Iterable[int] = (),
        gone: Iterable[int] = (),
        status: bytes = b"OK done",
        between: bytes = b"",
    ) -> None:
        self.count = count
        self.body = body
        self.size = size or (lambda uid: len(body(uid)))
        self.without = set(without)
        self.gone = set(gone)
        self.status = status
        self.between = between
        self.batches: list[list[int]] = []
        self.commands: list[bytes] = []

    def __call__(self, talk: Talk) -> None:
        talk.say(KNOWN[3:-1])
        while True:
            talk.expect("/(?P<line>.*)/")
            line = talk.names["line"]
            tag, name = line.split(b" ")[:2]
            self.commands.append(line)
            if match := FETCH.fullmatch(line):
                self.fetch(talk, uids_in(match[2]), b"BODY" in match[3])
                talk.send_bytes(tag + b" " + (self.status if b"BODY" in match[3] else b"OK done") + b"\r\n")
                continue
            if name == b"SELECT":
                talk.send_bytes(b"* %d EXISTS\r\n" % self.count)
            elif b"SEARCH UID" in line:
                there = [uid for uid in uids_in(line.split(b" ")[4]) if uid not in self.gone]
                talk.send_bytes(b"* SEARCH " + b" ".join(b"%d" % uid for uid in there) + b"\r\n")
            elif b"SEARCH" in line:
                talk.send_bytes(b"* SEARCH " + b" ".join(b"%d" % uid for uid in range(1, self.count + 1)) + b"\r\n")
            elif b"STORE" in line:
                (uid,) = uids_in(line.split(b" ")[3])
                talk.send_bytes(b"* 1 FETCH (UID %d FLAGS (\\Seen))\r\n" % uid)
            elif name == b"LOGOUT":
                talk.send_bytes(b"* BYE\r\n%b OK\r\n" % tag)
                return
            talk.send_bytes(tag + b" OK done\r\n")

    def fetch(self, talk: Talk, uids: list[int], whole: bool) -> None:
        if whole:
            self.batches.append(uids)
        for uid in uids:
            if not whole:
                if uid not in self.gone:
                    talk.send_bytes(b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (uid, uid, self.size(uid)))
            elif uid not in self.without | self.gone:
                body = self.body(uid)
                talk.send_bytes(
                    b"%b* %d FETCH (UID %d FLAGS () RFC822.SIZE %d BODY[] {%d}\r\n%b)\r\n"
                    % (self.between, uid, uid, self.size(uid), len(body), body)
                )


@asynccontextmanager
async def opened(peer: Script, **options: object) -> AsyncIterator[imap.Session]:
    async with known(peer, **options) as session:
        await session.select()
        yield session


async def test_messages_come_in_order_and_are_asked_for_in_batches() -> None:
    mail = Mail(1100)
    async with Script(mail) as peer, opened(peer) as session:
        came = [(message.uid, message.raw) async for message in session.messages()]
    assert came == [(uid, b"mail %d" % uid) for uid in range(1, 1101)]
    assert [len(batch) for batch in mail.batches] == [500, 500, 100]


async def test_batches_are_bounded_by_bytes() -> None:
    mail = Mail(40, lambda uid: b"x" * (300_000 if uid % 10 else 3_000_000))
    async with Script(mail) as peer, opened(peer) as session:
        assert [message.size async for message in session.messages()] == [len(mail.body(uid)) for uid in range(1, 41)]
    for batch in mail.batches:
        assert len(batch) == 1 or sum(mail.size(uid) for uid in batch) <= MIB
    assert len(mail.batches) < 30


SIZES = "".join(f"S: * {uid} FETCH (UID {uid} RFC822.SIZE 900000)\n" for uid in (1, 2, 3))
THREE_ASKED = (
    f"C: {{tag}} FETCH 1:3 (UID RFC822.SIZE)\n{SIZES}S: {{tag}} OK\n"
    "C: {tag} UID SEARCH ALL\nS: * SEARCH 1 2 3\nS: {tag} OK\n"
    "C: {one} UID FETCH 1 *\nC: {two} UID FETCH 2 *\nC: {three} UID FETCH 3 *\n"
)


def given(uid: int) -> str:
    return f"S: * {uid} FETCH (UID {uid} BODY[] {{{{#body}}}}\ndump body\nS: )\n"


ORDERS = {
    "in order": given(1) + "S: {one} OK\n" + given(2) + "S: {two} OK\n" + given(3) + "S: {three} OK\n",
    "backwards": given(3) + "S: {three} OK\n" + given(2) + "S: {two} OK\n" + given(1) + "S: {one} OK\n",
    "mixed": given(2) + given(3) + given(1) + "S: {one} OK\nS: {three} OK\nS: {two} OK\n",
}


@pytest.mark.parametrize("answers", ORDERS.values(), ids=ORDERS)
async def test_batches_are_asked_for_ahead_and_handed_out_in_order(
    answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = {"body": b"x" * 900_000}
    async with Script(OPEN + THREE_ASKED + answers + LEFT, bodies=bodies) as peer, opened(peer) as session:
        assert [message.uid async for message in session.messages()] == [1, 2, 3]
    monkeypatch.setattr(delivery, "AHEAD_BYTES", 100_000)  # so that more is there than fits while the first is awaited
    one_by_one = THREE_ASKED.replace("C: {two}", given(1) + "S: {one} OK\nC: {two}")
    one_by_one = one_by_one.replace("C: {three}", given(2) + "S: {two} OK\nC: {three}") + given(3) + "S: {three} OK\n"
    async with Script(OPEN + one_by_one + LEFT, bodies=bodies) as peer, opened(peer) as session:
        assert [message.uid async for message in session.messages()] == [1, 2, 3]


async def test_a_connection_lost_out_of_order_gives_what_came() -> None:
    talk = OPEN + THREE_ASKED + given(3) + given(2) + "S: {two} OK\ncut"
    async with Script(talk, bodies={"body": b"x" * 900_000}) as peer, opened(peer) as session:
        stream = session.messages()
        assert [(await anext(stream)).uid, (await anext(stream)).uid] == [2, 3]
        with pytest.raises(DisconnectedError):
            await anext(stream)


async def test_what_is_under_way_is_bounded_while_nobody_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "AHEAD_BYTES", 2 * MIB)
    mail = Mail(100, lambda uid: b"x" * 500_000)
    async with Script(mail) as peer, opened(peer) as session:
        stream = session.messages()
        await anext(stream)
        for _ in range(200):
            await asyncio.sleep(MS)
        assert sum(map(len, mail.batches)) <= 8
        assert len([message async for message in stream]) == 99


async def test_a_server_that_sends_more_than_it_announced_is_not_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "AHEAD_BYTES", MIB)
    mail = Mail(500, lambda uid: b"x" * 100_000, size=lambda uid: 10)
    async with Script(mail) as peer, opened(peer) as session:
        stream = session.messages()
        await anext(stream)
        sent = -1
        while sent != peer.sent:  # until the peer can write no more
            sent = peer.sent
            await asyncio.sleep(20 * MS)
        assert stream._inbox
        assert stream._inbox.ready_bytes < 4 * MIB
        assert peer.sent < 30 * MIB
        assert len([message async for message in stream]) == 499


async def test_more_than_the_limit_of_what_nobody_asked_for_breaks_the_session() -> None:
    limits = imap.Limits(max_response_bytes=3_000_000, max_literal_bytes=200_000)
    mail = Mail(100, lambda uid: b"x" * 100_000, size=lambda uid: 10)
    async with Script(mail, check=False) as peer, opened(peer, limits=limits) as session:
        with pytest.raises(LimitError):
            await session.fetch_many(range(1, 101))
        assert not session.is_open


async def test_calls_in_between_are_answered_behind_what_is_under_way() -> None:
    mail = Mail(700)
    async with Script(mail) as peer, opened(peer) as session:
        seen = 0
        async for message in session.messages():
            if message.uid == 1 or message.uid == 650:
                assert isinstance(message.uid, int)
                assert await session.store(message.uid, add={r"\Seen"}) == {message.uid: {r"\Seen"}}
                assert len(await session.search()) == 700
            seen += 1
        assert seen == 700


async def test_whatever_else_is_said_in_between_does_no_harm() -> None:
    between = (
        b"* 9 EXISTS\r\n* 3 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"
        b'* 5 FETCH (UID 999 BODY[] "not asked for")\r\n* OK hi\r\n* 1 FETCH (UID 1 BODY[] "twice")\r\n'
    )
    mail = Mail(5, between=between)
    async with Script(mail) as peer, opened(peer) as session:
        came = [message.raw async for message in session.messages(uids=[2, 3, 4])]
    assert came == [b"mail 2", b"mail 3", b"mail 4"]


async def test_a_delivery_that_is_given_up_harms_nobody() -> None:
    mail = Mail(3000, lambda uid: b"x" * 5000)
    async with Script(mail) as peer, opened(peer) as session:
        async for _ in session.messages():
            break
        listeners = session._wire.incoming._listeners
        assert len(await session.search()) == 3000
        assert len(listeners) == 1  # the session's own
        async for _ in session.messages():
            break
        await session.close()
        assert session.is_open


async def test_a_delivery_kept_but_not_read_lets_other_calls_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "AHEAD_BYTES", MIB // 2)
    mail = Mail(100, lambda uid: b"x" * 100_000, size=lambda uid: 10)
    async with Script(mail) as peer, opened(peer) as session:
        stream = session.messages()
        await anext(stream)
        assert len(await session.search()) == 100
        await session.noop()
        assert len([message async for message in stream]) == 99


# Messages that do not come


async def test_those_that_others_expunged_are_left_out_of_a_search() -> None:
    mail = Mail(10, gone=[3, 7])
    async with Script(mail) as peer, opened(peer) as session:
        assert [message.uid async for message in session.messages()] == [1, 2, 4, 5, 6, 8, 9, 10]
        assert session.is_open


async def test_one_that_the_server_withholds_is_a_protocol_error() -> None:
    mail = Mail(10, without=[3, 7])
    async with Script(mail, check=False) as peer, opened(peer) as session:
        came = []
        with pytest.raises(ProtocolError, match="2 of the messages did not come: UID 3, 7"):
            async for message in session.messages():
                came.append(message.uid)
        assert came == [1, 2, 4, 5, 6, 8, 9, 10]
        assert not session.is_open


async def test_one_that_was_asked_for_by_uid_and_is_not_there_is_refused() -> None:
    mail = Mail(10, gone=[3, *range(20, 40)])
    async with Script(mail) as peer, opened(peer) as session:
        with pytest.raises(RefusedError, match=r"21 of the messages did not come: UID 3, 20, .*\.\.\."):
            await session.fetch_many([1, 2, 3, *range(20, 40)])
        assert session.is_open


async def test_a_refusal_that_withholds_nothing_is_overlooked() -> None:
    mail = Mail(10, gone=[3], status=b"NO [EXPUNGEISSUED] some of them no longer exist")
    async with Script(mail) as peer, opened(peer) as session:
        assert len([message async for message in session.messages()]) == 9
        with pytest.raises(RefusedError, match="EXPUNGEISSUED"):
            await session.fetch_many([2, 3])


async def test_a_refusal_of_messages_that_are_there_is_told() -> None:
    mail = Mail(3, without=[2], status=b"NO [SERVERBUG] cannot read it")
    async with Script(mail) as peer, opened(peer) as session:
        stream = session.messages()
        assert [(await anext(stream)).uid, (await anext(stream)).uid] == [1, 3]
        with pytest.raises(RefusedError, match="SERVERBUG") as refused:
            await anext(stream)
        assert refused.value.transient
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert session.is_open


async def test_a_command_that_is_not_understood_is_told_at_once() -> None:
    mail = Mail(3, without=[1, 2, 3], status=b"BAD what")
    async with Script(mail) as peer, opened(peer) as session:
        with pytest.raises(RefusedError) as refused:
            await anext(session.messages())
        assert refused.value.code == "BAD"


@pytest.mark.parametrize("text", ["NIL", '""', "{0}\r\n"])
async def test_one_that_comes_empty_although_it_has_a_size_is_a_protocol_error(text: str) -> None:
    class Empty(Mail):
        def fetch(self, talk: Talk, uids: list[int], whole: bool) -> None:
            if whole:
                for uid in uids:
                    talk.send_bytes(b"* 1 FETCH (UID %d RFC822.SIZE 9 BODY[] %b)\r\n" % (uid, text.encode()))
            else:
                super().fetch(talk, uids, whole)

    async with Script(Empty(2), check=False) as peer, opened(peer) as session:
        with pytest.raises(ProtocolError):
            await anext(session.messages())
        assert not session.is_open


async def test_what_came_before_the_server_left_is_handed_out() -> None:
    talk = (
        OPEN
        + "C: {early} FETCH 1:3 (UID RFC822.SIZE)\nC: {tag} UID SEARCH ALL\n"
        + "".join(f"S: * {uid} FETCH (UID {uid} RFC822.SIZE 1)\n" for uid in (1, 2, 3))
        + "S: {early} OK\nS: * SEARCH 1 2 3\nS: {tag} OK\nC: {tag} UID FETCH 1:3 *\n"
        + 'S: * 1 FETCH (UID 1 BODY[] "a")\nS: * 2 FETCH (UID 2 BODY[] "b")\nsend * 3 FETCH (UID\ncut'
    )
    async with Script(talk) as peer, opened(peer) as session:
        stream = session.messages()
        assert [(await anext(stream)).raw, (await anext(stream)).raw] == [b"a", b"b"]
        with pytest.raises(DisconnectedError):
            await anext(stream)
        with pytest.raises(ClosedError):
            await anext(stream)


EARLY = {
    "some of them": ("S: * 1 FETCH (UID 1 RFC822.SIZE 1)\nS: {early} OK\n", "2:3"),
    "none, for it is refused": ("S: {early} BAD there are not so many\n", "1:3"),
    "others": ("S: * 1 FETCH (UID 9 RFC822.SIZE 1)\nS: * 2 FETCH (UID 2 RFC822.SIZE 1)\nS: {early} OK\n", "1:3"),
    "without UID": ("S: * 1 FETCH (RFC822.SIZE 1)\nS: {early} OK\n", "1:3"),
}


@pytest.mark.parametrize(("answer", "again"), EARLY.values(), ids=EARLY)
async def test_sizes_asked_for_along_with_the_search_may_not_come(answer: str, again: str) -> None:
    talk = (
        OPEN
        + f"C: {{early}} FETCH 1:3 (UID RFC822.SIZE)\nC: {{tag}} UID SEARCH ALL\n{answer}"
        + "S: * SEARCH 1 2 3\nS: {tag} OK\n"
    )
    sizes = "".join(f"S: * {uid} FETCH (UID {uid} RFC822.SIZE 1)\n" for uid in (1, 2, 3))
    mail = "".join(f'S: * {uid} FETCH (UID {uid} BODY[] "x")\n' for uid in (1, 2, 3))
    if again == "1:3":
        talk += f"C: {{tag}} UID FETCH 1:3 (UID RFC822.SIZE)\n{sizes}S: {{tag}} OK\n"
        talk += f"C: {{tag}} UID FETCH 1:3 *\n{mail}S: {{tag}} OK\n"
    else:
        talk += "C: {one} UID FETCH 1 *\nC: {tag} UID FETCH 2:3 (UID RFC822.SIZE)\n"
        talk += f"{sizes}S: {{one}} OK\nS: {{tag}} OK\nC: {{tag}} UID FETCH 2:3 *\n{mail}S: {{tag}} OK\n"
        talk = talk.replace("S: {one} OK", 'S: * 1 FETCH (UID 1 BODY[] "x")\nS: {one} OK')
    async with Script(talk + LEFT) as peer, opened(peer) as session:
        assert [message.uid async for message in session.messages()] == [1, 2, 3]


async def test_headers_alone_are_asked_for_in_bigger_batches() -> None:
    class Headers(Mail):
        def fetch(self, talk: Talk, uids: list[int], whole: bool) -> None:
            if whole:
                self.batches.append(uids)
                for uid in uids:
                    talk.send_bytes(b'* 1 FETCH (UID %d RFC822.SIZE 5000000 BODY[HEADER] "x")\r\n' % uid)
            else:
                super().fetch(talk, uids, whole)

    mail = Headers(50, size=lambda uid: 5_000_000)
    async with Script(mail) as peer, opened(peer) as session:
        headers = [message async for message in session.messages(headers_only=True)]
    assert [(message.raw, message.size) for message in headers] == [(b"x", 5_000_000)] * 50
    assert [len(batch) for batch in mail.batches] == [50]


async def test_an_empty_mailbox_has_no_messages() -> None:
    async with Script(Mail(0)) as peer, opened(peer) as session:
        assert [message async for message in session.messages()] == []


async def test_another_mailbox_of_the_same_name_ends_it_too() -> None:
    talk = "C: {early} FETCH 1:3 *\nC: {tag} UID SEARCH ALL\nS: {early} OK\nS: * SEARCH\nS: {tag} OK\n" + SELECTED
    async with Script(OPEN + talk + LEFT) as peer, opened(peer) as session:
        stream = session.messages()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await session.select()
        with pytest.raises(UsageError):
            await anext(stream)


async def test_messages_that_came_from_another_mailbox_are_not_handed_out() -> None:
    async with Script(Mail(5)) as peer, opened(peer) as session:
        stream = session.messages()
        assert (await anext(stream)).uid == 1
        await session.select()
        with pytest.raises(UsageError, match="another mailbox"):
            await anext(stream)


def test_a_thousand_big_messages_are_read_at_flat_memory() -> None:
    code = """
import asyncio, sys
from tests.imap.test_delivery import Mail
from tests.imap.talks import known
from tests.peers import Script

async def main(count):
    mail = Mail(count, lambda uid: b"x" * 200_000)
    async with Script(mail) as peer, known(peer) as session:
        await session.select()
        assert sum([len(message.raw) async for message in session.messages()]) == 200_000 * count

asyncio.run(main(int(sys.argv[1])))
"""
    assert peak_memory(code, "1000") - peak_memory(code, "50") < 16 * MIB
