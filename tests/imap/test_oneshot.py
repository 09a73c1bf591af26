"""One call for a whole mailbox: the URL says where, one deadline bounds it, two limits bound what comes."""

import asyncio
import time

import pytest

from asyncnet import DeadlineError, InvalidEndpoint, LimitError, NetError, ProtocolError, RefusedError, UsageError, imap
from asyncnet.endpoint import Endpoint
from asyncnet.imap.place import Place
from tests.cancelling import cancelled_at_each_await
from tests.imap.talks import ALICE, GREETED, KNOWN, LEFT, SIGNED_IN, url
from tests.peers import MS, Script

EXAMINED = r"""
    C: {tag} EXAMINE "INBOX"
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 7] valid
    S: {tag} OK [READ-ONLY] done
"""
SIZED = r"""
    C: {tag} UID SEARCH ALL
    S: * SEARCH 4 9
    S: {tag} OK
    C: {tag} UID FETCH 4,9 (UID RFC822.SIZE)
    S: * 1 FETCH (UID 4 RFC822.SIZE 3)
    S: * 2 FETCH (UID 9 RFC822.SIZE 2)
    S: {tag} OK
"""
CAME = r"""
    C: {tag} UID FETCH 4,9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])
    S: * 1 FETCH (UID 4 RFC822.SIZE 3 FLAGS (\Seen) BODY[] "one")
    S: * 2 FETCH (UID 9 RFC822.SIZE 2 FLAGS () BODY[] {2}
    send \x00\xff)\r\n
    S: {tag} OK
"""

PLACES = {
    "imap://h": Place("INBOX"),
    "imap://h/": Place("INBOX"),
    "imap://h/INBOX": Place("INBOX"),
    "imap://h/Sent%20Items": Place("Sent Items"),
    "imap://h/Entw%C3%BCrfe": Place("Entwürfe"),
    "imap://h/a/b": Place("a/b"),
    "imap://h/a%3BUIDVALIDITY=3": Place("a;UIDVALIDITY=3"),
    "imap://h/INBOX;UIDVALIDITY=385759045": Place("INBOX", 385759045),
    "imap://h/INBOX;uidvalidity=3/;uid=20": Place("INBOX", 3, 20),
    "imap://h/gray-council/;UID=20": Place("gray-council", None, 20),
    "imap://h/INBOX?SUBJECT%20shadows": Place("INBOX", search="SUBJECT shadows"),
    "imap://h/INBOX;UIDVALIDITY=1?TEXT%20%22%C3%BC%22": Place("INBOX", 1, search='TEXT "ü"'),
}


@pytest.mark.parametrize(("text", "place"), PLACES.items())
def test_a_url_names_a_place(text: str, place: Place) -> None:
    assert Place.of(Endpoint.parse(text)) == place


@pytest.mark.parametrize(
    "text",
    ["INBOX;UIDVALIDITY=0", "INBOX;UIDVALIDITY=x", "INBOX/;UID=4294967296", "INBOX;TYPE=LIST",
     "INBOX/;UID=1/;SECTION=2", "INBOX/;UID=1:2", "INBOX;UIDVALIDITY=99999999999"],
)  # fmt: skip
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidEndpoint):
        Place.of(Endpoint.parse(f"imap://h/{text}"))


async def test_the_messages_of_a_mailbox_come_in_one_call() -> None:
    async with Script(GREETED + SIGNED_IN + EXAMINED + SIZED + CAME + LEFT) as peer:
        messages = await imap.fetch(url(peer), ALICE)
    assert [(message.uid, message.raw, message.flags) for message in messages] == [
        (4, b"one", {r"\Seen"}),
        (9, b"\0\xff", set()),
    ]


async def test_marking_as_seen_opens_for_writing() -> None:
    talk = EXAMINED.replace("EXAMINE", "SELECT") + SIZED + CAME.replace("BODY.PEEK[]", "BODY[]") + LEFT
    async with Script(KNOWN + talk) as peer:
        assert len(await imap.fetch(url(peer), mark_seen=True)) == 2


async def test_a_mailbox_without_messages_gives_none() -> None:
    talk = EXAMINED + "C: {tag} UID SEARCH UNSEEN\nS: * SEARCH\nS: {tag} OK\n" + LEFT
    async with Script(KNOWN + talk) as peer:
        assert await imap.fetch(url(peer), search="UNSEEN") == []


async def test_more_messages_than_allowed_are_a_limit_error_and_none_is_fetched() -> None:
    async with Script(KNOWN + EXAMINED + SIZED, check=False) as peer:
        with pytest.raises(LimitError) as raised:
            await imap.fetch(url(peer), max_messages=1)
    assert raised.value.limit == 1
    assert b"FETCH" not in peer.received


async def test_more_bytes_than_allowed_are_a_limit_error_and_none_is_fetched() -> None:
    async with Script(KNOWN + EXAMINED + SIZED, check=False) as peer:
        with pytest.raises(LimitError) as raised:
            await imap.fetch(url(peer), max_total_bytes=4)
    assert raised.value.limit == 4
    assert b"BODY" not in peer.received


