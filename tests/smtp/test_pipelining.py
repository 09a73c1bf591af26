"""Where the server offers it, commands do not wait for each other; each reply is still its own command's."""

from collections.abc import AsyncIterator

import pytest

from asyncnet import DeadlineError, DisconnectedError, ProtocolError, RecipientsRefused, RefusedError, UsageError, smtp
from asyncnet.smtp import Mail, Receipt, Sent
from asyncnet.smtp.content import CHUNK
from tests.loops import on_both_loops
from tests.peers import MS, Authority, Script
from tests.peers.talk import Talk
from tests.smtp.office import Office
from tests.smtp.talks import ENVELOPE, LEFT, NOTE, RECIPIENT, SENDER, bodies, greeted, session, stuffed, url

OFFERED = greeted("PIPELINING", "CHUNKING", "SIZE 100000000")
NO_CHUNKS = greeted("PIPELINING")
RESET = "C: RSET\nS: 250 2.0.0 Ok\n"
AHEAD = f"C: MAIL *\nC: RCPT TO:<{RECIPIENT}>\n"
SIZE = len(NOTE)


def chunk(size: int = SIZE, last: str = " LAST") -> str:
    return f"C: BDAT {size}{last}\nread {size}\n"


def mails(count: int) -> list[Mail]:
    return [Mail(NOTE, SENDER, RECIPIENT) for _ in range(count)]


async def sent(outgoing: smtp.Session, messages: object, **options: object) -> list[Sent]:
    return [one async for one in outgoing.send_many(messages, **options)]  # type: ignore[arg-type]


async def test_a_small_message_goes_out_with_its_envelope_in_one_piece() -> None:
    talk = OFFERED + AHEAD + chunk() + "S: 250 ok\nS: 250 ok\nS: 250 2.0.0 queued\n" + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        receipt = await outgoing.send(NOTE, **ENVELOPE)
    assert receipt == Receipt((RECIPIENT,), {}, 250, "2.0.0 queued")
    assert NOTE in peer.received
    assert b"DATA" not in peer.received.replace(b"BDAT", b"")


async def test_each_recipient_has_the_reply_of_his_own_command() -> None:
    talk = OFFERED + "C: MAIL *\n" + "C: RCPT *\n" * 4 + chunk()
    talk += "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 450 4.2.0 later\nS: 251 ok\nS: 250 queued\n" + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        receipt = await outgoing.send(NOTE, sender=SENDER, recipients=[f"{one}@example.net" for one in "abcd"])
    assert receipt.accepted == ("a@example.net", "d@example.net")
    assert receipt.refused == {"b@example.net": (550, "5.1.1 no"), "c@example.net": (450, "4.2.0 later")}


