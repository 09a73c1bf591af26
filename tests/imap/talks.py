"""What many conversations with an IMAP server begin and end with, and a session that speaks in them."""

import base64

from asyncnet import Credentials, imap
from tests.peers import Script

ALICE = Credentials("alice", "correct horse")
PLAIN = base64.b64encode(b"\0alice\0correct horse").decode()

ABLE = "IMAP4rev1 SASL-IR UIDPLUS MOVE UNSELECT NAMESPACE ID LITERAL+"
"""What the server of most conversations can do."""

KNOWN = f"S: * PREAUTH [CAPABILITY {ABLE}] ready\n"
"""A greeting after which nothing is to be asked: all that follows is the test's."""

GREETED = f"S: * OK [CAPABILITY {ABLE} AUTH=PLAIN] ready\n"

SIGNED_IN = rf"""
    C: {{tag}} AUTHENTICATE PLAIN {PLAIN}
    S: {{tag}} OK [CAPABILITY {ABLE}] welcome
"""

SELECTED = r"""
    C: {tag} SELECT "INBOX"
    S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
    S: * OK [PERMANENTFLAGS (\Deleted \Seen \*)] Limited
    S: * 3 EXISTS
    S: * 0 RECENT
    S: * OK [UIDVALIDITY 3857529045] UIDs valid
    S: * OK [UIDNEXT 40] Predicted next UID
    S: {tag} OK [READ-WRITE] SELECT completed
"""

LEFT = r"""
    C: {tag} LOGOUT
    S: * BYE logging out
    S: {tag} OK done
"""

OPEN = KNOWN + SELECTED


def url(peer: Script, scheme: str = "imap") -> str:
    """Where the peer is."""
    return f"{scheme}://{peer.address}"


def known(peer: Script, **options: object) -> imap.Session:
    """A session with a peer that knows us already."""
    return imap.session(url(peer), **options)  # type: ignore[arg-type]
