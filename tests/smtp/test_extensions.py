"""DSN, REQUIRETLS and LMTP: asked for where offered, refused where not, and nobody's answer is another's."""

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from asyncnet import DisconnectedError, ProtocolError, RecipientsRefused, RefusedError, UsageError, smtp
from asyncnet.smtp import Mail
from asyncnet.smtp.dsn import Wishes, xtext
from tests.peers import Authority, Script
from tests.peers.talk import Over, Talk
from tests.peers.wire import Wire
from tests.smtp.office import Office
from tests.smtp.talks import ENVELOPE, LEFT, NOTE, RECIPIENT, SENDER, greeted, hello, session, url

DSN = {"notify": ["success", "failure"], "ret": "full", "envid": "a+b=c d", "orcpt": {RECIPIENT: "b+x@example.org"}}


async def test_dsn_is_asked_for_as_wished() -> None:
    office = Office()
    async with Script(office, repeat=True, check=False) as peer, session(peer) as outgoing:
        await outgoing.send(NOTE, **ENVELOPE, **DSN)  # type: ignore[arg-type]
    assert b"MAIL FROM:<alice@example.org> SIZE=33 BODY=8BITMIME RET=FULL ENVID=a+2Bb+3Dc+20d".replace(
        b" BODY=8BITMIME", b""
    ) in [line.replace(b" SIZE=%d" % len(NOTE), b" SIZE=33") for line in office.lines]
    assert b"RCPT TO:<bob@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bx@example.org" in office.lines


@pytest.mark.parametrize(
    "wish", [{"notify": "never"}, {"ret": "headers"}, {"envid": "x"}, {"orcpt": {RECIPIENT: "b@x"}}]
)
async def test_a_server_without_dsn_hears_nothing(wish: dict[str, object]) -> None:
    async with Script(greeted("SIZE") + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="no DSN"):
            await outgoing.send(NOTE, **ENVELOPE, **wish)  # type: ignore[arg-type]
        assert outgoing.is_open


