"""A Client on the real servers: how often it signs in is read in their own logs, and a restart is survived."""

import asyncio
import re
import time
from collections import Counter

import pytest

from asyncnet.client import Client
from asyncnet.credentials import Credentials
from tests.clock import MS
from tests.peers import Authority
from tests.real.dovecot import Account, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix
from tests.real.running import running

MESSAGE = b"From: alice@example.org\r\nSubject: good morning\r\n\r\nHello.\r\n"


def credentials(account: Account) -> Credentials:
    return Credentials(account.name, account.password)


def logins(dovecot: Dovecot, account: Account, protocol: str) -> int:
    """How often the account signed in."""
    return len(re.findall(rf"{protocol}-login: (?:Info: )?Login: user=<{account.name}>", dovecot.log))


async def until(condition) -> None:
    """Wait until the log says so, for it is written a moment later."""
    stop = time.monotonic() + 10_000 * MS
    while not condition():
        assert time.monotonic() < stop
        await asyncio.sleep(5 * MS)


async def test_imap_signs_in_once_for_many_fetches_and_pop3_each_time(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    dovecot.deliver(account, MESSAGE)
    async with Client(tls=authority.client(), credentials={dovecot.host: credentials(account)}) as client:
        for _ in range(5):
            assert [mail.raw for mail in await client.fetch(dovecot.imaps)] == [MESSAGE]
        for _ in range(3):
            assert [mail.raw for mail in await client.fetch(dovecot.pop3s)] == [MESSAGE]
        await until(lambda: logins(dovecot, account, "pop3") == 3)
        assert logins(dovecot, account, "imap") == 1


async def test_at_most_so_many_at_once_sign_in_and_each_is_used_again(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    dovecot.deliver(account, MESSAGE)
    async with Client(tls=authority.client(), per_host=3) as client:
        for _ in range(2):
            fetches = (client.fetch(dovecot.imap_starttls, credentials(account)) for _ in range(12))
            assert [len(found) for found in await asyncio.gather(*fetches)] == [1] * 12
        await until(lambda: logins(dovecot, account, "imap") > 0)
        assert logins(dovecot, account, "imap") <= 3


async def test_a_mailbox_that_was_marked_and_left_is_not_expunged(
    dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    dovecot.deliver(account, MESSAGE)
    async with Client(tls=authority.client()) as client:
        async with client.session(dovecot.imaps, credentials(account)) as mailbox:
            await mailbox.select("INBOX")
            await mailbox.store(await mailbox.search("ALL"), add={r"\Deleted"})
        async with client.session(dovecot.imaps, credentials(account)) as again:
            assert again is mailbox
            await again.select("INBOX")
            assert len(await again.search("DELETED")) == 1


async def test_many_sends_at_once_go_over_few_sessions_and_each_arrives_once(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    seen = len(postfix.log)
    async with Client(per_host=4) as client:

        async def send(number: int) -> None:
            note = f"Number: {number}\r\n\r\n".encode()
            await client.send(note, postfix.smtp, sender="alice@example.org", recipients=account.address)

        await asyncio.gather(*(send(number) for number in range(60)))
        assert client._lender.count <= 4
    arrived = await asyncio.to_thread(dovecot.wait_for_messages, account, 60)
    numbers = Counter(int(found[1]) for found in (re.search(rb"Number: (\d+)", raw) for raw in arrived) if found)
    assert numbers == Counter(range(60))

    def mails() -> list[int]:
        return [int(count) for count in re.findall(r"disconnect from .* mail=(\d+)", postfix.log[seen:])]

    await until(lambda: sum(mails()) == 60)
    assert len(mails()) <= 4


async def test_http_keeps_its_connections(nginx: Nginx, authority: Authority) -> None:
    path = nginx.file(1024)
    async with Client(tls=authority.client(), per_host=4) as client:
        for root in (nginx.http, nginx.https):
            pages = await asyncio.gather(*(client.get(root + path) for _ in range(40)))
            assert {len(page.body) for page in pages} == {1024}


# Servers of their own, which may be restarted.


@pytest.fixture
def own_dovecot(authority: Authority):
    yield from running(Dovecot(authority))


async def test_a_restart_between_two_calls_is_not_noticed(
    own_dovecot: Dovecot, nginx: Nginx, authority: Authority
) -> None:
    account = own_dovecot.new_account()
    own_dovecot.deliver(account, MESSAGE)
    async with Client(tls=authority.client(), credentials={own_dovecot.imaps: credentials(account)}) as client:
        page = nginx.https + nginx.file(1024)
        for _ in range(3):
            assert len(await client.fetch(own_dovecot.imaps)) == 1
            assert (await client.get(page)).status == 200
            await asyncio.to_thread(own_dovecot.restart)
            await asyncio.to_thread(nginx.restart)
        assert len(await client.fetch(own_dovecot.imaps)) == 1
        assert (await client.get(page)).status == 200
