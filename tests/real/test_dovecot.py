"""Dovecot as a fixture, judged by imaplib and poplib alone."""

import base64
import contextlib
import hashlib
import hmac
import imaplib
import json
import poplib
import ssl
from collections.abc import Iterator

import pytest

from tests.peers import Authority
from tests.real.dovecot import ALICE, BOB, CAROL, DAVE, Account, Dovecot
from tests.real.dovecot_config import MECHANISMS

ODD = (
    b'From: bob@example.org\r\nTo: alice@example.org\r\nSubject: ((("unbalanced\r\n\r\n'
    b".leading dot\r\n..\r\n.\r\n8-bit \xff\xfe gr\xc3\xbcn\r\n"
    + b"x" * 100_000
    + b"\r\n* 1 FETCH (BODY[] {5}\r\nno line end"
)


@contextlib.contextmanager
def imap(dovecot: Dovecot, *, host: str = "127.0.0.1") -> Iterator[imaplib.IMAP4]:
    client = imaplib.IMAP4(host, dovecot.ports["imap"], timeout=10)
    try:
        yield client
    finally:
        client.shutdown()


@contextlib.contextmanager
def pop3(dovecot: Dovecot, *, host: str = "127.0.0.1") -> Iterator[poplib.POP3]:
    client = poplib.POP3(host, dovecot.ports["pop3"], timeout=10)
    try:
        yield client
    finally:
        client.close()


def test_a_delivered_message_is_fetched_byte_for_byte(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, ODD)
    with imap(dovecot) as client:
        client.login(account.name, account.password)
        assert client.select() == ("OK", [b"1"])
        found = client.fetch("1", "(BODY.PEEK[])")[1][0]
    assert isinstance(found, tuple)
    assert found[1] == ODD
    assert dovecot.messages(account) == [ODD]


def test_messages_come_in_the_order_of_their_delivery(dovecot: Dovecot, account: Account) -> None:
    sent = [b"Subject: %d\r\n\r\n" % number for number in range(20)]
    for message in sent:
        dovecot.deliver(account, message)
    assert dovecot.messages(account) == sent
    with pop3(dovecot) as client:
        client.user(account.name)
        client.pass_(account.password)
        assert [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, 21)] == sent
        client.quit()


def test_other_mailboxes_can_be_filled_too(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, b"Subject: x\r\n\r\n", "Archive")
    with imap(dovecot) as client:
        client.login(account.name, account.password)
        assert client.select("Archive") == ("OK", [b"1"])
        client.append("Sent", None, None, b"Subject: y\r\n\r\n")
    assert dovecot.messages(account, "Sent") == [b"Subject: y\r\n\r\n"]


@pytest.mark.parametrize("who", [ALICE, BOB, CAROL, DAVE], ids=lambda who: who.name)
def test_the_four_of_them_can_sign_in(dovecot: Dovecot, who: Account) -> None:
    with imap(dovecot) as client:
        answer = client.authenticate("PLAIN", lambda _: f"\0{who.name}\0{who.password}".encode())
        assert answer[0] == "OK"


def test_tls_from_the_first_byte(dovecot: Dovecot, authority: Authority) -> None:
    client = imaplib.IMAP4_SSL("127.0.0.1", dovecot.ports["imaps"], ssl_context=authority.client(), timeout=10)
    assert client.login("alice", ALICE.password)[0] == "OK"
    client.logout()
    post = poplib.POP3_SSL("127.0.0.1", dovecot.ports["pop3s"], context=authority.client(), timeout=10)
    post.user("alice")
    assert post.pass_(ALICE.password).startswith(b"+OK")
    post.quit()


def test_the_certificate_is_of_the_authority_alone(dovecot: Dovecot) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        imaplib.IMAP4_SSL("127.0.0.1", dovecot.ports["imaps"], ssl_context=ssl.create_default_context(), timeout=10)


def test_the_strict_host_takes_no_password_before_tls(dovecot: Dovecot, authority: Authority) -> None:
    with imap(dovecot, host=dovecot.strict_host) as client:
        assert "LOGINDISABLED" in client.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            client.login("alice", ALICE.password)
        client.starttls(authority.client())
        assert "LOGINDISABLED" not in client.capabilities
        assert client.login("alice", ALICE.password)[0] == "OK"
    with pop3(dovecot, host=dovecot.strict_host) as post:
        assert "USER" not in post.capa()
        with pytest.raises(poplib.error_proto, match="disallowed"):
            post.user("alice")
        post.stls(authority.client())
        post.user("alice")
        assert post.pass_(ALICE.password).startswith(b"+OK")


def test_every_mechanism_is_offered(dovecot: Dovecot) -> None:
    with imap(dovecot) as client:
        offered = {name.removeprefix("AUTH=").lower() for name in client.capabilities if name.startswith("AUTH=")}
    assert offered == set(MECHANISMS) - {"apop"}


def test_cram_md5_and_apop(dovecot: Dovecot) -> None:
    with imap(dovecot) as client:
        assert client.login_cram_md5("alice", ALICE.password)[0] == "OK"
    with pop3(dovecot) as post:
        assert post.apop("alice", ALICE.password).startswith(b"+OK")


def test_scram_sha_256(dovecot: Dovecot) -> None:
    """RFC 5802 §3, by hand."""
    first = b"n=alice,r=nonce-of-the-client"
    state = {}

    def answer(challenge: bytes) -> bytes:
        if not challenge:
            return b"n,," + first
        if challenge.startswith(b"v="):
            state["v"] = base64.b64decode(challenge[2:])
            return b""
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", ALICE.password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"])
        )
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = b"c=biws,r=" + fields[b"r"]
        signed = b",".join((first, challenge, bare))
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        state["expected"] = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return bare + b",p=" + base64.b64encode(proof)

    with imap(dovecot) as client:
        assert client.authenticate("SCRAM-SHA-256", answer)[0] == "OK"
    assert state["v"] == state["expected"]


@pytest.mark.parametrize(("mechanism", "head"), [("XOAUTH2", "user=bob\1"), ("OAUTHBEARER", "n,a=bob,\1")])
def test_a_good_token_signs_in_and_an_expired_one_is_challenged(dovecot: Dovecot, mechanism: str, head: str) -> None:
    challenges: list[bytes] = []

    def answer(challenge: bytes) -> bytes:
        challenges.append(challenge)
        return b"" if challenge else f"{head}auth=Bearer {token}\1\1".encode()

    with imap(dovecot) as client:
        token = dovecot.token(BOB, seconds=-10)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.authenticate(mechanism, answer)
        assert challenges[0] == b""
        assert json.loads(challenges[1])["status"] in ("401", "invalid_token")
        token = dovecot.token(BOB)
        assert client.authenticate(mechanism, answer)[0] == "OK"


def test_a_wrong_password_and_an_unknown_name_are_refused(dovecot: Dovecot) -> None:
    with imap(dovecot) as client:
        for name, password in (("alice", "wrong"), ("mallory", ALICE.password)):
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                client.login(name, password)
        assert client.login("alice", ALICE.password)[0] == "OK"


def test_many_sessions_of_one_account_at_once(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, ODD)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(imap(dovecot))
            client.login(account.name, account.password)
            assert client.select() == ("OK", [b"1"])
            post = stack.enter_context(pop3(dovecot))
            post.user(account.name)
            post.pass_(account.password)
            assert post.stat()[0] == 1


def test_clear_empties_an_account(dovecot: Dovecot, account: Account) -> None:
    dovecot.deliver(account, ODD)
    dovecot.clear(account)
    with imap(dovecot) as client:
        client.login(account.name, account.password)
        assert client.select() == ("OK", [b"0"])
