"""IMAP on a real server: every command, every login, and every message byte for byte."""

import os
import random
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from asyncnet import Credentials, imap
from asyncnet.errors import AuthenticationError, LimitError, RefusedError, TLSError, UsageError
from tests.peers import Authority
from tests.real.dovecot import BOB, Account, Dovecot

ROOT = Path(__file__).parent.parent.parent

ODD = {
    "parentheses": b"Subject: ((((\r\n\r\nbody\r\n",
    "quotes": b'Subject: "x"y\\z" )\r\nFrom: "a\\"b (c" <a@example.org>\r\n\r\n"\r\n',
    "8-bit": b"Subject: gr\xc3\xbcn\r\nX: \xff\xfe\r\n\r\n\xe4\xf6\xfc \xff\r\n",
    "header of 998": b"Subject: " + b"s" * 989 + b"\r\n\r\nbody\r\n",
    "long lines": b"Subject: long\r\nX-Long: " + b"h" * 20_000 + b"\r\n\r\n" + b"b" * 100_000 + b"\r\n",
    "looks like IMAP": b"Subject: x\r\n\r\n* 1 FETCH (BODY[] {5}\r\n)\r\nA1 OK done\r\n+ go\r\n* BYE\r\n",
    "no body": b"Subject: none\r\n\r\n",
    "no line end": b"Subject: none\r\n\r\nends here",
    "headers only": b"Subject: none\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(1000)) + b"\r\n.\r\n..\r\n",
}
NAMES = ["Sent Items", "Entwürfe", "a* b", 'x"y\\z', "a & b", "日本語", "100%", "(x) {3}", "\N{PILE OF POO}"]


def credentials(account: Account) -> Credentials:
    return Credentials(account.name, account.password)


@asynccontextmanager
async def opened(dovecot: Dovecot, account: Account, name: str | None = "INBOX") -> AsyncIterator[imap.Session]:
    async with imap.session(dovecot.imap, credentials(account)) as session:
        if name is not None:
            await session.select(name)
        yield session


async def test_odd_messages_come_byte_for_byte(dovecot: Dovecot, account: Account) -> None:
    for message in ODD.values():
        dovecot.deliver(account, message)
    async with opened(dovecot, account) as session:
        uids = await session.search()
        one_by_one = [(await session.fetch(uid)).raw for uid in uids]
        streamed = [message.raw async for message in session.messages()]
        at_once = [message.raw for message in await session.fetch_many(uids)]
    assert one_by_one == streamed == at_once == list(ODD.values())


async def test_a_nul_comes_as_the_server_has_it(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, b"Subject: nul\r\n\r\na\0b\r\n")
    async with opened(dovecot, account) as session:
        assert (await session.fetch(1)).raw == b"Subject: nul\r\n\r\na\x80b\r\n"  # Dovecot's own word for it


async def test_a_message_tells_all_about_itself(dovecot: Dovecot, account: Account) -> None:
    raw = b"Subject: one\r\n\r\nbody\r\n"
    moment = datetime(2024, 2, 29, 23, 59, 1, tzinfo=timezone(timedelta(hours=-7, minutes=-30)))
    async with opened(dovecot, account) as session:
        uid = await session.append(raw, flags={r"\Flagged", "$Work"}, received=moment)
        assert uid == 1
        message = await session.fetch(uid)
        seen = await session.fetch(uid, mark_seen=True)
        after = await session.fetch(uid)
    assert (message.raw, message.uid, message.number, message.size) == (raw, 1, 1, len(raw))
    assert message.flags == {r"\Flagged", "$Work", r"\Recent"}
    assert message.received == moment
    assert r"\Seen" in seen.flags | after.flags
    assert message.parse()["subject"] == "one"