@pytest.mark.parametrize(
    "wrong",
    [
        {"notify": "sometimes"},
        {"notify": ["never", "delay"]},
        {"ret": "half"},
        {"envid": ""},
        {"envid": "x" * 101},
        {"envid": "a\r\nRCPT TO:<m@x>"},
        {"envid": "ü"},
        {"orcpt": {"somebody@x.org": "a@x.org"}},
        {"orcpt": {RECIPIENT: "a\r\nb@x.org"}},
        {"orcpt": {RECIPIENT: ""}},
        {"size": -1},
    ],
    ids=repr,
)
async def test_a_wish_that_is_none_is_told_before_a_byte_is_sent(wrong: dict[str, object]) -> None:
    async with Script(greeted("DSN") + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError):
            await outgoing.send(NOTE, **ENVELOPE, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        await smtp.send(NOTE, "smtp://127.0.0.1:1", **ENVELOPE, **wrong)  # type: ignore[arg-type]


def test_an_original_recipient_may_be_in_any_script() -> None:
    wishes = Wishes.of((), None, None, {"a@x": "jürgen+x@example.org"}, ["a@x"])
    assert wishes.of_rcpt("a@x", utf8=True) == " ORCPT=utf-8;jürgen\\x{2B}x@example.org".encode()
    assert wishes.of_rcpt("a@x", utf8=False) == b" ORCPT=utf-8;j\\x{FC}rgen\\x{2B}x@example.org"
    assert xtext(b"a b+=~\x7f") == b"a+20b+2B+3D~+7F"


async def test_tls_is_required_of_all_only_where_that_is_offered_and_this_is_tls(authority: Authority) -> None:
    talk = "S: 220 hi\nC: EHLO *\nS: 250-x\nS: 250 REQUIRETLS\nC: MAIL FROM:<alice@example.org> REQUIRETLS\nS: 250 ok\n"
    talk += "C: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nuntil \\r\\n.\\r\\n\nS: 250 ok\n" + LEFT
    async with Script(talk, tls=authority.server) as peer:
        await smtp.send(NOTE, url(peer, "smtps"), **ENVELOPE, require_tls=True, tls=authority.client())
    for offered in ("REQUIRETLS", "SIZE"):  # the first without TLS
        async with Script(greeted(offered) + LEFT) as peer, session(peer) as outgoing:
            with pytest.raises(RefusedError, match="no REQUIRETLS"):
                await outgoing.send(NOTE, **ENVELOPE, require_tls=True)


# LMTP, RFC 2033.

LHLO = hello("PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES").replace("EHLO", "LHLO")
THREE = ["a@x.org", "b@x.org", "c@x.org"]
TO_THREE = "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\n"
TO_THREE += "S: 354 go on\nuntil \\r\\n.\\r\\n\n"


async def test_after_the_message_each_has_a_reply_of_his_own() -> None:
    talk = "S: 220 hi\n" + LHLO + TO_THREE + "S: 250 2.0.0 delivered\nS: 452 4.2.2 full\n" + LEFT
    async with Script(talk) as peer, smtp.session(url(peer, "lmtp")) as outgoing:
        receipt = await outgoing.send(NOTE, sender=SENDER, recipients=THREE)
    assert receipt.accepted == ("a@x.org",)
    assert receipt.refused == {"b@x.org": (550, "5.1.1 no"), "c@x.org": (452, "4.2.2 full")}
    assert receipt.text == "2.0.0 delivered"


async def test_delivered_to_nobody_is_an_error() -> None:
    talk = "S: 220 hi\n" + LHLO + TO_THREE + "S: 452 4.2.2 full\nS: 452 4.2.2 full\nC: RSET\nS: 250 ok\n" + LEFT
    async with Script(talk) as peer, smtp.session(url(peer, "lmtp")) as outgoing:
        with pytest.raises(RecipientsRefused) as caught:
            await outgoing.send(NOTE, sender=SENDER, recipients=THREE)
        assert set(caught.value.refused) == set(THREE)


async def test_a_link_lost_between_the_replies_tells_who_has_it_and_who_may() -> None:
    async with Script("S: 220 hi\n" + LHLO + TO_THREE + "S: 250 2.0.0 delivered\ncut") as peer:
        async with smtp.session(url(peer, "lmtp")) as outgoing:
            with pytest.raises(DisconnectedError) as caught:
                await outgoing.send(NOTE, sender=SENDER, recipients=THREE)
    assert caught.value.outcome_unknown
    known = smtp.receipt_of(caught.value)
    assert known is not None
    assert (known.accepted, list(known.refused), known.unknown) == (("a@x.org",), ["b@x.org"], ("c@x.org",))


async def test_a_go_ahead_for_nobody_breaks_the_protocol() -> None:
    talk = "S: 220 hi\n" + LHLO + "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 550 no\nS: 354 go on\nsilence"
    async with Script(talk) as peer, smtp.session(url(peer, "lmtp")) as outgoing:
        with pytest.raises(ProtocolError, match="for nobody"):
            await outgoing.send(NOTE, **ENVELOPE)


async def test_many_go_by_lmtp_too() -> None:
    office = Office(lmtp=True, rcpt=lambda address: "550 no" if address == "b@x.org" else "250 ok")
    async with Script(office, repeat=True, check=False) as peer, smtp.session(url(peer, "lmtp")) as outgoing:
        mails = [Mail(NOTE, SENDER, THREE), Mail(NOTE, SENDER, ["b@x.org"]), Mail(NOTE, SENDER, ["a@x.org"])]
        found = [one async for one in outgoing.send_many(mails)]
    assert [one.receipt.accepted if one.receipt else one.error.code for one in found] == [  # type: ignore[attr-defined,union-attr]
        ("a@x.org", "c@x.org"),
        550,
        ("a@x.org",),
    ]


async def test_lmtp_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        office = Office(lmtp=True)
        stage = Script(check=False)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                with contextlib.suppress(Over):
                    office(Talk(Wire(connection, 10.0), stage, {}))

        thread = threading.Thread(target=serve)
        thread.start()
        receipt = await smtp.send(NOTE, "lmtp://localhost", **ENVELOPE, unix_socket=path)
        thread.join()
    assert receipt.accepted == (RECIPIENT,)
    assert office.taken[0].data == NOTE
    assert office.lines[0] == b"LHLO [127.0.0.1]"


def test_a_unix_socket_is_reached_through_no_proxy() -> None:
    with pytest.raises(UsageError):
        smtp.session("lmtp://localhost", unix_socket="/x", proxy="socks5://localhost:1080")