async def test_more_bytes_than_announced_are_a_limit_error() -> None:
    more = 'C: {tag} UID FETCH 4,9 *\nS: * 1 FETCH (UID 4 BODY[] "four")\nS: * 2 FETCH (UID 9 BODY[] "four")\nsilence'
    async with Script(KNOWN + EXAMINED + SIZED + more, check=False) as peer:
        with pytest.raises(LimitError, match="more bytes than"):
            await imap.fetch(url(peer), max_total_bytes=6)
    more = "C: {tag} UID FETCH 4,9 *\nS: * 1 FETCH (UID 4 BODY[] {7}\nsilence"
    async with Script(KNOWN + EXAMINED + SIZED + more, check=False) as peer:
        with pytest.raises(LimitError, match="literal of 7 bytes"):
            await imap.fetch(url(peer), max_total_bytes=6)


async def test_a_message_that_is_withheld_is_an_error_and_one_that_has_gone_is_not() -> None:
    fewer = CAME.replace('S: * 1 FETCH (UID 4 RFC822.SIZE 3 FLAGS (\\Seen) BODY[] "one")\n', "")
    again = "C: {tag} UID SEARCH UID 4\nS: * SEARCH%s\nS: {tag} OK\n"
    async with Script(KNOWN + EXAMINED + SIZED + fewer + again % " 4", check=False) as peer:
        with pytest.raises(ProtocolError, match="UID 4"):
            await imap.fetch(url(peer))
    async with Script(KNOWN + EXAMINED + SIZED + fewer + again % "" + LEFT) as peer:
        assert [message.uid for message in await imap.fetch(url(peer))] == [9]


async def test_another_uidvalidity_is_refused() -> None:
    async with Script(KNOWN + EXAMINED, repeat=True, check=False) as peer:
        for path in ("INBOX;UIDVALIDITY=8", "INBOX;UIDVALIDITY=8/;UID=4"):
            with pytest.raises(RefusedError, match="UIDVALIDITY is 7"):
                await imap.fetch(f"{url(peer)}/{path}")


async def test_a_message_of_the_url_that_is_not_there_is_refused() -> None:
    talk = EXAMINED + "C: {tag} UID SEARCH UID 5\nS: * SEARCH\nS: {tag} OK\n"
    async with Script(KNOWN + talk, check=False) as peer:
        with pytest.raises(RefusedError, match="UID 5"):
            await imap.fetch(f"{url(peer)}/INBOX/;UID=5")


@pytest.mark.parametrize(
    ("path", "search"),
    [("", "ALL\r\nA1 LOGOUT"), ("", "("), ("/INBOX?ALL", "UNSEEN"), ("/INBOX/;UID=4", "UNSEEN"),
     ("/INBOX/;UID=4?ALL", "ALL"),
     ("/INBOX?(", "ALL"), ("/INBOX;X=1", "ALL")],
)  # fmt: skip
async def test_a_wrong_call_is_refused_before_connecting(path: str, search: str) -> None:
    async with Script() as peer:
        with pytest.raises(UsageError):
            await imap.fetch(url(peer) + path, ALICE, search=search)


async def test_one_deadline_bounds_the_whole_call() -> None:
    async with Script(
        KNOWN + EXAMINED + SIZED + "C: {tag} UID FETCH *\ndrip 1 10\nendless reply * OK", check=False
    ) as peer:
        start = time.monotonic()
        with pytest.raises(DeadlineError) as raised:
            await imap.fetch(url(peer), timeout=100 * MS)
        assert time.monotonic() - start < 2000 * MS
    assert raised.value.operation == "fetch"


@pytest.mark.parametrize("farewell", ["silence", "cut", "garbage 10\nsilence"])
async def test_what_has_come_is_not_given_up_for_a_goodbye(farewell: str) -> None:
    talk = KNOWN + EXAMINED + SIZED + CAME + "C: {tag} LOGOUT\n" + farewell
    async with Script(talk, check=False) as peer:
        start = time.monotonic()
        assert len(await imap.fetch(url(peer), timeout=300 * MS)) == 2
        assert time.monotonic() - start < 2000 * MS


async def test_a_call_cancelled_at_each_await_leaves_nothing() -> None:
    async with Script(GREETED + SIGNED_IN + EXAMINED + SIZED + CAME + LEFT, repeat=True, check=False) as peer:
        assert await cancelled_at_each_await(lambda: imap.fetch(url(peer), ALICE)) > 6


async def test_a_refused_mailbox_is_refused() -> None:
    talk = 'C: {tag} EXAMINE "nowhere"\nS: {tag} NO [NONEXISTENT] no such mailbox\n'
    async with Script(KNOWN + talk, check=False) as peer:
        with pytest.raises(RefusedError, match="NONEXISTENT"):
            await imap.fetch(f"{url(peer)}/nowhere")


async def test_many_calls_at_once_keep_apart() -> None:
    async with Script(KNOWN + EXAMINED + SIZED + CAME + LEFT, "cut", repeat=True, check=False) as peer:
        results = await asyncio.gather(*(imap.fetch(url(peer)) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, NetError) for result in results) == 5
