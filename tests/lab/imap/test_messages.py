"""FETCH, STORE, COPY, MOVE, EXPUNGE, APPEND and SEARCH as they are on the wire, and what other sessions see of them."""

import pytest

from asyncnet.lab.lab import Lab
from tests.lab.imap.raw import opened, signed_in

RAW = b"Subject: hello\r\nFrom: a@b.c\r\n\r\nworld\r\n"


def fill(lab: Lab, count: int = 3) -> None:
    for number in range(1, count + 1):
        lab.deliver(RAW.replace(b"hello", b"hello %d" % number))


async def test_opening_tells_all_about_a_mailbox(lab: Lab) -> None:
    fill(lab)
    lab.mailbox("me").set_flags([1], ["\\Seen", "$Work"])
    async with signed_in(lab) as raw:
        validity = lab.mailbox("me").uid_validity
        *told, last = await raw.ask("SELECT inbox")
        assert told == [
            b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)",
            b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work \\*)] can be changed",
            b"* 3 EXISTS",
            b"* 3 RECENT",
            b"* OK [UNSEEN 2] the first",
            b"* OK [UIDVALIDITY %d] UIDs are valid" % validity,
            b"* OK [UIDNEXT 4] the next one",
            b"* OK [HIGHESTMODSEQ 5] of all changes",
        ]
        assert last == b"OK [READ-WRITE] opened"
        *told, last = await raw.ask("EXAMINE INBOX")
        assert told[0] == b"* OK [CLOSED] the other one"
        assert b"* 0 RECENT" in told
        assert last == b"OK [READ-ONLY] opened"
        assert (await raw.ask("SELECT Nowhere"))[-1].startswith(b"NO [NONEXISTENT]")
        assert (await raw.refused("FETCH 1 UID")).startswith(b"BAD")  # none is open now (RFC 9051 §6.3.2)


async def test_read_only_means_that(lab: Lab) -> None:
    fill(lab, 1)
    async with opened(lab, command="EXAMINE") as raw:
        assert await raw.ok("FETCH 1 (FLAGS BODY[TEXT])") == [
            b"* 1 FETCH (FLAGS (\\Recent) BODY[TEXT] {7}\r\nworld\r\n)"
        ]
        for command in (r"STORE 1 FLAGS \Seen", "EXPUNGE", "UID EXPUNGE 1", "MOVE 1 Trash"):
            assert (await raw.refused(command)).startswith(b"BAD")
        await raw.ok("COPY 1 Trash")
        await raw.ok("CLOSE")
    assert lab.mailbox("me").messages[0].flags == frozenset()
    assert len(lab.mailbox("me", "Trash")) == 1


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ("UID", b"UID 1"),
        ("FAST", b'FLAGS (\\Recent) INTERNALDATE "%b" RFC822.SIZE 38'),
        ("(UID RFC822.SIZE UID)", b"UID 1 RFC822.SIZE 38"),
        ("BODY.PEEK[TEXT]", b"BODY[TEXT] {7}\r\nworld\r\n"),
        ("RFC822.HEADER", b"RFC822.HEADER {31}\r\nSubject: hello\r\nFrom: a@b.c\r\n\r\n"),
        ("BODY.PEEK[]<0.7>", b"BODY[]<0> {7}\r\nSubject"),
        ("BODY.PEEK[]<5000.7>", b"BODY[]<5000> {0}\r\n"),
        ("BODY.PEEK[9]", b"BODY[9] NIL"),
        ("BINARY.PEEK[1]", b"BINARY[1] {7}\r\nworld\r\n"),
        ("BINARY.SIZE[1]", b"BINARY.SIZE[1] 7"),
        ("(FLAGS MODSEQ)", b"FLAGS (\\Recent) MODSEQ (2)"),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT)]", b"BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: hello\r\n\r\n"),
    ],
)
async def test_items_are_told_as_they_are_asked_for(lab: Lab, items: str, told: bytes) -> None:
    message = lab.deliver(RAW)
    if b"%b" in told:
        told %= f"{message.received:%d-%b-%Y %H:%M:%S} +0000".lstrip("0").rjust(26).encode()
    async with opened(lab) as raw:
        assert await raw.ok(f"FETCH 1 {items}") == [b"* 1 FETCH (" + told + b")"]
        assert lab.mailbox("me").messages[0].flags == frozenset()


