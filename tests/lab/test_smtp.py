"""The lab's SMTP by the letter of RFC 5321 and its extensions, spoken to by a bare socket."""

import asyncio
import base64
import contextlib
import random

import pytest

from asyncnet import Credentials, ProtocolError, smtp
from asyncnet.lab import Lab
from asyncnet.lab.envelope import BadPath, DataReader, Path
from tests.lab.raw import Raw, raw

ENVELOPE = (b"EHLO me", b"MAIL FROM:<a@example.com>", b"RCPT TO:<me@example.org>")


async def envelope(client: Raw, *more: bytes) -> None:
    for line in (*ENVELOPE, *more):
        assert (await client.ask(line))[:3] == b"250"


async def codes(client: Raw, *lines: bytes) -> list[int]:
    return [int((await client.ask(line))[:3]) for line in lines]


# Who speaks when (RFC 5321 §4.1.4).


async def test_ehlo_lists_what_is_offered(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        lines = (await client.ask(b"EHLO me.example.com")).split(b"\r\n")[:-1]
    assert {line[4:] for line in lines[1:]} == {
        b"PIPELINING",
        b"SIZE 52428800",
        b"8BITMIME",
        b"SMTPUTF8",
        b"CHUNKING",
        b"DSN",
        b"ENHANCEDSTATUSCODES",
        b"STARTTLS",
        b"AUTH SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER",
    }
    assert all(line[3:4] == b"-" for line in lines[:-1])
    assert lines[-1][3:4] == b" "


async def test_helo_offers_nothing_and_takes_no_parameters(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        assert (await client.ask(b"HELO me")).count(b"\r\n") == 1
        assert await codes(client, b"MAIL FROM:<a@b.org> SIZE=1", b"AUTH PLAIN AA==", b"MAIL FROM:<a@b.org>") == [
            555,
            503,
            250,
        ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"MAIL FROM:<a@b.org>",), [503]),
        ((b"EHLO me", b"RCPT TO:<me@example.org>"), [250, 503]),
        ((b"EHLO me", b"DATA"), [250, 503]),
        ((*ENVELOPE[:2], b"DATA"), [250, 250, 554]),
        ((*ENVELOPE[:2], b"MAIL FROM:<a@b.org>"), [250, 250, 503]),
        ((*ENVELOPE, b"RSET", b"DATA"), [250, 250, 250, 250, 503]),
        ((*ENVELOPE, b"EHLO again", b"DATA"), [250, 250, 250, 250, 503]),  # §4.1.4: EHLO is a RSET
        ((*ENVELOPE, b"NOOP anything", b"VRFY me", b"HELP", b"DATA"), [250, 250, 250, 250, 252, 214, 354]),
        ((b"EHLO", b"HELO ", b"VRFY", b"EXPN x", b"NONSENSE", b""), [501, 501, 501, 502, 500, 500]),
        ((b"EHLO me", b"RSET x", b"DATA x", b"STARTTLS x"), [250, 501, 501, 501]),
        ((b"NOOP", b"RSET", b"HELP", b"VRFY me"), [250, 250, 214, 252]),  # need no EHLO
        ((b"ehlo me", b"mail from:<a@b.org>", b"Rcpt To:<me@example.org>", b"rset"), [250, 250, 250, 250]),
    ],
    ids=lambda value: "" if isinstance(value, list) else b" ".join(line[:9] for line in value).decode(),
)
async def test_the_order_of_commands(lab: Lab, lines: tuple[bytes, ...], expected: list[int]) -> None:
    async with raw(lab.smtp.port) as client:
        assert await codes(client, *lines) == expected


