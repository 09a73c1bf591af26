"""Servers of many hands, for tests that go to each: where it is, who may sign in, and what lies there.

SMTP: the lab, Postfix, aiosmtpd. POP3: the lab, Dovecot, Twisted. IMAP: the lab, Dovecot, pymap. HTTP: the lab, nginx.
"""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from asyncnet import Credentials
from asyncnet.lab import Lab
from tests.clock import MS
from tests.peers import Authority
from tests.real.dovecot import ALICE, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix
from tests.real.pymap_server import Pymap
from tests.real.running import foreign

MAILS = [
    b"From: a@example.com\r\nSubject: first\r\n\r\nline 1\r\n.line 2\r\n..\r\n",
    b"From: a@example.com\r\nSubject: second\r\n\r\ngr\xc3\xbcn\r\n",
    b"From: a@example.com\r\nSubject: third\r\n\r\n" + b"x" * 900 + b"\r\n",
]
ARRIVAL = 10_000 * MS
FILE_BYTES = 100_000


@dataclass
class Place:
    """A mail server to go to.

    Args:
        url: where, in plaintext.
        who: who may sign in there.
        tls: trusts it.
        starttls_url: where STARTTLS is required of it; "" where it has none.
        arrived: gives what lies in the mailbox (of SMTP: what has come).
        address: theirs.
        unknown: an address that is refused at RCPT.
    """

    url: str
    who: Credentials
    tls: ssl.SSLContext | None = None
    starttls_url: str = ""
    arrived: Callable[[], list[bytes]] = list
    address: str = ""
    unknown: str = ""

    def secured(self) -> str:
        """`starttls_url`; skips the test where there is none."""
        if not self.starttls_url:
            pytest.skip(f"{self.url.partition(':')[0].upper()} of this server has no STARTTLS")
        return self.starttls_url


@dataclass
class Site:
    """A web server to go to: URLs of a file of FILE_BYTES bytes, over http and https, and of pages."""

    file: str
    secure_file: str
    tls: ssl.SSLContext
    not_found: str
    unavailable: str
    redirect: str
    private: str
    who: Credentials


# SMTP.


