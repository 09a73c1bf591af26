"""fetch() brings the whole maildrop or one error, within its two limits and its one deadline."""

import asyncio
import pickle
import time

import pytest

from asyncnet import (
    AuthenticationError,
    DeadlineError,
    DisconnectedError,
    LimitError,
    Message,
    NetError,
    ProtocolError,
    RefusedError,
    UsageError,
    pop3,
)
from asyncnet.pop3 import oneshot
from tests.peers import MS, Authority, Script
from tests.pop3.talks import ALICE, GREETED, LEFT, SIGNED_IN, stuffed, url

STAT = "C: STAT\nS: +OK 2 30\n"
LIST = "C: LIST\nS: +OK\nS: 1 10\nS: 2 20\nS: .\n"
UIDL = "C: UIDL\nS: +OK\nS: 1 one\nS: 2 two\nS: .\n"
FIRST = "C: RETR 1\nS: +OK 10 octets\nsend 12345678\\r\\n.\\r\\n\n"
SECOND = "C: RETR 2\nS: +OK\nsend ..2345678901234567\\r\\n.\\r\\n\n"
ALL = STAT + LIST + UIDL + FIRST + SECOND
DELETED = "C: DELE 1\nS: +OK\nC: DELE 2\nS: +OK\n"
LOGGED_IN = GREETED + SIGNED_IN

MESSAGES = [
    Message(raw=b"12345678\r\n", uid="one", number=1, size=10),
    Message(raw=b".2345678901234567\r\n", uid="two", number=2, size=20),
]


async def test_all_messages_come_with_what_is_known_of_them() -> None:
    async with Script(LOGGED_IN + ALL + LEFT) as peer:
        assert await pop3.fetch(url(peer), ALICE) == MESSAGES


async def test_it_is_encrypted_where_the_endpoint_says_so(authority: Authority) -> None:
    async with Script(LOGGED_IN + ALL + LEFT, tls=authority.server) as peer:
        assert await pop3.fetch(url(peer, "pop3s"), ALICE, tls=authority.client()) == MESSAGES
    assert peer.cleartext == b""


async def test_an_empty_maildrop_is_an_empty_list() -> None:
    async with Script(GREETED + "C: STAT\nS: +OK 0 0" + LEFT) as peer:
        assert await pop3.fetch(url(peer)) == []


async def test_without_unique_ids_the_messages_have_none() -> None:
    async with Script(GREETED + ALL.replace(UIDL, "C: UIDL\nS: -ERR what is that\n") + LEFT) as peer:
        assert [message.uid for message in await pop3.fetch(url(peer))] == [None, None]


async def test_messages_of_any_bytes_come_whole() -> None:
    mails = [b"\0\xff\r\n.\r\n..\r\n" * 1000, b"x" * 200_000 + b"\r\n", b"Subject: a\nb\n.\nc\r\n"]
    listed = "\n".join(f"S: {number} {len(mail)}" for number, mail in enumerate(mails, 1))
    talk = f"C: STAT\nS: +OK 3 999\nC: LIST\nS: +OK\n{listed}\nS: .\nC: UIDL\nS: -ERR\n"
    for number in (1, 2, 3):
        talk += f"C: RETR {number}\nS: +OK\ndump {number}\n"
    bodies = {str(number): stuffed(mail) for number, mail in enumerate(mails, 1)}
    async with Script(GREETED + talk + LEFT, bodies=bodies) as peer:
        assert [message.raw for message in await pop3.fetch(url(peer))] == mails


async def test_messages_are_deleted_once_all_have_come() -> None:
    async with Script(GREETED + ALL + DELETED + LEFT) as peer:
        assert await pop3.fetch(url(peer), delete=True) == MESSAGES


# Limits


async def test_more_messages_than_allowed_are_not_even_listed() -> None:
    async with Script(GREETED + STAT + "eof") as peer:
        with pytest.raises(LimitError, match="2 messages; at most 1") as caught:
            await pop3.fetch(url(peer), max_messages=1, delete=True)
    assert (caught.value.limit, caught.value.operation, caught.value.endpoint) == (1, "fetch", url(peer))


async def test_more_bytes_than_allowed_are_not_asked_for() -> None:
    async with Script(GREETED + STAT + LIST + "eof") as peer:
        with pytest.raises(LimitError, match="30 bytes in all; at most 29") as caught:
            await pop3.fetch(url(peer), max_total_bytes=29)
    assert caught.value.limit == 29


async def test_more_bytes_than_were_listed_are_not_taken() -> None:
    async with Script(GREETED + ALL, check=False) as peer:
        with pytest.raises(LimitError) as caught:
            await pop3.fetch(url(peer), max_total_bytes=30 - 2, delete=True)
    async with Script(GREETED + ALL.replace("S: 2 20", "S: 2 2"), check=False) as peer:
        with pytest.raises(LimitError) as caught:
            await pop3.fetch(url(peer), max_total_bytes=20, delete=True)
    assert caught.value.operation == "RETR"
    assert b"DELE" not in peer.received


async def test_just_as_much_as_allowed_is_taken() -> None:
    async with Script(GREETED + ALL + LEFT) as peer:
        assert len(await pop3.fetch(url(peer), max_messages=2, max_total_bytes=30)) == 2