@pytest.mark.parametrize("name", NAMES)
async def test_any_mailbox_name_goes_in_and_out(dovecot: Dovecot, account: Account, name: str) -> None:
    async with opened(dovecot, account, None) as session:
        await session.create_mailbox(name)
        assert name in [mailbox.name for mailbox in await session.list()]
        assert await session.append(b"Subject: x\r\n\r\n", name) == 1
        status = await session.status(name)
        assert (status.name, status.messages, status.unseen, status.uidnext) == (name, 1, 1, 2)
        selected = await session.select(name)
        assert (selected.name, selected.exists, selected.uidnext) == (name, 1, 2)
        assert selected.uidvalidity == status.uidvalidity
        assert await session.copy(1, name) == {1: 2}
        assert await session.search() == [1, 2]
        await session.unselect()
        await session.subscribe(name)
        await session.unsubscribe(name)
        await session.rename_mailbox(name, f"{name}2")
        listed = {mailbox.name for mailbox in await session.list()}
        assert f"{name}2" in listed
        assert name not in listed
        await session.delete_mailbox(f"{name}2")


async def test_special_uses_and_patterns_are_listed(dovecot: Dovecot, account: Account) -> None:
    async with opened(dovecot, account, None) as session:
        await session.create_mailbox("a/b")
        boxes = {mailbox.name: mailbox for mailbox in await session.list()}
        below = [mailbox.name for mailbox in await session.list("%", "a/")]
        top = [mailbox.name for mailbox in await session.list("%")]
        delimiter = await session.list("")
        spaces = await session.namespace()
    assert r"\Sent" in boxes["Sent"].attributes
    assert boxes["a/b"].delimiter == "/"
    assert below == ["a/b"]
    assert "a/b" not in top
    assert [mailbox.delimiter for mailbox in delimiter] == ["/"]
    assert [space.prefix for space in spaces.personal] == [""]


async def test_selecting_tells_what_the_mailbox_is_like(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account, None) as session:
        with pytest.raises(UsageError, match="no mailbox is selected"):
            await session.search()
        assert (await session.status("INBOX")).highestmodseq  # from now on Dovecot keeps it
        selected = await session.select()
        assert (selected.name, selected.exists, selected.uidnext, selected.read_only) == ("INBOX", 1, 2, False)
        assert selected.uidvalidity
        assert selected.highestmodseq
        assert r"\Deleted" in selected.flags
        assert r"\*" in selected.permanent_flags
        examined = await session.select(read_only=True)
        assert examined.read_only
        with pytest.raises(RefusedError) as refused:
            await session.select("no such mailbox")
        assert (refused.value.code, refused.value.transient) == ("NO", False)
        assert session.selected is None
        assert session.is_open


async def test_changes_that_others_make_are_heard(dovecot: Dovecot, account: Account) -> None:
    async with opened(dovecot, account) as session, opened(dovecot, account) as other:
        await other.append(b"\r\n")
        await other.append(b"\r\n")
        await session.noop()
        assert session.selected
        assert session.selected.exists == 2
        await other.store([1], add={r"\Deleted"})
        assert await other.expunge() == 1
        await session.noop()
        assert session.selected.exists == 1
        with pytest.raises(RefusedError, match="no such message"):
            await session.fetch(1)
        assert (await session.fetch(2)).uid == 2


async def test_searches_find_by_text_of_any_kind(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, 'Subject: Grüße aus Köln\r\n\r\nein (a\\b) "c" Text\r\n'.encode())
    dovecot.deliver(account, b"Subject: other\r\n\r\nthe body\r\n")
    async with opened(dovecot, account) as session:
        assert await session.search() == [1, 2]
        assert await session.search('SUBJECT "Grüße aus"') == [1]
        assert await session.search("OR (SUBJECT Grüße) (BODY Straße)") == [1]
        assert await session.search(r'BODY "(a\\b) \"c\""') == [1]
        assert await session.search("SUBJECT nothing") == []
        assert await session.search("UID 2:* NOT SUBJECT Grüße UNSEEN") == [2]
        for broken in ("SUBJECT {5}", "ALL\r\nA1 LOGOUT", "(ALL", "ALL)", 'SUBJECT "x', "", "ALL\0"):
            with pytest.raises(UsageError):
                await session.search(broken)
        with pytest.raises(RefusedError) as refused:
            await session.search("NONSENSE")
        assert refused.value.code == "BAD"
        assert not refused.value.transient
        assert await session.search() == [1, 2]


