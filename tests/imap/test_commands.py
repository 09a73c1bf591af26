"""Every command as it goes over the wire, and what its answers become."""

import re
from datetime import UTC, datetime

import pytest

from asyncnet import ProtocolError, RefusedError, UsageError, imap
from tests.imap.talks import ABLE, LEFT, OPEN, SELECTED, known
from tests.peers import Script


def knowing(*names: str) -> str:
    """A greeting of a server that can do this and no more."""
    return f"S: * PREAUTH [CAPABILITY IMAP4rev1 {' '.join(names)}] ready\n"


async def test_selecting_gives_all_that_the_server_tells_of_the_mailbox() -> None:
    talk = OPEN.replace("S: * 0 RECENT", "S: * OK [HIGHESTMODSEQ 715194045007] kept")
    async with Script(talk + LEFT) as peer, known(peer) as session:
        selected = await session.select()
        assert session.selected == selected
    assert selected == imap.Selected(
        "INBOX",
        exists=3,
        uidvalidity=3857529045,
        uidnext=40,
        flags=frozenset({r"\Answered", r"\Flagged", r"\Deleted", r"\Seen", r"\Draft"}),
        permanent_flags=frozenset({r"\Deleted", r"\Seen", r"\*"}),
        read_only=False,
        highestmodseq=715194045007,
    )


async def test_what_is_told_of_the_old_mailbox_is_not_taken_for_the_new_one() -> None:
    again = r"""
        C: {tag} EXAMINE "Entw&APw-rfe"
        S: * 99 EXISTS
        S: * OK [UIDNEXT 1000] old
        S: * OK [CLOSED] old one closed
        S: * 1 EXISTS
        S: {tag} OK [READ-ONLY] done
    """
    async with Script(OPEN + again + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.select("Entwürfe", read_only=True) == imap.Selected("Entwürfe", exists=1, read_only=True)


async def test_a_mailbox_that_opens_without_a_word_is_a_protocol_error() -> None:
    async with Script(knowing() + "C: {tag} SELECT *\nS: {tag} OK") as peer, known(peer) as session:
        with pytest.raises(ProtocolError):
            await session.select()
        assert not session.is_open


async def test_a_refused_selection_leaves_no_mailbox_open() -> None:
    talk = OPEN + 'C: {tag} SELECT "x"\nS: {tag} NO [NONEXISTENT] no such mailbox\n' + LEFT
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError) as refused:
            await session.select("x")
        assert (refused.value.code, refused.value.text) == ("NO", "[NONEXISTENT] no such mailbox")
        assert refused.value.operation == "SELECT"
        assert not refused.value.transient
        assert session.selected is None
        with pytest.raises(UsageError):
            await session.search()


