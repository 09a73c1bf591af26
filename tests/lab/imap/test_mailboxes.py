"""LIST and its kin, and mailboxes made, renamed and removed."""

import pytest

from asyncnet.lab.lab import Lab
from tests.lab.imap.raw import opened, signed_in


async def test_all_mailboxes_are_listed_with_what_they_are_for(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        assert await raw.ok('LIST "" "*"') == [
            b'* LIST (\\HasNoChildren) "/" "INBOX"',
            b'* LIST (\\HasNoChildren \\Archive) "/" "Archive"',
            b'* LIST (\\HasNoChildren \\Drafts) "/" "Drafts"',
            b'* LIST (\\HasNoChildren \\Junk) "/" "Junk"',
            b'* LIST (\\HasNoChildren \\Sent) "/" "Sent"',
            b'* LIST (\\HasNoChildren \\Trash) "/" "Trash"',
        ]
        assert await raw.ok('LIST "" ""') == [b'* LIST (\\Noselect) "/" ""']
        assert await raw.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']


async def test_wildcards_references_and_levels(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        await raw.ok("CREATE a/b/c")

        async def names(arguments: str) -> list[bytes]:
            return [line.split(b'"/" ')[1] for line in await raw.ok(f"LIST {arguments}")]

        assert await names('"" a*') == [b'"a"', b'"a/b"', b'"a/b/c"']
        assert await names('"" a/%') == [b'"a/b"']
        assert await names('a/ "%"') == [b'"a/b"']
        assert await names('"" (a INBOX "a/b/c")') == [b'"INBOX"', b'"a"', b'"a/b/c"']
        assert await names('"" %/%/%') == [b'"a/b/c"']


async def test_a_level_without_a_mailbox_is_shown_and_cannot_be_opened(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        await raw.ok("CREATE a/b")
        await raw.ok("DELETE a")
        assert await raw.ok('LIST "" a%') == [b'* LIST (\\NonExistent \\Noselect \\HasChildren) "/" "a"']
        assert (await raw.refused("SELECT a")).startswith(b"NO [NONEXISTENT]")


async def test_extended_list_selects_and_returns(lab: Lab) -> None:
    lab.deliver("Subject: x\n\nx")
    async with signed_in(lab) as raw:
        await raw.ok("CREATE Sub/Deep")
        await raw.ok("SUBSCRIBE Sub/Deep")
        assert await raw.ok('LIST (SPECIAL-USE) "" *') == [
            b'* LIST (\\HasNoChildren \\%b) "/" "%b"' % (name, name)
            for name in (b"Archive", b"Drafts", b"Junk", b"Sent", b"Trash")
        ]
        assert await raw.ok('LIST (SUBSCRIBED) "" Sub*') == [b'* LIST (\\HasNoChildren \\Subscribed) "/" "Sub/Deep"']
        assert await raw.ok('LIST "" INBOX RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))') == [
            b'* LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"',
            b'* STATUS "INBOX" (MESSAGES 1 UNSEEN 1)',
        ]
        await raw.ok("DELETE Sub/Deep")
        assert await raw.ok('LIST (SUBSCRIBED) "" Sub*') == [
            b'* LIST (\\NonExistent \\Noselect \\HasNoChildren \\Subscribed) "/" "Sub/Deep"'
        ]
        for wrong in ('LIST (FOO) "" *', 'LIST "" * RETURN (FOO)', 'LIST "" * FOO', 'LIST ""', "LIST", 'LIST "" ( )'):
            assert (await raw.refused(wrong)).startswith(b"BAD")


async def test_lsub_shows_levels_above_what_is_subscribed_to(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        await raw.ok("CREATE news/python")
        await raw.ok("SUBSCRIBE news/python")
        assert await raw.ok('LSUB "" news/*') == [b'* LSUB () "/" "news/python"']
        assert await raw.ok('LSUB "" n%') == [b'* LSUB (\\Noselect) "/" "news"']
        await raw.ok("UNSUBSCRIBE news/python")
        assert await raw.ok('LSUB "" n*') == []
        assert (await raw.refused("SUBSCRIBE nowhere")).startswith(b"NO [NONEXISTENT]")


async def test_status_counts(lab: Lab) -> None:
    lab.deliver("Subject: a\n\nx", flags=["\\Seen", "\\Deleted"])
    lab.deliver("Subject: b\n\nx")
    inbox = lab.mailbox("me")
    async with signed_in(lab) as raw:
        (told,) = await raw.ok(
            "STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT)"
        )
        assert told == (
            b'* STATUS "INBOX" (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY %d UNSEEN 1 DELETED 1 SIZE %d '
            b"HIGHESTMODSEQ 3 APPENDLIMIT 52428800)" % (inbox.uid_validity, inbox.size_bytes)
        )
        assert (await raw.refused("STATUS Nowhere (MESSAGES)")).startswith(b"NO [NONEXISTENT]")
        for wrong in ("STATUS INBOX", "STATUS INBOX ()", "STATUS INBOX (FOO)", "STATUS INBOX MESSAGES"):
            assert (await raw.refused(wrong)).startswith(b"BAD")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("CREATE INBOX", b"NO [ALREADYEXISTS]"),
        ("CREATE Trash/", b"NO [ALREADYEXISTS]"),
        ('CREATE "a//b"', b"NO [CANNOT]"),
        ('CREATE ""', b"NO [CANNOT]"),
        ("CREATE a*", b"BAD"),
        ('CREATE "a*"', b"NO [CANNOT]"),
        ("CREATE a (USE (\\Nonsense))", b"NO [USEATTR]"),
        ("CREATE &", b"BAD"),
        ("DELETE INBOX", b"NO [CANNOT]"),
        ("DELETE Nowhere", b"NO [NONEXISTENT]"),
        ("RENAME Nowhere x", b"NO [NONEXISTENT]"),
        ("RENAME Trash Sent", b"NO [ALREADYEXISTS]"),
        ("RENAME Trash Trash/below", b"NO [CANNOT]"),
        ("RENAME Trash", b"BAD"),
    ],
)
async def test_what_cannot_be_is_refused(lab: Lab, command: str, answer: bytes) -> None:
    async with signed_in(lab) as raw:
        assert (await raw.refused(command)).startswith(answer)


async def test_renaming_takes_those_below_along_and_keeps_the_mail(lab: Lab) -> None:
    async with signed_in(lab) as raw:
        await raw.ok("CREATE a/b")
        await raw.ok("CREATE Important (USE (\\Flagged))")
        await raw.ok(b"APPEND a/b {1+}\r\nx")
        await raw.ok("RENAME a z/y")
        assert await raw.ok("STATUS z/y/b (MESSAGES)") == [b'* STATUS "z/y/b" (MESSAGES 1)']
        assert await raw.ok('LIST "" Imp*') == [b'* LIST (\\HasNoChildren \\Flagged) "/" "Important"']
        lab.deliver("Subject: x\n\nx")
        await raw.ok("RENAME INBOX Old")
        assert await raw.ok("STATUS Old (MESSAGES)") == [b'* STATUS "Old" (MESSAGES 1)']
        assert await raw.ok("STATUS INBOX (MESSAGES)") == [b'* STATUS "INBOX" (MESSAGES 0)']


async def test_who_deletes_what_is_open_is_told_that_it_is_closed(lab: Lab) -> None:
    lab.account("me").create("Brief")
    async with opened(lab, "Brief") as raw:
        assert await raw.ok("DELETE Brief") == [b"* OK [CLOSED] it was open"]
        assert (await raw.refused("FETCH 1 UID")).startswith(b"BAD")


async def test_another_who_has_it_open_sees_its_messages_go(lab: Lab) -> None:
    lab.account("me").create("Brief").append(b"x\r\n")
    async with opened(lab, "Brief") as one, signed_in(lab) as other:
        await other.ok("DELETE Brief")
        assert await one.ok("NOOP") == [b"* 1 EXPUNGE"]