async def test_reading_a_body_marks_it_as_seen_and_says_so(lab: Lab) -> None:
    fill(lab, 1)
    async with opened(lab) as raw:
        (told,) = await raw.ok("FETCH 1 BODY[TEXT]")
        assert told == b"* 1 FETCH (BODY[TEXT] {7}\r\nworld\r\n FLAGS (\\Recent \\Seen))"
        assert await raw.ok("FETCH 1 RFC822.TEXT") == [b"* 1 FETCH (RFC822.TEXT {7}\r\nworld\r\n)"]


@pytest.mark.parametrize(
    "command",
    ["FETCH", "FETCH 1", "FETCH 1 ()", "FETCH 1 (ALL)", "FETCH 1 FOO", "FETCH 1 BODY[", "FETCH 0 UID", "FETCH 9 UID",
     "FETCH 1 UID (CHANGEDSINCE)", "FETCH 1 UID (VANISHED)", "FETCH 1 UID extra", "FETCH x UID", "UID FETCH 1:x UID",
     "STORE 1 FLAGS", "STORE 1 FOO \\Seen", "STORE 1 FLAGS \\Nonsense", "STORE 1 FLAGS \\Recent", "STORE 9 FLAGS x",
     "STORE 1 (UNCHANGEDSINCE x) FLAGS y", "STORE 1 (FOO 1) FLAGS y", "FETCH 1 UID (FOO 1)", "SELECT INBOX (FOO)",
     "FETCH 1 BINARY.SIZE[1]<0.1>", "SELECT INBOX (QRESYNC (1 1))", "COPY 1", "COPY 9 Trash", "UID", "UID NOOP",
     "SEARCH", "SEARCH 9", "FOO",
     "UID EXPUNGE", "EXPUNGE 1", "NOOP x", "CLOSE x", "IDLE x", "ENABLE CONDSTORE", "FETCH 1 BINARY[1.MIME]"],
)  # fmt: skip
async def test_what_breaks_the_grammar_is_bad_and_nothing_else(lab: Lab, command: str) -> None:
    fill(lab, 1)
    async with opened(lab) as raw:
        assert (await raw.refused(command)).startswith(b"BAD ")
        assert await raw.ok("FETCH 1 UID") == [b"* 1 FETCH (UID 1)"]


async def test_an_unknown_encoding_is_refused_in_mid_fetch(lab: Lab) -> None:
    lab.deliver(RAW)
    lab.deliver(b"Content-Transfer-Encoding: x-own\r\n\r\nwhat\r\n")
    async with opened(lab) as raw:
        told = await raw.ask("FETCH 1:2 BINARY.PEEK[1]")
        assert told == [b"* 1 FETCH (BINARY[1] {7}\r\nworld\r\n)", told[-1]]
        assert told[-1].startswith(b"NO [UNKNOWN-CTE]")


async def test_flags_are_set_cleared_and_replaced(lab: Lab) -> None:
    fill(lab, 2)
    async with opened(lab) as raw:
        await raw.ok("NOOP")
        assert await raw.ok(r"STORE 1 +FLAGS (\seen $Work)") == [
            b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)",
            b"* 1 FETCH (UID 1 FLAGS ($Work \\Recent \\Seen))",
        ]
        assert await raw.ok(r"STORE 1:2 -FLAGS \Seen") == [
            b"* 1 FETCH (UID 1 FLAGS ($Work \\Recent))",
            b"* 2 FETCH (UID 2 FLAGS (\\Recent))",
        ]
        assert await raw.ok(r"UID STORE 2 FLAGS.SILENT (\Flagged)") == []
        assert await raw.ok("UID STORE 99 FLAGS ()") == []
        many = " ".join(f"k{number}" for number in range(101))
        assert (await raw.refused(f"STORE 1 +FLAGS ({many})")).startswith(b"NO [OVERQUOTA] ")
        assert await raw.ok(r"STORE 2 FLAGS \Flagged \Draft") == [
            b"* 2 FETCH (UID 2 FLAGS (\\Draft \\Flagged \\Recent))"
        ]
        assert await raw.ok("SEARCH FLAGGED") == [b"* SEARCH 2"]


