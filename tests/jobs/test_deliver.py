"""post, send, exchange: what is given to a peer, and given twice only where that does no harm."""

import asyncio
from collections import Counter
from email.message import EmailMessage

import pytest

from asyncnet import Credentials, http
from asyncnet.errors import (
    ConnectError,
    DisconnectedError,
    InvalidEndpoint,
    LimitError,
    StatusError,
    UsageError,
)
from asyncnet.jobs import Journal, Retry, exchange, fetch, post, run, send
from tests.jobs.test_observer import Notes
from tests.peers import Script

AGAIN = Retry(attempts=20, first_delay=0.0)

MAIL = EmailMessage()
MAIL["From"], MAIL["To"], MAIL["Subject"] = "a@example.org", "b@example.org", "hello"
MAIL.set_content("hello")

SMTP = r"""
S: 220 ready
C: EHLO *
S: 250 ok
C: MAIL FROM:*
S: 250 ok
C: RCPT TO:*
S: 250 ok
C: DATA
S: 354 go
until \r\n.\r\n
S: 250 taken
C: QUIT
S: 221 bye
"""


async def one(job, **options):
    (outcome,) = await run([job], **options)
    return outcome


class Orders:
    """An HTTP server that counts what it does, and of some answers sends none: each third one is lost."""

    def __init__(self, *, knows_keys):
        self.knows_keys = knows_keys
        self.asked: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._count = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *exception):
        self._server.close()

    async def _serve(self, reader, writer):
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                order = (await reader.readexactly(int(fields["Content-Length"]))).decode()
                self.asked[order] += 1
                key = fields.get("Idempotency-Key", "")
                if not (self.knows_keys and key in self._keys):
                    self.done[order] += 1
                    self._keys.add(key)
                self._count += 1
                if self._count % 10 in (2, 5, 8):
                    break
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def test_a_thousand_posts_with_keys_are_done_once_each_though_a_third_of_the_answers_is_lost():
    async with Orders(knows_keys=True) as server:
        jobs = [post(server.url, body=f"{n}", idempotency_key=f"key-{n}", retry=AGAIN) for n in range(1000)]
        outcomes = await run(jobs)
    assert all(outcome.ok for outcome in outcomes)
    assert server.done == Counter({f"{n}": 1 for n in range(1000)})
    assert sum(server.asked.values()) > 1300, "answers were lost"


async def test_without_keys_nothing_is_sent_twice_and_what_is_not_known_is_said():
    async with Orders(knows_keys=False) as server:
        outcomes = await run([post(server.url, body=f"{n}", retry=AGAIN) for n in range(300)])
    assert max(server.asked.values()) == 1
    lost = [outcome.error for outcome in outcomes if not outcome.ok]
    assert 60 <= len(lost) <= 130
    assert all(isinstance(error, DisconnectedError) for error in lost)
    assert all(error.outcome_unknown and not error.transient for error in lost)
    assert "may have been done" in str(lost[0])


@pytest.mark.parametrize(
    ("content", "sent"),
    [({"body": "h\xe9"}, "h\xe9".encode()), ({"form": {"a": "1 2"}}, b"a=1+2"), ({"json": {"a": [1]}}, b'{"a": [1]}')],
    ids=["body", "form", "json"],
)
async def test_a_post_sends_its_content_and_gives_the_response(content, sent):
    answer = r"C: POST /x HTTP/1.1" + "\n" + r"until \r\n\r\n" + f"\nread {len(sent)}\n"
    answer += r"send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with Script(answer) as peer:
        outcome = await one(post(f"http://{peer.address}/x", headers={"X-A": "b"}, idempotency_key="k1", **content))
    assert outcome.ok, outcome.error
    assert outcome.value.body == b"ok"
    assert outcome.received_bytes == 2
    assert peer.received.endswith(sent)
    assert b"X-A: b\r\n" in peer.received
    assert b"Idempotency-Key: k1\r\n" in peer.received


