"""SMTP on a real Postfix: what is sent lies in Dovecot's mailboxes byte for byte, and nothing else does."""

import asyncio
import email
import email.policy
import hashlib
import random
from email.message import EmailMessage

import pytest

from asyncnet import (
    AuthenticationError,
    Credentials,
    DisconnectedError,
    Endpoint,
    RecipientsRefused,
    RefusedError,
    TLSError,
    smtp,
)
from tests.cancelling import cancelled_at_each_await
from tests.peers import Authority, CutProxy
from tests.real.dovecot import ALICE, BOB, Account, Dovecot
from tests.real.postfix import Postfix
from tests.smtp.talks import stuffed
from tests.smtp.test_smuggling import INPUTS, SMUGGLED

SENDER = "alice@example.org"
SCHEMES = ["submission", "smtps", "smtp"]
MECHANISMS = ["SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"]
MIB = 1024 * 1024

ODD = {
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nnot.leading\r\n.\r\n",
    "8-bit": b"Subject: gr\xc3\xbcn\r\nX: \xff\xfe\r\n\r\n\xe4\xf6\xfc \xff\r\n",
    "long lines": b"Subject: long\r\nX-Long: " + b"h" * 20_000 + b"\r\n\r\n" + b"b" * 100_000 + b"\r\n",
    "looks like SMTP": b"Subject: x\r\n\r\nDATA\r\n.\r\nQUIT\r\n250 ok\r\n",
    "no body": b"Subject: none\r\n\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(1000)) + b"\r\n.\r\n..\r\n",
    "lf alone": b"Subject: lf\n\nline\n.\nline\n",
    "no last line end": b"Subject: end\r\n\r\nlast",
}


def who(account: Account, mechanism: str | None = None) -> Credentials:
    return Credentials(account.name, account.password, mechanism=mechanism)


def crlf(message: bytes) -> bytes:
    """A message as it has to arrive: CRLF line ends, the last one too."""
    lines = stuffed(message).removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_odd_messages_arrive_byte_for_byte(
    postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority, scheme: str
) -> None:
    async with smtp.session(getattr(postfix, scheme), who(ALICE), tls=authority.client()) as outgoing:
        for message in ODD.values():
            receipt = await outgoing.send(message, sender=SENDER, recipients=account.address)
            assert receipt.accepted == (account.address,)
            assert receipt.enhanced == "2.0.0"
            assert "queued as" in receipt.text
    found = await asyncio.to_thread(dovecot.wait_for_messages, account, len(ODD))
    assert len(found) == len(ODD)
    for message in ODD.values():
        assert [one.endswith(b"\r\n" + crlf(message)) for one in found if one.endswith(crlf(message))] == [True]


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_each_mechanism_signs_in_and_a_wrong_password_is_one_refusal(
    postfix: Postfix, authority: Authority, mechanism: str
) -> None:
    async with smtp.session(postfix.submission, who(BOB, mechanism), tls=authority.client()) as outgoing:
        await outgoing.noop()
    wrong = Credentials("bob", "wrong", mechanism=mechanism)
    with pytest.raises(AuthenticationError) as caught:
        await smtp.session(postfix.submission, wrong, tls=authority.client()).open()
    assert (caught.value.code, caught.value.transient) == (535, False)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_token_signs_in_and_a_stale_one_is_replaced(
    postfix: Postfix, dovecot: Dovecot, authority: Authority, mechanism: str
) -> None:
    tokens = iter([dovecot.token(BOB, seconds=-60), dovecot.token(BOB)])
    credentials = Credentials("bob", lambda: next(tokens), mechanism=mechanism)
    async with smtp.session(postfix.submission, credentials, tls=authority.client()) as outgoing:
        await outgoing.noop()
    stale = Credentials("bob", lambda: dovecot.token(BOB, seconds=-60), mechanism=mechanism)
    with pytest.raises(AuthenticationError):
        await smtp.session(postfix.submission, stale, tls=authority.client()).open()


