"""fetch: a URL becomes a job, and what it gives is told by the scheme."""

import asyncio
import contextlib

import pytest

from asyncnet import Client, Credentials, Endpoint, client_context, http
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    InvalidEndpoint,
    LimitError,
    StatusError,
    TLSError,
    UsageError,
)
from asyncnet.jobs import Retry, all_of, as_completed, fetch, run
from asyncnet.message import Message
from tests.clock import MS
from tests.peers import Script

AGAIN = Retry(attempts=3, first_delay=0.0)

OK = r"""
C: GET /* HTTP/1.1
until \r\n\r\n
send HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello
"""
POP3 = r"""
S: +OK ready
C: CAPA
S: +OK
S: UIDL
S: USER
S: .
C: USER alice
S: +OK
C: PASS secret
S: +OK
C: STAT
S: +OK 1 14
C: LIST
S: +OK
S: 1 14
S: .
C: UIDL
S: +OK
S: 1 abc
S: .
C: RETR 1
S: +OK
S: Subject: x
S:
S: .
C: QUIT
S: +OK
"""
ALICE = Credentials("alice", "secret")


def answer(status: str, *fields: str) -> str:
    head = r"\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *fields])
    return f"C: GET /* HTTP/1.1\nuntil \\r\\n\\r\\n\nsend {head}\\r\\n\\r\\n\n"


async def one(job, **options):
    (outcome,) = await run([job], **options)
    return outcome


# values by scheme


async def test_http_gives_the_response():
    with Script(OK) as peer:
        outcome = await one(fetch(f"http://{peer.address}/page?a=1"))
    assert outcome.value.status == 200
    assert outcome.value.body == b"hello"
    assert outcome.name == f"http://{peer.address}/page?a=1"


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_tcp_and_tls_give_the_bytes_to_the_end(scheme, authority):
    body = bytes(range(256)) * 4096
    tls = authority.server if scheme == "tls" else None
    with Script("dump body", bodies={"body": body}, tls=tls) as peer:
        job = fetch(f"{scheme}://{peer.address}", tls=authority.client() if tls else None)
        outcome = await one(job)
    assert outcome.value == body
    assert peer.received == b"", "nothing is sent to it"


async def test_pop3_gives_the_messages():
    with Script(POP3) as peer:
        outcome = await one(fetch(f"pop3://{peer.address}", ALICE))
    assert outcome.ok, outcome.error
    assert [(message.uid, message.raw) for message in outcome.value] == [("abc", b"Subject: x\r\n\r\n")]
    assert isinstance(outcome.value[0], Message)


async def test_imap_failures_arrive_as_outcomes():
    with Script("S: * BYE not today\nclose", check=False) as peer:
        outcome = await one(fetch(f"imap://{peer.address}", ALICE))
    assert isinstance(outcome.error, DisconnectedError)


async def test_urls_and_endpoints_are_jobs_in_a_source():
    with Script(OK * 2) as peer:
        url = f"http://{peer.address}/x"
        outcomes = await run([url, Endpoint.parse(url)], limit=1, per_host=1)
    assert [outcome.value.body for outcome in outcomes] == [b"hello"] * 2
    assert [outcome.name for outcome in outcomes] == [url, url]


# failures


@pytest.mark.parametrize("status", ["400 Bad", "404 Not Found", "500 Oops"])
async def test_a_status_of_400_or_more_is_a_failure(status):
    with Script(answer(status)) as peer:
        outcome = await one(fetch(f"http://{peer.address}/", retry=AGAIN))
    assert isinstance(outcome.error, StatusError)
    assert outcome.error.code == int(status[:3])
    assert outcome.attempts == 1, "it is not transient"


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
async def test_429_and_503_are_tried_again(status):
    with Script(answer(status) + answer(status) + OK) as peer:
        outcome = await one(fetch(f"http://{peer.address}/", retry=AGAIN))
    assert outcome.value.body == b"hello"
    assert outcome.attempts == 3


async def test_a_retry_after_is_waited_for():
    with Script(answer("503 Busy", "Retry-After: 3600")) as peer:
        outcome = await one(fetch(f"http://{peer.address}/", retry=Retry(attempts=2, max_retry_after=60.0)))
    assert isinstance(outcome.error, StatusError)
    assert outcome.error.retry_after == 3600
    assert outcome.attempts == 1, "longer than anybody would wait"


