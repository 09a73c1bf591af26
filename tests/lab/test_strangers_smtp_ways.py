"""Each SMTP client that others wrote, by each way into the lab: some mail, much mail, and what is refused."""

import re
import smtplib
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from asyncnet.lab import Lab
from tests.lab.imap.raw import until
from tests.lab.stranger import PATIENCE, Door, big_mail, finished, in_thread, many_mails
from tests.real.running import foreign

FROM, TO = "a@example.com", "me@example.org"

# Each client signs in, and sends all mails to one.


async def stdlib(door: Door, mails: list[bytes], to: str = TO) -> None:
    def work() -> None:
        with (
            smtplib.SMTP_SSL("127.0.0.1", door.port, context=door.trust, timeout=PATIENCE)
            if door.way == "tls"
            else smtplib.SMTP("127.0.0.1", door.port, timeout=PATIENCE)
        ) as client:
            if door.way == "starttls":
                client.starttls(context=door.trust)
            client.login("me", door.secret)
            for mail in mails:
                assert client.sendmail(FROM, to, mail) == {}

    await in_thread(work)


async def _aiosmtplib(door: Door, mails: list[bytes], to: str, mechanism: str) -> None:
    library = foreign("aiosmtplib")
    async with library.SMTP(
        hostname="127.0.0.1",
        port=door.port,
        timeout=PATIENCE,
        use_tls=door.way == "tls",
        start_tls=door.way == "starttls",
        tls_context=None if door.way == "plain" else door.trust,
    ) as client:
        await client.ehlo()  # which `login` would do
        await getattr(client, mechanism)("me", door.secret)
        for mail in mails:
            assert (await client.sendmail(FROM, to, mail))[0] == {}


async def aiosmtplib_plain(door: Door, mails: list[bytes], to: str = TO) -> None:
    await _aiosmtplib(door, mails, to, "auth_plain")


async def aiosmtplib_login(door: Door, mails: list[bytes], to: str = TO) -> None:
    await _aiosmtplib(door, mails, to, "auth_login")


async def aiosmtplib_cram_md5(door: Door, mails: list[bytes], to: str = TO) -> None:
    await _aiosmtplib(door, mails, to, "auth_crammd5")


_TWISTED = """
import sys
from io import BytesIO
from pathlib import Path
from twisted.internet import defer, endpoints, reactor, ssl
from twisted.mail.smtp import ESMTPSender, ESMTPSenderFactory

way, port, secret, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), Path(sys.argv[4])
trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM((folder / "ca.pem").read_bytes())])
context = ssl.optionsForClientTLS("localhost", trust)
failures = []

class Sender(ESMTPSender):
    if way == "plain":
        def tryTLS(self, code, answer, items):  # it would always
            self.authenticate(code, answer, items)

async def work():
    place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    if way == "tls":
        place = endpoints.wrapClientTLS(context, place)
    for path in sorted((folder / "out").iterdir()):
        done = defer.Deferred()
        factory = ESMTPSenderFactory(b"me", secret, sys.argv[5], [sys.argv[6]], BytesIO(path.read_bytes()), done,
                                     retries=0, contextFactory=context, requireTransportSecurity=way != "plain",
                                     hostname="localhost")
        factory.protocol = Sender
        await place.connect(factory)
        await done

defer.ensureDeferred(work()).addErrback(failures.append).addBoth(lambda _: reactor.stop())
reactor.run()
sys.exit("".join(why.getErrorMessage() for why in failures) or 0)
"""


def _written(door: Door, mails: Iterable[bytes], *, line_end: bytes = b"\r\n") -> list[Path]:
    (door.folder / "out").mkdir()
    for number, mail in enumerate(mails):
        (door.folder / "out" / f"{number:04}").write_bytes(mail.replace(b"\r\n", line_end))
    return sorted((door.folder / "out").iterdir())


async def twisted(door: Door, mails: list[bytes], to: str = TO) -> None:
    foreign("twisted.mail.smtp")
    foreign("OpenSSL")
    _written(door, mails, line_end=b"\n")
    place = (door.way, str(door.port), door.secret, str(door.folder))
    await finished(sys.executable, "-W", "ignore", "-c", _TWISTED, *place, FROM, to)