async def test_parts_of_a_message_are_fetched_alone(dovecot: Dovecot, account: Account) -> None:
    head = b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    dovecot.deliver(
        account,
        head + b"--x\r\n\r\nfirst\r\n--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>second\r\n--x--\r\n",
    )
    async with opened(dovecot, account) as session:
        assert (await session.fetch(1, part="1")).raw == b"first"
        assert (await session.fetch(1, part="2")).raw == b"<p>second"
        assert b"charset=utf-8" in (await session.fetch(1, part="2.MIME")).raw
        assert (await session.fetch(1, headers_only=True)).raw == head
        assert [message.raw async for message in session.messages(headers_only=True)] == [head]
        assert (await session.fetch(1, part="7")).raw == b""  # Dovecot does not tell an absent part from an empty one
        for part in ("1]", "1 2", "", "HEADER.FIELDS (X)", "0"):
            with pytest.raises(UsageError):
                await session.fetch(1, part=part)


async def test_flags_are_added_removed_and_replaced(dovecot: Dovecot, account: Account) -> None:
    for _ in range(3):
        dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account) as session:
        await session.noop()
        added = await session.store([1, 3], add={r"\Seen", "$Work"})
        assert {uid: flags - {r"\Recent"} for uid, flags in added.items()} == {
            1: {r"\Seen", "$Work"},
            3: {r"\Seen", "$Work"},
        }
        both = await session.store(1, add={r"\Flagged"}, remove={r"\Seen"})
        assert both[1] - {r"\Recent"} == {r"\Flagged", "$Work"}
        replaced = await session.store(1, replace=())
        assert replaced[1] <= {r"\Recent"}
        assert await session.search("KEYWORD $Work") == [3]
        assert await session.store(99, add={r"\Seen"}) == {}
        for flags in ({"two words"}, {"(x)"}, {"\r\n"}, {""}, r"\Seen"):
            with pytest.raises(UsageError):
                await session.store(1, add=flags)
        with pytest.raises(UsageError):
            await session.store(1)
        with pytest.raises(UsageError):
            await session.store(1, add={r"\Seen"}, replace={r"\Seen"})


async def test_closing_expunges_and_logging_out_does_not(dovecot: Dovecot, account: Account) -> None:
    for _ in range(4):
        dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account) as session:
        await session.store(1, add={r"\Deleted"})
    async with opened(dovecot, account) as session:
        assert await session.search() == [1, 2, 3, 4]
        await session.unselect()
        await session.select()
        await session.store(2, add={r"\Deleted"})
        assert await session.expunge([2, 3]) == 1
        assert await session.search() == [1, 3, 4]
        await session.close()
        await session.select()
        assert await session.search() == [3, 4]
        assert await session.expunge() == 0


async def test_messages_are_copied_and_moved(dovecot: Dovecot, account: Account) -> None:
    sent = [b"Subject: %d\r\n\r\n" % number for number in range(5)]
    for message in sent:
        dovecot.deliver(account, message)
    async with opened(dovecot, account) as session:
        assert await session.copy([1, 3], "Sent") == {1: 1, 3: 2}
        assert await session.move([2, 3, 4], "Sent") == {2: 3, 3: 4, 4: 5}
        assert await session.search() == [1, 5]
        with pytest.raises(RefusedError, match="TRYCREATE"):
            await session.copy(1, "nowhere")
        await session.select("Sent")
        assert [message.raw async for message in session.messages()] == [sent[n] for n in (0, 2, 1, 2, 3)]


async def test_a_server_without_move_copies_and_expunges(dovecot: Dovecot, account: Account) -> None:
    for _ in range(3):
        dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account) as session:
        session._state.capabilities = session.capabilities - {"MOVE"}
        assert await session.move(1, "Sent") == {1: 1}
        session._state.capabilities = session.capabilities - {"UIDPLUS"}
        await session.store(2, add={r"\Deleted"})
        with pytest.raises(RefusedError, match="neither MOVE nor UIDPLUS"):
            await session.move(3, "Sent")
        assert await session.search() == [2, 3]
        with pytest.raises(RefusedError, match="by UID"):
            await session.expunge(2)
        await session.store(2, remove={r"\Deleted"})
        await session.move(3, "Sent")
        assert await session.search() == [2]