async def test_a_refused_connection_is_a_transient_failure_and_harms_no_other():
    with Script(OK) as peer:
        outcomes = await run(["tcp://127.0.0.1:1", f"http://{peer.address}/"])
    assert isinstance(outcomes[0].error, ConnectError)
    assert outcomes[0].error.transient
    assert outcomes[1].ok


async def test_one_wrong_password_is_an_authentication_error_that_is_not_tried_again():
    refusing = POP3.partition("C: PASS secret")[0] + "C: PASS secret\nS: -ERR no\n"
    with Script(refusing, check=False) as peer:
        outcome = await one(fetch(f"pop3://{peer.address}", ALICE, retry=AGAIN))
    assert isinstance(outcome.error, AuthenticationError)
    assert outcome.attempts == 1
    assert "secret" not in str(outcome.error)


async def test_an_untrusted_certificate_is_refused(authority):
    with Script(OK, tls=authority.server, check=False) as peer:
        outcome = await one(fetch(f"https://{peer.address}/", retry=AGAIN))
    assert isinstance(outcome.error, TLSError)
    assert outcome.attempts == 1
    assert peer.received == b""


async def test_a_certificate_of_an_authority_that_was_given_is_trusted(authority):
    with Script(OK, tls=authority.server) as peer:
        outcome = await one(fetch(f"https://{peer.address}/", tls=client_context(ca=authority.pem)))
    assert outcome.ok, outcome.error


@pytest.mark.parametrize("url", ["http://{}/", "tcp://{}", "pop3://{}", "imap://{}"])
async def test_a_silent_peer_is_a_deadline_error(url):
    with Script("silence", check=False) as peer:
        credentials = None if url[0] in "ht" else ALICE
        outcome = await one(fetch(url.format(peer.address), credentials, timeout=30 * MS))
    assert isinstance(outcome.error, DeadlineError)
    assert outcome.error.transient


async def test_a_drip_does_not_extend_the_timeout():
    with Script(
        "drip 1 1\nsend aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nendless line", check=False
    ) as peer:
        outcome = await one(fetch(f"tcp://{peer.address}", timeout=30 * MS))
    assert isinstance(outcome.error, DeadlineError)


async def test_more_bytes_than_allowed_are_a_limit_error():
    body = {"body": b"x" * 5000}
    with Script("dump body", bodies=body, repeat=True, check=False) as peer:
        url = f"tcp://{peer.address}"
        outcomes = await run([fetch(url, max_bytes=4999), fetch(url, max_bytes=5000)])
    assert isinstance(outcomes[0].error, LimitError)
    assert outcomes[0].error.limit == 4999
    assert outcomes[1].value == body["body"]


async def test_a_page_longer_than_allowed_is_a_limit_error():
    with Script(OK, check=False) as peer:
        outcome = await one(fetch(f"http://{peer.address}/", max_bytes=4))
    assert isinstance(outcome.error, LimitError)


async def test_more_messages_than_allowed_are_a_limit_error():
    with Script(POP3, check=False) as peer:
        outcome = await one(fetch(f"pop3://{peer.address}", ALICE, max_messages=0))
    assert isinstance(outcome.error, LimitError)


async def test_a_cut_in_a_page_is_no_success():
    cut = OK.replace("hello", "hel") + "cut"
    with Script(cut, check=False) as peer:
        outcome = await one(fetch(f"http://{peer.address}/"))
    assert isinstance(outcome.error, DisconnectedError)


async def test_a_cut_under_tls_is_no_success(authority):
    with Script("send half\nshut", tls=authority.server, check=False) as peer:
        outcome = await one(fetch(f"tls://{peer.address}", tls=authority.client()))
    assert isinstance(outcome.error, DisconnectedError)


async def test_a_reset_is_no_success():
    with Script("send half\nreset", check=False) as peer:
        outcome = await one(fetch(f"tcp://{peer.address}"))
    assert isinstance(outcome.error, DisconnectedError | ConnectError)  # it may come while we still connect


# what is refused when the job is made