@contextlib.asynccontextmanager
async def smtp_of_lab(_: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with Lab() as lab:
        yield Place(
            lab.smtp.url,
            lab.credentials,
            lab.tls,
            lab.smtp.starttls_url,
            lambda: [message.raw for message in lab.mailbox()],
            "me@example.org",
            "nobody@example.org",
        )


@contextlib.asynccontextmanager
async def smtp_of_postfix(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    postfix: Postfix = request.getfixturevalue("postfix")
    dovecot: Dovecot = request.getfixturevalue("dovecot")
    account = dovecot.new_account()
    yield Place(
        postfix.smtp,
        Credentials(account.name, account.password),
        postfix.authority.client(),
        postfix.submission,
        lambda: dovecot.messages(account),
        account.address,
        postfix.refused,
    )


@contextlib.asynccontextmanager
async def smtp_of_aiosmtpd(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    aiosmtpd = foreign("aiosmtpd.smtp")
    authority: Authority = request.getfixturevalue("authority")
    came: list[bytes] = []

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options) -> str:
            if address.startswith("nobody"):
                return "550 5.1.1 Nobody of that name"
            envelope.rcpt_tos.append(address)
            return "250 Ok"

        async def handle_DATA(self, server, session, envelope) -> str:
            came.append(envelope.original_content)
            return "250 Ok"

    def authenticate(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (b"me", b"secret")
        return aiosmtpd.AuthResult(success=good, handled=False, auth_data=data)

    def make():
        # It complains, as a warning, of a login without TLS: that is what is tried here.
        return aiosmtpd.SMTP(
            Handler(),
            authenticator=authenticate,
            auth_require_tls=False,
            enable_SMTPUTF8=True,
            tls_context=authority.server,
        )

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield Place(
            f"smtp://{where}",
            Credentials("me", "secret"),
            authority.client(),
            f"smtp+starttls://{where}",
            lambda: came,
            "me@example.org",
            "nobody@example.org",
        )
    finally:
        server.close()
        await asyncio.sleep(20 * MS)  # its clients' last callbacks


# POP3.


@contextlib.asynccontextmanager
async def pop3_of_lab(_: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with Lab() as lab:
        for mail in MAILS:
            lab.deliver(mail)
        yield Place(
            lab.pop3.url,
            lab.credentials,
            lab.tls,
            lab.pop3.starttls_url,
            lambda: [message.raw for message in lab.mailbox()],
        )


@contextlib.asynccontextmanager
async def pop3_of_dovecot(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    dovecot: Dovecot = request.getfixturevalue("dovecot")
    account = dovecot.new_account()
    for mail in MAILS:
        dovecot.deliver(account, mail)
    yield Place(
        dovecot.pop3,
        Credentials(account.name, account.password),
        dovecot.authority.client(),
        dovecot.pop3_starttls,
        lambda: dovecot.messages(account),
    )


@contextlib.asynccontextmanager
async def pop3_of_twisted(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    foreign("twisted.mail.pop3")
    folder: Path = request.getfixturevalue("tmp_path") / "mails"
    folder.mkdir()
    for number, mail in enumerate(MAILS):
        (folder / f"{number}.mail").write_bytes(mail)

    def arrived() -> list[bytes]:
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    script = Path(__file__).parent / "twisted_pop3.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(script), str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(ARRIVAL):
            port = int(await process.stdout.readline())
        who = Credentials("me", "secret", mechanism="USER")  # it offers APOP, but compares str with bytes
        yield Place(f"pop3://127.0.0.1:{port}", who, arrived=arrived)
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


# IMAP.


@contextlib.asynccontextmanager
async def imap_of_lab(_: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with Lab() as lab:
        yield Place(lab.imap.url, lab.credentials, lab.tls, lab.imap.starttls_url)


@contextlib.asynccontextmanager
async def imap_of_dovecot(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    dovecot: Dovecot = request.getfixturevalue("dovecot")
    account = dovecot.new_account()
    who = Credentials(account.name, account.password)
    yield Place(dovecot.imap, who, dovecot.authority.client(), dovecot.imap_starttls)


@contextlib.asynccontextmanager
async def imap_of_pymap(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    pymap: Pymap = request.getfixturevalue("pymap")
    yield Place(pymap.imap, Credentials("me", "secret"), pymap.authority.client(), pymap.imap_starttls)


# HTTP.


@contextlib.asynccontextmanager
async def http_of_lab(_: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with Lab() as lab:
        web = lab.http
        yield Site(
            f"{web.url}/bytes/{FILE_BYTES}",
            f"{web.tls_url}/bytes/{FILE_BYTES}",
            lab.tls,
            f"{web.url}/status/404",
            f"{web.url}/status/503?retry_after=1",
            f"{web.url}/redirect/1",
            f"{web.url}/basic",
            lab.credentials,
        )


@contextlib.asynccontextmanager
async def http_of_nginx(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    nginx: Nginx = request.getfixturevalue("nginx")
    path = nginx.file(FILE_BYTES)
    yield Site(
        nginx.http + path,
        nginx.https + path,
        nginx.authority.client(),
        f"{nginx.http}/status/404",
        f"{nginx.http}/status/503",
        f"{nginx.http}/redirect/302",
        nginx.http + path.replace("/files/", "/private/"),
        Credentials(ALICE.name, ALICE.password),
    )


SMTP = {"lab": smtp_of_lab, "Postfix": smtp_of_postfix, "aiosmtpd": smtp_of_aiosmtpd}
POP3 = {"lab": pop3_of_lab, "Dovecot": pop3_of_dovecot, "Twisted": pop3_of_twisted}
IMAP = {"lab": imap_of_lab, "Dovecot": imap_of_dovecot, "pymap": imap_of_pymap}
HTTP = {"lab": http_of_lab, "nginx": http_of_nginx}
