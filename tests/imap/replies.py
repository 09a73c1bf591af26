"""Responses and the values that they are: the examples of the RFCs, and odd lines of real servers."""

from datetime import UTC, datetime, timedelta, timezone

from asyncnet.imap.envelope import Address, Envelope
from asyncnet.imap.mailbox import Mailbox, MailboxStatus
from asyncnet.imap.response import (
    Capabilities,
    Code,
    Continuation,
    Enabled,
    Exists,
    Expunged,
    ExtendedFound,
    Fetched,
    Flags,
    Found,
    Listed,
    Namespace,
    Namespaces,
    Recent,
    Reply,
    ServerId,
    Status,
    StatusItems,
    Unknown,
    Vanished,
)
from asyncnet.imap.structure import Part
from asyncnet.imap.uid_set import UidSet
from tests.imap.rfc_replies import BY_RFC

WEST = timezone(timedelta(hours=-7))
GRAY = Address("Terry Gray", "gray", "cac.washington.edu")


def uids(*ranges: tuple[int, int]) -> UidSet:
    return UidSet(ranges)


# RFC 3501 §8 and RFC 9051 §8: the sample connection; §6 and §7: the examples of each command and response.
STATUSES: dict[bytes, Reply] = {
    b"* OK IMAP4rev1 Service Ready\r\n": Status("OK", "IMAP4rev1 Service Ready"),
    b"* PREAUTH IMAP4rev2 server logged in as Smith\r\n": Status("PREAUTH", "IMAP4rev2 server logged in as Smith"),
    b"* BYE Autologout; idle for too long\r\n": Status("BYE", "Autologout; idle for too long"),
    b"* NO Disk is 98% full, please delete unnecessary data\r\n": Status(
        "NO", "Disk is 98% full, please delete unnecessary data"
    ),
    b"* BAD Command line too long\r\n": Status("BAD", "Command line too long"),
    b"a001 OK LOGIN completed\r\n": Status("OK", "LOGIN completed", None, "a001"),
    b"A222 NO COPY failed: disk is full\r\n": Status("NO", "COPY failed: disk is full", None, "A222"),
    b"A443 BAD Unknown command\r\n": Status("BAD", "Unknown command", None, "A443"),
    b"a002 OK [READ-WRITE] SELECT completed\r\n": Status("OK", "SELECT completed", Code("READ-WRITE"), "a002"),
    b"* OK [UNSEEN 12] Message 12 is first unseen\r\n": Status(
        "OK", "Message 12 is first unseen", Code("UNSEEN", "12", 12)
    ),
    b"* OK [UIDVALIDITY 3857529045] UIDs valid\r\n": Status(
        "OK", "UIDs valid", Code("UIDVALIDITY", "3857529045", 3857529045)
    ),
    b"* OK [UIDNEXT 4392] Predicted next UID\r\n": Status("OK", "Predicted next UID", Code("UIDNEXT", "4392", 4392)),
    b"* OK [PERMANENTFLAGS (\\Deleted \\Seen \\*)] Limited\r\n": Status(
        "OK", "Limited", Code("PERMANENTFLAGS", "(\\Deleted \\Seen \\*)", words=("\\*", "\\Deleted", "\\Seen"))
    ),
    b"* OK [PERMANENTFLAGS ()] No permanent flags permitted\r\n": Status(
        "OK", "No permanent flags permitted", Code("PERMANENTFLAGS", "()")
    ),
    b"* OK [HIGHESTMODSEQ 715194045007]\r\n": Status("OK", "", Code("HIGHESTMODSEQ", "715194045007", 715194045007)),
    b"* OK [ALERT] System shutdown in 10 minutes\r\n": Status("OK", "System shutdown in 10 minutes", Code("ALERT")),
    b"* OK [CLOSED] Previous mailbox is now closed\r\n": Status("OK", "Previous mailbox is now closed", Code("CLOSED")),
    b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n": Status(
        "OK",
        "ready",
        Code("CAPABILITY", "IMAP4rev1 SASL-IR AUTH=PLAIN", words=("IMAP4REV1", "SASL-IR", "AUTH=PLAIN")),
    ),
    b"B00000 NO [AUTHENTICATIONFAILED] Login failed\r\n": Status(
        "NO", "Login failed", Code("AUTHENTICATIONFAILED"), "B00000"
    ),
    b"A003 NO [TRYCREATE] No such mailbox\r\n": Status("NO", "No such mailbox", Code("TRYCREATE"), "A003"),
    b'A5 NO [BADCHARSET (UTF-8 "x]y")] no\r\n': Status(
        "NO", "no", Code("BADCHARSET", '(UTF-8 "x]y")', words=("UTF-8", "x]y")), "A5"
    ),
    # RFC 4315 §3
    b"A003 OK [APPENDUID 38505 3955] APPEND completed\r\n": Status(
        "OK", "APPEND completed", Code("APPENDUID", "38505 3955", 38505, target=uids((3955, 3955))), "A003"
    ),
    b"A004 OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n": Status(
        "OK",
        "Done",
        Code("COPYUID", "38505 304,319:320 3956:3958", 38505, (), uids((304, 304), (319, 320)), uids((3956, 3958))),
        "A004",
    ),
    # What cannot be read is no hint, and no error either; free text is free.
    b"A1 OK [COPYUID 1 2:x 3] Done\r\n": Status("OK", "Done", Code("COPYUID", "1 2:x 3"), "A1"),
    b"A1 OK [UIDNEXT] Done\r\n": Status("OK", "Done", Code("UIDNEXT"), "A1"),
    b"* OK [unclosed and {5}\r\n": Status("OK", "[unclosed and {5}"),
    b"A1 OK ends like a literal {5}\r\n": Status("OK", "ends like a literal {5}", None, "A1"),
    b"* ok lower case gr\xc3\xbcn \xff\r\n": Status(
        "OK", "lower case gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n \ufffd"
    ),
    b"* OK\r\n": Status("OK"),
    b"A1 OK\r\n": Status("OK", "", None, "A1"),
    b"+ Ready for additional command text\r\n": Continuation(b"Ready for additional command text"),
    b"+ \r\n": Continuation(),
    b"+\r\n": Continuation(),
    b"+ ends like a literal {5}\r\n": Continuation(b"ends like a literal {5}"),
}