@pytest.mark.parametrize("url", ["nonsense", "gopher://a/", "tcp://a", "https://alice:secret@a/", 5])
def test_a_bad_url_is_refused_at_once(url):
    with pytest.raises(InvalidEndpoint):
        fetch(url)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("smtp://mail.example.org", {}),
        ("http://example.org/", {"credentials": ALICE}),
        ("https://bob@example.org/", {"credentials": ALICE}),
        ("imaps://alice@example.org/", {}),
        ("http://a/", {"timeout": -1.0}),
        ("http://a/", {"max_bytes": -1}),
        ("imaps://a/", {"max_messages": -1}),
        ("http://a/", {"proxy": "ftp://b"}),
    ],
)
def test_a_call_that_cannot_work_is_refused_at_once(url, options):
    with pytest.raises(UsageError):
        fetch(url, **options)


def test_a_job_shows_neither_query_nor_secret():
    job = fetch("https://example.org/x?token=abc", ALICE)
    assert repr(job) == "<Job https://example.org/x?...>"
    assert job.name == "https://example.org/x?token=abc"


async def test_a_timeout_around_a_fetch_does_not_tell_the_query():
    with Script("silence", check=False) as peer:
        outcome = await one(fetch(f"http://{peer.address}/x?token=abc").timeout(20 * MS))
    assert isinstance(outcome.error, DeadlineError)
    assert "token" not in str(outcome.error)


# one session for the run


async def test_the_pages_of_a_run_share_one_connection():
    with Script(OK * 5) as peer:
        outcomes = await run([f"http://{peer.address}/{n}" for n in range(5)], per_host=1)
    assert all(outcome.ok for outcome in outcomes)
    assert peer.connections == 1


async def test_as_many_connections_as_slots_are_made_and_no_more():
    slow = (
        "C: GET /* HTTP/1.1\nuntil \\r\\n\\r\\n\nwait go\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\n"
        + OK * 9
    )
    with Script(slow, slow, slow, check=False) as peer:
        running = asyncio.ensure_future(run([f"http://{peer.address}/{n}" for n in range(9)], per_host=3))
        await peer.until(3)
        peer.release("go")
        outcomes = await running
    assert all(outcome.ok for outcome in outcomes)
    assert peer.connections == 3


async def test_the_per_host_limit_counts_all_protocols_together():
    with Script("wait go", repeat=True, check=False) as peer:
        urls = [f"tcp://{peer.address}/", f"http://{peer.address}/", f"pop3://{peer.address}/"]
        async with asyncio.timeout(5):
            running = asyncio.ensure_future(run(urls, per_host=1))
            await peer.until(1)
            for _ in range(100):
                await asyncio.sleep(0)
            assert peer.connections == 1
            running.cancel()
            await asyncio.wait([running])


async def test_a_session_that_was_given_is_used_and_left_open():
    with Script(OK + OK) as peer:
        async with http.session() as session:
            first = await one(fetch(f"http://{peer.address}/a"), client=session)
            assert session.is_open
            second = await one(fetch(f"http://{peer.address}/b"), client=session)
    assert first.ok
    assert second.ok
    assert peer.connections == 1


async def test_a_client_that_was_given_fetches_by_its_own_policy():
    asked = []

    class Client:
        async def fetch(self, endpoint, credentials=None, /):
            asked.append((str(endpoint), credentials))
            if endpoint.scheme == "tcp":
                await asyncio.Event().wait()
            return endpoint.host

    jobs = [fetch("imaps://alice@a/INBOX", ALICE), fetch("tcp://b:1", timeout=10 * MS)]
    outcomes = await run(jobs, client=Client())
    assert outcomes[0].value == "a"
    assert isinstance(outcomes[1].error, DeadlineError)
    assert asked == [("imaps://alice@a/INBOX", ALICE), ("tcp://b:1", None)]


async def test_the_status_of_a_clients_response_counts_as_well():
    class Client:
        def __init__(self, session):
            self._session = session

        async def fetch(self, endpoint, credentials=None, /):
            return await self._session.get(endpoint)

    with Script(answer("404 Not Found")) as peer:
        async with http.session() as session:
            outcome = await one(fetch(f"http://{peer.address}/"), client=Client(session))
    assert isinstance(outcome.error, StatusError)


# header fields


def asked(peer):
    """The header fields of the first request, by their names in lower case."""
    head = bytes(peer.received).partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}