def _mail(to: str, number: int) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Alice Müller <alice@example.org>"
    mail["To"] = f"Bob Größe <{to}>"
    mail["Bcc"] = "dave+hidden@example.org"
    mail["Subject"] = f"Grüße, Nummer {number}"
    mail["Message-ID"] = f"<{number}@example.org>"
    mail.set_content("Grüße\n.\n" + "lang " * 400 + "\n")
    mail.add_attachment(random.Random(number).randbytes(200_000), maintype="application", subtype="x", filename="ü.bin")
    return mail


async def test_a_message_with_everything_arrives_as_it_was_made(
    postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    mail = _mail(account.address, 1)
    receipt = await smtp.send(mail, postfix.submission, who(ALICE), tls=authority.client())
    assert receipt.accepted == (account.address, "dave+hidden@example.org")
    assert receipt.message_id == "<1@example.org>"
    [raw] = await asyncio.to_thread(dovecot.wait_for_messages, account, 1)
    assert b"hidden" not in raw
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert found["Subject"] == mail["Subject"]
    assert [one.display_name for one in found["To"].addresses] == ["Bob Größe"]
    assert [part.get_content() for part in found.iter_attachments()] == [
        part.get_content() for part in mail.iter_attachments()
    ]
    body = found.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Grüße", ".", "lang " * 400]


async def test_20_mib_arrive_whole(postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority) -> None:
    lines = b"".join(random.Random(7).randbytes(40).hex().encode() + b"\n.\n" for _ in range(20 * MIB // 83))
    message = b"Subject: big\n\n" + lines
    receipt = await smtp.send(
        message, postfix.smtps, who(ALICE), sender=SENDER, recipients=account.address, tls=authority.client()
    )
    assert receipt.code == 250
    [found] = await asyncio.to_thread(dovecot.wait_for_messages, account, 1)
    wanted = message.replace(b"\n", b"\r\n")
    assert hashlib.sha256(found[-len(wanted) :]).digest() == hashlib.sha256(wanted).digest()


async def test_each_recipient_has_the_reply_of_his_own(
    postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    everybody = [postfix.refused, account.address, postfix.deferred, postfix.unknown, "alice+x@example.org"]
    async with smtp.session(postfix.submission, who(ALICE), tls=authority.client()) as outgoing:
        receipt = await outgoing.send(b"Subject: x\n\n", sender=SENDER, recipients=everybody)
        assert receipt.accepted == (account.address, "alice+x@example.org")
        assert {one: reply.code for one, reply in receipt.refused.items()} == {
            postfix.refused: 550,
            postfix.deferred: 450,
            postfix.unknown: 550,
        }
        assert receipt.refused[postfix.refused].enhanced == "5.7.1"
        for nobody, transient in [([postfix.deferred], True), ([postfix.deferred, postfix.refused], False)]:
            with pytest.raises(RecipientsRefused) as caught:
                await outgoing.send(b"Subject: y\n\n", sender=SENDER, recipients=nobody)
            assert caught.value.transient is transient
            assert list(caught.value.refused) == nobody
        await outgoing.send(b"Subject: z\n\n", sender=SENDER, recipients=account.address)
    found = await asyncio.to_thread(dovecot.wait_for_messages, account, 2)
    assert sorted(one[-14:-4] for one in found) == [b"Subject: x", b"Subject: z"]


async def test_without_signing_in_nothing_is_taken_and_the_session_goes_on(
    postfix: Postfix, account: Account, authority: Authority
) -> None:
    async with smtp.session(postfix.submission, tls=authority.client()) as outgoing:
        for _ in range(2):
            with pytest.raises(RecipientsRefused) as caught:
                await outgoing.send(b"", sender=SENDER, recipients=account.address)
            assert caught.value.code == 554


async def test_a_message_beyond_the_limit_of_the_server_is_not_sent(postfix: Postfix, account: Account) -> None:
    async with smtp.session(postfix.smtp) as outgoing:
        limit = int(outgoing.extensions["SIZE"])
        with pytest.raises(RefusedError, match=f"the server takes {limit}") as caught:
            await outgoing.send(bytes(limit + 1), sender=SENDER, recipients=account.address)
        assert caught.value.code == 552
        await outgoing.noop()


async def test_an_address_that_is_not_ascii_reaches_the_server_as_utf8(postfix: Postfix, account: Account) -> None:
    async with smtp.session(postfix.smtp) as outgoing:
        assert "SMTPUTF8" in outgoing.extensions
        receipt = await outgoing.send(
            b"Subject: x\n\n",
            sender=SENDER,
            recipients=["jürgen@example.org", postfix.discarded, "jürgen@discard.example.org"],
        )
    assert "jürgen@discard.example.org" in receipt.accepted
    assert receipt.refused["jürgen@example.org"].code == 550


async def test_smuggling_never_changes_the_number_of_messages(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    async with smtp.session(postfix.smtp) as outgoing:
        for number, body in enumerate(INPUTS):
            await outgoing.send(b"Number: %d\n\n" % number + body, sender=SENDER, recipients=account.address)
        await outgoing.send(b"Number: last\n\n", sender=SENDER, recipients=account.address)
    await asyncio.to_thread(postfix.wait_until_delivered)
    found = dovecot.messages(account)
    assert len(found) == len(INPUTS) + 1
    assert all(one.count(b"Return-Path: <alice@example.org>") == 1 for one in found)
    smuggled = sum(SMUGGLED in body for body in INPUTS)
    assert sum(SMUGGLED in one for one in found) == smuggled
    assert all(one.count(b"Number:") == 1 for one in found)


async def test_wherever_a_send_is_cancelled_no_part_of_a_message_is_delivered(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    message = b"Subject: whole\n\n" + b"line\n" * 100_000 + b"last\n"

    async def send() -> None:
        await smtp.send(message, postfix.smtp, sender=SENDER, recipients=account.address)

    cancelled = await cancelled_at_each_await(send)
    assert cancelled > 15
    await asyncio.to_thread(postfix.wait_until_delivered)
    found = dovecot.messages(account)
    assert 1 <= len(found) <= cancelled
    assert all(one.endswith(message.replace(b"\n", b"\r\n")) for one in found)


async def test_a_link_cut_in_the_middle_of_a_message_delivers_nothing(
    postfix: Postfix, dovecot: Dovecot, account: Account
) -> None:
    target = ("127.0.0.1", postfix.ports["smtp"])
    with CutProxy(target, after=100_000, direction="to server") as proxy:
        with pytest.raises(DisconnectedError) as caught:
            await smtp.send(b"x\n" * 20_000_000, f"smtp://{proxy.address}", sender=SENDER, recipients=account.address)
        assert not getattr(caught.value, "outcome_unknown", False)
        assert caught.value.transient
    await asyncio.to_thread(postfix.wait_until_delivered)
    assert dovecot.messages(account) == []


async def test_many_sessions_at_once_deliver_every_message_once(
    postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    async def send_some(sender: int) -> None:
        async with smtp.session(postfix.smtps, who(ALICE), tls=authority.client()) as outgoing:
            for number in range(10):
                message = f"Subject: {sender}-{number}\n\n"
                await outgoing.send(message, sender=SENDER, recipients=account.address)

    await asyncio.gather(*map(send_some, range(5)))
    found = await asyncio.to_thread(dovecot.wait_for_messages, account, 50)
    subjects = sorted(line for one in found for line in one.splitlines() if line.startswith(b"Subject: "))
    assert subjects == sorted(f"Subject: {sender}-{number}".encode() for sender in range(5) for number in range(10))


@pytest.mark.parametrize("scheme", ["submission", "smtps"])
async def test_a_certificate_that_is_not_trusted_or_of_another_name_hears_no_secret(
    postfix: Postfix, authority: Authority, scheme: str
) -> None:
    with pytest.raises(TLSError, match="not trusted"):
        await smtp.session(getattr(postfix, scheme), who(ALICE)).open()
    elsewhere = str(Endpoint.parse(getattr(postfix, scheme))).replace("localhost", "127.0.0.2")
    with pytest.raises((TLSError, ConnectionError)):
        await smtp.session(elsewhere.replace("127.0.0.1", "127.0.0.2"), who(ALICE), tls=authority.client()).open()
