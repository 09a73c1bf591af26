"""How a session begins: greeting, TLS, capabilities; nothing secret goes out before all is as it was asked for."""

import ssl
import subprocess
import sys

import pytest

from asyncnet import (
    AuthenticationError,
    ConnectError,
    Credentials,
    DisconnectedError,
    LimitError,
    NetError,
    ProtocolError,
    RefusedError,
    TLSError,
    UsageError,
    imap,
)
from tests.imap.talks import ABLE, ALICE, GREETED, KNOWN, LEFT, PLAIN, SIGNED_IN, known, url
from tests.peers import Authority, ConnectProxy, Script, SocksProxy

TO_TLS = rf"""
    S: * OK [CAPABILITY {ABLE} STARTTLS AUTH=PLAIN] ready
    C: {{tag}} STARTTLS
"""
ASKED = rf"""
    C: {{tag}} CAPABILITY
    S: * CAPABILITY {ABLE} AUTH=PLAIN
    S: {{tag}} OK
"""


async def opening(peer: Script, scheme: str = "imap", **options: object) -> NetError:
    """The error that opening ends with."""
    with pytest.raises(NetError) as raised:
        async with imap.session(url(peer, scheme), ALICE, **options):  # type: ignore[arg-type]
            pytest.fail("it was opened")
    return raised.value


async def test_capabilities_of_the_greeting_are_not_asked_for_again() -> None:
    async with Script(GREETED + SIGNED_IN + LEFT) as peer, imap.session(url(peer), ALICE) as session:
        assert session.capabilities == frozenset(ABLE.upper().split())
        assert session.is_open
    assert not session.is_open


async def test_capabilities_are_asked_for_where_the_server_does_not_tell_them() -> None:
    talk = f"S: * OK ready\n{ASKED}C: {{tag}} AUTHENTICATE PLAIN {PLAIN}\nS: {{tag}} OK in\n"
    after = "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 IDLE\nS: {tag} OK\n"
    async with Script(talk + after + LEFT) as peer, imap.session(url(peer), ALICE) as session:
        assert session.capabilities == {"IMAP4REV1", "IDLE"}


async def test_capabilities_told_untagged_during_the_login_count() -> None:
    talk = GREETED + f"C: {{tag}} AUTHENTICATE PLAIN {PLAIN}\nS: * CAPABILITY IMAP4rev1 MOVE\nS: {{tag}} OK in\n"
    async with Script(talk + LEFT) as peer, imap.session(url(peer), ALICE) as session:
        assert session.capabilities == {"IMAP4REV1", "MOVE"}


async def test_a_server_that_does_not_tell_what_it_can_is_an_error() -> None:
    async with Script("S: * OK ready\nC: {tag} CAPABILITY\nS: {tag} OK") as peer:
        assert isinstance(await opening(peer), ProtocolError)


async def test_a_session_without_credentials_signs_in_nowhere() -> None:
    talk = f"S: * OK [CAPABILITY {ABLE}] ready\n"
    async with Script(talk + LEFT) as peer, known(peer) as session:
        with pytest.raises(UsageError, match="before signing in"):
            await session.select()


async def test_whom_the_server_knows_already_shows_no_secret() -> None:
    async with Script(KNOWN + LEFT) as peer, imap.session(url(peer), ALICE):
        pass
    assert b"AUTHENTICATE" not in peer.received


async def test_a_goodbye_for_a_greeting_is_a_disconnection() -> None:
    async with Script("S: * BYE [UNAVAILABLE] too many of you\nclose") as peer:
        error = await opening(peer)
    assert isinstance(error, DisconnectedError)
    assert "too many of you" in str(error)
    assert error.transient


@pytest.mark.parametrize(
    "greeting",
    ["S: +OK POP3 ready", "S: * NO go away", "S: A1 OK ready", "S: * 1 EXISTS", "S: 220 mail ESMTP", "S: + go",
     "garbage 300", r"S: ", r"send * OK bare\n"],
)  # fmt: skip
async def test_something_else_for_a_greeting_is_a_protocol_error(greeting: str) -> None:
    async with Script(f"{greeting}\nsilence") as peer:
        assert type(await opening(peer)) is ProtocolError