async def test_condstore_tells_and_obeys_mod_sequences(lab: Lab) -> None:
    fill(lab, 2)
    async with opened(lab) as raw:
        assert await raw.ok("FETCH 1:* (MODSEQ)") == [b"* 1 FETCH (MODSEQ (2))", b"* 2 FETCH (MODSEQ (3))"]
        assert await raw.ok(r"STORE 1 (UNCHANGEDSINCE 2) +FLAGS.SILENT (\Seen)") == [b"* 1 FETCH (UID 1 MODSEQ (4))"]
        *_, last = await raw.ask(r"UID STORE 1:2 (UNCHANGEDSINCE 3) +FLAGS (\Flagged)")
        assert last.startswith(b"OK [MODIFIED 1]")
        assert await raw.ok("UID FETCH 1:* FLAGS (CHANGEDSINCE 4)") == [
            b"* 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent) MODSEQ (5))"
        ]
        assert await raw.ok("SEARCH MODSEQ 5") == [b"* SEARCH 2 (MODSEQ 5)"]
        assert await raw.ok("SEARCH MODSEQ 99") == [b"* SEARCH"]
        # RFC 4731 §3.2: of the messages that are told
        for returns, told in {
            "MIN": "MIN 1 MODSEQ 4",
            "MAX": "MAX 2 MODSEQ 5",
            "MIN COUNT": "MIN 1 COUNT 2 MODSEQ 5",
        }.items():
            [line] = await raw.ok(f"SEARCH RETURN ({returns}) MODSEQ 1")
            assert line.endswith(f") {told}".encode())


async def test_qresync_tells_what_was_missed(lab: Lab) -> None:
    fill(lab, 5)
    inbox = lab.mailbox("me")
    since = inbox.highest_modseq
    inbox.expunge([2, 3])
    inbox.set_flags([5], ["\\Seen"])
    async with signed_in(lab) as raw:
        assert (await raw.ask(f"SELECT INBOX (QRESYNC ({inbox.uid_validity} {since}))"))[-1].startswith(b"BAD")
        assert await raw.ok("ENABLE qresync NONSENSE") == [b"* ENABLED QRESYNC"]
        told = await raw.ok(f"SELECT INBOX (QRESYNC ({inbox.uid_validity} {since} 1:5 (1 1)))")
        assert told[-2] == b"* VANISHED (EARLIER) 2:3"
        assert told[-1].startswith(b"* 3 FETCH (UID 5 FLAGS (")
        told = await raw.ok(f"SELECT INBOX (QRESYNC (1 {since}))")
        assert not any(b"VANISHED" in line for line in told)
        assert await raw.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)") == [
            b"* VANISHED (EARLIER) 2:3",
            b"* 3 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (%d))" % inbox.highest_modseq,
        ]
        inbox.expunge([1])
        assert await raw.ok("NOOP") == [b"* VANISHED 1"]


async def test_copies_and_moves_tell_the_uids(lab: Lab) -> None:
    fill(lab, 4)
    trash = lab.mailbox("me", "Trash")
    async with opened(lab) as raw:
        *_, last = await raw.ask("COPY 2:3 Trash")
        assert last == b"OK [COPYUID %d 2:3 1:2] copied" % trash.uid_validity
        assert await raw.ask("UID MOVE 1,4 Trash") == [
            b"* OK [COPYUID %d 1,4 3:4] moved" % trash.uid_validity,
            b"* 4 EXPUNGE",
            b"* 1 EXPUNGE",
            b"OK moved",
        ]
        assert (await raw.refused("COPY 1 Nowhere")).startswith(b"NO [TRYCREATE]")
        assert (await raw.refused("UID MOVE 2 Nowhere")).startswith(b"NO [TRYCREATE]")
        assert await raw.ask("UID COPY 99 Trash") == [b"OK copied"]
    assert [one.uid for one in lab.mailbox("me")] == [2, 3]
    assert [b"hello %d" % n in one.raw for n, one in zip((2, 3, 1, 4), trash, strict=True)] == [True] * 4


