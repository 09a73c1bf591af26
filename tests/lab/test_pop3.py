"""The lab's POP3 by the letter of RFC 1939 and its extensions, spoken to by a bare socket and by our own client."""

import hashlib
import re

import pytest

from asyncnet import Credentials, pop3
from asyncnet.lab import Lab
from tests.lab.raw import Raw, raw

FIRST = b"Subject: first\r\n\r\nline 1\r\n.line 2\r\n..\r\n"
SECOND = b"Subject: second\r\n\r\n\xff\x00 8-bit\r\n"


async def drop(lab: Lab, *mails: bytes) -> None:
    for mail in mails or (FIRST, SECOND):
        lab.deliver(mail)


async def sign_in(client: Raw) -> bytes:
    await client.ask(b"USER me")
    return await client.ask(b"PASS secret")


async def answers(client: Raw, *lines: bytes) -> list[bytes]:
    return [await client.ask(line) for line in lines]


async def listing(client: Raw, line: bytes) -> list[bytes]:
    await client.send(line + b"\r\n")
    assert (await client.read()).startswith(b"+OK")
    lines = []
    while (line := await client.read()) != b".\r\n":
        lines.append(line[:-2])
    return lines


async def test_the_maildrop_is_told_as_it_is(lab: Lab) -> None:
    await drop(lab)
    async with raw(lab.pop3.port) as client:
        assert await sign_in(client) == b"+OK 2 messages\r\n"
        assert await client.ask(b"STAT") == b"+OK 2 %d\r\n" % (len(FIRST) + len(SECOND))
        assert await listing(client, b"LIST") == [b"1 %d" % len(FIRST), b"2 %d" % len(SECOND)]
        assert await client.ask(b"LIST 2") == b"+OK 2 %d\r\n" % len(SECOND)
        unique = await listing(client, b"UIDL")
        assert [line.split()[0] for line in unique] == [b"1", b"2"]
        assert all(re.fullmatch(rb"\d [!-~]{1,70}", line) for line in unique)
        assert await client.ask(b"UIDL 2") == b"+OK " + unique[1] + b"\r\n"


async def test_retr_stuffs_dots_and_keeps_every_byte(lab: Lab) -> None:
    await drop(lab)
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await client.send(b"RETR 1\r\nRETR 2\r\n")
        assert await client.read(b"\r\n.\r\n") == (
            b"+OK %d octets\r\nSubject: first\r\n\r\nline 1\r\n..line 2\r\n...\r\n.\r\n" % len(FIRST)
        )
        assert await client.read(b"\r\n.\r\n") == b"+OK %d octets\r\n%s.\r\n" % (len(SECOND), SECOND)


@pytest.mark.parametrize(
    ("mail", "lines", "top"),
    [
        (FIRST, 0, b"Subject: first\r\n\r\n"),
        (FIRST, 1, b"Subject: first\r\n\r\nline 1\r\n"),
        (FIRST, 2, b"Subject: first\r\n\r\nline 1\r\n.line 2\r\n"),
        (FIRST, 3, FIRST),
        (FIRST, 999_999_999, FIRST),
        (b"Subject: x\r\n", 5, b"Subject: x\r\n"),
        (b"Subject: x\r\n\r\n", 5, b"Subject: x\r\n\r\n"),
        (b"\r\nbody\r\nmore\r\n", 0, b"\r\n"),
        (b"\r\nbody\r\nmore\r\n", 1, b"\r\nbody\r\n"),
        (b"\r\n\r\nbody\r\n", 1, b"\r\n\r\n"),
    ],
)
async def test_top_gives_the_header_and_so_many_lines(lab: Lab, mail: bytes, lines: int, top: bytes) -> None:
    await drop(lab, mail)
    async with pop3.session(lab.pop3.url, lab.credentials) as maildrop:
        assert (await maildrop.top(1, lines)).raw == top


async def test_an_empty_message_and_one_without_a_last_line_end(lab: Lab) -> None:
    lab.mailbox().append(b"")
    lab.mailbox().append(b"Subject: x\r\n\r\nends here")  # as APPEND of IMAP may leave it
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        assert await listing(client, b"LIST") == [b"1 0", b"2 25"]
        assert await listing(client, b"RETR 1") == []
        await client.send(b"RETR 2\r\n")
        assert await client.read(b"\r\n.\r\n") == b"+OK 25 octets\r\nSubject: x\r\n\r\nends here\r\n.\r\n"


