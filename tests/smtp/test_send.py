"""What became of a message is told recipient by recipient, and a refusal leaves the session fit for the next one."""

import pytest

from asyncnet import (
    ClosedError,
    DeadlineError,
    DisconnectedError,
    NetError,
    ProtocolError,
    RecipientsRefused,
    RefusedError,
    UsageError,
)
from asyncnet.smtp import Receipt
from tests.peers import MS, Script
from tests.smtp.talks import ENVELOPE, GREETED, LEFT, NOTE, TAKEN, bodies, greeted, session, stuffed

RESET = "C: RSET\nS: 250 2.0.0 Ok\n"
MAIL = "C: MAIL FROM:<alice@example.org>*\nS: 250 2.1.0 Ok\n"
RCPT = "C: RCPT TO:<bob@example.net>\nS: 250 2.1.5 Ok\n"
DATA = "C: DATA\nS: 354 go on\n"
ALL = "until \\r\\n.\\r\\n\n"


async def test_the_receipt_has_the_words_of_the_server_and_the_message_id() -> None:
    message = b"Message-ID: <1@example.org>\n\nhello"
    async with Script(GREETED + TAKEN + LEFT) as peer, session(peer) as outgoing:
        receipt = await outgoing.send(message, **ENVELOPE)
    assert receipt == Receipt(("bob@example.net",), {}, 250, "2.0.0 Ok: queued as 4711", "<1@example.org>")
    assert receipt.enhanced == "2.0.0"
    assert bodies(peer) == [b"Message-ID: <1@example.org>\r\n\r\nhello\r\n.\r\n"]


async def test_each_recipient_has_a_reply_of_his_own() -> None:
    talk = GREETED + MAIL
    answers = {"a": "250 ok", "b": "550 5.1.1 unknown", "c": "450 4.2.0 greylisted", "d": "251 will forward"}
    for name, answer in answers.items():
        talk += f"C: RCPT TO:<{name}@example.net>\nS: {answer}\n"
    async with Script(talk + DATA + ALL + "S: 250 ok\n" + LEFT) as peer, session(peer) as outgoing:
        receipt = await outgoing.send(NOTE, sender="alice@example.org", recipients=[f"{n}@example.net" for n in "abcd"])
    assert receipt.accepted == ("a@example.net", "d@example.net")
    assert receipt.refused == {
        "b@example.net": (550, "5.1.1 unknown"),
        "c@example.net": (450, "4.2.0 greylisted"),
    }
    assert {name: (reply.is_transient, reply.enhanced) for name, reply in receipt.refused.items()} == {
        "b@example.net": (False, "5.1.1"),
        "c@example.net": (True, "4.2.0"),
    }


@pytest.mark.parametrize(("second", "transient"), [("451 4.3.0 later", True), ("550 5.1.1 no", False)])
async def test_nobody_accepted_is_an_error_transient_if_all_may_be_later(second: str, transient: bool) -> None:
    talk = GREETED + MAIL + f"C: RCPT *\nS: 450 4.2.1 later\nC: RCPT *\nS: {second}\n" + RESET + TAKEN + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(RecipientsRefused) as caught:
            await outgoing.send(NOTE, sender="alice@example.org", recipients=["a@example.net", "b@example.net"])
        assert caught.value.transient is transient
        assert list(caught.value.refused) == ["a@example.net", "b@example.net"]
        assert caught.value.refused["a@example.net"] == (450, "4.2.1 later")
        await outgoing.send(NOTE, **ENVELOPE)


@pytest.mark.parametrize(
    ("talk", "operation"),
    [
        (f"C: MAIL *\nS: {{answer}}\n{RESET}", "MAIL"),
        (f"{MAIL}{RCPT}C: DATA\nS: {{answer}}\n{RESET}", "DATA"),
        (f"{MAIL}{RCPT}{DATA}{ALL}S: {{answer}}\n{RESET}", "DATA"),
    ],
)
@pytest.mark.parametrize("code", [451, 554])
async def test_a_refusal_in_each_phase_leaves_the_session_usable(talk: str, operation: str, code: int) -> None:
    talk = talk.replace("{answer}", f"{code} {code // 100}.7.1 no")
    async with Script(GREETED + talk + TAKEN + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError) as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        error = caught.value
        assert type(error) is RefusedError
        assert (error.code, error.transient, error.operation) == (code, code < 500, operation)
        assert not getattr(error, "outcome_unknown", False)
        await outgoing.send(NOTE, **ENVELOPE)