async def curl(door: Door, mails: list[bytes], to: str = TO) -> None:
    url = f"{'smtps' if door.way == 'tls' else 'smtp'}://127.0.0.1:{door.port}"
    how = ["--cacert", str(door.ca), *["--ssl-reqd"] * (door.way == "starttls"), "-u", f"me:{door.secret}"]
    how += ["--max-time", str(PATIENCE), "--mail-from", FROM, "--mail-rcpt", to, "-sS"]
    command = ["curl"]
    for path in _written(door, mails):  # one run for all of them
        command += [*how, "-T", str(path), url, "--next"]
    await finished(*command[:-1])


async def swaks(door: Door, mails: list[bytes], to: str = TO) -> None:
    how = {"plain": [], "starttls": ["--tls"], "tls": ["--tls-on-connect"]}[door.way]
    if how:
        how += ["--tls-ca-path", str(door.ca), "--tls-verify"]
    common = ["swaks", "--server", "127.0.0.1", "--port", str(door.port), *how, "--auth", "LOGIN", "--auth-user", "me"]
    common += ["--auth-password", door.secret, "--from", FROM, "--to", to, "--silent", "2"]
    for path in _written(door, (mail.removesuffix(b"\r\n") for mail in mails)):  # it ends the last line itself
        await finished(*common, "--data", f"@{path}")


CLIENTS: dict[Callable[..., Awaitable[None]], tuple[str, str]] = {
    stdlib: (r"SMTPAuthenticationError: \(535", r"SMTPRecipientsRefused: .*\(550"),
    aiosmtplib_plain: (r"SMTPAuthenticationError: \(535", r"SMTPRecipientsRefused: .*\(550"),
    aiosmtplib_login: (r"SMTPAuthenticationError: \(535", r"SMTPRecipientsRefused: .*\(550"),
    aiosmtplib_cram_md5: (r"SMTPAuthenticationError: \(535", r"SMTPRecipientsRefused: .*\(550"),
    twisted: (r"Ended: 1 535 ", r"Ended: 1 550 "),
    curl: (r"Ended: 67 ", r"Ended: 55 .*550"),
    swaks: (r"Ended: 28 (?s:.*)535 5\.7\.8", r"Ended: 24 (?s:.*)550 5\.1\.1"),
}
"""The clients, and what each says when its secret is wrong, and when nobody is there to take its mail."""

each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


@each_client
@pytest.mark.parametrize("way", ["plain", "starttls", "tls"])
async def test_each_client_sends_by_each_way(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    mails = many_mails(3)
    await client(Door.of(lab, lab.smtp, way, tmp_path), mails)
    assert [mail.raw for mail in lab.sent] == mails
    assert {(mail.username, mail.is_tls, mail.recipients) for mail in lab.sent} == {("me", way != "plain", (TO,))}


@each_client
@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_each_client_is_told_that_its_secret_is_wrong(lab: Lab, tmp_path: Path, client: Any, way: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        await client(Door.of(lab, lab.smtp, way, tmp_path, "wrong"), many_mails(1))
    assert re.search(CLIENTS[client][0], f"{caught.type.__name__}: {caught.value}"), caught.value
    assert len(lab.sent) == 0
    await until(lambda: not lab.smtp.clients)


@each_client
async def test_each_client_is_told_that_nobody_is_there(lab: Lab, tmp_path: Path, client: Any) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        await client(Door.of(lab, lab.smtp, "starttls", tmp_path), many_mails(1), "nobody@example.org")
    assert re.search(CLIENTS[client][1], f"{caught.type.__name__}: {caught.value}"), caught.value
    assert len(lab.sent) == 0


@each_client
async def test_each_client_sends_a_mail_of_5_mebibytes(lab: Lab, tmp_path: Path, client: Any) -> None:
    sent = big_mail()
    if client is twisted:  # it forgets to double a dot that begins one of its chunks
        sent = sent.replace(b"\r\n.dots", b"\r\n dots")
    await client(Door.of(lab, lab.smtp, "tls", tmp_path), [sent])
    [mail] = lab.sent
    assert mail.raw == sent


@pytest.mark.parametrize(
    "client", [one for one in CLIENTS if one not in (swaks, twisted)], ids=lambda client: client.__name__
)
async def test_each_client_sends_200_mails(lab: Lab, tmp_path: Path, client: Any) -> None:
    mails = many_mails()  # the two that are left out take a process or a connection, and 40 ms, for each
    await client(Door.of(lab, lab.smtp, "plain", tmp_path), mails)
    assert [mail.raw for mail in lab.sent] == mails