async def test_what_is_deleted_is_gone_for_the_session_and_goes_at_quit(lab: Lab) -> None:
    await drop(lab, *[b"Subject: %d\r\n\r\n" % number for number in range(1, 5)])
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await answers(client, b"DELE 2", b"DELE 4")
        assert (await client.ask(b"STAT")).startswith(b"+OK 2 ")
        assert [line[:1] for line in await listing(client, b"LIST")] == [b"1", b"3"]
        for line in (b"DELE 2", b"LIST 2", b"UIDL 2", b"RETR 2", b"TOP 2 0"):
            assert (await client.ask(line)).startswith(b"-ERR")
        assert len(lab.mailbox()) == 4
        await client.send(b"QUIT\r\n")
        assert (await client.read_to_end()).startswith(b"+OK")
    assert [message.uid for message in lab.mailbox()] == [1, 3]


@pytest.mark.parametrize("how", ["rset", "lost"])
async def test_without_quit_nothing_goes(lab: Lab, how: str) -> None:
    await drop(lab)
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await answers(client, b"DELE 1", b"DELE 2")
        if how == "rset":
            assert await client.ask(b"RSET") == b"+OK 2 messages\r\n"
            assert (await client.ask(b"STAT")).startswith(b"+OK 2 ")
            await client.ask(b"QUIT")
    await lab.until(lambda: not lab.account().maildrop_locked)
    assert len(lab.mailbox()) == 2


async def test_the_maildrop_is_held_by_one_at_a_time(lab: Lab) -> None:
    async with raw(lab.pop3.port) as first, raw(lab.pop3.port) as second:
        await sign_in(first)
        assert (await sign_in(second)).startswith(b"-ERR [IN-USE] ")
        await first.send(b"QUIT\r\n")
        await first.read_to_end()
        assert (await sign_in(second)).startswith(b"+OK")


async def test_a_session_sees_the_maildrop_as_it_was_at_login(lab: Lab) -> None:
    await drop(lab)
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        lab.deliver(b"Subject: third\r\n\r\n")
        lab.mailbox().expunge([1])
        assert (await client.ask(b"STAT")).startswith(b"+OK 2 ")
        await client.send(b"RETR 1\r\n")
        assert b"Subject: first" in await client.read(b"\r\n.\r\n")
        await answers(client, b"DELE 1", b"DELE 2", b"QUIT")
    assert [message.uid for message in lab.mailbox()] == [3]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"STAT", b"LIST", b"RETR 1", b"DELE 1", b"NOOP", b"RSET", b"UIDL", b"TOP 1 0"), "--------"),
        ((b"PASS secret", b"USER", b"USER me", b"PASS wrong", b"PASS secret"), "--+--"),
        ((b"user me", b"pass secret", b"User me", b"PASS secret", b"APOP me x", b"AUTH PLAIN", b"STLS"), "++-----"),
        ((b"USER nobody", b"PASS secret", b"USER me", b"PASS secret"), "+-++"),
        (
            (b"USER me", b"PASS secret", b"RETR", b"RETR 0", b"RETR 2", b"RETR x", b"RETR 1 2", b"TOP 1", b"LIST -1"),
            "++-------",
        ),
        ((b"USER me", b"PASS secret", b"NONSENSE", b"", b"NOOP"), "++--+"),
        ((b"STLS x", b"UTF8", b"AUTH", b"AUTH NTLM"), "-+--"),
    ],
    ids=range(7),
)
async def test_states(lab: Lab, lines: tuple[bytes, ...], expected: str) -> None:
    await drop(lab, FIRST)
    async with raw(lab.pop3.port) as client:
        assert "".join(chr(answer[0]) for answer in await answers(client, *lines)) == expected


async def test_a_password_may_hold_spaces() -> None:
    async with Lab(accounts={"a b": " se cret "}) as lab, raw(lab.pop3.port) as client:
        assert [answer[:3] for answer in await answers(client, b"USER a b", b"PASS  se cret ")] == [b"+OK", b"+OK"]


