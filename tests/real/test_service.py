"""A service keeps one Client through very many calls, while each of its servers is restarted, and nothing leaks.

3,000 calls by default; ASYNCNET_CALLS says how many.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.daemon import Daemon
from tests.real.dovecot import Account, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix
from tests.service_child import judge

ROOT = Path(__file__).parent.parent.parent
CALLS = int(os.environ.get("ASYNCNET_CALLS", "3000"))
MESSAGE = b"From: alice@example.org\r\nSubject: good morning\r\n\r\nHello.\r\n"


class Echo(Daemon):
    """Our own echo server, as a process."""

    name = "echo"
    port_names = ("tcp",)

    def configure(self) -> None:
        """Nothing is to be written."""

    @property
    def command(self) -> list[str]:
        """The command of the command line."""
        url = f"tcp://{self.host}:{self.ports['tcp']}"
        return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "asyncnet", "echo", url]


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as one:
        yield one


def mixed(nginx: Nginx, dovecot: Dovecot, postfix: Postfix, echo: Echo, account: Account) -> list[str]:
    """A hundred URLs: mostly pages and sockets, some mail."""
    page = nginx.http + "/seen"
    plain, secure = f"imap://{account.name}@127.0.0.1:{dovecot.ports['imap']}/INBOX", dovecot.imaps
    pop3 = f"pop3://{account.name}@127.0.0.1:{dovecot.ports['pop3']}"
    kinds = {
        page: 36,
        nginx.https + "/seen": 24,
        f"tcp://127.0.0.1:{echo.ports['tcp']}": 25,
        plain: 5,
        secure.replace("://", f"://{account.name}@") + "/INBOX": 3,
        postfix.smtp: 6,
        pop3: 1,
    }
    spread = [(position / count, url) for url, count in kinds.items() for position in range(count)]
    return [url for _, url in sorted(spread)]


def restarts(*daemons: Daemon) -> Iterator[Callable[[], None]]:
    """Each server twice, in turn."""
    for _ in range(2):
        for daemon in daemons:
            yield daemon.restart


def environment(nginx: Nginx, account: Account) -> dict[str, str]:
    """That of the service: the password, and whom OpenSSL trusts."""
    return {**os.environ, "ASYNCNET_PASSWORD": account.password, "SSL_CERT_FILE": str(nginx.ca)}


def test_the_example_serves(nginx: Nginx, dovecot: Dovecot, postfix: Postfix, echo: Echo, account: Account) -> None:
    urls = sorted(set(mixed(nginx, dovecot, postfix, echo, account)))
    ended = subprocess.run(
        [sys.executable, "-W", "error", "examples/service.py", "3", *urls],
        cwd=ROOT,
        env={**environment(nginx, account), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    # The report goes to somebody who is not known there, which the service survives.
    assert "failed: {'smtp RecipientsRefused': 3}" in ended.stdout
    assert "'http': 6" in ended.stdout


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process holds is read from /proc")
def test_a_service_keeps_one_client_while_its_servers_restart(
    nginx: Nginx, dovecot: Dovecot, postfix: Postfix, echo: Echo, account: Account
) -> None:
    dovecot.deliver(account, MESSAGE)
    urls = mixed(nginx, dovecot, postfix, echo, account)
    assert len(urls) == 100
    command = [sys.executable, "-W", "error", "-m", "tests.service_child", str(CALLS), postfix.discarded, *urls]
    told: list[dict] = []
    due = restarts(nginx, dovecot, postfix, echo)
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(nginx, account), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            told.append(json.loads(line))
            if len(told) in (15, 20, 25, 30, 45, 50, 55, 60):
                next(due)()
        errors = child.stderr.read().decode()
    assert (child.returncode, errors) == (0, "")
    print(f"\n{CALLS} calls in {time.monotonic() - began:.0f} s")
    for one in (*(one for one in told if "rss" in one), told[-1]):
        print(one)
    judge(told, CALLS)
    assert next(due, None) is None  # all of them were restarted
