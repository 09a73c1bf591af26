"""Each fault does on the wire what it says: bytes seen by a bare socket."""

import asyncio
import socket
import ssl

import pytest

from asyncnet import NetError, RefusedError, TLSError, UsageError, smtp
from asyncnet.lab import Fault, Lab
from tests.clock import MS
from tests.lab.raw import QUIET, raw

CAPABILITIES = b"+OK capabilities\r\n"
MANY = 100_000


async def sign_in(client) -> None:
    assert (await client.ask(b"USER me")).startswith(b"+OK")
    assert (await client.ask(b"PASS secret")).startswith(b"+OK")


# In place of the answer.


@pytest.mark.parametrize(
    ("service", "verb", "command", "answer"),
    [
        ("smtp", "NOOP", b"NOOP", b"550 5.7.1 "),
        ("smtp", "AUTH", b"AUTH PLAIN AG1lAHNlY3JldA==", b"535 5.7.8 "),
        ("smtp", "STARTTLS", b"STARTTLS", b"454 4.7.0 "),
        ("pop3", "USER", b"USER me", b"-ERR refused "),
        ("pop3", "PASS", b"PASS secret", b"-ERR [AUTH] "),
        ("pop3", "STLS", b"STLS", b"-ERR "),
        ("imap", "NOOP", b"a1 NOOP", b"a1 NO "),
        ("imap", "LOGIN", b"a1 LOGIN me secret", b"a1 NO [AUTHENTICATIONFAILED] "),
        ("imap", "STARTTLS", b"a1 STARTTLS", b"a1 NO "),
    ],
)
async def test_refuse_says_no_as_the_protocol_does(lab: Lab, service: str, verb: str, command: bytes, answer) -> None:
    rule = lab.faults.on(service, verb, refuse=True, times=1)
    async with raw(getattr(lab, service).port) as client:
        assert (await client.ask(command)).startswith(answer)
        assert rule.met == 1
        again = await client.ask(command)  # the session goes on, and the rule is used up
        assert not again.startswith(answer)


@pytest.mark.parametrize(
    ("service", "command", "goodbye"),
    [("smtp", b"NOOP", b"421 "), ("pop3", b"NOOP", b"-ERR [SYS/TEMP] "), ("imap", b"a1 NOOP", b"* BYE ")],
)
async def test_bye_says_goodbye_and_closes(lab: Lab, service: str, command: bytes, goodbye: bytes) -> None:
    lab.faults.on(service, "NOOP", bye=True)
    async with raw(getattr(lab, service).port) as client:
        await client.send(command + b"\r\n")
        assert (await client.read()).startswith(goodbye)
        assert await client.read_to_end() == b""
        assert not client.was_reset


async def test_bye_at_connect_is_the_greeting(lab: Lab) -> None:
    lab.faults.on("smtp", "CONNECT", bye=True, times=1)
    async with raw(lab.smtp.port, greeting=b"") as client:
        assert await client.read_to_end() == b"421 4.3.2 The lab says goodbye\r\n"
    async with raw(lab.smtp.port):
        pass


async def test_refuse_at_connect_resets_before_a_byte(lab: Lab) -> None:
    lab.faults.on("imap", "CONNECT", refuse=True)
    async with raw(lab.imap.port, greeting=b"") as client:
        assert await client.read_to_end() == b""
        assert client.was_reset


async def test_reply_is_sent_as_it_is_with_the_tag_in_its_place(lab: Lab) -> None:
    lab.faults.on("imap", "NOOP", reply=b"{tag} NO [ALERT] on fire\r\n")
    async with raw(lab.imap.port) as client:
        assert await client.ask(b"x7 NOOP") == b"x7 NO [ALERT] on fire\r\n"


async def test_greylisting_is_for_each_recipient_once(lab: Lab) -> None:
    lab.faults.on("smtp", "RCPT", greylist=True)
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.ask(b"MAIL FROM:<a@example.com>")
        for name in (b"me", b"you"):
            assert (await client.ask(b"RCPT TO:<%s@example.org>" % name)).startswith(b"450 4.7.1 ")
            assert (await client.ask(b"RCPT TO:<%s@example.org>" % name)).startswith(b"250 ")