@pytest.mark.parametrize(
    ("replies", "kind", "operation"),
    [
        ("S: 250 ok\nS: 550 no\nS: 554 5.5.1 no valid recipients\n", RecipientsRefused, "RCPT"),
        ("S: 550 no\nS: 503 5.5.1 need MAIL\nS: 503 5.5.1 need RCPT\n", RefusedError, "MAIL"),
        ("S: 250 ok\nS: 250 ok\nS: 554 5.7.1 spam\n", RefusedError, "BDAT"),
    ],
)
async def test_a_refusal_is_attributed_to_its_command_and_the_next_message_is_right(
    replies: str, kind: type[RefusedError], operation: str
) -> None:
    good = AHEAD + chunk() + "S: 250 ok\nS: 250 ok\nS: 250 queued\n"
    async with Script(OFFERED + AHEAD + chunk() + replies + RESET + good + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(kind) as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert type(caught.value) is kind
        assert caught.value.operation == operation
        assert not caught.value.outcome_unknown
        assert (await outgoing.send(NOTE, **ENVELOPE)).text == "queued"


async def test_a_message_for_nobody_that_is_taken_breaks_the_protocol() -> None:
    talk = OFFERED + AHEAD + chunk() + "S: 250 ok\nS: 550 no\nS: 250 queued\nsilence"
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(ProtocolError, match="a message for nobody"):
            await outgoing.send(NOTE, **ENVELOPE)
        assert not outgoing.is_open


async def test_a_big_message_waits_until_somebody_will_receive_it() -> None:
    big = b"x" * (CHUNK - 1) + b"\n" + b"y" * 10
    nobody = AHEAD + "S: 250 ok\nS: 550 no\n" + RESET
    talk = OFFERED + nobody + AHEAD + "S: 250 ok\nS: 250 ok\n" + chunk(CHUNK + 1, "") + chunk(12)
    async with Script(talk + "S: 250 ok\nS: 250 queued\n" + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(RecipientsRefused):
            await outgoing.send(big, **ENVELOPE)
        assert b"BDAT" not in peer.received
        assert (await outgoing.send(big, **ENVELOPE)).text == "queued"


def _refusing_chunks(talk: Talk) -> None:
    """A server that refuses the first chunk, and with it each that follows."""
    talk.say("220 hi")
    talk.expect("EHLO *")
    for line in ("250-mail.example.org", "250-PIPELINING", "250 CHUNKING"):
        talk.say(line)
    talk.expect("MAIL *")
    talk.expect("RCPT *")
    talk.send(r"250 ok\r\n250 ok\r\n")
    answer = "452 4.3.1 full"
    while (line := talk.until(r"\r\n").split())[0] == b"BDAT":
        talk.read(int(line[1]))
        talk.say(answer)
        answer = "503 5.5.1 no transaction"
    assert line == [b"RSET"]
    talk.say("250 ok")
    talk.expect("NOOP")
    talk.say("250 ok")
    talk.expect("QUIT")
    talk.say("221 bye")


async def test_after_a_refused_chunk_no_other_is_sent_and_the_session_goes_on() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 1000

    async with Script(_refusing_chunks) as peer, session(peer) as outgoing:
        with pytest.raises(RefusedError, match="452") as caught:
            await outgoing.send(stream(), **ENVELOPE)
        assert caught.value.transient
        assert not caught.value.outcome_unknown
        await outgoing.noop()
    assert b"LAST" not in peer.received
    assert peer.received.count(b"BDAT") < 10_000


async def test_without_chunking_the_envelope_goes_in_one_piece_and_the_message_after_the_go_ahead() -> None:
    talk = (
        NO_CHUNKS + AHEAD + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nuntil \\r\\n.\\r\\n\nS: 250 queued\n" + LEFT
    )
    async with Script(talk) as peer, session(peer) as outgoing:
        assert (await outgoing.send(b".x\n", **ENVELOPE)).text == "queued"
    assert bodies(peer) == [stuffed(b".x\n")]


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ("S: 250 ok\nS: 550 no\nS: 554 no valid recipients\n", RecipientsRefused),
        ("S: 250 ok\nS: 550 no\nS: 354 go on\nexpect .\\r\\n\nS: 554 no valid recipients\n", RecipientsRefused),
        ("S: 550 no\nS: 503 no\nS: 503 no\n", RefusedError),
        ("S: 250 ok\nS: 250 ok\nS: 451 later\n", RefusedError),
    ],
)
async def test_a_go_ahead_for_nobody_is_answered_by_an_empty_message(replies: str, kind: type[RefusedError]) -> None:
    good = AHEAD + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nuntil \\r\\n.\\r\\n\nS: 250 queued\n"
    talk = NO_CHUNKS + AHEAD + "C: DATA\n" + replies + RESET + good + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        with pytest.raises(kind) as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert type(caught.value) is kind
        assert (await outgoing.send(NOTE, **ENVELOPE)).text == "queued"


async def test_chunking_without_pipelining_waits_after_each_command() -> None:
    talk = greeted("CHUNKING") + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n" + chunk() + "S: 250 queued\n" + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        assert (await outgoing.send(NOTE, **ENVELOPE)).text == "queued"


