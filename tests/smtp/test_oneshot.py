"""One call sends one message, within one deadline, and what was accepted stays so when the goodbye fails."""

import asyncio
import time
from email.message import EmailMessage

import pytest

from asyncnet import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    RecipientsRefused,
    RefusedError,
    UsageError,
    smtp,
)
from tests.peers import MS, Authority, Script
from tests.smtp.talks import ALICE, AUTH_ALICE, ENVELOPE, GREETED, LEFT, NOTE, TAKEN, bodies, greeted, url


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "alice@example.org", "bob@example.net", "<1@example.org>"
    message.set_content("Good morning.\n.\n")
    return message


async def test_it_connects_signs_in_sends_and_leaves(authority: Authority) -> None:
    talk = greeted("AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: 235 ok\n" + TAKEN + LEFT
    async with Script(talk, tls=authority.server) as peer:
        receipt = await smtp.send(_mail(), url(peer, "smtps"), ALICE, tls=authority.client())
    assert (receipt.accepted, receipt.refused, receipt.message_id) == (("bob@example.net",), {}, "<1@example.org>")
    assert bodies(peer)[0].endswith(b"\r\n\r\nGood morning.\r\n..\r\n.\r\n")


async def test_recipients_may_be_any_iterable() -> None:
    async with Script(GREETED + TAKEN + LEFT) as peer:
        receipt = await smtp.send(NOTE, url(peer), sender="alice@example.org", recipients=iter(["bob@example.net"]))
    assert receipt.accepted == ("bob@example.net",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "a\r\nb"},
        {"recipients": ["a\0b"]},
        {"recipients": []},
        {"sender": None},
        {"message": 7},
        {"timeout": -1.0},
        {"endpoint": "imap://127.0.0.1"},
        {"endpoint": "smtp://alice@127.0.0.1"},
    ],
    ids=repr,
)
async def test_a_fault_of_the_call_connects_nowhere(wrong: dict[str, object]) -> None:
    async with Script() as peer:
        call = {"message": NOTE, "endpoint": url(peer), **ENVELOPE, **wrong}
        with pytest.raises(UsageError):
            await smtp.send(**call)  # type: ignore[arg-type]
        assert peer.connections == 0


async def test_what_was_accepted_stays_accepted_when_the_goodbye_fails() -> None:
    for goodbye in ("cut", "C: QUIT\ncut", "C: QUIT\nS: 500 what", "C: QUIT\nS: nonsense", "C: QUIT\nreset"):
        async with Script(GREETED + TAKEN + goodbye, check=goodbye != "cut") as peer:
            receipt = await smtp.send(NOTE, url(peer), **ENVELOPE)  # type: ignore[arg-type]
            assert receipt.accepted == ("bob@example.net",)


async def test_a_goodbye_that_does_not_come_costs_what_is_left_of_the_timeout_and_no_more() -> None:
    async with Script(GREETED + TAKEN + "C: QUIT\nsilence") as peer:
        start = time.monotonic()
        receipt = await smtp.send(NOTE, url(peer), timeout=200 * MS, **ENVELOPE)  # type: ignore[arg-type]
        assert receipt.code == 250
        assert time.monotonic() - start < 1000 * MS


async def test_one_deadline_is_over_all_of_it() -> None:
    steps = (
        greeted().replace("\n", "\npause 30\n") + "C: MAIL *\npause 30\nS: 250 ok\nC: RCPT *\npause 1000\nS: 250 ok\n"
    )
    async with Script(steps, check=False) as peer:
        with pytest.raises(DeadlineError, match=r"send smtp://.*\(in ") as caught:
            await smtp.send(NOTE, url(peer), timeout=150 * MS, **ENVELOPE)  # type: ignore[arg-type]
        assert caught.value.transient


async def test_a_deadline_after_the_whole_message_leaves_the_outcome_open() -> None:
    silent = TAKEN.replace("S: 250 2.0.0 Ok: queued as 4711", "silence")
    async with Script(GREETED + silent) as peer:
        with pytest.raises(DeadlineError, match="may or may not have been accepted") as caught:
            await smtp.send(NOTE, url(peer), timeout=250 * MS, **ENVELOPE)  # type: ignore[arg-type]
        assert caught.value.outcome_unknown is True  # type: ignore[attr-defined]
        assert not caught.value.transient
        assert str(caught.value).count("may or may not") == 1


async def test_a_link_that_is_lost_after_the_whole_message_leaves_the_outcome_open() -> None:
    async with Script(GREETED + TAKEN.replace("S: 250 2.0.0 Ok: queued as 4711", "cut")) as peer:
        with pytest.raises(DisconnectedError, match="may or may not have been accepted") as caught:
            await smtp.send(NOTE, url(peer), **ENVELOPE)  # type: ignore[arg-type]
        assert caught.value.outcome_unknown is True  # type: ignore[attr-defined]
        assert str(caught.value).count("may or may not") == 1


async def test_nothing_is_sent_twice() -> None:
    for talk, kind in [
        (GREETED + TAKEN.replace("S: 250 2.0.0 Ok: queued as 4711", "reset"), DisconnectedError),
        (GREETED + "C: MAIL *\nS: 451 later\nC: RSET\nS: 250 ok\neof", RefusedError),
        (GREETED + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 450 later\nC: RSET\nS: 250 ok\neof", RecipientsRefused),
        (greeted("AUTH PLAIN") + "C: AUTH *\nS: 535 no", AuthenticationError),
    ]:
        async with Script(talk) as peer:
            with pytest.raises(kind):
                await smtp.send(NOTE, url(peer), ALICE if "AUTH" in talk else None, **ENVELOPE)  # type: ignore[arg-type]
            assert peer.connections == 1


async def test_nobody_there_is_a_connect_error() -> None:
    with Script() as peer:
        pass
    with pytest.raises(ConnectError) as caught:
        await smtp.send(NOTE, url(peer), **ENVELOPE)  # type: ignore[arg-type]
    assert caught.value.transient


async def test_many_at_once_keep_apart() -> None:
    async with Script(*[GREETED + TAKEN + LEFT] * 20) as peer:
        sent = [smtp.send(f"Subject: {number}\n\n", url(peer), **ENVELOPE) for number in range(20)]  # type: ignore[arg-type]
        receipts = await asyncio.gather(*sent)
    assert len(receipts) == 20
    found = sorted(line for line in peer.lines if line.startswith(b"Subject"))
    assert found == sorted(f"Subject: {number}".encode() for number in range(20))