async def test_an_endless_greeting_ends_at_the_limit() -> None:
    async with Script("endless line") as peer:
        error = await opening(peer, limits=imap.Limits(max_line_bytes=10_000))
    assert isinstance(error, LimitError)
    assert error.limit == 10_000


@pytest.mark.parametrize("end", ["cut", "reset", "send * OK rea\ncut", "send * OK rea\nreset"])
async def test_a_server_that_leaves_before_its_greeting_is_noticed_at_once(end: str) -> None:
    async with Script(end) as peer:
        error = await opening(peer)
    assert isinstance(error, (ConnectError, DisconnectedError))  # a reset may come before the connection is taken up
    assert error.transient


async def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    async with Script(check=False) as peer:
        port = peer.port
    with pytest.raises(ConnectError):
        await imap.session(f"imap://127.0.0.1:{port}").open()


# TLS


async def test_imaps_is_encrypted_from_the_first_byte(authority: Authority) -> None:
    async with (
        Script(GREETED + SIGNED_IN + LEFT, tls=authority.server) as peer,
        imap.session(url(peer, "imaps"), ALICE, tls=authority.client()),
    ):
        pass
    assert peer.cleartext == b""


async def test_starttls_comes_before_the_login_and_capabilities_are_asked_again(authority: Authority) -> None:
    talk = TO_TLS + f"S: {{tag}} OK [CAPABILITY {ABLE} AUTH=LOGIN] begin\nstarttls\n" + ASKED + SIGNED_IN + LEFT
    async with (
        Script(talk, starttls=authority.server) as peer,
        imap.session(url(peer, "imap+starttls"), ALICE, tls=authority.client()) as session,
    ):
        assert session.is_open
    assert peer.cleartext.split() == [peer.cleartext.split()[0], b"STARTTLS"]


async def test_starttls_that_is_not_offered_is_an_error_and_nothing_is_sent() -> None:
    async with Script(GREETED) as peer:
        error = await opening(peer, "imap+starttls")
    assert isinstance(error, ProtocolError)
    assert "STARTTLS" in str(error)
    assert peer.received == b""


async def test_starttls_that_is_refused_is_an_error_and_no_secret_is_sent() -> None:
    async with Script(TO_TLS + "S: {tag} NO not today") as peer:
        error = await opening(peer, "imap+starttls")
    assert isinstance(error, RefusedError)
    assert error.code == "NO"
    assert b"AUTHENTICATE" not in peer.received


@pytest.mark.parametrize(
    "injected",
    [
        r"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
        r"* OK injected\r\n",
        "x",
        r"* PREAUTH hello\r\n",
        r"{tag} OK\r\n",
        r"+ \r\n",
    ],
)
async def test_bytes_between_the_answer_to_starttls_and_tls_are_an_error(authority: Authority, injected: str) -> None:
    talk = TO_TLS + rf"send {{tag}} OK begin\r\n{injected}" + "\nstarttls"
    async with Script(talk, starttls=authority.server, check=False) as peer:
        error = await opening(peer, "imap+starttls", tls=authority.client())
    assert type(error) is ProtocolError
    assert PLAIN.encode() not in peer.received


async def test_plaintext_in_the_place_of_the_handshake_is_a_tls_error(authority: Authority) -> None:
    talk = TO_TLS + "S: {tag} OK begin\nuntil \\x03\nS: * OK injected"
    async with Script(talk, starttls=authority.server, check=False) as peer:
        error = await opening(peer, "imap+starttls", tls=authority.client())
    assert isinstance(error, TLSError)
    assert PLAIN.encode() not in peer.received


async def test_whom_the_server_knows_before_tls_does_not_trust_it() -> None:
    async with Script(f"S: * PREAUTH [CAPABILITY {ABLE} STARTTLS] hello") as peer:
        error = await opening(peer, "imap+starttls")
    assert isinstance(error, ProtocolError)
    assert peer.received == b""


