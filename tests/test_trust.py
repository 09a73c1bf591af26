"""Trust, alike in all protocols: a server whose certificate is not right gets no secret; it is one error."""

import ssl
from collections.abc import Awaitable, Callable

import pytest

import asyncnet
from asyncnet import Credentials, http, imap, pop3, smtp
from tests.peers import Authority, Script

SECRET = "correct horse battery"
ALICE = Credentials("alice", SECRET)

GO_AHEAD = {
    "imap+starttls": "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready\nC: {tag} STARTTLS\nS: {tag} OK go\nstarttls\n",
    "pop3+starttls": "S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK go\nstarttls\n",
    "smtp+starttls": "S: 220 ready\nC: EHLO *\nS: 250-host\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nstarttls\n",
}


async def connect(url: str, context: ssl.SSLContext) -> None:
    async with asyncnet.connect(url, tls=context) as connection:
        await connection.write(SECRET.encode())


async def get(url: str, context: ssl.SSLContext) -> None:
    await http.get(url, ALICE, tls=context)


async def read_mail(url: str, context: ssl.SSLContext) -> None:
    await imap.fetch(url, ALICE, tls=context)


async def take_mail(url: str, context: ssl.SSLContext) -> None:
    await pop3.fetch(url, ALICE, tls=context)


async def send_mail(url: str, context: ssl.SSLContext) -> None:
    await smtp.send(b"\r\n", url, ALICE, sender="a@example.org", recipients="b@example.org", tls=context)


CALLS: dict[str, Callable[[str, ssl.SSLContext], Awaitable[None]]] = {
    "tls": connect,
    "https": get,
    "imaps": read_mail,
    "imap+starttls": read_mail,
    "pop3s": take_mail,
    "pop3+starttls": take_mail,
    "smtps": send_mail,
    "smtp+starttls": send_mail,
}


@pytest.mark.parametrize("scheme", CALLS)
@pytest.mark.parametrize("fault", ["untrusted", "expired", "wrong_host"])
async def test_a_certificate_that_is_not_right_ends_it_before_a_secret_is_sent(
    scheme: str, fault: str, authority: Authority
) -> None:
    server: ssl.SSLContext = getattr(authority, fault)
    conversation = GO_AHEAD.get(scheme, "silence")
    options = {"starttls": server} if scheme in GO_AHEAD else {"tls": server}
    async with Script(conversation, **options) as peer:
        with pytest.raises(asyncnet.TLSError) as caught:
            await CALLS[scheme](f"{scheme}://localhost:{peer.port}", authority.client())
    assert not caught.value.transient
    assert "certificate" in str(caught.value)
    assert peer.tls_failures
    assert SECRET.encode() not in peer.received
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", CALLS)
async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(scheme: str, authority: Authority) -> None:
    conversation = {
        "imap+starttls": "S: * OK [CAPABILITY IMAP4rev1] ready\n",
        "pop3+starttls": "S: +OK ready\nC: CAPA\nS: +OK\nS: USER\nS: .\n",
        "smtp+starttls": "S: 220 ready\nC: EHLO *\nS: 250 AUTH PLAIN\n",
    }.get(scheme, "S: * OK +OK 220 HTTP/1.1 200 OK and so on\n")
    async with Script(conversation, repeat=True, check=False) as peer:
        with pytest.raises(asyncnet.NetError):
            await CALLS[scheme](f"{scheme}://localhost:{peer.port}", authority.client())
    assert SECRET.encode() not in peer.received
