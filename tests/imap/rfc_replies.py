"""The responses that RFC 3501, RFC 9051 and RFC 7162 show as examples, by section, and the values that they are.

What is one of the grammar's forms again (another count, another text) stands here too: an example is an example.
"""

from datetime import datetime, timedelta, timezone

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
    Status,
    StatusItems,
    Vanished,
)
from asyncnet.imap.structure import Part
from asyncnet.imap.uid_set import UidSet


def _uids(*ranges: tuple[int, int]) -> UidSet:
    return UidSet(ranges)


def _flags(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _listed(name: str, delimiter: str | None = "/", attributes: str = "") -> Listed:
    return Listed(Mailbox(name, delimiter, _flags(attributes)))


def _tagged(line: str) -> tuple[bytes, Reply]:
    """A tagged response, or an untagged status, whose code has a name alone."""
    tag, kind, rest = line.split(" ", 2)
    code, _, text = rest.partition("] ") if rest.startswith("[") else ("", "", rest)
    value = Status(kind, text, Code(code[1:]) if code else None, None if tag == "*" else tag)
    return line.encode() + b"\r\n", value


def _plain(lines: str) -> dict[bytes, Reply]:
    return dict(_tagged(line.strip()) for line in lines.strip().splitlines())


# RFC 3501 §6, §7.1 and §8; RFC 9051 §6 and §7.1 (its codes: RFC 5530 §3)
_STATUSES = _plain(r"""
    * BYE IMAP4rev1 Server logging out
    * OK IMAP4rev1 Server
    * OK IMAP4rev1 server ready
    * OK Still here
    * NO Disk is 99% full, please delete unnecessary data
    * BAD Empty command line
    * BAD Disk crash, attempting salvage to a new disk!
    * OK Salvage successful, no data lost
    * PREAUTH IMAP4rev1 server logged in as Smith
    * NO IMAP4rev2 access denied
    * BYE IMAP4rev1 server terminating connection
    abcd OK CAPABILITY completed
    a002 OK Begin TLS negotiation now
    A001 OK GSSAPI authentication successful
    A932 OK [READ-ONLY] EXAMINE completed
    A684 NO Name "foo" has inferior hierarchical names
    A222 NO COPY failed: disk is full
    A003 OK APPEND completed
    A047 OK NOOP completed
    A284 OK SEARCH completed
    * OK [CLOSED] Previous mailbox is now closed
    * OK [ALERT] System shutdown in 10 minutes
    c1 NO [ALREADYEXISTS] Mailbox "that" already exists
    b1 NO [AUTHORIZATIONFAILED] No such authorization-ID
    l1 NO [CANNOT] Adjacent slashes are not supported
    k1 OK [CLIENTBUG] Done
    m1 NO [CONTACTADMIN] Quarantined
    n1 NO [CORRUPTION] Cannot open mailbox
    o1 NO [EXPIRED] That password isn't any good
    h1 OK [EXPUNGEISSUED] Search completed
    p1 NO [HASCHILDREN] Mailbox "Notes" has children
    g1 NO [INUSE] Mailbox in use
    t1 NO [LIMIT] At most 32 flags in one mailbox supported
    q1 NO [NONEXISTENT] No such mailbox
    f1 NO [NOPERM] Access denied
    u1 NO [OVERQUOTA] Sorry
    * NO [OVERQUOTA] Soft quota has been exceeded
    d1 NO [PRIVACYREQUIRED] Connection offers no privacy
    r1 NO [SERVERBUG] This should not happen
    a1 NO [UNAVAILABLE] User's backend down for maintenance
    a2 NO [UIDNOTSTICKY] Non-persistent UIDs
    a3 NO [UNKNOWN-CTE] Failed to decode
    a4 NO [TRYCREATE] No such mailbox; create it first
    A103 OK Conditional Store completed
    a104 OK Store (conditional) completed
""")

_CODES: dict[bytes, Reply] = {
    b"* OK [UNSEEN 8] Message 8 is first unseen\r\n": Status("OK", "Message 8 is first unseen", Code("UNSEEN", "8", 8)),
    b"* OK [UNSEEN 17] Message 17 is the first unseen message\r\n": Status(
        "OK", "Message 17 is the first unseen message", Code("UNSEEN", "17", 17)
    ),
    # RFC 9051 §6.4.8: MOVE tells it untagged
    b"* OK [COPYUID 432432 42:69 1202:1229]\r\n": Status(
        "OK", "", Code("COPYUID", "432432 42:69 1202:1229", 432432, (), _uids((42, 69)), _uids((1202, 1229)))
    ),
    b"A003 OK [APPENDUID 38505 3955] APPEND completed\r\n": Status(
        "OK", "APPEND completed", Code("APPENDUID", "38505 3955", 38505, target=_uids((3955, 3955))), "A003"
    ),
    b"+ Ready for literal data\r\n": Continuation(b"Ready for literal data"),
    b"+ idling\r\n": Continuation(b"idling"),
    b"+ YGgGCSqGSIb3EgECAgIAb1kwV6ADAgEFoQMCAQ+iSzBJoAMCAQE=\r\n": Continuation(
        b"YGgGCSqGSIb3EgECAgIAb1kwV6ADAgEFoQMCAQ+iSzBJoAMCAQE="
    ),
}

# RFC 3501 §6.1 to §6.3, §7.2, §7.3; RFC 9051 §6.3.9 (LIST), §6.3.10 (NAMESPACE), §7.2
_MAILBOXES: dict[bytes, Reply] = {
    b"* CAPABILITY IMAP4rev1 AUTH=GSSAPI AUTH=PLAIN\r\n": Capabilities(_flags("IMAP4REV1 AUTH=GSSAPI AUTH=PLAIN")),
    b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=GSSAPI XPIG-LATIN\r\n": Capabilities(
        _flags("IMAP4REV1 STARTTLS AUTH=GSSAPI XPIG-LATIN")
    ),
    b"* CAPABILITY IMAP4rev2 ID LITERAL+ X-GOOD-IDEA\r\n": Capabilities(_flags("IMAP4REV2 ID LITERAL+ X-GOOD-IDEA")),
    b"* ENABLED X-GOOD-IDEA\r\n": Enabled(_flags("X-GOOD-IDEA")),
    b'* LIST () "/" blurdybloop\r\n': _listed("blurdybloop"),
    b'* LIST (\\Noselect) "/" foo\r\n': _listed("foo", "/", "\\Noselect"),
    b'* LIST () "/" foo/bar\r\n': _listed("foo/bar"),
    b'* LIST () "." blurdybloop\r\n': _listed("blurdybloop", "."),
    b'* LIST () "." foo.bar\r\n': _listed("foo.bar", "."),
    b'* LIST () "." INBOX.bar\r\n': _listed("INBOX.bar", "."),
    b'* LIST (\\Noselect) "." #news.\r\n': _listed("#news.", ".", "\\Noselect"),
    b'* LIST (\\Noselect) "/" /\r\n': _listed("/", "/", "\\Noselect"),
    b'* LIST () "/" ~/Mail/meetings\r\n': _listed("~/Mail/meetings"),
    b'* LSUB () "." #news.comp.mail.mime\r\n': _listed("#news.comp.mail.mime", "."),
    b'* LSUB (\\NoSelect) "." #news.comp.mail\r\n': _listed("#news.comp.mail", ".", "\\NoSelect"),
    b'* LIST () "/" INBOX\r\n': _listed("INBOX"),
    b'* LIST (\\Marked \\NoInferiors) "/" "inbox"\r\n': _listed("inbox", "/", "\\Marked \\NoInferiors"),
    b'* LIST (\\Subscribed \\NonExistent) "/" "Fruit/Peach"\r\n': _listed(
        "Fruit/Peach", "/", "\\Subscribed \\NonExistent"
    ),
    b'* LIST (\\Remote \\HasNoChildren) "/" "Tofu"\r\n': _listed("Tofu", "/", "\\Remote \\HasNoChildren"),
    b'* LIST () "/" "Foo" ("CHILDINFO" ("SUBSCRIBED"))\r\n': _listed("Foo"),
    b'* LIST () "/" "NewMailbox" ("OLDNAME" ("OldMailbox"))\r\n': _listed("NewMailbox"),
    b'* LIST (\\Sent) "/" SentMail\r\n': _listed("SentMail", "/", "\\Sent"),
    b'* STATUS "INBOX" (MESSAGES 17 UNSEEN 16)\r\n': StatusItems(MailboxStatus("INBOX", messages=17, unseen=16)),
    b'* NAMESPACE NIL NIL (("" "."))\r\n': Namespaces((), (), (Namespace("", "."),)),
    b'* NAMESPACE (("" "/")) NIL (("Public Folders/" "/"))\r\n': Namespaces(
        (Namespace("", "/"),), (), (Namespace("Public Folders/", "/"),)
    ),
    b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/")("#ftp/" "/")("#news." "."))\r\n': Namespaces(
        (Namespace("", "/"),),
        (Namespace("~", "/"),),
        (Namespace("#shared/", "/"), Namespace("#public/", "/"), Namespace("#ftp/", "/"), Namespace("#news.", ".")),
    ),
    b'* NAMESPACE (("INBOX." ".")) NIL NIL\r\n': Namespaces((Namespace("INBOX.", "."),)),
    b'* NAMESPACE (("" "/")("#mh/" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL NIL\r\n': Namespaces(
        (Namespace("", "/"), Namespace("#mh/", "/"))
    ),
}

