"""POP3 on a real server: every command, every login, and every message byte for byte."""

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from asyncnet import (
    AuthenticationError,
    Credentials,
    DisconnectedError,
    LimitError,
    RefusedError,
    TLSError,
    pop3,
)
from benchmarks.mail.corpus import big, small
from tests.peers import Authority, ChunkProxy, CutProxy, DelayProxy
from tests.real.dovecot import BOB, Account, Dovecot

ODD = {
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nnot.leading\r\n.\r\n",
    "8-bit": b"Subject: gr\xc3\xbcn\r\nX: \xff\xfe\r\n\r\n\xe4\xf6\xfc \xff\r\n",
    "long lines": b"Subject: long\r\nX-Long: " + b"h" * 20_000 + b"\r\n\r\n" + b"b" * 100_000 + b"\r\n",
    "looks like POP3": b"Subject: x\r\n\r\n+OK 1 2\r\n-ERR no\r\nQUIT\r\n* BYE\r\n",
    "no body": b"Subject: none\r\n\r\n",
    "headers only": b"Subject: none\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(1000)) + b"\r\n.\r\n..\r\n",
    "empty lines": b"\r\n\r\n\r\n",
}
SCHEMES = ["pop3", "pop3s", "pop3_starttls"]


def credentials(account: Account, mechanism: str | None = None) -> Credentials:
    return Credentials(account.name, account.password, mechanism=mechanism)


def put(dovecot: Dovecot, account: Account, count: int) -> list[bytes]:
    mails = [b"Subject: %d\r\n\r\nbody of %d\r\n" % (number, number) for number in range(1, count + 1)]
    for mail in mails:
        dovecot.deliver(account, mail)
    return mails


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_odd_messages_come_byte_for_byte(
    dovecot: Dovecot, account: Account, authority: Authority, scheme: str
) -> None:
    for mail in ODD.values():
        dovecot.deliver(account, mail)
    async with pop3.session(getattr(dovecot, scheme), credentials(account), tls=authority.client()) as maildrop:
        stat = await maildrop.stat()
        listed = await maildrop.list()
        messages = [await maildrop.retrieve(number) for number, _ in listed]
    assert [message.raw for message in messages] == list(ODD.values())
    assert [message.size for message in messages] == [len(mail) for mail in ODD.values()]
    assert stat == (len(ODD), sum(len(mail) for mail in ODD.values()))


async def test_a_last_line_without_its_end_gets_one(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, b"Subject: x\r\n\r\nends here")
    [message] = await pop3.fetch(dovecot.pop3, credentials(account))
    assert message.raw == b"Subject: x\r\n\r\nends here\r\n"


async def test_each_command_says_what_it_should(dovecot: Dovecot, account: Account) -> None:
    mails = put(dovecot, account, 3)
    async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
        assert await maildrop.stat() == (3, sum(map(len, mails)))
        assert await maildrop.list() == [(number, len(mail)) for number, mail in enumerate(mails, 1)]
        assert await maildrop.list(2) == [(2, len(mails[1]))]
        uids = await maildrop.uidl()
        assert list(uids) == [1, 2, 3]
        assert len(set(uids.values())) == 3
        assert await maildrop.uidl(2) == {2: uids[2]}
        message = await maildrop.retrieve(2)
        assert (message.raw, message.uid, message.number, message.size) == (mails[1], uids[2], 2, len(mails[1]))
        assert (await maildrop.top(2, 0)).raw == b"Subject: 2\r\n\r\n"
        assert {"UIDL", "TOP", "PIPELINING"} <= (await maildrop.capabilities()).keys()
        await maildrop.noop()
        await maildrop.delete(1)
        with pytest.raises(RefusedError):
            await maildrop.retrieve(1)
        with pytest.raises(RefusedError):
            await maildrop.list(9)
        assert (await maildrop.stat()).count == 2
        await maildrop.reset()
        assert (await maildrop.stat()).count == 3
        await maildrop.delete(3)
        await maildrop.delete(1)
        assert await maildrop.quit() == [1, 3]
    assert dovecot.messages(account) == [mails[1]]
    async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
        assert await maildrop.uidl() == {1: uids[2]}