async def test_matching_is_for_some_recipients(lab: Lab) -> None:
    lab.faults.on("smtp", "RCPT", refuse=True, matching="YOU@")
    receipt = await smtp.send(
        b"Subject: x\r\n\r\nx\r\n",
        lab.smtp.url,
        sender="a@example.com",
        recipients=["me@example.org", "you@example.org"],
    )
    assert receipt.accepted == ("me@example.org",)
    assert list(receipt.refused) == ["you@example.org"]
    assert [mail.recipients for mail in lab.sent] == [("me@example.org",)]


async def test_silence_lasts_until_the_client_leaves(lab: Lab) -> None:
    lab.faults.on("pop3", "CAPA", silence=True, times=1)
    async with raw(lab.pop3.port) as client:
        await client.send(b"CAPA\r\nNOOP\r\nQUIT\r\n")
        assert await client.hears_nothing()
        client.socket.shutdown(socket.SHUT_WR)
        assert await client.read_to_end() == b""


async def test_garbage_is_of_that_many_bytes_and_the_session_goes_on(lab: Lab) -> None:
    lab.faults.on("pop3", "CAPA", garbage=500, times=1)
    async with raw(lab.pop3.port) as client:
        await client.send(b"CAPA\r\n")
        garbage = await client.read_exactly(500)
        assert len(set(garbage)) > 100
        assert (await client.ask(b"CAPA")) == CAPABILITIES


async def test_an_endless_line_has_no_end(lab: Lab) -> None:
    lab.faults.on("smtp", "EHLO", endless_line=True)
    async with raw(lab.smtp.port) as client:
        await client.send(b"EHLO me\r\n")
        assert await client.read_exactly(10 * MANY) == b"x" * 10 * MANY


@pytest.mark.parametrize(
    ("service", "command", "line"),
    [
        ("smtp", b"EHLO me", b"250-and so on\r\n"),
        ("pop3", b"CAPA", b"and so on\r\n"),
        ("imap", b"a CAPABILITY", b"* OK and so on\r\n"),
    ],
)
async def test_an_endless_reply_is_one_of_good_lines(lab: Lab, service: str, command: bytes, line: bytes) -> None:
    lab.faults.on(service, command.split()[-1 if service == "imap" else 0].decode(), endless_reply=True)
    async with raw(getattr(lab, service).port) as client:
        await client.send(command + b"\r\n")
        if service == "pop3":  # without it a client would not read on (RFC 1939 §3)
            assert await client.read() == b"+OK\r\n"
        assert await client.read_exactly(len(line) * 10_000) == line * 10_000


# With the answer.


@pytest.mark.parametrize("count", [0, 1, 17, 40])
async def test_cut_after_so_many_bytes(lab: Lab, count: int) -> None:
    lab.deliver(b"Subject: a message\r\n\r\n" + b"x" * 1000)
    lab.faults.on("pop3", "RETR", cut_after=count)
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await client.send(b"RETR 1\r\n")
        assert await client.read_to_end() == b"+OK 1024 octets\r\nSubject: a message\r\n\r\nxx"[:count]
        assert not client.was_reset


async def test_a_cut_beyond_the_answer_comes_at_its_end(lab: Lab) -> None:
    lab.faults.on("pop3", "CAPA", cut_after=MANY)
    async with raw(lab.pop3.port) as client:
        await client.send(b"CAPA\r\nCAPA\r\n")
        whole = await client.read_to_end()
    assert whole.startswith(CAPABILITIES)
    assert whole.endswith(b"\r\n.\r\n")
    assert whole.count(CAPABILITIES) == 1


async def test_a_large_answer_is_cut_where_it_should_be(lab: Lab) -> None:
    lab.deliver(b"x" * 2_000_000)
    lab.faults.on("pop3", "RETR", cut_after=1_234_567)
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await client.send(b"RETR 1\r\n")
        assert len(await client.read_to_end()) == 1_234_567


async def test_reset_after_so_many_bytes(lab: Lab) -> None:
    lab.faults.on("smtp", "EHLO", reset_after=7)
    async with raw(lab.smtp.port) as client:
        await client.send(b"EHLO me\r\n")
        await client.read_to_end()  # a reset may overtake what is still in the kernel
        assert client.was_reset


async def test_over_tls_a_cut_comes_without_a_goodbye(lab: Lab) -> None:
    lab.faults.on("smtp", "EHLO", cut_after=7)
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.smtp.tls_port, ssl=lab.tls)
    try:
        await reader.readuntil(b"\r\n")
        writer.write(b"EHLO me\r\n")
        received = b""
        with pytest.raises(ssl.SSLError) as caught:
            while chunk := await reader.read(100):
                received += chunk
            outgoing = writer.transport.get_extra_info("ssl_object")
            outgoing.read()  # asyncio shows an end in either case; the TLS layer knows
        assert not isinstance(caught.value, ssl.SSLZeroReturnError)
        assert received == b"250-lab"
    finally:
        writer.close()