async def test_qresync_tells_all_that_went_where_the_time_is_forgotten(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncnet.lab.mailbox._MAX_EXPUNGED", 2)
    fill(lab, 6)
    inbox = lab.mailbox("me")
    since = inbox.highest_modseq
    for uid in (2, 3, 5, 6):
        inbox.expunge([uid])
    async with signed_in(lab) as raw:
        await raw.ok("ENABLE QRESYNC")
        told = await raw.ok(f"SELECT INBOX (QRESYNC ({inbox.uid_validity} {since}))")
        assert told[-1] == b"* VANISHED (EARLIER) 2:3,5:6"
        told = await raw.ok(f"UID FETCH 3:* UID (CHANGEDSINCE {since + 2} VANISHED)")
        assert told == [b"* VANISHED (EARLIER) 5:6"]


async def test_what_is_deleted_is_expunged_and_no_more(lab: Lab) -> None:
    fill(lab, 4)
    async with opened(lab) as raw:
        await raw.ok(r"STORE 1,2,4 +FLAGS.SILENT (\Deleted)")
        assert await raw.ok("UID EXPUNGE 2:3") == [b"* 2 EXPUNGE"]
        assert await raw.ok("EXPUNGE") == [b"* 3 EXPUNGE", b"* 1 EXPUNGE"]
        await raw.ok(r"STORE 1 FLAGS (\Deleted)")
        await raw.ok("UNSELECT")
        assert len(lab.mailbox("me")) == 1
        await raw.ok("SELECT INBOX")
        assert await raw.ok("CLOSE") == []
    assert len(lab.mailbox("me")) == 0


async def test_others_hear_at_the_right_moment(lab: Lab) -> None:
    fill(lab, 3)
    async with opened(lab) as one, opened(lab) as other:
        await other.ok(r"STORE 1 FLAGS.SILENT (\Deleted)")
        await other.ok("EXPUNGE")
        lab.deliver(RAW)
        # No number may change while FETCH, STORE and SEARCH are answered (RFC 3501 §7.4.1); what came may be counted.
        assert await one.ok("FETCH 3 UID") == [b"* 3 FETCH (UID 3)", b"* 4 EXISTS", b"* 4 RECENT"]
        assert await one.ok("FETCH 1 BODY.PEEK[TEXT]") == [b"* 1 FETCH (BODY[TEXT] {7}\r\nworld\r\n)"]
        assert (await one.ask(r"STORE 1 FLAGS (\Seen)"))[-1].startswith(b"NO [EXPUNGEISSUED]")
        assert (await one.ask("SEARCH ALL"))[0] == b"* SEARCH 1 2 3 4"
        assert await one.ok("NOOP") == [b"* 1 EXPUNGE"]
        assert await one.ok("FETCH 1 UID") == [b"* 1 FETCH (UID 2)"]


async def test_what_has_gone_unheard_is_not_copied(lab: Lab) -> None:
    fill(lab, 2)
    async with opened(lab) as raw:
        lab.mailbox("me").expunge([1])
        told = await raw.ask("COPY 1:2 Trash")
        assert told[-1].startswith(b"NO [EXPUNGEISSUED]")
        assert told[:-1] == [b"* 1 EXPUNGE"]
        assert len(lab.mailbox("me", "Trash")) == 0
        await raw.ok("COPY 1 Trash")


async def test_append_takes_messages_with_flags_and_date(lab: Lab) -> None:
    validity = lab.mailbox("me", "Drafts").uid_validity
    async with signed_in(lab) as raw:
        *_, last = await raw.ask(
            b'APPEND Drafts (\\Draft $x) " 2-Jan-2024 03:04:05 -0130" {%d+}\r\n%b' % (len(RAW), RAW)
        )
        assert last == b"OK [APPENDUID %d 1] taken" % validity
        *_, last = await raw.ask(b"APPEND Drafts {%d+}\r\n%b (\\Seen) {3+}\r\na\nb" % (len(RAW), RAW))
        assert last == b"OK [APPENDUID %d 2:3] taken" % validity
        await raw.ok(b"APPEND Drafts UTF8 (~{%d+}\r\n%b)" % (len(RAW), RAW))
        await raw.ok(b"APPEND Drafts ~{3+}\r\na\0b")
        await raw.ok("SELECT Drafts")
        assert await raw.ok("FETCH 5 (BODY.PEEK[] BINARY.PEEK[])") == [
            b"* 5 FETCH (BODY[] {3}\r\na\x80b BINARY[] ~{3}\r\na\0b)"
        ]
    first, _, third, *_ = lab.mailbox("me", "Drafts")
    assert (first.raw, first.flags) == (RAW, {"\\Draft", "$x"})
    assert first.received.isoformat() == "2024-01-02T03:04:05-01:30"
    assert (third.raw, third.flags) == (b"a\r\nb", {"\\Seen"})


async def test_a_message_that_does_not_fit_is_refused_and_the_session_goes_on() -> None:
    async with Lab(max_message_bytes=1000, max_messages=1) as lab:
        async with signed_in(lab) as raw:
            assert (await raw.refused("APPEND INBOX {1001}")).startswith(b"NO [TOOBIG]")
            assert (await raw.refused(b"APPEND INBOX {2000+}\r\n" + b"x" * 2000)).startswith(b"NO [TOOBIG]")
            assert (await raw.refused(b"APPEND Nowhere {1+}\r\nx")).startswith(b"NO [TRYCREATE]")
            assert (await raw.refused(b"APPEND INBOX {1+}\r\nx {1+}\r\ny")).startswith(b"NO [OVERQUOTA]")
            assert (await raw.refused(b"APPEND INBOX {0+}\r\n")).startswith(b"BAD")
            assert (await raw.refused("APPEND INBOX")).startswith(b"BAD")
            assert len(lab.mailbox()) == 0
            await raw.ok(b"APPEND INBOX {1000+}\r\n" + b"x" * 1000)


async def test_search_answers_in_the_old_and_the_new_way(lab: Lab) -> None:
    fill(lab, 5)
    lab.mailbox("me").expunge([1])
    async with opened(lab) as raw:
        assert await raw.ok("SEARCH ALL") == [b"* SEARCH 1 2 3 4"]
        assert await raw.ok("UID SEARCH 2:3") == [b"* SEARCH 3 4"]
        assert await raw.ok("SEARCH SEEN") == [b"* SEARCH"]
        assert await raw.ok("SEARCH RETURN () ALL") == [b'* ESEARCH (TAG "t6") ALL 1:4']
        assert await raw.ok("UID SEARCH RETURN (MIN MAX COUNT) ALL") == [
            b'* ESEARCH (TAG "t7") UID MIN 2 MAX 5 COUNT 4'
        ]
        assert await raw.ok("SEARCH RETURN (COUNT MIN) SEEN") == [b'* ESEARCH (TAG "t8") COUNT 0']
        assert await raw.ok("SEARCH RETURN (SAVE) UID 3,5") == []
        assert await raw.ok("UID FETCH $ UID") == [b"* 2 FETCH (UID 3)", b"* 4 FETCH (UID 5)"]
        assert await raw.ok("SEARCH $ UID 5") == [b"* SEARCH 4"]
        assert await raw.ok("SEARCH RETURN (SAVE MIN) ALL") == [b'* ESEARCH (TAG "t12") MIN 1']
        assert await raw.ok("FETCH $ UID") == [b"* 1 FETCH (UID 2)"]
        assert (await raw.refused("SEARCH CHARSET X ALL")).startswith(b"NO [BADCHARSET (UTF-8 US-ASCII)]")
        assert await raw.ok("UID SEARCH $") == [b"* SEARCH 2"]
        # RFC 5182 §2.1: a search that is to be kept and is refused leaves nothing
        assert (await raw.refused("SEARCH RETURN (SAVE) CHARSET X ALL")).startswith(b"NO [BADCHARSET")
        assert await raw.ok("UID SEARCH $") == [b"* SEARCH"]


async def test_imap4rev2_is_another_dialect(lab: Lab) -> None:
    fill(lab, 1)
    lab.account("me").create("Entwürfe")
    async with signed_in(lab) as raw:
        assert await raw.ok('LIST "" Ent*') == [b'* LIST (\\HasNoChildren) "/" "Entw&APw-rfe"']
        assert await raw.ok("ENABLE IMAP4rev2") == [b"* ENABLED IMAP4REV2"]
        assert await raw.ok('LIST "" Ent*') == ['* LIST (\\HasNoChildren) "/" "Entwürfe"'.encode()]
        told = await raw.ok("SELECT INBOX")
        assert b'* LIST () "/" "INBOX"' in told
        assert not any(b"RECENT" in line for line in told)
        assert await raw.ok("SEARCH ALL") == [b'* ESEARCH (TAG "t6") ALL 1']
        await raw.ok('SELECT "Entwürfe"')
