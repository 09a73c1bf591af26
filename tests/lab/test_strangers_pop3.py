"""The lab's POP3 judged by clients that others wrote: poplib, Twisted, curl, mpop. All of their work."""

import asyncio
import contextlib
import poplib
import ssl
import sys
from pathlib import Path

import pytest

from asyncnet.lab import Lab
from tests.lab.stranger import in_thread, program
from tests.lab.test_strangers_smtp import ca as ca
from tests.real.running import absent, foreign

MAILS = [
    b"Subject: first\r\n\r\nline 1\r\n.line 2\r\n..\r\n",
    b"Subject: second\r\n\r\n\xff 8-bit\r\n",
    b"Subject: third\r\n\r\n",
]


@pytest.fixture
def mails(lab: Lab) -> list[bytes]:
    for mail in MAILS:
        lab.deliver(mail)
    return MAILS


def whole(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


# poplib.


@pytest.mark.parametrize("way", ["plain", "stls", "tls"])
@pytest.mark.parametrize("login", ["user", "apop"])
async def test_poplib_does_all_its_work(lab: Lab, mails: list[bytes], way: str, login: str) -> None:
    context = lab.tls

    def work() -> None:
        if way == "tls":
            client: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", lab.pop3.tls_port, context=context)
        else:
            client = poplib.POP3("127.0.0.1", lab.pop3.port)
        try:
            if way == "stls":
                client.stls(context)
            assert client.capa()["PIPELINING"] == []
            assert client.utf8().startswith(b"+OK")
            if login == "apop":
                client.apop("me", "secret")
            else:
                client.user("me")
                client.pass_("secret")
            assert client.stat() == (3, sum(map(len, mails)))
            assert client.list()[1] == [b"%d %d" % (number, len(mail)) for number, mail in enumerate(mails, 1)]
            assert client.list(2).startswith(b"+OK 2 ")
            assert len({line.split()[1] for line in client.uidl()[1]}) == 3
            assert client.uidl(3).startswith(b"+OK 3 ")
            assert [whole(client.retr(number)[1]) for number in (1, 2, 3)] == mails
            assert whole(client.top(1, 1)[1]) == b"Subject: first\r\n\r\nline 1\r\n"
            client.dele(2)
            client.rset()
            client.dele(1)
            assert client.noop() == b"+OK"
            with pytest.raises(poplib.error_proto):
                client.retr(1)
        finally:
            client.quit()

    await in_thread(work)
    assert [message.raw for message in lab.mailbox()] == mails[1:]


async def test_poplib_is_told_who_is_wrong(lab: Lab) -> None:
    def work() -> None:
        client = poplib.POP3("127.0.0.1", lab.pop3.port)
        client.user("me")
        with pytest.raises(poplib.error_proto, match="AUTH"):
            client.pass_("wrong")
        with pytest.raises(ssl.SSLCertVerificationError):
            client.stls(ssl.create_default_context())
        with contextlib.suppress(OSError):  # the failed handshake has closed its socket
            client.close()

    await in_thread(work)


# Twisted, in a process of its own: its reactor runs once.

_TWISTED = """
import sys
from twisted.internet import defer, reactor, ssl
from twisted.internet.protocol import ClientFactory
from twisted.mail.pop3client import POP3Client

port, host = int(sys.argv[1]), "127.0.0.1"

class Client(POP3Client):
    def serverGreeting(self, challenge):
        super().serverGreeting(challenge)
        self.work().addErrback(lambda why: print("failed", why)).addBoth(lambda _: reactor.stop())

    @defer.inlineCallbacks
    def work(self):
        print("capa", "PIPELINING" in str((yield self.capabilities())))
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(open(sys.argv[2]).read())])
        yield self.startTLS(ssl.optionsForClientTLS("localhost", trust))
        yield self.login(b"me", b"secret")
        print("stat", (yield self.stat())[0])
        print("sizes", (yield self.listSize()))
        print("uids", len(set((yield self.listUID()))))
        for number in range(3):
            print("retr", (yield self.retrieve(number)))
        print("top", (yield self.retrieve(0, lines=1)))
        yield self.delete(0)
        yield self.reset()
        yield self.delete(1)
        yield self.noop()
        yield self.quit()

class Factory(ClientFactory):
    protocol = Client

reactor.connectTCP(host, port, Factory())
reactor.run()
"""


async def test_twisted_does_all_its_work(lab: Lab, mails: list[bytes], ca: Path) -> None:
    foreign("twisted.mail.pop3client")
    foreign("OpenSSL")
    status, said = await program(sys.executable, "-W", "ignore", "-c", _TWISTED, str(lab.pop3.port), str(ca))
    assert status == 0, said
    assert said.splitlines() == [
        "capa True",
        "stat 3",
        f"sizes {[len(mail) for mail in mails]}",
        "uids 3",
        *(f"retr {mail.splitlines()}" for mail in mails),
        "top [b'Subject: first', b'', b'line 1']",
    ]
    assert [message.raw for message in lab.mailbox()] == [mails[0], mails[2]]


# curl and mpop.


@pytest.mark.parametrize("way", ["plain", "stls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "+APOP"])
async def test_curl_signs_in_lists_fetches_and_deletes(lab: Lab, mails, ca: Path, way: str, mechanism: str) -> None:
    url = f"pop3s://127.0.0.1:{lab.pop3.tls_port}/" if way == "tls" else f"{lab.pop3.url}/"
    options = ["--cacert", str(ca), *(["--ssl-reqd"] if way == "stls" else [])]
    common = ["curl", "-sS", *options, "-u", "me:secret", "--login-options", f"AUTH={mechanism}"]
    status, said = await program(*common, url)
    assert (status, said.split()) == (0, [str(word) for pair in enumerate(map(len, mails), 1) for word in pair])
    status, said = await program(*common, url + "1", "-o", str(ca.parent / "mail"))
    assert (status, said) == (0, "")
    assert (ca.parent / "mail").read_bytes() == mails[0]
    status, said = await program(*common, url + "2", "-X", "DELE", "-I")
    assert status == 0, said
    await lab.until(lambda: len(lab.mailbox()) == 2)


async def test_curl_signs_in_by_a_token(lab: Lab) -> None:
    for token, status in (("secret", 0), ("stale", 67)):
        ended, said = await program("curl", "-sS", "--oauth2-bearer", token, "-u", "me:", lab.pop3.url + "/")
        assert ended == status, said


@pytest.mark.parametrize("way", ["plain", "stls", "tls"])
@pytest.mark.parametrize("auth", ["user", "apop", "plain", "scram-sha-256", "cram-md5"])
async def test_mpop_takes_everything(lab: Lab, mails, ca: Path, tmp_path: Path, way: str, auth: str) -> None:
    port = lab.pop3.tls_port if way == "tls" else lab.pop3.port
    config = tmp_path / "mpoprc"
    lines = [
        "account lab",
        "host 127.0.0.1",
        f"port {port}",
        "user me",
        "password secret",
        f"auth {auth}",
        "keep off",
        f"uidls_file {tmp_path}/uidls",
        f"delivery mbox {tmp_path}/mbox",
        *(
            [f"tls on\ntls_starttls {'on' if way == 'stls' else 'off'}\ntls_trust_file {ca}"]
            if way != "plain"
            else ["tls off"]
        ),
    ]
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    status, said = await program("mpop", "-C", str(config), "lab")
    if status != 0 and "not supported" in said and auth.startswith("scram"):
        absent("this mpop knows no SCRAM")
    assert status == 0, said
    box = (tmp_path / "mbox").read_bytes()
    assert all(f"Subject: {word}".encode() in box for word in ("first", "second", "third"))
    assert b"\n.line 2\n..\n" in box
    await lab.until(lambda: len(lab.mailbox()) == 0)


async def test_six_strangers_at_once_wait_for_nobody(lab: Lab, mails: list[bytes]) -> None:
    def work(name: str) -> int:
        client = poplib.POP3("127.0.0.1", lab.pop3.port)
        try:
            client.user(name)
            client.pass_("secret of you" if name == "you" else "secret")
            return client.stat()[0]
        finally:
            client.quit()

    lab.add_account("third", "secret")
    counts = await asyncio.gather(*(in_thread(lambda name=name: work(name)) for name in ("me", "you", "third")))
    assert counts == [3, 0, 0]
