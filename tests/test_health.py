"""check(): each step is told with its time, what fails is a value, and nothing is changed at the server."""

import asyncio
from typing import Any

import pytest

from asyncnet import Credentials
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    InvalidEndpoint,
    ProtocolError,
    RefusedError,
    StatusError,
    TLSError,
    UsageError,
)
from asyncnet.health import Health, check
from asyncnet.trace import TraceEvent, tracing
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS
from tests.http.site import Site
from tests.peers import Authority, Script

ALICE = Credentials("alice", "secret")

IMAP = "S: * OK [CAPABILITY IMAP4rev1 IDLE] at your service\n"
IMAP_LEFT = "C: {tag} LOGOUT\nS: * BYE\nS: {tag} OK bye\n"
POP3 = "S: +OK at your service\n"
CAPA = "C: CAPA\nS: +OK\nS: USER\nS: RESP-CODES\nS: .\n"
POP3_LEFT = "C: QUIT\nS: +OK bye\n"
SMTP = "S: 220 at your service\nC: {hello} *\nS: 250-office\nS: 250 SIZE 1000\n"
SMTP_LEFT = "C: QUIT\nS: 221 bye\n"
TALKS = {
    "imap": IMAP + IMAP_LEFT,
    "pop3": POP3 + CAPA + POP3_LEFT,
    "smtp": SMTP.replace("{hello}", "EHLO") + SMTP_LEFT,
    "lmtp": SMTP.replace("{hello}", "LHLO") + SMTP_LEFT,
}
OFFERED = {
    "imap": ("IDLE", "IMAP4REV1"),
    "pop3": ("RESP-CODES", "USER"),
    "smtp": ("SIZE 1000",),
    "lmtp": ("SIZE 1000",),
}


def names(health: Health) -> list[str]:
    return [step.name for step in health.steps]


@pytest.mark.parametrize("scheme", TALKS)
async def test_a_mail_server_is_greeted_asked_what_it_can_and_left(scheme: str) -> None:
    async with Script(TALKS[scheme]) as peer:  # which fails at any other command: nothing is opened there
        health = await check(f"{scheme}://{peer.address}")
    assert (health.ok, health.error, health.failed) == (True, None, None)
    assert names(health)[:3] == ["resolve", "connect", "greeting"]
    assert set(names(health)[3:]) <= {"capabilities"}
    assert health.greeting == "at your service"
    assert health.capabilities == OFFERED[scheme]
    assert health.tls is health.expires is health.days_left is None


@pytest.mark.parametrize("scheme", ["imap", "pop3", "smtp"])
async def test_a_certificate_is_told_with_the_days_that_it_has_left(scheme: str, authority: Authority) -> None:
    async with Script(TALKS[scheme], tls=authority.server) as peer:
        health = await check(f"{scheme}s://{peer.address}", tls=authority.client())
    assert health.ok
    assert names(health)[:4] == ["resolve", "connect", "tls", "greeting"]
    assert health.tls is not None
    assert health.tls.version.startswith("TLSv1")
    assert health.steps[2].detail == health.tls.version
    assert health.tls.cipher
    assert health.days_left is not None
    assert health.days_left > 1
    assert health.expires is not None
    assert health.subject
    assert health.issuer == "tests of asyncnet"


@pytest.mark.parametrize(
    ("scheme", "before", "after"),
    [
        ("imap+starttls", IMAP.replace("IDLE", "STARTTLS") + "C: {tag} STARTTLS\nS: {tag} OK\nstarttls\n",
         "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: {tag} OK\n" + IMAP_LEFT),
        ("pop3+starttls", POP3 + "C: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK\nstarttls\n", CAPA + POP3_LEFT),
        ("smtp+starttls", "S: 220 hi\nC: EHLO *\nS: 250-office\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nstarttls\n",
         "C: EHLO *\nS: 250 office\n" + SMTP_LEFT),
    ],
)  # fmt: skip
async def test_an_upgrade_is_two_steps(scheme: str, before: str, after: str, authority: Authority) -> None:
    async with Script(before + after, starttls=authority.server) as peer:
        health = await check(f"{scheme}://{peer.address}", tls=authority.client())
    assert health.ok, health.error
    steps = names(health)
    assert steps.index("greeting") < steps.index("starttls") < steps.index("tls") < steps.index("capabilities", 4)
    assert health.issuer == "tests of asyncnet"