async def test_what_was_offered_before_tls_does_not_count_after_it(authority: Authority) -> None:
    after = "C: {tag} CAPABILITY\nS: * CAPABILITY IMAP4rev1 LOGINDISABLED\nS: {tag} OK\n"
    async with Script(TO_TLS + "S: {tag} OK begin\nstarttls\n" + after, starttls=authority.server) as peer:
        error = await opening(peer, "imap+starttls", tls=authority.client())
    assert isinstance(error, AuthenticationError)
    assert b"AUTHENTICATE" not in peer.received
    assert b"LOGIN" not in peer.received


@pytest.mark.parametrize("fault", ["expired", "wrong host", "untrusted"])
@pytest.mark.parametrize("scheme", ["imaps", "imap+starttls"])
async def test_a_bad_certificate_is_refused_before_a_secret_is_sent(
    authority: Authority, scheme: str, fault: str
) -> None:
    bad = authority.bad_servers[fault]
    talk = GREETED + SIGNED_IN if scheme == "imaps" else TO_TLS + "S: {tag} OK begin\nstarttls\n" + ASKED + SIGNED_IN
    options: dict[str, ssl.SSLContext] = {"tls": bad} if scheme == "imaps" else {"starttls": bad}
    async with Script(talk, check=False, **options) as peer:  # type: ignore[arg-type]
        error = await opening(peer, scheme, tls=authority.client())
    assert isinstance(error, TLSError)
    assert not error.transient
    assert b"AUTHENTICATE" not in peer.received


async def test_a_server_that_does_not_speak_tls_is_a_tls_error() -> None:
    async with Script("S: * OK plain\nsilence", check=False) as peer:
        assert isinstance(await opening(peer, "imaps"), TLSError)


async def test_a_server_that_leaves_during_the_handshake_is_noticed_at_once(authority: Authority) -> None:
    async with Script("until \\x03\ncut", check=False) as peer:
        assert isinstance(await opening(peer, "imaps", tls=authority.client()), ConnectError)
    async with Script(TO_TLS + "S: {tag} OK begin\nuntil \\x03\ncut", check=False) as peer:
        assert isinstance(await opening(peer, "imap+starttls", tls=authority.client()), NetError)


# What is refused before a byte is sent


async def test_a_secret_over_plaintext_is_refused_before_connecting() -> None:
    with pytest.raises(UsageError, match="imaps://"):
        imap.session("imap://mail.example.org", ALICE)
    imap.session("imap://mail.example.org", ALICE, allow_plaintext_login=True)
    imap.session("imap+starttls://mail.example.org", ALICE)
    with pytest.raises(UsageError):
        imap.session("pop3s://mail.example.org", ALICE)
    with pytest.raises(UsageError):
        imap.session("imaps://bob@mail.example.org", ALICE)


def test_the_wing_loads_without_aioimaplib() -> None:
    code = "import asyncnet.imap, sys; assert 'aioimaplib' not in sys.modules; assert callable(asyncnet.imap.session)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_without_aioimaplib_the_first_use_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncnet.imap.wire", raising=False)
    monkeypatch.setitem(sys.modules, "aioimaplib", None)
    async with Script() as peer:
        with pytest.raises(UsageError, match=r"pip install 'asyncnet\[imap\]'"):
            await imap.session(url(peer), Credentials("a", "b")).open()
        with pytest.raises(UsageError, match="GPL"):
            await imap.fetch(url(peer), Credentials("a", "b"))


async def test_a_proxy_is_asked_for_the_way() -> None:
    for kind, scheme in ((SocksProxy, "socks5"), (ConnectProxy, "http")):
        async with (
            Script(GREETED + SIGNED_IN + LEFT) as peer,
            kind() as way,
            imap.session(url(peer), ALICE, proxy=f"{scheme}://{way.address}", allow_plaintext_login=True),
        ):
            assert way.connections == 1