@pytest.mark.parametrize(("status", "again"), [("429 Slow", True), ("503 Busy", False), ("404 No", False)])
async def test_a_post_without_a_key_is_sent_again_only_where_the_server_did_nothing(status, again):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\nx")
        asked.append(1)
        said = f"HTTP/1.1 {status}" if len(asked) == 1 else "HTTP/1.1 200 OK"
        writer.write(f"{said}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    asked: list[int] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        outcome = await one(post(url, body="x", retry=AGAIN))
    assert len(asked) == (2 if again else 1)
    assert outcome.ok is again


async def test_a_post_by_a_session_that_was_given_uses_it():
    async with Orders(knows_keys=True) as server, http.session(headers={"X-Session": "1"}) as session:
        outcome = await one(post(server.url, body="a"), client=session)
    assert outcome.ok


async def test_a_client_that_cannot_post_is_told_so():
    class Client:
        async def fetch(self, endpoint, credentials=None):
            return None

    outcome = await one(post("http://a/", body="x"), client=Client())
    assert isinstance(outcome.error, UsageError)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"body": "x", "json": 1}, {"body": "x", "timeout": -1.0}, {"body": "x", "max_bytes": -1}],
    ids=str,
)
def test_a_post_that_cannot_be_is_refused_when_it_is_made(wrong):
    with pytest.raises(UsageError):
        post("http://a/", **wrong)


# send


async def test_send_gives_the_receipt():
    with Script(SMTP) as peer:
        outcome = await one(send(MAIL, f"smtp://{peer.address}"))
    assert outcome.ok, outcome.error
    assert outcome.value.accepted == ("b@example.org",)


async def test_a_mail_that_is_refused_for_now_is_sent_again_later():
    refused = "S: 220 ready\nC: EHLO *\nS: 250 ok\nC: MAIL FROM:*\nS: 451 later\n"
    with Script(refused, SMTP, check=False) as peer:
        outcome = await one(send(MAIL, f"smtp://{peer.address}", retry=AGAIN))
    assert outcome.ok, outcome.error
    assert outcome.attempts == 2


async def test_a_mail_whose_answer_is_lost_is_not_sent_again():
    lost = SMTP.partition("S: 250 taken")[0] + "reset\n"
    with Script(lost, check=False) as peer:
        outcome = await one(send(MAIL, f"smtp://{peer.address}", retry=AGAIN))
    assert outcome.attempts == 1
    assert outcome.error.outcome_unknown


async def test_a_mail_goes_by_the_client_that_was_given():
    class Client:
        async def fetch(self, endpoint, credentials=None):
            return None

        async def send(self, message, url, credentials=None, *, sender=None, recipients=None):
            return (message, url.host, credentials, sender, recipients)

    alice = Credentials("alice", "secret")
    job = send(b"x", "smtps://h", alice, sender="a@b", recipients=["c@d"])
    assert (await one(job, client=Client())).value == (b"x", "h", alice, "a@b", ("c@d",))


# exchange


async def test_an_exchange_gives_what_the_peer_answers_to_its_end():
    with Script("C: hello\nS: world\nclose") as peer:
        outcome = await one(exchange(f"tcp://{peer.address}", b"hello\r\n"))
    assert outcome.value == b"world\r\n"
    assert (outcome.sent_bytes, outcome.received_bytes) == (7, 7)


async def test_an_exchange_may_end_at_a_mark():
    with Script("C: hello\nS: 200 world\nsilence", check=False) as peer:
        outcome = await one(exchange(f"tcp://{peer.address}", b"hello\r\n", until=b"\r\n"))
    assert outcome.value == b"200 world\r\n"


@pytest.mark.parametrize("repeatable", [False, True])
async def test_an_exchange_that_broke_off_is_made_again_only_if_it_is_said_to_be_repeatable(repeatable):
    with Script("C: hello\nreset", "C: hello\nS: world\nclose", check=False) as peer:
        job = exchange(f"tcp://{peer.address}", b"hello\r\n", until=b"\r\n", repeatable=repeatable, retry=AGAIN)
        outcome = await one(job)
    assert outcome.ok is repeatable
    if not repeatable:
        assert outcome.attempts == 1
        assert outcome.error.outcome_unknown


async def test_an_exchange_that_never_got_there_is_tried_again():
    outcome = await one(exchange("tcp://127.0.0.1:1", b"x", retry=Retry(attempts=3, first_delay=0.0)))
    assert isinstance(outcome.error, ConnectError)
    assert outcome.attempts == 3