@pytest.mark.parametrize("name", ["expired", "wrong host", "untrusted"])
async def test_a_bad_certificate_is_an_error_in_the_step_tls(name: str, authority: Authority) -> None:
    async with Script("", tls=authority.bad_servers[name], check=False) as peer:
        health = await check(f"tls://{peer.address}", tls=authority.client())
    assert isinstance(health.error, TLSError)
    assert health.failed == "tls"
    assert health.tls is None


async def test_a_login_is_a_step_where_there_are_credentials() -> None:
    login = 'C: {tag} LOGIN "alice" "secret"\nS: {tag} OK [CAPABILITY IMAP4rev1] hello\n'
    async with Script(IMAP + login + IMAP_LEFT) as peer:
        health = await check(f"imap://alice@{peer.address}", ALICE)
    assert health.ok
    assert names(health)[-1] == "login"


async def test_without_credentials_the_user_in_the_url_is_nobody() -> None:
    async with Script(IMAP + IMAP_LEFT) as peer:
        assert (await check(f"imap://alice@{peer.address}/INBOX?UNSEEN")).ok


@pytest.mark.parametrize(
    ("script", "kind", "failed"),
    [
        (IMAP + 'C: {tag} LOGIN "alice" "secret"\nS: {tag} NO no\n', AuthenticationError, "login"),
        ("S: * BYE full\n", DisconnectedError, "greeting"),
        ("S: hello\n", ProtocolError, "greeting"),
        ("cut\n", DisconnectedError, "greeting"),
    ],
)
async def test_what_fails_is_told_with_its_step(script: str, kind: type[Exception], failed: str) -> None:
    async with Script(script, check=False) as peer:
        health = await check(f"imap://{peer.address}", ALICE)
    assert isinstance(health.error, kind)
    assert (health.ok, health.failed) == (False, failed)
    assert "secret" not in repr(health)


async def test_a_server_that_refuses_service_is_not_well() -> None:
    async with Script("S: 554 go away\n", check=False) as peer:
        health = await check(f"smtp://{peer.address}")
    assert isinstance(health.error, RefusedError)
    assert (health.failed, health.error.code) == ("greeting", 554)


async def test_a_pop3_server_without_capa_is_well() -> None:
    async with Script(POP3 + "C: CAPA\nS: -ERR what?\n" + POP3_LEFT) as peer:
        health = await check(f"pop3://{peer.address}")
    assert health.ok
    assert health.capabilities == ()


async def test_nobody_there_is_an_error_in_the_step_connect() -> None:
    health = await check("tcp://127.0.0.1:1")
    assert isinstance(health.error, ConnectError)
    assert health.failed == "connect"
    assert health.error.transient