@pytest.mark.parametrize("end", ["cut", "reset", "silence"])
async def test_a_link_lost_after_all_was_sent_leaves_each_recipient_unknown_but_who_was_refused(end: str) -> None:
    talk = OFFERED + "C: MAIL *\nC: RCPT *\nC: RCPT *\n" + chunk() + f"S: 250 ok\nS: 250 ok\nS: 550 no\n{end}"
    async with Script(talk, check=False) as peer, session(peer) as outgoing:
        with pytest.raises((DisconnectedError, DeadlineError)) as caught:
            await outgoing.send(NOTE, sender=SENDER, recipients=["a@x.org", "b@x.org"], timeout=300 * MS)
        assert caught.value.outcome_unknown
        assert not caught.value.transient
        known = smtp.receipt_of(caught.value)
        assert known is not None
        if end != "reset":  # which throws away what was not read yet
            assert (known.unknown, list(known.refused), known.accepted) == (("a@x.org",), ["b@x.org"], ())


@pytest.mark.parametrize("end", ["cut", "S: 421 4.3.2 bye"])
async def test_where_all_recipients_were_refused_a_lost_link_leaves_nothing_open(end: str) -> None:
    talk = OFFERED + AHEAD + chunk() + f"S: 250 ok\nS: 550 no\n{end}\n"
    async with Script(talk, check=False) as peer, session(peer) as outgoing:
        with pytest.raises(RecipientsRefused) as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert not caught.value.outcome_unknown
        assert not outgoing.is_open


async def test_a_goodbye_to_a_pipelined_command_is_a_clear_no_to_all_after_it() -> None:
    async with Script(OFFERED + AHEAD + chunk() + "S: 421 4.3.2 bye\ncut") as peer, session(peer) as outgoing:
        with pytest.raises(DisconnectedError, match="421") as caught:
            await outgoing.send(NOTE, **ENVELOPE)
        assert not caught.value.outcome_unknown
        assert caught.value.transient


# Many.


async def test_many_are_on_their_way_at_once_up_to_the_window() -> None:
    first = AHEAD + chunk()
    another = RESET.split("\n")[0] + "\n" + first
    answers = "S: 250 ok\nS: 250 ok\nS: 250 queued {}\n"
    talk = OFFERED + first + another + another + answers.format(0)  # the fourth comes only now
    talk += another + "".join("S: 250 reset\n" + answers.format(number) for number in (1, 2, 3)) + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(4), window=3)
    assert [(one.number, one.receipt and one.receipt.text) for one in found] == [(n, f"queued {n}") for n in range(4)]


async def test_an_error_of_one_is_its_own_and_the_others_go_on() -> None:
    async def messages() -> AsyncIterator[Mail]:
        yield Mail(NOTE, SENDER, RECIPIENT)
        yield Mail(NOTE, SENDER, "no address")
        yield Mail(NOTE, SENDER, "refused@example.net")
        yield Mail(b"x" * 200, SENDER, RECIPIENT)
        yield Mail(NOTE, SENDER, RECIPIENT)

    one = AHEAD + chunk()
    talk = greeted("PIPELINING", "CHUNKING", "SIZE 100") + one + "C: RSET\nC: MAIL *\nC: RCPT *\n" + chunk()
    talk += "C: RSET\n" + one + "S: 250 ok\nS: 250 ok\nS: 250 queued 0\n"
    talk += "S: 250 reset\nS: 250 ok\nS: 550 5.1.1 no\nS: 554 no\nS: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 queued 4\n"
    async with Script(talk + RESET + LEFT) as peer, session(peer) as outgoing:
        found = await sent(outgoing, messages())
    kinds = [None, UsageError, RecipientsRefused, RefusedError, None]
    assert [type(one.error) if one.error else None for one in found] == kinds
    assert [one.receipt.text for one in found if one.receipt] == ["queued 0", "queued 4"]


async def test_a_lost_link_is_the_error_of_each_that_was_on_its_way_and_the_rest_is_not_sent() -> None:
    one = AHEAD + chunk()
    talk = OFFERED + one + "C: RSET\n" + one + "C: RSET\n" + one + "S: 250 ok\nS: 250 ok\nS: 250 queued 0\ncut"
    async with Script(talk, check=False) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(6), window=3)
        assert not outgoing.is_open
    assert [one.ok for one in found] == [True] + [False] * 5
    errors = [one.error for one in found[1:]]
    assert all(isinstance(error, DisconnectedError) for error in errors)
    assert len({id(error) for error in errors}) == 5
    unknown = [bool(error and error.outcome_unknown) for error in errors]
    # The third, and perhaps the fourth, which was being written, had left; the last ones never began.
    assert unknown[:2] == [True, True]
    assert unknown[3:] == [False, False]
    assert [one.receipt is not None for one in found[1:]] == unknown


