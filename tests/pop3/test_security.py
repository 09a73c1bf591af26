"""TLS is what was asked for or an error: verified before a secret goes out, and nothing from before it counts after."""

import ssl
from pathlib import Path

import pytest

from asyncnet import (
    AuthenticationError,
    Credentials,
    DisconnectedError,
    ProtocolError,
    RefusedError,
    TLSError,
    client_context,
    pop3,
)
from tests.peers import Authority, ConnectProxy, Script, SocksProxy
from tests.pop3.talks import ALICE, GREETED, LEFT, SIGNED_IN, url

TO_TLS = r"""
    C: CAPA
    S: +OK
    S: STLS
    S: USER
    S: .
    C: STLS
"""


async def test_pop3s_is_encrypted_from_the_first_byte(authority: Authority) -> None:
    talk = GREETED + SIGNED_IN + "C: RETR 1\nS: +OK\nS: hello\nS: ." + LEFT
    async with (
        Script(talk, tls=authority.server) as peer,
        pop3.session(url(peer, "pop3s"), ALICE, tls=authority.client()) as maildrop,
    ):
        assert (await maildrop.retrieve(1)).raw == b"hello\r\n"
    assert peer.cleartext == b""


async def test_starttls_is_encrypted_before_the_login_and_capabilities_are_asked_again(authority: Authority) -> None:
    talk = GREETED + TO_TLS + "S: +OK\nstarttls" + SIGNED_IN + "C: NOOP\nS: +OK" + LEFT
    async with (
        Script(talk, starttls=authority.server) as peer,
        pop3.session(url(peer, "pop3+starttls"), ALICE, tls=authority.client()) as maildrop,
    ):
        await maildrop.noop()
    assert peer.cleartext == b"CAPA\r\nSTLS\r\n"


async def test_a_server_without_capa_may_still_know_stls(authority: Authority) -> None:
    talk = GREETED + "C: CAPA\nS: -ERR\nC: STLS\nS: +OK\nstarttls" + LEFT
    async with (
        Script(talk, starttls=authority.server) as peer,
        pop3.session(url(peer, "pop3+starttls"), tls=authority.client()),
    ):
        pass


async def test_what_was_offered_before_tls_does_not_count_after_it(authority: Authority) -> None:
    talk = GREETED + TO_TLS + "S: +OK\nstarttls\nC: CAPA\nS: +OK\nS: TOP\nS: .\neof"
    async with Script(talk, starttls=authority.server) as peer:
        with pytest.raises(AuthenticationError):
            await pop3.session(url(peer, "pop3+starttls"), ALICE, tls=authority.client()).open()


async def test_an_apop_stamp_from_before_tls_is_not_needed_after_it(authority: Authority) -> None:
    talk = "S: +OK <1@evil.example>" + TO_TLS + "S: +OK\nstarttls" + SIGNED_IN + LEFT
    async with (
        Script(talk, starttls=authority.server) as peer,
        pop3.session(url(peer, "pop3+starttls"), ALICE, tls=authority.client()),
    ):
        pass
    assert b"APOP" not in peer.received


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("C: CAPA\nS: +OK\nS: USER\nS: .", TLSError, "does not offer STLS"),
        (TO_TLS + "S: -ERR not now", RefusedError, "not now"),
        (TO_TLS + "S: -ERR [SYS/TEMP] not now", RefusedError, "not now"),
        (TO_TLS + "S: OK", ProtocolError, "neither"),
        (TO_TLS + "cut", DisconnectedError, "closed the connection"),
        (TO_TLS + "S: +OK\ncut", TLSError, "TLS failed"),
        (TO_TLS + "S: +OK\nreset", ConnectionError, "(?i)reset by|TLS failed|closed"),
        (TO_TLS + r"send +OK go\r\n+OK welcome\r\n" + "\neof", ProtocolError, "behind the reply to STLS"),
        (TO_TLS + "S: +OK\npause 20\nS: +OK welcome\nC: *\n", TLSError, "does not speak TLS"),
        (TO_TLS + "S: +OK\npause 20\ngarbage 500", TLSError, "TLS failed"),
    ],
)
async def test_starttls_that_does_not_come_about_is_an_error_and_never_plaintext(
    step: str, kind: type[Exception], words: str, authority: Authority
) -> None:
    async with Script(GREETED + step, check=False, starttls=authority.server) as peer:
        maildrop = pop3.session(url(peer, "pop3+starttls"), ALICE, tls=authority.client())
        with pytest.raises(kind, match=words):
            await maildrop.open()
        assert not maildrop.is_open
    assert b"AUTH" not in peer.received
    assert b"alice" not in peer.received


