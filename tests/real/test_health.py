"""check() on Dovecot, Postfix and nginx: every scheme, with and without a login, and nothing changed there."""

import pytest

from asyncnet import Credentials
from asyncnet.errors import AuthenticationError
from asyncnet.health import check
from tests.real.dovecot import ALICE, Account, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix

MESSAGE = b"From: alice@example.org\r\nSubject: good morning\r\n\r\nHello.\r\n"


@pytest.mark.parametrize("name", ["imap", "imaps", "imap_starttls", "pop3", "pop3s", "pop3_starttls"])
@pytest.mark.parametrize("signs_in", [False, True])
async def test_dovecot_is_well(dovecot: Dovecot, account: Account, name: str, signs_in: bool) -> None:
    delivered = dovecot.deliver(account, MESSAGE)
    who = Credentials(account.name, account.password) if signs_in else None
    health = await check(getattr(dovecot, name), who, tls=dovecot.authority.client())
    steps = [step.name for step in health.steps]
    assert health.ok, health.error
    assert ("login" in steps) is signs_in
    assert ("tls" in steps) is (health.days_left is not None) is (name not in ("imap", "pop3"))
    assert "Dovecot" in health.greeting
    assert health.capabilities
    if name.startswith("imap") or not signs_in:  # a POP3 login opens the maildrop, which marks nothing as seen
        assert delivered.exists()
    assert len(dovecot.messages(account)) == 1


@pytest.mark.parametrize("name", ["submission", "smtps", "smtp"])
@pytest.mark.parametrize("signs_in", [False, True])
async def test_postfix_is_well(postfix: Postfix, name: str, signs_in: bool) -> None:
    who = Credentials(ALICE.name, ALICE.password) if signs_in else None
    queued = postfix.queued
    health = await check(getattr(postfix, name), who, tls=postfix.authority.client())
    assert health.ok, health.error
    assert any(word.startswith("SIZE") for word in health.capabilities)
    assert "ESMTP" in health.greeting
    assert (health.days_left is None) is (name == "smtp")
    assert postfix.queued <= queued


async def test_a_wrong_password_is_told(dovecot: Dovecot, account: Account) -> None:
    health = await check(dovecot.imaps, Credentials(account.name, "wrong"), tls=dovecot.authority.client())
    assert isinstance(health.error, AuthenticationError)
    assert health.failed == "login"
    assert health.tls is not None


async def test_nginx_is_well(nginx: Nginx) -> None:
    for url in (nginx.http, nginx.https):
        health = await check(f"{url}/seen", tls=nginx.authority.client())
        assert health.ok, health.error
        assert health.greeting == "200 OK"
        assert (health.tls is not None) is url.startswith("https")