@pytest.mark.parametrize("fields", [{"X-Trace": "7"}, [("X-Trace", "7")], iter([("X-Trace", "7")])])
@pytest.mark.parametrize("by", ["the run", "a session", "a client"])
async def test_header_fields_are_sent_whoever_fetches(by, fields):
    if not isinstance(fields, dict | list):  # an iterator is read once, at once
        fields = iter([("X-Trace", "7")])
    with Script(OK) as peer:
        job = fetch(f"http://{peer.address}/a", headers=fields)
        if by == "the run":
            outcome = await one(job)
        else:
            async with Client() if by == "a client" else http.session() as client:
                outcome = await one(job, client=client)
    assert outcome.result().body == b"hello"
    assert asked(peer)["x-trace"] == "7"


async def test_header_fields_are_sent_with_each_attempt():
    with Script(answer("503 Busy") + OK) as peer:
        outcome = await one(fetch(f"http://{peer.address}/a", headers={"X-Trace": "7"}, retry=AGAIN))
    assert outcome.ok
    assert bytes(peer.received).count(b"X-Trace: 7\r\n") == 2


@pytest.mark.parametrize("by", [None, Client, http.session])
async def test_secret_fields_follow_no_redirect_to_another_origin(by):
    with Script(OK) as other:
        away = answer("302 Found", f"Location: http://localhost:{other.port}/b")
        with Script(away) as peer:
            fields = {"X-Api-Key": "hunter2", "Authorization": "Bearer hunter2", "X-Trace": "7"}
            async with contextlib.nullcontext() if by is None else by() as client:
                outcome = await one(fetch(f"http://{peer.address}/a", headers=fields), client=client)
    assert outcome.ok
    assert bytes(peer.received).count(b"hunter2") == 2
    assert b"hunter2" not in bytes(other.received)
    assert asked(other)["x-trace"] == "7"


async def test_a_client_that_takes_no_header_fields_is_told_so():
    class Client:
        async def fetch(self, endpoint, credentials=None, /):
            raise AssertionError("without its fields it is another request")

    outcome = await one(fetch("http://127.0.0.1:1/", headers={"X-Trace": "7"}), client=Client())
    assert isinstance(outcome.error, UsageError)
    assert "headers" in str(outcome.error)


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("imap://a/INBOX", {"X": "hunter2"}),
        ("tcp://a:1", {}),
        ("http://a/", {"X": b"hunter2"}),
        ("http://a/", {7: "hunter2"}),
        ("http://a/", [("X", "hunter2", "more")]),
        ("http://a/", ["hunter2"]),
    ],
)
def test_header_fields_that_cannot_be_are_refused_when_the_job_is_made(url, fields):
    with pytest.raises(UsageError) as caught:
        fetch(url, headers=fields)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("field", [("X", "a\r\nX-Evil: hunter2"), ("a b", "x"), ("Content-Length", "5")])
async def test_a_field_that_cannot_be_sent_is_the_failure_of_its_job_and_nothing_is_sent(field):
    with Script() as peer:
        outcome = await one(fetch(f"http://{peer.address}/", headers=[field]))
    assert isinstance(outcome.error, UsageError)
    assert not peer.received
    assert "hunter2" not in str(outcome.error)


# together


async def test_four_protocols_in_one_run():
    with Script(OK) as web, Script(POP3) as mail, Script("S: hi") as raw:
        pages = all_of(fetch(f"http://{web.address}/"), fetch(f"tcp://{raw.address}"))
        outcomes = await run([pages, fetch(f"pop3://{mail.address}", ALICE)], limit=2)
    assert [part if isinstance(part, bytes) else part.body for part in outcomes[0].value] == [b"hello", b"hi\r\n"]
    assert len(outcomes[1].value) == 1


async def test_a_page_leads_to_more_pages():
    links = "C: GET / HTTP/1.1\nuntil \\r\\n\\r\\n\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\n1 2\n"
    with Script(links + OK + OK) as peer:
        base = f"http://{peer.address}/"
        job = fetch(base).then(lambda page: [fetch(base + link) for link in page.text().split()])
        outcome = await one(job, limit=1)
    assert [page.url for page in outcome.value] == [base + "1", base + "2"]


async def test_closing_a_stream_of_fetches_early_leaves_no_connection():
    with Script("silence", repeat=True, check=False) as peer:
        quick = fetch("tcp://127.0.0.1:1", name="refused")
        outcomes = as_completed([quick, *(f"http://{peer.address}/{n}" for n in range(5)), f"tcp://{peer.address}"])
        assert (await anext(outcomes)).name == "refused"
        await peer.until(6)
        await outcomes.aclose()