async def test_a_goodbye_in_the_middle_of_many_is_a_clear_no_to_the_rest() -> None:
    one = AHEAD + chunk()
    talk = OFFERED + one + "C: RSET\n" + one + "S: 250 ok\nS: 250 ok\nS: 250 queued 0\nS: 421 4.3.2 bye\ncut"
    async with Script(talk, check=False) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(2))
    assert found[0].ok
    assert isinstance(found[1].error, DisconnectedError)
    assert found[1].error.transient
    assert not found[1].error.outcome_unknown


async def test_without_pipelining_many_go_one_by_one() -> None:
    one = "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: {}\n"
    data = "C: DATA\nS: 354 go on\nuntil \\r\\n.\\r\\n\nS: 250 queued\n"
    talk = greeted() + one.format("250 ok") + data + one.format("550 no") + RESET + one.format("250 ok") + data + LEFT
    async with Script(talk) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(3))
    assert [one.ok for one in found] == [True, False, True]


async def test_with_pipelining_alone_the_next_envelope_follows_the_dot() -> None:
    one = AHEAD + "C: DATA\n"
    data = "S: 250 ok\nS: 250 ok\nS: 354 go on\nuntil \\r\\n.\\r\\n\n"
    talk = (
        NO_CHUNKS
        + one
        + data
        + "C: RSET\n"
        + one
        + "S: 250 queued 0\nS: 250 reset\n"
        + data
        + "S: 250 queued 1\n"
        + LEFT
    )
    async with Script(talk) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(2))
    assert [one.receipt and one.receipt.text for one in found] == ["queued 0", "queued 1"]


async def test_left_early_the_session_is_closed_if_something_was_on_its_way() -> None:
    one = AHEAD + chunk()
    talk = OFFERED + one + "C: RSET\n" + one + "S: 250 ok\nS: 250 ok\nS: 250 queued 0\nsilence"
    async with Script(talk, check=False) as peer, session(peer) as outgoing:
        outcomes = outgoing.send_many(mails(2), window=2)
        assert (await anext(outcomes)).ok
        await outcomes.aclose()
        assert not outgoing.is_open


async def test_the_deadline_of_one_closes_the_session_and_the_others_hear_of_it() -> None:
    async with Script(OFFERED + AHEAD + "silence", check=False) as peer, session(peer) as outgoing:
        found = await sent(outgoing, mails(3), timeout=100 * MS)
        assert not outgoing.is_open
    assert isinstance(found[0].error, DeadlineError)
    assert all(isinstance(one.error, DisconnectedError) for one in found[1:])
    assert all(one.error and one.error.outcome_unknown for one in found)


async def test_a_window_holds_a_message() -> None:
    async with Script(OFFERED + LEFT) as peer, session(peer) as outgoing:
        with pytest.raises(UsageError):
            await sent(outgoing, mails(1), window=0)


@on_both_loops
@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
@pytest.mark.parametrize("offers", [("PIPELINING", "CHUNKING"), ("PIPELINING",), ("CHUNKING",), ()], ids=str)
async def test_big_and_small_ones_in_turn_arrive_whole(
    authority: Authority, scheme: str, offers: tuple[str, ...]
) -> None:
    office = Office(extensions=offers or ("8BITMIME",))
    texts = [b"%d\r\n.\r\n" % number + b"x" * (number % 3 * 400_000) + b"\r\n" for number in range(12)]
    messages = [Mail(text, SENDER, RECIPIENT) for text in texts]
    tls = authority.server if scheme == "smtps" else None
    async with Script(office, repeat=True, check=False, tls=tls) as peer:
        async with smtp.session(url(peer, scheme), tls=authority.client()) as outgoing:
            found = await sent(outgoing, messages)
    assert [one.ok for one in found] == [True] * 12
    assert [one.data for one in office.taken] == texts