@pytest.mark.parametrize("end", ["in order", "by an exception", "by a cancellation"])
async def test_deletions_are_done_only_when_left_in_order(dovecot: Dovecot, account: Account, end: str) -> None:
    mails = put(dovecot, account, 2)

    async def work() -> None:
        async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
            await maildrop.delete(1)
            if end == "by an exception":
                raise LookupError
            if end == "by a cancellation":
                task = asyncio.current_task()
                assert task
                task.cancel()
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled() is (end == "by a cancellation")
    if end == "by an exception":
        assert isinstance(task.exception(), LookupError)
    assert dovecot.messages(account) == (mails[1:] if end == "in order" else mails)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "APOP", "USER", None])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_way_to_sign_in_with_a_password(
    dovecot: Dovecot, account: Account, authority: Authority, scheme: str, mechanism: str | None
) -> None:
    place = getattr(dovecot, scheme)
    for who in (account, BOB):
        async with pop3.session(place, credentials(who, mechanism), tls=authority.client()) as maildrop:
            await maildrop.stat()
    wrong = Credentials(account.name, "wrong", mechanism=mechanism)
    with pytest.raises(AuthenticationError) as caught:
        await pop3.fetch(place, wrong, tls=authority.client())
    assert not caught.value.transient


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER", None])
async def test_every_way_to_sign_in_with_a_token(
    dovecot: Dovecot, account: Account, authority: Authority, mechanism: str | None
) -> None:
    tokens = [dovecot.token(account, seconds=-60), dovecot.token(account)]
    fresh = Credentials(account.name, lambda: tokens.pop(0), mechanism=mechanism)
    async with pop3.session(dovecot.pop3s, fresh, tls=authority.client()) as maildrop:
        assert (await maildrop.stat()).count == 0
    assert tokens == []


