"""Bulk, pool, streams, DSN and LMTP on the real servers: each message arrives once, whole, and for whom it was."""

import asyncio
import email
import email.policy
import re
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

import pytest

from asyncnet import RecipientsRefused, smtp
from asyncnet.smtp import Mail
from tests.peers import CutProxy
from tests.real.dovecot import Account, Dovecot
from tests.real.postfix import Postfix
from tests.smtp.test_smuggling import INPUTS, SMUGGLED

SENDER = "alice@example.org"


def numbered(account: Account, count: int) -> list[Mail]:
    return [Mail(f"Number: {number}\n\n.\nx\n", SENDER, account.address) for number in range(count)]


def numbers(found: list[bytes]) -> Counter[int]:
    return Counter(int(one[1]) for one in (re.search(rb"Number: (\d+)", raw) for raw in found) if one)


async def test_many_over_one_session_arrive_once_in_order(postfix: Postfix, dovecot: Dovecot, account: Account) -> None:
    mails = numbered(account, 60)
    mails[20] = Mail(b"Number: 20\n\n", SENDER, [postfix.refused, account.address])
    mails[30] = Mail(b"Number: 30\n\n", SENDER, [postfix.refused, postfix.deferred])
    async with smtp.session(postfix.smtp) as outgoing:
        assert {"PIPELINING", "CHUNKING"} <= outgoing.extensions.keys()
        found = [one async for one in outgoing.send_many(mails)]
    assert [one.number for one in found if not one.ok] == [30]
    assert isinstance(found[30].error, RecipientsRefused)
    assert {one: reply[0] for one, reply in found[30].error.refused.items()} == {
        postfix.refused: 550,
        postfix.deferred: 450,
    }
    assert found[20].receipt is not None
    assert list(found[20].receipt.refused) == [postfix.refused]
    arrived = await asyncio.to_thread(dovecot.wait_for_messages, account, 59)
    assert numbers(arrived) == Counter(number for number in range(60) if number != 30)


async def test_a_pool_delivers_every_message_once(postfix: Postfix, dovecot: Dovecot, account: Account) -> None:
    async with smtp.pool(postfix.smtp, size=4, max_messages_per_connection=20) as pool:
        found = [one async for one in pool.send_many(numbered(account, 150))]
        await asyncio.gather(*(pool.send_mail(mail) for mail in numbered(account, 10)))
    assert all(one.ok for one in found)
    arrived = await asyncio.to_thread(dovecot.wait_for_messages, account, 160)
    assert numbers(arrived) == Counter(range(150)) + Counter(range(10))


async def test_a_link_cut_among_many_leaves_no_doubt_about_what_was_taken(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    with CutProxy(("127.0.0.1", postfix.ports["smtp"]), after=1500, direction="to client") as proxy:
        async with smtp.session(f"smtp://{proxy.address}") as outgoing:
            found = [one async for one in outgoing.send_many(numbered(account, 40))]
    taken = {one.number for one in found if one.ok}
    unknown = {one.number for one in found if one.error and one.error.outcome_unknown}
    assert 0 < len(taken) < 40
    assert 0 < len(unknown) <= 10
    await asyncio.to_thread(postfix.wait_until_delivered)
    arrived = numbers(dovecot.messages(account))
    assert taken <= arrived.keys() <= taken | unknown
    assert set(arrived.values()) == {1}


async def test_a_pool_over_a_link_that_is_cut_before_anything_was_taken_sends_again(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    target = ("127.0.0.1", postfix.ports["smtp"])
    with CutProxy(target, after=60, direction="to server", times=2) as proxy:
        async with smtp.pool(f"smtp://{proxy.address}", size=1) as pool:
            # Not a small one, which would have left with its envelope, so that nobody could know.
            await pool.send_mail(Mail(b"Number: 1\n\n" + b"x\n" * 100_000, SENDER, account.address))
    await asyncio.to_thread(postfix.wait_until_delivered)
    assert numbers(dovecot.messages(account)) == {1: 1}


async def test_smuggling_in_bulk_never_changes_the_number_of_messages(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    mails = [Mail(b"Number: %d\n\n" % n + body, SENDER, account.address) for n, body in enumerate(INPUTS)]
    async with smtp.session(postfix.smtp) as outgoing:
        assert all([one.ok async for one in outgoing.send_many(mails)])
    await asyncio.to_thread(postfix.wait_until_delivered)
    found = dovecot.messages(account)
    assert numbers(found) == Counter(range(len(INPUTS)))
    assert sum(SMUGGLED in one for one in found) == sum(SMUGGLED in body for body in INPUTS)


async def test_a_file_arrives_as_it_lies_there(
    postfix: Postfix, dovecot: Dovecot, account: Account, tmp_path: Path
) -> None:
    text = b"Subject: stream\n\n" + b"".join(b"%d\n.\n" % number for number in range(200_000))
    (tmp_path / "mail").write_bytes(text)
    with (tmp_path / "mail").open("rb") as file:
        async with smtp.session(postfix.smtp) as outgoing:
            await outgoing.send(file, sender=SENDER, recipients=account.address)
    [found] = await asyncio.to_thread(dovecot.wait_for_messages, account, 1)
    assert found.endswith(text.replace(b"\n", b"\r\n"))


async def test_a_composed_message_arrives_as_it_was_meant(postfix: Postfix, dovecot: Dovecot, account: Account) -> None:
    mail = smtp.compose(
        "Alice Müller <alice@example.org>",
        f"Bøb <{account.address}>",
        "Grüße 👋",
        "Grüße\n.\n",
        html='<p>Grüße<img src="cid:logo"></p>',
        images={"logo": b"\x89PNG" + bytes(1000)},
        attachments=[("größe.bin", bytes(range(256)) * 1000)],
    )
    await smtp.send(mail, postfix.smtp)
    [raw] = await asyncio.to_thread(dovecot.wait_for_messages, account, 1)
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert (found["Subject"], found["Message-ID"]) == ("Grüße 👋", mail["Message-ID"])
    [attached] = found.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("größe.bin", bytes(range(256)) * 1000)  # type: ignore[attr-defined]
    body = found.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == ["Grüße", "."]


async def test_a_report_of_success_comes_where_one_was_wished(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    writer = dovecot.new_account()
    await smtp.send(
        b"Subject: x\n\n",
        postfix.smtp,
        sender=writer.address,
        recipients=account.address,
        notify="success",
        ret="headers",
        envid="my + id",
        orcpt={account.address: "first@example.org"},
    )
    [report] = await asyncio.to_thread(dovecot.wait_for_messages, writer, 1)
    assert b"multipart/report" in report
    assert b"Original-Envelope-Id: my + id" in report
    assert b"Original-Recipient: rfc822;first@example.org" in report


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_lmtp_answers_for_each_recipient(dovecot: Dovecot, account: Account, size: int) -> None:
    other = dovecot.new_account()
    message = b"Subject: lmtp\r\n\r\n" + b"x" * size + b"\r\n"
    async with smtp.session(f"lmtp://127.0.0.1:{dovecot.ports['lmtp']}") as outgoing:
        everybody = [account.address, "nobody.of.that.name@example.org", other.address]
        receipt = await outgoing.send(message, sender=SENDER, recipients=everybody)
        with pytest.raises(RecipientsRefused):
            await outgoing.send(message, sender=SENDER, recipients=everybody[1])
    assert set(receipt.accepted) == {account.address, other.address}
    assert list(receipt.refused) == ["nobody.of.that.name@example.org"]
    for one in (account, other):
        [found] = await asyncio.to_thread(dovecot.wait_for_messages, one, 1)
        assert found.endswith(message)
