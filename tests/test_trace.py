"""trace.py: each call's steps in order, with times that only grow and no secret; a bad sink harms nobody."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator

import pytest

from asyncnet import Credentials, http, imap, pop3, smtp
from asyncnet.deadline import Deadline, deadline, phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, DeadlineError, NetError, RefusedError
from asyncnet.trace import TraceEvent, answered, asked, log_to, noted, tracing
from tests.clock import MS
from tests.peers import Authority, Script

PLACE = Endpoint.parse("imap://localhost/INBOX?token=hidden")
ALICE = Credentials("alice", "correct horse")
PLAIN = base64.b64encode(b"\0alice\0correct horse").decode()
MAIL = b"From: a@example.org\r\nTo: b@example.org\r\n\r\nhello\r\n"

POP3 = """
    C: CAPA
    S: +OK
    S: USER
    S: .
    C: USER alice
    S: +OK
    C: PASS correct horse
    S: +OK
    C: STAT
    S: +OK 0 0
    C: QUIT
    S: +OK
"""
IMAP = f"""
    S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
    C: {{tag}} AUTHENTICATE PLAIN {PLAIN}
    S: {{tag}} OK [CAPABILITY IMAP4rev1] welcome
    C: {{tag}} EXAMINE "INBOX"
    S: * 0 EXISTS
    S: {{tag}} OK done
    C: {{tag}} UID SEARCH ALL
    S: * SEARCH
    S: {{tag}} OK done
    C: {{tag}} LOGOUT
    S: * BYE
    S: {{tag}} OK bye
"""
SMTP = f"""
    S: 220 ready
    C: EHLO *
    S: 250-mail.example.org
    S: 250 AUTH PLAIN
    C: AUTH PLAIN {PLAIN}
    S: 235 welcome
    C: MAIL FROM:<a@example.org>
    S: 250 ok
    C: RCPT TO:<b@example.org>
    S: 250 ok
    C: DATA
    S: 354 go
    C: From: a@example.org
    C: To: b@example.org
    C:
    C: hello
    C: .
    S: 250 taken
    C: QUIT
    S: 221 bye