async def test_an_answer_beyond_the_limit_is_a_failure():
    with Script("C: hello\nS: world and more\nclose", check=False) as peer:
        outcome = await one(exchange(f"tcp://{peer.address}", b"hello\r\n", max_bytes=5))
    assert isinstance(outcome.error, LimitError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: post("ftp://a/", body="x"), lambda: post("imap://a/", body="x"), lambda: send(MAIL, "http://a/"),
        lambda: exchange("http://a/", b""), lambda: exchange("tcp://a:1", b"", until=b""),
        lambda: exchange("tcp://a:1", b"", max_bytes=-1), lambda: send(MAIL, "smtp://a", timeout=-1.0),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_it_is_made(make):
    with pytest.raises((UsageError, InvalidEndpoint)):
        make()


# what is told and known of them


async def test_observers_are_told_before_what_must_not_be_done_twice():
    notes = Notes()
    async with Orders(knows_keys=True) as server:
        safe = post(server.url, body="1", idempotency_key="k", name="safe")
        risky = post(server.url, body="2", name="risky")
        deep = fetch("tcp://127.0.0.1:1", name="deep").or_else(risky).then(lambda _: risky)
        await run([safe, risky, deep], observers=[notes], limit=1)
    told = [event[1] for event in notes.events if event[0] == "committing"]
    assert told == ["risky", "deep", "deep"][: len(told)]
    assert len(told) >= 2


async def test_what_observers_cannot_note_is_not_begun():
    notes = Notes(fails="committing")
    async with Orders(knows_keys=True) as server:
        with pytest.raises(OSError, match="disk is full"):
            await run([post(server.url, body="1")], observers=[notes])
    assert not server.asked


def test_keys_tell_apart_what_differs_and_hold_no_secret():
    url = "https://example.org/a"
    jobs = [
        fetch(url), fetch(f"{url}?token=hunter2"), fetch(f"{url}?token=hunter3"), fetch("https://example.org/b"),
        fetch(url, Credentials("alice", "hunter2")), fetch(url, Credentials("bob", "hunter2")),
        fetch(url, headers={"Accept": "a"}), fetch(url, headers={"Accept": "b"}),
        fetch(url, headers={"Cookie": "hunter2"}),
        post(url, body="hunter2"), post(url, body="x"), post(url, json={"a": 1}), post(url, form={"a": 1}),
        post(url, body="x", idempotency_key="hunter2"),
        send(MAIL, "smtp://h"), send(b"x", "smtp://h", sender="a@b", recipients="c@d"),
        exchange("tcp://h:1", b"hunter2"), exchange("tcp://h:1", b"y"),
    ]  # fmt: skip
    keys = [job.key for job in jobs]
    assert len(set(keys)) == len(keys)
    assert not any("hunter" in key for key in keys)
    assert keys[0] == "GET https://example.org/a"
    assert fetch(url, headers={"accept": "a"}).key == fetch(url, headers=[("Accept", "a")]).key == keys[6]
    assert fetch(url, headers={}).key == fetch(url).key
    assert keys[9].startswith("POST https://example.org/a #")
    again = fetch(f"{url}?token=hunter2", timeout=5.0, retry=AGAIN)
    assert again.key == keys[1], "neither the timeout nor the retry is a part of what is done"
    assert fetch(url, name="mine").key == "mine"


def _unwritable() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "a@example.org", "b@example.org"
    mail.set_payload("\u00fc")
    return mail


@pytest.mark.parametrize(
    "job",
    [
        post("http://127.0.0.1:1/", json={"a": object()}),
        post("http://127.0.0.1:1/", json={1: "a", "b": 2}),
        send(_unwritable(), "smtp://127.0.0.1:1"),
    ],
)
async def test_what_makes_no_key_by_itself_fails_alone_in_a_run_with_a_journal(job, tmp_path):
    outcome = await one(job, observers=[await Journal.open(tmp_path / "run")])
    assert isinstance(outcome.error, UsageError | ConnectError)


async def test_a_status_of_400_or_more_is_a_failure_of_a_post():
    answer = r"C: POST /*" + "\nuntil \\r\\n\\r\\n\nread 1\n" + r"send HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"
    with Script(answer) as peer:
        outcome = await one(post(f"http://{peer.address}/", body="x"))
    assert isinstance(outcome.error, StatusError)
    assert not outcome.error.outcome_unknown
