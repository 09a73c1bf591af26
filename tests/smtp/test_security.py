"""TLS is what was asked for or an error: verified before a secret goes out, and nothing from before it counts after."""

import ssl

import pytest

from asyncnet import (
    AuthenticationError,
    DisconnectedError,
    NetError,
    ProtocolError,
    RefusedError,
    TLSError,
    UsageError,
    client_context,
    smtp,
)
from tests.peers import Authority, ConnectProxy, Script, SocksProxy
from tests.smtp.talks import ALICE, AUTH_ALICE, ENVELOPE, GREETED, LEFT, NOTE, TAKEN, greeted, hello, url

SIGNED_IN = hello("AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: 235 2.7.0 welcome\n"
TO_TLS = greeted("STARTTLS", "AUTH LOGIN", "SIZE 1") + "C: STARTTLS\n"
BEFORE_TLS = b"EHLO [127.0.0.1]\r\nSTARTTLS\r\n"


async def test_smtps_is_encrypted_from_the_first_byte(authority: Authority) -> None:
    talk = "S: 220 hi\n" + SIGNED_IN + TAKEN + LEFT
    async with (
        Script(talk, tls=authority.server) as peer,
        smtp.session(url(peer, "smtps"), ALICE, tls=authority.client()) as outgoing,
    ):
        await outgoing.send(NOTE, **ENVELOPE)
    assert peer.cleartext == b""


async def test_starttls_is_encrypted_before_the_login_and_extensions_are_asked_again(authority: Authority) -> None:
    talk = TO_TLS + "S: 220 go\nstarttls\n" + SIGNED_IN + TAKEN + LEFT
    async with (
        Script(talk, starttls=authority.server) as peer,
        smtp.session(url(peer, "smtp+starttls"), ALICE, tls=authority.client()) as outgoing,
    ):
        assert outgoing.extensions == {"AUTH": "PLAIN"}
        await outgoing.send(NOTE, **ENVELOPE)  # SIZE 1 of before would forbid it
    assert peer.cleartext == BEFORE_TLS


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_certificate_that_is_not_to_be_trusted_hears_no_secret(authority: Authority, scheme: str) -> None:
    for context in authority.bad_servers.values():
        talk = TO_TLS + "S: 220 go\nstarttls\nsilence"
        tls = {"tls": context} if scheme == "smtps" else {"starttls": context}
        async with Script(talk, check=scheme != "smtps", **tls) as peer:
            with pytest.raises(TLSError, match="not trusted") as caught:
                await smtp.session(url(peer, scheme), ALICE, tls=authority.client()).open()
            assert not caught.value.transient
        assert peer.received in (b"", BEFORE_TLS)


async def test_by_default_only_the_authorities_of_the_system_are_trusted(authority: Authority) -> None:
    async with Script("silence", tls=authority.server, check=False) as peer:
        with pytest.raises(TLSError, match="not trusted"):
            await smtp.session(url(peer, "smtps"), ALICE).open()


async def test_a_server_without_starttls_hears_nothing_more() -> None:
    async with Script(greeted("AUTH PLAIN") + "eof") as peer:
        with pytest.raises(TLSError, match="does not offer STARTTLS") as caught:
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=client_context()).open()
        assert not caught.value.transient


async def test_a_server_that_knows_only_helo_has_no_starttls() -> None:
    async with Script("S: 220 hi\nC: EHLO *\nS: 500 what\nC: HELO *\nS: 250 hi\neof") as peer:
        with pytest.raises(TLSError, match="does not offer STARTTLS"):
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=client_context()).open()


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        ("S: 454 4.7.0 TLS not available now", RefusedError, True),
        ("S: 501 5.5.4 no", RefusedError, False),
        ("S: 250 ok", ProtocolError, False),
        ("S: 421 no", DisconnectedError, True),
        ("cut", DisconnectedError, True),
    ],
)
async def test_a_starttls_that_is_refused_is_an_error(answer: str, kind: type[NetError], transient: bool) -> None:
    async with Script(TO_TLS + answer) as peer:
        with pytest.raises(kind) as caught:
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=client_context()).open()
        assert caught.value.transient is transient
    assert peer.received == BEFORE_TLS