"""


class Heard(list[TraceEvent]):
    """A sink that keeps what it hears."""

    def __call__(self, event: TraceEvent) -> None:
        self.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self]

    def steps(self) -> list[tuple[str, str, str]]:
        return [(event.kind, event.operation, event.detail) for event in self]


@pytest.fixture
def heard() -> Heard:
    return Heard()


# The machinery, without a network.


async def test_a_step_is_told_when_it_is_over_and_how_long_it_took(heard: Heard) -> None:
    with tracing(heard):
        async with deadline(None, PLACE, "fetch"):
            phase("resolve")
            assert heard == []
            noted("127.0.0.1")
            await asyncio.sleep(5 * MS)
            phase("connect")
            phase("greeting")
            phase("login")
            noted("PLAIN")
            asked("SEARCH")
            await asyncio.sleep(5 * MS)
            answered("OK")
            answered("of another reply")
            noted("3 messages")
    assert heard.steps() == [
        ("resolve", "fetch", "127.0.0.1"),
        ("connect", "fetch", ""),
        ("auth", "fetch", "PLAIN"),
        ("request", "SEARCH", ""),
        ("first_byte", "SEARCH", "OK"),
        ("done", "fetch", "3 messages"),
    ]
    assert [event.at for event in heard] == sorted(event.at for event in heard)
    by_kind = {event.kind: event.seconds for event in heard}
    assert by_kind["resolve"] >= 4 * MS
    assert by_kind["first_byte"] >= 4 * MS
    assert by_kind["done"] >= by_kind["resolve"] + by_kind["first_byte"]
    assert {event.endpoint for event in heard} == {PLACE.redacted}
    assert len({event.call for event in heard}) == 1


async def test_an_error_says_its_class_and_what_it_came_in(heard: Heard) -> None:
    with tracing(heard):
        with pytest.raises(ConnectError):
            async with deadline(None, PLACE, "open"):
                phase("resolve")
                phase("connect")
                raise ConnectError("refused")
        with pytest.raises(DeadlineError):
            async with deadline(5 * MS, PLACE, "open"):
                phase("TLS handshake")
                await asyncio.Event().wait()
        with pytest.raises(ValueError, match="mine"):
            async with deadline(None, PLACE, "open"):
                raise ValueError("mine")
    assert heard.steps() == [
        ("resolve", "open", ""),
        ("error", "open", "ConnectError in connect"),
        ("error", "open", "DeadlineError in TLS handshake"),
        ("error", "open", "ValueError"),
    ]


async def test_a_cancelled_call_ends_by_an_error_too(heard: Heard) -> None:
    async def forever() -> None:
        async with deadline(None, PLACE, "open"):
            asked("NOOP")
            await asyncio.Event().wait()

    with tracing(heard):
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert heard.steps() == [("request", "NOOP", ""), ("error", "open", "CancelledError in NOOP")]


async def test_deadlines_inside_of_a_call_are_parts_of_it_and_limits_of_time_alone_are_no_calls(heard: Heard) -> None:
    with tracing(heard):
        async with deadline(None, None, "a job's limit"):
            async with deadline(None, PLACE, "fetch"):
                async with deadline(None, PLACE, "open"):
                    phase("login")
                async with deadline(None, None, "SELECT"):
                    asked("SELECT")
            async with deadline(None, PLACE, "close"):
                phase("LOGOUT")
    assert heard.kinds == ["auth", "request", "done"]


async def test_a_call_to_another_place_is_a_call_of_its_own(heard: Heard) -> None:
    other = Endpoint.parse("http://example.org/")
    with tracing(heard):
        async with deadline(None, PLACE, "GET"):
            async with deadline(None, other, "POST"):
                asked("POST")
            asked("GET")
    assert [(event.kind, event.operation, event.endpoint) for event in heard] == [
        ("request", "POST", str(other)),
        ("done", "POST", str(other)),
        ("request", "GET", PLACE.redacted),
        ("done", "GET", PLACE.redacted),
    ]
    assert len({event.call for event in heard}) == 2


async def test_calls_at_once_are_told_apart(heard: Heard) -> None:
    async def call(name: str) -> None:
        async with deadline(None, PLACE, name):
            asked(name)
            await asyncio.sleep(0)
            answered()

    with tracing(heard):
        await asyncio.gather(*(call(f"C{number}") for number in range(5)))
    for number in {event.call for event in heard}:
        own = [event for event in heard if event.call == number]
        assert [event.kind for event in own] == ["request", "first_byte", "done"]
        assert len({event.operation for event in own}) == 1


async def test_outside_of_the_block_nothing_is_told(heard: Heard) -> None:
    async with deadline(None, PLACE, "fetch"):
        with tracing(heard):
            pass
        phase("resolve")
        asked("x")
        answered()
        noted("y")
    with tracing(None):
        async with deadline(None, PLACE, "fetch"):
            pass
    assert heard == []


async def test_what_a_task_does_after_its_call_is_not_told(heard: Heard) -> None:
    go = asyncio.Event()

    async def late() -> None:
        async with deadline(None, PLACE, "part"):
            await go.wait()
            asked("too late")

    with tracing(heard):
        async with deadline(None, PLACE, "fetch"):
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
    go.set()
    await task
    assert heard.kinds == ["done"]


async def test_blocks_may_be_nested_and_a_sink_that_hears_already_hears_once(heard: Heard) -> None:
    inner = Heard()
    with tracing(heard):
        async with deadline(None, PLACE, "fetch"):
            with tracing(inner), tracing(heard), tracing(inner):
                async with deadline(None, PLACE, "GET"):
                    phase("resolve")
                    noted("here")
                    asked("GET")
                    answered("200")
    assert inner.steps() == [
        ("resolve", "GET", "here"),
        ("request", "GET", ""),
        ("first_byte", "GET", "200"),
        ("done", "GET", ""),
    ]
    assert [event.kind for event in heard] == ["resolve", "request", "first_byte", "done"]
    assert heard[-1].operation == "fetch"


async def test_a_sink_that_fails_harms_no_call_and_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    def bad(event: TraceEvent) -> None:
        raise RuntimeError("no room")

    with tracing(bad):
        for _ in range(3):
            async with deadline(None, PLACE, "fetch"):
                asked("x")
    assert [record.message for record in caplog.records] == ["the sink of a trace failed; it is not said again"]


async def test_a_stream_that_is_left_early_ended_well(heard: Heard) -> None:
    async def stream() -> AsyncIterator[int]:
        async with deadline(None, PLACE, "GET"):
            yield 1

    with tracing(heard):
        pieces = stream()
        async for _ in pieces:
            break
        await pieces.aclose()
    assert heard.kinds == ["done"]


async def test_a_log_has_one_line_for_each_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with tracing(log_to(logging.getLogger("calls"), logging.INFO)):
        async with deadline(None, PLACE, "fetch"):
            phase("connect")
            noted("127.0.0.1")
    lines = [record.getMessage().split(" ", 1)[1] for record in caplog.records if record.name == "calls"]
    assert lines[0].startswith("imap://localhost/INBOX?... fetch connect ")
    assert lines[0].endswith(" ms: 127.0.0.1")
    assert lines[1].startswith("imap://localhost/INBOX?... fetch done ")


async def test_nobody_listens_unless_asked() -> None:
    async with deadline(None, PLACE, "fetch") as limit:
        assert limit.listener is None
    assert Deadline(1.0, PLACE, "fetch").listener is None


# Each protocol.


@pytest.mark.parametrize("scheme", ["pop3", "pop3s", "pop3+starttls"])
async def test_pop3_tells_its_steps(scheme: str, heard: Heard, authority: Authority) -> None:
    start = "C: CAPA\nS: +OK\nS: USER\nS: STLS\nS: .\nC: STLS\nS: +OK\nstarttls\n" if "+" in scheme else ""
    tls = authority.server if scheme == "pop3s" else None
    async with Script("S: +OK ready\n" + start + POP3, tls=tls, starttls=authority.server) as peer:
        with tracing(heard):
            await pop3.fetch(f"{scheme}://{peer.address}", ALICE, tls=authority.client())
    # QUIT is what deletes: a call, and after the one that fetched.
    assert heard.kinds == steps(scheme, *["request", "first_byte", "done"] * 2)
    check(heard, "USER", "STAT", "QUIT")


@pytest.mark.parametrize("scheme", ["imap", "imaps", "imap+starttls"])
async def test_imap_tells_its_steps(scheme: str, heard: Heard, authority: Authority) -> None:
    start = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nC: {tag} STARTTLS\nS: {tag} OK go\nstarttls\n"
    rest = IMAP.split("\n", 2)[2]
    learn = "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: {tag} OK\n"
    talk = start + learn + rest if "+" in scheme else IMAP
    tls = authority.server if scheme == "imaps" else None
    async with Script(talk, tls=tls, starttls=authority.server) as peer:
        with tracing(heard):
            await imap.fetch(f"{scheme}://{peer.address}/INBOX", ALICE, tls=authority.client())
    asks = ["request", "first_byte"] * 2
    assert heard.kinds == steps(scheme, *asks, "done")
    check(heard, "PLAIN", "EXAMINE", "SEARCH")


@pytest.mark.parametrize("scheme", ["smtp", "smtps", "smtp+starttls"])
async def test_smtp_tells_its_steps(scheme: str, heard: Heard, authority: Authority) -> None:
    start = "S: 220 ready\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nstarttls\n"
    talk = start + SMTP.split("\n", 2)[2] if "+" in scheme else SMTP
    tls = authority.server if scheme == "smtps" else None
    async with Script(talk, tls=tls, starttls=authority.server) as peer:
        with tracing(heard):
            await smtp.send(
                MAIL,
                f"{scheme}://{peer.address}",
                ALICE,
                sender="a@example.org",
                recipients="b@example.org",
                tls=authority.client(),
            )
    assert heard.kinds == steps(scheme, "request", "first_byte", "done")
    check(heard, "PLAIN", "send")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_http_tells_its_steps_and_on_a_kept_connection_fewer(
    scheme: str, heard: Heard, authority: Authority
) -> None:
    ok = "S: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend hello\n"
    talk = f"until \\r\\n\\r\\n\n{ok}" * 2
    async with Script(talk, tls=authority.server if scheme == "https" else None) as peer:
        with tracing(heard):
            async with http.session(tls=authority.client(), allow_plaintext_login=True) as session:
                await session.get(f"{scheme}://{peer.address}/", ALICE, params={"token": "hidden"})
                await session.get(f"{scheme}://{peer.address}/")
    first = [event for event in heard if event.call == heard[0].call]
    second = [event for event in heard if event.call != heard[0].call]
    assert [event.kind for event in first] == steps(scheme, "request", "first_byte", "done", auth=False)
    assert [event.kind for event in second] == ["request", "first_byte", "done"]
    assert [event.detail for event in second] == ["", "200", "5 bytes"]
    check(heard, "GET", "200")


async def test_a_refused_connection_is_one_error(heard: Heard) -> None:
    with tracing(heard), pytest.raises(NetError):
        await pop3.fetch("pop3://127.0.0.1:1", ALICE)
    assert heard.steps() == [("resolve", "fetch", "127.0.0.1"), ("error", "fetch", "ConnectError in connect")]


async def test_a_refusal_is_an_error_of_the_request(heard: Heard) -> None:
    talk = "S: * PREAUTH [CAPABILITY IMAP4rev1] ready\nC: {tag} EXAMINE *\nS: {tag} NO none\n"
    async with Script(talk + "C: {tag} LOGOUT\nS: * BYE\nS: {tag} OK\n", check=False) as peer:
        with tracing(heard), pytest.raises(RefusedError):
            await imap.fetch(f"imap://{peer.address}/INBOX", ALICE)
    assert heard.kinds[-3:] == ["request", "first_byte", "error"]
    assert heard[-2].detail == "NO"
    assert heard[-1].detail.startswith("RefusedError in ")


def steps(scheme: str, *rest: str, auth: bool = True) -> list[str]:
    """The steps of an opening, and what comes after."""
    secure = scheme.endswith("s") or "+" in scheme
    return ["resolve", "connect", *(["tls"] if secure else []), *(["auth"] if auth else []), *rest]


def check(heard: Heard, *expected: str) -> None:
    """No secret anywhere, times that only grow, the TLS version where there is TLS, and what else is expected."""
    text = repr(heard)
    assert not any(secret in text for secret in ("correct horse", "horse", PLAIN, "hidden"))
    assert [event.at for event in heard] == sorted(event.at for event in heard)
    assert all(event.seconds >= 0 for event in heard)
    assert all(event.detail.startswith("TLSv1") for event in heard if event.kind == "tls")
    for word in expected:
        assert word in text