async def test_a_lost_answer_leaves_the_command_done(lab: Lab) -> None:
    lab.faults.on("smtp", "MESSAGE", lose_answer=True)
    async with raw(lab.smtp.port) as client:
        for line in (b"EHLO me", b"MAIL FROM:<a@example.com>", b"RCPT TO:<me@example.org>", b"DATA"):
            await client.ask(line)
        await client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert await client.read_to_end() == b""
    assert len(lab.sent) == len(lab.mailbox("me")) == 1
    with pytest.raises(NetError) as caught:
        await smtp.send(b"Subject: y\r\n\r\ny\r\n", lab.smtp.url, sender="a@example.com", recipients=["me@example.org"])
    assert caught.value.outcome_unknown
    assert len(lab.sent) == 2


async def test_delay_is_a_way_that_answers_travel_side_by_side(lab: Lab) -> None:
    lab.faults.on("pop3", delay=100 * MS)
    clock = asyncio.get_running_loop().time
    began = clock()
    async with raw(lab.pop3.port) as client:
        assert clock() - began >= 90 * MS  # the greeting too
        began = clock()
        await client.send(b"USER me\r\nPASS secret\r\n" + b"NOOP\r\n" * 48)
        for _ in range(50):
            assert (await client.read()).startswith(b"+OK")
    assert 90 * MS <= clock() - began < 2500 * MS  # one way, not fifty


async def test_drip_gives_a_byte_at_a_time(lab: Lab) -> None:
    lab.faults.on("pop3", "NOOP", drip=5 * MS)
    clock = asyncio.get_running_loop().time
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        await client.send(b"NOOP\r\n")
        began = clock()
        assert await client.read() == b"+OK\r\n"
    assert clock() - began >= 4 * 4 * MS


async def test_throttle_bounds_the_rate(lab: Lab) -> None:
    lab.deliver(b"x" * 1000)
    lab.faults.on("pop3", "RETR", throttle=10_000)
    clock = asyncio.get_running_loop().time
    async with raw(lab.pop3.port) as client:
        await sign_in(client)
        began = clock()
        await client.send(b"RETR 1\r\n")
        assert (await client.read(b"\r\n.\r\n")).count(b"x") == 1000
    assert clock() - began >= 0.08


@pytest.mark.parametrize("lie", [-3, 10, -1000])
async def test_a_literal_announces_another_size(lab: Lab, lie: int) -> None:
    lab.deliver(b"Subject: hello\r\n\r\nworld\r\n")  # 25 bytes
    lab.faults.on("imap", "FETCH", literal_lie=lie)
    async with raw(lab.imap.port) as client:
        await client.ask(b"a LOGIN me secret")
        await client.send(b"b SELECT INBOX\r\n")
        await client.read(b"b OK")
        await client.read()
        await client.send(b"c FETCH 1 BODY.PEEK[]\r\n")
        answer = await client.read(b"c OK")
    assert b"BODY[] {%d}\r\nSubject: hello\r\n\r\nworld\r\n)" % max(0, 25 + lie) in answer


async def test_inject_stands_in_the_same_piece_as_the_answer(lab: Lab) -> None:
    lab.faults.on("smtp", "STARTTLS", inject=b"250 injected\r\n")
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.send(b"STARTTLS\r\n")
        assert await client.read() + await client.read() == b"220 2.0.0 Go ahead\r\n250 injected\r\n"


@pytest.mark.parametrize(("fault", "said"), [({"cut_after": 5}, b"220 2"), ({"lose_answer": True}, b"")])
async def test_the_go_ahead_for_tls_is_cut_or_lost(lab: Lab, fault, said: bytes) -> None:
    lab.faults.on("smtp", "STARTTLS", **fault)
    async with raw(lab.smtp.port) as client:
        await client.ask(b"EHLO me")
        await client.send(b"STARTTLS\r\n")
        assert await client.read_to_end() == said