async def test_a_token_that_is_refused_twice_is_one_authentication_error(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    tokens = [dovecot.token(account, seconds=-60), dovecot.token(account, seconds=-30)]
    with pytest.raises(AuthenticationError):
        await pop3.fetch(dovecot.pop3s, Credentials(account.name, lambda: tokens.pop(0)), tls=authority.client())
    assert tokens == []


async def test_a_server_that_wants_tls_first_gets_no_secret_without_it(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    strict = f"{dovecot.strict_host}:{dovecot.ports['pop3']}"
    for mechanism in ("PLAIN", "USER"):
        with pytest.raises(AuthenticationError):
            await pop3.session(f"pop3://{strict}", credentials(account, mechanism)).open()
    context = authority.client()
    context.check_hostname = False  # the certificate has the other address
    async with pop3.session(f"pop3+starttls://{strict}", credentials(account), tls=context):
        pass


@pytest.mark.parametrize("scheme", ["pop3s", "pop3_starttls"])
async def test_a_certificate_that_is_not_trusted_is_refused(dovecot: Dovecot, account: Account, scheme: str) -> None:
    with pytest.raises(TLSError, match="certificate not trusted"):
        await pop3.fetch(getattr(dovecot, scheme), credentials(account))


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_maildrop_is_fetched_and_emptied_in_one_call(
    dovecot: Dovecot, account: Account, authority: Authority, scheme: str
) -> None:
    mails = put(dovecot, account, 5)
    place, alice, context = getattr(dovecot, scheme), credentials(account), authority.client()
    with pytest.raises(LimitError):
        await pop3.fetch(place, alice, tls=context, max_messages=4)
    with pytest.raises(LimitError):
        await pop3.fetch(place, alice, tls=context, max_total_bytes=sum(map(len, mails)) - 1)
    messages = await pop3.fetch(place, alice, tls=context)
    assert [message.raw for message in messages] == mails
    assert len({message.uid for message in messages}) == 5
    assert await pop3.fetch(place, alice, tls=context, delete=True) == messages
    assert await pop3.fetch(place, alice, tls=context) == []
    assert dovecot.messages(account) == []


async def test_two_hundred_messages_and_a_large_one_over_eight_sessions_at_once(
    dovecot: Dovecot, authority: Authority
) -> None:
    draw = random.Random(4)
    accounts = [dovecot.new_account() for _ in range(8)]
    for account in accounts:
        for number in range(25):
            body = draw.randbytes(draw.randrange(10_000)).replace(b"\0", b"0").replace(b"\n", b"\r\n.")
            dovecot.deliver(account, (b"Subject: %d\r\n\r\n" % number) + body.replace(b"\r", b"") + b"\n")
    large = b"Subject: large\r\n\r\n" + (b"." * 76 + b"\r\n") * 270_000
    dovecot.deliver(accounts[0], large)
    places = [dovecot.pop3s, dovecot.pop3, dovecot.pop3_starttls, dovecot.pop3s] * 2
    fetched = await asyncio.gather(
        *(
            pop3.fetch(place, credentials(account), tls=authority.client(), timeout=60.0)
            for place, account in zip(places, accounts, strict=True)
        )
    )
    for account, messages in zip(accounts, fetched, strict=True):
        found = [hashlib.sha256(message.raw).digest() for message in messages]
        assert found == [hashlib.sha256(mail).digest() for mail in dovecot.messages(account)]
    assert len(fetched[0][-1].raw) == len(large) > 20 * 1024 * 1024


async def test_the_pieces_of_a_slow_line_make_the_same_messages(dovecot: Dovecot, account: Account) -> None:
    mails = [*ODD.values()]
    for mail in mails:
        dovecot.deliver(account, mail)
    target = ("127.0.0.1", dovecot.ports["pop3"])
    async with ChunkProxy(target, size=1000, rest=0.1) as pieces, DelayProxy(target, rtt=4) as delay:
        for proxy in (pieces, delay):
            messages = await pop3.fetch(f"pop3://{proxy.address}", credentials(account))
            assert [message.raw for message in messages] == mails


@pytest.mark.parametrize("after", [200, 1000, 5000, 60_000])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_line_that_breaks_is_an_error_and_loses_no_mail(
    dovecot: Dovecot, account: Account, after: int, reset: bool
) -> None:
    mails = [b"Subject: x\r\n\r\n" + b"y" * 30_000 + b"\r\n"] * 3
    for mail in mails:
        dovecot.deliver(account, mail)
    async with CutProxy(("127.0.0.1", dovecot.ports["pop3"]), after=after, reset=reset, times=1) as proxy:
        with pytest.raises(DisconnectedError):
            await pop3.fetch(f"pop3://{proxy.address}", credentials(account, "PLAIN"), delete=True)
        assert dovecot.messages(account) == mails
        messages = await pop3.fetch(f"pop3://{proxy.address}", credentials(account, "PLAIN"), delete=True)
    assert [message.raw for message in messages] == mails
    assert dovecot.messages(account) == []


async def test_a_cancelled_retrieve_leaves_the_next_session_alone(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 70_000)
    dovecot.deliver(account, b"Subject: small\r\n\r\n")
    for pause in (0.0, 0.001, 0.002, 0.005):
        async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
            task = asyncio.create_task(maildrop.retrieve(1))
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.wait([task])
            assert maildrop.is_open is (not task.cancelled())
        async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
            assert (await maildrop.stat()).count == 2
            assert (await maildrop.retrieve(2)).raw == b"Subject: small\r\n\r\n"


async def test_a_whole_maildrop_comes_in_a_loop_byte_for_byte(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    mails = [*ODD.values(), *(small(number) for number in range(300))]
    for mail in mails:
        dovecot.deliver(account, mail)
    target = ("127.0.0.1", dovecot.ports["pop3"])
    async with DelayProxy(target, rtt=4) as slow, ChunkProxy(target, size=5000, rest=0.01) as pieces:
        places = [dovecot.pop3, dovecot.pop3s, dovecot.pop3_starttls]
        places += [f"pop3://{proxy.address}" for proxy in (slow, pieces)]
        for place in places:
            async with pop3.session(place, credentials(account), tls=authority.client()) as maildrop:
                messages = [message async for message in maildrop.messages()]
            assert [message.raw for message in messages] == mails
            assert [message.number for message in messages] == [*range(1, len(mails) + 1)]
            assert len({message.uid for message in messages}) == len(mails)


async def test_other_commands_and_other_loops_find_their_own_answers(dovecot: Dovecot, account: Account) -> None:
    mails = put(dovecot, account, 60)
    async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
        uids = await maildrop.uidl()
        found = []
        async for message in maildrop.messages():
            found.append(message.raw)
            assert message.number is not None
            match message.number % 4:
                case 0:
                    assert (await maildrop.retrieve(7)).raw == mails[6]
                case 1:
                    assert await maildrop.uidl(message.number) == {message.number: uids[message.number]}
                case 2:
                    await maildrop.delete(message.number)
                case 3:
                    async for other in maildrop.messages([1, 3, 5, 7]):
                        assert other.raw == mails[(other.number or 0) - 1]
                        if message.number % 8 == 3:
                            break
        assert found == mails
        await maildrop.reset()
        assert (await maildrop.stat()).count == 60


async def test_a_file_is_the_message_byte_for_byte(
    dovecot: Dovecot, account: Account, authority: Authority, tmp_path: Path
) -> None:
    for mail in [*ODD.values(), big(1)]:
        dovecot.deliver(account, mail)
    async with pop3.session(dovecot.pop3s, credentials(account), tls=authority.client()) as maildrop:
        for number, mail in enumerate([*ODD.values(), big(1)], 1):
            assert await maildrop.retrieve_to(number, tmp_path / "mail.eml") == len(mail)
            assert (tmp_path / "mail.eml").read_bytes() == mail


async def test_each_message_is_taken_once_however_the_runs_before_ended(
    dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    mails = put(dovecot, account, 40)
    stored: list[bytes] = []

    async def run(stop: int) -> list[int] | None:
        async with pop3.SeenFile(tmp_path / "seen") as seen:
            async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
                async with maildrop.take(seen=seen) as taking:
                    async for message in taking:
                        stored.append(message.raw)
                        await taking.confirm(message)
                        if len(stored) == stop:
                            raise LookupError
            assert len(seen) == 0
        return taking.deleted

    for stop in (1, 13, 40):
        with pytest.raises(LookupError):
            await run(stop)
        assert dovecot.messages(account) == mails
    assert await run(-1) == [*range(1, 41)]
    assert stored == mails
    assert dovecot.messages(account) == []
    assert await run(-1) == []


@pytest.mark.parametrize("after", [3000, 20_000, 60_000])
async def test_a_line_that_breaks_in_a_loop_gives_what_came_and_says_so(
    dovecot: Dovecot, account: Account, after: int
) -> None:
    mails = [b"Subject: %d\r\n\r\n" % number + b"y" * 1000 + b"\r\n" for number in range(100)]
    for mail in mails:
        dovecot.deliver(account, mail)
    async with CutProxy(("127.0.0.1", dovecot.ports["pop3"]), after=after) as proxy:
        found = []
        with pytest.raises(DisconnectedError):
            async with pop3.session(f"pop3://{proxy.address}", credentials(account, "PLAIN")) as maildrop:
                async for message in maildrop.messages():
                    found.append(message.raw)
    assert found == mails[: len(found)]
    assert len(found) <= after // 1000


async def test_a_reader_cancelled_in_the_loop_leaves_the_next_session_alone(dovecot: Dovecot, account: Account) -> None:
    mails = put(dovecot, account, 200)

    async def read() -> None:
        async with pop3.session(dovecot.pop3, credentials(account)) as maildrop:
            async for _ in maildrop.messages():
                await asyncio.sleep(0)

    for pause in (0.001, 0.005, 0.01, 0.02):
        task = asyncio.create_task(read())
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
    assert [message.raw for message in await pop3.fetch(dovecot.pop3, credentials(account))] == mails
