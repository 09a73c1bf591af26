"""The lab's SMTP judged by clients that others wrote: smtplib, aiosmtplib, Twisted, curl, swaks. All of their work."""

import smtplib
import ssl
from pathlib import Path

import pytest

from asyncnet.lab import Lab
from tests.lab.stranger import in_thread, program
from tests.real.running import absent, foreign

NOTE = b"From: a@example.com\r\nTo: me@example.org\r\nSubject: note\r\n\r\n.dot\r\n..dots\r\nend\r\n"


@pytest.fixture
def ca(lab: Lab, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(lab.ca_pem)
    return path


# smtplib.


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login", "auth_cram_md5"])
@pytest.mark.parametrize("way", ["plain", "starttls", "tls"])
async def test_smtplib_signs_in_and_sends(lab: Lab, way: str, mechanism: str) -> None:
    context = lab.tls

    def work() -> dict[str, tuple[int, bytes]]:
        with (
            smtplib.SMTP_SSL("127.0.0.1", lab.smtp.tls_port, context=context)
            if way == "tls"
            else smtplib.SMTP("127.0.0.1", lab.smtp.port)
        ) as client:
            if way == "starttls":
                client.starttls(context=context)
            client.ehlo()
            client.user, client.password = "me", "secret"
            client.auth(mechanism[5:].replace("_", "-").upper(), getattr(client, mechanism))
            return client.sendmail("a@example.com", ["me@example.org", "nobody@example.org"], NOTE)

    refused = await in_thread(work)
    assert refused == {"nobody@example.org": (550, b"5.1.1 Nobody of that name here")}
    [mail] = lab.sent
    assert (mail.raw, mail.recipients, mail.username) == (NOTE, ("me@example.org",), "me")
    assert mail.is_tls == (way != "plain")


async def test_smtplib_does_all_else(lab: Lab) -> None:
    def work() -> None:
        with smtplib.SMTP("127.0.0.1", lab.smtp.port) as client:
            assert client.ehlo()[0] == 250
            assert client.has_extn("size")
            assert client.esmtp_features["size"] == str(lab.max_message_bytes)
            assert client.verify("me")[0] == 252
            assert client.noop()[0] == 250
            assert client.rset()[0] == 250
            assert client.help().startswith(b"2.0.0")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.com", ["nobody@example.org"], NOTE)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("me", "wrong")
            client.sendmail("grün@example.com", ["me@example.org"], NOTE, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
            with pytest.raises(smtplib.SMTPSenderRefused) as caught:
                client.sendmail("a@example.com", ["me@example.org"], b"x" * (lab.max_message_bytes + 1))
            assert caught.value.smtp_code == 552
        with smtplib.SMTP("127.0.0.1", lab.smtp.port) as client:
            assert client.helo()[0] == 250
            client.sendmail("old@example.com", ["me@example.org"], NOTE)

    await in_thread(work)
    assert [mail.sender for mail in lab.sent] == ["grün@example.com", "old@example.com"]
    assert {mail.raw for mail in lab.sent} == {NOTE}


async def test_smtplib_refuses_a_certificate_that_it_does_not_know(lab: Lab) -> None:
    def work() -> None:
        with smtplib.SMTP("127.0.0.1", lab.smtp.port) as client, pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=ssl.create_default_context())

    await in_thread(work)


# aiosmtplib.


@pytest.mark.parametrize("way", [{}, {"start_tls": True}, {"use_tls": True}], ids=["plain", "starttls", "tls"])
async def test_aiosmtplib_signs_in_and_sends(lab: Lab, way: dict[str, bool]) -> None:
    aiosmtplib = foreign("aiosmtplib")
    port = lab.smtp.tls_port if "use_tls" in way else lab.smtp.port
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=port, tls_context=lab.tls if way else None, **({"start_tls": False} | way)
    )
    async with client:
        await client.login("me", "secret")
        for _ in range(3):
            refused, _ = await client.sendmail("a@example.com", ["me@example.org", "no@example.org"], NOTE)
            assert list(refused) == ["no@example.org"]
        assert (await client.vrfy("me")).code == 252
        assert (await client.noop()).code == 250
        assert (await client.rset()).code == 250
    assert [mail.raw for mail in lab.sent] == [NOTE] * 3


# Twisted, in a process of its own: its reactor runs once.

