"""Jobs over a Client: its credentials, its TLS and its warm sessions, for all kinds of jobs in one run."""

from email.message import EmailMessage

from asyncnet import Client, Credentials, Lab
from asyncnet.errors import AuthenticationError
from asyncnet.jobs import exchange, fetch, post, run, send

NOTE = EmailMessage()
NOTE["From"], NOTE["To"], NOTE["Subject"] = "me@example.org", "me@example.org", "from a job"
NOTE.set_content("hello")


async def test_all_kinds_of_jobs_run_over_one_client():
    async with Lab() as lab, Client(tls=lab.tls, credentials=lambda _: lab.credentials) as client:
        lab.deliver(b"Subject: there before\r\n\r\nbody\r\n")
        receipt, page, made, mail, drop, answer = await run(
            [
                send(NOTE, lab.smtp.url),
                fetch(f"{lab.http.url}/bytes/100"),
                post(f"{lab.http.url}/echo", json={"a": 1}),
                fetch(lab.imap.url),
                fetch(lab.pop3.url),
                exchange(lab.echo.url, b"ping\n", until=b"\n"),
            ],
            client=client,
        )
        sent = lab.sent[0]
    assert receipt.result()
    assert len(page.result().body) == 100
    assert made.result().status == 200
    assert b"there before" in mail.result()[0].raw
    assert b"there before" in drop.result()[0].raw
    assert answer.result() == b"ping\n"
    assert b"from a job" in sent.raw


async def test_the_client_keeps_its_connections_for_the_next_run():
    steps = []
    async with Lab() as lab, Client(trace=steps.append) as client:
        for _ in range(2):
            for outcome in await run([f"{lab.http.url}/bytes/10"] * 5, limit=1, client=client):
                assert outcome.result().status == 200
    assert [step.kind for step in steps].count("connect") == 1
    assert [step.kind for step in steps].count("done") == 10


async def test_a_refused_login_is_one_job_s_failure():
    async with Lab() as lab, Client(allow_plaintext_login=True) as client:
        bad, good = await run(
            [fetch(lab.imap.url, Credentials("me", "wrong")), fetch(lab.imap.url, lab.credentials)], client=client
        )
    assert isinstance(bad.error, AuthenticationError)
    assert good.ok