async def test_whatever_is_appended_comes_back(dovecot: Dovecot, account: Account) -> None:
    big = b"Subject: big\r\n\r\n" + random.Random(1).randbytes(3_000_000).replace(b"\0", b"").hex("\n", 38).encode()
    async with opened(dovecot, account) as session:
        for raw in (*ODD.values(), big):
            uid = await session.append(raw)
            assert uid
            assert (await session.fetch(uid)).raw == raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        with pytest.raises(UsageError, match="NUL"):
            await session.append(b"a\0b")
        with pytest.raises(RefusedError, match="TRYCREATE"):
            await session.append(b"\r\n", "nowhere")
        session._wire.capabilities.discard("LITERAL+")
        assert await session.append(b"asked for\r\n")
        with pytest.raises(RefusedError, match="TRYCREATE"):
            await session.append(b"\r\n", "nowhere")
        assert await session.search("TEXT asked")


async def test_many_messages_come_in_order_while_others_are_changed(dovecot: Dovecot, account: Account) -> None:
    sent = [b"Subject: %d\r\n\r\n" % number + b"x" * (number * 37 % 9000) for number in range(1200)]
    for message in sent:
        dovecot.deliver(account, message)
    came = []
    async with opened(dovecot, account) as session:
        async for message in session.messages():
            came.append(message.raw)
            if len(came) % 100 == 0:
                assert isinstance(message.uid, int)
                await session.store(message.uid, add={r"\Seen"})
        assert await session.search("SEEN") == list(range(100, 1201, 100))
        many = await session.fetch_many(range(1, 1201))
        async for _ in session.messages():
            break  # what is under way then harms nothing
        assert len(await session.search()) == 1200
    assert came == sent
    assert [message.raw for message in many] == sent


async def test_a_message_that_is_not_there_is_no_silence(dovecot: Dovecot, account: Account) -> None:
    for _ in range(3):
        dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account) as session, opened(dovecot, account) as other:
        with pytest.raises(RefusedError, match="UID 9, 11"):
            await session.fetch_many([1, 9, 11, 2])
        delivery = session.messages(uids=[1, 9])
        assert [(await anext(delivery)).uid] == [1]
        with pytest.raises(RefusedError):
            await anext(delivery)
        with pytest.raises(StopAsyncIteration):
            await anext(delivery)
        await other.store(2, add={r"\Deleted"})
        await other.expunge()
        assert [message.uid async for message in session.messages()] == [1, 3]


async def test_opening_another_mailbox_ends_the_delivery(dovecot: Dovecot, account: Account) -> None:
    for _ in range(3):
        dovecot.deliver(account, b"\r\n")
    async with opened(dovecot, account) as session:
        delivery = session.messages()
        await anext(delivery)
        await session.select("Sent")
        with pytest.raises(UsageError, match="another mailbox"):
            await anext(delivery)
        assert [message async for message in session.messages()] == []


@pytest.mark.parametrize("mechanism", [None, "SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"])
async def test_every_mechanism_signs_in_and_a_wrong_password_is_one_error(
    dovecot: Dovecot, mechanism: str | None
) -> None:
    right = Credentials(BOB.name, BOB.password, mechanism=mechanism)
    async with imap.session(dovecot.imap, right) as session:
        await session.select()
    with pytest.raises(AuthenticationError) as refused:
        async with imap.session(dovecot.imap, Credentials(BOB.name, "wrong secret", mechanism=mechanism)):
            pytest.fail("it let us in")
    assert "wrong secret" not in str(refused.value)
    assert not refused.value.transient


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_refused_token_is_asked_for_once_more(
    dovecot: Dovecot, account: Account, mechanism: str | None
) -> None:
    asked: list[float] = []

    def expired_then_fresh() -> str:
        asked.append(3600.0 if asked else -60.0)
        return dovecot.token(account, seconds=asked[-1])

    async with imap.session(dovecot.imap, Credentials(account.name, expired_then_fresh, mechanism=mechanism)):
        assert len(asked) == 2

    def expired() -> str:
        asked.append(0.0)
        return dovecot.token(account, seconds=-60.0)

    asked.clear()
    with pytest.raises(AuthenticationError):
        async with imap.session(dovecot.imap, Credentials(account.name, expired, mechanism=mechanism)):
            pytest.fail("it let us in")
    assert len(asked) == 2