async def test_capabilities_follow_the_state(lab: Lab) -> None:
    async with raw(lab.pop3.port) as client:
        before = await listing(client, b"CAPA")
        assert {
            b"TOP",
            b"UIDL",
            b"USER",
            b"PIPELINING",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"STLS",
            b"UTF8 USER",
        } <= set(before)
        assert b"SASL SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER" in before
        await sign_in(client)
        assert b"STLS" not in await listing(client, b"CAPA")


async def test_apop_by_hand(lab: Lab) -> None:
    for secret, answer in ((b"wrong", b"-ERR [AUTH]"), (b"secret", b"+OK")):
        async with raw(lab.pop3.port, greeting=b"") as client:
            stamp = re.search(rb"<[^<>@ ]+@[^<>@ ]+>", await client.read())
            assert stamp is not None
            digest = hashlib.md5(stamp[0] + secret).hexdigest().encode()
            assert (await client.ask(b"APOP me " + digest)).startswith(answer)


async def test_two_greetings_never_have_one_stamp(lab: Lab) -> None:
    stamps = set()
    for _ in range(3):
        async with raw(lab.pop3.port, greeting=b"") as client:
            stamps.add(await client.read())
    assert len(stamps) == 3


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "APOP"])
@pytest.mark.parametrize("scheme", ["url", "starttls_url", "tls_url"])
async def test_our_client_signs_in_by_each_mechanism_on_each_way(lab: Lab, mechanism: str, scheme: str) -> None:
    await drop(lab)
    where, tls = getattr(lab.pop3, scheme), None if scheme == "url" else lab.tls
    messages = await pop3.fetch(where, lab.credentials_of(mechanism=mechanism), tls=tls)
    assert [message.raw for message in messages] == [FIRST, SECOND]
    with pytest.raises(Exception, match="AUTH"):
        await pop3.fetch(where, Credentials("me", "wrong", mechanism=mechanism), tls=tls)
    assert "secret of" not in str(lab.dialogues[-1])


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_our_client_signs_in_by_a_token(lab: Lab, mechanism: str) -> None:
    assert await pop3.fetch(lab.pop3.url, lab.credentials_of(token=True, mechanism=mechanism)) == []
    with pytest.raises(Exception, match=r"AUTH|invalid_token"):
        await pop3.fetch(lab.pop3.url, Credentials("me", lambda: "stale", mechanism=mechanism))


async def test_pipelined_commands_are_answered_in_order(lab: Lab) -> None:
    await drop(lab)
    async with raw(lab.pop3.port) as client:
        await client.send(b"USER me\r\nPASS secret\r\nSTAT\r\nDELE 1\r\nDELE 1\r\nNOOP\r\nQUIT\r\n")
        lines = (await client.read_to_end()).splitlines()
    assert [line[:1] for line in lines] == [b"+", b"+", b"+", b"+", b"-", b"+", b"+"]


async def test_what_comes_with_stls_is_not_taken_for_secure(lab: Lab) -> None:
    async with raw(lab.pop3.port) as client:
        await client.send(b"STLS\r\nUSER me\r\n")
        assert (await client.read_to_end()).startswith(b"-ERR more came before TLS")


async def test_where_tls_is_required_no_secret_is_taken_without() -> None:
    async with Lab(require_tls=True) as lab:
        async with raw(lab.pop3.port) as client:
            assert not [line for line in await listing(client, b"CAPA") if line.startswith((b"USER", b"SASL"))]
            assert [answer[:4] for answer in await answers(client, b"USER me", b"AUTH PLAIN")] == [b"-ERR", b"-ERR"]
        assert await pop3.fetch(lab.pop3.starttls_url, lab.credentials, tls=lab.tls) == []


async def test_a_thousand_messages_come_whole_and_in_order(lab: Lab) -> None:
    mails = [b"Subject: %d\r\n\r\n.%s\r\n" % (number, b"x" * (number % 97)) for number in range(1000)]
    await drop(lab, *mails)
    messages = await pop3.fetch(lab.pop3.url, lab.credentials)
    assert [message.raw for message in messages] == mails


async def test_too_many_errors_end_it(lab: Lab) -> None:
    async with raw(lab.pop3.port) as client:
        await client.send(b"X\r\n" * 200)
        assert (await client.read_to_end()).count(b"-ERR") == 101