DATA: dict[bytes, Reply] = {
    b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=GSSAPI LOGINDISABLED\r\n": Capabilities(
        frozenset({"IMAP4REV1", "STARTTLS", "AUTH=GSSAPI", "LOGINDISABLED"})
    ),
    b"* ENABLED CONDSTORE X-GOOD-IDEA\r\n": Enabled(frozenset({"CONDSTORE", "X-GOOD-IDEA"})),
    b"* ENABLED\r\n": Enabled(frozenset()),
    b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n": Flags(
        frozenset({"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"})
    ),
    b"* 172 EXISTS\r\n": Exists(172),
    b"* 1 RECENT\r\n": Recent(1),
    b"* 44 EXPUNGE\r\n": Expunged(44),
    b"* SEARCH 2 84 882\r\n": Found((2, 84, 882)),
    b"* SEARCH\r\n": Found(()),
    b"* SEARCH \r\n": Found(()),
    b"* SEARCH 2 84 882 \r\n": Found((2, 84, 882)),  # Yahoo
    b"* SEARCH 2 5 6 7 11 12 18 19 20 23 (MODSEQ 917162500)\r\n": Found(
        (2, 5, 6, 7, 11, 12, 18, 19, 20, 23), 917162500
    ),
    # RFC 9051 §7.3.4, RFC 4731
    b"* SEARCH 1 2 (MODSEQ 9) 3 4\r\n": Found((1, 2, 3, 4), 9),
    b'* ESEARCH (TAG "A282") MIN 2 COUNT 3\r\n': ExtendedFound("A282", minimum=2, count=3),
    b'* ESEARCH (TAG "A283") ALL 2,10:11\r\n': ExtendedFound("A283", every=uids((2, 2), (10, 11))),
    b'* ESEARCH (TAG "a567") UID COUNT 17 ALL 4:18,21,28\r\n': ExtendedFound(
        "a567", by_uid=True, count=17, every=uids((4, 18), (21, 21), (28, 28))
    ),
    b'* ESEARCH (TAG "A1") UID MIN 7 MAX 3800 MODSEQ 917162500\r\n': ExtendedFound(
        "A1", by_uid=True, minimum=7, maximum=3800, modseq=917162500
    ),
    b'* ESEARCH (TAG "A286")\r\n': ExtendedFound("A286"),
    b"* ESEARCH UID ALL 1\r\n": ExtendedFound(by_uid=True, every=uids((1, 1))),
    b'* LIST (\\Noselect) "/" ~/Mail/foo\r\n': Listed(Mailbox("~/Mail/foo", "/", frozenset({"\\Noselect"}))),
    b'* LIST (\\Noselect) "/" ""\r\n': Listed(Mailbox("", "/", frozenset({"\\Noselect"}))),
    b"* LIST () NIL INBOX\r\n": Listed(Mailbox("INBOX")),
    b'* LIST (\\Marked \\Drafts) "/" {5}\r\na* b"\r\n': Listed(
        Mailbox('a* b"', "/", frozenset({"\\Marked", "\\Drafts"}))
    ),
    b'* LIST () "\\\\" "x\\"y\\\\z"\r\n': Listed(Mailbox('x"y\\z', "\\")),
    b'* LIST () "." "~peter/mail/&U,BTFw-/&ZeVnLIqe-"\r\n': Listed(Mailbox("~peter/mail/台北/日本語", ".")),
    b'* LIST () "/" "a* b"\r\n': Listed(Mailbox("a* b", "/")),
    b'* LIST (\\NonExistent) "/" "Foo" ("CHILDINFO" ("SUBSCRIBED"))\r\n': Listed(
        Mailbox("Foo", "/", frozenset({"\\NonExistent"}))
    ),
    b'* LSUB () "." #news.comp.mail.misc\r\n': Listed(Mailbox("#news.comp.mail.misc", ".")),
    b'* LIST () "/" gr\xc3\xbcn\r\n': Listed(Mailbox("grün", "/")),
    b"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n": StatusItems(
        MailboxStatus("blurdybloop", messages=231, uidnext=44292)
    ),
    b'* STATUS "a b" (UNSEEN 0 UIDVALIDITY 7 HIGHESTMODSEQ 18446744073709551615 SIZE 9 )\r\n': StatusItems(
        MailboxStatus("a b", None, 0, None, 7, 18446744073709551615, 9)
    ),
    b"* STATUS INBOX ()\r\n": StatusItems(MailboxStatus("INBOX")),
    # RFC 2342 §5
    b'* NAMESPACE (("" "/")) NIL NIL\r\n': Namespaces((Namespace("", "/"),)),
    b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/" "X-PARAM" ("FLAG1")))\r\n': Namespaces(
        (Namespace("", "/"),), (Namespace("~", "/"),), (Namespace("#shared/", "/"), Namespace("#public/", "/"))
    ),
    b'* NAMESPACE NIL NIL (("" NIL))\r\n': Namespaces((), (), (Namespace("", None),)),
    # RFC 2971 §3.2
    b'* ID ("name" "Cyrus" "os" NIL)\r\n': ServerId({"name": "Cyrus", "os": None}),
    b"* ID NIL\r\n": ServerId({}),
    # RFC 7162 §3.1.2.1, §3.1.4.1, §3.1.3, §3.2.5.1, §3.2.10, §3.2.11
    b"* OK [NOMODSEQ] Sorry, this mailbox format doesn't support modsequences\r\n": Status(
        "OK", "Sorry, this mailbox format doesn't support modsequences", Code("NOMODSEQ")
    ),
    b"* 1 FETCH (UID 4 MODSEQ (65402) FLAGS (\\Seen))\r\n": Fetched(
        1, uid=4, modseq=65402, flags=frozenset({"\\Seen"})
    ),
    b"d105 OK [MODIFIED 7,9] Conditional STORE failed\r\n": Status(
        "OK", "Conditional STORE failed", Code("MODIFIED", "7,9"), "d105"
    ),
    b"* OK [CLOSED]\r\n": Status("OK", "", Code("CLOSED")),
    b"* ENABLED CONDSTORE QRESYNC\r\n": Enabled(frozenset({"CONDSTORE", "QRESYNC"})),
    b"* VANISHED (EARLIER) 41,43:116,118\r\n": Vanished(uids((41, 41), (43, 116), (118, 118)), earlier=True),
    b"* VANISHED 405,407\r\n": Vanished(uids((405, 405), (407, 407))),
    b"* XLIST-STATE gone {3}\r\nabc and more\r\n": Unknown("XLIST-STATE", b"gone "),
    b"* 5 NOVELTY yes\r\n": Unknown("NOVELTY", b"5 NOVELTY yes"),
}