async def test_no_such_name_is_an_error_in_the_step_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def nowhere(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    health = await check("https://nowhere.example.org/")
    assert isinstance(health.error, ConnectError)
    assert health.failed == "resolve"


async def test_the_timeout_is_for_all_of_it() -> None:
    async with Script("silence", check=False) as peer:
        health = await check(f"imap://{peer.address}", timeout=50 * MS)
    assert isinstance(health.error, DeadlineError)
    assert health.failed == "greeting"
    assert health.seconds >= 49 * MS


async def test_nothing_is_sent_over_a_socket() -> None:
    async with Script("", check=False) as peer:
        health = await check(f"tcp://{peer.address}")
    assert names(health) == ["resolve", "connect"]
    assert peer.received == b""


async def test_a_socket_has_no_login() -> None:
    with pytest.raises(UsageError, match="signs in"):
        await check("tcp://127.0.0.1:1", ALICE)


@pytest.mark.parametrize(
    "url", ["gopher://localhost/", "imap://alice:secret@localhost/", "tcp://127.0.0.1", "no url at all"]
)
async def test_a_wrong_call_is_raised(url: str) -> None:
    with pytest.raises(InvalidEndpoint):
        await check(url)


async def test_a_secret_in_plaintext_is_raised_too() -> None:
    for url in ("imap://mail.example.org", "http://www.example.org/"):
        with pytest.raises(UsageError, match="plaintext"):
            await check(url, ALICE)


# HTTP.


async def test_a_page_is_asked_by_head() -> None:
    async with Site() as site:
        health = await check(f"{site.url}/hello?token=1")
        assert site.requests == [("HEAD", "/hello?token=1")]
    assert health.ok
    assert health.greeting == "200 OK"
    assert names(health) == ["resolve", "connect", "request"]
    assert "token" not in health.endpoint


async def test_where_head_is_refused_the_first_byte_is_asked_for() -> None:
    refused = "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
    page = "HTTP/1.1 200 Fine\r\nContent-Length: 100000000\r\n\r\n" + "x" * 1000

    def talk(talk: Any) -> None:
        assert talk.until(r"\r\n\r\n").startswith(b"HEAD / ")
        talk.send_bytes(refused.encode())
        assert talk.until(r"\r\n\r\n").startswith(b"GET / ")
        talk.send_bytes(page.encode())

    async with Script(talk, check=False) as peer:
        health = await check(f"http://{peer.address}")
    assert health.ok, health.error
    assert health.greeting == "200 Fine"


@pytest.mark.parametrize(("status", "transient"), [(404, False), (503, True)])
async def test_a_bad_status_is_an_error(status: int, transient: bool) -> None:
    async with Site() as site:
        health = await check(f"{site.url}/status/{status}")
    assert isinstance(health.error, StatusError)
    assert (health.error.code, health.error.transient, health.failed) == (status, transient, "request")
    assert health.greeting == f"{status} As Asked"


async def test_a_redirect_is_well_and_not_followed() -> None:
    async with Site() as site:
        health = await check(f"{site.url}/to/302?url=http://127.0.0.1:1/")
    assert health.ok
    assert health.greeting.startswith("302")


async def test_a_site_is_signed_in_to() -> None:
    async with Site() as site:
        assert (await check(f"{site.url}/private", ALICE)).ok
        wrong = await check(f"{site.url}/private", Credentials("alice", "wrong"))
    assert isinstance(wrong.error, AuthenticationError)


async def test_a_site_over_tls_shows_its_certificate(authority: Authority) -> None:
    async with Site(authority.server) as site:
        health = await check(f"{site.url}/hello", tls=authority.client())
    assert names(health) == ["resolve", "connect", "tls", "request"]
    assert health.days_left is not None


# All of it.


async def test_an_unverified_certificate_has_no_days(authority: Authority) -> None:
    context = authority.client()
    context.check_hostname, context.verify_mode = False, 0  # type: ignore[assignment]
    async with Script("", tls=authority.untrusted, check=False) as peer:
        health = await check(f"tls://{peer.address}", tls=context)
    assert health.ok
    assert health.tls is not None
    assert (health.days_left, health.subject, health.issuer) == (None, "", "")


async def test_who_traces_hears_of_it_too() -> None:
    heard: list[TraceEvent] = []
    async with Script(IMAP + IMAP_LEFT) as peer:
        with tracing(heard.append):
            health = await check(f"imap://{peer.address}")
    assert [event.kind for event in heard][:2] == ["resolve", "connect"]
    assert (heard[-1].kind, heard[-1].operation) == ("done", "check")
    assert health.ok


async def test_checks_at_once_know_nothing_of_each_other() -> None:
    async with Script(IMAP + IMAP_LEFT, repeat=True) as peer, Site() as site:
        urls = [f"imap://{peer.address}", f"{site.url}/hello", "tcp://127.0.0.1:1"] * 5
        found = await asyncio.gather(*map(check, urls))
    assert [health.ok for health in found] == [True, True, False] * 5
    assert all(names(health) == names(found[number % 3]) for number, health in enumerate(found))


@pytest.mark.parametrize("scheme", TALKS)
async def test_cancelled_it_leaves_nothing(scheme: str) -> None:
    async with Script(TALKS[scheme], repeat=True, check=False) as peer:
        url = f"{scheme}://{peer.address}"

        async def do() -> None:
            await check(url)

        await cancelled_at_each_await(do)


def test_the_value_is_a_picture() -> None:
    health = Health("tcp://127.0.0.1:1", (), 0.0)
    with pytest.raises(AttributeError):
        health.error = None  # type: ignore[misc]
    assert (health.greeting, health.failed, health.subject) == ("", None, "")