@pytest.mark.parametrize(
    "answer",
    ["S: 421 bye", "S: 500 no", "cut", "S: nonsense", "silence"],
    ids=["421", "500", "cut", "nonsense", "silence"],
)
async def test_where_the_reset_fails_the_refusal_is_what_counts_and_the_session_is_closed(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncnet.smtp.transaction.CLOSE_SECONDS", 30 * MS)
    async with Script(GREETED + "C: MAIL *\nS: 550 no\nC: RSET\n" + answer) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="550 no"):
            await outgoing.send(NOTE, **ENVELOPE)
        assert not outgoing.is_open


@pytest.mark.parametrize(
    "talk",
    [
        "C: MAIL *\nS: 354 go on\n",
        MAIL + "C: RCPT *\nS: 354 go on\n",
        MAIL + RCPT + "C: DATA\nS: 250 ok\n",
        MAIL + RCPT + DATA + ALL + "S: 354 go on\n",
    ],
)
async def test_a_reply_without_meaning_closes_the_session(talk: str) -> None:
    async with Script(GREETED + talk) as peer, session(peer) as outgoing:
        with pytest.raises(ProtocolError, match="no meaning here"):
            await outgoing.send(NOTE, **ENVELOPE)
        assert not outgoing.is_open


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("cut", DisconnectedError),
        ("reset", DisconnectedError),
        ("S: nonsense", ProtocolError),
        ("send 250-half\ncut", DisconnectedError),
        ("silence", DeadlineError),
    ],
    ids=["cut", "reset", "nonsense", "half a reply", "silence"],
)
async def test_without_an_answer_to_the_whole_message_its_outcome_is_unknown(end: str, kind: type[NetError]) -> None:
    async with Script(GREETED + MAIL + RCPT + DATA + ALL + end) as peer, session(peer) as outgoing:
        with pytest.raises(kind, match="may or may not have been accepted") as caught:
            await outgoing.send(NOTE, **ENVELOPE, timeout=250 * MS if kind is DeadlineError else None)
        assert caught.value.outcome_unknown is True  # type: ignore[attr-defined]
        assert not caught.value.transient
        assert not outgoing.is_open


@pytest.mark.parametrize(
    "talk",
    ["C: MAIL *\n", MAIL + "C: RCPT *\n", MAIL + RCPT + "C: DATA\n", MAIL + RCPT + DATA + "read 70000\n"],
    ids=["MAIL", "RCPT", "DATA", "the message"],
)
@pytest.mark.parametrize(("end", "kind"), [("reset", DisconnectedError), ("wait in vain", DeadlineError)])
async def test_before_the_end_of_the_message_the_outcome_is_known(talk: str, end: str, kind: type[NetError]) -> None:
    async with Script(greeted() + talk + end) as peer, session(peer) as outgoing:
        big = b"x" * 30_000_000 if "354" in talk else NOTE
        with pytest.raises(kind) as caught:
            await outgoing.send(big, **ENVELOPE, timeout=250 * MS if kind is DeadlineError else None)
        assert not getattr(caught.value, "outcome_unknown", False)
        assert caught.value.transient
        assert not outgoing.is_open


async def test_a_goodbye_in_the_place_of_the_answer_is_a_clear_no() -> None:
    talk = GREETED + MAIL + RCPT + DATA + ALL + "S: 421 4.3.0 shutting down\n"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(DisconnectedError, match=r"421 4.3.0 shutting down") as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert caught.value.transient
        assert not getattr(caught.value, "outcome_unknown", False)


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        ("552 5.3.4 too big", RefusedError, False),
        ("451 4.3.1 no space", RefusedError, True),
        ("421 4.3.2 going down", DisconnectedError, True),
    ],
)
@pytest.mark.parametrize("end", ["silence", "cut"])
async def test_a_no_in_the_middle_of_the_message_ends_it_there(
    answer: str, kind: type[NetError], transient: bool, end: str
) -> None:
    talk = greeted() + MAIL + RCPT + DATA + f"read 100000\nS: {answer}\n{end}"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(kind, match=answer) as caught:
            await outgoing.send(b"x" * 30_000_000, **ENVELOPE)
        assert caught.value.transient is transient
        assert not getattr(caught.value, "outcome_unknown", False)
        assert not outgoing.is_open
        with pytest.raises(ClosedError, match="the session is closed"):
            await outgoing.noop()
    assert not peer.received.endswith(b"\r\n.\r\n")


async def test_a_yes_in_the_middle_of_the_message_is_no_yes() -> None:
    talk = greeted() + MAIL + RCPT + DATA + "read 100000\nS: 250 2.0.0 Ok: queued\nsilence"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(ProtocolError, match=r"nothing had asked for: 250 2.0.0 Ok"):
            await outgoing.send(b"x" * 30_000_000, **ENVELOPE)
        assert not outgoing.is_open