@pytest.mark.parametrize("injected", [r"250 ok\r\n", "250-mail.example.org\\r\\n250 AUTH PLAIN\\r\\n", "2", r"\x00"])
async def test_plaintext_put_in_front_of_tls_breaks_the_protocol(authority: Authority, injected: str) -> None:
    talk = TO_TLS + f"send 220 go\\r\\n{injected}\nsilence"
    async with Script(talk, starttls=authority.server) as peer:
        with pytest.raises(ProtocolError, match=r"nothing had asked for|not a reply"):
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=authority.client()).open()
    assert peer.received == BEFORE_TLS


async def test_plaintext_put_into_the_handshake_fails_it(authority: Authority) -> None:
    talk = TO_TLS + "S: 220 go\nuntil \\x03\nraw 250 AUTH PLAIN\\r\\n\nsilence"
    async with Script(talk, starttls=authority.server) as peer:
        with pytest.raises(TLSError):
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=authority.client()).open()
    assert b"AUTH PLAIN" not in peer.received


async def test_a_handshake_that_is_cut_off_never_got_there(authority: Authority) -> None:
    async with Script(TO_TLS + "S: 220 go\nuntil \\x03\nreset", starttls=authority.server) as peer:
        with pytest.raises(NetError) as caught:
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=authority.client()).open()
        assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_server_that_wants_a_certificate_of_ours_gets_it_or_says_no(authority: Authority, scheme: str) -> None:
    def peer_of(talk: str) -> Script:
        if scheme == "smtps":
            return Script("S: 220 hi\n" + talk, tls=authority.demanding, check=False)
        return Script(TO_TLS + "S: 220 go\nstarttls\n" + talk, starttls=authority.demanding, check=False)

    async with peer_of(SIGNED_IN + LEFT) as peer:
        async with smtp.session(url(peer, scheme), ALICE, tls=authority.client_with_certificate()):
            pass
        assert peer.mismatches == []
    async with peer_of(SIGNED_IN + LEFT) as peer:
        with pytest.raises(TLSError, match="certificate required"):
            await smtp.session(url(peer, scheme), ALICE, tls=authority.client()).open()
        assert b"AUTH" not in peer.received


async def test_unverified_tls_is_the_callers_own_doing(authority: Authority) -> None:
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    async with (
        Script("S: 220 hi\n" + SIGNED_IN + LEFT, tls=authority.untrusted) as peer,
        smtp.session(url(peer, "smtps"), ALICE, tls=lax),
    ):
        pass


async def test_auth_offered_before_tls_and_not_after_it_is_not_used(authority: Authority) -> None:
    talk = TO_TLS + "S: 220 go\nstarttls\n" + hello("SIZE 10") + "eof"
    async with Script(talk, starttls=authority.server) as peer:
        with pytest.raises(AuthenticationError, match="no mechanism"):
            await smtp.session(url(peer, "smtp+starttls"), ALICE, tls=authority.client()).open()
    assert b"AUTH" not in peer.received


async def test_over_plaintext_a_secret_goes_to_this_machine_alone_or_by_the_word_of_the_caller() -> None:
    async with Script("S: 220 hi\n" + SIGNED_IN + LEFT) as peer, smtp.session(url(peer), ALICE):
        pass
    with pytest.raises(UsageError, match="plaintext"):
        smtp.session("smtp://mail.example.org", ALICE)
    smtp.session("smtp://mail.example.org", ALICE, allow_plaintext_login=True)


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_the_way_may_lead_through_a_proxy(
    authority: Authority, kind: type[ConnectProxy] | type[SocksProxy]
) -> None:
    talk = "S: 220 hi\nC: EHLO *\nS: 250-hi\nS: 250 AUTH PLAIN\n" + f"C: {AUTH_ALICE}\nS: 235 ok\n" + TAKEN + LEFT
    with Script(talk, tls=authority.server) as peer, kind() as proxy:
        through = f"{'http' if kind is ConnectProxy else 'socks5'}://{proxy.address}"
        async with smtp.session(url(peer, "smtps"), ALICE, tls=authority.client(), proxy=through) as outgoing:
            await outgoing.send(NOTE, **ENVELOPE)
        assert proxy.connections == 1


async def test_no_error_and_no_repr_shows_the_secret() -> None:
    async with Script(GREETED.replace("8BITMIME", "AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: 535 no {AUTH_ALICE}\n") as peer:
        outgoing = smtp.session(url(peer), ALICE)
        with pytest.raises(AuthenticationError) as caught:
            await outgoing.open()
    shown = f"{caught.value} {caught.value!r} {caught.value.text} {outgoing!r}"
    assert "correct horse" not in shown
    assert AUTH_ALICE.split()[-1] not in shown
    assert "535 no AUTH PLAIN ***" in shown