# RFC 3501 §6.1.2, §6.4, §7.3, §7.4; RFC 9051 §6.3.13, §6.4.4, §7.3.4
_MESSAGES: dict[bytes, Reply] = {
    b"* 18 EXISTS\r\n": Exists(18),
    b"* 23 EXISTS\r\n": Exists(23),
    b"* 5 RECENT\r\n": Recent(5),
    b"* 22 EXPUNGE\r\n": Expunged(22),
    b"* SEARCH 43\r\n": Found((43,)),
    b'* ESEARCH (TAG "A284") MIN 4\r\n': ExtendedFound("A284", minimum=4),
    b'* ESEARCH (TAG "A285") ALL 43\r\n': ExtendedFound("A285", every=_uids((43, 43))),
    b'* ESEARCH (TAG "P283") ALL 882,1102,3003,3005:3006\r\n': ExtendedFound(
        "P283", every=_uids((882, 882), (1102, 1102), (3003, 3003), (3005, 3006))
    ),
    b"* ESEARCH UID COUNT 5 ALL 4:19,21,28\r\n": ExtendedFound(
        by_uid=True, count=5, every=_uids((4, 19), (21, 21), (28, 28))
    ),
    b'* ESEARCH (TAG "a567") UID COUNT 5 ALL 4:19,21,28\r\n': ExtendedFound(
        "a567", by_uid=True, count=5, every=_uids((4, 19), (21, 21), (28, 28))
    ),
    b"* ESEARCH COUNT 18 ALL 1:17,21\r\n": ExtendedFound(count=18, every=_uids((1, 17), (21, 21))),
    b"* 14 FETCH (FLAGS (\\Seen \\Deleted))\r\n": Fetched(14, flags=_flags("\\Seen \\Deleted")),
    b"* 4 FETCH (FLAGS (\\Deleted \\Flagged \\Seen))\r\n": Fetched(4, flags=_flags("\\Deleted \\Flagged \\Seen")),
    b"* 23 FETCH (FLAGS (\\Seen) UID 4827313)\r\n": Fetched(23, uid=4827313, flags=_flags("\\Seen")),
    b"* 25 FETCH (FLAGS (\\Seen) UID 4828442)\r\n": Fetched(25, uid=4828442, flags=_flags("\\Seen")),
}

