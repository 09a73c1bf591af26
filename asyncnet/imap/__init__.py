"""imap: fetch a mailbox in one call, hold a session with it, watch it. On aioimaplib, loaded when IMAP is first used.

aioimaplib is GPL-3.0-only, so it is an extra: `pip install 'asyncnet[imap]'`. Searches are put together by the
functions of `asyncnet.imap.search`.
"""

from asyncnet.imap import search
from asyncnet.imap.delivery import Delivery
from asyncnet.imap.envelope import Address, Envelope
from asyncnet.imap.limits import Limits
from asyncnet.imap.mailbox import Mailbox, MailboxStatus, Selected
from asyncnet.imap.oneshot import fetch
from asyncnet.imap.response import Exists, Expunged, Fetched, Namespace, Namespaces, Resync, Vanished
from asyncnet.imap.search import Criteria
from asyncnet.imap.session import Session, session
from asyncnet.imap.storing import Storing
from asyncnet.imap.structure import Part
from asyncnet.imap.sync import Synced, sync
from asyncnet.imap.uid_set import UidSet
from asyncnet.imap.watch import Arrival, Watch, WatchState, watch

__all__ = [
    "Address",
    "Arrival",
    "Criteria",
    "Delivery",
    "Envelope",
    "Exists",
    "Expunged",
    "Fetched",
    "Limits",
    "Mailbox",
    "MailboxStatus",
    "Namespace",
    "Namespaces",
    "Part",
    "Resync",
    "Selected",
    "Session",
    "Storing",
    "Synced",
    "UidSet",
    "Vanished",
    "Watch",
    "WatchState",
    "fetch",
    "search",
    "session",
    "sync",
    "watch",
]