FETCHES: dict[bytes, Reply] = {
    b"* 23 FETCH (FLAGS (\\Seen) RFC822.SIZE 44827)\r\n": Fetched(23, flags=frozenset({"\\Seen"}), size=44827),
    b"* 4 FETCH (UID 2 FLAGS ())\r\n": Fetched(4, uid=2, flags=frozenset()),
    b'* 12 FETCH (INTERNALDATE "17-Jul-1996 02:44:25 -0700")\r\n': Fetched(
        12, received=datetime(1996, 7, 17, 2, 44, 25, tzinfo=WEST)
    ),
    b'* 12 FETCH (INTERNALDATE " 1-jan-2024 00:00:00 +0000")\r\n': Fetched(
        12, received=datetime(2024, 1, 1, tzinfo=UTC)
    ),
    b"* 5 FETCH (UID 101 MODSEQ (624140003))\r\n": Fetched(5, uid=101, modseq=624140003),
    b"* 12 FETCH (BODY[HEADER] {27}\r\nDate: Wed\r\nSubject: x \xff\r\n\r\n)\r\n": Fetched(
        12, sections={"BODY[HEADER]": b"Date: Wed\r\nSubject: x \xff\r\n\r\n"}
    ),
    b"* 1 FETCH (BODY[]<0> {0}\r\n UID 7)\r\n": Fetched(1, uid=7, sections={"BODY[]<0>": b""}),
    b"* 1 FETCH (BODY[1.2] NIL)\r\n": Fetched(1, sections={"BODY[1.2]": None}),
    b'* 1 FETCH (BODY[TEXT] "short" UID 3)\r\n': Fetched(1, uid=3, sections={"BODY[TEXT]": b"short"}),
    b"* 1 FETCH (BODY[HEADER.FIELDS (DATE FROM)] {2}\r\n\r\n)\r\n": Fetched(
        1, sections={"BODY[HEADER.FIELDS (DATE FROM)]": b"\r\n"}
    ),
    b'* 1 FETCH (BODY[HEADER.FIELDS ("a]b" FROM)] "x")\r\n': Fetched(
        1, sections={'BODY[HEADER.FIELDS ("A]B" FROM)]': b"x"}
    ),
    b"* 1 FETCH (RFC822 {4}\r\n{5}\r RFC822.HEADER {1}\r\n( RFC822.TEXT {1}\r\n))\r\n": Fetched(
        1, sections={"BODY[]": b"{5}\r", "BODY[HEADER]": b"(", "BODY[TEXT]": b")"}
    ),
    b"* 1 FETCH (BINARY[1] ~{3}\r\n\0\r\n)\r\n": Fetched(1, sections={"BINARY[1]": b"\0\r\n"}),
    b"* 1 FETCH (uid 1 body[] {3}\r\n\0\xff\n rfc822.size 3)\r\n": Fetched(
        1, uid=1, size=3, sections={"BODY[]": b"\0\xff\n"}
    ),
    b'* 1 FETCH (UID 1 X-GM-LABELS (\\Inbox "a b" {1}\r\nc) X-GM-MSGID 1278455344230334865)\r\n': Fetched(
        1,
        uid=1,
        others={"X-GM-LABELS": [b"\\Inbox", b"a b", b"c"], "X-GM-MSGID": b"1278455344230334865"},
    ),
    # What breaks its own grammar is left out and named.
    b'* 1 FETCH (UID 1 INTERNALDATE "31-Feb-2024 00:00:00 +0000" ENVELOPE NIL BODYSTRUCTURE ("x"))\r\n': Fetched(
        1, uid=1, skipped=("INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE")
    ),
    b"* 1 FETCH (UID 1 FLAGS NIL RFC822.SIZE -1)\r\n": Fetched(1, uid=1, skipped=("FLAGS", "RFC822.SIZE")),
    # RFC 3501 §7.4.2 and §8
    b'* 12 FETCH (ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" '
    b'"IMAP4rev2 WG mtg summary and minutes" '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
    b'((NIL NIL "imap" "cac.washington.edu")) '
    b'((NIL NIL "minutes" "CNRI.Reston.VA.US") ("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
    b'"<B27397-0100000@cac.washington.edu>"))\r\n': Fetched(
        12,
        envelope=Envelope(
            "Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
            "IMAP4rev2 WG mtg summary and minutes",
            (GRAY,),
            (GRAY,),
            (GRAY,),
            (Address(None, "imap", "cac.washington.edu"),),
            (Address(None, "minutes", "CNRI.Reston.VA.US"), Address("John Klensin", "KLENSIN", "MIT.EDU")),
            message_id="<B27397-0100000@cac.washington.edu>",
        ),
    ),
    # A group, and literals and loose parentheses in strings
    b'* 1 FETCH (ENVELOPE (NIL {5}\r\n(((\r\n ((NIL NIL "a)" "b"))NIL NIL'
    b' ((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)) "" () "<x>" NIL))\r\n': Fetched(
        1,
        envelope=Envelope(
            None,
            "(((\r\n",
            (Address(None, "a)", "b"),),
            to=(Address(None, "undisclosed-recipients", None),),
            in_reply_to="<x>",
        ),
    ),
    b'* 12 FETCH (BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92))\r\n': Fetched(
        12, structure=Part("1", "text/plain", {"charset": "US-ASCII"}, None, None, "7bit", 3028, 92)
    ),
    # RFC 3501 §7.4.2: two parts, the second an attachment
    b'* 1 FETCH (BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)'
    b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" '
    b'"Compiler diff" "BASE64" 4554 73 NIL ("attachment" ("FILENAME" "a b.diff")) ("en" "de") "http://x/")'
    b' "MIXED" ("BOUNDARY" "b") ("inline" NIL) "en"))\r\n': Fetched(
        1,
        structure=Part(
            "",
            "multipart/mixed",
            {"boundary": "b"},
            disposition="inline",
            language=("en",),
            parts=(
                Part("1", "text/plain", {"charset": "US-ASCII"}, None, None, "7bit", 1152, 23),
                Part(
                    "2",
                    "text/plain",
                    {"charset": "US-ASCII", "name": "cc.diff"},
                    "<960723163407.20117h@cac.washington.edu>",
                    "Compiler diff",
                    "base64",
                    4554,
                    73,
                    "attachment",
                    {"filename": "a b.diff"},
                    ("en", "de"),
                    "http://x/",
                ),
            ),
        ),
    ),
    # RFC 9051 §6.4.5.1: how parts are numbered, in small
    b'* 1 FETCH (BODYSTRUCTURE (("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1)'
    b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)'
    b'(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 2 1)("IMAGE" "GIF" NIL NIL NIL "BASE64" 3 NIL ("inline" NIL)) "MIXED") 4)'
    b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 8 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)'
    b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1) 6 NIL ("attachment" NIL)) "MIXED"))\r\n': Fetched(
        1,
        structure=Part(
            "",
            "multipart/mixed",
            parts=(
                Part("1", "text/plain", encoding="7bit", size=1, lines=1),
                Part(
                    "2",
                    "message/rfc822",
                    encoding="7bit",
                    size=9,
                    lines=4,
                    envelope=Envelope(subject="in"),
                    parts=(
                        Part(
                            "2",
                            "multipart/mixed",
                            parts=(
                                Part("2.1", "text/plain", encoding="7bit", size=2, lines=1),
                                Part("2.2", "image/gif", encoding="base64", size=3, disposition="inline"),
                            ),
                        ),
                    ),
                ),
                Part(
                    "3",
                    "message/rfc822",
                    encoding="7bit",
                    size=8,
                    lines=6,
                    disposition="attachment",
                    envelope=Envelope(),
                    parts=(Part("3.1", "text/plain", encoding="7bit", size=5, lines=1),),
                ),
            ),
        ),
    ),
}

EXAMPLES: dict[bytes, Reply] = STATUSES | DATA | FETCHES | BY_RFC