async def test_what_changes_unasked_is_known_after_the_next_call() -> None:
    talk = r"""
        C: {tag} NOOP
        S: * 5 EXISTS
        S: * 2 EXPUNGE
        S: * VANISHED 7:8
        S: * VANISHED (EARLIER) 1:300
        S: * FLAGS (\Seen)
        S: * OK [UIDVALIDITY 9] new
        S: * OK [ALERT] the disk \x1b[31mis full
        S: * 1 FETCH (FLAGS (\Seen))
        S: * XNEWS hello
        S: * OK
        S: {tag} OK [READ-ONLY] done
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        await session.noop()
        assert session.selected
        assert session.selected.exists == 2
        assert session.selected.flags == {r"\Seen"}
        assert session.selected.uidvalidity == 9
        assert session.selected.read_only
        assert session.alerts == (r"the disk \x1b[31mis full",)


SIMPLE = {
    'CREATE "a b"': lambda session: session.create_mailbox("a b"),
    'DELETE "&AOQ-"': lambda session: session.delete_mailbox("ä"),
    r'RENAME "x\\"y" "a* b"': lambda session: session.rename_mailbox('x"y', "a* b"),
    'SUBSCRIBE "INBOX"': lambda session: session.subscribe("INBOX"),
    r'UNSUBSCRIBE "a\\\\b"': lambda session: session.unsubscribe("a\\b"),
    "NOOP": lambda session: session.noop(),
}


@pytest.mark.parametrize(("line", "call"), SIMPLE.items(), ids=SIMPLE)
async def test_simple_commands_are_sent_quoted_and_refusals_leave_the_session(line: str, call: object) -> None:
    assert callable(call)
    talk = f"C: {{tag}} {line}\nS: {{tag}} OK\n".replace("*", r"\*")
    no = f"C: {{tag}} {line}\nS: {{tag}} NO [INUSE] later\n".replace("*", r"\*")
    bad = f"C: {{tag}} {line}\nS: {{tag}} BAD what\n".replace("*", r"\*")
    async with Script(knowing() + talk + no + bad + talk + LEFT) as peer, known(peer) as session:
        assert await call(session) is None
        with pytest.raises(RefusedError) as refused:
            await call(session)
        assert (refused.value.code, refused.value.transient) == ("NO", True)
        with pytest.raises(RefusedError) as refused:
            await call(session)
        assert (refused.value.code, refused.value.transient) == ("BAD", False)
        await call(session)


@pytest.mark.parametrize(
    ("code", "transient"),
    [
        ("UNAVAILABLE", True), ("INUSE", True), ("LIMIT", True), ("SERVERBUG", True), ("EXPUNGEISSUED", True),
        ("OVERQUOTA", False), ("NOPERM", False), ("TRYCREATE", False), ("ALREADYEXISTS", False), ("CANNOT", False),
    ],
)  # fmt: skip
async def test_refusals_are_transient_by_their_code(code: str, transient: bool) -> None:
    talk = f"C: {{tag}} NOOP\nS: {{tag}} NO [{code}] no\nC: {{tag}} NOOP\nS: {{tag}} BAD [{code}] no\n"
    async with Script(knowing() + talk + LEFT) as peer, known(peer) as session:
        for expected in (transient, False):
            with pytest.raises(RefusedError) as refused:
                await session.noop()
            assert refused.value.transient is expected


async def test_mailboxes_are_listed_with_names_as_text() -> None:
    talk = r"""
        C: {tag} LIST "" "\*"
        S: * LIST (\HasNoChildren \Sent) "/" "Sent Items"
        S: * LIST () "/" Entw&APw-rfe
        S: * 3 EXISTS
        S: * LIST () "/" {4}
        send a* b\r\n
        S: * LIST (\Noselect) NIL "x\"y\\\\z"
        S: {tag} OK
        C: {tag} LIST "a/" "%"
        S: {tag} OK
    """
    async with Script(knowing() + talk + LEFT) as peer, known(peer) as session:
        assert await session.list() == [
            imap.Mailbox("Sent Items", "/", frozenset({r"\HasNoChildren", r"\Sent"})),
            imap.Mailbox("Entwürfe", "/"),
            imap.Mailbox("a* b", "/"),
            imap.Mailbox('x"y\\z', None, frozenset({r"\Noselect"})),
        ]
        assert await session.list("%", "a/") == []
    assert not imap.Mailbox("x", None, frozenset({r"\NoSelect"})).is_selectable
    assert imap.Mailbox("x").is_selectable


async def test_status_asks_for_what_the_server_can_tell() -> None:
    talk = 'C: {tag} STATUS "a b" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)\nS: * STATUS "a b" (MESSAGES 7)\nS: {tag} OK\n'
    async with Script(knowing() + talk + LEFT) as peer, known(peer) as session:
        assert await session.status("a b") == imap.MailboxStatus("a b", messages=7)
    talk = 'C: {tag} STATUS "x" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ SIZE)\nS: {tag} OK\n'
    async with Script(knowing("CONDSTORE", "STATUS=SIZE") + talk) as peer, known(peer) as session:
        with pytest.raises(ProtocolError):
            await session.status("x")


async def test_namespace_and_id_are_told() -> None:
    talk = r"""
        C: {tag} NAMESPACE
        S: * NAMESPACE (("" "/")) NIL (("shared/" "/"))
        S: {tag} OK
        C: {tag} NAMESPACE
        S: {tag} OK
    """
    identify = r"""
        C: {tag} ID NIL
        S: * ID ("name" "Dovecot" "x" NIL)
        S: {tag} OK
        C: {tag} ID ("name" "a\"b" "version" "1")
        S: {tag} OK
    """
    async with Script(knowing() + identify + talk) as peer, known(peer) as session:
        assert await session.id() == {"name": "Dovecot", "x": None}
        assert await session.id({"name": 'a"b', "version": "1"}) == {}
        spaces = await session.namespace()
        assert spaces.personal == (imap.Namespace("", "/"),)
        assert spaces.shared == (imap.Namespace("shared/", "/"),)
        with pytest.raises(ProtocolError):
            await session.namespace()


async def test_leaving_a_mailbox_closes_or_unselects_it() -> None:
    talk = "C: {tag} UNSELECT\nS: {tag} OK\n" + SELECTED + "C: {tag} CLOSE\nS: {tag} OK\n"
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        await session.unselect()
        assert session.selected is None
        with pytest.raises(UsageError):
            await session.unselect()
        await session.select()
        await session.close()
        assert session.selected is None
        with pytest.raises(UsageError):
            await session.close()
        assert session.is_open


async def test_a_server_without_unselect_is_left_by_the_back_door() -> None:
    talk = 'C: {tag} EXAMINE "INBOX"\nS: * 3 EXISTS\nS: {tag} OK [READ-ONLY]\nC: {tag} CLOSE\nS: {tag} OK\n'
    async with Script(knowing() + SELECTED + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        await session.unselect()


# Messages


async def test_searches_give_uids_in_order_however_they_come() -> None:
    talk = r"""
        C: {tag} UID SEARCH ALL
        S: * SEARCH 7 3
        S: * 4 EXISTS
        S: * SEARCH 3 9
        S: {tag} OK
        C: {tag} UID SEARCH UNSEEN
        S: * ESEARCH (TAG "{tag}") UID ALL 2,4:6
        S: {tag} OK
        C: {tag} UID SEARCH DELETED
        S: {tag} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.search() == [3, 7, 9]
        assert await session.search("UNSEEN") == [2, 4, 5, 6]
        assert await session.search("DELETED") == []