async def test_quit_says_bye_and_closes(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.send(b"QUIT\r\n")
        assert (await client.read_to_end()).startswith(b"221 2.0.0 ")


async def test_too_many_errors_end_it(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.send(b"X\r\n" * 200)
        lines = (await client.read_to_end()).splitlines()
    assert lines[-1].startswith(b"421 ")
    assert len(lines) == 101


# Addresses and parameters.


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"FROM:<>", ""),
        (b"from:<a@b.org>", "a@b.org"),
        (b"FROM:<@relay.org,@other.org:a@b.org>", "a@b.org"),  # appendix C
        (b'FROM:<"a b\\"c"@b.org>', '"a b\\"c"@b.org'),
        (b"FROM:<a.b+c/d@x-y.b.org>", "a.b+c/d@x-y.b.org"),
        (b"FROM:<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        (b"FROM:<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        (b"FROM:<a@localhost>", "a@localhost"),
        ("FROM:<grün@müller.example>".encode(), "grün@müller.example"),
    ],
)
def test_a_path_is_taken_apart(argument: bytes, address: str) -> None:
    assert Path.parse("FROM", argument) == Path(address)


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"FROM",
        b"FROM:a@b.org",
        b"FROM: <a@b.org>",
        b"FROM :<a@b.org>",
        b"TO:<a@b.org>",
        b"FROM:<a@b.org",
        b"FROM:<a>",
        b"FROM:<postmaster>",
        b"FROM:<a@b@c.org>",
        b"FROM:<a b@c.org>",
        b"FROM:<.a@c.org>",
        b"FROM:<a..b@c.org>",
        b"FROM:<a@-c.org>",
        b"FROM:<a@c..org>",
        b"FROM:<a@c.org>SIZE=1",
        b"FROM:<a@c.org>  SIZE=1",
        b"FROM:<a@c.org> SIZE=",
        b"FROM:<a@c.org> SIZE=1 size=2",
        b"FROM:<a@c.org> =1",
        b"FROM:<\xff@c.org>",
        b"FROM:<a@c\x00.org>",
        b"FROM:<" + b"a" * 400 + b"@c.org>",
    ],
)
def test_what_is_no_path_is_refused_with_501(argument: bytes) -> None:
    with pytest.raises(BadPath) as caught:
        Path.parse("FROM", argument)
    assert caught.value.reply.startswith(b"501 5.")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<a@b.org> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2B1", 250),
        (b"MAIL FROM:<a@b.org> SMTPUTF8 BODY=7bit AUTH=<>", 250),
        (b"MAIL FROM:<a@b.org> SIZE=99999999", 552),
        (b"MAIL FROM:<a@b.org> SIZE=x", 501),
        (b"MAIL FROM:<a@b.org> BODY=BINARYMIME", 501),
        (b"MAIL FROM:<a@b.org> SMTPUTF8=yes", 501),
        (b"MAIL FROM:<a@b.org> RET=ALL", 501),
        (b"MAIL FROM:<a@b.org> HOLDFOR=1", 555),
        ("MAIL FROM:<grün@b.org>".encode(), 553),
        ("MAIL FROM:<grün@b.org> SMTPUTF8".encode(), 250),
    ],
)
async def test_the_parameters_of_mail(lab: Lab, line: bytes, code: int) -> None:
    async with raw(lab.smtp.port) as client:
        assert await codes(client, b"EHLO me", line) == [250, code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"RCPT TO:<me@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;me@example.org", 250),
        (b"RCPT TO:<me@example.org> NOTIFY=NEVER,DELAY", 501),
        (b"RCPT TO:<me@example.org> NOTIFY=PERHAPS", 501),
        (b"RCPT TO:<me@example.org> SIZE=1", 555),
        (b"RCPT TO:<Me+tag@EXAMPLE.org>", 250),
        (b"RCPT TO:<nobody@example.org>", 550),
        (b"RCPT TO:<anybody@elsewhere.example>", 250),
        (b"RCPT TO:<postmaster>", 250),
        (b"RCPT TO:<Postmaster@example.org>", 250),
        (b"RCPT TO:<>", 501),
        ("RCPT TO:<grün@elsewhere.example>".encode(), 553),
    ],
)
async def test_who_is_a_recipient(lab: Lab, line: bytes, code: int) -> None:
    async with raw(lab.smtp.port) as client:
        assert await codes(client, *ENVELOPE[:2], line) == [250, 250, code]


async def test_a_thousand_recipients_and_no_more(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await codes(client, *ENVELOPE[:2])
        await client.send(b"".join(b"RCPT TO:<%d@elsewhere.example>\r\n" % number for number in range(1001)))
        replies = [await client.read_reply() for _ in range(1001)]
    assert {reply[:3] for reply in replies[:1000]} == {b"250"}
    assert replies[1000].startswith(b"452 4.5.3 ")


# DATA.


def test_data_is_read_alike_however_it_is_cut() -> None:
    stream = b"a\r\n..b\r\n.\nx\r\n\r\n.c\r\n.\r\nNEXT\r\n"
    content, rest = b"a\r\n.b\r\n\nx\r\n\r\nc\r\n", b"NEXT\r\n"
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            reader, left = DataReader(1000), None
            for piece in (stream[:first], stream[first:second], stream[second:]):
                left = reader.feed(piece) if left is None else left + piece
            assert (reader.content(), left) == (content, rest)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".x\r\n...\r\n.\r\n", b"x\r\n..\r\n"),
        (b"Subject: x\r\n\r\n\xff\x00\r\n.\r\n", b"Subject: x\r\n\r\n\xff\x00\r\n"),
        (b"x" * 100_000 + b"\r\n.\r\n", b"x" * 100_000 + b"\r\n"),
    ],
    ids=["nothing", "an empty line", "a dot", "dots", "8-bit and NUL", "a long line"],
)
async def test_data_is_kept_byte_for_byte(lab: Lab, sent: bytes, kept: bytes) -> None:
    async with raw(lab.smtp.port) as client:
        await envelope(client)
        assert (await client.ask(b"DATA"))[:3] == b"354"
        await client.send(sent)
        assert (await client.read())[:3] == b"250"
    [mail] = lab.sent
    assert mail.raw == kept
    assert lab.mailbox("me").messages[0].raw.endswith(kept)