_HEADER = (
    b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
    b"Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
    b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
    b"Message-Id: <B27397-0100000@cac.washington.edu>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"
)
_GRAY = (Address("Terry Gray", "gray", "cac.washington.edu"),)
_TEXT_1152 = Part("1", "text/plain", {"charset": "US-ASCII"}, None, None, "7bit", 1152, 23)

# RFC 3501 §7.4.2 and §8, as they stand there
_WHOLE: dict[bytes, Reply] = {
    b'* 12 FETCH (FLAGS (\\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286 ENVELOPE '
    b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) '
    b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
    b'"<B27397-0100000@cac.washington.edu>") '
    b'BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92))\r\n': Fetched(
        12,
        flags=_flags("\\Seen"),
        received=datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(timedelta(hours=-7))),
        size=4286,
        envelope=Envelope(
            "Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
            "IMAP4rev1 WG mtg summary and minutes",
            _GRAY,
            _GRAY,
            _GRAY,
            (Address(None, "imap", "cac.washington.edu"),),
            (Address(None, "minutes", "CNRI.Reston.VA.US"), Address("John Klensin", "KLENSIN", "MIT.EDU")),
            message_id="<B27397-0100000@cac.washington.edu>",
        ),
        structure=Part("1", "text/plain", {"charset": "US-ASCII"}, None, None, "7bit", 3028, 92),
    ),
    b"* 12 FETCH (BODY[HEADER] {342}\r\n%b)\r\n" % _HEADER: Fetched(12, sections={"BODY[HEADER]": _HEADER}),
    b'* 1 FETCH (BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)'
    b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" '
    b'"Compiler diff" "BASE64" 4554 73) "MIXED"))\r\n': Fetched(
        1,
        structure=Part(
            "",
            "multipart/mixed",
            parts=(
                _TEXT_1152,
                Part(
                    "2",
                    "text/plain",
                    {"charset": "US-ASCII", "name": "cc.diff"},
                    "<960723163407.20117h@cac.washington.edu>",
                    "Compiler diff",
                    "base64",
                    4554,
                    73,
                ),
            ),
        ),
    ),
}


def _changed(number: int, modseq: int, uid: int | None = None, flags: str | None = None) -> Fetched:
    return Fetched(number, uid=uid, modseq=modseq, flags=None if flags is None else _flags(flags))


def _hint(name: str, value: int, text: str, kind: str = "OK", tag: str | None = None) -> Status:
    return Status(kind, text, Code(name, str(value), value), tag)


