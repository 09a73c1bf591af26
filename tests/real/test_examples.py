"""The mail recipes run against real servers: smtp_send through Postfix, imap_fetch and pop3_fetch on Dovecot."""

import os
import subprocess
import sys
from pathlib import Path

from tests.real.dovecot import ALICE, Account, Dovecot
from tests.real.postfix import Postfix

ROOT = Path(__file__).parent.parent.parent
MESSAGE = b"From: alice@example.org\r\nSubject: good morning\r\n\r\nHello.\r\n"


def run(name: str, account: Account, ca: Path, *arguments: str) -> str:
    """Run an example; it takes its password from the environment, and trusts the throw-away authority by OpenSSL's."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ASYNCNET_PASSWORD": account.password,
        "SSL_CERT_FILE": str(ca),
    }
    ended = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def signed_in(url: str, account: Account) -> str:
    return url.replace("://", f"://{account.name}@")


def test_smtp_send_sends(dovecot: Dovecot, postfix: Postfix, account: Account, authority_pem: Path) -> None:
    url = signed_in(postfix.submission, ALICE)
    run("smtp_send.py", ALICE, authority_pem, url, "alice@example.org", account.address)
    (found,) = dovecot.wait_for_messages(account, 1)
    assert b"\r\nSubject: " in found


def test_imap_fetch_fetches(dovecot: Dovecot, account: Account, authority_pem: Path) -> None:
    dovecot.deliver(account, MESSAGE)
    assert "good morning" in run("imap_fetch.py", account, authority_pem, signed_in(dovecot.imaps, account))
    assert len(dovecot.messages(account)) == 1


def test_pop3_fetch_deletes_where_asked(dovecot: Dovecot, account: Account, authority_pem: Path) -> None:
    dovecot.deliver(account, MESSAGE)
    url = signed_in(dovecot.pop3s, account)
    assert "good morning" in run("pop3_fetch.py", account, authority_pem, url)
    assert len(dovecot.messages(account)) == 1
    run("pop3_fetch.py", account, authority_pem, url, "--delete")
    assert dovecot.messages(account) == []