async def test_inject_is_behind_any_other_answer_too(lab: Lab) -> None:
    lab.faults.on("pop3", "USER", inject=b"+OK injected\r\n")
    async with raw(lab.pop3.port) as client:
        assert (await client.ask(b"USER me")).startswith(b"+OK and")
        assert await client.read() == b"+OK injected\r\n"


async def test_duplicate_says_it_twice(lab: Lab) -> None:
    lab.faults.on("smtp", "NOOP", duplicate=True)
    async with raw(lab.smtp.port) as client:
        assert await client.ask(b"NOOP") == await client.read()


# Pushes of IMAP IDLE.


async def idling(client) -> None:
    await client.ask(b"a LOGIN me secret")
    await client.send(b"b SELECT INBOX\r\n")
    await client.read(b"b OK")
    await client.read()
    await client.send(b"c IDLE\r\n")
    await client.read(b"+ ")
    await client.read()


async def test_a_push_is_lost_and_the_next_one_is_not(lab: Lab) -> None:
    lab.faults.on("imap", "PUSH", silence=True, times=1)
    async with raw(lab.imap.port) as client:
        await idling(client)
        lab.deliver("1")
        assert await client.hears_nothing()
        lab.deliver("2")
        assert b"* 2 EXISTS\r\n" in await client.read(b"EXISTS\r\n")


async def test_a_push_is_sent_twice(lab: Lab) -> None:
    lab.faults.on("imap", "PUSH", duplicate=True)
    async with raw(lab.imap.port) as client:
        await idling(client)
        lab.deliver("1")
        await client.read(b"* 1 EXISTS\r\n")
        await client.read(b"* 1 EXISTS\r\n")


# TLS.


@pytest.mark.parametrize(
    ("service", "command", "capability"),
    [("smtp", b"EHLO me", b"STARTTLS"), ("pop3", b"CAPA", b"STLS"), ("imap", b"a CAPABILITY", b"STARTTLS")],
)
async def test_starttls_is_stripped_and_its_command_unknown(lab: Lab, service: str, command, capability) -> None:
    port = getattr(lab, service).port
    end = {"smtp": b"250 ", "pop3": b"\r\n.\r\n", "imap": b"a OK"}[service]
    async with raw(port) as client:
        await client.send(command + b"\r\n")
        assert capability in await client.read(end)
    rule = lab.faults.on(service, capability.decode(), strip=True)
    async with raw(port) as client:
        await client.send(command + b"\r\n")
        assert capability not in await client.read(end)
        await client.read(b"\r\n") if service != "pop3" else None
        answer = await client.ask((b"b " if service == "imap" else b"") + capability)
        assert answer.startswith((b"500", b"-ERR", b"b BAD"))
    lab.faults.clear(rule)
    async with raw(port) as client:
        await client.send(command + b"\r\n")
        assert capability in await client.read(end)


@pytest.mark.parametrize(
    ("certificate", "why"),
    [("expired", "expired"), ("wrong-name", "mismatch"), ("self-signed", "unable to get local issuer|self.signed")],
)
@pytest.mark.parametrize("scheme", ["tls_url", "starttls_url"])
async def test_a_bad_certificate_is_shown_where_and_as_often_as_asked(lab: Lab, certificate, why, scheme) -> None:
    lab.faults.on("smtp", "TLS", certificate=certificate, times=1)
    tls, url, mail = lab.tls, getattr(lab.smtp, scheme), b"Subject: x\r\n\r\nx\r\n"
    with pytest.raises(TLSError, match=why):
        await smtp.send(mail, url, sender="a@example.com", recipients=["me@example.org"], tls=tls)
    await smtp.send(mail, url, sender="a@example.com", recipients=["me@example.org"], tls=tls)
    assert len(lab.sent) == 1


# The rules.


async def test_after_and_times_count(lab: Lab) -> None:
    rule = lab.faults.on("smtp", "noop", refuse=True, after=2, times=2)
    async with raw(lab.smtp.port) as client:
        codes = [(await client.ask(b"NOOP"))[:3] for _ in range(6)]
    assert codes == [b"250", b"250", b"550", b"550", b"250", b"250"]
    assert (rule.met, rule.times, rule.after) == (2, 0, 0)


async def test_clear_lets_all_go_well_again(lab: Lab) -> None:
    first = lab.faults.on("smtp", "NOOP", refuse=True)
    lab.faults.on("smtp", "RSET", refuse=True)
    async with raw(lab.smtp.port) as client:
        lab.faults.clear(first)
        assert ((await client.ask(b"NOOP"))[:3], (await client.ask(b"RSET"))[:3]) == (b"250", b"550")
        lab.faults.clear()
        assert (await client.ask(b"RSET"))[:3] == b"250"
        assert lab.faults.rules == ()