# RFC 7162 §3.1.2 to §3.1.9, §3.2.5 to §3.2.11
_CHANGES: dict[bytes, Reply] = {
    b"* 1 FETCH (UID 4 MODSEQ (12121231000))\r\n": _changed(1, 12121231000, 4),
    b"* 2 FETCH (UID 6 MODSEQ (12121230852))\r\n": _changed(2, 12121230852, 6),
    b"* 50 FETCH (MODSEQ (12111230048))\r\n": _changed(50, 12111230048),
    b"* 5 FETCH (MODSEQ (320162350))\r\n": _changed(5, 320162350),
    b"* 7 FETCH (MODSEQ (320162342) FLAGS (\\Seen \\Deleted))\r\n": _changed(7, 320162342, None, "\\Seen \\Deleted"),
    b"* 9 FETCH (MODSEQ (320162349) FLAGS (\\Flagged \\Answered))\r\n": _changed(
        9, 320162349, None, "\\Flagged \\Answered"
    ),
    b"* 101 FETCH (MODSEQ (303011130956) FLAGS ($Processed \\Deleted))\r\n": _changed(
        101, 303011130956, None, "$Processed \\Deleted"
    ),
    b"a106 NO [MODIFIED 12] Conditional STORE failed\r\n": Status(
        "NO", "Conditional STORE failed", Code("MODIFIED", "12"), "a106"
    ),
    b"* 2 FETCH (UID 6 MODSEQ (75403) FLAGS (\\Deleted))\r\n": _changed(2, 75403, 6, "\\Deleted"),
    b"* 4 FETCH (UID 8 MODSEQ (29738) FLAGS ($NoJunk $AutoJunk $MDNSent))\r\n": _changed(
        4, 29738, 8, "$NoJunk $AutoJunk $MDNSent"
    ),
    b"* 1 FETCH (MODSEQ (624140003))\r\n": _changed(1, 624140003),
    b"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 HIGHESTMODSEQ 7011231777)\r\n": StatusItems(
        MailboxStatus("blurdybloop", messages=231, uidnext=44292, highestmodseq=7011231777)
    ),
    b'* ESEARCH (TAG "a") ALL 1:3,5 MODSEQ 1236\r\n': ExtendedFound("a", every=_uids((1, 3), (5, 5)), modseq=1236),
    b"* OK [UIDVALIDITY 67890007] UIDVALIDITY\r\n": _hint("UIDVALIDITY", 67890007, "UIDVALIDITY"),
    b"* OK [UIDNEXT 600] Predicted next UID\r\n": _hint("UIDNEXT", 600, "Predicted next UID"),
    b"* OK [HIGHESTMODSEQ 90060115205545359] Highest mailbox mod-sequence\r\n": _hint(
        "HIGHESTMODSEQ", 90060115205545359, "Highest mailbox mod-sequence"
    ),
    b"* OK [UNSEEN 7] There are some unseen messages in the mailbox\r\n": _hint(
        "UNSEEN", 7, "There are some unseen messages in the mailbox"
    ),
    b"* FLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen)\r\n": Flags(
        _flags("\\Answered \\Flagged \\Draft \\Deleted \\Seen")
    ),
    b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen \\*)] Permanent flags\r\n": Status(
        "OK",
        "Permanent flags",
        Code(
            "PERMANENTFLAGS",
            "(\\Answered \\Flagged \\Draft \\Deleted \\Seen \\*)",
            words=("\\*", "\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"),
        ),
    ),
    b"* VANISHED (EARLIER) 41,43:116,118,120:211,214:540\r\n": Vanished(
        _uids((41, 41), (43, 116), (118, 118), (120, 211), (214, 540)), earlier=True
    ),
    b"* 49 FETCH (UID 117 FLAGS (\\Seen \\Answered) MODSEQ (90060115194045001))\r\n": _changed(
        49, 90060115194045001, 117, "\\Seen \\Answered"
    ),
    b"* 50 FETCH (UID 119 FLAGS (\\Draft $MDNSent) MODSEQ (90060115194045308))\r\n": _changed(
        50, 90060115194045308, 119, "\\Draft $MDNSent"
    ),
    b"* VANISHED (EARLIER) 300:310,405,411\r\n": Vanished(_uids((300, 310), (405, 405), (411, 411)), earlier=True),
    b"* VANISHED 405,407,410,425\r\n": Vanished(_uids((405, 405), (407, 407), (410, 410), (425, 425))),
    b"A202 OK [HIGHESTMODSEQ 20010715194045319] expunged\r\n": _hint(
        "HIGHESTMODSEQ", 20010715194045319, "expunged", tag="A202"
    ),
}

BY_RFC: dict[bytes, Reply] = _STATUSES | _CODES | _MAILBOXES | _MESSAGES | _WHOLE | _CHANGES
