"""Postfix as a fixture, judged by smtplib alone, and by what arrives in Dovecot's mailboxes."""

import smtplib
from collections.abc import Iterator

import pytest

from tests.peers import Authority
from tests.real.dovecot import ALICE, Account, Dovecot
from tests.real.postfix import Postfix

SENDER = "alice@example.org"
MIB = 1024 * 1024
ODD = (
    b"From: alice@example.org\r\nSubject: gr\xc3\xbcn\r\n\r\n.\r\n..two\r\n8-bit \xff\r\n"
    + b"x" * 20_000
    + b"\r\nFrom here\r\n"
)


@pytest.fixture
def submission(postfix: Postfix, authority: Authority) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", postfix.ports["submission"], timeout=10) as client:
        client.starttls(context=authority.client())
        yield client


@pytest.fixture
def plain(postfix: Postfix) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", postfix.ports["smtp"], timeout=10) as client:
        yield client


def test_submitted_mail_arrives_byte_for_byte_behind_its_trace(
    dovecot: Dovecot, account: Account, submission: smtplib.SMTP
) -> None:
    submission.login("alice", ALICE.password)
    assert submission.sendmail(SENDER, [account.address], ODD, mail_options=["BODY=8BITMIME"]) == {}
    (found,) = dovecot.wait_for_messages(account, 1)
    assert found.endswith(b"\r\n" + ODD)
    trace = found.removesuffix(ODD)
    assert {line.split(b":")[0] for line in trace.splitlines() if not line.startswith(b"\t")} == {
        b"Return-Path",
        b"Delivered-To",
        b"Received",
    }


def test_a_big_message_arrives_whole(
    postfix: Postfix, dovecot: Dovecot, account: Account, authority: Authority
) -> None:
    message = b"Subject: big\r\n\r\n" + b"0123456789" * 7 + b"\r\n" + (b"y" * 998 + b"\r\n") * (20 * MIB // 1000)
    with smtplib.SMTP_SSL("127.0.0.1", postfix.ports["smtps"], context=authority.client(), timeout=30) as client:
        client.login("alice", ALICE.password)
        assert client.sendmail(SENDER, [account.address], message) == {}
    (found,) = dovecot.wait_for_messages(account, 1)
    assert found.endswith(message)


def test_messages_up_to_200_mib_and_the_extensions_are_offered(plain: smtplib.SMTP) -> None:
    plain.ehlo()
    assert plain.esmtp_features["size"] == str(200 * MIB)
    assert {"pipelining", "chunking", "8bitmime", "smtputf8", "dsn", "starttls", "auth"} <= set(plain.esmtp_features)


def test_submission_offers_no_auth_before_tls_and_takes_no_mail_without_it(
    postfix: Postfix, account: Account, submission: smtplib.SMTP
) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.ports["submission"], timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("auth")
    submission.ehlo()
    assert "SCRAM-SHA-256" in submission.esmtp_features["auth"]
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        submission.sendmail(SENDER, [account.address], ODD)
    assert refused.value.recipients[account.address][0] == 554


def test_a_wrong_password_is_refused(submission: smtplib.SMTP) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        submission.login("alice", "wrong")
    assert refused.value.smtp_code == 535


def test_recipients_are_refused_each_in_its_own_way(
    postfix: Postfix, dovecot: Dovecot, account: Account, plain: smtplib.SMTP
) -> None:
    recipients = [postfix.refused, account.address, postfix.deferred, postfix.unknown, "anybody@elsewhere.example"]
    answers = plain.sendmail(SENDER, recipients, ODD)
    assert {address: answer[0] for address, answer in answers.items()} == {
        postfix.refused: 550,
        postfix.deferred: 450,
        postfix.unknown: 550,
        "anybody@elsewhere.example": 550,
    }
    assert len(dovecot.wait_for_messages(account, 1)) == 1


def test_many_messages_arrive_once_each(
    postfix: Postfix, dovecot: Dovecot, account: Account, plain: smtplib.SMTP
) -> None:
    sent = {b"Subject: %d\r\n\r\nbody\r\n" % number for number in range(50)}
    tagged = account.address.replace("@", "+tag@")
    for message in sent:
        assert plain.sendmail(SENDER, [tagged], message) == {}
    postfix.wait_until_delivered()
    found = dovecot.messages(account)
    assert {message[message.index(b"Subject:") :] for message in found} == sent
    assert len(found) == len(sent)


def test_mail_to_the_discard_domain_goes_nowhere(postfix: Postfix, plain: smtplib.SMTP) -> None:
    assert plain.sendmail(SENDER, [postfix.discarded], ODD) == {}
    postfix.wait_until_delivered()
    assert f"to=<{postfix.discarded}>, relay=none" in postfix.log