async def test_rules_that_can_happen_together_do(lab: Lab) -> None:
    lab.faults.on("smtp", delay=QUIET)
    lab.faults.on("smtp", "NOOP", duplicate=True)
    clock = asyncio.get_running_loop().time
    async with raw(lab.smtp.port) as client:
        began = clock()
        assert await client.ask(b"NOOP") == await client.read()
        assert clock() - began >= 0.9 * QUIET


async def test_where_they_exclude_each_other_the_earlier_one_happens(lab: Lab) -> None:
    lab.faults.on("smtp", "NOOP", refuse=True, times=1)
    second = lab.faults.on("smtp", bye=True, after=1)  # passes over the greeting
    async with raw(lab.smtp.port) as client:
        assert (await client.ask(b"NOOP"))[:3] == b"550"
        assert second.met == 0
        assert (await client.ask(b"NOOP"))[:3] == b"421"


async def test_a_fault_ends_with_its_answer(lab: Lab) -> None:
    lab.faults.on("smtp", "NOOP", duplicate=True, times=1)
    async with raw(lab.smtp.port) as client:
        await client.send(b"RSET\r\nNOOP\r\nRSET\r\nQUIT\r\n")
        lines = (await client.read_to_end()).splitlines()
    assert [line[:3] for line in lines] == [b"250", b"250", b"250", b"250", b"221"]


async def test_a_fault_is_in_the_dialogue(lab: Lab) -> None:
    lab.faults.on("smtp", "NOOP", cut_after=0)
    async with raw(lab.smtp.port) as client:
        await client.send(b"NOOP\r\n")
        await client.read_to_end()
    assert "!: Fault(cut_after=0)" in str(lab.dialogues[-1])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "what goes wrong"),
        ({"refuse": True, "bye": True}, "one way"),
        ({"cut_after": 1, "reset_after": 1}, "not both"),
        ({"cut_after": -1}, "not below 0"),
        ({"delay": -1.0}, "not below 0"),
        ({"throttle": 0}, "not below"),
        ({"refuse": True, "times": 0}, "at least 1"),
        ({"refuse": True, "after": -1}, "at least 0"),
        ({"certificate": "expired"}, "TLS"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Lab().faults.on("smtp", "NOOP", **given)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UsageError, match="no protocol 'ftp'"):
        Lab().faults.on("ftp", refuse=True)


def test_a_fault_is_a_value() -> None:
    assert Fault(cut_after=1) == Fault(cut_after=1)
    assert hash(Fault(delay=1.0)) == hash(Fault(delay=1.0))
    assert repr(Fault(cut_after=0, delay=0.5)) == "Fault(cut_after=0, delay=0.5)"
    assert Fault(delay=1.0).beside(Fault(cut_after=5)) == Fault(delay=1.0, cut_after=5)
    assert Fault(refuse=True).beside(Fault(bye=True)) is None


# Echo.


async def test_echo_gives_back_and_takes_part(lab: Lab) -> None:
    async with raw(lab.echo.port, greeting=b"") as client:
        await client.send(b"hello\r\n")
        assert await client.read() == b"hello\r\n"
        lab.faults.on("echo", "ECHO", cut_after=3)
        await client.send(b"hello\r\n")
        assert await client.read_to_end() == b"hel"


async def test_a_service_that_is_down_refuses_and_comes_back_at_the_same_port(lab: Lab) -> None:
    port = lab.smtp.port
    async with raw(port) as client:
        async with lab.smtp.down():
            await client.read_to_end()
            with pytest.raises(ConnectionRefusedError):
                async with raw(port):
                    pass
    async with raw(port) as client:
        assert (await client.ask(b"NOOP"))[:3] == b"250"
    await lab.restart("smtp")
    async with raw(port):
        pass
    with pytest.raises(UsageError, match="gopher"):
        await lab.restart("gopher")


async def test_a_refused_login_is_the_usual_error_of_our_client(lab: Lab) -> None:
    lab.faults.on("smtp", "AUTH", refuse=True)
    with pytest.raises(RefusedError):
        await smtp.send(
            b"Subject: x\r\n\r\n", lab.smtp.url, lab.credentials, sender="a@b.org", recipients=["me@example.org"]
        )