_TWISTED = """
import sys
from io import BytesIO
from OpenSSL import SSL
from twisted.internet import defer, reactor, ssl
from twisted.mail.smtp import ESMTPSenderFactory

port, note = int(sys.argv[1]), sys.stdin.buffer.read()
trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(open(sys.argv[2]).read())])
context = ssl.optionsForClientTLS("localhost", trust)
done = defer.Deferred()
factory = ESMTPSenderFactory(b"me", b"secret", "a@example.com", ["me@example.org"], BytesIO(note), done,
                             contextFactory=context, requireTransportSecurity=True, hostname="localhost")
reactor.connectTCP("127.0.0.1", port, factory)
done.addCallback(lambda sent: print("sent", sent[0]))
done.addErrback(lambda why: print("failed", why.getErrorMessage()))
done.addBoth(lambda _: reactor.stop())
reactor.run()
"""


async def test_twisted_signs_in_over_starttls_and_sends(lab: Lab, ca: Path) -> None:
    import sys

    foreign("twisted.mail.smtp")
    foreign("OpenSSL")
    status, said = await program(
        sys.executable, "-W", "ignore", "-c", _TWISTED, str(lab.smtp.port), str(ca), stdin=NOTE.replace(b"\r\n", b"\n")
    )
    assert (status, said.strip()) == (0, "sent 1"), said
    [mail] = lab.sent
    assert (mail.raw, mail.username, mail.is_tls) == (NOTE, "me", True)


# curl and swaks.


@pytest.mark.parametrize("way", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_curl_signs_in_and_sends(lab: Lab, ca: Path, way: str, mechanism: str) -> None:
    url = f"smtps://127.0.0.1:{lab.smtp.tls_port}" if way == "tls" else lab.smtp.url
    options = ["--ssl-reqd"] if way == "starttls" else []
    status, said = await program(
        *("curl", "-sS", *options, "--cacert", str(ca), "--login-options", f"AUTH={mechanism}", "-u", "me:secret"),
        *(
            "--mail-from",
            "a@example.com",
            "--mail-rcpt",
            "me@example.org",
            "--mail-rcpt",
            "you@example.org",
            "-T",
            "-",
            url,
        ),
        stdin=NOTE,
    )
    assert status == 0, said
    [mail] = lab.sent
    assert (mail.raw, mail.recipients, mail.username) == (NOTE, ("me@example.org", "you@example.org"), "me")
    assert mail.is_tls == (way != "plain")


async def test_curl_signs_in_by_a_token(lab: Lab) -> None:
    for token, status in (("secret", 0), ("stale", 67)):
        ended, said = await program(
            *("curl", "-sS", "--oauth2-bearer", token, "-u", "me:", "--mail-from", "a@example.com"),
            *("--mail-rcpt", "me@example.org", "-T", "-", lab.smtp.url),
            stdin=NOTE,
        )
        assert ended == status, said
    assert [mail.username for mail in lab.sent] == ["me"]


async def test_curl_verifies_and_expands(lab: Lab) -> None:
    status, said = await program("curl", "-sS", "--mail-rcpt", "me", lab.smtp.url)
    assert (status, said.strip()[:3]) == (0, "252")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize(
    "way", [[], ["--tls"], ["--tls-on-connect"], ["--pipeline"]], ids=lambda way: "".join(way) or "plain"
)
async def test_swaks_signs_in_and_sends(lab: Lab, ca: Path, way: list[str], mechanism: str) -> None:
    port = lab.smtp.tls_port if "--tls-on-connect" in way else lab.smtp.port
    status, said = await program(
        *("swaks", "--server", "127.0.0.1", "--port", str(port), *way, "--auth", mechanism, "--auth-user", "me"),
        *("--auth-password", "secret", "--from", "a@example.com", "--to", "me@example.org", "--data", "-"),
        *(("--tls-ca-path", str(ca), "--tls-verify") if way in (["--tls"], ["--tls-on-connect"]) else ()),
        stdin=NOTE,
    )
    if "requires" in said and "not" in said.lower() and status != 0:
        absent(f"swaks lacks a part here: {said.splitlines()[-1]}")
    assert status == 0, said
    [mail] = lab.sent
    assert mail.username == "me"
    assert mail.raw.rstrip() == NOTE.rstrip()


async def test_swaks_is_refused_as_it_should_be(lab: Lab) -> None:
    status, said = await program(
        *("swaks", "--server", "127.0.0.1", "--port", str(lab.smtp.port), "--from", "a@example.com"),
        *("--to", "nobody@example.org"),
    )
    assert status == 24, said  # no valid recipients
    assert "550 5.1.1" in said
