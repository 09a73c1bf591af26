"""Tests of the mail service, on the lab's servers: pytest examples/test_mail_ingest.py (docs/lab-pytest.md)."""

import asyncio
import contextlib
import dataclasses
from pathlib import Path

import pytest
from mail_ingest import Ingest

from asyncnet import AuthenticationError, Credentials, jobs, smtp
from asyncnet.lab import Faults, ThreadedLab
from asyncnet.lab.pytest_plugin import LabCA

NOTE = smtp.compose("ada@example.com", "me@example.org", "Numbers", "See below.", attachments=[("n.csv", b"5,120\n")])


@pytest.fixture
def service(mail_lab: ThreadedLab, lab_ca: LabCA, tmp_path: Path) -> Ingest:
    """The service, all its places in the lab."""
    return Ingest(
        mailbox=mail_lab.imap.tls_url,
        hook=f"{mail_lab.http.tls_url}/webhook/mail",
        relay=mail_lab.smtp.starttls_url,
        folder=tmp_path,
        credentials=mail_lab.credentials,
        tls=lab_ca.context(),
        retry=jobs.Retry(attempts=5, first_delay=0.01),
    )


async def taken_in(service: Ingest, mail_lab: ThreadedLab) -> None:
    """Run the service until it has confirmed a mail."""
    running = asyncio.create_task(service.run())
    waiting = asyncio.create_task(mail_lab.until_async(lambda: mail_lab.lab.sent))
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, waiting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # an error of the service comes out here


def test_a_mail_is_stored_told_and_confirmed(service: Ingest, mail_lab: ThreadedLab) -> None:
    mail_lab.deliver(NOTE)
    asyncio.run(taken_in(service, mail_lab))
    assert [path.read_bytes() for path in service.folder.rglob("n.csv")] == [b"5,120\n"]
    [told] = mail_lab.requests
    assert told.json() == {"from": "ada@example.com", "subject": "Numbers", "files": ["n.csv"]}
    [confirmed] = mail_lab.sent
    assert confirmed.recipients == ("ada@example.com",)


def test_a_connection_that_is_cut_costs_nothing(service: Ingest, mail_lab: ThreadedLab, lab_faults: Faults) -> None:
    cut = lab_faults.on("imap", "FETCH", cut_after=200, times=2)
    mail_lab.deliver(NOTE)
    asyncio.run(taken_in(service, mail_lab))
    assert cut.met == 2
    assert len(mail_lab.requests) == 1


def test_a_relay_that_says_later_is_asked_again(service: Ingest, mail_lab: ThreadedLab, lab_faults: Faults) -> None:
    grey = lab_faults.on("smtp", "RCPT", greylist=True)
    mail_lab.deliver(NOTE)
    asyncio.run(taken_in(service, mail_lab))
    assert grey.met == 1
    assert len(mail_lab.sent) == 1


def test_a_lost_answer_is_told_again_with_the_same_key(
    service: Ingest, mail_lab: ThreadedLab, lab_faults: Faults
) -> None:
    lab_faults.on("http", "POST /webhook/mail", lose_answer=True, times=1)
    mail_lab.deliver(NOTE)
    asyncio.run(taken_in(service, mail_lab))
    assert len({request.headers["idempotency-key"] for request in mail_lab.requests}) == 1
    assert len(mail_lab.requests) == 2


def test_a_wrong_password_ends_it_at_once(service: Ingest, mail_lab: ThreadedLab) -> None:
    wrong = dataclasses.replace(service, credentials=Credentials("me", "hunter2"))
    with pytest.raises(AuthenticationError):
        asyncio.run(taken_in(wrong, mail_lab))
    [dialogue] = mail_lab.dialogues
    assert "AUTHENTICATIONFAILED" in str(dialogue)
    assert not list(service.folder.iterdir())