# Wholeness


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (STAT.replace("2 30", "3 30") + LIST, "STAT counts 3 messages, LIST 2"),
        (STAT.replace("2 30", "1 30") + LIST, "STAT counts 1 messages, LIST 2"),
        (STAT + LIST + UIDL.replace("S: 2 two\n", ""), "UIDL not the same"),
        (STAT + LIST + UIDL.replace("S: 2 two", "S: 3 two"), "UIDL not the same"),
        (STAT + LIST + UIDL + FIRST + "C: RETR 2\nS: +OK\nS: .", "message 2 is of 20 bytes, and came empty"),
    ],
)
async def test_fewer_or_other_messages_than_announced_are_an_error(talk: str, words: str) -> None:
    async with Script(GREETED + talk + "\neof") as peer:
        with pytest.raises(ProtocolError, match=words):
            await pop3.fetch(url(peer), delete=True)


@pytest.mark.parametrize(
    ("talk", "kind"),
    [
        (STAT + LIST + UIDL + FIRST + "C: RETR 2\nS: +OK 20 octets\nsend half\ncut", DisconnectedError),
        (STAT + LIST + UIDL + FIRST + "C: RETR 2\nS: -ERR gone\neof", RefusedError),
        (STAT + LIST + "C: UIDL\nreset", DisconnectedError),
        (ALL + "C: DELE 1\nS: +OK\nC: DELE 2\nS: -ERR no\neof", RefusedError),
        (ALL + "C: DELE 1\ncut", DisconnectedError),
    ],
)
async def test_an_error_on_the_way_deletes_nothing(talk: str, kind: type[NetError]) -> None:
    async with Script(GREETED + talk) as peer:
        with pytest.raises(kind):
            await pop3.fetch(url(peer), delete=True)
    assert b"QUIT" not in peer.received


@pytest.mark.parametrize("end", ["silence", "cut", "S: -ERR no"])
async def test_messages_that_came_are_not_given_up_for_a_goodbye(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneshot, "CLOSE_SECONDS", 30 * MS)
    async with Script(GREETED + ALL + "C: QUIT\n" + end) as peer:
        assert await pop3.fetch(url(peer)) == MESSAGES


@pytest.mark.parametrize(
    ("end", "kind"), [("silence", DeadlineError), ("cut", DisconnectedError), ("S: -ERR some were not", RefusedError)]
)
async def test_a_deletion_that_is_not_confirmed_is_an_error_that_bears_the_messages(
    end: str, kind: type[NetError]
) -> None:
    async with Script(GREETED + ALL + DELETED + "C: QUIT\n" + end) as peer:
        with pytest.raises(kind) as caught:
            await pop3.fetch(url(peer), delete=True, timeout=150 * MS)
    assert caught.value.operation == "QUIT"
    assert pickle.loads(pickle.dumps(caught.value)).messages == MESSAGES


# The deadline


@pytest.mark.parametrize(
    ("talk", "phase"),
    [
        ("silence", "greeting"),
        (GREETED + "C: CAPA\nsilence", "login"),
        (LOGGED_IN + "C: STAT\nsilence", "STAT"),
        (LOGGED_IN + STAT + LIST + UIDL + FIRST + "C: RETR 2\nS: +OK\nsend half\nsilence", "RETR"),
    ],
)
async def test_the_deadline_bounds_the_whole_and_names_the_phase(talk: str, phase: str) -> None:
    async with Script(talk) as peer:
        start = time.monotonic()
        with pytest.raises(DeadlineError) as caught:
            await pop3.fetch(url(peer), ALICE, timeout=100 * MS)
        assert time.monotonic() - start < 2000 * MS
    assert str(caught.value) == f"fetch {url(peer)}: not done within {100 * MS:g} seconds (in {phase})"


async def test_many_calls_that_are_each_in_time_are_not_in_time_together() -> None:
    talk = "\n".join(f"C: RETR {number}\npause 10\nS: +OK\nS: x\nS: ." for number in range(1, 31))
    listed = "\n".join(f"S: {number} 3" for number in range(1, 31))
    head = f"C: STAT\nS: +OK 30 90\nC: LIST\nS: +OK\n{listed}\nS: .\nC: UIDL\nS: -ERR\n"
    async with Script(GREETED + head + talk, check=False) as peer:
        with pytest.raises(DeadlineError, match="RETR"):
            await pop3.fetch(url(peer), timeout=120 * MS)


async def test_no_limit_is_none() -> None:
    async with Script(GREETED + ALL + LEFT) as peer:
        assert await pop3.fetch(url(peer), timeout=None) == MESSAGES


async def test_it_is_cancelled_without_a_farewell() -> None:
    async with Script(GREETED + STAT + LIST + UIDL + FIRST + "C: RETR 2\nS: +OK\nsend half\nsilence") as peer:
        task = asyncio.create_task(pop3.fetch(url(peer), delete=True))
        await peer.until(b"RETR 2")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert b"QUIT" not in peer.received


async def test_what_cannot_be_used_is_said_before_a_byte_is_sent() -> None:
    with pytest.raises(UsageError):
        await pop3.fetch("imap://127.0.0.1")
    with pytest.raises(UsageError, match="plaintext"):
        await pop3.fetch("pop3://mail.example.org", ALICE)
    with pytest.raises(UsageError, match="timeout"):
        await pop3.fetch("pop3://127.0.0.1", timeout=-1)


async def test_a_wrong_password_is_one_authentication_error() -> None:
    talk = GREETED + "C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS *\nS: -ERR wrong\neof"
    async with Script(talk) as peer:
        with pytest.raises(AuthenticationError):
            await pop3.fetch(url(peer), ALICE)
    assert peer.connections == 1