@pytest.mark.parametrize("wrong", ["expired", "wrong host", "untrusted"])
@pytest.mark.parametrize("scheme", ["pop3s", "pop3+starttls"])
async def test_a_bad_certificate_is_refused_before_a_secret_is_sent(
    scheme: str, wrong: str, authority: Authority
) -> None:
    bad = authority.bad_servers[wrong]
    if scheme == "pop3s":
        peer = Script("silence", tls=bad)
    else:
        peer = Script(GREETED + TO_TLS + "S: +OK\nstarttls", starttls=bad)
    async with peer:
        with pytest.raises(TLSError, match="certificate not trusted") as caught:
            await pop3.session(url(peer, scheme), ALICE, tls=authority.client()).open()
        assert not caught.value.transient
    assert peer.received == (b"" if scheme == "pop3s" else b"CAPA\r\nSTLS\r\n")
    assert len(peer.tls_failures) == 1


async def test_the_default_context_does_not_trust_an_unknown_authority(authority: Authority) -> None:
    async with Script("silence", tls=authority.server) as peer:
        with pytest.raises(TLSError, match="certificate not trusted"):
            await pop3.session(url(peer, "pop3s"), ALICE).open()


async def test_an_authority_from_a_file_is_trusted(authority: Authority, authority_pem: Path) -> None:
    async with (
        Script(GREETED + LEFT, tls=authority.server) as peer,
        pop3.session(url(peer, "pop3s"), tls=client_context(ca=authority_pem)),
    ):
        pass


async def test_unverified_tls_exists_through_a_context_that_the_caller_made(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with Script(GREETED + LEFT, tls=authority.untrusted) as peer, pop3.session(url(peer, "pop3s"), tls=context):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_our_certificate_gets_it_or_refuses(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    ours = authority.client_with_certificate()
    ours.maximum_version = version
    async with Script(GREETED + LEFT, tls=authority.demanding) as peer, pop3.session(url(peer, "pop3s"), tls=ours):
        pass
    without = authority.client()
    without.maximum_version = version
    async with Script("silence", tls=authority.demanding) as peer:
        with pytest.raises(TLSError, match=r"certificate required|handshake failure"):
            await pop3.session(url(peer, "pop3s"), tls=without).open()


async def test_tls_on_a_plaintext_port_is_said_in_words(authority: Authority) -> None:
    async with Script(GREETED + "C: *", check=False) as peer:
        with pytest.raises(TLSError, match="the peer does not speak TLS here"):
            await pop3.session(url(peer, "pop3s"), ALICE, tls=authority.client()).open()


async def test_plaintext_under_tls_breaks_the_session(authority: Authority) -> None:
    talk = GREETED + r"C: NOOP" + "\n" + r"raw +OK\r\n"
    async with (
        Script(talk, tls=authority.server) as peer,
        pop3.session(url(peer, "pop3s"), tls=authority.client()) as maildrop,
    ):
        with pytest.raises(DisconnectedError):
            await maildrop.noop()
        assert not maildrop.is_open


@pytest.mark.parametrize("end", ["shut", "cut", "close"])
async def test_an_end_in_mid_message_is_an_error_under_tls_too(end: str, authority: Authority) -> None:
    talk = GREETED + "C: RETR 1\nS: +OK 100 octets\nS: hello\n" + end
    async with (
        Script(talk, tls=authority.server) as peer,
        pop3.session(url(peer, "pop3s"), tls=authority.client()) as maildrop,
    ):
        with pytest.raises(DisconnectedError):
            await maildrop.retrieve(1)


async def test_a_session_goes_through_a_proxy_with_the_servers_own_name_on_the_certificate(
    authority: Authority,
) -> None:
    talk = GREETED + SIGNED_IN + LEFT
    async with Script(talk, talk, tls=authority.server) as peer:
        target = {"localhost": (peer.host, peer.port)}
        place = f"pop3s://localhost:{peer.port}"
        async with SocksProxy(hosts=target) as socks, ConnectProxy(hosts=target) as connect:
            for way in (f"socks5://{socks.address}", f"http://{connect.address}"):
                async with pop3.session(place, ALICE, tls=authority.client(), proxy=way):
                    pass
            assert socks.requests == [("localhost", peer.port)]


async def test_a_bad_certificate_names_what_is_wrong_and_the_place(authority: Authority) -> None:
    async with Script("silence", tls=authority.wrong_host) as peer:
        with pytest.raises(TLSError, match=r"IP address mismatch|not valid for") as caught:
            await pop3.session(url(peer, "pop3s"), Credentials("alice", "x"), tls=authority.client()).open()
        assert caught.value.endpoint == url(peer, "pop3s")
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
