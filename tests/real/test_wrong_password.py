"""One wrong password is one AuthenticationError, in all protocols."""

import ssl
from collections.abc import Awaitable, Callable

import pytest

import asyncnet
from asyncnet import Credentials, http, imap, pop3, smtp
from tests.peers import Authority
from tests.real.dovecot import ALICE, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix

WRONG = Credentials(ALICE.name, "guessed")


async def judge(call: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(asyncnet.AuthenticationError) as caught:
        await call()
    assert "guessed" not in str(caught.value)
    assert not caught.value.transient


async def test_by_imap(dovecot: Dovecot, authority: Authority) -> None:
    tls = authority.client()
    for url in (dovecot.imaps, dovecot.imap_starttls):
        await judge(lambda url=url: imap.fetch(url, WRONG, tls=tls))


async def test_by_pop3(dovecot: Dovecot, authority: Authority) -> None:
    tls = authority.client()
    for url in (dovecot.pop3s, dovecot.pop3_starttls):
        await judge(lambda url=url: pop3.fetch(url, WRONG, tls=tls))


async def test_by_smtp(postfix: Postfix, authority: Authority) -> None:
    tls: ssl.SSLContext = authority.client()
    for url in (postfix.smtps, postfix.submission):
        letter = {"sender": "a@example.org", "recipients": "b@example.org", "tls": tls}
        await judge(lambda url=url, letter=letter: smtp.send(b"\r\n", url, WRONG, **letter))


async def test_by_http(nginx: Nginx, authority: Authority) -> None:
    tls = authority.client()
    await judge(lambda: http.get(f"{nginx.https}/private/", WRONG, tls=tls))
