"""imap: fetch a mailbox in one call, or hold a session with it. On aioimaplib, which is loaded when IMAP is first used.

aioimaplib is GPL-3.0-only, so it is an extra: `pip install 'asyncnet[imap]'`.
"""

from asyncnet.imap.delivery import Delivery
from asyncnet.imap.envelope import Address, Envelope
from asyncnet.imap.limits import Limits
from asyncnet.imap.mailbox import Mailbox, MailboxStatus, Selected
from asyncnet.imap.oneshot import fetch
from asyncnet.imap.response import Namespace, Namespaces
from asyncnet.imap.session import Session, session
from asyncnet.imap.structure import Part

__all__ = [
    "Address",
    "Delivery",
    "Envelope",
    "Limits",
    "Mailbox",
    "MailboxStatus",
    "Namespace",
    "Namespaces",
    "Part",
    "Selected",
    "Session",
    "fetch",
    "session",
]