@pytest.mark.parametrize("scheme", ["imaps", "imap_starttls"])
async def test_tls_is_verified_and_used(dovecot: Dovecot, account: Account, authority: Authority, scheme: str) -> None:
    dovecot.deliver(account, ODD["8-bit"])
    url = getattr(dovecot, scheme)
    (message,) = await imap.fetch(f"{url}/INBOX", credentials(account), tls=authority.client())
    assert message.raw == ODD["8-bit"]
    with pytest.raises(TLSError):
        await imap.fetch(url, credentials(account), tls=ssl.create_default_context())


async def test_a_server_that_forbids_plaintext_gets_no_secret(dovecot: Dovecot, account: Account) -> None:
    url = dovecot.imap.replace(dovecot.host, dovecot.strict_host)
    with pytest.raises(AuthenticationError, match="no mechanism"):
        async with imap.session(url, credentials(account)):
            pytest.fail("it let us in")


async def test_fetching_a_url_gives_the_messages_within_the_limits(dovecot: Dovecot, account: Account) -> None:
    sent = [b"Subject: %d\r\n\r\n" % number for number in range(10)]
    for message in sent:
        dovecot.deliver(account, message)
    url = dovecot.imap
    signed = credentials(account)
    assert [message.raw for message in await imap.fetch(url, signed)] == sent
    assert [message.uid for message in await imap.fetch(f"{url}/INBOX", signed, search="SUBJECT 7")] == [8]
    assert [message.uid for message in await imap.fetch(f"{url}/INBOX?UID%203:4", signed)] == [3, 4]
    assert [message.uid for message in await imap.fetch(f"{url}/INBOX/;UID=4", signed)] == [4]
    assert await imap.fetch(f"{url}/Sent", signed) == []
    with pytest.raises(LimitError) as many:
        await imap.fetch(url, signed, max_messages=9)
    assert many.value.limit == 9
    with pytest.raises(LimitError) as much:
        await imap.fetch(url, signed, max_total_bytes=100)
    assert much.value.limit == 100
    with pytest.raises(RefusedError, match="no such message"):
        await imap.fetch(f"{url}/INBOX/;UID=40", signed)
    with pytest.raises(RefusedError, match="UIDVALIDITY"):
        await imap.fetch(f"{url}/INBOX;UIDVALIDITY=1", signed)
    with pytest.raises(RefusedError):
        await imap.fetch(f"{url}/nowhere", signed)
    async with opened(dovecot, account) as session:
        assert await session.search("SEEN") == []
        assert session.selected
        validity = session.selected.uidvalidity
    assert len(await imap.fetch(f"{url}/INBOX;UIDVALIDITY={validity}", signed, mark_seen=True)) == 10
    async with opened(dovecot, account) as session:
        assert len(await session.search("SEEN")) == 10


async def test_the_server_tells_who_it_is(dovecot: Dovecot, account: Account) -> None:
    async with opened(dovecot, account, None) as session:
        assert (await session.id({"name": 'as"y\\ncnet'}))["name"] == "Dovecot"
        assert (await session.id())["name"] == "Dovecot"
        with pytest.raises(UsageError):
            await session.id({"name": "a\r\nb"})


async def test_dates_of_local_time_are_understood(dovecot: Dovecot, account: Account) -> None:
    async with opened(dovecot, account) as session:
        naive = datetime(2020, 1, 2, 3, 4, 5)
        uid = await session.append(b"\r\n", received=naive)
        assert uid
        assert (await session.fetch(uid)).received == naive.astimezone(UTC)


def test_the_example_reads_flags_and_expunges(dovecot: Dovecot, account: Account) -> None:
    for number in range(3):
        dovecot.deliver(account, b"Subject: %d\r\n\r\n" % number)
    url = f"{dovecot.imap}/INBOX".replace("//", f"//{account.name}@")
    environment = {**os.environ, "ASYNCNET_PASSWORD": account.password, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-W", "error", "examples/imap_fetch.py", url, *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    listing = ["INBOX: 3 messages", "1: 14 bytes, 0", "2: 14 bytes, 1", "3: 14 bytes, 2"]
    assert run() == listing
    assert run("--delete") == [*listing, "gone for good: 3"]
    assert run() == ["INBOX: 0 messages"]
    assert dovecot.messages(account) == []