async def test_a_yes_that_comes_with_the_go_ahead_is_no_yes() -> None:
    talk = GREETED + MAIL + RCPT + "C: DATA\nS: 354 go on\nS: 250 2.0.0 Ok: queued\nsilence"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(ProtocolError, match=r"nothing had asked for: 250 2.0.0 Ok"):
            await outgoing.send(NOTE, **ENVELOPE)
    assert b"Good morning" not in peer.received


async def test_the_size_is_told_and_its_limit_known() -> None:
    talk = greeted("SIZE 32") + "C: MAIL FROM:<alice@example.org> SIZE=32\nS: 552 no\n" + RESET + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="a message of 33 octets; the server takes 32") as caught:
            await outgoing.send(b"x" * 31, **ENVELOPE)
        assert (caught.value.code, caught.value.transient) == (552, False)
        with pytest.raises(RefusedError, match="552 no"):  # a CRLF more than it was given, and no doubled dot
            await outgoing.send(b"." + b"x" * 29, **ENVELOPE)


@pytest.mark.parametrize("limit", ["", " 0", " many", " " + "9" * 30, " -1"])
async def test_a_limit_that_is_none_limits_nothing(limit: str) -> None:
    talk = greeted("SIZE" + limit) + TAKEN.replace("*", " SIZE=32", 1) + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        await outgoing.send(b"x" * 30, **ENVELOPE)


async def test_8bitmime_is_asked_for_only_where_it_is_needed_and_offered() -> None:
    plain, needed = TAKEN.replace("*", "", 1), TAKEN.replace("*", " BODY=8BITMIME", 1)
    async with Script(greeted("8BITMIME") + plain + needed + LEFT, greeted() + plain + LEFT) as peer:
        async with session(peer) as outgoing:
            await outgoing.send(NOTE, **ENVELOPE)
            await outgoing.send("grün", **ENVELOPE)
        async with session(peer) as outgoing:
            await outgoing.send("grün", **ENVELOPE)
    assert bodies(peer)[1:] == [stuffed("grün".encode())] * 2


async def test_an_address_that_is_not_ascii_needs_smtputf8() -> None:
    talk = greeted("SMTPUTF8", "8BITMIME") + TAKEN.replace("<alice@example.org>*", "<jürgen@exämple.org> SMTPUTF8")
    async with Script(talk.encode().decode() + LEFT, greeted("8BITMIME") + LEFT) as peer:
        async with session(peer) as outgoing:
            await outgoing.send(NOTE, sender="jürgen@exämple.org", recipients="bob@example.net")
        async with session(peer) as outgoing:
            with pytest.raises(RefusedError, match="the server has no SMTPUTF8") as caught:
                await outgoing.send(NOTE, sender="jürgen@exämple.org", recipients="bob@example.net")
            assert not caught.value.transient
            assert outgoing.is_open


async def test_a_domain_that_is_not_ascii_goes_to_any_server() -> None:
    talk = GREETED + TAKEN.replace("bob@example.net", "bob@xn--bcher-kva.example") + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        receipt = await outgoing.send(NOTE, sender="alice@example.org", recipients="bob@bücher.example")
    assert receipt.accepted == ("bob@bücher.example",)


async def test_a_bounce_has_no_sender() -> None:
    talk = greeted() + TAKEN.replace("alice@example.org", "").replace("*", "") + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        await outgoing.send(NOTE, sender="", recipients="bob@example.net")


@pytest.mark.parametrize(
    "fault",
    [
        {"sender": "alice@example.org\r\nDATA"},
        {"sender": "alice@example.org> BODY=8BITMIME"},
        {"recipients": ["bob@example.net", "x\0@example.net"]},
        {"recipients": "Bob <bob@example.net>"},
        {"recipients": []},
        {"sender": None},
    ],
    ids=repr,
)
async def test_a_fault_of_the_call_is_told_before_a_byte_is_sent(fault: dict[str, object]) -> None:
    async with Script(GREETED + LEFT) as peer, session(peer) as outgoing:
        before = peer.received
        with pytest.raises(UsageError):
            await outgoing.send(NOTE, **{**ENVELOPE, **fault})  # type: ignore[arg-type]
        assert peer.received == before
        assert outgoing.is_open


async def test_a_message_that_cannot_be_written_leaves_the_session_usable() -> None:
    async with Script(GREETED + TAKEN + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError, match="cannot be written out"):
            await outgoing.send("x\ud800", **ENVELOPE)
        await outgoing.send(NOTE, **ENVELOPE)


async def test_one_session_sends_many() -> None:
    async with Script(GREETED + TAKEN * 20 + LEFT) as peer, session(peer) as outgoing:
        for number in range(20):
            await outgoing.send(f".{number}\n.\n", **ENVELOPE)
    assert bodies(peer) == [f"..{number}\r\n..\r\n.\r\n".encode() for number in range(20)]