async def test_a_search_beyond_ascii_says_utf_8_and_sends_literals() -> None:
    at_once = r"""
        C: {tag} UID SEARCH CHARSET UTF-8 (SUBJECT {7+}
        expect Gr\xc3\xbc\xc3\x9fe UNSEEN)\r\n
        S: {tag} OK
    """
    asked = r"""
        C: {tag} UID SEARCH CHARSET UTF-8 OR FROM {2}
        S: + go on
        expect \xc3\xbc TO {3}\r\n
        S: + go on
        expect \xe6\x97\xa5\r\n
        S: * SEARCH 1
        S: {tag} OK
        C: {tag} UID SEARCH CHARSET UTF-8 FROM {2}
        S: {tag} NO [BADCHARSET (US-ASCII)] only ASCII here
        C: {tag} NOOP
        S: {tag} OK
    """
    async with Script(OPEN + at_once + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.search("(SUBJECT Grüße UNSEEN)") == []
    async with Script(knowing("LITERAL-") + SELECTED + at_once + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.search("(SUBJECT Grüße UNSEEN)") == []
    async with Script(knowing() + SELECTED + asked + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.search('OR FROM "ü" TO 日') == [1]
        with pytest.raises(RefusedError, match="BADCHARSET"):
            await session.search("FROM ü")
        await session.noop()


async def test_a_message_is_fetched_with_all_about_it() -> None:
    talk = r"""
        C: {tag} UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])
        S: * 9 FETCH (UID 8 FLAGS () BODY[] "another")
        S: * 2 FETCH (FLAGS (\Seen))
        S: * 1 EXISTS
        S: * 4 FETCH (FLAGS (\Seen $x) UID 7 INTERNALDATE "17-Jul-1996 02:44:25 +0000" RFC822.SIZE 9 BODY[] {{#mail}}
        dump mail
        S: )
        S: {tag} OK
    """
    mail = b"* BYE\r\n\0\xff"
    async with Script(OPEN + talk + LEFT, bodies={"mail": mail}) as peer, known(peer) as session:
        await session.select()
        message = await session.fetch(7)
    assert (message.raw, message.uid, message.number, message.size) == (mail, 7, 4, 9)
    assert message.flags == {r"\Seen", "$x"}
    assert message.received == datetime(1996, 7, 17, 2, 44, 25, tzinfo=UTC)


FETCHES = {
    "BODY.PEEK[HEADER]": {"headers_only": True},
    "BODY.PEEK[1.2]": {"part": "1.2"},
    "BODY.PEEK[2.MIME]": {"part": "2.mime"},
    "BODY[]": {"mark_seen": True},
    "BODY[TEXT]": {"part": "TEXT", "mark_seen": True},
}


@pytest.mark.parametrize(("item", "options"), FETCHES.items(), ids=FETCHES)
async def test_a_part_is_asked_for_by_its_name(item: str, options: dict[str, object]) -> None:
    name = item.replace(".PEEK", "")
    talk = rf"""
        C: {{tag}} UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE {item})
        S: * 4 FETCH (UID 7 {name} "text")
        S: {{tag}} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert (await session.fetch(7, **options)).raw == b"text"  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["", "S: * 1 FETCH (UID 8 BODY[] {1}\nsend x)\\r\\n\n", "S: * 1 FETCH (FLAGS ())\n",
                                    "S: * 1 FETCH (UID 7 FLAGS ())\n"])  # fmt: skip
async def test_a_message_that_does_not_come_is_refused(answer: str) -> None:
    talk = "C: {tag} UID FETCH 7 *\n" + answer + "S: {tag} OK\n"
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match=r"no such message \(UID 7\)") as refused:
            await session.fetch(7)
        assert refused.value.endpoint
        assert session.is_open


@pytest.mark.parametrize("text", ["NIL)", '"")', "{0}\nS: )"])
async def test_an_empty_message_that_has_a_size_is_a_protocol_error(text: str) -> None:
    talk = f"C: {{tag}} UID FETCH 7 *\nS: * 1 FETCH (UID 7 RFC822.SIZE 100 BODY[] {text}\nS: {{tag}} OK\n"
    async with Script(OPEN + talk) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(ProtocolError):
            await session.fetch(7)
        assert not session.is_open


async def test_an_empty_message_of_no_size_is_one() -> None:
    talk = 'C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 RFC822.SIZE 0 BODY[] "")\nS: {tag} OK\n'
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert (await session.fetch(7)).raw == b""


async def test_a_part_that_is_not_there_is_refused() -> None:
    talk = "C: {tag} UID FETCH 7 *\nS: * 1 FETCH (UID 7 BODY[9] NIL)\nS: {tag} OK\n"
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="no part 9"):
            await session.fetch(7, part="9")


async def test_flags_are_stored_and_told() -> None:
    talk = r"""
        C: {tag} UID STORE 1:2,7 +FLAGS (\Seen)
        S: * 1 FETCH (UID 1 FLAGS (\Seen))
        S: * 5 FETCH (UID 5 FLAGS (\Draft))
        S: * 2 FETCH (FLAGS (\Seen) UID 2 MODSEQ (7))
        S: {tag} OK
        C: {tag} UID STORE 1 +FLAGS ($a)
        S: * 1 FETCH (UID 1 FLAGS (\Seen $a))
        S: {tag} OK
        C: {tag} UID STORE 1 -FLAGS (\Seen)
        S: * 1 FETCH (UID 1 FLAGS ($a))
        S: {tag} OK
        C: {tag} UID STORE 1 FLAGS ()
        S: {tag} NO [READ-ONLY] no
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.store([1, 2, 7], add={r"\Seen"}) == {1: {r"\Seen"}, 2: {r"\Seen"}}
        assert await session.store(1, add=["$a"], remove=[r"\Seen"]) == {1: {"$a"}}
        with pytest.raises(RefusedError):
            await session.store(1, replace=[])


async def test_copies_and_moves_tell_the_new_uids() -> None:
    talk = r"""
        C: {tag} UID COPY 1:2,5 "a b"
        S: {tag} OK [COPYUID 7 1:2,5 11:13] done
        C: {tag} UID MOVE 5 "x"
        S: * OK [COPYUID 7 5 99] moved
        S: * 3 EXPUNGE
        S: {tag} OK done
        C: {tag} UID COPY 1 "x"
        S: {tag} OK [COPYUID 7 1:4294967295 1:4294967295] far too many
        C: {tag} UID COPY 1 "x"
        S: {tag} OK done
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.copy([1, 2, 5], "a b") == {1: 11, 2: 12, 5: 13}
        assert await session.move(5, "x") == {5: 99}
        assert session.selected
        assert session.selected.exists == 2
        assert await session.copy(1, "x") == {}
        assert await session.copy(1, "x") == {}


async def test_a_move_without_move_copies_flags_and_expunges_those_alone() -> None:
    talk = r"""
        C: {tag} UID COPY 5 "x"
        S: {tag} OK [COPYUID 7 5 99] done
        C: {tag} UID STORE 5 +FLAGS.SILENT (\Deleted)
        S: {tag} OK
        C: {tag} UID EXPUNGE 5
        S: * 3 EXPUNGE
        S: {tag} OK
    """
    async with Script(knowing("UIDPLUS") + SELECTED + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.move(5, "x") == {5: 99}


async def test_a_move_without_uidplus_looks_for_other_deleted_messages_first() -> None:
    talk = r"""
        C: {tag} UID SEARCH DELETED
        S: * SEARCH 2 5
        S: {tag} OK
        C: {tag} UID SEARCH DELETED
        S: * SEARCH 5
        S: {tag} OK
        C: {tag} UID COPY 5 "x"
        S: {tag} OK
        C: {tag} UID STORE 5 +FLAGS.SILENT (\Deleted)
        S: {tag} OK
        C: {tag} EXPUNGE
        S: * 3 EXPUNGE
        S: {tag} OK
    """
    async with Script(knowing() + SELECTED + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match=r"1 other messages are flagged \\Deleted"):
            await session.move(5, "x")
        assert await session.move(5, "x") == {}
        with pytest.raises(RefusedError, match="by UID"):
            await session.expunge([5])


async def test_expunging_counts_what_went() -> None:
    talk = r"""
        C: {tag} EXPUNGE
        S: * 1 EXPUNGE
        S: * 1 EXPUNGE
        S: {tag} OK
        C: {tag} UID EXPUNGE 5:6
        S: {tag} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.expunge() == 2
        assert session.selected
        assert session.selected.exists == 1
        assert await session.expunge([5, 6]) == 0


async def test_a_message_is_appended_with_flags_date_and_crlf() -> None:
    asked = r"""
        C: {tag} APPEND "Entw&APw-rfe" (\Seen $x) " 7-Jul-1996 02:44:25 +0000" {6}
        S: + Ready for literal data
        expect a\r\nb\r\n\r\n
        S: {tag} OK [APPENDUID 38505 3955] done
        C: {tag} APPEND "nowhere" {1}
        S: {tag} NO [TRYCREATE] no such mailbox
        C: {tag} APPEND "INBOX" {0}
        S: +
        expect \r\n
        S: {tag} OK done
    """
    moment = datetime(1996, 7, 7, 2, 44, 25, tzinfo=UTC)
    async with Script(knowing() + asked + LEFT) as peer, known(peer) as session:
        assert await session.append(b"a\nb\r", "Entwürfe", flags=(r"\Seen", "$x"), received=moment) == 3955
        with pytest.raises(RefusedError, match="TRYCREATE"):
            await session.append(b"x", "nowhere")
        assert await session.append(b"") is None


@pytest.mark.parametrize(("offer", "size", "announced"), [("LITERAL+", 9000, "9000+"), ("LITERAL-", 4096, "4096+"),
                                                          ("LITERAL-", 4097, "4097")])  # fmt: skip
async def test_literals_go_at_once_where_the_server_takes_them(offer: str, size: int, announced: str) -> None:
    go = "" if announced.endswith("+") else "S: +\n"
    talk = f'C: {{tag}} APPEND "INBOX" {{{announced}}}\n{go}read {size}\nexpect \\r\\n\nS: {{tag}} OK\n'
    async with Script(knowing(offer) + talk + LEFT) as peer, known(peer) as session:
        await session.append(b"x" * size)


async def test_a_long_set_of_uids_is_asked_for_in_several_commands() -> None:
    uids = range(1_000_000_001, 1_000_002_000, 2)
    one = "C: /(?P<tag>\\w+) UID STORE (?P<set>[0-9,]+) \\+FLAGS \\(x\\)/\nS: {tag} OK\n"
    async with Script(OPEN + one * 2 + LEFT) as peer, known(peer) as session:
        await session.select()
        await session.store(uids, add=["x"])
    sets = re.findall(rb"STORE ([0-9,]+)", peer.received)
    assert max(map(len, sets)) < 8000
    assert [int(uid) for part in sets for uid in part.split(b",")] == list(uids)


async def test_sizes_are_told_by_uid() -> None:
    talk = r"""
        C: {tag} UID FETCH 1:3 (UID RFC822.SIZE)
        S: * 1 FETCH (UID 1 RFC822.SIZE 10)
        S: * 2 FETCH (RFC822.SIZE 4294967296 UID 3)
        S: * 3 FETCH (RFC822.SIZE 5 UID 4)
        S: {tag} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.sizes([1, 2, 3]) == {1: 10, 3: 4294967296}


WRONG = {
    "uid": lambda session: session.fetch(0),
    "uids for one": lambda session: session.fetch([1, 2]),
    "uid as text": lambda session: session.fetch("1"),
    "no uids": lambda session: session.copy([], "x"),
    "line end in a name": lambda session: session.select("x\r\nA1 DELETE INBOX"),
    "empty name": lambda session: session.create_mailbox(""),
    "criteria": lambda session: session.search("ALL\r\nA1 LOGOUT"),
    "flag": lambda session: session.store(1, add=["\r\n"]),
    "both": lambda session: session.store(1, add=["x"], replace=["y"]),
    "nothing": lambda session: session.store(1),
    "part": lambda session: session.fetch(1, part="1] BODY["),
    "NUL": lambda session: session.append(b"\0"),
    "flags of append": lambda session: session.append(b"", flags=["("]),
    "id": lambda session: session.id({"x": "\r\n"}),
    "pattern": lambda session: session.list("\n"),
    "timeout": lambda session: session.noop(timeout=-1),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
async def test_a_wrong_call_is_refused_before_a_byte_is_sent(call: object) -> None:
    assert callable(call)
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        before = len(peer.received)
        with pytest.raises(UsageError):
            await call(session)
        assert len(peer.received) == before
        assert session.is_open


async def test_messages_takes_criteria_or_uids() -> None:
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(UsageError):
            session.messages("UNSEEN", uids=[1])
        with pytest.raises(UsageError):
            session.messages("(")
        with pytest.raises(UsageError):
            session.messages(uids=[])
        assert await session.fetch_many([]) == []


def test_what_the_server_can_do_is_nothing_before_it_said_so() -> None:
    session = imap.session("imaps://mail.example.org")
    assert session.capabilities == frozenset()
    assert session.selected is None
    assert not session.is_open
    assert "IMAP4rev1" in ABLE