@pytest.mark.parametrize("smuggled", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r"])
async def test_only_crlf_dot_crlf_ends_a_mail_and_bare_line_ends_are_refused(lab: Lab, smuggled: bytes) -> None:
    second = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<me@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
    async with raw(lab.smtp.port) as client:
        await envelope(client, *[b"NOOP"])
        await client.ask(b"DATA")
        await client.send(b"Subject: x\r\n\r\nx" + smuggled + second + b"\r\n.\r\nNOOP\r\n")
        assert (await client.read()).startswith(b"550 5.6.0 ")
        assert (await client.read())[:3] == b"250"  # NOOP
        assert client.received == b""
    assert len(lab.sent) == 0


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\rRSET\r\n", b"RSET\r\r\n"])
async def test_bare_line_ends_in_a_command_are_refused(lab: Lab, line: bytes) -> None:
    async with raw(lab.smtp.port) as client:
        await client.send(line)
        assert (await client.read()).startswith(b"500 5.5.2 ")
        assert await codes(client, b"NOOP") == [250]


async def test_a_line_that_is_too_long_is_refused_and_the_next_one_taken(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        for size in (5_000, 20_000, 500_000):
            await client.send(b"NOOP " + b"x" * size + b"\r\n")
            assert (await client.read())[:3] == b"500"
        assert await codes(client, b"NOOP") == [250]


async def test_a_line_without_end_is_not_waited_for(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(20):
                await client.send(b"x" * 100_000)
                await asyncio.sleep(0)
        assert await client.read_to_end() == b""  # the client sends nothing more, and is not waited for
    await lab.until(lambda: lab.dialogues[-1].ended)


async def test_a_message_that_is_too_big_is_read_to_its_end_and_refused() -> None:
    async with Lab(max_message_bytes=1000) as lab, raw(lab.smtp.port) as client:
        for size, code in ((998, b"250"), (999, b"552")):
            await envelope(client)
            await client.ask(b"DATA")
            await client.send(b"x" * size + b"\r\n.\r\n")
            assert (await client.read())[:3] == code
        await envelope(client)
        await client.ask(b"DATA")
        await client.send(b"x" * 300_000 + b"\r\n.\r\nNOOP\r\n")
        assert (await client.read()).startswith(b"552 5.3.4 ")
        assert (await client.read())[:3] == b"250"
        assert len(lab.sent) == 1


async def test_a_full_store_is_452_and_nobody_gets_half() -> None:
    async with Lab(accounts={"me": "s", "you": "s"}, max_bytes=1500) as lab, raw(lab.smtp.port) as client:
        await envelope(client, b"RCPT TO:<you@example.org>")
        await client.ask(b"DATA")
        await client.send(b"x" * 700 + b"\r\n.\r\n")
        assert (await client.read()).startswith(b"452 4.3.1 ")
        assert (len(lab.sent), lab.store.count) == (0, 0)


# PIPELINING (RFC 2920) and CHUNKING (RFC 3030).


async def test_pipelined_commands_are_answered_in_order(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.send(b"MAIL FROM:<a@b.org>\r\nRCPT TO:<me@example.org>\r\nRCPT TO:<no@example.org>\r\nDATA\r\n")
        assert [(await client.read())[:3] for _ in range(4)] == [b"250", b"250", b"550", b"354"]
        await client.send(b"x\r\n.\r\nMAIL FROM:<b@b.org>\r\nRCPT TO:<no@example.org>\r\nDATA\r\nRSET\r\nQUIT\r\n")
        lines = (await client.read_to_end()).splitlines()
    assert [line[:3] for line in lines] == [b"250", b"250", b"550", b"554", b"250", b"221"]
    assert [mail.recipients for mail in lab.sent] == [("me@example.org",)]


async def test_a_session_is_read_alike_however_it_is_cut(lab: Lab) -> None:
    whole = b"\r\n".join(ENVELOPE) + b"\r\nBDAT 4\r\na\r\nbBDAT 2 LAST\r\n\r\nMAIL FROM:<b@b.org>\r\nQUIT\r\n"
    randomly = random.Random(7)
    for _ in range(20):
        cuts = sorted(randomly.sample(range(len(whole)), 6))
        async with raw(lab.smtp.port) as client:
            for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                await client.send(whole[start:stop])
                await asyncio.sleep(0)
            lines = [line[:4] for line in (await client.read_to_end()).splitlines()]
        assert lines[-6:] == [b"250 ", b"250 ", b"250 ", b"250 ", b"250 ", b"221 "]
    assert {mail.raw for mail in lab.sent} == {b"a\r\nb\r\n"}
    assert len(lab.sent) == 20


async def test_bdat_takes_chunks_up_to_the_last(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await envelope(client)
        await client.send(b"BDAT 6\r\n.one\r\nBDAT 7 last\r\n.\r\n.x\r\n")
        assert [(await client.read())[:3] for _ in range(2)] == [b"250", b"250"]
        await envelope(client)
        await client.send(b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\n")
        assert [(await client.read())[:3] for _ in range(2)] == [b"250", b"250"]
    assert [mail.raw for mail in lab.sent] == [b".one\r\n.\r\n.x\r\n", b"x\r\n"]


async def test_a_refused_chunk_is_read_all_the_same(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.send(b"EHLO me\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n")
        await client.read_reply()
        assert [(await client.read())[:3] for _ in range(2)] == [b"503", b"250"]
        await client.send(b"MAIL FROM:<a@b.org>\r\nRCPT TO:<no@example.org>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [(await client.read())[:3] for _ in range(4)] == [b"250", b"550", b"554", b"250"]
        await envelope(client)
        await client.send(b"BDAT 3\r\nx\r\nDATA\r\nRSET\r\n")  # RFC 3030 §2: not both
        assert [(await client.read())[:3] for _ in range(3)] == [b"250", b"503", b"250"]
    assert len(lab.sent) == 0


async def test_chunks_that_are_too_big_together_are_refused_until_the_end() -> None:
    async with Lab(max_message_bytes=1000) as lab, raw(lab.smtp.port) as client:
        await envelope(client)
        chunk = b"x" * 598 + b"\r\n"
        await client.send(b"BDAT 600\r\n" + chunk + b"BDAT 600\r\n" + chunk + b"BDAT 600 LAST\r\n" + chunk)
        assert [(await client.read())[:3] for _ in range(3)] == [b"250", b"552", b"503"]
        await envelope(client)  # and the next mail is welcome
        await client.send(b"BDAT 600 LAST\r\n" + chunk)
        assert (await client.read())[:3] == b"250"
        assert len(lab.sent) == 1


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 LAST x", b"BDAT 9999999999999999999"])
async def test_a_chunk_without_a_size_ends_it(lab: Lab, line: bytes) -> None:
    async with raw(lab.smtp.port) as client:
        await client.send(line + b"\r\n")
        assert (await client.read_to_end()).startswith(b"501 ")


async def test_bare_line_ends_in_chunks_are_refused(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await envelope(client)
        await client.send(b"BDAT 4 LAST\r\na\nb\n")
        assert (await client.read()).startswith(b"550 5.6.0 ")


# TLS (RFC 3207) and AUTH (RFC 4954).


async def test_what_comes_with_starttls_is_not_taken_for_secure(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.send(b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
        assert (await client.read_to_end()).startswith(b"554 5.5.1 ")


async def test_after_starttls_nothing_is_remembered(lab: Lab) -> None:
    credentials = lab.credentials
    async with smtp.session(lab.smtp.starttls_url, credentials, tls=lab.tls):
        pass
    talk = str(lab.dialogues[-1])
    assert talk.count("EHLO") == 2
    assert talk.index("STARTTLS\n") < talk.index("!: TLS") < talk.index("AUTH SCRAM-SHA-256 (a secret)")
    assert "secret of" not in talk


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
async def test_our_client_signs_in_by_each_mechanism(lab: Lab, mechanism: str) -> None:
    async with smtp.session(lab.smtp.url, lab.credentials_of("you", mechanism=mechanism)):
        assert lab.dialogues[-1].username == "you"
    with pytest.raises(Exception, match="535"):
        async with smtp.session(lab.smtp.url, Credentials("you", "wrong", mechanism=mechanism)):
            pass


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_our_client_signs_in_by_a_token(lab: Lab, mechanism: str) -> None:
    async with smtp.session(lab.smtp.url, lab.credentials_of(token=True, mechanism=mechanism)):
        assert lab.dialogues[-1].username == "me"
    with pytest.raises(Exception, match=r"535|invalid_token"):
        async with smtp.session(lab.smtp.url, Credentials("me", lambda: "stale", mechanism=mechanism)):
            pass


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"AUTH PLAIN",), [503]),  # RFC 4954 §4: after EHLO only
        ((b"EHLO me", b"AUTH", b"AUTH NTLM", b"AUTH PLAIN x y"), [250, 501, 504, 504]),
        ((b"EHLO me", b"AUTH PLAIN !!!", b"AUTH PLAIN QQ==", b"AUTH PLAIN ="), [250, 501, 501, 501]),
        ((b"EHLO me", b"AUTH PLAIN", b"*", b"NOOP"), [250, 334, 501, 250]),
        ((b"EHLO me", b"AUTH LOGIN bWU=", b"c2VjcmV0", b"AUTH LOGIN"), [250, 334, 235, 503]),
        ((*ENVELOPE[:2], b"AUTH LOGIN"), [250, 250, 503]),
        ((b"EHLO me", b"AUTH PLAIN " + base64.b64encode(b"you\0me\0secret")), [250, 535]),
        ((b"EHLO me", b"AUTH PLAIN " + base64.b64encode(b"\0me\0\xff")), [250, 501]),
    ],
    ids=range(8),
)
async def test_auth_by_hand(lab: Lab, lines: tuple[bytes, ...], expected: list[int]) -> None:
    async with raw(lab.smtp.port) as client:
        assert await codes(client, *lines) == expected


async def test_where_a_login_and_tls_are_required_nothing_goes_without() -> None:
    async with Lab(require_login=True, require_tls=True) as lab:
        async with raw(lab.smtp.port) as client:
            assert b"AUTH" not in await client.ask(b"EHLO me")
            assert await codes(client, b"AUTH PLAIN AG1lAHNlY3JldA==", b"MAIL FROM:<a@b.org>") == [538, 530]
        mail = b"Subject: x\r\n\r\nx\r\n"
        to = {"sender": "a@b.org", "recipients": ["me@example.org"]}
        await smtp.send(mail, lab.smtp.starttls_url, lab.credentials, tls=lab.tls, **to)
        [sent] = lab.sent
        assert (sent.username, sent.is_tls) == ("me", True)


# What the lab knows afterwards.


async def test_the_envelope_is_kept(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await codes(client, b"EHLO me", b"MAIL FROM:<a@b.org> RET=FULL ENVID=e1 SMTPUTF8")
        await codes(
            client, b"RCPT TO:<you@example.org> NOTIFY=NEVER", "RCPT TO:<grün@elsewhere.example>".encode(), b"DATA"
        )
        await client.send("Subject: grün\r\n\r\nx\r\n.\r\n".encode())
        await client.read()
    [mail] = lab.sent
    assert (mail.sender, mail.recipients, mail.helo) == ("a@b.org", ("you@example.org", "grün@elsewhere.example"), "me")
    assert mail.options == {"RET": "FULL", "ENVID": "e1", "SMTPUTF8": ""}
    assert mail.recipient_options["you@example.org"] == {"NOTIFY": "NEVER"}
    assert (mail.parse()["Subject"], mail.is_tls, mail.username) == ("grün", False, None)
    kept = lab.mailbox("you").messages[0].raw
    assert kept.startswith(b"Return-Path: <a@b.org>\r\nReceived: from me (127.0.0.1:")
    assert b"with UTF8SMTP;" in kept
    assert kept.endswith(mail.raw)


async def test_a_client_that_breaks_the_rules_of_tls_harms_nobody(lab: Lab) -> None:
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.ask(b"STARTTLS")
        await client.send(b"this is no TLS at all\r\n" * 10)
        await client.read_to_end()
    async with raw(lab.smtp.port) as client:
        assert await codes(client, b"NOOP") == [250]
    with pytest.raises(ProtocolError):
        async with smtp.session(lab.pop3.url.replace("pop3", "smtp")):
            pass
